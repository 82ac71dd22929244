//! Filter that makes a client's bytes fit for opensrv-mysql.
//!
//! opensrv-mysql 0.7 panics on some sequence ids, keeps packets of any length in memory, and drops the connection
//! at a text that is not UTF-8. To commands that it does not know, such as a change of the user, it answers OK.
//! So opensrv-mysql reads from here, one packet at a time. None is longer than [`LIMIT`], all are in order, and
//! their text is UTF-8. The gate replaces each command that opensrv-mysql would mistake by one that the
//! [`Shim`](super::shim::Shim) refuses.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use ido_proxy_protocol::Violation;
use ido_proxy_protocol::command::Command;
use ido_proxy_protocol::packet;
use tokio::io::{AsyncRead, ReadBuf};

/// Reads whole packets from `R` and gives them on, one at a time. What violates the protocol is an
/// error of the kind `InvalidData`.
#[derive(Debug)]
pub(super) struct Gate<R> {
    reader: R,
    phase: Phase,
    /// Read, not yet looked at.
    received: Vec<u8>,
    /// One packet that may go on, from `given` on.
    packet: Vec<u8>,
    given: usize,
}

/// Packets that may come next.
#[derive(Clone, Copy, Debug)]
enum Phase {
    /// A packet of the login, with this sequence id.
    Login(u8),
    /// A command, with the sequence id 0; the first one ends the login.
    Commands,
}

impl<R> Gate<R> {
    /// A gate before a client that was just accepted.
    pub(super) fn new(reader: R) -> Self {
        Self { reader, phase: Phase::Login(1), received: Vec::new(), packet: Vec::new(), given: 0 }
    }

    /// Moves the next whole packet, if it is there, from `received` to `packet`.
    fn admit(&mut self) -> Result<bool, Refused> {
        let Some((header, payload)) = packet::whole(&self.received, LIMIT)? else {
            return Ok(false);
        };
        let payload = match self.phase {
            _ if header.sequence == 0 => {
                self.phase = Phase::Commands;
                command(payload)
            }
            Phase::Login(expected) if header.sequence == expected => {
                // The server's packet in between takes the id that follows.
                self.phase = Phase::Login(expected.wrapping_add(2));
                payload.to_vec()
            }
            Phase::Login(_) | Phase::Commands => return Err(Refused::Sequence(header.sequence)),
        };
        let consumed = packet::HEADER_LEN + header.payload_len;
        self.packet.clear();
        packet::frame(&payload, header.sequence, &mut self.packet);
        self.given = 0;
        self.received.drain(..consumed);
        Ok(true)
    }
}

impl<R: AsyncRead + Unpin> AsyncRead for Gate<R> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        while this.given == this.packet.len() {
            if this.admit().map_err(io::Error::from)? {
                break;
            }
            let mut chunk = [0; CHUNK];
            let mut chunk = ReadBuf::new(&mut chunk);
            ready!(Pin::new(&mut this.reader).poll_read(cx, &mut chunk))?;
            if chunk.filled().is_empty() {
                return Poll::Ready(Ok(()));
            }
            this.received.extend_from_slice(chunk.filled());
        }
        let rest = this.packet.get(this.given..).unwrap_or_default();
        let count = rest.len().min(buf.remaining());
        buf.put_slice(&rest[..count]);
        this.given += count;
        Poll::Ready(Ok(()))
    }
}

/// The payload that opensrv-mysql gets in place of `payload`.
fn command(payload: &[u8]) -> Vec<u8> {
    let Some((&byte, text)) = payload.split_first() else {
        return vec![REFUSED_COMMAND];
    };
    match Command::from_byte(byte) {
        Command::InitDb | Command::Query | Command::StmtPrepare => {
            let mut payload = vec![byte];
            payload.extend_from_slice(String::from_utf8_lossy(text).as_bytes());
            payload
        }
        // Answered truly; of the last three, OK is the true answer, as there is nothing to reset.
        Command::FieldList
        | Command::Ping
        | Command::Quit
        | Command::ResetConnection
        | Command::SetOption
        | Command::StmtClose => payload.to_vec(),
        _ => vec![REFUSED_COMMAND],
    }
}

/// Violation of the protocol by a client.
#[derive(Debug, thiserror::Error)]
enum Refused {
    #[error(transparent)]
    Packet(#[from] Violation),
    #[error("a packet with the sequence id {0} is out of order")]
    Sequence(u8),
}

impl From<Refused> for io::Error {
    fn from(refused: Refused) -> Self {
        Self::new(io::ErrorKind::InvalidData, refused)
    }
}

/// The longest packet, in bytes: far more than any command of the console.
const LIMIT: usize = 0x1_0000;
const CHUNK: usize = 0x1000;
/// COM_STMT_PREPARE of an empty text, which the shim answers with "unknown command".
const REFUSED_COMMAND: u8 = 0x16;

#[cfg(test)]
mod tests;
