//! The steps of a command after its COMMIT turned out to be done or not, or its fence cannot be written.

use ido_proxy_protocol::capabilities::Capabilities;
use ido_proxy_protocol::ok::OkPacket;
use ido_proxy_protocol::status::StatusFlags;

use super::{Exchange, Ghost};
use crate::session::engine::reply_buffer::Tail;
use crate::session::plan::{Doubt, Risk, Step, What};
use crate::session::state::carried::Carried;
use crate::session::state::fence::KeptReply;

impl Exchange {
    /// Takes in that the COMMIT was done: the client is told so, and the rest of its command goes on. `kept` is the reply
    /// that the fence has kept. Returns false if nothing in the command in hand was to commit it, or if nobody knows
    /// the reply.
    pub(in crate::session::engine) fn was_committed(
        &mut self,
        carried: &mut Carried,
        kept: Option<KeptReply>,
    ) -> bool {
        self.anew = false;
        // A COMMIT that goes alone is sent once the reply to what it commits is here.
        let is_told = self.step().is_some_and(|step| {
            matches!(step.risk, Risk::Commit { .. }) && !matches!(step.what, What::Framed(_))
        });
        while self.step().is_some_and(|step| !matches!(step.risk, Risk::Commit { .. })) {
            self.at += 1;
        }
        let Some(step) = self.steps.get(self.at) else { return false };
        let Risk::Commit { resume } = step.risk else { return false };
        // The row may keep the reply to an earlier try: the one that has come is that of this flight.
        let kept = kept.filter(|_| !(is_told && step.what == What::Close));
        if step.restart.is_some() && !is_told && self.ghost.is_none() && kept.is_none() {
            return false;
        }
        carried.committed();
        carried.transaction.gone();
        self.state = carried.book.now();
        if step.restart.is_some() {
            // Our own COMMIT: what it committed was told already.
            let target = self.target(carried);
            self.at += 1;
            if let Some(Ghost { told, last_insert_id }) = self.ghost.take() {
                self.reply.roll_back_frame();
                self.reply.append(told);
                carried.book.put_insert_id_back(last_insert_id);
                self.state = carried.book.now();
            } else if let Some(kept) = kept {
                self.tell_kept_reply(kept, target, carried);
            }
            self.reply.settle();
            return true;
        }
        let (first, end) = match (step.pieces.first(), step.pieces.last()) {
            (Some(first), Some(last)) => (*first, last.end),
            _ => return true,
        };
        self.steps[self.at].risk = Risk::Repeatable;
        if resume < first.end {
            // The statement commits in passing, and is still to be done itself.
            return true;
        }
        let later = self.comes_more_behind(self.at);
        let step = &mut self.steps[self.at];
        step.pieces.remove(0);
        let next = step.pieces.first().copied();
        let status = committed_status(carried, next.is_some() || later);
        match next {
            Some(next) => step.what = What::Part(next.start..end),
            None => self.at += 1,
        }
        let ok = OkPacket { status, ..OkPacket::default() }.encode(Capabilities::PROTOCOL_41);
        self.reply.push(&ok);
        self.reply.settle();
        true
    }

    /// Tells the client the reply to its write that the fence has kept, since the node's own was lost.
    fn tell_kept_reply(&mut self, kept: KeptReply, target: Option<u64>, carried: &mut Carried) {
        let KeptReply { affected_rows, warnings, last_insert_id } = kept;
        // The last id of all may be that of this write, or of one before it.
        let generated =
            last_insert_id != self.id_before_frame || target == carried.book.id_target();
        let status = committed_status(carried, self.comes_more_behind(self.at - 1));
        let ok = OkPacket {
            affected_rows,
            last_insert_id: if generated { last_insert_id } else { 0 },
            status,
            warnings,
            ..OkPacket::default()
        };
        carried.book.put_insert_id_back(last_insert_id);
        carried.book.diagnostics().counted(affected_rows, warnings);
        self.state = carried.book.now();
        self.reply.roll_back_frame();
        self.reply.push(&ok.encode(Capabilities::PROTOCOL_41));
    }

    /// Whether a step behind that at `at` has something for the client.
    fn comes_more_behind(&self, at: usize) -> bool {
        self.steps.iter().skip(at + 1).any(|step| !step.is_ours())
    }

    /// Keeps what the wrapped statement in hand has told: it may turn out to be committed.
    pub(super) fn keep_ghost(&mut self, told: Tail, carried: &Carried) {
        let last_insert_id = carried.book.now().last_insert_id;
        self.ghost = Some(Ghost { told, last_insert_id });
    }

    /// The statement whose frame is at `at` goes with what begins its transaction, and no longer with the COMMIT.
    pub(in crate::session::engine) fn part_frame(&mut self, at: usize) {
        if self.is_one_flight(at) {
            self.steps[at + 2].what = What::Commit;
            let restart = self.steps[at].restart;
            self.insert_step(at + 1, Step { restart, ..Step::fence() });
            self.at += usize::from(self.at > at);
            return;
        }
        let Some(step) = self.steps.get_mut(at) else { return };
        let What::Framed(range) = &step.what else { return };
        step.what = What::Wrapped(range.clone());
        let risk = std::mem::replace(&mut step.risk, Risk::Repeatable);
        let commit = Step::commit_of(step.restart, risk);
        self.insert_step(at + 1, commit);
    }

    /// Takes in that the COMMIT was not done: the transaction is replayed.
    pub(in crate::session::engine) fn was_undone(&mut self, carried: &mut Carried) {
        carried.fence.undone();
        if carried.records == 0 && !self.has_pending(carried) {
            // A transaction that is open was begun by what is to be sent again.
            carried.transaction.gone();
        }
        if std::mem::take(&mut self.anew) && !self.reply.has_begun() && self.rewind(carried) {
            return;
        }
        let Some(step) = self.steps.get(self.at) else { return };
        if let Some(restart) = step.restart {
            carried.transaction.gone();
            let framed = matches!(step.what, What::Framed(_));
            let commits = matches!(step.risk, Risk::Commit { .. });
            if carried.fence.is_in_doubt() && self.is_one_frame(restart) {
                self.part_frame(restart);
                self.unwrap(restart);
            }
            if framed || self.at == restart {
                // The wrapped statement has not begun: the packets held are those of statements before it.
                return;
            }
            if commits {
                let told = self.reply.cut_frame();
                self.keep_ghost(told, carried);
                self.unwrap(restart);
            }
            self.at = restart;
            self.reply.roll_back_frame();
        } else if matches!(step.risk, Risk::Commit { .. } | Risk::Doubtful(_)) {
            self.insert_step(self.at, Step::fence());
        }
    }

    /// The wrapped statement at `restart` goes behind BEGIN and fence, and no longer in one text with them. A ghost
    /// writes the same fence: were that certified in the middle of the text, the statement would be committed
    /// by itself.
    fn unwrap(&mut self, restart: usize) {
        let Some(step) = self.steps.get_mut(restart) else { return };
        let What::Wrapped(range) = &step.what else { return };
        step.what = What::Part(range.clone());
        let ours = Step::opening(restart);
        self.shift_restarts(|other| other + if other > restart { ours.len() } else { 0 });
        self.steps.insert_many(restart, ours);
    }

    /// The text of the step in hand has stopped at its fence, in front of the statement at `place`: the rest of it becomes
    /// a step of its own.
    fn part_at_fence(&mut self, place: usize) {
        let Some(step) = self.steps.get_mut(self.at) else { return };
        let mut rest = step.clone();
        (rest.fence_at, step.fence_at) = (None, None);
        rest.pieces.drain(..place.min(rest.pieces.len()));
        step.pieces.truncate(place);
        if let (What::Part(range), Some(next)) = (&mut rest.what, rest.pieces.first()) {
            range.start = next.start;
        }
        match step.pieces.last() {
            Some(last) => {
                if let What::Part(range) = &mut step.what {
                    range.end = last.end;
                }
                step.risk = Risk::Repeatable;
            }
            None => *step = Step::fence(),
        }
        self.insert_step(self.at + 1, rest);
    }

    /// The fence cannot be written, as the step in hand has shown: what is to come goes without.
    pub(in crate::session::engine) fn go_unfenced(&mut self) {
        let unfenced = Risk::Doubtful(Doubt::Unfenced);
        if let Some(place) = self.step().and_then(|step| step.fence_at) {
            self.part_at_fence(place);
        }
        let wrapped = self.step().and_then(|step| step.restart);
        if let Some(restart) = wrapped {
            // The statement itself was not reached. It goes by itself, as it came.
            let member = |step: &&Step| step.restart == wrapped && !step.is_ours();
            let Some(statement) = self.steps.iter().skip(restart).find(member) else { return };
            // The reply to it may be held already, and is rolled back.
            self.reply.roll_back_frame();
            let what = match &statement.what {
                What::Framed(range) | What::Wrapped(range) => What::Part(range.clone()),
                what => what.clone(),
            };
            let mut alone = statement.clone();
            alone.what = what;
            alone.risk = unfenced;
            alone.restart = None;
            while self.steps.get(self.at + 1).is_some_and(|step| step.restart == wrapped) {
                self.remove_step(self.at + 1);
            }
            self.insert_step(self.at + 1, alone);
            self.insert_step(self.at + 1, Step::rollback());
        }
        for step in self.steps.iter_mut().skip(self.at + 1) {
            if matches!(step.risk, Risk::Commit { .. }) && step.restart.is_none() {
                step.risk = unfenced;
            }
        }
    }
}

/// The flags of a reply of ours behind a COMMIT.
fn committed_status(carried: &Carried, more: bool) -> StatusFlags {
    let mut status = carried.book.status();
    status.remove(StatusFlags::IN_TRANS);
    status.remove(StatusFlags::MORE_RESULTS);
    status.remove(StatusFlags::SESSION_STATE_CHANGED);
    if more { status | StatusFlags::MORE_RESULTS } else { status }
}
