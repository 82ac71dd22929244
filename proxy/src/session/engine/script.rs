//! Steps of the command in hand, and the one that is due.
//!
//! The steps of a frame bear its name: should one of them be lost, all are done again. A step that is put between them is
//! part of the frame.

use crate::session::plan::{Doubt, Frame, Piece, Risk, Step, Steps, What};

/// The steps of a command.
#[derive(Debug)]
pub(super) struct Script {
    steps: Steps,
    /// The step in hand.
    place: usize,
}

impl Script {
    /// A script at its first step.
    pub(super) fn new(steps: Steps) -> Self {
        Self { steps, place: 0 }
    }

    /// The number of the step in hand.
    pub(super) fn place(&self) -> usize {
        self.place
    }

    /// Number of steps, those that are done among them.
    pub(super) fn len(&self) -> usize {
        self.steps.len()
    }

    /// Whether no step is left.
    pub(super) fn is_over(&self) -> bool {
        self.place >= self.steps.len()
    }

    /// All steps.
    pub(super) fn steps(&self) -> &[Step] {
        &self.steps
    }

    /// The step in hand.
    pub(super) fn step(&self) -> Option<&Step> {
        self.steps.get(self.place)
    }

    /// The step in hand, to be changed.
    pub(super) fn step_mut(&mut self) -> Option<&mut Step> {
        self.steps.get_mut(self.place)
    }

    /// The step of this number.
    pub(super) fn get(&self, place: usize) -> Option<&Step> {
        self.steps.get(place)
    }

    /// The step of this number, to be changed.
    pub(super) fn get_mut(&mut self, place: usize) -> Option<&mut Step> {
        self.steps.get_mut(place)
    }

    /// Steps behind the one of this number.
    pub(super) fn behind(&self, place: usize) -> &[Step] {
        self.steps.get(place + 1..).unwrap_or_default()
    }

    /// Whether a step behind the one of this number has something for the client.
    pub(super) fn comes_more_behind(&self, place: usize) -> bool {
        self.behind(place).iter().any(|step| !step.is_ours())
    }

    /// The step in hand is done. One that was not planned leaves no trace.
    pub(super) fn step_done(&mut self) {
        match self.step() {
            Some(Step { what: What::Guard(_) | What::Several(_), .. }) => {
                self.steps.remove(self.place);
            }
            _ => self.place += 1,
        }
    }

    /// The step in hand is over.
    pub(super) fn skip(&mut self) {
        self.place += 1;
    }

    /// The step of this number is in hand again.
    pub(super) fn go_back(&mut self, place: usize) {
        self.place = place;
    }

    /// No step is left.
    pub(super) fn clear(&mut self) {
        self.steps.clear();
        self.place = 0;
    }

    /// Takes out what is behind the step in hand, but for what looks at what a statement before it may have set.
    pub(super) fn end_here(&mut self) {
        let looks =
            |step: &Step| matches!(step.what, What::AskState | What::AskReports | What::ReportAll);
        let end = self.steps.len().min(self.place + 1);
        let behind = self.steps.drain(end..).filter(looks).collect::<Steps>();
        self.steps.extend(behind);
    }

    /// Puts a step in front of all.
    pub(super) fn put_first(&mut self, step: Step) {
        self.steps.insert(0, step);
    }

    /// Puts a step in front of the one in hand. Between two of a frame it is part of that.
    pub(super) fn insert_before(&mut self, step: Step) {
        let frame = self.step().and_then(|step| step.frame).filter(|_| !self.begins_frame());
        self.steps.insert(self.place, Step { frame, ..step });
    }

    /// Puts a step, as it is, in front of the one in hand.
    pub(super) fn insert_here(&mut self, step: Step) {
        self.steps.insert(self.place, step);
    }

    /// Puts a step behind the one in hand.
    pub(super) fn insert_behind(&mut self, step: Step) {
        self.steps.insert(self.place + 1, step);
    }

    /// Puts steps behind all.
    pub(super) fn extend(&mut self, steps: impl IntoIterator<Item = Step>) {
        self.steps.extend(steps);
    }

    /// Whether the step in hand is the first of a frame.
    pub(super) fn begins_frame(&self) -> bool {
        let frame = |place: usize| self.steps.get(place).and_then(|step| step.frame);
        let before = self.place.checked_sub(1).and_then(frame);
        frame(self.place).is_some_and(|frame| before != Some(frame))
    }

    /// The number of the first step of a frame.
    pub(super) fn start_of(&self, frame: Frame) -> usize {
        let first = self.steps.iter().position(|step| step.frame == Some(frame));
        first.unwrap_or(self.place)
    }

    /// The client's statement in a frame.
    pub(super) fn statement_of(&self, frame: Frame) -> Option<&Step> {
        self.steps.iter().find(|step| step.frame == Some(frame) && !step.is_ours())
    }

    /// Whether the step of this number is a frame of one text, or the first step of one of one flight.
    pub(super) fn is_one_frame(&self, place: usize) -> bool {
        let framed = |step: &Step| matches!(step.what, What::Framed(_));
        self.steps.get(place).is_some_and(framed) || self.is_one_flight(place)
    }

    /// Whether BEGIN, a prepared statement and the end of its frame are at `place`.
    pub(super) fn is_one_flight(&self, place: usize) -> bool {
        let is =
            |place: usize, what: What| self.steps.get(place).is_some_and(|step| step.what == what);
        is(place, What::Begin) && is(place + 1, What::Whole) && is(place + 2, What::Close)
    }

    /// Whether the prepared statement in hand has the end of its frame behind it.
    pub(super) fn is_in_flight(&self) -> bool {
        self.place.checked_sub(1).is_some_and(|before| self.is_one_flight(before))
    }

    /// The statement whose frame is at `place` goes with what begins its transaction, and no longer with the COMMIT.
    pub(super) fn part_frame(&mut self, place: usize) {
        if self.is_one_flight(place) {
            self.steps[place + 2].what = What::Commit;
            let frame = self.steps[place].frame;
            self.steps.insert(place + 1, Step { frame, ..Step::fence() });
            self.place += usize::from(self.place > place);
            return;
        }
        let Some(step) = self.steps.get_mut(place) else { return };
        let What::Framed(range) = &step.what else { return };
        step.what = What::Wrapped(range.clone());
        let risk = std::mem::replace(&mut step.risk, Risk::Repeatable);
        let commit = Step::commit_of(step.frame, risk);
        self.steps.insert(place + 1, commit);
    }

    /// The wrapped statement of a frame goes behind BEGIN and fence, and no longer in one text with them. A ghost writes
    /// the same fence: were that certified in the middle of the text, the statement would be committed by itself.
    pub(super) fn unwrap(&mut self, frame: Frame) {
        let start = self.start_of(frame);
        let Some(step) = self.steps.get_mut(start) else { return };
        let What::Wrapped(range) = &step.what else { return };
        step.what = What::Part(range.clone());
        self.steps.insert_many(start, Step::opening(frame));
    }

    /// Drops the first `cut` statements of the step in hand. The step has committed or rolled them back already, so
    /// they are not sent again.
    pub(super) fn drop_pieces(&mut self, cut: usize) {
        if cut > 0
            && let Some(step) = self.steps.get_mut(self.place)
        {
            let end = step.pieces.last().map_or(0, |piece| piece.end);
            step.pieces.drain(..cut.min(step.pieces.len()));
            step.fence_at = step.fence_at.and_then(|at| at.checked_sub(cut));
            step.risk = Risk::Repeatable;
            match step.pieces.first() {
                Some(next) => step.what = What::Part(next.start..end),
                None => self.place += 1,
            }
        }
    }

    /// The COMMIT at the beginning of the step in hand is done. Returns what comes behind it in the same step.
    pub(super) fn commit_done(&mut self) -> Option<Piece> {
        let step = self.steps.get_mut(self.place)?;
        let end = step.pieces.last()?.end;
        step.pieces.remove(0);
        let next = step.pieces.first().copied();
        match next {
            Some(next) => step.what = What::Part(next.start..end),
            None => self.place += 1,
        }
        next
    }

    /// The text of the step in hand has stopped at its fence, in front of the statement at `place`: the rest of it becomes
    /// a step of its own.
    fn part_at_fence(&mut self, place: usize) {
        let Some(step) = self.steps.get_mut(self.place) else { return };
        let mut rest = step.clone();
        (rest.fence_at, step.fence_at) = (None, None);
        rest.pieces.drain(..place.min(rest.pieces.len()));
        if rest.risk == Risk::Rollback {
            // A ROLLBACK is the first statement of its step, and done.
            rest.risk = Risk::Repeatable;
        }
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
        self.insert_behind(rest);
    }

    /// The fence cannot be written, as the step in hand has shown: what is to come goes without. Returns whether a frame
    /// was taken apart: its statement was not reached, and goes by itself, as it came.
    pub(super) fn go_unfenced(&mut self) -> bool {
        let unfenced = Risk::Doubtful(Doubt::Unfenced);
        if let Some(place) = self.step().and_then(|step| step.fence_at) {
            self.part_at_fence(place);
        }
        let frame = self.step().and_then(|step| step.frame);
        if let Some(frame) = frame {
            let Some(mut alone) = self.statement_of(frame).cloned() else { return false };
            if let What::Framed(range) | What::Wrapped(range) = &alone.what {
                alone.what = What::Part(range.clone());
            }
            (alone.risk, alone.frame) = (unfenced, None);
            let place = self.place;
            while self.steps.get(place + 1).is_some_and(|step| step.frame == Some(frame)) {
                self.steps.remove(place + 1);
            }
            self.insert_behind(alone);
            self.insert_behind(Step::rollback());
        }
        for step in self.steps.iter_mut().skip(self.place + 1) {
            if matches!(step.risk, Risk::Commit { .. }) && step.frame.is_none() {
                step.risk = unfenced;
            }
        }
        frame.is_some()
    }
}
