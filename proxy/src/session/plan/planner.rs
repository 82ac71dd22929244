//! Puts the steps of a text of several statements together.

use std::ops::Range;

use ido_proxy_protocol::statement::{Kind, Statement};
use smallvec::smallvec;

use super::text::{
    autocommit_set_to, has_counts_alone, loads_file, locks_tables, may_change_frames,
    may_set_autocommit, reads_diagnostics, reads_warnings, sets_autocommit, sets_completion,
};
use super::{
    Class, Doubt, FenceUse, Frame, LONG, Leavings, Piece, PieceKind, Plan, Risk, Scene, Step, What,
    commit_risk, shows_guard,
};

/// Puts the steps of a batch together.
pub(super) struct Planner<'a> {
    scene: Scene,
    plan: Plan,
    /// The step that is being filled.
    body: Option<Step>,
    /// Contents of that step.
    filling: Filling,
    /// Whether what comes next is part of a transaction that it does not end itself.
    open: bool,
    autocommit: bool,
    dirty: bool,
    ending: Ending,
    layout: Layout,
    warnings: Warnings,
    /// The whole text.
    pub(super) sql: &'a [u8],
    /// Whether a frame around a statement would be seen, once that is known: by what the next one reads of the last
    /// one, or since it uses up what was set for the next transaction.
    frames_show: Option<bool>,
}

/// Where the warnings of the client's last statement are.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Warnings {
    /// At the server.
    AsLeft,
    /// Kept before a COMMIT, and not put back yet.
    Kept,
}

/// Effect of a COMMIT or ROLLBACK beyond the end of its transaction.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Ending {
    /// Effect that its words and `completion_type` say.
    Known,
    /// The text sets `completion_type` before it.
    Unknown,
}

/// How statements are put into steps.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Layout {
    /// Each step has as many as can be.
    Joined,
    /// Each is a step of its own.
    Apart,
}

/// Contents of a step that is being filled. Where they are known to have one reply each, and to write, the fence may
/// follow in the same request.
#[derive(Debug, Default)]
struct Filling {
    /// A statement may do anything, and have any number of replies.
    has_unknown: bool,
    /// A statement sets a mode that is not known: the next one may commit by itself, or not.
    mode_unknown: bool,
    /// The first statement that may write.
    first_write: Option<usize>,
}

impl<'a> Planner<'a> {
    pub(super) fn new(scene: Scene, layout: Layout) -> Self {
        Self {
            plan: Plan::default(),
            body: None,
            filling: Filling::default(),
            open: scene.is_within(),
            autocommit: scene.autocommit,
            dirty: scene.is_dirty(),
            ending: Ending::Known,
            layout,
            warnings: Warnings::AsLeft,
            sql: &[],
            frames_show: None,
            scene,
        }
    }

    /// Adds a statement, which `reads` the client's `autocommit` maybe.
    pub(super) fn add(&mut self, statement: &Statement<'_>, reads: bool) {
        self.plan.leaves(&Leavings::of(statement));
        let class = Class::of_statement(statement, self.autocommit);
        let was_open = self.open;
        self.plan.reads_autocommit |= reads && self.open;
        self.plan.unguards = self.plan.unguards.max(shows_guard(statement, self.open, self.scene));
        self.plan.sets_autocommit |= self.open && may_set_autocommit(statement);
        let part = self.scene.guards() && self.must_part_from(class);
        if part || (self.filling.mode_unknown && matches!(class, Class::Unknown | Class::Write)) {
            self.flush();
        }
        self.put_warnings_back(statement, class);
        match loads_file(statement) {
            true => self.load(statement, class),
            false => self.place(statement, class),
        }
        // Whatever the mode is, a transaction is open from here on.
        self.filling.mode_unknown &= class != Class::Begin;
        if matches!(class, Class::Commit | Class::Rollback) && self.chains(statement.kind) {
            self.open = true;
        }
        if matches!(class, Class::Commit | Class::Rollback) && self.ending == Ending::Unknown {
            // The next transaction may have begun with it, or not.
            (self.open, self.filling.mode_unknown) = (true, true);
        }
        if sets_completion(statement) {
            self.ending = Ending::Unknown;
        }
        if class == Class::Implicit && statement.kind != Kind::Ddl {
            // UNLOCK TABLES commits only what LOCK TABLES has begun, and SET ROLE nothing.
            self.open |= was_open;
        }
        if may_change_frames(statement) || class == Class::Unknown {
            // From here on a frame might commit what is open: a procedure may have begun a transaction, for one.
            self.frames_show = Some(true);
        }
        if locks_tables(statement) && self.scene.fences() {
            // BACKUP LOCK refuses each write of its own session, and LOCK TABLES each to another table.
            self.scene.fence = FenceUse::InTheWay;
        }
        match autocommit_set_to(statement) {
            Some(true) if self.autocommit => {}
            Some(on) => (self.autocommit, self.open) = (on, !on),
            // To take it for off costs the wrap of what comes next.
            None => {
                let unknown = sets_autocommit(statement.kind);
                self.open |= unknown;
                self.filling.mode_unknown |= unknown;
            }
        }
        if self.layout == Layout::Apart {
            self.flush();
        }
    }

    /// Puts warnings back in front of a statement that reads them.
    fn put_warnings_back(&mut self, statement: &Statement<'_>, class: Class) {
        let goes_on = !matches!(class, Class::Begin | Class::Commit | Class::Rollback);
        if goes_on && self.warnings == Warnings::Kept && reads_warnings(statement.sql) {
            self.flush();
            self.plan.steps.push(Step::new(What::PutWarningsBack));
            self.warnings = Warnings::AsLeft;
        }
        if matches!(class, Class::Unknown | Class::Write) {
            // The list is that of this statement.
            self.warnings = Warnings::AsLeft;
        }
    }

    /// Puts a statement into a step.
    fn place(&mut self, statement: &Statement<'_>, class: Class) {
        match class {
            Class::Begin | Class::Commit | Class::Implicit if self.open => {
                self.commit(statement, class);
            }
            Class::Rollback => {
                self.flush();
                self.push(statement, class);
                self.risk(Risk::Rollback);
                self.open = self.chains(statement.kind) || !self.autocommit;
                self.dirty = false;
            }
            Class::Begin => {
                self.push(statement, class);
                self.open = true;
            }
            Class::Write if !self.open && self.scene.fences() && self.may_wrap() => {
                self.wrap(statement);
            }
            Class::Write | Class::Unknown if !self.open => {
                let doubt =
                    if class == Class::Write { self.scene.doubt() } else { Doubt::Statement };
                self.alone(statement, class, Risk::Doubtful(doubt));
            }
            Class::Implicit if statement.kind == Kind::Ddl => {
                self.alone(statement, class, Risk::Doubtful(Doubt::Statement));
            }
            Class::Commit
            | Class::Implicit
            | Class::Off
            | Class::Plain
            | Class::Savepoint
            | Class::Unknown
            | Class::Write => {
                self.push(statement, class);
                let writes = class == Class::Write || self.may_write_unseen(statement, class);
                if writes {
                    let last = self.body.as_ref().map_or(0, |body| body.pieces.len() - 1);
                    self.filling.first_write.get_or_insert(last);
                }
                self.dirty |= writes || class == Class::Unknown;
                self.filling.has_unknown |= class == Class::Unknown;
            }
        }
    }

    /// Whether a statement that looks as if it only read may be the first to write in the open transaction, by a stored
    /// function.
    fn may_write_unseen(&self, statement: &Statement<'_>, class: Class) -> bool {
        class == Class::Plain && self.open && !self.dirty && statement.may_call_stored()
    }

    /// A LOAD DATA LOCAL is a step of its own: what the node asks the client for in its course is not sent again.
    fn load(&mut self, statement: &Statement<'_>, class: Class) {
        if !self.open {
            return self.alone(statement, class, Risk::Doubtful(Doubt::Statement));
        }
        self.flush();
        self.push(statement, class);
        self.flush();
        self.dirty = true;
    }

    /// Whether the guard may have to be turned on or off between the statement before and this one.
    fn must_part_from(&self, class: Class) -> bool {
        let before = self.body.as_ref().map_or(&[][..], |body| &body.pieces);
        match before.last().map(|piece| piece.kind) {
            None => false,
            // The statement may go on outside of a transaction, where the guard must be off.
            Some(_) if class == Class::Implicit => true,
            // The guard is off for the whole step if something is done in it outside of a transaction.
            Some(PieceKind::Begin) => {
                let outside =
                    |piece: &Piece| !matches!(piece.kind, PieceKind::Begin | PieceKind::End);
                class == Class::Unknown || class != Class::Begin && before.iter().any(outside)
            }
            Some(PieceKind::End | PieceKind::Implicit) => class != Class::Begin,
            Some(PieceKind::Unknown) => true,
            Some(PieceKind::Plain | PieceKind::Savepoint | PieceKind::Write) => {
                class == Class::Unknown
            }
        }
    }

    /// Whether nobody would see a frame around a statement.
    fn may_wrap(&mut self) -> bool {
        !*self.frames_show.get_or_insert_with(|| reads_diagnostics(self.sql))
    }

    /// A statement that ends the open transaction begins a step of its own, behind the fence.
    fn commit(&mut self, statement: &Statement<'_>, class: Class) {
        let dirty = self.dirty;
        if dirty && self.scene.fences() {
            match &mut self.body {
                // A fence is written on from the one before: that must be committed, and known to be.
                Some(body)
                    if !self.filling.has_unknown
                        && self.layout == Layout::Joined
                        && self.filling.first_write.is_some()
                        && !is_long(&body.what)
                        && matches!(body.risk, Risk::Repeatable | Risk::Rollback) =>
                {
                    // Ahead of what is written: it would clear the warnings of the last statement.
                    body.fence_at = self.filling.first_write;
                    if body.pieces.iter().any(|piece| piece.kind == PieceKind::Savepoint) {
                        // The fence may have been undone by then.
                        self.flush();
                        self.plan.steps.push(Step::fence());
                    }
                }
                _ => {
                    self.flush();
                    self.plan.steps.extend([Step::new(What::KeepWarnings), Step::fence()]);
                    self.warnings = Warnings::Kept;
                }
            }
        }
        if dirty {
            self.flush();
        } else if statement.kind == Kind::Ddl {
            // Nothing is committed in passing, and the statement itself is not to be done twice.
            self.alone(statement, class, Risk::Doubtful(Doubt::Statement));
            self.open = !self.autocommit;
            return;
        }
        self.push(statement, class);
        if dirty {
            let Range { start, end } = statement.range;
            let resume = if class == Class::Commit { end } else { start };
            let risk = match (class, self.ending) {
                (Class::Commit, Ending::Unknown) => Risk::Doubtful(Doubt::Statement),
                _ => commit_risk(statement.kind, self.scene, resume),
            };
            self.risk(risk);
            // The COMMIT goes alone. Galera answers the COMMIT of "COMMIT;BEGIN" with OK, and with error 1180
            // behind it, where it could not replicate the transaction; that of "COMMIT" with the error.
            self.flush();
        }
        self.open = class == Class::Begin || self.chains(statement.kind) || !self.autocommit;
        self.dirty = false;
    }

    /// Whether the statement ends a transaction and begins the next one.
    fn chains(&self, kind: Kind) -> bool {
        match kind {
            Kind::Commit(completion) | Kind::Rollback(completion) => {
                completion.chain || self.scene.chains
            }
            _ => false,
        }
    }

    /// A statement that commits by itself, between a BEGIN and a COMMIT of ours.
    fn wrap(&mut self, statement: &Statement<'_>) {
        self.flush();
        let frame = Frame(self.plan.steps.len());
        let Range { start, end } = statement.range.clone();
        let pieces = smallvec![Piece { start, end, kind: PieceKind::Write }];
        let risk = Risk::Commit { resume: end };
        let framed = What::Framed(statement.range.clone());
        if has_counts_alone(statement.sql) && !is_long(&framed) {
            return self.plan.steps.push(Step {
                pieces,
                frame: Some(frame),
                risk,
                ..Step::new(framed)
            });
        }
        let mut wrapped = What::Wrapped(statement.range.clone());
        if is_long(&wrapped) {
            self.plan.steps.extend(Step::opening(frame));
            wrapped = What::Part(statement.range.clone());
        }
        self.plan.steps.push(Step { pieces, frame: Some(frame), ..Step::new(wrapped) });
        self.plan.steps.push(Step::commit_of(Some(frame), risk));
    }

    fn alone(&mut self, statement: &Statement<'_>, class: Class, risk: Risk) {
        self.flush();
        self.push(statement, class);
        self.risk(risk);
        if statement.open_ended
            && let Some(body) = &mut self.body
        {
            body.pieces.clear();
        }
        self.flush();
    }

    fn push(&mut self, statement: &Statement<'_>, class: Class) {
        let Range { start, end } = statement.range.clone();
        let body = self.body.get_or_insert_with(|| Step::new(What::Part(start..end)));
        if let What::Part(range) = &mut body.what {
            range.end = end;
        }
        body.pieces.push(Piece { start, end, kind: class.piece() });
    }

    fn risk(&mut self, risk: Risk) {
        if let Some(body) = &mut self.body {
            body.risk = risk;
        }
    }

    fn flush(&mut self) {
        self.plan.steps.extend(self.body.take());
        self.filling = Filling::default();
    }

    pub(super) fn finish(mut self) -> Plan {
        self.flush();
        if self.warnings == Warnings::Kept {
            self.plan.steps.push(Step::new(What::PutWarningsBack));
        }
        if let [step] = &mut self.plan.steps[..]
            && matches!(step.what, What::Part(_))
        {
            step.what = What::Whole;
        }
        if self.plan.steps.is_empty() {
            self.plan.steps = Plan::whole(Risk::Repeatable, PieceKind::Plain, 0).steps;
        }
        self.plan
    }
}

/// Whether what a step sends is so long that something more might make it longer than the server's
/// `max_allowed_packet`.
fn is_long(what: &What) -> bool {
    match what {
        What::Part(range) | What::Wrapped(range) | What::Framed(range) => range.len() >= LONG,
        _ => false,
    }
}
