//! One entry function for each decoder of bytes from a socket. They take any bytes, and panic only
//! on a fault of ours. Property tests drive them; so can a fuzzer.

use crate::auth::switch::{AuthMoreData, AuthSwitchRequest};
use crate::auth::{AuthPlugin, client, server};
use crate::capabilities::Capabilities;
use crate::command::{Command, CommandStep, CommandStream};
use crate::eof::EofPacket;
use crate::err::ErrPacket;
use crate::greeting::{FirstPacket, Greeting};
use crate::login::LoginPacket;
use crate::ok::OkPacket;
use crate::packet::{HEADER_LEN, Header};
use crate::prepare::PrepareOk;
use crate::reply::{ReplyStep, ReplyTracker};
use crate::session_state;
use crate::status::StatusFlags;
use crate::violation::Violation;

mod statements;

pub use self::statements::fuzz_statements;

/// Follows `data` as the stream of a client, in one piece and byte for byte. Both must tell the
/// same commands and pass the same bytes.
pub fn fuzz_command(data: &[u8]) {
    let whole = commands(data, data.len().max(1));
    assert_eq!(whole, commands(data, 1));
}

/// Reads `data` as the first payload of a server; a greeting must survive a round trip.
pub fn fuzz_greeting(data: &[u8]) {
    if let Ok(FirstPacket::Greeting(greeting)) = FirstPacket::decode(data) {
        assert_eq!(Greeting::decode(&greeting.encode()), Ok(greeting));
    }
}

/// Reads `data` as the answer to a greeting; a login must survive a round trip.
pub fn fuzz_login(data: &[u8]) {
    if let Ok(LoginPacket::Login(login)) = LoginPacket::decode(data) {
        let _ = login.attributes().count();
        let Ok(LoginPacket::Login(again)) = LoginPacket::decode(&login.encode()) else {
            panic!("{login:?} was written in a form that is not a login");
        };
        assert_eq!(again.user, login.user);
        assert_eq!(again.attributes, login.attributes);
    }
}

/// Feeds the packets in `data` to both ends of a login.
pub fn fuzz_auth(data: &[u8]) {
    let mut client = client::Login::new(client::Request {
        user: b"icinga".to_vec(),
        password: b"secret".to_vec(),
        wanted: Capabilities::from_bits(u64::MAX).difference(Capabilities::SSL),
        ..client::Request::default()
    });
    let greeting = Greeting {
        server_version: b"10.11.6-MariaDB".to_vec(),
        connection_id: 1,
        scramble: [1; 20],
        capabilities: Capabilities::from_bits(u64::MAX),
        collation: 8,
        status: StatusFlags::AUTOCOMMIT,
        auth_plugin: AuthPlugin::NativePassword,
    };
    let mut server = server::Login::new(greeting, "localhost");
    for (sequence, payload) in payloads(data) {
        let _ = client.on_packet(sequence, payload);
        let _ = server.on_packet(sequence, payload, |_| Some(b"secret".to_vec()));
        let _ = AuthMoreData::decode(payload);
        let _ = AuthSwitchRequest::decode(payload).map(|switch| switch.scramble());
    }
}

/// Reads `data` as each kind of packet that ends something.
pub fn fuzz_status(data: &[u8]) {
    for capabilities in [Capabilities::empty(), Capabilities::from_bits(u64::MAX)] {
        if let Ok(ok) = OkPacket::decode(data, capabilities) {
            let _ = session_state::changes(ok.session_state).count();
            let mut kept = ok;
            if !capabilities.contains(Capabilities::SESSION_TRACK) {
                kept.status.remove(StatusFlags::SESSION_STATE_CHANGED);
            }
            assert_eq!(OkPacket::decode(&ok.encode(capabilities), capabilities), Ok(kept));
        }
        let _ = PrepareOk::decode(data, capabilities);
    }
    if let Ok(err) = ErrPacket::decode(data) {
        assert_eq!(ErrPacket::decode(&err.encode()), Ok(err));
    }
    let _ = EofPacket::decode(data);
    let _ = session_state::changes(data).count();
}

/// Follows `data` as a reply; its first two bytes choose the command and the capabilities. In one
/// piece and byte for byte it must come to the same end.
pub fn fuzz_reply(data: &[u8]) {
    let [command, capabilities, data @ ..] = data else {
        return;
    };
    let command = Command::from_byte(*command);
    let mut chosen = Capabilities::empty();
    for (bit, capability) in [
        Capabilities::CACHE_METADATA,
        Capabilities::DEPRECATE_EOF,
        Capabilities::OPTIONAL_RESULTSET_METADATA,
        Capabilities::PROGRESS,
        Capabilities::SESSION_TRACK,
    ]
    .into_iter()
    .enumerate()
    {
        if capabilities & 1 << bit != 0 {
            chosen.insert(capability);
        }
    }
    let tracker = ReplyTracker::new(command, chosen);
    let whole = reply(tracker.clone(), data, data.len().max(1));
    assert_eq!(whole, reply(tracker, data, 1));
}

/// The commands in `data`, and how many bytes were passed, if it comes `piece` bytes at a time.
fn commands(data: &[u8], piece: usize) -> (Vec<Command>, usize) {
    let mut stream = CommandStream::default();
    let mut commands = Vec::new();
    let mut passed = 0;
    let mut end = 0;
    while end < data.len() {
        end = (end + piece).min(data.len());
        loop {
            match stream.step(&data[passed..end]) {
                CommandStep::Incomplete => break,
                CommandStep::Pass { len, .. } => passed += len,
                CommandStep::Start { command, .. } => commands.push(command),
            }
        }
    }
    (commands, passed)
}

/// The steps that carry status, each with its place in the stream, and how it ended.
fn reply(
    mut tracker: ReplyTracker,
    data: &[u8],
    piece: usize,
) -> (Vec<(usize, ReplyStep)>, Option<Violation>, usize) {
    let mut steps = Vec::new();
    let mut passed = 0;
    let mut end = 0;
    while end < data.len() && !tracker.is_done() {
        end = (end + piece).min(data.len());
        while !tracker.is_done() {
            let len = match tracker.step(&data[passed..end]) {
                Err(violation) => return (steps, Some(violation), passed),
                Ok(ReplyStep::Incomplete) => break,
                Ok(ReplyStep::Pass(len)) => len,
                Ok(step) => {
                    steps.push((passed, step));
                    step.covered()
                }
            };
            assert!(len >= 1 && len <= end - passed, "{len} of {} bytes", end - passed);
            passed += len;
        }
    }
    (steps, None, passed)
}

/// The packets in `data`, up to the first that is not whole.
fn payloads(mut data: &[u8]) -> impl Iterator<Item = (u8, &[u8])> {
    std::iter::from_fn(move || {
        let header = Header::parse(data)?;
        let end = HEADER_LEN + header.payload_len;
        let payload = data.get(HEADER_LEN..end)?;
        data = &data[end..];
        Some((header.sequence, payload))
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Bytes of which packets are likely to be made.
    fn bytes() -> impl Strategy<Value = Vec<u8>> {
        let byte = prop_oneof![
            4 => 0..12_u8,
            2 => prop::sample::select(vec![0xFA, 0xFB, 0xFC, 0xFD, 0xFE, 0xFF]),
            1 => any::<u8>(),
        ];
        proptest::collection::vec(byte, 0..300)
    }

    /// Whole packets with likely contents.
    fn packets() -> impl Strategy<Value = Vec<u8>> {
        let packet = proptest::collection::vec(prop_oneof![0..4_u8, 0xFA..=0xFF_u8], 0..14);
        proptest::collection::vec(packet, 0..20).prop_map(|packets| {
            let mut out = Vec::new();
            for payload in packets {
                crate::packet::frame(&payload, 0, &mut out);
            }
            out
        })
    }

    proptest! {
        #[test]
        fn no_bytes_of_a_peer_make_us_panic(data in bytes()) {
            fuzz_auth(&data);
            fuzz_command(&data);
            fuzz_greeting(&data);
            fuzz_login(&data);
            fuzz_reply(&data);
            fuzz_statements(&data);
            fuzz_status(&data);
        }

        #[test]
        fn no_packets_of_a_peer_make_us_panic(
            command in prop::sample::select(vec![0x03, 0x04, 0x09, 0x11, 0x16, 0x17, 0x1C, 0xFA]),
            capabilities: u8,
            data in packets(),
        ) {
            fuzz_auth(&data);
            fuzz_command(&data);
            fuzz_reply(&[&[command, capabilities], data.as_slice()].concat());
        }
    }
}
