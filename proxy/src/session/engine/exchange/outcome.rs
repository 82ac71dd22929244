//! The steps of a command after its COMMIT turned out to be done or not, or its fence cannot be written.

use ido_proxy_protocol::capabilities::Capabilities;
use ido_proxy_protocol::ok::OkPacket;
use ido_proxy_protocol::status::StatusFlags;

use super::target::Target;
use super::{Exchange, Ghost};
use crate::session::engine::reply_buffer::Tail;
use crate::session::plan::{Risk, Step, What};
use crate::session::state::fence::KeptReply;
use crate::session::state::session_state::SessionState;

impl Exchange {
    /// Takes in that a ghost has committed what was sent anew since, for the time of this number: the client is told what
    /// that one has told. Returns false if nothing is known of that.
    pub(in crate::session::engine) fn was_committed_before(
        &mut self,
        session: &mut SessionState,
        number: usize,
    ) -> bool {
        if number >= self.rewound.len() {
            return false;
        }
        let (mark, Ghost { told, last_insert_id }) = self.rewound.swap_remove(number);
        self.reply.roll_back(mark);
        self.reply.append(told);
        session.settings.put_insert_id_back(last_insert_id);
        session.fence.committed_before(number);
        self.was_committed(session, None)
    }

    /// Takes in that the COMMIT was done: the client is told so, and the rest of its command goes on. `kept` is the reply
    /// that the fence has kept. Returns false if nothing in the command in hand was to commit it, or if nobody knows
    /// the reply.
    pub(in crate::session::engine) fn was_committed(
        &mut self,
        session: &mut SessionState,
        kept: Option<KeptReply>,
    ) -> bool {
        self.attempt.anew = false;
        // A COMMIT that goes alone is sent once the reply to what it commits is here.
        let is_told = self.step().is_some_and(|step| {
            matches!(step.risk, Risk::Commit { .. }) && !matches!(step.what, What::Framed(_))
        });
        self.rewound.clear();
        while let Some(step) = self.step()
            && !matches!(step.risk, Risk::Commit { .. })
        {
            self.script.skip();
        }
        let Some(step) = self.step() else { return false };
        let Risk::Commit { resume } = step.risk else { return false };
        // The row may keep the reply to an earlier try: the one that has come is that of this flight.
        let kept = kept.filter(|_| !(is_told && step.what == What::Close));
        if step.frame.is_some() && !is_told && self.ghost.is_none() && kept.is_none() {
            return false;
        }
        session.committed();
        session.transaction.gone();
        // The link that is there knows nothing of it.
        session.settings.diagnostics().disturb();
        let (framed, first) = (step.frame.is_some(), step.pieces.first().copied());
        self.state = session.settings.now();
        if framed {
            // Our own COMMIT: what it committed was told already.
            let target = self.target(session);
            self.script.skip();
            if let Some(Ghost { told, last_insert_id }) = self.ghost.take() {
                self.reply.roll_back_frame();
                self.reply.append(told);
                session.settings.put_insert_id_back(last_insert_id);
                self.state = session.settings.now();
            } else if let Some(kept) = kept {
                self.tell_kept_reply(kept, target, session);
            }
            self.reply.settle();
            return true;
        }
        let Some(first) = first else { return true };
        if let Some(step) = self.script.step_mut() {
            step.risk = Risk::Repeatable;
        }
        if resume < first.end {
            // The statement commits in passing, and is still to be done itself.
            return true;
        }
        let later = self.script.comes_more_behind(self.script.place());
        let next = self.script.commit_done();
        session.settings.diagnostics().counted_beside(0, 0);
        session.settings.diagnostics().disturb();
        let status = committed_status(session, next.is_some() || later);
        let ok = OkPacket { status, ..OkPacket::default() }.encode(Capabilities::PROTOCOL_41);
        self.reply.push(&ok);
        self.reply.settle();
        true
    }

    /// Tells the client the reply to its write that the fence has kept, since the node's own was lost.
    fn tell_kept_reply(
        &mut self,
        kept: KeptReply,
        target: Option<Target>,
        session: &mut SessionState,
    ) {
        let before = self.id_before_frame;
        let id =
            target.map_or(0, |target| target.id_of(&kept, before, session.settings.write_ids()));
        let KeptReply { affected_rows, warnings, last_insert_id } = kept;
        let status =
            committed_status(session, self.script.comes_more_behind(self.script.place() - 1));
        let ok =
            OkPacket { affected_rows, last_insert_id: id, status, warnings, ..OkPacket::default() };
        session.settings.put_insert_id_back(last_insert_id);
        if let Some(target) = target {
            target.told(affected_rows, id, session.settings.write_ids_mut());
        }
        session.settings.diagnostics().counted(affected_rows, warnings);
        session.settings.diagnostics().disturb();
        self.state = session.settings.now();
        self.reply.roll_back_frame();
        self.reply.push(&ok.encode(Capabilities::PROTOCOL_41));
    }

    /// Keeps what the wrapped statement in hand has told: it may turn out to be committed.
    pub(super) fn keep_ghost(&mut self, told: Tail, session: &SessionState) {
        self.ghost = Some(Ghost::of(told, session));
    }

    /// Takes in that the COMMIT was not done: the transaction is replayed.
    pub(in crate::session::engine) fn was_undone(&mut self, session: &mut SessionState) {
        session.fence.undone();
        if session.records == 0 && !self.has_pending(session) {
            // A transaction that is open was begun by what is to be sent again.
            session.transaction.gone();
        }
        if std::mem::take(&mut self.attempt.anew) && !self.reply.has_begun() && self.rewind(session)
        {
            return;
        }
        let Some(step) = self.step() else { return };
        if let Some(frame) = step.frame {
            let start = self.script.start_of(frame);
            session.transaction.gone();
            let framed = matches!(step.what, What::Framed(_));
            let commits = matches!(step.risk, Risk::Commit { .. });
            if session.fence.is_in_doubt() && self.script.is_one_frame(start) {
                self.script.part_frame(start);
                self.script.unwrap(frame);
            }
            if framed || self.script.place() == start {
                // The wrapped statement has not begun: the packets held are those of statements before it.
                return;
            }
            if commits {
                let told = self.reply.cut_frame();
                self.keep_ghost(told, session);
                self.script.unwrap(frame);
            }
            self.script.go_back(start);
            self.reply.roll_back_frame();
        } else if matches!(step.risk, Risk::Commit { .. } | Risk::Doubtful(_)) {
            self.script.insert_here(Step::fence());
        }
    }

    /// The fence cannot be written, as the step in hand has shown: what is to come goes without.
    pub(in crate::session::engine) fn go_unfenced(&mut self) {
        if self.script.go_unfenced() {
            // The reply to the statement may be held already, and is rolled back.
            self.reply.roll_back_frame();
        }
    }
}

/// The flags of a reply of ours behind a COMMIT.
fn committed_status(session: &SessionState, more: bool) -> StatusFlags {
    let mut status = session.settings.status();
    status.remove(StatusFlags::IN_TRANS);
    status.remove(StatusFlags::IN_TRANS_READONLY);
    status.remove(StatusFlags::MORE_RESULTS);
    status.remove(StatusFlags::SESSION_STATE_CHANGED);
    if more { status | StatusFlags::MORE_RESULTS } else { status }
}
