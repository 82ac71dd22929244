//! State of the open transaction, from the server's own reports.

use ido_proxy_protocol::session_state::TransactionState;
use ido_proxy_protocol::status::StatusFlags;

/// The session's transaction as the last replies told it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Transaction {
    open: bool,
    /// Something was read or written in it. Without the report of a state, an open transaction is
    /// taken to be used.
    untouched: bool,
    writes: Writes,
    begun: Begun,
    /// The server was not asked to report its state for a while, and may be wrong about how it began.
    untrusted: bool,
}

/// Writes in a transaction.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
enum Writes {
    /// None.
    #[default]
    Nothing,
    /// None, and none can come: the transaction is READ ONLY.
    Refused,
    /// To tables that know no transactions, and to no others.
    Unsafe,
    /// To any table, maybe.
    Some,
}

/// How a transaction was begun, as far as the server has said so.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
enum Begun {
    /// Not known.
    #[default]
    Somehow,
    /// By a statement, with autocommit off.
    Implicitly,
    /// By a BEGIN.
    Explicitly,
}

impl Transaction {
    /// Takes in the status flags of a reply.
    pub(crate) fn learn_status(&mut self, status: StatusFlags) {
        self.open = status.contains(StatusFlags::IN_TRANS);
        if !self.open {
            *self = Self::default();
        }
        self.writes = match (self.writes, status.contains(StatusFlags::IN_TRANS_READONLY)) {
            (Writes::Nothing, true) => Writes::Refused,
            (Writes::Refused, false) => Writes::Nothing,
            (writes, _) => writes,
        };
    }

    /// Takes in the status flags of an EOF packet. It has no room for a report, so what was read under
    /// an open transaction (with locks, maybe) is not told.
    pub(crate) fn learn_rows(&mut self, status: StatusFlags) {
        self.learn_status(status);
        self.untouched = false;
    }

    /// Takes in a reported transaction state.
    pub(crate) fn learn_state(&mut self, state: TransactionState) {
        self.untouched = !(state.read_safe()
            || state.read_unsafe()
            || state.wrote_anything()
            || state.locked_tables());
        self.writes = match self.writes {
            _ if state.wrote_unsafe() && !state.wrote_safe() => Writes::Unsafe,
            writes @ (Writes::Nothing | Writes::Refused) if !state.wrote_anything() => writes,
            _ => Writes::Some,
        };
        if !self.open {
            self.writes = Writes::Nothing;
        }
        self.begun = match (state.is_implicit(), state.is_explicit()) {
            (true, _) => Begun::Implicitly,
            (false, true) => Begun::Explicitly,
            (false, false) => Begun::Somehow,
        };
    }

    /// A statement that may write was answered.
    pub(crate) fn may_have_written(&mut self) {
        if self.open && self.writes == Writes::Nothing {
            self.writes = Writes::Some;
        }
        self.untouched &= !self.open;
    }

    /// Ends the transaction. Another one may have begun in the same moment.
    pub(crate) fn end(&mut self) {
        self.writes = Writes::Nothing;
    }

    /// Forgets a transaction that is gone: the server said so by an error, which has no flags.
    pub(crate) fn gone(&mut self) {
        *self = Self::default();
    }

    /// Whether a transaction is open, be it still empty.
    pub(crate) fn is_open(&self) -> bool {
        self.open
    }

    /// Whether something may have been written in it that a COMMIT would commit.
    pub(crate) fn is_dirty(&self) -> bool {
        self.writes == Writes::Some
    }

    /// Whether a BEGIN began it, as far as the server has said so.
    pub(crate) fn is_explicit(&self) -> bool {
        self.open && self.begun == Begun::Explicitly
    }

    /// Whether a statement began it, with autocommit off, as far as the server has said so.
    pub(crate) fn is_implicit(&self) -> bool {
        self.open && self.begun == Begun::Implicitly && !self.untrusted
    }

    /// Distrusts the server's report of how the transaction began.
    pub(crate) fn distrust(&mut self) {
        self.untrusted = self.open;
    }

    /// Whether the server would have nothing to roll back. Icinga opens the next transaction in the
    /// same batch that commits the last one, so between its batches a transaction is always open
    /// and empty.
    pub(crate) fn is_clean(&self) -> bool {
        !self.open || self.untouched
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Otherwise a session that only reads would be told, where a reply is lost, that its writes are in doubt.
    #[test]
    fn nothing_is_written_in_a_read_only_transaction() {
        let mut transaction = Transaction::default();
        let open = StatusFlags::IN_TRANS;
        transaction.learn_status(open | StatusFlags::IN_TRANS_READONLY);
        transaction.may_have_written();
        assert!(!transaction.is_dirty());
        // A procedure has ended it, and has begun another one.
        transaction.learn_status(open);
        transaction.may_have_written();
        assert!(transaction.is_dirty());
    }
}
