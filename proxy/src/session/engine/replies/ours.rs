//! Results of what is ours: the fence, COMMIT and BEGIN around a statement. No client sees them.

use ido_proxy_protocol::Violation;
use ido_proxy_protocol::err::ErrPacket;
use ido_proxy_protocol::ok::OkPacket;
use ido_proxy_protocol::packet::HEADER_LEN;
use ido_proxy_protocol::reply::ReplyStep;

use super::Replies;
use crate::session::engine::fault::Fault;
use crate::session::engine::policy::{Facts, Position, Reaction, Redo, Within, react};
use crate::session::engine::recovery::Recovery;
use crate::session::engine::running::{Framed, Job, Owner, Running};
use crate::session::engine::words::OURS;
use crate::session::plan::blocker::Blocker;
use crate::session::plan::{Risk, Step, What};
use crate::session::state::reports::Reports;
use crate::session::state::transaction::Transaction;

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
            if ended {
                // A replay counts rows, and clears the list.
                self.session.settings.diagnostics().moved();
            }
            return self.task_packet(step, bytes, ended);
        }
        if let Some(Running { job: Job::Ask, .. }) = &self.exchange.running {
            return self.answer_packet(step, bytes, ended);
        }
        let what = self.own_what();
        if ended {
            let diagnostics = self.session.settings.diagnostics();
            let failed = matches!(step, ReplyStep::Err { .. });
            match what {
                Some(What::PutRowCountBack) => diagnostics.restored(failed),
                // An error that is raised again is the client's.
                Some(What::PutWarningsBack) => diagnostics.disturb(),
                _ if failed => diagnostics.left_an_error(),
                _ => diagnostics.disturb(),
            }
            self.leave_out_packet();
        }
        if let (Some(What::Several(on)), true) = (&what, ended)
            && !matches!(step, ReplyStep::Err { .. })
        {
            self.session.several.turned(*on);
            return Ok(());
        }
        let fails = match step {
            ReplyStep::Err { .. } => {
                let conflict = Fault::of(&ErrPacket::decode(payload)?) == Fault::Conflict;
                self.framed().is_some() || (conflict && self.session.transaction.is_open())
            }
            _ => false,
        };
        if let (Some(What::KeepWarnings | What::AskReports | What::AskState), false) =
            (&what, fails)
        {
            self.rows_packet(what.as_ref(), step, bytes, ended);
            return Ok(());
        }
        match (owner, step) {
            (_, ReplyStep::Err { .. }) => {
                self.own_error(owner, ErrPacket::decode(payload)?);
                Ok(())
            }
            (Owner::Fence, ReplyStep::Ok { .. }) => self.fence_ok(step, payload),
            (_, ReplyStep::Ok { .. }) => self.own_ok(what, step, payload),
            _ => Ok(()),
        }
    }

    /// The fence was written, or not.
    fn fence_ok(&mut self, step: ReplyStep, payload: &[u8]) -> Result<(), Violation> {
        let packet = OkPacket::decode(payload, self.link)?;
        let before = self.session.transaction.clone();
        if self.exchange.running.as_ref().is_none_or(|running| running.given_up) {
            return Ok(());
        }
        self.learn_own(payload, step)?;
        if !self.session.transaction.is_open() {
            self.give_up_silently(before);
        } else if self.session.fence.matches(packet.affected_rows) {
            self.session.fence.was_set();
        } else {
            self.fence_differs();
        }
        Ok(())
    }

    /// Another statement of ours was done.
    fn own_ok(
        &mut self,
        what: Option<What>,
        step: ReplyStep,
        payload: &[u8],
    ) -> Result<(), Violation> {
        if self.framed().is_some()
            && self.exchange.running.as_ref().is_some_and(|running| running.given_up)
        {
            // The row tells what became of it.
            return Ok(());
        }
        let before = self.session.transaction.clone();
        if what == Some(What::Guard(true)) {
            self.session.guard.turned(true);
        }
        self.learn_own(payload, step)?;
        let closed = before.is_open() && !self.session.transaction.is_open();
        match what {
            Some(What::Guard(true)) if closed => self.give_up_silently(before),
            Some(What::ShowReports | What::ReportAll) => self.session.transaction.distrust(),
            Some(What::Guard(false)) => self.session.guard.turned(false),
            Some(What::Commit) => {
                self.session.committed();
                self.exchange.reply.settle();
                if self.framed().is_some() && self.session.settings.diagnostics().keeps_warnings() {
                    self.exchange.script.insert_behind(Step::put_warnings_back());
                }
            }
            Some(What::Rollback) => self.session.rolled_back(),
            _ => {}
        }
        Ok(())
    }

    /// The server has ended the transaction, and said OK: for the client it is as it was `before`.
    fn give_up_silently(&mut self, before: Transaction) {
        if let Some(running) = &mut self.exchange.running {
            running.given_up = true;
            self.session.transaction = before;
        }
    }

    /// Takes in a packet of rows that a statement of ours asked for.
    fn rows_packet(&mut self, what: Option<&What>, step: ReplyStep, bytes: &[u8], ended: bool) {
        match step {
            ReplyStep::Pass(_) => self.exchange.rows.extend_from_slice(bytes),
            // Rows that cannot be read are not put back.
            ReplyStep::Err { .. } => {
                self.exchange.rows.clear();
                if what == Some(&What::AskReports) {
                    self.session.settings.reasons_mut().insert(Blocker::Untracked);
                    if !std::mem::take(&mut self.exchange.unreported).is_empty() {
                        // One of the names is no variable, which the client has been told. The rest can be read.
                        self.exchange.script.insert_behind(Step::ask_reports());
                    }
                }
            }
            _ if ended => {
                let rows = std::mem::take(&mut self.exchange.rows);
                match what {
                    Some(What::KeepWarnings) => {
                        self.session.settings.diagnostics().keep_warnings(&rows);
                    }
                    Some(What::AskState) => self.session.settings.learn_untold(&rows),
                    _ => {
                        let names = std::mem::take(&mut self.exchange.unreported);
                        let Some((reports, values)) = Reports::read(&rows, names.len()) else {
                            return;
                        };
                        self.session.settings.choose_reports(reports);
                        for (name, value) in names.iter().zip(&values) {
                            self.session.learn_variable(name, value);
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
            self.session.learn_ok(payload, status, state_changed, self.link)?;
        }
        Ok(())
    }

    /// The fence is not as it was left.
    fn fence_differs(&mut self) {
        if self.session.fence.is_ours_alone()
            && let Some(running) = &mut self.exchange.running
        {
            // Nobody else can have changed it in earnest: another row is as good a proof. The rest of the reply still comes.
            self.session.fence.discard();
            running.given_up = true;
            return;
        }
        // Somebody has been here before. What else the request does is undone with the link, and on the next one the
        // row tells who it was.
        self.exchange.attempt.tries += 1;
        self.lost = Some(ErrPacket::new(OURS, *b"HY000", "the fence is not as it was left"));
    }

    /// One of our own statements was refused.
    pub(super) fn own_error(&mut self, owner: Owner, error: ErrPacket) {
        let commits =
            self.exchange.step().is_some_and(|step| matches!(step.risk, Risk::Commit { .. }));
        let framed = self.framed();
        if (owner == Owner::Fence && commits) || framed.is_some_and(|at| at < Framed::Commit) {
            self.session.fence.was_not_reached();
        }
        if self.exchange.begins_flight() {
            self.exchange.begin_failed = Some(error);
            return;
        }
        let at = self.own_position(owner);
        let bound = match at {
            Position::Fence | Position::ReplyFence => self.session.stuck().is_some(),
            Position::Commit | Position::UnsafeCommit => {
                self.exchange.step().is_some_and(|step| step.frame.is_none())
            }
            _ => !self.may_move(),
        };
        let redo = if bound { Redo::Never } else { Redo::Here };
        let exhausted = self.exchange.attempt.tries > 1;
        let open = self.session.transaction.is_open();
        let within = if open { Within::Clients } else { Within::Nothing };
        self.own_reaction(at, error, Facts { redo, exhausted, within, ..Facts::PLAIN });
    }

    /// Where in the command the result at hand is.
    fn own_position(&mut self, owner: Owner) -> Position {
        match (self.framed(), self.own_what()) {
            (Some(Framed::Check | Framed::Warnings), _) => {
                match self.exchange.begin_failed.take() {
                    Some(_) => Position::LateCheck,
                    None => Position::Check,
                }
            }
            (Some(Framed::Fence), _) => Position::ReplyFence,
            _ if owner == Owner::Fence => Position::Fence,
            // A table that knows no transactions was written.
            (_, Some(What::Commit))
                if self.session.unreplayable() == Some(Blocker::UnsafeWrite)
                    && self.exchange.writes_one_table(self.session) =>
            {
                Position::UnsafeCommit
            }
            (_, Some(What::Commit)) => Position::Commit,
            (_, Some(What::Guard(_))) => Position::Guard,
            (_, Some(What::Rollback)) => Position::Rollback,
            (_, Some(What::PutRowCountBack)) => Position::RaiseAgain,
            (_, Some(What::PutWarningsBack | What::ShowReports)) => Position::PutBack,
            (_, Some(What::ReportAll)) => Position::ReportAll,
            (_, Some(What::KeepWarnings | What::AskReports | What::AskState)) => Position::Look,
            _ => Position::Own,
        }
    }

    /// Carries out the reaction to an error of ours.
    pub(in crate::session::engine) fn own_reaction(
        &mut self,
        at: Position,
        error: ErrPacket,
        facts: Facts,
    ) {
        match react(at, Fault::of(&error), facts) {
            Reaction::Ignore => {}
            Reaction::Settled => self.exchange.reply.settle(),
            Reaction::Disturbed => self.fence_differs(),
            Reaction::Unfenced => self.without_fence(&error),
            Reaction::GiveUp => self.give_up(&error),
            Reaction::Untracked => {
                self.session.settings.reasons_mut().insert(Blocker::Untracked);
            }
            Reaction::Gone => {
                self.session.rolled_back();
                self.session.transaction.gone();
                if at == Position::UnsafeCommit {
                    self.session.settings.diagnostics().left_an_error();
                    self.exchange.reply.settle();
                }
            }
            Reaction::RetryParted => {
                tracing::warn!(%error, "commits take longer than they could: run the SQL of ido-proxy setup again");
                self.session.fence.mark_replies_missing();
                self.again(Recovery::rolled_back(), error);
            }
            Reaction::Retry(why) => {
                match at {
                    Position::Check => self.check_failed(),
                    Position::Commit | Position::UnsafeCommit => {
                        self.exchange.attempt.count_refusal(&error);
                    }
                    _ => {}
                }
                self.again(Recovery::of(why, self.session), error);
            }
            _ => self.lost = Some(error),
        }
    }

    /// The check of a frame has stopped its text: the transaction is gone. Where it is not, the write has left errors in
    /// the list, though it did not fail: without the check, the statement goes through.
    fn check_failed(&mut self) {
        if self.session.transaction.is_open()
            && let Some(frame) = self.exchange.step().and_then(|step| step.frame)
        {
            let script = &mut self.exchange.script;
            script.part_frame(script.start_of(frame));
        }
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
        if Fault::of(error).is_missing() && self.session.fence.mark_missing() {
            tracing::warn!(
                %error,
                "the account has no fence: a COMMIT whose reply is lost will end in an error \
                 (ido-proxy setup prints the SQL that creates it)"
            );
        }
        self.exchange.go_unfenced();
    }
}
