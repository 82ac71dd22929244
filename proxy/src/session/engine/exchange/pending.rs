//! Steps that are done in the open transaction, and that the client has not been told of.

use ido_proxy_protocol::command::Command;

use super::{Exchange, Ghost, Pending};
use crate::session::engine::running::Running;
use crate::session::plan::What;
use crate::session::plan::blocker::Blocker;
use crate::session::state::journal::record::Record;
use crate::session::state::session_state::SessionState;

impl Exchange {
    /// Keeps what the step in hand did in the transaction that is open after it.
    pub(in crate::session::engine) fn record(
        &mut self,
        session: &mut SessionState,
        running: Running,
    ) {
        let Some(step) = self.script.step() else { return };
        if !session.transaction.is_open() || step.frame.is_some() || step.is_ours() {
            return;
        }
        if let Some(reason) = self.transaction.first() {
            session.cannot_replay(reason);
        }
        let kept =
            [Command::Query, Command::StmtExecute, Command::StmtBulkExecute, Command::InitDb];
        if !self.keeps {
            // The session could not move meanwhile. If it can again, this part is missing.
            session.cannot_replay(Blocker::Unkept);
        }
        if !kept.contains(&self.command) || running.told.is_empty() {
            if session.records == 0 && !self.has_pending(session) {
                // The end of the transaction before began this one (AND CHAIN), and no statement of its own.
                session.cannot_replay(Blocker::Unkept);
            }
            return;
        }
        let pieces = step.pieces.get(running.cut..).unwrap_or_default();
        let pieces = pieces.get(..running.told.len()).unwrap_or(pieces);
        let (text, bounds) = match pieces {
            [first, .., last] => {
                let from = |place| (place - first.start) as u32;
                let bounds = pieces.iter().map(|piece| (from(piece.start), from(piece.end)));
                (first.start..last.end, bounds.collect())
            }
            [one] if step.what != What::Whole || step.pieces.len() > 1 => {
                (one.start..one.end, Vec::new())
            }
            _ => (0..self.request.len().saturating_sub(1), Vec::new()),
        };
        let Running { cut, mark, told, shared, .. } = running;
        let done = Pending { step: self.script.place(), cut, mark, bounds, told, shared, text };
        if self.pending_in != session.ended {
            self.pending.clear();
            self.pending_in = session.ended;
        }
        self.pending.push(done);
        let waits = self.command == Command::Query
            && !self.reply.has_begun()
            && !self.script.behind(self.script.place()).is_empty();
        if !waits {
            return self.keep(session);
        }
        if session.records == 0 {
            session.settings.begin(self.state.clone());
        }
    }

    /// Keeps what is pending in the transaction that is still open: the client is told of it now.
    pub(in crate::session::engine) fn keep(&mut self, session: &mut SessionState) {
        let pending = std::mem::take(&mut self.pending);
        if self.pending_in != session.ended {
            return;
        }
        for done in pending {
            if done.shared {
                session.cannot_replay(Blocker::SharedInsert);
            }
            session.record(&self.as_record(done), &self.state);
        }
    }

    fn as_record(&self, done: Pending) -> Record<'_> {
        let Pending { bounds, told, text, .. } = done;
        let sql = self.request.get(1..).unwrap_or_default();
        let payload = sql.get(text).unwrap_or_default();
        Record { command: self.command, at: self.came, bounds, told, payload }
    }

    /// Whether anything is pending in the open transaction.
    pub(in crate::session::engine) fn has_pending(&self, session: &SessionState) -> bool {
        !self.pending.is_empty() && self.pending_in == session.ended
    }

    /// The step at this `place` of those that are pending in the open transaction.
    pub(in crate::session::engine) fn pending(
        &self,
        place: usize,
        session: &SessionState,
    ) -> Option<Record<'_>> {
        let done = self.pending.get(place).filter(|_| self.has_pending(session));
        done.map(|done| self.as_record(done.clone()))
    }

    /// Goes back to before what is pending: its steps will be sent anew, and what they told is forgotten.
    pub(super) fn rewind(&mut self, session: &mut SessionState) -> bool {
        let pending = std::mem::take(&mut self.pending);
        let Some(first) = pending.into_iter().next().filter(|_| self.pending_in == session.ended)
        else {
            return false;
        };
        if session.fence.is_in_doubt() {
            let told = self.reply.cut(first.mark);
            self.rewound.push((first.mark, Ghost::of(told, session)));
            session.fence.sent_anew();
        }
        self.script.go_back(first.step);
        self.reply.roll_back(first.mark);
        self.script.drop_pieces(first.cut);
        if session.records == 0 {
            session.transaction.gone();
        }
        true
    }
}
