//! The first packet of the answer to a COM_STMT_PREPARE.
//!
//! Sources: MariaDB documentation, "COM_STMT_PREPARE" (COM_STMT_PREPARE_OK); MySQL source
//! documentation, "COM_STMT_PREPARE Response".

use crate::capabilities::Capabilities;
use crate::ok::OK;
use crate::violation::Violation;
use crate::wire::Reader;

/// A statement was prepared. Definitions of its parameters and columns follow.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct PrepareOk {
    /// The number by which the client runs and closes the statement on this link.
    pub statement_id: u32,
    /// How many columns its rows will have; 0 if it returns none.
    pub columns: u16,
    /// How many parameters it takes.
    pub parameters: u16,
    /// How many warnings there were.
    pub warnings: u16,
    /// Whether the definitions follow. Always, but for MySQL's
    /// [`OPTIONAL_RESULTSET_METADATA`](Capabilities::OPTIONAL_RESULTSET_METADATA).
    pub definitions_follow: bool,
}

impl PrepareOk {
    /// Reads the payload from a connection with these capabilities.
    pub fn decode(payload: &[u8], capabilities: Capabilities) -> Result<Self, Violation> {
        let mut reader = Reader::new(payload, "prepare OK");
        match reader.u8()? {
            OK => {}
            got => return Err(Violation::Unexpected { expected: "a prepare OK", got }),
        }
        let statement_id = reader.u32()?;
        let columns = reader.u16()?;
        let parameters = reader.u16()?;
        let _filler = reader.u8()?;
        let warnings = reader.u16()?;
        let optional = capabilities.contains(Capabilities::OPTIONAL_RESULTSET_METADATA);
        let definitions_follow = !optional || reader.is_empty() || reader.u8()? != 0;
        Ok(Self { statement_id, columns, parameters, warnings, definitions_follow })
    }

    /// The payload for a connection without
    /// [`OPTIONAL_RESULTSET_METADATA`](Capabilities::OPTIONAL_RESULTSET_METADATA).
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(12);
        out.push(OK);
        out.extend_from_slice(&self.statement_id.to_le_bytes());
        out.extend_from_slice(&self.columns.to_le_bytes());
        out.extend_from_slice(&self.parameters.to_le_bytes());
        out.push(0);
        out.extend_from_slice(&self.warnings.to_le_bytes());
        out
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn they_round_trip(statement_id: u32, columns: u16, parameters: u16, warnings: u16) {
            let definitions_follow = true;
            let ok = PrepareOk { statement_id, columns, parameters, warnings, definitions_follow };
            let mut payload = ok.encode();
            prop_assert_eq!(PrepareOk::decode(&payload, Capabilities::empty()), Ok(ok));
            for end in 0..payload.len() {
                prop_assert!(PrepareOk::decode(&payload[..end], Capabilities::empty()).is_err());
            }
            payload.push(0);
            let optional = Capabilities::OPTIONAL_RESULTSET_METADATA;
            let bare = PrepareOk { definitions_follow: false, ..ok };
            prop_assert_eq!(PrepareOk::decode(&payload, optional), Ok(bare));
        }
    }
}
