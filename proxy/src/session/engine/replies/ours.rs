//! Results of what is ours: the fence, COMMIT and BEGIN around a statement. No client sees them.

use ido_proxy_protocol::Violation;
use ido_proxy_protocol::err::ErrPacket;
use ido_proxy_protocol::error_code::{DATA_OUT_OF_RANGE, UNKNOWN_COLUMN};
use ido_proxy_protocol::ok::OkPacket;
use ido_proxy_protocol::packet::HEADER_LEN;
use ido_proxy_protocol::reply::ReplyStep;

use super::Replies;
use crate::session::engine::OURS;
use crate::session::engine::fault::Fault;
use crate::session::engine::recovery::Recovery;
use crate::session::engine::running::{Framed, Job, Owner, Running};
use crate::session::plan::blocker::Reason;
use crate::session::plan::{Risk, Step, What};
use crate::session::state::reports::Reports;

impl Replies<'_> {
    pub(super) fn own_packet(
        &mut self,
        owner: Owner,
        step: ReplyStep,
        bytes: &[u8],
        ended: bool,
    ) -> Result<(), Violation> {
        self.swallow(bytes.len());
        let payload = bytes.get(HEADER_LEN..).unwrap_or_default();
        if let Some(Running { job: Job::Task(_), .. }) = &self.exchange.running {
            return self.task_packet(step, bytes, ended);
        }
        if let Some(Running { job: Job::Ask, .. }) = &self.exchange.running {
            return self.answer_packet(step, bytes, ended);
        }
        let what = self.own_what();
        if ended {
            let diagnostics = self.carried.book.diagnostics();
            match what {
                Some(What::PutRowCountBack) => diagnostics.restored(),
                _ => diagnostics.disturb(),
            }
            self.leave_out_packet();
        }
        if let (Some(What::Several(on)), true) = (&what, ended)
            && !matches!(step, ReplyStep::Err { .. })
        {
            self.carried.several.turned(*on);
            return Ok(());
        }
        let fails = self.framed().is_some() && matches!(step, ReplyStep::Err { .. });
        if let (Some(What::KeepWarnings | What::AskReports | What::AskState), false) =
            (&what, fails)
        {
            self.rows_packet(what.as_ref(), step, bytes, ended);
            return Ok(());
        }
        match (owner, step) {
            (_, ReplyStep::Err { .. }) => self.own_error(owner, ErrPacket::decode(payload)?),
            (Owner::Fence, ReplyStep::Ok { status, state_changed, .. }) => {
                let packet = OkPacket::decode(payload, self.link)?;
                let before = self.carried.transaction.clone();
                let Some(running) = &mut self.exchange.running else { return Ok(()) };
                if running.given_up {
                    return Ok(());
                }
                self.carried.learn_ok(payload, status, state_changed, self.link)?;
                if !self.carried.transaction.is_open() {
                    running.given_up = true;
                    self.carried.transaction = before;
                    return Ok(());
                }
                if self.carried.fence.matches(packet.affected_rows) {
                    self.carried.fence.was_set();
                    return Ok(());
                }
                self.fence_differs();
                Ok(())
            }
            (_, ReplyStep::Ok { .. }) => {
                if self.framed().is_some()
                    && self.exchange.running.as_ref().is_some_and(|running| running.given_up)
                {
                    // The row tells what became of it.
                    return Ok(());
                }
                let before = self.carried.transaction.clone();
                if what == Some(What::Guard(true)) {
                    self.carried.guard.turned(true);
                }
                self.learn_own(payload, step)?;
                let closed = before.is_open() && !self.carried.transaction.is_open();
                if closed
                    && what == Some(What::Guard(true))
                    && let Some(running) = &mut self.exchange.running
                {
                    running.given_up = true;
                    self.carried.transaction = before;
                }
                match what {
                    Some(What::ShowReports | What::ReportAll) => {
                        self.carried.transaction.distrust();
                    }
                    Some(What::Guard(false)) => self.carried.guard.turned(false),
                    Some(What::Commit) => {
                        self.carried.committed();
                        self.exchange.settle();
                        if self.framed().is_some()
                            && self.carried.book.diagnostics().keeps_warnings()
                        {
                            let behind = self.exchange.at + 1;
                            self.exchange.insert_step(behind, Step::put_warnings_back());
                        }
                    }
                    Some(What::Rollback) => self.carried.rolled_back(),
                    _ => {}
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// Takes in a packet of rows that a statement of ours asked for.
    fn rows_packet(&mut self, what: Option<&What>, step: ReplyStep, bytes: &[u8], ended: bool) {
        match step {
            ReplyStep::Pass(_) => self.exchange.rows.extend_from_slice(bytes),
            // Rows that cannot be read are not put back.
            ReplyStep::Err { .. } => self.exchange.rows.clear(),
            _ if ended => {
                let rows = std::mem::take(&mut self.exchange.rows);
                match what {
                    Some(What::KeepWarnings) => {
                        self.carried.book.diagnostics().keep_warnings(&rows);
                    }
                    Some(What::AskState) => self.carried.book.learn_untold(&rows),
                    _ => {
                        if let Some(reports) = Reports::read(&rows) {
                            self.carried.book.choose_reports(reports);
                        }
                    }
                }
            }
            _ => {}
        }
    }

    /// Takes in the flags, and the report, of an OK packet of ours.
    pub(in crate::session::engine) fn learn_own(
        &mut self,
        payload: &[u8],
        step: ReplyStep,
    ) -> Result<(), Violation> {
        if let ReplyStep::Ok { status, state_changed, .. } = step {
            self.carried.learn_ok(payload, status, state_changed, self.link)?;
        }
        Ok(())
    }

    /// The fence is not as it was left.
    fn fence_differs(&mut self) {
        if self.carried.fence.is_ours_alone()
            && let Some(running) = &mut self.exchange.running
        {
            // Nobody else can have changed it in earnest: another row is as good a proof. The rest of the reply still comes.
            self.carried.fence.discard();
            running.given_up = true;
            return;
        }
        // Somebody has been here before. What else the request does is undone with the link, and on the next one the
        // row tells who it was.
        self.exchange.tries += 1;
        self.lost = Some(ErrPacket::new(OURS, *b"HY000", "the fence is not as it was left"));
    }

    /// One of our own statements was refused. The account's grants and triggers cannot forge such an error: it is the
    /// node's own word.
    pub(super) fn own_error(&mut self, owner: Owner, error: ErrPacket) -> Result<(), Violation> {
        let what = self.own_what();
        let fault = Fault::of(&error);
        let commits =
            self.exchange.step().is_some_and(|step| matches!(step.risk, Risk::Commit { .. }));
        let framed = self.framed();
        if (owner == Owner::Fence && commits) || framed.is_some_and(|at| at < Framed::Commit) {
            self.carried.fence.was_not_reached();
        }
        if self.exchange.begins_flight() {
            self.exchange.begin_failed = Some(error);
            return Ok(());
        }
        if what == Some(What::PutRowCountBack) {
            // A lost error is raised again.
            return Ok(());
        }
        if matches!(framed, Some(Framed::Check | Framed::Warnings)) {
            return self.check_failed(error, fault);
        }
        if framed == Some(Framed::Fence) && error.code == UNKNOWN_COLUMN {
            tracing::warn!(%error, "commits take longer than they could: run the SQL of ido-proxy setup again");
            self.carried.fence.mark_replies_missing();
            self.again(Recovery::rolled_back(), error);
            return Ok(());
        }
        if owner == Owner::Fence && error.code == DATA_OUT_OF_RANGE {
            self.fence_differs();
            return Ok(());
        }
        match (owner, what, fault) {
            (_, _, fault) if fault.doubts_node() => self.lost = Some(error),
            // Nothing that outlives the transaction can be written in it: it needs no fence.
            (Owner::Fence, _, Fault::Missing | Fault::ReadOnly) => self.without_fence(&error),
            // With what is kept of the transaction, only a part would be replayed.
            (Owner::Fence, ..) if self.carried.stuck().is_some() => self.give_up(&error),
            (Owner::Fence, _, Fault::Duplicate) => self.again(Recovery::in_doubt(), error),
            // The session's own state, a lock for one, is in the way of the fence for good.
            (Owner::Fence, _, Fault::Statement) if self.exchange.tries > 1 => {
                self.without_fence(&error);
            }
            // Whether the transaction is still there, the error does not say. A COMMIT follows a fence that was set, or
            // none.
            (Owner::Fence, ..) => self.again(Recovery::rolled_back(), error),
            // A table that knows no transactions was written: nothing of that can be rolled back, and Galera refuses to
            // commit the fence together with it.
            (_, Some(What::Commit), Fault::Conflict)
                if self.carried.unreplayable() == Some(Reason::UnsafeWrite)
                    && self.exchange.writes_one_table(self.carried) =>
            {
                self.carried.rolled_back();
                self.carried.transaction.gone();
                self.exchange.settle();
            }
            // Nobody can replay it: a procedure, or a long command.
            (_, Some(What::Commit), _)
                if self.exchange.step().is_some_and(|step| step.restart.is_none()) =>
            {
                self.give_up(&error);
            }
            (_, Some(What::Commit), _) => {
                self.exchange.count_refusal(&error);
                self.again(Recovery::in_doubt(), error);
            }
            (_, Some(What::Guard(_)), Fault::Conflict) if self.may_move() => {
                self.again(Recovery::rolled_back(), error);
            }
            (_, Some(What::Guard(_)), Fault::Conflict) => self.give_up(&error),
            // Warnings and counts are then as our statements left them.
            (_, Some(What::PutWarningsBack | What::ShowReports), _) => {}
            // From here on nothing is sure to be told.
            (_, Some(What::ReportAll), _) => {
                self.carried.book.reasons_mut().insert(Reason::Untracked);
            }
            // A transaction that is gone needs no ROLLBACK.
            (_, Some(What::Rollback), Fault::Conflict) => {
                self.carried.rolled_back();
                self.carried.transaction.gone();
            }
            // BEGIN and ROLLBACK do not fail on a link that lives.
            _ => self.lost = Some(error),
        }
        Ok(())
    }

    /// The check of a frame has stopped its text: the transaction is gone. Where it is not, the write has left errors in
    /// the list, though it did not fail: without the check, the statement goes through.
    fn check_failed(&mut self, error: ErrPacket, fault: Fault) -> Result<(), Violation> {
        if self.exchange.begin_failed.take().is_some() {
            // The write was done all the same, and has committed by itself.
            self.exchange.settle();
            return Ok(());
        }
        if fault.doubts_node() {
            self.lost = Some(error);
            return Ok(());
        }
        if self.carried.transaction.is_open()
            && let Some(restart) = self.exchange.step().and_then(|step| step.restart)
        {
            self.exchange.part_frame(restart);
        }
        self.again(Recovery::rolled_back(), error);
        Ok(())
    }

    /// The statement of ours whose result is at hand.
    fn own_what(&self) -> Option<What> {
        match self.framed() {
            Some(Framed::Begin) => Some(What::Begin),
            Some(Framed::Warnings) => Some(What::KeepWarnings),
            Some(Framed::Fence) => Some(What::Fence),
            Some(Framed::Commit) => Some(What::Commit),
            Some(Framed::Body | Framed::Check) | None => {
                self.exchange.step().map(|step| step.what.clone())
            }
        }
    }

    /// The statement of a frame of one text whose result is at hand.
    pub(super) fn framed(&self) -> Option<Framed> {
        self.exchange.running.as_ref()?.framed()
    }

    /// The fence cannot be written: the transaction goes on without.
    pub(super) fn without_fence(&mut self, error: &ErrPacket) {
        if Fault::of(error) == Fault::Missing && self.carried.fence.mark_missing() {
            tracing::warn!(
                %error,
                "the account has no fence: a COMMIT whose reply is lost will end in an error \
                 (ido-proxy setup prints the SQL that creates it)"
            );
        }
        self.exchange.go_unfenced();
    }
}
