//! The changes of a session's state that an OK packet reports.
//!
//! The session variables `session_track_*` decide which changes are reported.
//!
//! Sources: MariaDB documentation, "OK_Packet" (Session State Info); MySQL documentation, "Server
//! Tracking of Client Session State".

use crate::violation::Violation;
use crate::wire::{Reader, put_lenenc_bytes};

/// Reads [`OkPacket::session_state`](crate::ok::OkPacket::session_state). Ends after the first
/// violation.
pub fn changes(block: &[u8]) -> impl Iterator<Item = Result<Change<'_>, Violation>> {
    let mut reader = Reader::new(block, PACKET);
    std::iter::from_fn(move || {
        if reader.is_empty() {
            return None;
        }
        let change = Change::read(&mut reader);
        if change.is_err() {
            reader.rest();
        }
        Some(change)
    })
}

/// The block without the changes that are not wanted.
///
/// # Errors
/// The block cannot be read.
pub fn retained(
    block: &[u8],
    mut wanted: impl FnMut(&Change<'_>) -> bool,
) -> Result<Vec<u8>, Violation> {
    let mut out = Vec::with_capacity(block.len());
    let mut reader = Reader::new(block, PACKET);
    while !reader.is_empty() {
        let kind = reader.u8()?;
        let data = reader.lenenc_bytes()?;
        if wanted(&Change::decode(kind, data)?) {
            out.push(kind);
            put_lenenc_bytes(&mut out, data);
        }
    }
    Ok(out)
}

/// One change.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Change<'a> {
    /// The last committed GTIDs, as the server writes them.
    Gtids(&'a [u8]),
    /// A kind of change that has no name here.
    Other {
        /// The number of the kind.
        kind: u8,
        /// The bytes that the change carries.
        data: &'a [u8],
    },
    /// The default database; empty if there is none.
    Schema(&'a [u8]),
    /// Whether anything at all changed that a new session would lack.
    StateChange(bool),
    /// A system variable and its new value.
    SystemVariable(&'a [u8], &'a [u8]),
    /// The statements that would start the open transaction alike, such as
    /// `SET TRANSACTION ISOLATION LEVEL SERIALIZABLE; START TRANSACTION READ ONLY;`; empty if no
    /// transaction is open.
    TransactionCharacteristics(&'a [u8]),
    /// The deeds of the transaction so far.
    TransactionState(TransactionState),
}

impl<'a> Change<'a> {
    fn read(reader: &mut Reader<'a>) -> Result<Self, Violation> {
        let kind = reader.u8()?;
        Self::decode(kind, reader.lenenc_bytes()?)
    }

    fn decode(kind: u8, data: &'a [u8]) -> Result<Self, Violation> {
        let mut inner = Reader::new(data, PACKET);
        Ok(match kind {
            SYSTEM_VARIABLES => Self::SystemVariable(inner.lenenc_bytes()?, inner.lenenc_bytes()?),
            SCHEMA => Self::Schema(inner.lenenc_bytes()?),
            STATE_CHANGE => Self::StateChange(data.last() == Some(&b'1')),
            GTIDS => {
                let _encoding = inner.u8()?;
                Self::Gtids(inner.lenenc_bytes()?)
            }
            TRANSACTION_CHARACTERISTICS => Self::TransactionCharacteristics(inner.lenenc_bytes()?),
            TRANSACTION_STATE => {
                Self::TransactionState(TransactionState::read(inner.lenenc_bytes()?)?)
            }
            kind => Self::Other { kind, data },
        })
    }
}

/// The deeds of a transaction so far: eight letters on the wire, each in its place or `_`.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct TransactionState([u8; 8]);

impl TransactionState {
    /// `T`: open, by BEGIN or START TRANSACTION.
    pub const fn is_explicit(self) -> bool {
        self.0[0] == b'T'
    }

    /// `I`: open, since a statement ran with autocommit off.
    pub const fn is_implicit(self) -> bool {
        self.0[0] == b'I'
    }

    /// `r`: a table that knows no transactions was read.
    pub const fn read_unsafe(self) -> bool {
        self.0[1] == b'r'
    }

    /// `R`: a transactional table was read.
    pub const fn read_safe(self) -> bool {
        self.0[2] == b'R'
    }

    /// `w`: a table that knows no transactions was written, which no rollback undoes.
    pub const fn wrote_unsafe(self) -> bool {
        self.0[3] == b'w'
    }

    /// `W`: a transactional table was written.
    pub const fn wrote_safe(self) -> bool {
        self.0[4] == b'W'
    }

    /// `s`: a statement ran whose effect is not sure to be the same elsewhere.
    pub const fn ran_unsafe_statement(self) -> bool {
        self.0[5] == b's'
    }

    /// `S`: rows were sent to the client.
    pub const fn sent_rows(self) -> bool {
        self.0[6] == b'S'
    }

    /// `L`: tables are locked with LOCK TABLES.
    pub const fn locked_tables(self) -> bool {
        self.0[7] == b'L'
    }

    /// Whether a transaction is open.
    pub const fn is_open(self) -> bool {
        self.is_explicit() || self.is_implicit()
    }

    /// Whether anything was written.
    pub const fn wrote_anything(self) -> bool {
        self.wrote_safe() || self.wrote_unsafe()
    }

    fn read(letters: &[u8]) -> Result<Self, Violation> {
        Ok(Self(Reader::new(letters, "transaction state").array()?))
    }
}

const PACKET: &str = "session state";

const SYSTEM_VARIABLES: u8 = 0;
const SCHEMA: u8 = 1;
const STATE_CHANGE: u8 = 2;
const GTIDS: u8 = 3;
const TRANSACTION_CHARACTERISTICS: u8 = 4;
const TRANSACTION_STATE: u8 = 5;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn every_kind_of_change_is_told() {
        let block = b"\x00\x0f\x0aautocommit\x03OFF\x01\x05\x04test\x02\x011\x03\x03\x00\x01g\
            \x04\x13\x12START TRANSACTION;\x05\x09\x08T_R_W_S_\x63\x01x";
        let changes: Vec<_> = changes(block).collect();
        let state = TransactionState(*b"T_R_W_S_");
        assert_eq!(
            changes,
            [
                Ok(Change::SystemVariable(b"autocommit", b"OFF")),
                Ok(Change::Schema(b"test")),
                Ok(Change::StateChange(true)),
                Ok(Change::Gtids(b"g")),
                Ok(Change::TransactionCharacteristics(b"START TRANSACTION;")),
                Ok(Change::TransactionState(state)),
                Ok(Change::Other { kind: 0x63, data: b"x" }),
            ]
        );
        assert!(state.is_open() && state.wrote_anything());
    }

    /// Otherwise a client would hear of changes that it has not asked for, or not of those that it has.
    #[test]
    fn what_is_not_wanted_is_taken_out_and_the_rest_stays_as_it_was() {
        let block = b"\x00\x0f\x0aautocommit\x03OFF\x01\x05\x04test\x02\x011";
        assert_eq!(retained(block, |_| true).as_deref(), Ok(&block[..]));
        let schema = retained(block, |change| matches!(change, Change::Schema(_)));
        assert_eq!(schema.as_deref(), Ok(&b"\x01\x05\x04test"[..]));
        assert!(retained(&block[..5], |_| true).is_err());
    }

    #[test]
    fn all_letters_have_their_place() {
        let all = TransactionState::read(b"IrRwWsSL").expect("eight letters");
        let none = TransactionState::read(b"________").expect("eight letters");
        let deeds = |state: TransactionState| {
            [
                state.is_implicit(),
                state.read_unsafe(),
                state.read_safe(),
                state.wrote_unsafe(),
                state.wrote_safe(),
                state.ran_unsafe_statement(),
                state.sent_rows(),
                state.locked_tables(),
            ]
        };
        assert_eq!(deeds(none), [false; 8]);
        assert_eq!(deeds(all), [true; 8]);
        assert!(!all.is_explicit() && all.is_open() && !none.is_open());
        assert!(TransactionState::read(b"T__").is_err());
    }

    #[test]
    fn a_cut_block_ends_with_one_violation() {
        let block = b"\x01\x05\x04test\x00\x0f\x0aautocommit\x03OFF";
        for end in 0..block.len() {
            let changes: Vec<_> = changes(&block[..end]).collect();
            let whole = usize::from(end >= 7);
            assert_eq!(changes.iter().filter(|change| change.is_ok()).count(), whole);
            assert_eq!(changes.len() - whole, usize::from(end != 0 && end != 7));
        }
    }

    proptest! {
        #[test]
        fn any_bytes_end_without_a_panic(block: Vec<u8>) {
            prop_assert!(changes(&block).count() <= block.len());
        }
    }
}
