//! The client that measures: one blocking connection, commands encoded beforehand, replies read by
//! their packet headers into one buffer. Nothing is allocated between two readings of the clock.

mod command;
mod replies;

use std::fmt;
use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::time::Duration;

use ido_proxy_protocol::auth::client::{ClientLoginStep, Login, Request};
use ido_proxy_protocol::capabilities::Capabilities;
use ido_proxy_protocol::packet::{self, HEADER_LEN};
use lab::galera::{ICINGA_DATABASE, ICINGA_PASSWORD, ICINGA_USER};

pub(crate) use self::command::{Value, execute, prepare, query, set_statement};
pub(crate) use self::replies::Reply;
use self::replies::{Replies, Taken, prepared};
use crate::error::{BenchError, Context, Result};

/// Where a server or a proxy listens.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Endpoint {
    /// An address; the client sets TCP_NODELAY.
    Tcp(SocketAddr),
    /// The path of a Unix socket.
    Unix(PathBuf),
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => address.fmt(f),
            Self::Unix(path) => path.display().fmt(f),
        }
    }
}

/// One connection, logged in as Icinga is: its account, database, flags and character set.
pub(crate) struct Client {
    stream: Stream,
    endpoint: Endpoint,
    buffer: Vec<u8>,
    /// `buffer[start..end]` was read and not used, `0 <= start <= end <= buffer.len()`.
    start: usize,
    end: usize,
}

impl Client {
    /// Connects and logs in.
    ///
    /// # Errors
    /// When nobody listens, the login is refused, or either takes longer than [`PATIENCE`].
    pub(crate) fn connect(endpoint: &Endpoint) -> Result<Self> {
        Self::connect_with(endpoint, AS_ICINGA, BUFFER, |_| Ok(()))
    }

    /// Connects as [`Client::connect`] with a smaller buffer, for clients that come in thousands.
    ///
    /// # Errors
    /// Those of [`Client::connect`].
    pub(crate) fn connect_idle(endpoint: &Endpoint) -> Result<Self> {
        Self::connect_with(endpoint, AS_ICINGA, SMALL_BUFFER, |_| Ok(()))
    }

    /// Connects as most clients do: with one statement in a command.
    ///
    /// # Errors
    /// Those of [`Client::connect`].
    pub(crate) fn connect_single(endpoint: &Endpoint) -> Result<Self> {
        let single = AS_ICINGA.difference(Capabilities::MULTI_STATEMENTS);
        Self::connect_with(endpoint, single, BUFFER, |_| Ok(()))
    }

    /// Connects a client that another thread may have to end. `hand_over` gets the means to end it,
    /// before the login.
    ///
    /// # Errors
    /// Those of [`Client::connect`].
    pub(crate) fn connect_tied(
        endpoint: &Endpoint,
        hand_over: impl FnOnce(Cutter),
    ) -> Result<Self> {
        Self::connect_with(endpoint, AS_ICINGA, SMALL_BUFFER, |stream| {
            hand_over(Cutter(stream.try_clone()?));
            Ok(())
        })
    }

    /// Sends one command (see [`query`]) and reads its reply to the last byte.
    ///
    /// # Errors
    /// When the connection is lost, or the reply has an error in it.
    pub(crate) fn run(&mut self, command: &[u8]) -> Result<Reply> {
        let sent = self.stream.write_all(command);
        sent.map_err(|source| self.failed("sending", source))?;
        let mut replies = Replies::new();
        loop {
            match replies.take(&self.buffer[self.start..self.end]) {
                Taken::Done(used, reply) => {
                    self.used(used);
                    return Ok(reply);
                }
                Taken::More(used) => {
                    self.used(used);
                    self.read()?;
                }
                Taken::Failed(why) => {
                    return Err(BenchError::Refused(format!("{}: {why}", self.endpoint)));
                }
            }
        }
    }

    /// Prepares a statement (see [`prepare`]) and returns its id.
    ///
    /// # Errors
    /// When the connection is lost, or the statement is refused.
    pub(crate) fn prepare(&mut self, command: &[u8]) -> Result<u32> {
        let sent = self.stream.write_all(command);
        sent.map_err(|source| self.failed("sending", source))?;
        let head = self.packet()?;
        let (id, packets) = prepared(&head)
            .map_err(|why| BenchError::Refused(format!("{}: {why}", self.endpoint)))?;
        for _ in 0..packets {
            self.packet()?;
        }
        Ok(id)
    }

    /// The payload of the next packet, which is a small one.
    fn packet(&mut self) -> Result<Vec<u8>> {
        loop {
            let unread = &self.buffer[self.start..self.end];
            let whole = packet::whole(unread, self.buffer.len() - HEADER_LEN);
            let whole = whole.map_err(|why| {
                BenchError::Refused(format!("a packet from {}: {why}", self.endpoint))
            })?;
            if let Some((header, payload)) = whole {
                let payload = payload.to_vec();
                self.used(HEADER_LEN + header.payload_len);
                return Ok(payload);
            }
            self.read()?;
        }
    }

    fn connect_with(
        endpoint: &Endpoint,
        wanted: Capabilities,
        buffer: usize,
        opened: impl FnOnce(&Stream) -> io::Result<()>,
    ) -> Result<Self> {
        let stream = Stream::connect(endpoint).and_then(|stream| {
            opened(&stream)?;
            Ok(stream)
        });
        let stream = stream.context(|| format!("connecting to {endpoint}"))?;
        let endpoint = endpoint.clone();
        let mut client = Self { stream, endpoint, buffer: vec![0; buffer], start: 0, end: 0 };
        client.log_in(wanted)?;
        Ok(client)
    }

    fn log_in(&mut self, wanted: Capabilities) -> Result<()> {
        let mut login = Login::new(Request {
            user: ICINGA_USER.into(),
            password: ICINGA_PASSWORD.into(),
            database: Some(ICINGA_DATABASE.into()),
            collation: LATIN1,
            wanted,
            max_packet: 1 << 30,
            attributes: Vec::new(),
        });
        let refused = |endpoint: &Endpoint, why: String| {
            BenchError::Refused(format!("logging in at {endpoint}: {why}"))
        };
        loop {
            let unread = &self.buffer[self.start..self.end];
            let whole = packet::whole(unread, self.buffer.len() - HEADER_LEN);
            let whole = whole.map_err(|why| refused(&self.endpoint, why.to_string()))?;
            let Some((header, payload)) = whole else {
                self.read()?;
                continue;
            };
            let step = login.on_packet(header.sequence, payload);
            let step = step.map_err(|why| refused(&self.endpoint, why.to_string()))?;
            self.used(HEADER_LEN + header.payload_len);
            match step {
                ClientLoginStep::Done(_) => return Ok(()),
                ClientLoginStep::Failed(error) => {
                    return Err(refused(&self.endpoint, format!("{error:?}")));
                }
                ClientLoginStep::Send(bytes) => {
                    let sent = self.stream.write_all(&bytes);
                    sent.map_err(|source| self.failed("logging in", source))?;
                }
                ClientLoginStep::StartTls(_) => {
                    return Err(refused(&self.endpoint, "it wants TLS".into()));
                }
                ClientLoginStep::Wait => {}
            }
        }
    }

    /// Marks `len` bytes of what was read as used.
    fn used(&mut self, len: usize) {
        self.start += len;
        if self.start == self.end {
            (self.start, self.end) = (0, 0);
        }
    }

    fn read(&mut self) -> Result<()> {
        if self.start > 0 {
            // At most the head of one packet is left over.
            self.buffer.copy_within(self.start..self.end, 0);
            (self.start, self.end) = (0, self.end - self.start);
        }
        match self.stream.read(&mut self.buffer[self.end..]) {
            Ok(0) => Err(self.failed("reading", io::ErrorKind::UnexpectedEof.into())),
            Ok(len) => {
                self.end += len;
                Ok(())
            }
            Err(source) => Err(self.failed("reading", source)),
        }
    }

    fn failed(&self, what: &str, source: io::Error) -> BenchError {
        BenchError::Io { what: format!("{what} at {}", self.endpoint), source }
    }
}

/// Ends a connection from another thread, whatever its client waits for.
pub(crate) struct Cutter(Stream);

impl Cutter {
    /// From now on every read and write of the client fails.
    pub(crate) fn cut(&self) {
        // A connection that has ended already is as good.
        let _ = match &self.0 {
            Stream::Tcp(stream) => stream.shutdown(Shutdown::Both),
            Stream::Unix(stream) => stream.shutdown(Shutdown::Both),
        };
    }
}

enum Stream {
    Tcp(TcpStream),
    Unix(UnixStream),
}

impl Stream {
    fn connect(endpoint: &Endpoint) -> io::Result<Self> {
        match endpoint {
            Endpoint::Tcp(address) => {
                let stream = TcpStream::connect_timeout(address, PATIENCE)?;
                stream.set_nodelay(true)?;
                stream.set_read_timeout(Some(PATIENCE))?;
                Ok(Self::Tcp(stream))
            }
            Endpoint::Unix(path) => {
                let stream = UnixStream::connect(path)?;
                stream.set_read_timeout(Some(PATIENCE))?;
                Ok(Self::Unix(stream))
            }
        }
    }

    fn try_clone(&self) -> io::Result<Self> {
        match self {
            Self::Tcp(stream) => stream.try_clone().map(Self::Tcp),
            Self::Unix(stream) => stream.try_clone().map(Self::Unix),
        }
    }

    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(stream) => stream.read(into),
            Self::Unix(stream) => stream.read(into),
        }
    }

    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        match self {
            Self::Tcp(stream) => stream.write_all(bytes),
            Self::Unix(stream) => stream.write_all(bytes),
        }
    }
}

/// Capabilities that MariaDB's client library asks for when Icinga logs in.
const AS_ICINGA: Capabilities = Capabilities::FOUND_ROWS
    .union(Capabilities::LONG_FLAG)
    .union(Capabilities::LOCAL_FILES)
    .union(Capabilities::MULTI_STATEMENTS)
    .union(Capabilities::MULTI_RESULTS)
    .union(Capabilities::PS_MULTI_RESULTS)
    .union(Capabilities::SESSION_TRACK);

/// The collation latin1_swedish_ci, as Icinga has it.
const LATIN1: u8 = 8;

/// Large, so that long results are read in few calls and the client is never the bottleneck.
const BUFFER: usize = 256 << 10;
const SMALL_BUFFER: usize = 4 << 10;

/// An answer later than this is a failure, not a measurement.
const PATIENCE: Duration = Duration::from_secs(120);
