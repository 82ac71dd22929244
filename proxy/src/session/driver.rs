//! Runs one session: waits for bytes and orders, and moves what the machine says is to be moved.
//!
//! The loop has two halves. [`Session::event`] waits and decides nothing; [`Session::apply`] decides
//! and never waits. What takes longer (a link to open, a client to hold) is a [`Next`] that the loop
//! carries out between the two.

use std::future::{pending, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::Poll;
use std::thread;
use std::time::{self, Duration, SystemTime, UNIX_EPOCH};

use ido_proxy_protocol::auth::Scramble;
use ido_proxy_protocol::command::Command;
use ido_proxy_protocol::err::ErrPacket;
use ido_proxy_protocol::packet::HEADER_LEN;
use tokio::task;
use tokio::time::{Instant, sleep, sleep_until};

use self::kill::killed_by;
pub(in crate::session) use self::loss::Cause;
use self::loss::END_OF_STREAM;
use self::wires::{Event, MOST_UNREAD, Wires};
use crate::session::driver::context::SessionContext;
use crate::session::driver::end::End;
use crate::session::engine::{Machine, Sending, Upward};
use crate::session::link::Link;
use crate::session::link::dial::Profile;
use crate::session::link::greeted::Greeted;
use crate::session::link::replica::Reader;
use crate::session::link::standby::StandbySlot;
use crate::session::plan::route::{Route, route};
use crate::session::shared::directives::{DirectiveWatch, Phase};
use crate::session::shared::failover_stats::Loss;
use crate::session::shared::registry::{SessionGuard, SessionPhase};
use crate::session::state::journal::store::Cursor;
use crate::session::state::reserved_ids::Reservation;
use crate::session::state::session_state::Tally;
use crate::session::transport::busy_poll::{Awaited, Polling};
use crate::session::transport::read_low_water::LowWater;
use crate::session::transport::wire::Wire;
use crate::session::transport::write_coalescing::Withhold;
use crate::telemetry::metrics::{DoubtOutcome, RecoveryPhase, Refusal};

mod acquire;
pub(crate) mod context;
pub(in crate::session) mod end;
mod farewell;
mod journal;
mod kill;
mod loss;
mod report_state;
mod target;
mod welcome;
mod wires;

/// One client's conversation after its login.
#[derive(Debug)]
pub(crate) struct Session {
    pub(in crate::session) context: Arc<SessionContext>,
    pub(in crate::session) entry: SessionGuard,
    pub(in crate::session) client: Wire,
    /// The client's host, as error messages name it.
    pub(in crate::session) host: String,
    pub(in crate::session) profile: Profile,
    /// Challenge that the client proves passwords with, from its first login on.
    pub(in crate::session) scramble: Scramble,
    pub(in crate::session) machine: Machine,
    pub(in crate::session) link: Option<Link>,
    /// Connection for the first link.
    pub(in crate::session) greeted: Option<Greeted>,
    /// Claim to a link that lies ready, from the first link on.
    pub(in crate::session) standby_slot: Option<StandbySlot>,
    pub(in crate::session) directives: DirectiveWatch,
    /// State of a reader's node; `None` for a writer.
    pub(in crate::session) reader: Option<Reader>,
    /// The epoch whose primary will have caught up when the session is on its way again.
    pub(in crate::session) catches_up: Option<u64>,
    /// Keeps others from the ids of a transaction that is still to be done again.
    pub(in crate::session) reservation: Option<Reservation>,
    /// Why the session will end with the next command: it cannot go on, and the client is not waiting to
    /// hear it.
    pub(in crate::session) pending_end: Option<End>,
    /// The link that was lost, until its session is on its way again.
    pub(in crate::session) loss: Option<Loss>,
    /// The sequence id of a command that waits at the door, for a link or for a password check.
    pub(in crate::session) waiting: Option<u8>,
    /// To end at the next boundary.
    pub(in crate::session) leaving: bool,
    /// The client sends nothing more. What it has sent is done, and answered.
    pub(in crate::session) half_closed: bool,
    /// Whether what is to be written to the client waits for more of the same reply.
    pub(in crate::session) withhold: Withhold,
    /// Whether a single reply wakes the session.
    pub(in crate::session) low_water: LowWater,
    /// How long to look for bytes before sleeping.
    pub(in crate::session) polling: Polling,
}

/// A request of the client that the loop leaves to others.
#[derive(Debug)]
pub(in crate::session) enum Asked {
    /// To be another user.
    ChangeUser,
}

/// Next task of the loop before it waits again.
#[derive(Debug)]
enum Next {
    /// The client wants to be another user.
    ChangeUser,
    /// The next part of the journal is not in memory.
    Journal(Cursor),
    /// A command waits for a link.
    Link { command: Command },
    /// A short wait, the longer the greater the number.
    Pause(u32),
    /// The command in hand has lost its link.
    Relink,
    /// The server has forgotten that it is to report the session's state.
    ReportState,
    /// Nothing.
    Wait,
}

impl Session {
    /// Serves the client until it asks for what is not done here. Tasks that are rare lie in boxes of their own: a future
    /// is as large as the largest it waits for, and a thousand idle sessions have one each.
    ///
    /// # Errors
    /// The session is over.
    pub(in crate::session) async fn run(&mut self) -> Result<Asked, End> {
        self.apply_directives()?;
        loop {
            match self.apply()? {
                Next::Wait => {
                    if self.half_closed && self.machine.awaits_client() {
                        return Err(End::ClientGone);
                    }
                    if self.leaving {
                        Box::pin(self.leave_at_boundary()).await?;
                    }
                    self.settle_journal().await;
                    let event = self.event().await;
                    self.take_in(event)?;
                }
                Next::Journal(cursor) => self.load_journal(cursor).await?,
                Next::Link { command } => {
                    Box::pin(self.hold()).await?;
                    self.begin(command);
                }
                Next::Pause(tries) => {
                    sleep(backoff(tries)).await;
                    // The transaction is done again from the start: rather at the node that was ordered meanwhile.
                    self.apply_directives()?;
                }
                Next::Relink => {
                    Box::pin(self.hold()).await?;
                    self.apply_directives()?;
                }
                Next::ChangeUser => return Ok(Asked::ChangeUser),
                Next::ReportState => Box::pin(self.report_state()).await?,
            }
        }
    }

    /// Waits until there is something to do.
    async fn event(&mut self) -> Event {
        // A timer that is made with each command would be seen in its latency.
        let deadline = match self.machine.is_recovering() {
            true => Some(self.hold_deadline()),
            false => self.gives_up_at().or_else(|| self.look_at()),
        };
        let in_time = async {
            match deadline {
                Some(deadline) => sleep_until(deadline).await,
                None => pending().await,
            }
        };
        let half_closed = self.half_closed;
        let Self {
            client, link, machine, directives, leaving, withhold, low_water, polling, ..
        } = self;
        let mut link = link.as_mut();
        let sends = link.as_ref().is_some_and(|link| !link.wire.output.is_empty());
        let due = machine.replies_due();
        let many = link.as_mut().is_some_and(|link| low_water.decide(due, &mut link.wire));
        let mut wait = polling.begin(awaited(machine, sends && !many), time::Instant::now());
        let leaving = *leaving;
        let mut wires = Wires { client, link, machine, leaving, half_closed, withhold, low_water };
        let mut happens = pin!(async {
            tokio::select! {
                biased;
                event = poll_fn(|cx| wires.poll(cx)) => event,
                () = directives.changed() => Event::Directives,
                () = in_time => if machine.is_recovering() { Event::TooLate } else { Event::Look },
            }
        });
        let event = loop {
            if !wait.looks_again(time::Instant::now()) {
                break happens.await;
            }
            // All of it: who is never kept waiting must hear of orders and deadlines too.
            if let Poll::Ready(event) = poll_fn(|cx| Poll::Ready(happens.as_mut().poll(cx))).await {
                break event;
            }
            // First other programs, then the other sessions of this worker.
            thread::yield_now();
            task::yield_now().await;
        };
        if matches!(
            (wait.awaited(), &event),
            (Awaited::Command, Event::Client(_)) | (Awaited::Reply, Event::Link(_))
        ) {
            polling.learn(&wait, time::Instant::now());
        }
        event
    }

    /// Accounts for what happened, and ends the session where that is what happened.
    fn take_in(&mut self, event: Event) -> Result<(), End> {
        match event {
            Event::Flushed => Ok(()),
            Event::Client(Ok(0)) => {
                self.half_closed = true;
                Ok(())
            }
            Event::Client(Err(error)) => Err(End::ClientFailed(error)),
            Event::Client(Ok(len)) => {
                self.entry.add_received(len);
                self.context.metrics.client_received.increment(len as u64);
                Ok(())
            }
            Event::Link(Ok(0)) => self.lose(Cause::Socket(END_OF_STREAM.into())),
            Event::Link(Err(error)) => self.lose(Cause::Socket(error)),
            Event::Link(Ok(len)) => {
                self.context.metrics.link_received.increment(len as u64);
                self.low_water.arrive(len);
                self.vouch();
                Ok(())
            }
            Event::Look if self.gives_up_at().is_some() => self.lose(Cause::Moved),
            Event::Look => self.look(),
            Event::Directives => self.apply_directives(),
            Event::TooLate => Err(End::HoldExpired { held: self.context.limits.hold }),
        }
    }

    /// When to give up a link to a node that was left because it may block.
    fn gives_up_at(&self) -> Option<Instant> {
        self.link.as_ref().and_then(|link| link.gives_up_at)
    }

    /// Speaks for a node that answers no probe.
    fn vouch(&mut self) {
        let Some(link) = &mut self.link else { return };
        let Some(next) = link.vouches else { return };
        let now = Instant::now();
        if now >= next {
            self.context.cluster.report_alive(link.node);
            link.vouches = Some(now + VOUCHES_AFTER);
        }
    }

    /// Moves what can be moved without waiting.
    fn apply(&mut self) -> Result<Next, End> {
        loop {
            if let Some(next) = self.move_down()? {
                return Ok(next);
            }
            match self.move_up()? {
                Next::Wait => {}
                next => return Ok(next),
            }
            match self.pump()? {
                Some(next) => return Ok(next),
                None => continue,
            }
        }
    }

    /// Sends what the machine has to send. `None`: there may be more to move now.
    fn pump(&mut self) -> Result<Option<Next>, End> {
        let Some(link) = &mut self.link else {
            let unclear = self.loss.is_some_and(|loss| loss.closed);
            let wanted = self.machine.wants_link() || unclear || self.has_long_command();
            let relink = wanted && self.pending_end.is_none();
            return Ok(Some(if relink { Next::Relink } else { Next::Wait }));
        };
        if !link.wire.output.is_empty() {
            return Ok(Some(Next::Wait));
        }
        let mut request = Vec::new();
        Ok(match self.machine.poll_send(&mut request) {
            Sending::Nothing => Some(Next::Wait),
            Sending::Request => {
                self.context.metrics.link_sent.increment(request.len() as u64);
                link.wire.push_all(request);
                if let Some(loss) = &mut self.loss {
                    loss.enter(self.machine.phase());
                }
                Some(Next::Wait)
            }
            Sending::Replayed => {
                self.reservation = None;
                if let Some(epoch) = self.catches_up.take() {
                    self.context.caught_up.fetch_max(epoch, Ordering::Relaxed);
                }
                None
            }
            Sending::Journal(cursor) => Some(Next::Journal(cursor)),
            Sending::Pause(tries) => Some(Next::Pause(tries)),
            Sending::Stuck(stuck) => return Err(self.stuck(stuck, "its journal was lost")),
            Sending::Finished(told, command) => {
                self.tell(&told);
                self.reply_done(command)?
            }
        })
    }

    /// Whether the client sends a command so long that the rest of it is read when there is somebody to
    /// give it to.
    pub(in crate::session) fn has_long_command(&self) -> bool {
        self.client.input.len() >= MOST_HELD && self.client.output.len() < MOST_UNREAD
    }

    fn tell(&mut self, told: &[u8]) {
        self.client.push(told);
        self.entry.add_sent(told.len());
        self.context.metrics.client_sent.increment(told.len() as u64);
    }

    /// From the link to the client.
    fn move_down(&mut self) -> Result<Option<Next>, End> {
        let Some(link) = self.link.as_mut() else { return Ok(None) };
        let full = !self.client.output.is_empty() && !self.withhold.waits();
        if link.wire.input.is_empty() || full {
            return Ok(None);
        }
        if !self.machine.expects_reply() {
            // The node says why it closes. The end of stream follows, and what that means is found out
            // then.
            let said = ErrPacket::decode(link.wire.input.get(HEADER_LEN..).unwrap_or_default());
            let said = said.map(|error| error.to_string());
            tracing::debug!(session = %self.entry.id(), node = %link.node, ?said, "unasked");
            let len = link.wire.input.len();
            link.wire.consume(len);
            return Ok(None);
        }
        let node = link.node;
        let down = self
            .machine
            .downward(&link.wire.input)
            .map_err(|violation| End::NodeViolation { node, violation })?;
        let sent = match &down.edited {
            Some(edited) => {
                self.client.push(edited);
                link.wire.consume(down.taken);
                edited.len()
            }
            None if down.taken > 0 => {
                link.wire.hand_over(down.taken, &mut self.client);
                down.taken
            }
            None => 0,
        };
        self.entry.add_sent(sent);
        self.context.metrics.client_sent.increment(sent as u64);
        self.withhold.decide(down.continues, self.client.output.len());
        if let Some(schema) = self.machine.take_new_schema() {
            // Empty: the database was dropped, and there is none now.
            self.profile.database = Some(schema).filter(|schema| !schema.is_empty());
            self.entry.set_database(self.profile.database.as_deref());
        }
        if let Some(stuck) = down.stuck {
            return Err(self.stuck(stuck, "its link was lost"));
        }
        if let Some(error) = down.lost {
            let leaves = self.machine.leaves_link();
            self.lose(if leaves { Cause::Left(error) } else { Cause::Said(error) })?;
            return Ok(None);
        }
        match down.done {
            Some(command) => self.reply_done(command),
            None => Ok(None),
        }
    }

    /// From the client to the link.
    fn move_up(&mut self) -> Result<Next, End> {
        loop {
            if self.client.input.is_empty() || self.client.output.len() >= MOST_UNREAD {
                return Ok(Next::Wait);
            }
            if self.link.as_ref().is_some_and(|link| !link.wire.output.is_empty()) {
                return Ok(Next::Wait);
            }
            match self.machine.upward(&self.client.input) {
                Upward::Wait => return Ok(Next::Wait),
                Upward::Begin { command, sequence } => {
                    self.waiting = Some(sequence);
                    if let Some(end) = self.pending_end.take_if(|_| command != Command::Quit) {
                        return Err(end);
                    }
                    match route(command, self.link.is_some()) {
                        Route::Answer(payload) => self.machine.answer(payload),
                        Route::ChangeUser => return Ok(Next::ChangeUser),
                        Route::Drop => self.machine.drop_command(&self.client.input),
                        Route::Quit => return Err(End::ClientQuit),
                        Route::Relay if self.link.is_none() => {
                            if let Some(loss) = &mut self.loss {
                                loss.begins_to_wait();
                            }
                            return Ok(Next::Link { command });
                        }
                        Route::Refuse(error) => {
                            self.context
                                .metrics
                                .refused
                                .of(Refusal::UnsupportedCommand)
                                .increment(1);
                            self.machine.answer(error.encode());
                        }
                        Route::Relay => self.begin(command),
                    }
                }
                Upward::Drop { len, answer } => {
                    self.client.consume(len);
                    if let Some(answer) = answer {
                        self.waiting = None;
                        self.entry.set_state(SessionPhase::Idle);
                        self.client.push(&answer);
                    }
                }
                Upward::Forward(len) => {
                    let Some(link) = self.link.as_mut() else { return Ok(Next::Wait) };
                    self.context.metrics.link_sent.increment(len as u64);
                    if link.deaf {
                        self.client.consume(len);
                    } else {
                        let bytes = self.client.input.get_mut(..len).unwrap_or_default();
                        self.machine.renumber_file(bytes).map_err(End::ClientViolation)?;
                        self.client.hand_over(len, &mut link.wire);
                    }
                    if self.machine.is_idle() {
                        // Nothing comes in reply.
                        self.command_done();
                    }
                }
            }
        }
    }

    /// Hands a command to the node.
    fn begin(&mut self, command: Command) {
        if self.reader.is_some()
            && let Some(error) = self.machine.reading_refuses(command, &self.client.input)
        {
            self.context.metrics.refused.of(Refusal::ReadOnly).increment(1);
            return self.machine.answer(error.encode());
        }
        self.waiting = None;
        if let (Some(link), Some(greeted)) = (&self.link, killed_by(command, &self.client.input)) {
            let thread = self.context.registry.thread_at(link.node, greeted);
            self.machine.kills(thread.map(|thread| (greeted, thread)));
        }
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        self.machine.begin(command, &self.client.input, now.as_micros() as u64);
        self.context.metrics.commands.increment(1);
        self.entry.begin_command(command);
    }

    /// The client has the whole reply to a command.
    fn reply_done(&mut self, command: Command) -> Result<Option<Next>, End> {
        self.command_done();
        Ok((command == Command::ResetConnection).then_some(Next::ReportState))
    }

    /// A command is over: this is where a session may be asked to leave.
    fn command_done(&mut self) {
        self.entry.set_state(SessionPhase::Idle);
        self.entry.set_in_transaction(self.machine.in_transaction());
        self.entry.set_stays(self.machine.session.stuck());
        let replays = self.count();
        self.reservation = None;
        if let (Some(loss), Some(link)) = (self.loss.take(), &self.link) {
            let pause = loss.over();
            let metrics = &self.context.metrics;
            metrics.failovers.of(pause.reason).increment(1);
            metrics.recovery_seconds.record(pause.took.as_secs_f64());
            for (phase, spent) in RecoveryPhase::ALL.into_iter().zip(pause.phases) {
                metrics.recovery_phase_seconds.of(phase).record(spent.as_secs_f64());
            }
            let epoch = self.directives.latest().topology.epoch;
            let longest = self.context.failovers.add(&pause, link.node, epoch, replays);
            metrics.longest_pause.set(longest.as_secs_f64());
            let (session, lost, node, took) = (self.entry.id(), loss.node, link.node, pause.took);
            tracing::info!(%session, %lost, %node, ?took, replays, "went on");
        }
    }

    /// Counts what happened on the way back, and returns how many transactions were done again.
    fn count(&mut self) -> u64 {
        let tally = self.machine.take_tally();
        let Tally { replays, mismatches, committed, undone, unknown, unreplayable } = tally;
        let metrics = &self.context.metrics;
        if tally != Tally::default() {
            metrics.replays.increment(replays);
            metrics.replay_mismatches.increment(mismatches);
            metrics.in_doubt.of(DoubtOutcome::Committed).increment(committed);
            metrics.in_doubt.of(DoubtOutcome::NotCommitted).increment(undone);
            metrics.in_doubt.of(DoubtOutcome::Unknown).increment(unknown);
            metrics.unreplayable.increment(unreplayable);
        }
        replays
    }

    /// Acts on the latest orders where the session stands now.
    pub(in crate::session) fn apply_directives(&mut self) -> Result<(), End> {
        let directives = self.directives.latest();
        self.machine.set_packet_limit(directives.topology.packet_limit());
        if directives.phase == Phase::Closing {
            return Err(if self.machine.at_boundary() { End::Drained } else { End::DrainTimedOut });
        }
        if let Some(link) = &self.link
            && self.is_left_for_silent(link.node, &directives.topology)
        {
            // The rest of its transaction, or of its reply, would be waited for without end.
            drop(directives);
            return self.lose(Cause::Silent);
        }
        if let Some(link) = &mut self.link {
            let blocked = self.reader.is_none() && directives.topology.is_left_blocked(link.node);
            let patience = self.context.limits.blocked;
            let patient = || Instant::now() + patience;
            link.gives_up_at = blocked.then(|| link.gives_up_at.unwrap_or_else(patient));
            let doubted = directives.topology.doubts(link.node);
            link.vouches = doubted.then(|| link.vouches.unwrap_or_else(Instant::now));
        }
        let destination = self.destination(&directives.topology);
        if let (Some(link), Some(destination)) = (&self.link, destination)
            && link.node != destination
            && self.machine.is_recovering()
        {
            drop(directives);
            return self.lose(Cause::Moved);
        }
        let moves = matches!((&self.link, destination),
            (Some(link), Some(destination)) if link.node != destination);
        self.leaving = directives.phase == Phase::Draining || moves;
        drop(directives);
        if moves {
            // The link may yet be lost, and others write at the next primary from now on.
            self.owe_ids();
        } else if self.loss.is_none() {
            self.reservation = None;
        }
        Ok(())
    }
}

/// Kind of reply that the session waits for; `sends` means that its link is sent something that is soon answered, or
/// is not.
fn awaited(machine: &Machine, sends: bool) -> Awaited {
    match machine.awaits_reply() {
        false => Awaited::Command,
        true if sends => Awaited::Reply,
        true => Awaited::Rest,
    }
}

/// How long to wait before a transaction that the server rolled back is done again.
fn backoff(tries: u32) -> Duration {
    let most = (FIRST_BACKOFF * tries.min(10)).as_secs_f64();
    Duration::from_secs_f64(rand::random_range(0.0..=most))
}

/// From one word for a node that answers no probe to the next.
const VOUCHES_AFTER: Duration = Duration::from_millis(250);

const FIRST_BACKOFF: Duration = Duration::from_millis(10);

/// How many bytes a client without a link may pile up here; the rest waits in its own socket.
pub(in crate::session) const MOST_HELD: usize = 64 * 1024;

#[cfg(test)]
mod tests;
