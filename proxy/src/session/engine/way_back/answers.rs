//! Replies to the requests of the way back.

use ido_proxy_protocol::Violation;
use ido_proxy_protocol::err::ErrPacket;
use ido_proxy_protocol::error_code::DEADLOCK;
use ido_proxy_protocol::ok::OkPacket;
use ido_proxy_protocol::packet::{self, HEADER_LEN};
use ido_proxy_protocol::prepare::PrepareOk;
use ido_proxy_protocol::reply::ReplyStep;

use crate::session::engine::attempt::MOST_TRIES;
use crate::session::engine::fault::Fault;
use crate::session::engine::policy::{Effect, Facts, Position, Reaction, Why, react};
use crate::session::engine::recovery::{Phase, Recovery};
use crate::session::engine::replies::Replies;
use crate::session::engine::running::{Job, Running};
use crate::session::engine::task::Task;
use crate::session::engine::verdict::Stuck;
use crate::session::engine::words::OURS;
use crate::session::plan::Doubt;
use crate::session::state::digest::PayloadDigest;
use crate::session::state::fence::{KeptReply, Outcome};
use crate::session::state::journal::record::Told;
use crate::session::state::settings::{self, NO_STATEMENT, Setup, State};
use crate::session::state::text_rows::text_rows;

impl Replies<'_> {
    /// Takes in a packet of the answer to a task.
    pub(in crate::session::engine) fn task_packet(
        &mut self,
        step: ReplyStep,
        bytes: &[u8],
        ended: bool,
    ) -> Result<(), Violation> {
        let payload = bytes.get(HEADER_LEN..).unwrap_or_default();
        let Some(Running { job: Job::Task(task), .. }) = &self.exchange.running else {
            return Ok(());
        };
        match task.clone() {
            Task::Attempt => {}
            Task::Must => {
                if let ReplyStep::Err { .. } = step {
                    self.task_failed(ErrPacket::decode(payload)?);
                }
            }
            Task::Settings(setup) => {
                if let ReplyStep::Err { .. } = step {
                    self.settings_failed(&setup, ErrPacket::decode(payload)?);
                }
            }
            Task::Setting { name, value, again } => {
                if let ReplyStep::Err { .. } = step {
                    self.setting_failed(name, value, again, ErrPacket::decode(payload)?);
                }
            }
            Task::Stage(id) => {
                if let ReplyStep::Err { .. } = step {
                    self.prepare_failed(id, ErrPacket::decode(payload)?);
                    if let Some(recovery) = &mut self.exchange.recovery {
                        recovery.leave_out(id);
                    }
                }
            }
            Task::Guard => match step {
                ReplyStep::Err { .. } => self.task_failed(ErrPacket::decode(payload)?),
                _ if ended => self.session.guard.turned(true),
                _ => {}
            },
            Task::Prepare(id) => match step {
                ReplyStep::Err { .. } => self.prepare_failed(id, ErrPacket::decode(payload)?),
                ReplyStep::Raw { .. } => {
                    if let Some(running) = &mut self.exchange.running
                        && running.told.is_empty()
                    {
                        running.told.push(Told::Other);
                        let link_id = PrepareOk::decode(payload, self.link)?.statement_id;
                        self.session.settings.learn_link_id(id, link_id);
                    }
                }
                _ => {}
            },
            Task::Barrier => self.barrier_packet(step, bytes, ended)?,
            Task::Replay { expected, known } => {
                self.replay_packet(&expected, known, step, bytes, ended)?;
            }
        }
        Ok(())
    }

    fn barrier_packet(
        &mut self,
        step: ReplyStep,
        bytes: &[u8],
        ended: bool,
    ) -> Result<(), Violation> {
        let Some(recovery) = &mut self.exchange.recovery else { return Ok(()) };
        match step {
            ReplyStep::Pass(_) => recovery.rows.extend_from_slice(bytes),
            ReplyStep::Err { .. } => {
                let error = ErrPacket::decode(bytes.get(HEADER_LEN..).unwrap_or_default())?;
                self.barrier_failed(error);
            }
            _ if ended => {
                let rows = std::mem::take(&mut recovery.rows);
                if recovery.reads_fence {
                    let (number, kept) = fence_read(&rows);
                    let kept = kept.and_then(|kept| self.session.fence.kept_reply(&kept));
                    self.verdict(number, kept);
                } else if self.session.fence.is_in_doubt() {
                    self.session.tally.unknown += 1;
                    self.stuck(Stuck::Doubt(Doubt::Unfenced));
                } else {
                    self.exchange.was_undone(self.session);
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// Acts on the fence that the barrier read.
    fn verdict(&mut self, read: Option<u64>, kept: Option<KeptReply>) {
        let Self { exchange, session, .. } = self;
        let in_doubt = session.fence.is_in_doubt();
        tracing::debug!(?read, in_doubt, fence = ?session.fence, "the fence was read");
        match (session.fence.outcome(read), in_doubt) {
            (Outcome::Committed, true) => {
                session.tally.committed += 1;
                if !exchange.was_committed(session, kept) {
                    // The effects that the command had by itself are not known.
                    self.stuck(Stuck::Doubt(Doubt::Statement));
                }
            }
            (Outcome::CommittedBefore(number), true)
                if exchange.was_committed_before(session, number) =>
            {
                session.tally.committed += 1;
            }
            (Outcome::NotCommitted, true)
                if session.stuck().is_some() && exchange.attempt.refusal_of_commit().is_some() =>
            {
                // The node that refused it says by the fence that it was not done, and no other link can do it.
                let error = exchange.attempt.refusal_of_commit().cloned();
                session.tally.undone += 1;
                error.iter().for_each(|error| self.refuse_commit(error));
            }
            (Outcome::NotCommitted, true) if session.stuck().is_some() => {
                // The transaction is not committed so far, and it cannot be made sure of by doing it again.
                session.tally.unknown += 1;
                self.stuck(Stuck::Doubt(Doubt::Statement));
            }
            (Outcome::NotCommitted, true)
                if let Some(error) = exchange.attempt.lasting_refusal().cloned() =>
            {
                // Tried again, it would be refused again.
                session.tally.undone += 1;
                self.refuse_commit(&error);
            }
            (Outcome::NotCommitted, _) => {
                session.tally.undone += u64::from(in_doubt);
                exchange.was_undone(session);
            }
            (Outcome::Committed | Outcome::CommittedBefore(_) | Outcome::Unclear, false) => {
                // No COMMIT is in doubt: somebody else's number is of no concern, with another row.
                session.fence.discard();
                exchange.was_undone(session);
            }
            (Outcome::CommittedBefore(_) | Outcome::Unclear, true) => {
                session.tally.unknown += 1;
                session.fence.discard();
                self.stuck(Stuck::Doubt(Doubt::Disturbed));
            }
        }
    }

    fn barrier_failed(&mut self, error: ErrPacket) {
        match self.recovery_reaction(Position::Barrier, &error, false) {
            Reaction::Unknown => self.stuck(Stuck::Doubt(Doubt::Unfenced)),
            Reaction::Unfenced => {
                self.session.fence.mark_missing();
                // Asked again, it is a causal read of nothing.
                if let Some(recovery) = &mut self.exchange.recovery {
                    recovery.phase = Phase::Barrier;
                }
            }
            _ => self.lost = Some(error),
        }
    }

    fn recovery_reaction(
        &self,
        at: Position,
        error: &ErrPacket,
        may_choose_anew: bool,
    ) -> Reaction {
        let effect = match self.session.fence.is_in_doubt() {
            true => Effect::Commit,
            false => Effect::Nothing,
        };
        let exhausted = self.exchange.attempt.hearsay >= MOST_HEARSAY;
        let facts = Facts { effect, may_choose_anew, exhausted, ..Facts::PLAIN };
        react(at, Fault::of(error), facts)
    }

    fn replay_packet(
        &mut self,
        expected: &[Option<Told>],
        known: bool,
        step: ReplyStep,
        bytes: &[u8],
        ended: bool,
    ) -> Result<(), Violation> {
        let payload = bytes.get(HEADER_LEN..).unwrap_or_default();
        let Some(running) = &mut self.exchange.running else { return Ok(()) };
        if let ReplyStep::Pass(_) = step {
            running.digest.get_or_insert_with(|| Box::new(PayloadDigest::new())).update(bytes);
        }
        if !ended || self.exchange.failed {
            return Ok(());
        }
        let wanted = expected.get(running.result).copied().flatten();
        let got = match (step, running.digest.take()) {
            (ReplyStep::Err { code, .. }, _) => Told::Error { code },
            (_, Some(digest)) => Told::Rows { digest: digest.finish() },
            (ReplyStep::Ok { .. }, None) => Told::ok(&OkPacket::decode(payload, self.link)?),
            _ => Told::Other,
        };
        match (wanted, got) {
            (Some(wanted), got) if wanted == got => {}
            (None, Told::Ok { .. }) => {}
            (wanted, Told::Error { .. }) => {
                let at = if wanted.is_none() { Position::ReplayOwn } else { Position::Replay };
                self.replay_failed(at, ErrPacket::decode(payload)?, known);
            }
            (wanted, got) => {
                tracing::warn!(?wanted, ?got, "a replay was answered otherwise than before");
                self.mismatch(known);
            }
        }
        Ok(())
    }

    fn replay_failed(&mut self, at: Position, error: ErrPacket, known: bool) {
        match self.recovery_reaction(at, &error, !known) {
            Reaction::RetryNow => self.retry_now(error),
            Reaction::NextLink => {
                self.exchange.attempt.hearsay += 1;
                self.lost = Some(ErrPacket::new(OURS, *b"HY000", error.to_string()));
            }
            // An id that the client was not told may become another one (`Why::Anew`).
            Reaction::Retry(Why::InDoubt)
                if Fault::of(&error) == Fault::Duplicate && self.refused_here().is_some() =>
            {
                self.mismatch(known);
            }
            Reaction::Retry(why) => {
                self.exchange.attempt.anew |= why == Why::Anew;
                self.again(Recovery::of(why, self.session), error);
            }
            _ => {
                // With 1062, an id that the client was told belongs to another row by now. But all is rolled
                // back, and who is told of a duplicate takes the transaction for still open.
                tracing::warn!(%error, "a replay failed where the first time it did not");
                self.mismatch(known);
            }
        }
    }

    /// The error with which the node that is there has refused the COMMIT. The fence says so, too: there is no ghost, and what
    /// is in the way of a replay is what could not be rolled back.
    fn refused_here(&self) -> Option<ErrPacket> {
        let refusal = self.exchange.attempt.refusal_of_commit();
        refusal.filter(|_| self.session.fence.is_in_doubt()).cloned()
    }

    /// A replay cannot have the time that the client's statements had.
    fn retry_now(&mut self, error: ErrPacket) {
        self.session.settings.forget_variable(b"timestamp");
        self.again(Recovery::in_doubt_or_not(self.session), error);
    }

    /// The replay of what the client was told, if that is `known` to it, came out otherwise.
    fn mismatch(&mut self, known: bool) {
        if let Some(error) = self.refused_here() {
            return self.refuse_commit(&error);
        }
        if self.session.fence.is_in_doubt() {
            // The ghost of this very transaction may be in the way. The fence is read anew, on another link, since
            // there may be more to come on this one.
            if self.exchange.attempt.tries >= MOST_TRIES {
                return self.stuck(Stuck::Doubt(Doubt::Disturbed));
            }
            self.exchange.attempt.tries += 1;
            // Results that the client has not heard may be otherwise, such as the ids that RETURNING tells.
            self.exchange.attempt.anew |= !known;
            self.lost = Some(ErrPacket::new(OURS, *b"HY000", "a replay came out differently"));
            return;
        }
        self.session.tally.mismatches += 1;
        if let Some(conflict) =
            self.exchange.attempt.conflict.clone().filter(|_| !self.exchange.attempt.lost)
        {
            // No node failed: the client hears what it would have heard from the server.
            return self.give_up(&conflict);
        }
        let message = "ido-proxy: the node failed, and on the next one the transaction did not \
            give the same results; it was rolled back";
        self.give_up(&ErrPacket::new(DEADLOCK, *b"40001", message));
    }

    /// The transaction is rolled back, and the client is told why.
    pub(in crate::session::engine) fn give_up(&mut self, error: &ErrPacket) {
        if self.exchange.reply.has_begun() {
            return self.stuck(Stuck::Told);
        }
        if self.session.fence.is_in_doubt() {
            return self.stuck(Stuck::Doubt(Doubt::Disturbed));
        }
        self.exchange.fail(error);
        self.roll_back();
    }

    /// A COMMIT was not done, and is answered with the error of the node. What was before it in the same command is
    /// answered as it was.
    fn refuse_commit(&mut self, error: &ErrPacket) {
        self.exchange.refuse(error);
        self.roll_back();
    }

    /// The rest of the reply in hand is still to come; then all is rolled back.
    fn roll_back(&mut self) {
        self.session.transaction.gone();
        self.session.rolled_back();
        self.exchange.recovery = Some(Box::new(Recovery::giving_up()));
    }

    /// Leaves a statement unprepared if its table is gone. Most clients keep statements that they never use again,
    /// and must not end for one.
    fn prepare_failed(&mut self, id: u32, error: ErrPacket) {
        match self.recovery_reaction(Position::Prepare, &error, false) {
            Reaction::LeaveOut => {
                tracing::warn!(%error, "a prepared statement is not to be had on another node");
                self.session.settings.learn_link_id(id, NO_STATEMENT);
            }
            reaction => self.task_reaction(reaction, error),
        }
    }

    /// One of the variables cannot be set: which one, and whether that matters, is found out one by one.
    fn settings_failed(&mut self, setup: &State, error: ErrPacket) {
        match self.recovery_reaction(Position::Settings, &error, false) {
            Reaction::OneByOne => {
                if let Some(recovery) = &mut self.exchange.recovery {
                    recovery.set_each(setup, self.backslashes);
                }
            }
            reaction => self.task_reaction(reaction, error),
        }
    }

    /// Passes over a variable that nobody can set: the client has not set it either, the server reports it of its own
    /// accord.
    fn setting_failed(&mut self, name: Vec<u8>, value: Vec<u8>, again: bool, error: ErrPacket) {
        let at = if again { Position::SettingAgain } else { Position::Setting };
        match self.recovery_reaction(at, &error, false) {
            Reaction::OtherWay => {
                let otherwise = match Fault::of(&error) {
                    // Servers of another version know it by another name.
                    Fault::UnknownVariable => Setup::alias(&name)
                        .map(|alias| settings::assignment(&alias, &value, self.backslashes)),
                    // NULL is reported like an empty text.
                    _ if value.is_empty() => Some([b"SET ", &name[..], b"=NULL"].concat()),
                    _ => None,
                };
                match (otherwise, &mut self.exchange.recovery) {
                    (Some(sql), Some(recovery)) => recovery.set_otherwise(name, value, sql),
                    _ => self.task_reaction(Reaction::Refuse, error),
                }
            }
            Reaction::PassOver => {
                let name_shown = String::from_utf8_lossy(&name);
                tracing::debug!(name = %name_shown, "the server reports this variable and refuses to set it");
                self.session.settings.forget_variable(&name);
                self.exchange.state.forget_variable(&name);
            }
            reaction => self.task_reaction(reaction, error),
        }
    }

    fn task_failed(&mut self, error: ErrPacket) {
        let reaction = self.recovery_reaction(Position::Must, &error, false);
        self.task_reaction(reaction, error);
    }

    /// Carries out a reaction that is the same for every task.
    fn task_reaction(&mut self, reaction: Reaction, error: ErrPacket) {
        match reaction {
            Reaction::NextLink => self.lost = Some(error),
            Reaction::RetryNow => self.retry_now(error),
            Reaction::Retry(why) => self.again(Recovery::of(why, self.session), error),
            _ => {
                tracing::warn!(%error, "the session cannot be set up on another node");
                self.stuck(Stuck::Refused(error));
            }
        }
    }

    pub(in crate::session::engine) fn stuck(&mut self, stuck: Stuck) {
        self.stuck.get_or_insert(stuck);
    }
}

/// How often a replay is taken to another node for an error that condemns the node.
const MOST_HEARSAY: u32 = 8;

/// The number of a fence that was read, if there is a row, and the reply that it keeps, if that was asked for.
fn fence_read(packets: &[u8]) -> (Option<u64>, Option<Vec<u8>>) {
    let columns = packet::whole(packets, 1 << 16).ok().flatten();
    let columns = columns.and_then(|(_, payload)| payload.first().copied()).unwrap_or(1);
    let Some(row) = text_rows(packets, columns.into()).next() else { return (None, None) };
    let number = row.first().copied().flatten();
    let number = number.and_then(|text| std::str::from_utf8(text).ok()?.parse().ok());
    (number, row.get(1).copied().flatten().map(<[u8]>::to_vec))
}
