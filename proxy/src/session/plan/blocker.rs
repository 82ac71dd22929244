//! Why a session cannot go on at another node as if nothing had happened.

use std::fmt;

/// Reason why a session or its open transaction cannot be set up again on another link.
///
/// The text completes the sentence "it cannot move: …".
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub(crate) enum Blocker {
    /// `CALL`: what a procedure does inside is not seen.
    Call,
    /// A compound statement, whose end only the server knows.
    Compound,
    /// A statement that the server commits by itself was under way.
    Ddl,
    /// `XA`, `HANDLER`, `BACKUP`.
    Exotic,
    /// The file of a LOAD DATA LOCAL, which only the client has.
    File,
    /// The journal could not take more.
    JournalFull,
    /// A command longer than the proxy keeps.
    LongCommand,
    /// `LOCK TABLES`.
    LockedTables,
    /// Parts of a long parameter were sent (COM_STMT_SEND_LONG_DATA).
    LongData,
    /// `GET_LOCK`.
    NamedLock,
    /// An open cursor of a prepared statement.
    OpenCursor,
    /// Rows that got their ids in one statement; only that of the first one can be brought about again.
    SharedInsert,
    /// `PREPARE`, in SQL.
    SqlPrepare,
    /// `CREATE TEMPORARY TABLE`.
    TemporaryTable,
    /// `SET timestamp`, of which the server does not report the end.
    Timestamp,
    /// The server does not report the session's state, or was told not to.
    Untracked,
    /// A part of the transaction was not kept, such as the beginning of a chained one.
    Unkept,
    /// A table that knows no transactions was written in one.
    UnsafeWrite,
    /// User variables (`@name`).
    UserVariable,
}

impl fmt::Display for Blocker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Call => "a procedure was called in the transaction",
            Self::Compound => "a compound statement was sent",
            Self::Ddl => "a statement that commits by itself was under way",
            Self::Exotic => "XA, HANDLER or BACKUP is in use",
            Self::File => "a file was loaded from the client (LOAD DATA LOCAL)",
            Self::JournalFull => "the journal could not hold the transaction",
            Self::LongCommand => "a command was longer than the proxy keeps",
            Self::LongData => "a long parameter was sent in parts",
            Self::LockedTables => "tables are locked (LOCK TABLES)",
            Self::NamedLock => "a named lock may be held (GET_LOCK)",
            Self::OpenCursor => "a cursor is open",
            Self::SharedInsert => "one statement generated several ids",
            Self::SqlPrepare => "a statement was prepared in SQL (PREPARE)",
            Self::TemporaryTable => "it has a temporary table",
            Self::Timestamp => "the session's timestamp is set",
            Self::Untracked => "the server does not report the session's state",
            Self::Unkept => "a part of the transaction could not be kept",
            Self::UnsafeWrite => "the transaction wrote to a table that knows no transactions",
            Self::UserVariable => "it uses user variables",
        })
    }
}

/// A set of [`Blocker`]s.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) struct Blockers(u32);

impl Blockers {
    /// Adds one.
    pub(crate) fn insert(&mut self, reason: Blocker) {
        self.0 |= 1 << reason as u32;
    }

    /// Takes one out.
    pub(crate) fn remove(&mut self, reason: Blocker) {
        self.0 &= !(1 << reason as u32);
    }

    /// Whether it is among them.
    pub(crate) fn contains(self, reason: Blocker) -> bool {
        self.0 & 1 << reason as u32 != 0
    }

    /// Adds all of `other`.
    pub(crate) fn extend(&mut self, other: Self) {
        self.0 |= other.0;
    }

    /// Any one of them.
    pub(crate) fn first(self) -> Option<Blocker> {
        Blocker::ALL.into_iter().find(|reason| self.contains(*reason))
    }
}

impl Blocker {
    /// Every reason, each at the place of its number.
    pub(crate) const ALL: [Self; 19] = [
        Self::Call,
        Self::Compound,
        Self::Ddl,
        Self::Exotic,
        Self::File,
        Self::JournalFull,
        Self::LongCommand,
        Self::LockedTables,
        Self::LongData,
        Self::NamedLock,
        Self::OpenCursor,
        Self::SharedInsert,
        Self::SqlPrepare,
        Self::TemporaryTable,
        Self::Timestamp,
        Self::Untracked,
        Self::Unkept,
        Self::UnsafeWrite,
        Self::UserVariable,
    ];
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An operator would be told of another reason, or of none.
    #[test]
    fn each_reason_is_found_and_taken_out_again() {
        for (place, reason) in Blocker::ALL.into_iter().enumerate() {
            assert_eq!(reason as usize, place);
            let mut reasons = Blockers::default();
            reasons.insert(reason);
            assert_eq!(reasons.first(), Some(reason));
            assert!(!reason.to_string().is_empty());
            reasons.remove(reason);
            assert_eq!(reasons.first(), None);
        }
    }
}
