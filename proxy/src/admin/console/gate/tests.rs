use proptest::collection::vec;
use proptest::prelude::*;
use tokio::io::AsyncReadExt;

use super::*;

/// Passes on the packets of a client that sends `bytes` and leaves, up to its first violation.
async fn pass(bytes: &[u8]) -> (Vec<u8>, io::Result<()>) {
    let mut passed = Vec::new();
    let ended = Gate::new(bytes).read_to_end(&mut passed).await;
    (passed, ended.map(drop))
}

fn packets(packets: &[(u8, &[u8])]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (sequence, payload) in packets {
        packet::frame(payload, *sequence, &mut bytes);
    }
    bytes
}

#[tokio::test]
async fn a_login_and_queries_pass_as_they_are() {
    let bytes = packets(&[(1, b"login"), (3, b"proof"), (0, b"\x03SHOW NODES"), (0, b"\x01")]);
    let (passed, ended) = pass(&bytes).await;
    assert_eq!(passed, bytes);
    ended.unwrap();
}

#[tokio::test]
async fn one_read_never_gives_more_than_one_packet() {
    let bytes = packets(&[(0, b"\x03SHOW NODES"), (0, b"\x0e")]);
    let mut gate = Gate::new(&bytes[..]);
    let mut buf = [0; 100];
    let first = gate.read(&mut buf).await.unwrap();
    assert_eq!(&buf[..first], packets(&[(0, b"\x03SHOW NODES")]));
}

#[tokio::test]
async fn text_in_another_encoding_becomes_utf_8() {
    let (passed, _) = pass(&packets(&[(0, b"\x03SHOW \xe4")])).await;
    assert_eq!(passed, packets(&[(0, "\x03SHOW \u{fffd}".as_bytes())]));
}

#[tokio::test]
async fn a_command_that_would_get_a_false_ok_is_replaced() {
    let refused = packets(&[(0, &[REFUSED_COMMAND])]);
    for byte in [0x00, 0x08, 0x0c, 0x11, 0x12, 0x17, 0x18, 0xfa, 0x77] {
        let (passed, _) = pass(&packets(&[(0, &[byte, b'x'])])).await;
        assert_eq!(passed, refused, "{byte:#04x}");
    }
    assert_eq!(pass(&packets(&[(0, b"")])).await.0, refused);
}

#[tokio::test]
async fn a_packet_that_is_too_long_is_refused_by_its_header() {
    let (passed, ended) = pass(&[0x01, 0x00, 0x01, 0x00]).await;
    assert!(passed.is_empty());
    assert_eq!(ended.unwrap_err().kind(), io::ErrorKind::InvalidData);
}

#[tokio::test]
async fn packets_out_of_order_are_refused() {
    for sequences in [&[2_u8][..], &[255], &[1, 2], &[0, 1], &[1, 3, 0, 5]] {
        let sent: Vec<_> = sequences.iter().map(|id| (*id, &b"\x0e"[..])).collect();
        let (_, ended) = pass(&packets(&sent)).await;
        assert_eq!(ended.unwrap_err().kind(), io::ErrorKind::InvalidData, "{sequences:?}");
    }
}

proptest! {
    #[test]
    fn whatever_comes_only_whole_packets_with_readable_text_pass(
        sent in vec((0_u8..4, vec(any::<u8>(), 0..40)), 0..6),
        cut in 0_usize..200,
    ) {
        let sent: Vec<_> = sent.iter().map(|(id, payload)| (*id, payload.as_slice())).collect();
        let mut bytes = packets(&sent);
        bytes.truncate(cut);
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let (passed, _) = runtime.block_on(pass(&bytes));

        let mut rest = &passed[..];
        while let Some((header, payload)) = packet::whole(rest, 3 * LIMIT).unwrap() {
            if header.sequence == 0 {
                let (byte, text) = payload.split_first().expect("no command is empty");
                let has_text = matches!(byte, 0x02 | 0x03 | 0x16);
                prop_assert!(!has_text || std::str::from_utf8(text).is_ok());
            }
            rest = &rest[packet::HEADER_LEN + payload.len()..];
        }
        prop_assert!(rest.is_empty());
    }
}
