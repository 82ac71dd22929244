//! Reactions to errors: the whole of them, as one table.
//!
//! An error meets the session at a [`Position`], its meaning is a [`Fault`], and [`Facts`] are what else matters. Callers
//! ask [`react`] and carry out what it says; nobody else decides by the meaning of an error.
//!
//! `docs/dev/session.md` shows the table. A test compares the page with [`react`], and other tests go through every
//! combination.

use super::fault::Fault;

/// Where an error meets the session.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Position {
    /// A statement of the client's, its COMMIT included.
    Statement,
    /// A statement of the client's behind an abort that the server kept silent about: nobody is told of its reply.
    Abandoned,
    /// Our BEGIN, with the client's statement and the end of its frame sent behind it.
    FlightBegin,
    /// The check of a frame, or the question about its warnings.
    Check,
    /// The check of a frame whose BEGIN has failed: the write has committed by itself.
    LateCheck,
    /// The fence.
    Fence,
    /// The fence of a frame, which keeps the counts of the client's reply.
    ReplyFence,
    /// Our COMMIT.
    Commit,
    /// Our COMMIT behind a write to one table that knows no transactions.
    UnsafeCommit,
    /// The guard, on or off.
    Guard,
    /// Our ROLLBACK.
    Rollback,
    /// Question whose answer may be missing: warnings, reports, state.
    Look,
    /// Statement that puts back what a statement of ours has overwritten.
    PutBack,
    /// Statement that raises the client's error again.
    RaiseAgain,
    /// Statement that has the server report every variable.
    ReportAll,
    /// Any other statement of ours in a command, and the question about an error.
    Own,
    /// Recovery: the causal read, and the fence.
    Barrier,
    /// Recovery: all variables in one statement.
    Settings,
    /// Recovery: one variable.
    Setting,
    /// Recovery: one variable, in another way.
    SettingAgain,
    /// Recovery: the client's prepared statement, or the state that it was prepared in.
    Prepare,
    /// Recovery: any other statement that must succeed.
    Must,
    /// Recovery: the journal.
    Replay,
    /// Recovery: a statement of ours in the journal.
    ReplayOwn,
}

/// Effect that the request in hand may have had although an error came.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Effect {
    /// Nothing was committed.
    Nothing,
    /// Something may have been committed, and nothing tells.
    Doubtful,
    /// The statement commits in passing, maybe before it failed; the fence tells.
    Passing,
    /// A COMMIT is in doubt; the fence tells.
    Commit,
}

/// Transaction in which a statement of the client's has failed.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Within {
    /// None, and autocommit.
    Nothing,
    /// None so far, without autocommit: the statement may have begun one.
    Maybe,
    /// The client's.
    Clients,
    /// Ours, around this statement.
    Ours,
}

/// Answer of the server to the question about an error.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Answer {
    /// Nobody has asked.
    NotAsked,
    /// A transaction is open. Where the error had said that the node does not work, it does.
    Open,
    /// No transaction is open. Where the error had said that the node does not work, it does.
    Closed,
    /// The node takes no writes.
    ReadOnly,
}

/// Ways to do the command in hand, and its transaction, again.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Redo {
    /// None: something cannot be done again, or the client has a part of the reply.
    Never,
    /// On another link alone, or for a reason that the client must not hear of.
    Elsewhere,
    /// On the same link too.
    Here,
}

/// Circumstances that decide beside position and fault.
#[derive(Clone, Copy, Debug)]
pub(super) struct Facts {
    pub(super) effect: Effect,
    pub(super) within: Within,
    pub(super) answer: Answer,
    pub(super) redo: Redo,
    /// The key that is there already may be one that the server chose, and the client knows nothing of it.
    pub(super) may_choose_anew: bool,
    /// Tries to get over this error are used up.
    pub(super) exhausted: bool,
}

impl Facts {
    /// Nothing special: a repeatable statement outside a transaction.
    pub(super) const PLAIN: Self = Self {
        effect: Effect::Nothing,
        within: Within::Nothing,
        answer: Answer::NotAsked,
        redo: Redo::Here,
        may_choose_anew: false,
        exhausted: false,
    };
}

/// Reaction to an error.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Reaction {
    /// The client is told; the rest of its text is not sent.
    Tell(Transaction),
    /// The server is asked first.
    Ask,
    /// Nobody is told.
    Drop,
    /// The transaction is rolled back and done again on the same link.
    Retry(Why),
    /// The link is given up; recovery runs on the next one.
    NextLink,
    /// All is rolled back, and the client is told.
    GiveUp,
    /// The session goes on as if nothing was.
    Ignore,
    /// The transaction is gone, as it was to be.
    Gone,
    /// The transaction goes on without a fence.
    Unfenced,
    /// Retried, with the fence in a text of its own from now on.
    RetryParted,
    /// Somebody else has written the fence.
    Disturbed,
    /// The write has committed by itself: what the client is told stands.
    Settled,
    /// The session cannot move any more, and goes on.
    Untracked,
    /// Whether the COMMIT was done cannot be found out: the session ends.
    Unknown,
    /// Each variable is set by itself.
    OneByOne,
    /// The variable is set by another name, or as NULL.
    OtherWay,
    /// The variable is passed over.
    PassOver,
    /// The prepared statement is marked as gone.
    LeaveOut,
    /// The clock of the replay is not set back any more, and the replay begins anew.
    RetryNow,
    /// The replay differs from what the client was told.
    Differs,
    /// The session cannot be set up on this link: it ends.
    Refuse,
}

/// State of the transaction behind an error that is told.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Transaction {
    /// Open, if it was.
    Stays,
    /// The server has ended it.
    Ends,
}

/// Reason for a retry, which says where it begins.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Why {
    /// The server has rolled back.
    RolledBack,
    /// The fence must tell first what became of the COMMIT.
    InDoubt,
    /// The node works although the error says otherwise.
    Hearsay,
    /// The server is to choose another id.
    Anew,
    /// Something else was committed meanwhile.
    Overtaken,
}

/// Decides.
pub(super) fn react(at: Position, fault: Fault, facts: Facts) -> Reaction {
    use Position as P;
    match at {
        P::Statement | P::Abandoned => statement(at, fault, facts),
        P::Barrier | P::Settings | P::Setting | P::SettingAgain => recovery(at, fault, facts),
        P::Prepare | P::Must | P::Replay | P::ReplayOwn => recovery(at, fault, facts),
        _ => own(at, fault, facts),
    }
}

/// A client's statement. Its error is hearsay: it never condemns a node, nor ends a transaction, before the server was
/// asked.
fn statement(at: Position, fault: Fault, facts: Facts) -> Reaction {
    let Facts { effect, within, answer, redo, exhausted, .. } = facts;
    let movable = redo != Redo::Never && effect != Effect::Doubtful;
    let about_node = fault.doubts_node() || fault == Fault::CausalRead;
    let conflict = fault == Fault::Conflict;
    match (answer, effect) {
        (Answer::NotAsked, _) if fault == Fault::Lag && movable => Reaction::NextLink,
        (Answer::NotAsked, _) if fault.doubts_node() => Reaction::Ask,
        (Answer::NotAsked, Effect::Passing) => Reaction::Ask,
        (Answer::NotAsked, Effect::Commit) => Reaction::Retry(Why::InDoubt),
        (Answer::NotAsked, _) if at == Position::Abandoned => Reaction::Drop,
        (Answer::NotAsked, _) => match within {
            Within::Clients | Within::Maybe => Reaction::Ask,
            _ if fault == Fault::CausalRead => Reaction::Ask,
            // Ours is rolled back anyway.
            Within::Ours if conflict => told(fault, facts, Transaction::Ends),
            Within::Ours | Within::Nothing => told(fault, facts, Transaction::Stays),
        },
        (Answer::ReadOnly, _) => Reaction::NextLink,
        _ if about_node && movable && !exhausted => Reaction::Retry(Why::Hearsay),
        // Where a COMMIT fails at Galera, it does so with a conflict: this statement has failed behind its own.
        (Answer::Closed, Effect::Passing)
            if redo == Redo::Never && (fault.is_missing() || fault.is_of_statement()) =>
        {
            Reaction::Tell(Transaction::Ends)
        }
        (_, Effect::Commit) | (Answer::Closed, Effect::Passing) => Reaction::Retry(Why::InDoubt),
        (Answer::Open, _) => told(fault, facts, Transaction::Stays),
        (Answer::Closed, _) => match within {
            Within::Clients | Within::Ours => told(fault, facts, Transaction::Ends),
            Within::Maybe if conflict => told(fault, facts, Transaction::Ends),
            Within::Maybe | Within::Nothing => told(fault, facts, Transaction::Stays),
        },
    }
}

/// A client's statement has failed, and so much is known of the transaction.
fn told(fault: Fault, facts: Facts, transaction: Transaction) -> Reaction {
    let again = facts.effect != Effect::Doubtful;
    match (fault, transaction) {
        (Fault::Conflict, Transaction::Ends) if again && facts.redo == Redo::Here => {
            Reaction::Retry(Why::RolledBack)
        }
        (Fault::Duplicate, _) if again && facts.may_choose_anew && facts.redo != Redo::Never => {
            Reaction::Retry(Why::Anew)
        }
        _ => Reaction::Tell(transaction),
    }
}

/// A statement of ours. The account's grants and triggers cannot forge such an error: it is the node's own word.
fn own(at: Position, fault: Fault, facts: Facts) -> Reaction {
    use Position as P;
    let bound = facts.redo == Redo::Never;
    match (at, fault) {
        // The transaction is gone. What comes next would begin another one, under the guard.
        (P::Look, Fault::Conflict) if facts.within == Within::Clients => match bound {
            true => Reaction::GiveUp,
            false => Reaction::Retry(Why::RolledBack),
        },
        (P::Look | P::RaiseAgain, _) => Reaction::Ignore,
        (P::LateCheck, _) => Reaction::Settled,
        // The row is further than it was left: another one is as good a proof, and a client has no part in it.
        (P::Fence | P::ReplyFence, Fault::Duplicate) if bound => Reaction::Unfenced,
        (P::Fence | P::ReplyFence, Fault::OutOfRange | Fault::Duplicate) => Reaction::Disturbed,
        (_, fault) if fault.doubts_node() => Reaction::NextLink,
        (P::FlightBegin | P::Check, _) => Reaction::Retry(Why::RolledBack),
        // The column for replies is missing.
        (P::ReplyFence, Fault::UnknownColumn) => Reaction::RetryParted,
        // Nothing that outlives the transaction can be written in it: it needs no fence.
        (P::Fence | P::ReplyFence, Fault::ReadOnly) => Reaction::Unfenced,
        (P::Fence | P::ReplyFence, fault) if fault.is_missing() => Reaction::Unfenced,
        // With what is kept of the transaction, only a part would be replayed.
        (P::Fence | P::ReplyFence, _) if bound => Reaction::GiveUp,
        // The session's own state, a lock for one, is in the way of the fence for good.
        (P::Fence | P::ReplyFence, fault) if fault.is_of_statement() && facts.exhausted => {
            Reaction::Unfenced
        }
        // Whether the transaction is still there, the error does not say. A COMMIT follows a fence that was set, or
        // none.
        (P::Fence | P::ReplyFence, _) => Reaction::Retry(Why::RolledBack),
        // Nothing of it can be rolled back, and Galera refuses to commit the fence together with it.
        (P::UnsafeCommit, Fault::Conflict) => Reaction::Gone,
        // A procedure, or a long command.
        (P::Commit | P::UnsafeCommit, _) if bound => Reaction::GiveUp,
        (P::Commit | P::UnsafeCommit, _) => Reaction::Retry(Why::InDoubt),
        (P::Guard, Fault::Conflict) if bound => Reaction::GiveUp,
        (P::Guard, Fault::Conflict) => Reaction::Retry(Why::RolledBack),
        // Warnings and counts are then as our statements left them.
        (P::PutBack, _) => Reaction::Ignore,
        // From here on nothing is sure to be told.
        (P::ReportAll, _) => Reaction::Untracked,
        // A transaction that is gone needs no ROLLBACK.
        (P::Rollback, Fault::Conflict) => Reaction::Gone,
        // BEGIN and ROLLBACK do not fail on a link that lives.
        _ => Reaction::NextLink,
    }
}

/// A request of the recovery.
fn recovery(at: Position, fault: Fault, facts: Facts) -> Reaction {
    use Position as P;
    let in_doubt = facts.effect == Effect::Commit;
    match (at, fault) {
        (P::Barrier, fault) if fault.is_missing() && in_doubt => Reaction::Unknown,
        (P::Barrier, fault) if fault.is_missing() => Reaction::Unfenced,
        // Not ready, or a causal wait that took too long: another node may do better.
        (P::Barrier, _) => Reaction::NextLink,
        // With `secure_timestamp`, a replay has the time of its own.
        (P::ReplayOwn, Fault::OptionPrevents) => Reaction::RetryNow,
        // Not for ever: a statement may raise such an error itself.
        (P::Replay | P::ReplayOwn, fault) if fault.doubts_node() && !facts.exhausted => {
            Reaction::NextLink
        }
        (P::Replay | P::ReplayOwn, Fault::Conflict | Fault::LockWait) => {
            Reaction::Retry(Why::RolledBack)
        }
        // The row that is there is the ghost's, as the fence will tell; or another one, which keeps the ghost from being
        // committed too. The client knows no id of ours yet, so it may be another.
        (P::Replay | P::ReplayOwn, Fault::Duplicate) if facts.may_choose_anew => {
            Reaction::Retry(Why::Anew)
        }
        // The ghost of this very transaction may be in the way: the fence knows.
        (P::Replay | P::ReplayOwn, _) if in_doubt => Reaction::Retry(Why::InDoubt),
        (P::Replay | P::ReplayOwn, _) => Reaction::Differs,
        (P::Prepare, fault) if fault.is_missing() => Reaction::LeaveOut,
        (P::Settings, fault) if fault.is_of_statement() => Reaction::OneByOne,
        (P::Setting, Fault::UnknownVariable | Fault::WrongValue) => Reaction::OtherWay,
        // The client has not set it either: the server reports it of its own accord.
        (P::Setting | P::SettingAgain, Fault::NotOfSession) => Reaction::PassOver,
        (_, fault) if fault.doubts_node() => Reaction::NextLink,
        (_, Fault::OptionPrevents) => Reaction::RetryNow,
        // Between two statements of a replay: something else was committed meanwhile, maybe the ghost of this very
        // transaction.
        (_, Fault::Conflict) => Reaction::Retry(Why::Overtaken),
        _ => Reaction::Refuse,
    }
}

#[cfg(test)]
mod tests;
