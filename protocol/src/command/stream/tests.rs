use proptest::prelude::*;

use super::*;
use crate::packet::{MAX_PAYLOAD, frame};

/// Follows `bytes` as they arrive in pieces that end at `cuts`. Returns the commands and the bytes
/// of each, and checks that no byte is lost, doubled or reordered.
fn follow(bytes: &[u8], cuts: &[usize]) -> Vec<(Command, Vec<u8>)> {
    let mut stream = CommandStream::default();
    let mut commands: Vec<(Command, Vec<u8>)> = Vec::new();
    let mut passed = 0;
    for cut in cuts.iter().chain([&bytes.len()]) {
        loop {
            match stream.step(&bytes[passed..*cut]) {
                CommandStep::Incomplete => break,
                CommandStep::Start { command, .. } => commands.push((command, Vec::new())),
                CommandStep::Pass { len, end } => {
                    assert!(len >= 1);
                    assert_eq!(stream.is_idle(), end);
                    let current = &mut commands.last_mut().expect("a command began").1;
                    current.extend_from_slice(&bytes[passed..passed + len]);
                    passed += len;
                }
            }
        }
    }
    assert_eq!(passed, bytes.len());
    commands
}

fn framed(payload: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    frame(payload, 0, &mut out);
    out
}

#[test]
fn commands_are_told_apart_wherever_the_stream_is_cut() {
    let commands = [
        (Command::Query, framed(b"\x03SELECT 1;COMMIT")),
        (Command::Empty, framed(b"")),
        (Command::Ping, framed(b"\x0E")),
        (Command::StmtClose, framed(b"\x19\x01\0\0\0")),
        (Command::Unknown(0x77), framed(b"\x77")),
        (Command::Quit, framed(b"\x01")),
    ];
    let bytes: Vec<u8> = commands.iter().flat_map(|(_, bytes)| bytes.clone()).collect();
    for cut in 0..bytes.len() {
        assert_eq!(follow(&bytes, &[cut]), commands);
    }
    let every_byte: Vec<usize> = (0..bytes.len()).collect();
    assert_eq!(follow(&bytes, &every_byte), commands);
}

#[test]
fn a_command_of_many_packets_is_one_command() {
    for len in [MAX_PAYLOAD - 1, MAX_PAYLOAD, MAX_PAYLOAD + 1, 2 * MAX_PAYLOAD] {
        let long = framed(&vec![0x03; len]);
        let bytes = [long.clone(), framed(b"\x0E")].concat();
        let commands = [(Command::Query, long.clone()), (Command::Ping, framed(b"\x0E"))];
        let end = long.len();
        let cuts = [4, 5, MAX_PAYLOAD + 3, MAX_PAYLOAD + 4, MAX_PAYLOAD + 6, end - 1, end, end + 2];
        let mut cuts: Vec<usize> = cuts.into_iter().filter(|cut| *cut < bytes.len()).collect();
        cuts.sort_unstable();
        assert_eq!(follow(&bytes, &cuts), commands);
    }
}

#[test]
fn the_file_ends_with_its_own_empty_packet_and_with_no_other() {
    // A payload of exactly 16 MiB - 1 is followed by an empty packet which does not end the file.
    let file = [framed(b"1,2\n"), framed(&vec![b'x'; MAX_PAYLOAD]), framed(b"\x01"), framed(b"")];
    let file = file.concat();
    let bytes = [file.clone(), framed(b"\x0E")].concat();
    let mut stream = CommandStream::default();
    stream.expect_file();
    let mut passed = 0;
    while !stream.is_idle() {
        let cut = (passed + 1_000_003).min(bytes.len());
        match stream.step(&bytes[passed..cut]) {
            CommandStep::Pass { len, .. } => passed += len,
            other => panic!("{other:?} inside a file"),
        }
    }
    assert_eq!(passed, file.len());
    let next = CommandStep::Start { command: Command::Ping, sequence: 0 };
    assert_eq!(stream.step(&bytes[passed..]), next);
}

#[test]
fn an_authentication_packet_is_not_taken_for_a_command() {
    let mut stream = CommandStream::default();
    stream.expect_packet();
    let answer = framed(b"\x01 which would be COM_QUIT");
    assert_eq!(stream.step(&answer[..3]), CommandStep::Incomplete);
    assert_eq!(stream.step(&answer), CommandStep::Pass { len: answer.len(), end: true });
    assert!(stream.is_idle());
}

proptest! {
    #[test]
    fn any_bytes_are_followed_alike_in_one_piece_or_many(
        bytes in proptest::collection::vec(prop_oneof![Just(0), Just(1), any::<u8>()], 0..200),
        cuts in proptest::collection::vec(any::<prop::sample::Index>(), 0..8),
    ) {
        let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(bytes.len() + 1)).collect();
        cuts.sort_unstable();
        prop_assert_eq!(passed(&bytes, &cuts), passed(&bytes, &[]));
    }
}

/// Like [`follow`], for bytes that may end in the middle.
fn passed(bytes: &[u8], cuts: &[usize]) -> (Vec<Command>, usize) {
    let mut stream = CommandStream::default();
    let mut commands = Vec::new();
    let mut passed = 0;
    for cut in cuts.iter().chain([&bytes.len()]) {
        loop {
            match stream.step(&bytes[passed..*cut]) {
                CommandStep::Incomplete => break,
                CommandStep::Start { command, .. } => commands.push(command),
                CommandStep::Pass { len, .. } => passed += len,
            }
        }
    }
    (commands, passed)
}
