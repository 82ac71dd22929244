//! Which bytes go where, when a command is over, and how a session gets past the loss of its link.
//! No sockets, no clock: slices in, verdicts out.
//!
//! ```text
//!              begin                         all steps done, reply told
//!   Idle ───────────────► Busy(exchange) ───────────────────────────────► Idle
//!     │                      │        ▲
//!     │                      │ lost   │ the way back is at its end
//!     │                      ▼        │
//!     │                    Busy(exchange, recovery)    (see [`recovery`])
//!     │
//!     └──────────────► Answering ── last byte dropped: the answer is ours ─► Idle
//!         answer
//! ```
//!
//! The link of an idle session is lost: if a transaction is open it is done again at once, as an exchange
//! without a command; else nothing happens before the next command.
//!
//! One command is in hand at a time. A client that sends the next one early is read no further until
//! the reply to this one is complete, so that every byte of a reply is known to belong to a command.
//!
//! Layout, each line knows only those below it:
//! - [`linking`] — a link comes or goes; [`whole`] — commands as they are kept; [`statements`] — what they do to prepared ones.
//! - [`way_back`] — after a loss: its requests, their answers, the replay; [`asking`] — a question about an error.
//! - [`replies`] — what becomes of what the link sends.
//! - [`recovery`] — where a session stands on the way back.
//! - [`planning`] — the plan of a command.
//! - [`exchange`] — the command in hand: [`script`] — its steps, [`reply_buffer`] — bytes owed to the client,
//!   [`attempt`] — how often it was tried.
//! - [`running`] — the request on the link; [`task`], [`question`] — what it may be.
//! - [`policy`] — the reaction to an error, as one table; [`fault`] — its meaning.
//! - [`verdict`] — what is decided; [`words`] — what we say to nodes; [`edits`] — bytes replaced.

use ido_proxy_protocol::Violation;
use ido_proxy_protocol::capabilities::Capabilities;
use ido_proxy_protocol::command::{Command, CommandStep, CommandStream};
use ido_proxy_protocol::err::ErrPacket;
use ido_proxy_protocol::error_code::ACTIVE_TRANSACTION;
use ido_proxy_protocol::packet::{self, HEADER_LEN};

use self::attempt::{Departure, given_up};
use self::client_file::ClientFile;
use self::edits::Edits;
use self::exchange::payload::NUMBERED;
use self::exchange::{Exchange, Intake, Origin};
use self::planning::plan_of;
use self::recovery::Recovery;
use self::replies::Replies;
use self::running::Job;
use self::task::Task;
pub(crate) use self::verdict::{Downward, Sending, Stuck, Upward};
use self::whole::{is_ready, limited, renamed, whole_payload};
use crate::session::plan::blocker::Blocker;
use crate::session::plan::{FenceUse, names_reports, read_only, reads_counters};
use crate::session::state::link_facts::LinkFacts;
use crate::session::state::session_state::{SessionState, Tally};
use crate::session::state::settings::{LAST_STATEMENT, statement_id};
use crate::telemetry::metrics::RecoveryPhase;

mod asking;
mod attempt;
mod client_file;
mod edits;
mod exchange;
pub(crate) mod fault;
mod linking;
mod planning;
mod policy;
mod question;
mod recovery;
mod replies;
mod reply_buffer;
mod running;
mod script;
mod statements;
mod task;
mod verdict;
mod way_back;
mod whole;
mod words;

/// One session's protocol state between its login and its end.
#[derive(Debug)]
pub(crate) struct Machine {
    commands: CommandStream,
    state: State,
    /// In force towards the client.
    client_capabilities: Capabilities,
    /// The link that is there.
    link: Option<LinkFacts>,
    /// The way back is still to be gone, with the next command.
    fresh: bool,
    /// A link has been attached before.
    met: bool,
    /// State that goes from link to link.
    pub(crate) session: SessionState,
    /// The default database, when the last reply changed it.
    new_schema: Option<Vec<u8>>,
    /// The thread that the next command is to kill, by the number of its greeting and by that of its link.
    victim: Option<(u32, u32)>,
    /// The longest packet that every node takes, in bytes.
    packet_limit: Option<u64>,
    /// How often an open transaction was tried again while the client was silent.
    restore_tries: u32,
    /// The open transaction was rolled back while the client was silent: to be told with its next command.
    refusal: Option<ErrPacket>,
    /// The prepared statements of which long parameters were sent in parts, and which were not executed since.
    long_data: Vec<u32>,
}

#[derive(Debug)]
enum State {
    /// Between two commands.
    Idle,
    /// The command's bytes are dropped as they come; `payload`, if any, is the answer when the last
    /// one is gone.
    Answering { payload: Option<Vec<u8>> },
    /// A command is with the node.
    Busy(Box<Exchange>),
}

impl Machine {
    /// The machine of a client that has just logged in.
    pub(crate) fn new(client_capabilities: Capabilities, session: SessionState) -> Self {
        Self {
            commands: CommandStream::default(),
            state: State::Idle,
            client_capabilities,
            link: None,
            fresh: false,
            met: false,
            session,
            new_schema: None,
            victim: None,
            packet_limit: None,
            restore_tries: 0,
            refusal: None,
            long_data: Vec::new(),
        }
    }

    /// Decides about `input`, the bytes from the client not yet dealt with.
    pub(crate) fn upward(&mut self, input: &[u8]) -> Upward {
        match &self.state {
            State::Busy(exchange) if exchange.is_complete() => return Upward::Wait,
            // A command is looked at as a whole, unless it is very long.
            State::Idle if self.commands.is_idle() && !is_ready(input) => return Upward::Wait,
            _ => {}
        }
        match self.commands.step(input) {
            CommandStep::Incomplete => Upward::Wait,
            CommandStep::Start { command, sequence } => Upward::Begin { command, sequence },
            CommandStep::Pass { len, end } => self.pass_up(len, end),
        }
    }

    /// Takes the command that [`Self::upward`] announced, at the start of `input`, to the node. `now`
    /// is in microseconds since 1970.
    pub(crate) fn begin(&mut self, command: Command, input: &[u8], now: u64) {
        if let Some(refusal) = self.refusal.take_if(|_| command.has_reply()) {
            return self.answer(refusal.encode());
        }
        let Self { session, link, client_capabilities, .. } = self;
        let sequence = self.commands.last_sequence();
        let mut request = whole_payload(input);
        let limited = request.as_ref().and_then(|request| limited(request, self.packet_limit?));
        let victim = self.victim.take();
        let killing = request.as_ref().and_then(|request| renamed(request, victim?));
        let mut changed = limited.is_some() || killing.is_some();
        request = killing.or(limited).or(request);
        if command == Command::StmtPrepare {
            session.settings.forget_last();
        }
        if NUMBERED.contains(&command)
            && let Some(payload) = &mut request
            && statement_id(payload) == Some(LAST_STATEMENT)
            && !session.settings.lacks_types(command, payload)
            && let Some(last) = session.settings.last_statement()
        {
            // The link's own last statement is another one after a failover.
            payload[1..5].copy_from_slice(&last.to_le_bytes());
            changed = true;
        }
        let counts = |payload: &Vec<u8>| {
            let asks = matches!(command, Command::Query | Command::StmtPrepare);
            asks && reads_counters(payload.get(1..).unwrap_or_default(), session.settings.dialect())
        };
        if request.as_ref().is_some_and(counts) {
            session.settings.diagnostics().counts_statements();
        }
        let mut scene = session.scene();
        let text = request.as_ref().and_then(|payload| match command {
            Command::Query => payload.get(1..),
            Command::StmtExecute => session.settings.statement_text(payload),
            _ => None,
        });
        let names_reports = session.settings.reports().is_some() && text.is_some_and(names_reports);
        if names_reports && scene.fences() {
            // The link reports as the client asks for, and not that a table without transactions was written.
            scene.fence = FenceUse::InTheWay;
        }
        let plan = plan_of(command, request.as_deref(), &session.settings, scene);
        let unguards = plan.unguards.filter(|_| session.guard.is_on() && scene.is_open());
        let may_unguard = unguards.is_some_and(|why| session.may_unguard(why));
        if unguards.is_some() && plan.sets_autocommit && !may_unguard {
            let refusal = ErrPacket::new(ACTIVE_TRANSACTION, *b"HY000", NO_AUTOCOMMIT);
            return self.answer(refusal.encode());
        }
        session.unguarded |= plan.shows_guard();
        let mut exchange =
            Exchange::new(command, request.unwrap_or_default(), plan, sequence, session);
        exchange.came = now;
        let facts = link.as_ref();
        let capabilities = facts.map_or(*client_capabilities, |facts| facts.capabilities);
        if std::mem::take(&mut self.fresh) {
            let ghost = facts.and_then(|facts| facts.ghost);
            exchange.attempt.lost = true;
            exchange.recovery = Some(Box::new(Recovery::on_new_link(ghost)));
        } else if may_unguard {
            // The transaction is done again without the guard, before what would show it.
            exchange.attempt.conflict = Some(given_up());
            exchange.recovery = Some(Box::new(Recovery::unguarding()));
        } else if !changed && exchange.may_pass(session) {
            exchange.intake = Intake::Passes;
        }
        exchange.ask_untold(session);
        if names_reports {
            exchange.show_reports(session);
        }
        self.settle_statement(&exchange);
        if exchange.intake == Intake::Passes {
            exchange.run(&mut self.session, capabilities);
        }
        self.state = State::Busy(Box::new(exchange));
    }

    /// Says that the next command is to kill the thread that a client was greeted with, and what its link is.
    pub(crate) fn kills(&mut self, victim: Option<(u32, u32)>) {
        self.victim = victim;
    }

    /// Why the command at the start of `input` may not be sent by a client that only reads, if so.
    pub(crate) fn reading_refuses(&self, command: Command, input: &[u8]) -> Option<ErrPacket> {
        read_only::refusal(command, whole_payload(input).as_deref(), self.session.scene())
    }

    /// Keeps the command that [`Self::upward`] announced from the node; the client gets `payload`,
    /// one packet, in reply.
    pub(crate) fn answer(&mut self, payload: Vec<u8>) {
        self.state = State::Answering { payload: Some(payload) };
    }

    /// Keeps the command that [`Self::upward`] announced from the node, and says nothing: for those
    /// that have no reply.
    pub(crate) fn drop_command(&mut self, input: &[u8]) {
        if let Some(payload) = whole_payload(input)
            && Command::from_byte(payload[0]) == Command::StmtClose
            && let Some(id) = statement_id(&payload)
        {
            self.session.settings.close(id, self.session.transaction.is_open());
        }
        self.state = State::Answering { payload: None };
    }

    /// Appends to `out` what is to be sent next, if the link is free for it.
    pub(crate) fn poll_send(&mut self, out: &mut Vec<u8>) -> Sending {
        let (State::Busy(exchange), Some(link)) = (&mut self.state, &self.link) else {
            return Sending::Nothing;
        };
        if !exchange.is_complete() || exchange.expects_reply() {
            return Sending::Nothing;
        }
        if exchange.ask(self.session.takes_several_now(), link.capabilities, out) {
            return Sending::Request;
        }
        if let Some(mut recovery) = exchange.recovery.take() {
            let sending = recovery.next_request(exchange, &mut self.session, link, out);
            if matches!(sending, Sending::Nothing) {
                return Sending::Replayed;
            }
            exchange.recovery = Some(recovery);
            return sending;
        }
        let start = out.len();
        if exchange.next_request(&mut self.session, link.capabilities, out) {
            let mut closes = Vec::new();
            for statement in self.session.settings.take_litter() {
                let id = statement.to_le_bytes();
                packet::frame(&[&[STMT_CLOSE], &id[..]].concat(), 0, &mut closes);
            }
            // Nothing comes in reply. Behind a LOAD DATA LOCAL they would be a part of the file.
            out.splice(start..start, closes);
            if exchange.running.is_none() {
                // Nothing comes in reply.
                self.finish();
            }
            return Sending::Request;
        }
        exchange.keep(&mut self.session);
        let (told, command) = (exchange.reply.take(), exchange.command);
        self.refusal = exchange.origin.take_refusal().or_else(|| self.refusal.take());
        self.finish();
        Sending::Finished(told, command)
    }

    /// Decides about `input`, the bytes from the link not yet dealt with.
    ///
    /// # Errors
    /// What the node sends cannot be followed, or nobody asked it.
    pub(crate) fn downward(&mut self, input: &[u8]) -> Result<Downward, Violation> {
        let (State::Busy(exchange), Some(link)) = (&mut self.state, &self.link) else {
            return Err(Violation::Unsolicited);
        };
        if !exchange.expects_reply() {
            return Err(Violation::Unsolicited);
        }
        exchange.reply.expects_delivery();
        let mut replies = Replies {
            exchange,
            session: &mut self.session,
            link: link.capabilities,
            client: self.client_capabilities,
            backslashes: link.backslashes,
            input,
            taken: 0,
            edits: Edits::default(),
            schema: None,
            continues: false,
            lost: None,
            wants_file: None,
            stuck: None,
        };
        replies.take_in()?;
        let Replies { taken, edits, schema, continues, lost, wants_file, mut stuck, .. } = replies;
        self.new_schema = schema.or_else(|| self.new_schema.take());
        let mut edited = edits.finish(input, taken);
        let unedited = input.get(..taken).unwrap_or_default();
        if let Some(number) = wants_file {
            if !exchange.is_complete() {
                let expected = "a reply to a command that is not yet there";
                return Err(Violation::Unexpected { expected, got: LOCAL_INFILE });
            }
            self.commands.expect_file();
            let renumber = exchange.running.as_ref().and_then(|running| running.renumber.as_ref());
            let offset = renumber.map_or(0, |(_, offset)| *offset);
            exchange.file = Some(ClientFile::new(number, offset));
            exchange.intake = Intake::Passes;
            if !exchange.script.comes_more_behind(exchange.script.place()) {
                exchange.request.clear();
            }
            self.session.cannot_replay(Blocker::File);
        }
        let told = edited.as_deref().unwrap_or(unedited);
        match exchange.reply.deliver(told) {
            Some(new) if new.len() == told.len() => {}
            Some(new) => edited = Some(new.to_vec()),
            None => {
                edited = Some(Vec::new());
                stuck = Some(Stuck::Told);
            }
        }
        // A command without a reply is over from the start, and still waits for the way back.
        let waits = exchange.expects_reply() || exchange.recovery.is_some();
        let done = (exchange.reply.is_complete() && exchange.is_complete() && !waits)
            .then_some(exchange.command);
        if done.is_some() {
            self.finish();
        }
        Ok(Downward { taken, edited, done, continues, lost, stuck })
    }

    /// Gives the next `bytes` of a file, which the client sends, the numbers that the node expects.
    ///
    /// # Errors
    /// A packet does not have the number that follows, as that of a command which was sent before the node asked.
    pub(crate) fn renumber_file(&mut self, bytes: &mut [u8]) -> Result<(), Violation> {
        let State::Busy(exchange) = &mut self.state else { return Ok(()) };
        exchange.file.as_mut().map_or(Ok(()), |file| file.renumber(bytes))
    }

    /// Whether no command is in hand.
    pub(crate) fn is_idle(&self) -> bool {
        matches!(self.state, State::Idle)
    }

    /// Whether nothing goes on before the client sends more: the next command, or the rest of one, or of a file.
    pub(crate) fn awaits_client(&self) -> bool {
        match &self.state {
            State::Idle | State::Answering { .. } => true,
            State::Busy(exchange) => !exchange.is_complete(),
        }
    }

    /// Whether a command is in hand that needs a link.
    pub(crate) fn is_busy(&self) -> bool {
        matches!(self.state, State::Busy(_))
    }

    /// Whether a link is needed: for the command in hand, or to do an open transaction again, so that its
    /// locks and ids are taken before others take them.
    pub(crate) fn wants_link(&self) -> bool {
        self.is_busy() || self.session.has_journal()
    }

    /// Says what the longest packet is that every node takes, in bytes. A client that asks is told no
    /// more: what one node takes must be taken by the next one too.
    pub(crate) fn set_packet_limit(&mut self, limit: Option<u64>) {
        self.packet_limit = limit;
    }

    /// Whether a request is with the node, so that what comes from there is its reply.
    pub(crate) fn expects_reply(&self) -> bool {
        matches!(&self.state, State::Busy(exchange) if exchange.expects_reply())
    }

    /// Whether the session is on its way back after a loss.
    pub(crate) fn is_recovering(&self) -> bool {
        let busy = matches!(&self.state, State::Busy(exchange) if exchange.recovery.is_some());
        busy || (self.is_busy() && self.link.is_none())
    }

    /// Phase of the way back, by the last request sent.
    pub(crate) fn phase(&self) -> RecoveryPhase {
        match &self.state {
            State::Busy(exchange) => match exchange.running.as_ref().map(|running| &running.job) {
                Some(Job::Task(Task::Attempt | Task::Barrier)) => RecoveryPhase::Wait,
                Some(Job::Task(Task::Replay { .. })) => RecoveryPhase::Replay,
                Some(Job::Task(_)) => RecoveryPhase::Restore,
                Some(Job::Ask | Job::Step(_)) | None => RecoveryPhase::Commit,
            },
            State::Idle | State::Answering { .. } => RecoveryPhase::Commit,
        }
    }

    /// The error of the command in hand of which the server is asked what it means.
    pub(crate) fn asked_about(&self) -> Option<&ErrPacket> {
        match &self.state {
            State::Busy(exchange) => exchange.asked_about(),
            State::Idle | State::Answering { .. } => None,
        }
    }

    /// Whether bytes that come from the client now would have to wait for a reply.
    pub(crate) fn awaits_reply(&self) -> bool {
        matches!(&self.state, State::Busy(exchange) if exchange.is_complete())
    }

    /// How many replies the node owes at least, from their first byte on, for the request on the link, should none
    /// of its statements fail. None where that is not known.
    pub(crate) fn replies_due(&self) -> usize {
        match &self.state {
            State::Busy(exchange) => exchange.replies_due(),
            _ => 0,
        }
    }

    /// The sequence id that an error of our own would bear as the reply to the command in hand;
    /// `None` when no command waits, or when a part of its reply is with the client already.
    pub(crate) fn error_sequence(&self) -> Option<u8> {
        match &self.state {
            State::Busy(exchange)
                if !exchange.reply.has_begun()
                    && !exchange.reply.is_complete()
                    && matches!(exchange.origin, Origin::Command) =>
            {
                Some(self.commands.last_sequence().wrapping_add(1))
            }
            _ => None,
        }
    }

    /// Last packets for the client before an error of our own: the replies to what it has committed. Also returns the
    /// sequence id of the error, as [`Self::error_sequence`] does.
    pub(crate) fn last_words(&mut self) -> (Vec<u8>, Option<u8>) {
        let sequence = self.error_sequence();
        match &mut self.state {
            State::Busy(exchange) if sequence.is_some() => {
                let behind = exchange.reply.keep_settled();
                (exchange.reply.take(), behind.or(sequence))
            }
            State::Busy(exchange) => {
                // Behind what the client has, it gets what was committed since.
                exchange.reply.keep_settled();
                (exchange.reply.take(), None)
            }
            State::Idle | State::Answering { .. } => (Vec::new(), sequence),
        }
    }

    /// Whether the session could change its link here without doing anything again.
    pub(crate) fn at_boundary(&self) -> bool {
        self.is_idle() && self.session.transaction.is_clean()
    }

    /// Whether a transaction is open, be it still empty.
    pub(crate) fn in_transaction(&self) -> bool {
        self.session.transaction.is_open()
    }

    /// Whether the link is to be left for a conflict alone: nothing is under way on it any more.
    pub(crate) fn leaves_link(&self) -> bool {
        matches!(&self.state, State::Busy(exchange) if exchange.attempt.departure == Departure::Due)
    }

    /// Whether what is done next on a new link begins without a default database, be there one by now.
    pub(crate) fn begins_without_schema(&self) -> bool {
        match &self.state {
            State::Busy(exchange) => exchange.beginning(&self.session).schema.is_none(),
            _ => self.session.settings.begun().is_some_and(|begun| begun.schema.is_none()),
        }
    }

    /// Counts of events on ways back since the last call.
    pub(crate) fn take_tally(&mut self) -> Tally {
        std::mem::take(&mut self.session.tally)
    }

    /// The default database, once after each change of it.
    pub(crate) fn take_new_schema(&mut self) -> Option<Vec<u8>> {
        self.new_schema.take()
    }

    /// The command is over.
    fn finish(&mut self) {
        self.restore_tries = 0;
        self.session.unguarded &= self.session.transaction.is_open();
        self.session.settings.show_reports(false);
        if let State::Busy(exchange) = std::mem::replace(&mut self.state, State::Idle) {
            self.settle_finished(&exchange);
        }
    }

    fn pass_up(&mut self, len: usize, end: bool) -> Upward {
        match &mut self.state {
            State::Busy(exchange) => {
                let passes = exchange.intake == Intake::Passes;
                if end {
                    exchange.counts_from(self.commands.last_sequence().wrapping_add(1));
                    // From now on, we send the requests ourselves.
                    exchange.intake = Intake::Complete;
                }
                if !passes {
                    return Upward::Drop { len, answer: None };
                }
                if end && exchange.reply.is_complete() {
                    self.finish();
                }
                Upward::Forward(len)
            }
            State::Answering { payload } if end => {
                let answer = payload.take().map(|payload| {
                    let mut framed = Vec::with_capacity(HEADER_LEN + payload.len());
                    let sequence = self.commands.last_sequence().wrapping_add(1);
                    packet::frame(&payload, sequence, &mut framed);
                    framed
                });
                self.state = State::Idle;
                Upward::Drop { len, answer: Some(answer.unwrap_or_default()) }
            }
            State::Answering { .. } | State::Idle => Upward::Drop { len, answer: None },
        }
    }
}

const NO_AUTOCOMMIT: &str = "ido-proxy: autocommit cannot be set within this transaction, which is kept \
    from being done in part: commit it first";

/// Bytes of the longest command that is kept to be sent again. A longer one passes through, and its
/// transaction cannot be replayed.
const MOST_KEPT: usize = 32 << 20;

/// Source: MariaDB documentation, "COM_STMT_CLOSE".
const STMT_CLOSE: u8 = 0x19;

/// The first byte of a packet by which the node asks for a file.
const LOCAL_INFILE: u8 = 0xFB;

#[cfg(test)]
mod tests;
