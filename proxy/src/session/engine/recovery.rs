//! Where a session stands on the way back after a loss, see [`super::way_back`].

use std::collections::VecDeque;

use super::policy::Why;
use super::task::Task;
use super::words::{NOW, ROLLBACK, query};
use crate::session::state::diagnostics::CLEAR;
use crate::session::state::journal::store::Cursor;
use crate::session::state::session_state::SessionState;

/// Where the way back stands.
#[derive(Debug)]
pub(super) struct Recovery {
    pub(super) phase: Phase,
    pub(super) queue: VecDeque<Request>,
    pub(super) start: Start,
    /// A short wait first, so that those who deadlocked do not meet again.
    pub(super) pause: bool,
    /// Whether the link takes several statements in one text now.
    pub(super) multi: Option<bool>,
    pub(super) place: Place,
    /// The barrier reads the fence.
    pub(super) reads_fence: bool,
    /// Rows that the barrier read so far.
    pub(super) rows: Vec<u8>,
    /// The link may be in any state that the session was in: a replay was broken off on it.
    pub(super) unsettled: bool,
}

/// Where a recovery begins.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Start {
    /// On a new link: everything is to be set up.
    NewLink,
    /// On the same link, and the fence tells what was committed.
    InDoubt,
    /// On the same link: the server has rolled back what is to be done again.
    RolledBack,
}

/// How far a replay has come.
#[derive(Debug, Default)]
pub(super) struct Place {
    pub(super) cursor: Cursor,
    /// The next of the steps in hand that are pending.
    pub(super) pending: usize,
    /// The next statement of the record at the cursor, or of that step.
    pub(super) statement: usize,
    /// An id was asked for, and may still be given to the next row that wants one.
    pub(super) id_is_set: bool,
}

/// Part of the way back.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Phase {
    Barrier,
    Setup,
    Replay,
    Over,
}

/// A request of ours on it.
#[derive(Debug)]
pub(super) struct Request {
    pub(super) task: Task,
    pub(super) payload: Vec<u8>,
}

impl Recovery {
    /// On a new link. `ghost` is the thread of the link before, if that was to the same node: it may
    /// still hold locks.
    pub(super) fn on_new_link(ghost: Option<u32>) -> Self {
        let mut recovery = Self::new(Phase::Barrier, Start::NewLink);
        if let Some(thread) = ghost {
            recovery.push(Task::Attempt, query(format!("KILL {thread}")));
            // Should the thread be gone, an error is in the list that the client may read.
            recovery.push(Task::Attempt, query(CLEAR));
        }
        recovery
    }

    /// On the same link, for this reason.
    pub(super) fn of(why: Why, session: &SessionState) -> Self {
        match why {
            Why::RolledBack => Self::rolled_back(),
            Why::InDoubt => Self::in_doubt(),
            Why::Hearsay | Why::Anew | Why::Overtaken => Self::in_doubt_or_not(session),
        }
    }

    /// On the same link, after a COMMIT that the server refused, maybe.
    pub(super) fn in_doubt() -> Self {
        let mut recovery = Self::new(Phase::Barrier, Start::InDoubt);
        recovery.pause = true;
        // A replay that was broken off has set it.
        recovery.push(Task::Attempt, query(NOW));
        recovery.push(Task::Attempt, query(ROLLBACK));
        recovery
    }

    /// On the same link, after the server rolled the transaction back.
    pub(super) fn rolled_back() -> Self {
        Self { phase: Phase::Setup, start: Start::RolledBack, ..Self::in_doubt() }
    }

    /// On the same link, to do the open transaction again without the guard.
    pub(super) fn unguarding() -> Self {
        Self { pause: false, ..Self::rolled_back() }
    }

    /// On the same link, after we have rolled back ourselves.
    pub(super) fn in_doubt_or_not(session: &SessionState) -> Self {
        if session.fence.is_in_doubt() { Self::in_doubt() } else { Self::rolled_back() }
    }

    /// Nothing but a rollback, on the same link. A replay that was broken off has left it in the state in
    /// which the transaction began.
    pub(super) fn giving_up() -> Self {
        Self { phase: Phase::Setup, pause: false, unsettled: true, ..Self::in_doubt() }
    }

    fn new(phase: Phase, start: Start) -> Self {
        Self {
            phase,
            queue: VecDeque::new(),
            start,
            pause: false,
            multi: None,
            place: Place::default(),
            reads_fence: false,
            rows: Vec::new(),
            unsettled: false,
        }
    }

    pub(super) fn push(&mut self, task: Task, payload: Vec<u8>) {
        self.queue.push_back(Request { task, payload });
    }
}
