//! Follows conversations that real clients and servers had, in `testdata/*.bin`.
//!
//! `testdata/README.md` says what is in them. Whatever they did, every packet of their logins must
//! be read and written back byte for byte, and every reply must end where the server ended it.

use std::collections::VecDeque;
use std::fs;
use std::path::{Path, PathBuf};

use ido_proxy_protocol::Violation;
use ido_proxy_protocol::capabilities::Capabilities;
use ido_proxy_protocol::command::{Command, CommandStep, CommandStream};
use ido_proxy_protocol::err::ErrPacket;
use ido_proxy_protocol::greeting::FirstPacket;
use ido_proxy_protocol::login::{LoginPacket, LoginRequest};
use ido_proxy_protocol::ok::OkPacket;
use ido_proxy_protocol::packet::{self, HEADER_LEN, MAX_PAYLOAD};
use ido_proxy_protocol::reply::{ReplyStep, ReplyTracker};
use ido_proxy_protocol::session_state;

#[test]
fn captures_are_followed_alike_whole_and_in_pieces() {
    let captures = captures();
    assert!(!captures.is_empty(), "no captures");
    for path in captures {
        let bytes = fs::read(&path).expect("readable");
        let name = path.display();
        let whole = Replay::run(&bytes, usize::MAX).unwrap_or_else(|e| panic!("{name}: {e}"));
        for piece in [1, 2, 3, 5, 64, 1000] {
            let pieces = Replay::run(&bytes, piece).unwrap_or_else(|e| panic!("{name}: {e}"));
            assert_eq!(pieces.replies, whole.replies, "{name} in pieces of {piece}");
        }
    }
}

/// Icinga is whom all of this is for: its own flags, and batches of many results in one reply.
#[test]
fn icinga_speaks_as_the_proxy_expects() {
    let replay = capture("icinga.bin");
    let login = replay.login.expect("it logged in");
    assert_eq!(login.user, b"icinga");
    assert_eq!(login.collation, 8, "latin1, whatever bytes it sends");
    let flags = login.capabilities;
    assert!(flags.contains(Capabilities::FOUND_ROWS | Capabilities::MULTI_STATEMENTS));
    assert!(!flags.contains(Capabilities::DEPRECATE_EOF));
    let most = replay.replies.iter().map(|reply| reply.results).max();
    assert!(most > Some(50), "a batch has many results: {most:?}");
    assert!(replay.replies.iter().all(|reply| reply.error.is_none()));
}

/// The reading of a capture must not change without being noticed.
#[test]
fn the_conversation_of_the_mariadb_prompt_reads_as_it_was() {
    assert_eq!(told(&capture("mariadb-prompt.bin")), PROMPT);
}

/// The reading of prepared statements must not change either.
#[test]
fn the_conversation_of_php_reads_as_it_was() {
    assert_eq!(told(&capture("php-pdo.bin")), PHP);
}

const PROMPT: [&str; 14] = [
    "COM_QUERY: 1 results, 0 changes",
    "COM_QUERY: 0 results, 0 changes, error 1142",
    "COM_QUERY: 1 results, 0 changes",
    "COM_QUERY: 1 results, 0 changes",
    "COM_QUERY: 1 results, 0 changes",
    "COM_QUERY: 1 results, 0 changes",
    "COM_QUERY: 1 results, 0 changes",
    "COM_QUERY: 1 results, 0 changes",
    "COM_QUERY: 0 results, 0 changes, error 1054",
    "COM_QUERY: 1 results, 3 changes",
    "COM_QUERY: 1 results, 0 changes",
    "COM_INIT_DB: 1 results, 1 changes",
    "COM_QUERY: 1 results, 0 changes",
    "COM_QUERY: 1 results, 0 changes",
];

const PHP: [&str; 10] = [
    "COM_QUERY: 1 results, 0 changes",
    "COM_STMT_PREPARE: 0 results, 0 changes",
    "COM_STMT_EXECUTE: 1 results, 0 changes",
    "COM_STMT_EXECUTE: 1 results, 0 changes",
    "COM_STMT_EXECUTE: 1 results, 0 changes",
    "COM_STMT_PREPARE: 0 results, 0 changes",
    "COM_STMT_EXECUTE: 1 results, 0 changes",
    "COM_STMT_EXECUTE: 1 results, 0 changes",
    "COM_STMT_PREPARE: 0 results, 0 changes, error 1054",
    "COM_STMT_EXECUTE: 0 results, 0 changes, error 1406",
];

fn capture(name: &str) -> Replay {
    let bytes = fs::read(folder().join(name)).expect("readable");
    Replay::run(&bytes, usize::MAX).unwrap_or_else(|error| panic!("{name}: {error}"))
}

fn told(replay: &Replay) -> Vec<String> {
    let one = |reply: &Reply| {
        let error = reply.error.map(|code| format!(", error {code}")).unwrap_or_default();
        format!("{}: {} results, {} changes{error}", reply.command, reply.results, reply.changes)
    };
    replay.replies.iter().map(one).collect()
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata")
}

fn captures() -> Vec<PathBuf> {
    let entries = fs::read_dir(folder()).expect("testdata");
    let paths = entries.map(|entry| entry.expect("an entry").path());
    paths.filter(|path| path.extension().is_some_and(|extension| extension == "bin")).collect()
}

/// One conversation, followed from both ends.
#[derive(Default)]
struct Replay {
    client: Vec<u8>,
    server: Vec<u8>,
    stream: CommandStream,
    /// Capabilities of both sides, once the login has told them.
    capabilities: Option<Capabilities>,
    login: Option<LoginRequest>,
    logged_in: bool,
    /// Commands whose replies are to come.
    waiting: VecDeque<(Command, ReplyTracker)>,
    /// Data that the client has to send and that is no command.
    owed: Option<Owed>,
    replies: Vec<Reply>,
}

enum Owed {
    File,
    Packet,
}

/// A reply that was followed to its end.
#[derive(Debug, PartialEq)]
struct Reply {
    command: Command,
    results: u64,
    error: Option<u16>,
    changes: usize,
    bytes: u64,
}

impl Replay {
    /// Follows a capture, each of its records in pieces of so many bytes.
    fn run(capture: &[u8], piece: usize) -> Result<Self, String> {
        let mut replay = Self::default();
        let mut rest = capture;
        while let [side, a, b, c, d, tail @ ..] = rest {
            let len = u32::from_le_bytes([*a, *b, *c, *d]) as usize;
            let (data, tail) = tail.split_at_checked(len).ok_or("a record is cut")?;
            for data in data.chunks(piece.min(MAX_PAYLOAD)) {
                let done = match side {
                    b'>' => {
                        replay.client.extend_from_slice(data);
                        replay.client_spoke()
                    }
                    b'<' => {
                        replay.server.extend_from_slice(data);
                        replay.server_spoke()
                    }
                    _ => return Err("a record of neither side".into()),
                };
                done.map_err(|violation| format!("{violation} after {:?}", replay.replies.last()))?;
            }
            rest = tail;
        }
        match replay.waiting.front() {
            // KILL and COM_SHUTDOWN may cut a reply short.
            Some((command, _)) if !replay.server.is_empty() => {
                Err(format!("the reply to {command} has no end"))
            }
            _ => Ok(replay),
        }
    }

    fn client_spoke(&mut self) -> Result<(), Violation> {
        while !self.logged_in {
            let Some((_, payload)) = packet::whole(&self.client, MAX_PAYLOAD)? else {
                return Ok(());
            };
            let len = HEADER_LEN + payload.len();
            // After the login only answers to the plugin come.
            if self.login.is_none() {
                let LoginPacket::Login(login) = LoginPacket::decode(payload)? else {
                    panic!("a capture must not use TLS");
                };
                assert_eq!(login.encode(), payload, "{login:?}");
                let offered = self.capabilities.expect("a greeting came first");
                self.capabilities = Some(login.capabilities.intersection(offered));
                self.login = Some(login);
            }
            self.client.drain(..len);
        }
        if self.stream.is_idle() {
            match self.owed.take() {
                Some(Owed::File) => self.stream.expect_file(),
                Some(Owed::Packet) => self.stream.expect_packet(),
                None => {}
            }
        }
        loop {
            match self.stream.step(&self.client) {
                CommandStep::Incomplete => return Ok(()),
                CommandStep::Pass { len, .. } => drop(self.client.drain(..len)),
                CommandStep::Start { command, .. } => {
                    let capabilities = self.capabilities.expect("logged in");
                    if command.has_reply() {
                        let tracker = ReplyTracker::new(command, capabilities);
                        self.waiting.push_back((command, tracker));
                    }
                }
            }
        }
    }

    fn server_spoke(&mut self) -> Result<(), Violation> {
        while !self.logged_in {
            let Some((_, payload)) = packet::whole(&self.server, MAX_PAYLOAD)? else {
                return Ok(());
            };
            let len = HEADER_LEN + payload.len();
            match (self.capabilities, payload.first()) {
                (None, _) => {
                    let FirstPacket::Greeting(greeting) = FirstPacket::decode(payload)? else {
                        return Ok(());
                    };
                    assert_eq!(greeting.encode(), payload, "{greeting:?}");
                    self.capabilities = Some(greeting.capabilities);
                }
                (Some(capabilities), Some(0x00)) => {
                    self.changes(payload, capabilities)?;
                    self.logged_in = true;
                }
                _ => {}
            }
            self.server.drain(..len);
        }
        while let Some((command, tracker)) = self.waiting.front_mut() {
            let command = *command;
            let step = tracker.step(&self.server)?;
            let (results, done) = (tracker.results(), tracker.is_done());
            let packet: Vec<u8> = self.server.drain(..step.covered()).collect();
            let payload = packet.get(HEADER_LEN..).unwrap_or_default();
            let (mut changes, mut error) = (0, None);
            match step {
                ReplyStep::Incomplete => return Ok(()),
                ReplyStep::AuthExchange { .. } => self.owed = Some(Owed::Packet),
                ReplyStep::LocalInfile { .. } => self.owed = Some(Owed::File),
                ReplyStep::Ok { state_changed, .. } => {
                    changes = self.changes(payload, self.capabilities.expect("logged in"))?;
                    assert_eq!(changes > 0, state_changed && changes > 0);
                }
                ReplyStep::Err { code, .. } => {
                    let err = ErrPacket::decode(payload)?;
                    assert_eq!(err.encode(), payload, "{err}");
                    error = Some(code);
                }
                _ => {}
            }
            let front = self.replies.last_mut().filter(|reply| reply.results == u64::MAX);
            let reply = match front {
                Some(reply) => reply,
                None => {
                    let open = u64::MAX;
                    self.replies.push(Reply {
                        command,
                        results: open,
                        error,
                        changes: 0,
                        bytes: 0,
                    });
                    self.replies.last_mut().expect("just pushed")
                }
            };
            reply.bytes += packet.len() as u64;
            reply.changes += changes;
            reply.error = error;
            if done {
                reply.results = results;
                self.waiting.pop_front();
            }
        }
        if self.server.is_empty() || self.server.get(HEADER_LEN) == Some(&0xFF) {
            // A server that ends the connection says why without being asked.
            return Ok(());
        }
        if self.server.len() <= HEADER_LEN { Ok(()) } else { Err(Violation::Unsolicited) }
    }

    /// How many changes an OK reports; written back it must be the same packet.
    fn changes(&self, payload: &[u8], capabilities: Capabilities) -> Result<usize, Violation> {
        let ok = OkPacket::decode(payload, capabilities)?;
        if capabilities.contains(Capabilities::SESSION_TRACK) {
            assert_eq!(ok.encode(capabilities), payload, "{ok:?}");
        }
        session_state::changes(ok.session_state)
            .try_fold(0, |count, change| change.map(|_| count + 1))
    }
}
