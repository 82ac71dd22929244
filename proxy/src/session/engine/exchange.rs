//! One command of the client, from its first byte to the last byte of its reply.

use std::ops::Range;

use ido_proxy_protocol::capabilities::Capabilities;
use ido_proxy_protocol::command::Command;
use ido_proxy_protocol::err::ErrPacket;
use ido_proxy_protocol::statement::Holding;

use super::attempt::Attempt;
use super::client_file::ClientFile;
use super::question::Asked;
use super::recovery::Recovery;
use super::reply_buffer::{Mark, ReplyBuffer, Tail};
use super::running::{Behind, Framed, Job, Layout, Running};
use super::script::Script;
use crate::session::plan::blocker::Blockers;
use crate::session::plan::{Doubt, PieceKind, Plan, Risk, Step, What};
use crate::session::state::journal::record::Told;
use crate::session::state::session_state::SessionState;
use crate::session::state::settings::State;

mod outcome;
pub(super) mod payload;
mod pending;
pub(super) mod shape;
pub(super) mod target;

/// The command in hand.
#[derive(Debug)]
pub(super) struct Exchange {
    pub(super) command: Command,
    /// Payload of the command, to be sent again; empty if it is too long to be kept.
    pub(super) request: Vec<u8>,
    /// When it came, in microseconds since 1970.
    pub(super) came: u64,
    pub(super) script: Script,
    /// Why a transaction that it leaves open, or works in, cannot be done again.
    pub(super) transaction: Blockers,
    /// Things that it takes or gives back by name.
    pub(super) holding: Option<Holding>,
    /// Whether the guard would be seen in the transaction that it begins, or works in.
    sight: Sight,
    pub(super) intake: Intake,
    /// The request on the link.
    pub(super) running: Option<Running>,
    /// Request sent behind the running one.
    pub(super) behind: Behind,
    /// An error that nobody was told yet, since the server is asked what it means.
    pub(super) asked: Option<Box<Asked>>,
    /// The client looks at what it is told of changes, or chooses that.
    pub(super) shows_reports: bool,
    /// Variables that it sets while the link reports to the client alone.
    pub(super) unreported: Vec<Vec<u8>>,
    /// Rows of a reply to a statement of ours.
    pub(super) rows: Vec<u8>,
    /// How often it was tried, and why again.
    pub(super) attempt: Attempt,
    /// The state of the session before what has to be done again, should the link be lost now.
    pub(super) state: State,
    /// Bytes owed to the client.
    pub(super) reply: ReplyBuffer,
    /// Whether what is told may have to be told again: a transaction is, or will be, open.
    pub(super) keeps: bool,
    /// `LAST_INSERT_ID()` before the frame in hand.
    id_before_frame: u64,
    /// The way back after a loss.
    pub(super) recovery: Option<Box<Recovery>>,
    pub(super) origin: Origin,
    /// The reply to the command is an error of ours.
    pub(super) failed: bool,
    /// The error of our BEGIN, where the statement of its frame was sent behind it.
    pub(super) begin_failed: Option<ErrPacket>,
    /// Possible commit of the wrapped statement in hand, once its COMMIT has fallen in doubt.
    ghost: Option<Ghost>,
    /// Steps done in a transaction that is open, while the client knows nothing of them.
    pending: Vec<Pending>,
    /// Transaction of `pending`, by the number of transactions that had ended before.
    pending_in: u64,
    /// Replies to steps that were sent anew, each time, while a ghost may have committed what they told.
    rewound: Vec<(Mark, Ghost)>,
    pub(super) opens: Opens,
    pub(super) file: Option<ClientFile>,
}

/// Why there is something to do.
#[derive(Debug)]
pub(super) enum Origin {
    /// A command of the client's.
    Command,
    /// An open transaction is done again while the client is silent.
    Restore {
        /// The error to report with the next command, if the transaction could not be done again.
        refusal: Option<ErrPacket>,
    },
}

/// Whose a transaction is that the command opens.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Opens {
    /// The client's.
    ForClient,
    /// Ours, to commit: for the client, each statement commits by itself. The text was too long to wait until the guard is
    /// off, or has ended the client's transaction and gone on.
    ForUs,
}

/// Whether the guard would be seen.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Sight {
    Hidden,
    Shown,
}

/// The client's bytes.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Intake {
    /// Bytes are kept as they come, and sent by us once all are there.
    Keeps,
    /// Bytes go to the link as they come.
    Passes,
    /// The client has sent every byte that it owes.
    Complete,
}

impl Origin {
    /// Takes out the error to report with the next command.
    pub(super) fn take_refusal(&mut self) -> Option<ErrPacket> {
        match self {
            Self::Command => None,
            Self::Restore { refusal } => refusal.take(),
        }
    }
}

/// Effect of a step that the client has not been told yet. If the same command commits it, it need not be kept in the
/// journal. If it cannot be done again as it was, it may be done otherwise.
#[derive(Clone, Debug)]
struct Pending {
    step: usize,
    /// `cut` and `mark` of the step's [`Running`].
    cut: usize,
    mark: Mark,
    /// Bounds of the statements, as in a [`Record`](crate::session::state::journal::record::Record) whose payload is `text`.
    bounds: Vec<(u32, u32)>,
    told: Vec<Told>,
    text: Range<usize>,
    /// One of its statements generated several ids.
    shared: bool,
}

/// Whether a frame may be one text. Under the guard, a statement behind an abort begins a transaction by itself. An id
/// that another session must have is found out before the COMMIT, where a reply comes before it is sent.
fn may_frame(session: &SessionState) -> bool {
    session.fence.may_frame() && !session.guard.is_on() && session.reserved.is_empty()
}

/// Replies to what a ghost may have committed.
#[derive(Debug)]
struct Ghost {
    told: Tail,
    /// Value that `LAST_INSERT_ID()` had then.
    last_insert_id: u64,
}

impl Ghost {
    /// Replies that are taken back now.
    fn of(told: Tail, session: &SessionState) -> Self {
        Self { told, last_insert_id: session.settings.now().last_insert_id }
    }
}

impl Exchange {
    /// A command as planned.
    pub(super) fn new(
        command: Command,
        request: Vec<u8>,
        plan: Plan,
        sequence: u8,
        session: &mut SessionState,
    ) -> Self {
        session.settings.take(plan.session, plan.holding.as_ref(), plan.renames);
        session.settings.diagnostics().forget_kept();
        let works = |step: &Step| {
            let kinds = [PieceKind::Begin, PieceKind::End, PieceKind::Implicit];
            step.pieces.iter().any(|piece| kinds.contains(&piece.kind))
        };
        let keeps = session.settings.unmovable().is_none()
            && (plan.steps.len() > 1
                || session.transaction.is_open()
                || !session.settings.autocommit()
                || plan.steps.iter().any(|step| works(step) || step.frame.is_some()));
        let sight = if plan.shows_guard() { Sight::Shown } else { Sight::Hidden };
        let outside = request.is_empty() && session.guard.is_on() && !session.transaction.is_open();
        Self {
            command,
            request,
            came: 0,
            script: Script::new(plan.steps),
            transaction: plan.transaction,
            sight,
            holding: plan.holding,
            intake: Intake::Keeps,
            running: None,
            behind: Behind::Nothing,
            asked: None,
            shows_reports: false,
            unreported: Vec::new(),
            rows: Vec::new(),
            attempt: Attempt::default(),
            state: session.settings.now(),
            reply: ReplyBuffer::new(
                sequence.wrapping_add(1),
                keeps || outside,
                !command.has_reply(),
            ),
            keeps,
            opens: if outside { Opens::ForUs } else { Opens::ForClient },
            file: None,
            id_before_frame: 0,
            recovery: None,
            origin: Origin::Command,
            failed: false,
            begin_failed: None,
            ghost: None,
            pending: Vec::new(),
            pending_in: 0,
            rewound: Vec::new(),
        }
    }

    /// No command at all: only the way back is gone.
    pub(super) fn restoring(session: &mut SessionState) -> Self {
        let command = Command::Ping;
        let mut exchange = Self::new(command, Vec::new(), Plan::default(), 0, session);
        exchange.intake = Intake::Complete;
        exchange.origin = Origin::Restore { refusal: None };
        exchange.attempt.lost = true;
        exchange
    }

    /// The client's last packet has come: what it is told counts from `sequence` on.
    pub(super) fn counts_from(&mut self, sequence: u8) {
        if self.reply.counts_from(sequence)
            && let Some(running) = &mut self.running
        {
            running.mark = self.reply.mark();
        }
    }

    /// Whether the guard would be seen in the transaction that it begins, or works in.
    pub(super) fn shows_guard(&self) -> bool {
        self.sight == Sight::Shown
    }

    /// Whether the client has sent every byte that it owes.
    pub(super) fn is_complete(&self) -> bool {
        self.intake == Intake::Complete
    }

    /// The step in hand.
    pub(super) fn step(&self) -> Option<&Step> {
        self.script.step()
    }

    /// Whether the link owes a reply.
    pub(super) fn expects_reply(&self) -> bool {
        self.running.is_some() || !matches!(self.behind, Behind::Nothing)
    }

    /// Counts the replies still due, as [`super::Machine::replies_due`] defines them.
    pub(super) fn replies_due(&self) -> usize {
        match (self.step(), &self.running) {
            (Some(step), Some(running)) if running.is_step() => {
                let begun = usize::from(running.tracker.is_within_result());
                step.pieces.len().saturating_sub(running.piece() + begun)
            }
            _ => 0,
        }
    }

    /// Whether the client has a part of what several steps tell: where one of them ends is not known any more.
    pub(super) fn is_partly_told(&self) -> bool {
        self.reply.has_begun() && self.script.len() > 1
    }

    /// Puts the next request in hand, and appends it to `out`. Steps that turn out to be needless are
    /// left out. Returns false if there is none left.
    pub(super) fn next_request(
        &mut self,
        session: &mut SessionState,
        link: Capabilities,
        out: &mut Vec<u8>,
    ) -> bool {
        while let Some(step) = self.script.step() {
            if let Some(on) = self.guard_turns(session) {
                self.script.insert_before(Step::guard(on));
                continue;
            }
            if let Some(on) = self.several_turns(session) {
                self.script.insert_before(Step::several(on));
                continue;
            }
            let place = self.script.place();
            if self.script.is_one_frame(place)
                && !(may_frame(session) && self.id_would_be_known(session))
            {
                self.script.part_frame(place);
                continue;
            }
            if !step.is_ours() && self.lacks_row_count(session) {
                self.script.insert_before(Step::put_row_count_back());
                continue;
            }
            let wanted = match step.what {
                What::Fence if step.frame.is_some() => true,
                What::Fence => {
                    let fence = &session.fence;
                    session.transaction.is_dirty() && fence.is_available() && !fence.is_set()
                }
                What::Guard(on) => on != session.guard.is_on(),
                What::Several(on) => on != session.several.is_on(),
                What::KeepWarnings => {
                    let fence = &session.fence;
                    let fenced =
                        session.transaction.is_dirty() && fence.is_available() && !fence.is_set();
                    fenced && session.settings.diagnostics().has_warnings()
                }
                What::PutWarningsBack => session.settings.diagnostics().keeps_warnings(),
                _ => true,
            };
            if wanted {
                if self.stands_alone(session)
                    && let Some(step) = self.script.step_mut()
                {
                    (step.risk, step.fence_at) = (Risk::Doubtful(Doubt::Statement), None);
                }
                // Before a flight is noted, whose COMMIT is in doubt from its beginning on.
                self.begin_frame(session);
                self.put_request(place, session, out);
                let followers = self.followers(session);
                if followers > 0 {
                    for behind in 1..=followers {
                        self.put_request(place + behind, session, out);
                    }
                    self.behind = Behind::Sent(followers);
                }
                self.run(session, link);
                return true;
            }
            self.script.step_done();
        }
        false
    }

    /// The first step of a frame is about to be sent, if the step in hand is one.
    fn begin_frame(&mut self, session: &SessionState) {
        if self.script.begins_frame() {
            self.reply.begin_frame();
            if !session.fence.is_in_doubt() {
                // The ghost belongs to an earlier statement.
                self.ghost = None;
                self.id_before_frame = session.settings.now().last_insert_id;
            }
        }
    }

    /// How many steps behind the one in hand can be sent before the reply to this one: a BEGIN behind a COMMIT, as in
    /// Icinga's every batch; a fence behind our BEGIN; or a prepared statement behind that, and the end of its frame.
    /// Everything else waits to see whether what is before it was done.
    ///
    /// Should the COMMIT fail, the BEGIN is done all the same. It begins a transaction that a ROLLBACK ends, or
    /// commits in passing what the COMMIT has left open: so there must be a fence, which tells of that.
    fn followers(&mut self, session: &mut SessionState) -> usize {
        if self.script.is_one_flight(self.script.place()) {
            session.fence.setting_and_committing(true);
            return 2;
        }
        usize::from(self.leads_on(session))
    }

    /// Whether the step behind the one in hand can be sent with it.
    fn leads_on(&self, session: &SessionState) -> bool {
        let place = self.script.place();
        let ours = |at: usize| self.script.get(at).filter(|step| step.frame.is_some());
        if let (Some(begin), Some(fence)) = (ours(place), ours(place + 1))
            && (&begin.what, &fence.what) == (&What::Begin, &What::Fence)
        {
            // A BEGIN does not fail on a link that lives.
            return true;
        }
        let part = |at: usize, kind: PieceKind| {
            let step = self.script.get(at);
            let step = step.filter(|step| step.fence_at.is_none() && step.frame.is_none())?;
            let alone = matches!(&step.pieces[..], [piece] if piece.kind == kind);
            (alone && matches!(step.what, What::Part(_))).then_some(step)
        };
        let (Some(commit), Some(begin)) =
            (part(place, PieceKind::End), part(place + 1, PieceKind::Begin))
        else {
            return false;
        };
        matches!(commit.risk, Risk::Commit { .. })
            && session.fence.is_set()
            && begin.risk == Risk::Repeatable
            && session.guard.turn_before(begin, false, self.autocommits(session)).is_none()
    }

    /// Whether our BEGIN in hand has its statement and the end of its frame behind it.
    pub(super) fn begins_flight(&self) -> bool {
        matches!(self.behind, Behind::Sent(2)) && self.script.is_one_flight(self.script.place())
    }

    /// Whether the guard must be turned on or off before the step in hand is sent.
    pub(super) fn guard_turns(&self, session: &SessionState) -> Option<bool> {
        let step = self.step()?;
        let ours = matches!(step.what, What::Guard(_) | What::Several(_));
        let silent = step.what == What::Whole && !self.command.has_reply();
        if ours || silent || self.request.is_empty() {
            return None;
        }
        session.guard.turn_before(step, session.transaction.is_open(), self.autocommits(session))
    }

    /// Whether the link must be told that it takes several statements, or one, before the step in hand is sent.
    pub(super) fn several_turns(&self, session: &SessionState) -> Option<bool> {
        // All of a flight leaves at once, and its end is a text of several.
        let here = self.script.place();
        let at = here + if self.script.is_one_flight(here) { 2 } else { 0 };
        let step = self.script.get(at).filter(|step| !matches!(step.what, What::Several(_)))?;
        // A command that is not kept may be sent already.
        session.several.turn_before(step).filter(|_| !self.request.is_empty())
    }

    /// Whether the client is in autocommit mode, and neither sets nor reads it.
    pub(super) fn autocommits(&self, session: &SessionState) -> bool {
        session.settings.autocommit() && !session.unguarded
    }

    /// The step in hand is on its way.
    pub(super) fn run(&mut self, session: &mut SessionState, link: Capabilities) {
        let Some(step) = self.script.step_mut() else { return };
        let commits = matches!(step.risk, Risk::Commit { .. });
        // A flight was noted when it left.
        let frames = matches!(step.what, What::Framed(_));
        if commits && (step.fence_at.is_some() || frames) {
            session.fence.setting_and_committing(frames);
        }
        let unfenced = commits && !session.fence.is_set();
        if unfenced && session.transaction.is_dirty() && !session.fence.is_in_doubt() {
            // The fence that was planned could not be set, and will tell nothing.
            step.risk = Risk::Doubtful(Doubt::Unfenced);
        }
        if matches!(step.risk, Risk::Commit { .. } | Risk::Doubtful(_)) {
            session.fence.committing();
        }
        let command = match step.what {
            What::Whole => self.command,
            What::Several(_) => Command::SetOption,
            _ => Command::Query,
        };
        if !command.has_reply() {
            self.script.skip();
            return;
        }
        let mark = self.reply.mark();
        self.running = Some(Running::new(command, link, Job::of_step(step), mark));
    }

    /// The state of the session in which that begins which has to be done again, should it have to be now.
    pub(super) fn beginning(&self, session: &SessionState) -> State {
        session.settings.begun().unwrap_or(&self.state).clone()
    }

    /// Whether the step in hand was to write within a transaction, and finds that none is open: a procedure has ended
    /// it, or an expression has turned autocommit on. What it writes commits by itself, and so would a fence.
    fn stands_alone(&self, session: &SessionState) -> bool {
        let Some(step) = self.step() else { return false };
        let first = step.pieces.first().map(|piece| piece.kind);
        step.frame.is_none()
            && step.risk == Risk::Repeatable
            && !session.transaction.is_open()
            && session.settings.autocommit()
            && !session.guard.is_on()
            && (step.fence_at.is_some() || first == Some(PieceKind::Write))
            && !matches!(first, Some(PieceKind::Begin | PieceKind::End))
    }

    /// The client gets this error in place of a reply, if it has nothing of the reply yet.
    pub(super) fn fail(&mut self, error: &ErrPacket) {
        self.failed = true;
        if let Origin::Restore { refusal } = &mut self.origin {
            *refusal = Some(error.clone());
            return;
        }
        self.script.clear();
        self.reply.fail(&error.encode());
    }

    /// The step in hand was refused: the client gets this error in place of its reply, or of that to the statement that it
    /// was to commit.
    pub(super) fn refuse(&mut self, error: &ErrPacket) {
        if matches!(self.origin, Origin::Restore { .. }) {
            return self.fail(error);
        }
        if self.step().is_some_and(|step| step.frame.is_some()) {
            self.reply.roll_back_frame();
        }
        self.failed = true;
        self.script.clear();
        self.reply.push(&error.encode());
    }

    /// The link is lost under the request in hand. If that is a COMMIT of ours, done anew, and it was
    /// done, then most likely by this link and not by the one before.
    pub(super) fn forget_ghost(&mut self) {
        if self.step().is_some_and(|step| step.what == What::Commit) {
            self.ghost = None;
        }
    }

    /// Takes back what the request in hand told of the transaction that must be done again.
    pub(super) fn take_back(&mut self, session: &SessionState) {
        self.begin_failed = None;
        let Some(running) = self.running.take() else { return };
        if !running.is_step() {
            return;
        }
        let frames = matches!(running.job, Job::Step(Layout::Framed));
        if frames && running.framed() > Some(Framed::Body) && !running.given_up {
            let told = self.reply.cut(running.mark);
            self.keep_ghost(told, session);
        }
        self.reply.tell_anew(running.mark);
        self.script.drop_pieces(running.cut);
    }
}
