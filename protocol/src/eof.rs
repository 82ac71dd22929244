//! EOF packets, which end column definitions and rows unless
//! [`DEPRECATE_EOF`](crate::capabilities::Capabilities::DEPRECATE_EOF) is in force.
//!
//! Source: MariaDB documentation, "EOF_Packet".

use crate::status::StatusFlags;
use crate::violation::Violation;
use crate::wire::Reader;

/// The first byte of an EOF packet, of an OK packet that ends rows, of an authentication switch,
/// and of a row whose first value is longer than 16 MiB.
pub const EOF: u8 = 0xFE;

/// The end of column definitions or rows.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct EofPacket {
    /// How many warnings the statement has so far.
    pub warnings: u16,
    /// The session after it.
    pub status: StatusFlags,
}

impl EofPacket {
    /// Reads a payload that begins with [`EOF`].
    pub fn decode(payload: &[u8]) -> Result<Self, Violation> {
        let mut reader = Reader::new(payload, "EOF packet");
        match reader.u8()? {
            EOF => {}
            got => return Err(Violation::Unexpected { expected: "an EOF packet", got }),
        }
        let warnings = reader.u16()?;
        let status = StatusFlags::from_bits(reader.u16()?);
        Ok(Self { warnings, status })
    }

    /// The payload.
    pub fn encode(&self) -> [u8; Self::LEN] {
        let [a, b] = self.warnings.to_le_bytes();
        let [c, d] = self.status.bits().to_le_bytes();
        [EOF, a, b, c, d]
    }

    /// Where the flags begin in its payload.
    pub const STATUS_AT: usize = 3;
    /// The bytes of its payload.
    pub const LEN: usize = 5;
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn they_round_trip(warnings: u16, status: u16) {
            let eof = EofPacket { warnings, status: StatusFlags::from_bits(status) };
            let payload = eof.encode();
            prop_assert_eq!(EofPacket::decode(&payload), Ok(eof));
            for end in 0..payload.len() {
                prop_assert!(EofPacket::decode(&payload[..end]).is_err());
            }
        }
    }
}
