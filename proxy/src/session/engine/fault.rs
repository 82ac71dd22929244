//! Meaning of a node's error, as far as its number tells.
//!
//! Error numbers have a meaning here and nowhere else in the machine. A number never tells whether a transaction is
//! still open, nor whether a node works: SQL can raise any error (`SIGNAL`), and new servers give old numbers new
//! meanings. Both are asked ([`super::asking`]).

use ido_proxy_protocol::err::ErrPacket;
use ido_proxy_protocol::error_code::*;

/// The meaning of an error.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Fault {
    /// Another transaction stood in the way. Tried again, the transaction may succeed.
    Conflict,
    /// The connection was killed, if the node says so by itself.
    Killed,
    /// A row with this key exists.
    Duplicate,
    /// A lock was waited for too long, or what other nodes had committed.
    LockWait,
    /// A read that the client wants causal has waited too long: a node that leaves breaks it off, too. Named by
    /// [`Self::of_read`] alone.
    CausalRead,
    /// A reader's node lags too far behind. Named by [`Self::of_read`] alone.
    Lag,
    /// The object is missing, or the account has no right to use it.
    Missing,
    /// The column is missing.
    UnknownColumn,
    /// The node cannot be worked with, if the node says so by itself.
    NodeUnusable,
    /// The node takes no writes, if the node says so by itself.
    NodeReadOnly,
    /// The transaction may not write.
    ReadOnly,
    /// A number is too large for its type.
    OutOfRange,
    /// The server knows no such variable.
    UnknownVariable,
    /// The variable does not take this value.
    WrongValue,
    /// The variable can be read in a session, and not be set.
    NotOfSession,
    /// An option of the server forbids the statement.
    OptionPrevents,
    /// The text cannot be read.
    Syntax,
    /// An error of the statement alone.
    Statement,
}

impl Fault {
    /// The meaning of `error`.
    pub(crate) fn of(error: &ErrPacket) -> Self {
        match error.code {
            DEADLOCK | ERROR_DURING_COMMIT | RECORD_CHANGED => Self::Conflict,
            CONNECTION_KILLED => Self::Killed,
            DUPLICATE_ENTRY => Self::Duplicate,
            LOCK_WAIT_TIMEOUT => Self::LockWait,
            UNKNOWN_COMMAND if error.message.starts_with(b"WSREP") => Self::NodeUnusable,
            SERVER_SHUTDOWN => Self::NodeUnusable,
            READ_ONLY_MODE => Self::NodeReadOnly,
            OPTION_PREVENTS_STATEMENT if names_read_only(&error.message) => Self::NodeReadOnly,
            OPTION_PREVENTS_STATEMENT => Self::OptionPrevents,
            UNKNOWN_COLUMN => Self::UnknownColumn,
            DATA_OUT_OF_RANGE => Self::OutOfRange,
            UNKNOWN_SYSTEM_VARIABLE => Self::UnknownVariable,
            WRONG_VALUE_FOR_VARIABLE | WRONG_TYPE_FOR_VARIABLE => Self::WrongValue,
            INCORRECT_VARIABLE_SCOPE => Self::NotOfSession,
            PARSE_ERROR => Self::Syntax,
            DATABASE_ACCESS_DENIED
            | UNKNOWN_DATABASE
            | TABLE_ACCESS_DENIED
            | COLUMN_ACCESS_DENIED
            | NO_SUCH_TABLE
            | UNKNOWN_KEY
            | DOES_NOT_EXIST
            | INVALID_VIEW
            | ROUTINE_ACCESS_DENIED => Self::Missing,
            READ_ONLY_TRANSACTION => Self::ReadOnly,
            _ => Self::Statement,
        }
    }

    /// The meaning of `error` to a statement on a link whose reads wait for what other nodes have committed: because the
    /// client wants that (`causal`), or because it is a reader that must not go back in time (`may_lag`).
    pub(crate) fn of_read(error: &ErrPacket, causal: bool, may_lag: bool) -> Self {
        match Self::of(error) {
            Self::LockWait if may_lag => Self::Lag,
            Self::LockWait if causal => Self::CausalRead,
            fault => fault,
        }
    }

    /// Whether something that the statement names is not there for this account.
    pub(crate) fn is_missing(self) -> bool {
        matches!(self, Self::Missing | Self::UnknownColumn)
    }

    /// Whether the error says something of the statement alone.
    pub(crate) fn is_of_statement(self) -> bool {
        match self {
            Self::OutOfRange
            | Self::UnknownVariable
            | Self::WrongValue
            | Self::NotOfSession
            | Self::OptionPrevents
            | Self::Syntax
            | Self::Statement => true,
            Self::Conflict
            | Self::Killed
            | Self::Duplicate
            | Self::LockWait
            | Self::CausalRead
            | Self::Lag
            | Self::Missing
            | Self::UnknownColumn
            | Self::NodeUnusable
            | Self::NodeReadOnly
            | Self::ReadOnly => false,
        }
    }

    /// Whether the node, or the link to it, would be of no use, should the node confirm it.
    pub(crate) fn doubts_node(self) -> bool {
        matches!(self, Self::Killed | Self::NodeUnusable | Self::NodeReadOnly)
    }
}

/// Whether an error with this number says that an account has no fence: no table, or no right.
pub(crate) fn is_without_fence(code: u16) -> bool {
    Fault::of(&ErrPacket::new(code, *b"HY000", "")).is_missing()
}

/// Whether the option that forbids a statement is `--read-only`, in any language.
fn names_read_only(message: &[u8]) -> bool {
    message.windows(b"--read-only".len()).any(|words| words == b"--read-only")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Otherwise an unknown command, which has the number of a node that is not ready, would cost a session its link.
    #[test]
    fn the_number_alone_does_not_name_a_node_that_is_not_ready() {
        let fault = |code, message: &str| Fault::of(&ErrPacket::new(code, *b"HY000", message));
        let unready = "WSREP has not yet prepared node for application use";
        assert_eq!(fault(1047, unready), Fault::NodeUnusable);
        assert_eq!(fault(1047, "Unknown command"), Fault::Statement);
        let read_only = "The MariaDB server is running with the --read-only option";
        assert_eq!(fault(1290, read_only), Fault::NodeReadOnly);
        assert_eq!(
            fault(1290, "running with the --secure-file-priv option"),
            Fault::OptionPrevents
        );
    }
}
