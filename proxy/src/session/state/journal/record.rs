//! Record of one command of the open transaction: what was sent, and what the client was told.

use ido_proxy_protocol::Violation;
use ido_proxy_protocol::command::Command;
use ido_proxy_protocol::error_code::{PARSE_ERROR, UNKNOWN_STATEMENT};
use ido_proxy_protocol::ok::OkPacket;

/// One command.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Record<'a> {
    /// Kind of the command.
    pub(crate) command: Command,
    /// When it was sent, in microseconds since 1970, for `NOW()` and its like.
    pub(crate) at: u64,
    /// Where the statements of a batch begin and end in `payload`; empty where it is one.
    pub(crate) bounds: Vec<(u32, u32)>,
    /// Results that the client was told, in order.
    pub(crate) told: Vec<Told>,
    /// Bytes that were sent, without the byte that names the command.
    pub(crate) payload: &'a [u8],
}

/// Result as a client was told of it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Told {
    /// An error.
    Error {
        /// Error number.
        code: u16,
    },
    /// Success without rows.
    Ok {
        /// Rows found or changed.
        affected: u64,
        /// The first id that was generated, or 0.
        id: u64,
    },
    /// Another packet, such as the answer to a COM_STMT_PREPARE.
    Other,
    /// Rows.
    Rows {
        /// Digest of definitions and rows.
        digest: u64,
    },
}

impl Told {
    /// Tells of an OK packet.
    pub(crate) fn ok(packet: &OkPacket<'_>) -> Self {
        Self::Ok { affected: packet.affected_rows, id: packet.last_insert_id }
    }

    /// Whether it is an error that says nothing of the data, and that left nothing behind: the statement waited too long for
    /// a lock, was interrupted, or was never understood. A text of several statements, of a client that may send one, would
    /// be understood in a replay. "The last statement", where there was none, would be one that was prepared since.
    pub(crate) fn says_nothing(self) -> bool {
        let never_done = [PARSE_ERROR, UNKNOWN_STATEMENT];
        matches!(self, Self::Error { code } if never_done.contains(&code) || MOMENTARY.contains(&code))
    }

    /// The id of a row that the statement has inserted. An upsert may tell that of a row which was there.
    pub(crate) fn generated_id(self) -> Option<u64> {
        self.id().filter(|_| matches!(self, Self::Ok { affected: 1.., .. }))
    }

    /// The id that a replay has to bring about again.
    pub(crate) fn id(self) -> Option<u64> {
        match self {
            Self::Ok { id, .. } if id != 0 => Some(id),
            _ => None,
        }
    }
}

/// ER_LOCK_WAIT_TIMEOUT, ER_QUERY_INTERRUPTED and ER_STATEMENT_TIMEOUT (MariaDB documentation, "MariaDB
/// Error Codes").
const MOMENTARY: [u16; 3] = [1205, 1317, 1969];

impl<'a> Record<'a> {
    /// All but the payload, which follows it.
    pub(crate) fn encode_head(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(32 + 6 * self.bounds.len() + 4 * self.told.len());
        out.push(self.command.byte().unwrap_or_default());
        out.extend_from_slice(&self.at.to_le_bytes());
        put_number(&mut out, self.bounds.len() as u64);
        let mut last = 0;
        for &(start, end) in &self.bounds {
            put_number(&mut out, u64::from(start.wrapping_sub(last)));
            put_number(&mut out, u64::from(end.wrapping_sub(start)));
            last = end;
        }
        put_number(&mut out, self.told.len() as u64);
        for told in &self.told {
            match *told {
                Told::Error { code } => {
                    out.push(0);
                    put_number(&mut out, code.into());
                }
                Told::Ok { affected, id } => {
                    out.push(1);
                    put_number(&mut out, affected);
                    put_number(&mut out, id);
                }
                Told::Other => out.push(2),
                Told::Rows { digest } => {
                    out.push(3);
                    out.extend_from_slice(&digest.to_le_bytes());
                }
            }
        }
        out
    }

    /// Reads what was kept.
    ///
    /// # Errors
    /// It is not a record.
    pub(crate) fn decode(bytes: &'a [u8]) -> Result<Self, Violation> {
        let mut reader = Reader(bytes);
        let command = Command::from_byte(reader.byte()?);
        let at = reader.eight()?;
        let mut bounds = Vec::new();
        let mut last = 0_u32;
        for _ in 0..reader.number()? {
            let start = last.wrapping_add(reader.number()? as u32);
            last = start.wrapping_add(reader.number()? as u32);
            bounds.push((start, last));
        }
        let mut told = Vec::new();
        for _ in 0..reader.number()? {
            told.push(match reader.byte()? {
                0 => Told::Error { code: reader.number()? as u16 },
                1 => Told::Ok { affected: reader.number()?, id: reader.number()? },
                2 => Told::Other,
                _ => Told::Rows { digest: reader.eight()? },
            });
        }
        Ok(Self { command, at, bounds, told, payload: reader.0 })
    }
}

/// Seven bits a byte, the lowest first, the eighth where more follow.
fn put_number(out: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

struct Reader<'a>(&'a [u8]);

impl Reader<'_> {
    fn byte(&mut self) -> Result<u8, Violation> {
        let (first, rest) = self.0.split_first().ok_or(Violation::Empty { expected: RECORD })?;
        self.0 = rest;
        Ok(*first)
    }

    fn eight(&mut self) -> Result<u64, Violation> {
        let (first, rest) =
            self.0.split_first_chunk().ok_or(Violation::Empty { expected: RECORD })?;
        self.0 = rest;
        Ok(u64::from_le_bytes(*first))
    }

    fn number(&mut self) -> Result<u64, Violation> {
        let mut number = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            number |= u64::from(byte & 0x7F) << shift;
            if byte < 0x80 {
                break;
            }
        }
        Ok(number)
    }
}

const RECORD: &str = "a record of the journal";

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn told() -> impl Strategy<Value = Told> {
        prop_oneof![
            any::<u16>().prop_map(|code| Told::Error { code }),
            any::<(u64, u64)>().prop_map(|(affected, id)| Told::Ok { affected, id }),
            Just(Told::Other),
            any::<u64>().prop_map(|digest| Told::Rows { digest }),
        ]
    }

    /// Otherwise a replay would commit in the middle of a transaction: it understands a text of several statements that the
    /// client was refused.
    #[test]
    fn what_was_never_understood_says_nothing() {
        assert!(
            Told::Error { code: 1064 }.says_nothing()
                && Told::Error { code: 1243 }.says_nothing()
                && Told::Error { code: 1205 }.says_nothing()
        );
        assert!(!Told::Error { code: 1062 }.says_nothing() && !Told::Other.says_nothing());
    }

    proptest! {
        /// A replay would do something else than what was done.
        #[test]
        fn what_was_kept_is_read_again(
            at: u64,
            bounds: Vec<(u32, u32)>,
            told in proptest::collection::vec(told(), 0..9),
            payload: Vec<u8>,
        ) {
            let record = Record { command: Command::Query, at, bounds, told, payload: &payload };
            let mut bytes = record.encode_head();
            let head = bytes.len();
            bytes.extend_from_slice(&payload);
            prop_assert_eq!(Record::decode(&bytes), Ok(record));
            for end in 0..head {
                prop_assert!(Record::decode(&bytes[..end]).is_err());
            }
        }
    }
}
