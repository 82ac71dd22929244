//! A client that sends bytes, for what no client library would send.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use ido_proxy_protocol::auth::client::{ClientLoginStep, Login, Request};
use ido_proxy_protocol::capabilities::Capabilities;
use ido_proxy_protocol::err::ErrPacket;
use ido_proxy_protocol::packet::{self, HEADER_LEN, Header};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::error::{Context, LabError, LogTail, Result};

/// A connection that knows nothing of what is said on it.
#[derive(Debug)]
pub struct Raw {
    stream: TcpStream,
}

/// The packet that the other side sent, or the end of the connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Heard {
    /// One packet: its sequence id and payload.
    Packet(u8, Vec<u8>),
    /// The end, in order or by a reset.
    Closed,
}

impl Heard {
    /// The error that it is, if it is one.
    pub fn error(&self) -> Option<ErrPacket> {
        match self {
            Self::Packet(_, payload) => ErrPacket::decode(payload).ok(),
            Self::Closed => None,
        }
    }
}

impl Raw {
    /// Connects and says nothing.
    ///
    /// # Errors
    /// When nobody listens.
    pub async fn connect(server: SocketAddr) -> Result<Self> {
        let stream = TcpStream::connect(server).await;
        let stream = stream.context(|| format!("connecting to {server}"))?;
        Ok(Self { stream })
    }

    /// Connects and logs in.
    ///
    /// # Errors
    /// The login is refused.
    pub async fn log_in(server: SocketAddr, user: &str, password: &str) -> Result<Self> {
        let mut raw = Self::connect(server).await?;
        let mut login = login(user, password);
        loop {
            let Heard::Packet(sequence, payload) = raw.hear().await? else {
                return Err(LabError::Refused(format!("{server} closed during login")));
            };
            let refused = |error: &dyn std::fmt::Display| {
                LabError::Refused(format!("{server} does not let {user} in: {error}"))
            };
            match login.on_packet(sequence, &payload).map_err(|error| refused(&error))? {
                ClientLoginStep::Send(bytes) => raw.say(&bytes).await?,
                ClientLoginStep::Done(_) => return Ok(raw),
                ClientLoginStep::Failed(error) => return Err(refused(&error)),
                ClientLoginStep::StartTls(_) | ClientLoginStep::Wait => {}
            }
        }
    }

    /// Sends bytes as they are.
    ///
    /// # Errors
    /// When the connection is closed.
    pub async fn say(&mut self, bytes: &[u8]) -> Result<()> {
        self.stream.write_all(bytes).await.context(|| "sending bytes".into())
    }

    /// Sends one command, whose first byte names it.
    ///
    /// # Errors
    /// When the connection is closed.
    pub async fn command(&mut self, payload: &[u8]) -> Result<()> {
        let mut bytes = Vec::new();
        packet::frame(payload, 0, &mut bytes);
        self.say(&bytes).await
    }

    /// Waits for a packet or the end, for 10 s.
    ///
    /// # Errors
    /// When neither comes.
    pub async fn hear(&mut self) -> Result<Heard> {
        self.hear_within(PATIENCE).await
    }

    /// Waits for a packet or the end.
    ///
    /// # Errors
    /// When neither comes within `deadline`.
    pub async fn hear_within(&mut self, deadline: Duration) -> Result<Heard> {
        match timeout(deadline, self.read()).await {
            // However it ends: a peer that closes with bytes unread resets the connection.
            Ok(heard) => Ok(heard.unwrap_or(Heard::Closed)),
            Err(_) => Err(silence(deadline)),
        }
    }

    /// Waits for the end, for 10 s, and returns the errors that were said before it.
    ///
    /// # Errors
    /// When the connection stays open.
    pub async fn end(mut self) -> Result<Vec<ErrPacket>> {
        let mut errors = Vec::new();
        loop {
            let heard = self.hear().await?;
            if heard == Heard::Closed {
                return Ok(errors);
            }
            errors.extend(heard.error());
        }
    }

    /// Vanishes: the other side gets a reset, as from a client that was killed.
    ///
    /// # Errors
    /// When the kernel does not know the connection any more.
    pub fn vanish(self) -> Result<()> {
        self.stream.set_zero_linger().context(|| "vanishing".into())
    }

    async fn read(&mut self) -> io::Result<Heard> {
        let mut header = [0; HEADER_LEN];
        self.stream.read_exact(&mut header).await?;
        let header = Header::parse(&header).ok_or(io::ErrorKind::InvalidData)?;
        let mut payload = vec![0; header.payload_len];
        self.stream.read_exact(&mut payload).await?;
        Ok(Heard::Packet(header.sequence, payload))
    }
}

/// A login with the usual capabilities; [`Login::on_packet`] of a greeting makes its bytes.
pub fn login(user: &str, password: &str) -> Login {
    Login::new(Request {
        user: user.into(),
        password: password.into(),
        wanted: Capabilities::PROTOCOL_41
            | Capabilities::SECURE_CONNECTION
            | Capabilities::PLUGIN_AUTH
            | Capabilities::LOCAL_FILES
            | Capabilities::MULTI_STATEMENTS,
        collation: 45,
        max_packet: 1 << 24,
        ..Request::default()
    })
}

fn silence(after: Duration) -> LabError {
    LabError::Deadline {
        what: "a packet or the end".into(),
        after,
        seen: "silence".into(),
        log: LogTail::default(),
    }
}

const PATIENCE: Duration = Duration::from_secs(10);
