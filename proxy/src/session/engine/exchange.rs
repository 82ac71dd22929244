//! One command of the client, from its first byte to the last byte of its reply.

use ido_proxy_protocol::capabilities::Capabilities;
use ido_proxy_protocol::command::Command;
use ido_proxy_protocol::err::ErrPacket;

use super::asking::Asked;
use super::recovery::Recovery;
use super::reply_buffer::{ReplyBuffer, Tail};
use super::running::{Behind, Framed, Job, Layout, Running};
use crate::session::plan::blocker::Reasons;
use crate::session::plan::{Doubt, PieceKind, Plan, Risk, Step, Steps, What};
use crate::session::state::book::State;
use crate::session::state::carried::Carried;

pub(super) use self::payload::{GUARD_OFF, GUARD_ON, NUMBERED, ROLLBACK, translate};
use self::pending::Pending;
pub(super) use self::shape::{sql_of, target_of};

mod outcome;
mod payload;
mod pending;
mod shape;

/// The command in hand.
#[derive(Debug)]
pub(super) struct Exchange {
    pub(super) command: Command,
    /// Payload of the command, to be sent again; empty if it is too long to be kept.
    pub(super) request: Vec<u8>,
    /// When it came, in microseconds since 1970.
    pub(super) came: u64,
    pub(super) steps: Steps,
    /// The step in hand.
    pub(super) at: usize,
    /// Why a transaction that it leaves open, or works in, cannot be done again.
    pub(super) transaction: Reasons,
    /// The client's bytes go to the link as they come.
    pub(super) as_is: bool,
    /// The client has sent every byte that it owes.
    pub(super) sent: bool,
    /// The request on the link.
    pub(super) running: Option<Running>,
    /// Request sent behind the running one.
    pub(super) behind: Behind,
    /// An error that nobody was told yet, since the server is asked what it means.
    pub(super) asked: Option<Box<Asked>>,
    /// The client looks at what it is told of changes, or chooses that.
    pub(super) shows_reports: bool,
    /// Rows of a reply to a statement of ours.
    pub(super) rows: Vec<u8>,
    /// How often the command was sent again for an error that condemned a node, wrongly.
    pub(super) hearsay: u32,
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
    /// How often it was sent again for the server's own reasons.
    pub(super) tries: u32,
    /// The link was lost during the command, maybe several times.
    pub(super) lost: bool,
    /// A link was left for it, as what was set on it cannot be undone there.
    pub(super) left: bool,
    /// The link that is there is to be left so.
    pub(super) leaving: bool,
    /// Something may be set on the link that nobody was told: the server gave the transaction up at it.
    pub(super) set_untold: bool,
    /// No command is in hand: an open transaction is done again while the client is silent.
    pub(super) restores: bool,
    /// Error to report if the open transaction could not be done again.
    pub(super) refusal: Option<ErrPacket>,
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
    /// The pending steps could not be done again as they were: they are sent anew.
    pub(super) anew: bool,
    /// The error with which the node refused the COMMIT last, and how often in a row.
    refused: Option<(ErrPacket, u32)>,
    /// The conflict for which the transaction was replayed first.
    pub(super) conflict: Option<ErrPacket>,
    /// No transaction is open, but the text is too long to wait until the guard is off: we commit what it opens.
    pub(super) outside: bool,
}

/// Whether a frame may be one text. Under the guard, a statement behind an abort begins a transaction by itself. An id
/// that another session must have is found out before the COMMIT, where a reply comes before it is sent.
fn may_frame(carried: &Carried) -> bool {
    carried.fence.may_frame() && !carried.guard.is_on() && carried.owed.is_empty()
}

/// Reply to a statement that a ghost may have committed.
#[derive(Debug)]
struct Ghost {
    told: Tail,
    /// Value that `LAST_INSERT_ID()` had then.
    last_insert_id: u64,
}

impl Exchange {
    /// A command as planned.
    pub(super) fn new(
        command: Command,
        request: Vec<u8>,
        plan: Plan,
        sequence: u8,
        carried: &mut Carried,
    ) -> Self {
        carried.book.reasons_mut().extend(plan.session);
        carried.book.diagnostics().forget_kept();
        let works = |step: &Step| {
            let kinds = [PieceKind::Begin, PieceKind::End, PieceKind::Implicit];
            step.pieces.iter().any(|piece| kinds.contains(&piece.kind))
        };
        let keeps = carried.book.unmovable().is_none()
            && (plan.steps.len() > 1
                || carried.transaction.is_open()
                || !carried.book.autocommit()
                || plan.steps.iter().any(|step| works(step) || step.restart.is_some()));
        let outside = request.is_empty() && carried.guard.is_on() && !carried.transaction.is_open();
        Self {
            command,
            request,
            came: 0,
            steps: plan.steps,
            at: 0,
            transaction: plan.transaction,
            as_is: false,
            sent: false,
            running: None,
            behind: Behind::Nothing,
            asked: None,
            shows_reports: false,
            rows: Vec::new(),
            hearsay: 0,
            state: carried.book.now(),
            reply: ReplyBuffer::new(
                sequence.wrapping_add(1),
                keeps || outside,
                !command.has_reply(),
            ),
            keeps,
            outside,
            id_before_frame: 0,
            recovery: None,
            tries: 0,
            lost: false,
            left: false,
            leaving: false,
            set_untold: false,
            restores: false,
            refusal: None,
            failed: false,
            begin_failed: None,
            ghost: None,
            pending: Vec::new(),
            pending_in: 0,
            anew: false,
            refused: None,
            conflict: None,
        }
    }

    /// No command at all: only the way back is gone.
    pub(super) fn restoring(carried: &mut Carried) -> Self {
        let command = Command::Ping;
        let mut exchange = Self::new(command, Vec::new(), Plan::default(), 0, carried);
        exchange.sent = true;
        exchange.restores = true;
        exchange.lost = true;
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

    /// The step in hand.
    pub(super) fn step(&self) -> Option<&Step> {
        self.steps.get(self.at)
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
        self.reply.has_begun() && self.steps.len() > 1
    }

    /// Puts the next request in hand, and appends it to `out`. Steps that turn out to be needless are
    /// left out. Returns false if there is none left.
    pub(super) fn next_request(
        &mut self,
        carried: &mut Carried,
        link: Capabilities,
        out: &mut Vec<u8>,
    ) -> bool {
        while let Some(step) = self.steps.get(self.at) {
            if let Some(on) = self.guard_turns(carried) {
                self.insert_before(Step::guard(on));
                continue;
            }
            if let Some(on) = self.several_turns(carried) {
                self.insert_before(Step::several(on));
                continue;
            }
            if self.is_one_frame(self.at) && !may_frame(carried) {
                self.part_frame(self.at);
                continue;
            }
            let first = self.reply.is_untouched() && self.pending.is_empty();
            if first && !step.is_ours() && self.lacks_row_count(carried) {
                self.insert_before(Step::put_row_count_back());
                continue;
            }
            let wanted = match step.what {
                What::Fence if step.restart.is_some() => true,
                What::Fence => {
                    let fence = &carried.fence;
                    carried.transaction.is_dirty() && fence.is_available() && !fence.is_set()
                }
                What::Guard(on) => on != carried.guard.is_on(),
                What::Several(on) => on != carried.several.is_on(),
                What::KeepWarnings => {
                    let fence = &carried.fence;
                    let fenced =
                        carried.transaction.is_dirty() && fence.is_available() && !fence.is_set();
                    fenced && carried.book.diagnostics().has_warnings()
                }
                What::PutWarningsBack => carried.book.diagnostics().keeps_warnings(),
                _ => true,
            };
            if wanted {
                if self.stands_alone(carried) {
                    let step = &mut self.steps[self.at];
                    (step.risk, step.fence_at) = (Risk::Doubtful(Doubt::Statement), None);
                }
                self.put_request(self.at, carried, out);
                let followers = self.followers(carried);
                if followers > 0 {
                    for behind in 1..=followers {
                        self.put_request(self.at + behind, carried, out);
                    }
                    self.behind = Behind::Sent(followers);
                }
                self.run(carried, link);
                return true;
            }
            self.step_done();
        }
        false
    }

    /// How many steps behind the one in hand can be sent before the reply to this one: a BEGIN behind a COMMIT, as in
    /// Icinga's every batch; a fence behind our BEGIN; or a prepared statement behind that, and the end of its frame.
    /// Everything else waits to see whether what is before it was done.
    ///
    /// Should the COMMIT fail, the BEGIN is done all the same. It begins a transaction that a ROLLBACK ends, or
    /// commits in passing what the COMMIT has left open: so there must be a fence, which tells of that.
    fn followers(&mut self, carried: &mut Carried) -> usize {
        if self.is_one_flight(self.at) {
            carried.fence.setting_and_committing(true);
            return 2;
        }
        usize::from(self.leads_on(carried))
    }

    /// Whether the step behind the one in hand can be sent with it.
    fn leads_on(&self, carried: &Carried) -> bool {
        let ours = |at: usize| self.steps.get(at).filter(|step| step.restart.is_some());
        if let (Some(begin), Some(fence)) = (ours(self.at), ours(self.at + 1))
            && (&begin.what, &fence.what) == (&What::Begin, &What::Fence)
        {
            // A BEGIN does not fail on a link that lives.
            return true;
        }
        let part = |at: usize, kind: PieceKind| {
            let step = self
                .steps
                .get(at)
                .filter(|step| step.fence_at.is_none() && step.restart.is_none())?;
            let alone = matches!(&step.pieces[..], [piece] if piece.kind == kind);
            (alone && matches!(step.what, What::Part(_))).then_some(step)
        };
        let (Some(commit), Some(begin)) =
            (part(self.at, PieceKind::End), part(self.at + 1, PieceKind::Begin))
        else {
            return false;
        };
        matches!(commit.risk, Risk::Commit { .. })
            && carried.fence.is_set()
            && begin.risk == Risk::Repeatable
            && carried.guard.turn_before(begin, false, self.autocommits(carried)).is_none()
    }

    /// Whether the step at `at` is a frame of one text, or the first step of one of one flight.
    fn is_one_frame(&self, at: usize) -> bool {
        let framed = |step: &Step| matches!(step.what, What::Framed(_));
        self.steps.get(at).is_some_and(framed) || self.is_one_flight(at)
    }

    /// Whether BEGIN, a prepared statement and the end of its frame are at `at`.
    fn is_one_flight(&self, at: usize) -> bool {
        let is = |at: usize, what: What| self.steps.get(at).is_some_and(|step| step.what == what);
        is(at, What::Begin) && is(at + 1, What::Whole) && is(at + 2, What::Close)
    }

    /// Whether our BEGIN in hand has its statement and the end of its frame behind it.
    pub(super) fn begins_flight(&self) -> bool {
        matches!(self.behind, Behind::Sent(2)) && self.is_one_flight(self.at)
    }

    /// Whether the prepared statement in hand has the end of its frame behind it.
    pub(super) fn is_in_flight(&self) -> bool {
        self.at > 0 && self.is_one_flight(self.at - 1)
    }

    /// Whether the guard must be turned on or off before the step in hand is sent.
    pub(super) fn guard_turns(&self, carried: &Carried) -> Option<bool> {
        let step = self.step()?;
        let ours = matches!(step.what, What::Guard(_) | What::Several(_));
        let silent = step.what == What::Whole && !self.command.has_reply();
        if ours || silent || self.request.is_empty() {
            return None;
        }
        carried.guard.turn_before(step, carried.transaction.is_open(), self.autocommits(carried))
    }

    /// Whether the link must be told that it takes several statements, or one, before the step in hand is sent.
    pub(super) fn several_turns(&self, carried: &Carried) -> Option<bool> {
        let step = self.step().filter(|step| !matches!(step.what, What::Several(_)))?;
        // A command that is not kept may be sent already.
        carried.several.turn_before(step).filter(|_| !self.request.is_empty())
    }

    /// Whether the client is in autocommit mode, and neither sets nor reads it.
    pub(super) fn autocommits(&self, carried: &Carried) -> bool {
        carried.book.autocommit() && !carried.unguarded
    }

    /// The step in hand is done.
    pub(super) fn step_done(&mut self) {
        if matches!(self.step(), Some(Step { what: What::Guard(_) | What::Several(_), .. })) {
            // Such a step was not planned, and leaves no trace.
            self.remove_step(self.at);
        } else {
            self.at += 1;
        }
    }

    /// The step in hand is on its way.
    pub(super) fn run(&mut self, carried: &mut Carried, link: Capabilities) {
        let Some(step) = self.steps.get(self.at) else { return };
        if step.restart == Some(self.at) {
            self.reply.begin_frame();
            if !carried.fence.is_in_doubt() {
                // The ghost belongs to an earlier statement.
                self.ghost = None;
                self.id_before_frame = carried.book.now().last_insert_id;
            }
        }
        let commits = matches!(step.risk, Risk::Commit { .. });
        // A flight was noted when it left.
        let frames = matches!(step.what, What::Framed(_));
        if commits && (step.fence_at.is_some() || frames) {
            carried.fence.setting_and_committing(frames);
        }
        let unfenced = commits && !carried.fence.is_set();
        if unfenced && carried.transaction.is_dirty() && !carried.fence.is_in_doubt() {
            // The fence that was planned could not be set, and will tell nothing.
            self.steps[self.at].risk = Risk::Doubtful(Doubt::Unfenced);
        }
        let step = &self.steps[self.at];
        if matches!(step.risk, Risk::Commit { .. } | Risk::Doubtful(_)) {
            carried.fence.committing();
        }
        let command = match step.what {
            What::Whole => self.command,
            What::Several(_) => Command::SetOption,
            _ => Command::Query,
        };
        if !command.has_reply() {
            self.at += 1;
            return;
        }
        let mark = self.reply.mark();
        self.running = Some(Running::new(command, link, Job::of_step(step), mark));
    }

    /// The state of the session in which that begins which has to be done again, should it have to be now.
    pub(super) fn beginning(&self, carried: &Carried) -> State {
        carried.book.begun().unwrap_or(&self.state).clone()
    }

    /// Whether the step in hand was to write within a transaction, and finds that none is open: a procedure has ended
    /// it. What it writes commits by itself, and so would a fence.
    fn stands_alone(&self, carried: &Carried) -> bool {
        let Some(step) = self.step() else { return false };
        let first = step.pieces.first().map(|piece| piece.kind);
        step.restart.is_none()
            && step.risk == Risk::Repeatable
            && !carried.transaction.is_open()
            && carried.book.autocommit()
            && !carried.guard.is_on()
            && step.fence_at.is_some()
            && !matches!(first, Some(PieceKind::Begin | PieceKind::End))
    }

    /// Puts a step of ours in front of the one in hand. Within a frame it is part of that: should it be lost, all of the
    /// frame is done again.
    fn insert_before(&mut self, step: Step) {
        let restart = self.step().and_then(|step| step.restart);
        let restart = restart.filter(|restart| *restart < self.at);
        self.insert_step(self.at, Step { restart, ..step });
    }

    /// Puts a step into this place.
    pub(super) fn insert_step(&mut self, at: usize, step: Step) {
        self.shift_restarts(|restart| restart + usize::from(restart >= at));
        self.steps.insert(at, step);
    }

    /// Takes the step in this place out.
    fn remove_step(&mut self, at: usize) {
        self.steps.remove(at);
        self.shift_restarts(|restart| restart - usize::from(restart > at));
    }

    fn shift_restarts(&mut self, shifted: impl Fn(usize) -> usize) {
        for step in &mut self.steps {
            step.restart = step.restart.map(&shifted);
        }
    }

    /// The client gets this error in place of a reply, if it has nothing of the reply yet.
    pub(super) fn fail(&mut self, error: &ErrPacket) {
        self.failed = true;
        if self.restores {
            self.refusal = Some(error.clone());
            return;
        }
        self.steps.clear();
        self.at = 0;
        self.reply.fail(&error.encode());
    }

    /// The link is lost under the request in hand. If that is a COMMIT of ours, done anew, and it was
    /// done, then most likely by this link and not by the one before.
    pub(super) fn forget_ghost(&mut self) {
        if self.step().is_some_and(|step| step.what == What::Commit) {
            self.ghost = None;
        }
    }

    /// Takes back what the request in hand told of the transaction that must be done again.
    pub(super) fn take_back(&mut self, carried: &Carried) {
        self.begin_failed = None;
        let Some(running) = self.running.take() else { return };
        if !running.is_step() {
            return;
        }
        let frames = matches!(running.job, Job::Step(Layout::Framed));
        if frames && running.framed() > Some(Framed::Body) && !running.given_up {
            let told = self.reply.cut(running.mark);
            self.keep_ghost(told, carried);
        }
        self.reply.tell_anew(running.mark);
        self.drop_pieces(running.cut);
    }

    /// Drops the first `cut` statements of the step in hand. The step has committed or rolled them back already, so
    /// they are not sent again.
    fn drop_pieces(&mut self, cut: usize) {
        if cut > 0
            && let Some(step) = self.steps.get_mut(self.at)
        {
            let end = step.pieces.last().map_or(0, |piece| piece.end);
            step.pieces.drain(..cut.min(step.pieces.len()));
            step.fence_at = step.fence_at.and_then(|at| at.checked_sub(cut));
            step.risk = Risk::Repeatable;
            match step.pieces.first() {
                Some(next) => step.what = What::Part(next.start..end),
                None => self.at += 1,
            }
        }
    }
}
