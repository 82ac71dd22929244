//! A connection of a client that sees every packet.

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use ido_proxy_protocol::auth::client::{ClientLoginStep, Login as Handshake, Request};
use ido_proxy_protocol::auth::native;
use ido_proxy_protocol::auth::switch::AuthSwitchRequest;
use ido_proxy_protocol::capabilities::Capabilities;
use ido_proxy_protocol::eof::EOF;
use ido_proxy_protocol::err::ERR;
use ido_proxy_protocol::packet::{self, HEADER_LEN, Header};
use ido_proxy_protocol::status::StatusFlags;
use tokio::io::{AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};

use crate::packet::{Packet, take_lenenc};
use crate::program::{Flag, Login};

/// An account, and where it logs in.
#[derive(Clone, Debug)]
pub(crate) struct Account {
    pub(crate) server: SocketAddr,
    pub(crate) user: String,
    pub(crate) password: String,
    /// Time after which a client that has no answer takes that for silence.
    pub(crate) patience: Duration,
}

/// A connection that is logged in.
#[derive(Debug)]
pub(crate) struct Wire {
    stream: BufReader<TcpStream>,
    account: Account,
    scramble: [u8; 20],
    pub(crate) capabilities: Capabilities,
    /// The connection's number, as the server greeted.
    pub(crate) id: u32,
    /// The sequence id that the next packet must have.
    expected: u8,
    neutral: Neutral,
}

/// Replaces the name of a side's database by one that both sides share.
#[derive(Clone, Debug)]
pub(crate) struct Neutral {
    pub(crate) own: Vec<u8>,
    pub(crate) shared: Vec<u8>,
    /// The number of the run, which becomes zeros where it follows the name.
    pub(crate) run: Vec<u8>,
}

/// A new connection. The ports of many short connections are all in use at times, and free again a moment later.
async fn connected(server: SocketAddr) -> Option<TcpStream> {
    let until = Instant::now() + PATIENCE;
    loop {
        match timeout(PATIENCE, TcpStream::connect(server)).await {
            Ok(Ok(stream)) => return Some(stream),
            Ok(Err(error)) if error.kind() == ErrorKind::AddrNotAvailable => {}
            _ => return None,
        }
        if Instant::now() > until {
            return None;
        }
        sleep(Duration::from_millis(100)).await;
    }
}

/// Why nothing more comes.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Gone {
    Closed,
    Silent,
}

impl Gone {
    /// How a transcript tells it.
    pub(crate) fn packet(self) -> Packet {
        match self {
            Self::Closed => Packet::bare("closed"),
            Self::Silent => Packet::bare("silence"),
        }
    }
}

/// Shape of the answer to a command.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Shape {
    /// One packet that is not compared, but for an error.
    Bare,
    /// Definitions until an end, without a count.
    Fields,
    /// The rows of a cursor.
    Fetched,
    /// The answer to a COM_STMT_PREPARE.
    Prepared,
    /// Results, with rows of the text protocol or of the binary one.
    Results { binary: bool },
    /// The answer to a COM_CHANGE_USER.
    Login,
}

impl Wire {
    /// Connects and logs in. The packets are what the login said.
    pub(crate) async fn log_in(
        account: &Account,
        login: &Login,
        database: &str,
        neutral: &Neutral,
    ) -> (Option<Self>, Vec<Packet>) {
        let Some(stream) = connected(account.server).await else {
            return (None, vec![Packet::bare("unreachable")]);
        };
        let _ = stream.set_nodelay(true);
        let mut wire = Self {
            stream: BufReader::with_capacity(16 << 10, stream),
            account: account.clone(),
            scramble: [0; 20],
            capabilities: Capabilities::empty(),
            id: 0,
            expected: 0,
            neutral: neutral.clone(),
        };
        let mut handshake = Handshake::new(Request {
            user: account.user.clone().into(),
            password: account.password.clone().into(),
            database: login.database.then(|| database.into()),
            collation: login.collation,
            wanted: wanted(login),
            max_packet: 1 << 24,
            ..Request::default()
        });
        let mut seen = Vec::new();
        loop {
            let (sequence, payload) = match wire.packet(&mut seen).await {
                Ok(packet) => packet,
                Err(gone) => {
                    seen.push(gone.packet());
                    return (None, seen);
                }
            };
            let step = handshake.on_packet(sequence, &payload);
            if let (true, Some(greeting)) = (seen.is_empty(), handshake.greeting()) {
                wire.scramble = greeting.scramble;
                wire.id = greeting.connection_id;
                wire.capabilities = handshake.capabilities();
                seen.push(Packet {
                    kind: "greeting",
                    fields: vec![
                        ("version", greeting.version().to_string()),
                        ("capabilities", capabilities(greeting.capabilities)),
                        ("collation", greeting.collation.to_string()),
                        ("status", format!("{:?}", greeting.status)),
                        ("plugin", greeting.auth_plugin.to_string()),
                    ],
                    ends: false,
                });
            }
            match step {
                Ok(ClientLoginStep::Send(bytes)) => {
                    wire.expected = bytes.get(3).copied().unwrap_or_default().wrapping_add(1);
                    let _ = wire.stream.write_all(&bytes).await;
                }
                Ok(ClientLoginStep::Done(ok)) => {
                    let ok = wire.neutral.applied(ok);
                    seen.push(Packet::ok(&ok, wire.capabilities).0);
                    return (Some(wire), seen);
                }
                Ok(ClientLoginStep::Failed(error)) => {
                    let payload = wire.neutral.applied(error.encode());
                    seen.push(Packet::error(&payload));
                    return (None, seen);
                }
                Ok(ClientLoginStep::Wait | ClientLoginStep::StartTls(_)) => {}
                Err(violation) => {
                    seen.push(Packet::with("violation", "what", violation));
                    return (None, seen);
                }
            }
        }
    }

    /// Sends one command.
    pub(crate) async fn send(&mut self, payload: &[u8]) {
        let mut bytes = Vec::with_capacity(payload.len() + HEADER_LEN);
        packet::frame(payload, 0, &mut bytes);
        self.send_raw(&bytes).await;
    }

    /// Sends packets as they are.
    pub(crate) async fn send_raw(&mut self, bytes: &[u8]) {
        // A connection that is closed says so when it is read.
        let _ = self.stream.write_all(bytes).await;
    }

    /// Ends the conversation, and waits for the other side to close.
    pub(crate) async fn quit(mut self) {
        self.send(&[COM_QUIT]).await;
        let mut rest = Vec::new();
        let _ = timeout(PATIENCE, self.stream.read_to_end(&mut rest)).await;
    }

    /// The payload of a COM_CHANGE_USER to the same account.
    pub(crate) fn change_user(&self, database: &str, collation: u8) -> Vec<u8> {
        let proof = native::scramble(self.account.password.as_bytes(), &self.scramble);
        let mut out = vec![COM_CHANGE_USER];
        out.extend_from_slice(self.account.user.as_bytes());
        out.push(0);
        out.push(proof.len() as u8);
        out.extend_from_slice(&proof);
        out.extend_from_slice(database.as_bytes());
        out.push(0);
        out.extend_from_slice(&u16::from(collation).to_le_bytes());
        out.extend_from_slice(b"mysql_native_password\0");
        out
    }

    /// Reads the answer to a command.
    pub(crate) async fn answer(&mut self, shape: Shape) -> (Vec<Packet>, Option<u32>) {
        let mut seen = Vec::new();
        self.expected = 1;
        let ended = match shape {
            Shape::Bare => self.packet(&mut seen).await.map(|(_, payload)| {
                seen.extend((payload.first() == Some(&ERR)).then(|| Packet::error(&payload)));
                None
            }),
            Shape::Fields => self.fields(&mut seen).await.map(|()| None),
            Shape::Fetched => self.rows(true, &mut seen).await.map(|_| None),
            Shape::Prepared => self.prepared(&mut seen).await,
            Shape::Results { binary } => self.results(binary, &mut seen).await.map(|()| None),
            Shape::Login => self.again(&mut seen).await.map(|()| None),
        };
        match ended {
            Ok(prepared) => (seen, prepared),
            Err(gone) => {
                seen.push(gone.packet());
                (seen, None)
            }
        }
    }

    async fn results(&mut self, binary: bool, seen: &mut Vec<Packet>) -> Result<(), Gone> {
        loop {
            let (_, payload) = self.packet(seen).await?;
            let status = match payload.first() {
                Some(&ERR) => {
                    seen.push(Packet::error(&payload));
                    return Ok(());
                }
                Some(&FILE) => self.file(&payload, seen).await?,
                Some(&EOF) => {
                    // COM_SET_OPTION has no other end, and no result that many columns.
                    let (packet, status) = self.end(&payload);
                    seen.push(Packet { ends: true, ..packet });
                    status
                }
                Some(0) => {
                    let (packet, status) = Packet::ok(&payload, self.capabilities);
                    seen.push(packet);
                    status
                }
                _ => self.result_set(&payload, binary, seen).await?,
            };
            if !status.contains(StatusFlags::MORE_RESULTS) {
                return Ok(());
            }
        }
    }

    async fn result_set(
        &mut self,
        payload: &[u8],
        binary: bool,
        seen: &mut Vec<Packet>,
    ) -> Result<StatusFlags, Gone> {
        let mut rest = payload;
        let Some(count) = take_lenenc(&mut rest) else {
            seen.push(Packet::malformed(payload));
            return Ok(StatusFlags::empty());
        };
        let cached = self.capabilities.contains(Capabilities::CACHE_METADATA);
        let follow = !cached || rest.first() != Some(&0);
        let fields = vec![("count", count.to_string()), ("follow", follow.to_string())];
        seen.push(Packet { kind: "columns", fields, ends: false });
        if follow {
            self.columns(count, seen).await?;
        }
        if !self.capabilities.contains(Capabilities::DEPRECATE_EOF) {
            let (_, payload) = self.packet(seen).await?;
            if payload.first() == Some(&ERR) {
                seen.push(Packet::error(&payload));
                return Ok(StatusFlags::empty());
            }
            let (packet, status) = self.end(&payload);
            let ends = status.contains(StatusFlags::CURSOR_EXISTS);
            seen.push(Packet { ends, ..packet });
            if ends {
                return Ok(status);
            }
        }
        self.rows(binary, seen).await
    }

    async fn rows(&mut self, binary: bool, seen: &mut Vec<Packet>) -> Result<StatusFlags, Gone> {
        loop {
            let (_, payload) = self.packet(seen).await?;
            if payload.first() == Some(&ERR) {
                seen.push(Packet::error(&payload));
                return Ok(StatusFlags::empty());
            }
            if self.is_end(&payload) {
                let (packet, status) = self.end(&payload);
                seen.push(Packet { ends: true, ..packet });
                return Ok(status);
            }
            seen.push(if binary {
                Packet::binary_row(&payload)
            } else {
                Packet::text_row(&payload)
            });
        }
    }

    async fn prepared(&mut self, seen: &mut Vec<Packet>) -> Result<Option<u32>, Gone> {
        let (_, payload) = self.packet(seen).await?;
        let [0, i0, i1, i2, i3, c0, c1, p0, p1, _, w0, w1, ..] = payload[..] else {
            seen.push(Packet::error(&payload));
            return Ok(None);
        };
        let id = u32::from_le_bytes([i0, i1, i2, i3]);
        let [columns, parameters, warnings] =
            [[c0, c1], [p0, p1], [w0, w1]].map(u16::from_le_bytes);
        let fields = vec![
            ("columns", columns.to_string()),
            ("parameters", parameters.to_string()),
            ("warnings", warnings.to_string()),
        ];
        seen.push(Packet { kind: "prepared", fields, ends: false });
        for count in [parameters, columns] {
            self.columns(u64::from(count), seen).await?;
            if count > 0 && !self.capabilities.contains(Capabilities::DEPRECATE_EOF) {
                let (_, payload) = self.packet(seen).await?;
                seen.push(self.end(&payload).0);
            }
        }
        Ok(Some(id))
    }

    async fn columns(&mut self, count: u64, seen: &mut Vec<Packet>) -> Result<(), Gone> {
        let extended = self.capabilities.contains(Capabilities::EXTENDED_METADATA);
        for _ in 0..count {
            let (_, payload) = self.packet(seen).await?;
            seen.push(Packet::column(&payload, extended));
        }
        Ok(())
    }

    async fn fields(&mut self, seen: &mut Vec<Packet>) -> Result<(), Gone> {
        let extended = self.capabilities.contains(Capabilities::EXTENDED_METADATA);
        loop {
            let (_, payload) = self.packet(seen).await?;
            if payload.first() == Some(&ERR) {
                seen.push(Packet::error(&payload));
                return Ok(());
            }
            if self.is_end(&payload) {
                seen.push(self.end(&payload).0);
                return Ok(());
            }
            seen.push(Packet::column(&payload, extended));
        }
    }

    /// Answers a wish for a file with two lines and the empty packet behind them.
    async fn file(&mut self, payload: &[u8], seen: &mut Vec<Packet>) -> Result<StatusFlags, Gone> {
        seen.push(Packet::with("file", "name", payload[1..].escape_ascii()));
        let mut bytes = Vec::new();
        let next = packet::frame(FILE_CONTENT, self.expected, &mut bytes);
        self.expected = packet::frame(b"", next, &mut bytes);
        self.send_raw(&bytes).await;
        // The result of the statement follows.
        Ok(StatusFlags::MORE_RESULTS)
    }

    async fn again(&mut self, seen: &mut Vec<Packet>) -> Result<(), Gone> {
        loop {
            let (sequence, payload) = self.packet(seen).await?;
            match payload.first() {
                Some(&EOF) => {
                    let switch = AuthSwitchRequest::decode(&payload);
                    let scramble = switch.and_then(|switch| switch.scramble());
                    let scramble = scramble.unwrap_or(self.scramble);
                    let proof = native::scramble(self.account.password.as_bytes(), &scramble);
                    let mut bytes = Vec::new();
                    self.expected = packet::frame(&proof, sequence.wrapping_add(1), &mut bytes);
                    self.send_raw(&bytes).await;
                }
                Some(&ERR) => {
                    seen.push(Packet::error(&payload));
                    return Ok(());
                }
                _ => {
                    seen.push(Packet::ok(&payload, self.capabilities).0);
                    return Ok(());
                }
            }
        }
    }

    fn is_end(&self, payload: &[u8]) -> bool {
        let deprecated = self.capabilities.contains(Capabilities::DEPRECATE_EOF);
        let limit = if deprecated { packet::MAX_PAYLOAD } else { 9 };
        payload.first() == Some(&EOF) && payload.len() < limit
    }

    fn end(&self, payload: &[u8]) -> (Packet, StatusFlags) {
        let deprecated = self.capabilities.contains(Capabilities::DEPRECATE_EOF);
        if deprecated && payload.len() > 5 {
            Packet::ok(payload, self.capabilities)
        } else {
            Packet::eof(payload)
        }
    }

    /// One packet, in neutral names. A sequence id that is out of order is told.
    async fn packet(&mut self, seen: &mut Vec<Packet>) -> Result<(u8, Vec<u8>), Gone> {
        let read = timeout(self.account.patience, self.read()).await;
        let (sequence, payload) = read.map_err(|_| Gone::Silent)?.map_err(|_| Gone::Closed)?;
        if sequence != self.expected {
            let text = format!("{sequence} in place of {}", self.expected);
            seen.push(Packet::with("sequence", "id", text));
        }
        self.expected = sequence.wrapping_add(1);
        Ok((sequence, self.neutral.applied(payload)))
    }

    async fn read(&mut self) -> std::io::Result<(u8, Vec<u8>)> {
        let mut whole = Vec::new();
        loop {
            let mut header = [0; HEADER_LEN];
            self.stream.read_exact(&mut header).await?;
            let header = Header::parse(&header).ok_or(ErrorKind::InvalidData)?;
            let start = whole.len();
            whole.resize(start + header.payload_len, 0);
            self.stream.read_exact(&mut whole[start..]).await?;
            if header.payload_len < packet::MAX_PAYLOAD {
                return Ok((header.sequence, whole));
            }
        }
    }
}

impl Neutral {
    fn applied(&self, mut payload: Vec<u8>) -> Vec<u8> {
        let len = self.own.len();
        let mut at = 0;
        while at + len <= payload.len() {
            if payload[at..at + len] == self.own[..] {
                payload[at..at + len].copy_from_slice(&self.shared);
                at += len;
                if payload[at..].starts_with(&self.run) {
                    payload[at..at + self.run.len()].fill(b'0');
                }
            } else {
                at += 1;
            }
        }
        self.apply_to_cut_name(&mut payload);
        payload
    }

    /// A message may quote the beginning of the name alone.
    fn apply_to_cut_name(&self, payload: &mut [u8]) {
        let same =
            self.own.iter().zip(&self.shared).take_while(|(own, shared)| own == shared).count();
        for len in same + 1..self.own.len() {
            let cut = [&self.own[..len], b"..."].concat();
            if let Some(at) = payload.windows(cut.len()).position(|window| window == cut) {
                payload[at..at + len].copy_from_slice(&self.shared[..len]);
            }
        }
    }
}

/// Capabilities that a server offers, without those that the proxy never agrees on.
fn capabilities(offered: Capabilities) -> String {
    let left_out = Capabilities::NOT_FOLLOWED | Capabilities::SSL | Capabilities::PROGRESS;
    format!("{:?}", offered.difference(left_out))
}

fn wanted(login: &Login) -> Capabilities {
    let all = Capabilities::LONG_FLAG
        | Capabilities::LOCAL_FILES
        | Capabilities::MULTI_RESULTS
        | Capabilities::PS_MULTI_RESULTS;
    login.flags.iter().fold(all, |all, flag| all | capability(*flag))
}

fn capability(flag: Flag) -> Capabilities {
    match flag {
        Flag::Bulk => Capabilities::STMT_BULK,
        Flag::CacheMetadata => Capabilities::CACHE_METADATA,
        Flag::DeprecateEof => Capabilities::DEPRECATE_EOF,
        Flag::ExtendedMetadata => Capabilities::EXTENDED_METADATA,
        Flag::FoundRows => Capabilities::FOUND_ROWS,
        Flag::IgnoreSpace => Capabilities::IGNORE_SPACE,
        Flag::MultiStatements => Capabilities::MULTI_STATEMENTS,
        Flag::NoSchema => Capabilities::NO_SCHEMA,
        Flag::SessionTrack => Capabilities::SESSION_TRACK,
    }
}

/// Patience of a client whose server is not killed.
pub(crate) const PATIENCE: Duration = Duration::from_secs(5);

const COM_QUIT: u8 = 0x01;
const COM_CHANGE_USER: u8 = 0x11;

/// A wish for a file, LOAD DATA LOCAL.
const FILE: u8 = 0xFB;

/// Content of every file.
const FILE_CONTENT: &[u8] = b"71\tone\n72\ttwo\n";
