//! Leavings of a statement: state of its session that is at its node alone.

use ido_proxy_protocol::statement::{Belonging, Holding, Kind, Statement};

use super::blocker::{Blocker, Blockers};
use super::text::{begins_with, is_exotic, may_name};

/// Leavings of a statement, as far as its words tell. A stored routine is not looked into.
#[derive(Clone, Debug, Default)]
pub(crate) struct Leavings {
    /// Why the session cannot move.
    pub(crate) session: Blockers,
    /// Why the transaction that is open then cannot be done again.
    pub(crate) transaction: Blockers,
    /// Things that are taken or given back by name.
    pub(crate) holding: Option<Holding>,
    /// A temporary table may have another name from then on.
    pub(crate) renames: bool,
}

impl Leavings {
    /// Those of this statement.
    pub(crate) fn of(statement: &Statement<'_>) -> Self {
        let (mut session, mut transaction) = (Blockers::default(), Blockers::default());
        let holding = statement.holding();
        // The words in a body are as good as any.
        let hidden = |word: &[u8]| statement.open_ended && statement.mentions(word);
        if hidden(b"TEMPORARY") {
            session.insert(Blocker::TemporaryTable);
        }
        if hidden(b"PREPARE") || statement.executes_what_takes() {
            session.insert(Blocker::SqlPrepare);
        }
        match statement.kind {
            Kind::TemporaryTable if !gives_back(holding.as_ref()) => {
                session.insert(Blocker::TemporaryTable);
            }
            Kind::Prepare => session.insert(Blocker::SqlPrepare),
            Kind::Call | Kind::Execute => transaction.insert(Blocker::Call),
            Kind::Ddl | Kind::Other if is_exotic(statement.sql) => session.insert(Blocker::Exotic),
            // KILL commits what is open.
            Kind::Other if begins_with(statement.sql, b"KILL") => transaction.insert(Blocker::Ddl),
            _ => {}
        }
        if statement.open_ended {
            // A block may have committed a part, and have begun the transaction behind that.
            transaction.insert(Blocker::Compound);
        }
        if statement.mentions_user_variable() {
            session.insert(Blocker::UserVariable);
        }
        if may_name(statement.sql, *b"t_l", b"GET_LOCK") && statement.mentions(b"GET_LOCK") {
            session.insert(Blocker::NamedLock);
        }
        let renames = statement.open_ended
            || matches!(statement.kind, Kind::Ddl | Kind::Execute | Kind::Call);
        Self { session, transaction, holding, renames }
    }
}

/// Whether a statement takes nothing.
fn gives_back(holding: Option<&Holding>) -> bool {
    matches!(holding, Some(Holding::Gives(..) | Holding::GivesAll(_)))
}

impl From<Belonging> for Blocker {
    fn from(kind: Belonging) -> Self {
        match kind {
            Belonging::NamedLock => Self::NamedLock,
            Belonging::SqlStatement => Self::SqlPrepare,
            Belonging::TemporaryTable => Self::TemporaryTable,
            Belonging::Timestamp => Self::Timestamp,
        }
    }
}
