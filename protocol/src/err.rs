//! ERR packets, and MariaDB's progress reports, which look like them.
//!
//! Source: MariaDB documentation, "ERR_Packet".

use std::fmt::{self, Write};

use crate::violation::Violation;
use crate::wire::Reader;

/// The first byte of an ERR packet.
pub const ERR: u8 = 0xFF;

/// The code of a progress report, which is not an error.
pub const PROGRESS_REPORT: u16 = 0xFFFF;

/// Why a command or a login failed.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ErrPacket {
    /// The number of the error, such as 1213.
    pub code: u16,
    /// The SQLSTATE, such as `40001`. Errors before login may come without one and then read as
    /// `HY000`.
    pub sql_state: [u8; 5],
    /// The text, in the character set of the connection.
    pub message: Vec<u8>,
}

impl ErrPacket {
    /// An error with this code, SQLSTATE and text.
    pub fn new(code: u16, sql_state: [u8; 5], message: impl Into<Vec<u8>>) -> Self {
        Self { code, sql_state, message: message.into() }
    }

    /// Reads a payload that begins with [`ERR`], with or without an SQLSTATE.
    pub fn decode(payload: &[u8]) -> Result<Self, Violation> {
        let mut reader = Reader::new(payload, "ERR packet");
        match reader.u8()? {
            ERR => {}
            got => return Err(Violation::Unexpected { expected: "an ERR packet", got }),
        }
        let code = reader.u16()?;
        let sql_state = if reader.peek() == Some(STATE_MARKER) {
            reader.u8()?;
            reader.array()?
        } else {
            *UNKNOWN_STATE
        };
        Ok(Self { code, sql_state, message: reader.rest().to_vec() })
    }

    /// The payload with the SQLSTATE.
    pub fn encode(&self) -> Vec<u8> {
        self.payload(Some(self.sql_state))
    }

    /// The payload without the SQLSTATE, as it may be sent in place of a greeting, when the client
    /// has not yet said that it knows SQLSTATEs.
    pub fn encode_without_state(&self) -> Vec<u8> {
        self.payload(None)
    }

    fn payload(&self, sql_state: Option<[u8; 5]>) -> Vec<u8> {
        let mut out = Vec::with_capacity(9 + self.message.len());
        out.push(ERR);
        out.extend_from_slice(&self.code.to_le_bytes());
        if let Some(sql_state) = sql_state {
            out.push(STATE_MARKER);
            out.extend_from_slice(&sql_state);
        }
        out.extend_from_slice(&self.message);
        out
    }
}

/// Text as the `mariadb` prompt shows it, on one line of bounded length. Messages quote what clients sent, and
/// a name with a line break in it must not forge lines of a log.
impl fmt::Display for ErrPacket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = String::from_utf8_lossy(&self.sql_state);
        let message = String::from_utf8_lossy(&self.message);
        write!(f, "ERROR {} (", self.code)?;
        state.chars().try_for_each(|c| show(c, f))?;
        f.write_str("): ")?;
        message.chars().take(SHOWN).try_for_each(|c| show(c, f))?;
        if message.chars().nth(SHOWN).is_some() { f.write_char('…') } else { Ok(()) }
    }
}

fn show(c: char, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    if c.is_control() { write!(f, "{}", c.escape_default()) } else { f.write_char(c) }
}

impl std::error::Error for ErrPacket {}

/// Whether the payload is a progress report. Only a connection with
/// [`PROGRESS`](crate::capabilities::Capabilities::PROGRESS) has them.
pub fn is_progress_report(payload: &[u8]) -> bool {
    payload.starts_with(&[ERR, 0xFF, 0xFF])
}

const STATE_MARKER: u8 = b'#';

/// How many characters of a message are shown. The server's own longest are 512 bytes
/// (`MYSQL_ERRMSG_SIZE`).
const SHOWN: usize = 512;

/// "General error".
const UNKNOWN_STATE: &[u8; 5] = b"HY000";

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn errors_of_a_server_read_as_the_server_meant_them() {
        let err =
            ErrPacket::decode(b"\xff\x7a\x04#42S02Table 'a.b' doesn't exist").expect("an ERR");
        assert_eq!(err, ErrPacket::new(1146, *b"42S02", "Table 'a.b' doesn't exist"));
        assert_eq!(err.to_string(), "ERROR 1146 (42S02): Table 'a.b' doesn't exist");

        let early = ErrPacket::decode(b"\xff\x69\x04Host 'h' is blocked").expect("an ERR");
        assert_eq!(early, ErrPacket::new(1129, *b"HY000", "Host 'h' is blocked"));
        assert_eq!(early.encode_without_state(), b"\xff\x69\x04Host 'h' is blocked");
    }

    #[test]
    fn what_clients_sent_stays_on_one_line() {
        let show = |message: &str| ErrPacket::new(1045, *b"28\n00", message).to_string();
        assert_eq!(show("for 'a\nb\u{1b}[0m'"), "ERROR 1045 (28\\n00): for 'a\\nb\\u{1b}[0m'");
        assert_eq!(show(&"é".repeat(512)), format!("ERROR 1045 (28\\n00): {}", "é".repeat(512)));
        assert!(show(&"x".repeat(60_000)).ends_with("xx…"));
        assert!(show(&"x".repeat(60_000)).len() < 600);
    }

    #[test]
    fn a_progress_report_is_not_an_error() {
        assert!(is_progress_report(b"\xff\xff\xff\x01\x01\x02\x10\x27\x00\x05stage"));
        assert!(!is_progress_report(b"\xff\x7a\x04#42S02x"));
    }

    proptest! {
        #[test]
        fn errors_round_trip(code: u16, sql_state: [u8; 5], message: Vec<u8>) {
            let err = ErrPacket { code, sql_state, message };
            let payload = err.encode();
            for end in 0..9 {
                // Cut inside the fixed part it is an error or one without a state, never a panic.
                let _ = ErrPacket::decode(&payload[..end]);
            }
            prop_assert_eq!(ErrPacket::decode(&payload), Ok(err));
        }
    }
}
