//! How a command is sent: as it came, or in steps with a fence between what it wrote and the COMMIT.
//!
//! Icinga's every batch is `…;COMMIT;BEGIN`. Sent in one piece, a lost reply would leave open whether
//! the COMMIT was reached. So it goes out as three [`Step`]s, `fence;…`, `COMMIT` and `BEGIN`: while the
//! first one has no complete reply nothing can have been committed, and when the second one has none,
//! the fence tells. A statement that commits by itself (autocommit) is put between a BEGIN and a COMMIT
//! of ours for the same reason.
//!
//! Pure: text and a few facts in, steps out.

use std::ops::Range;

use ido_proxy_protocol::command::Command;
use ido_proxy_protocol::statement::{Holding, Kind, SetTargets, Statement, Statements};

use smallvec::{SmallVec, smallvec};

pub(crate) use self::leavings::Leavings;
use self::planner::{Layout, Planner};
pub(crate) use self::scene::{Current, FenceUse, GuardUse, Scene, Texts, Unguarding};
pub(crate) use self::step::{Doubt, Frame, Piece, PieceKind, Risk, Step, What};
pub(crate) use self::text::{
    DEFAULT, UnderGuard, Unreported, Untold, begins_with, chooses_insert_id, contains, may_name,
    names_reports, reads_autocommit, reads_counters, reads_diagnostics, reads_last_statement,
    reads_no_table, reads_warnings, sets_in_passing, sets_one_of, sets_untold, under_guard,
    untold_in, wastes_ids, works_on_no_table, works_unseen,
};
use self::text::{
    autocommit_set_to, has_counts_alone, kind_of, loads_file, may_hide_statement,
    may_set_autocommit, sets_autocommit,
};
use crate::session::plan::blocker::{Blocker, Blockers};

pub(crate) mod blocker;
mod leavings;
mod planner;
pub(in crate::session) mod read_only;
pub(in crate::session) mod route;
mod scene;
mod step;
mod text;

/// Most commands are one step of one statement, and need no memory of their own for that.
pub(crate) type Steps = SmallVec<[Step; 1]>;

/// The steps of one command.
#[derive(Debug, Default)]
pub(crate) struct Plan {
    /// At least one.
    pub(crate) steps: Steps,
    /// Why the session can no longer move once the command is done.
    pub(crate) session: Blockers,
    /// Why the transaction that is open after it, or during it, cannot be done again.
    pub(crate) transaction: Blockers,
    /// Things that it takes or gives back by name, if it is one statement.
    pub(crate) holding: Option<Holding>,
    /// A temporary table may have another name behind it.
    pub(crate) renames: bool,
    /// Whether the client sets `autocommit` in it while a transaction is open.
    pub(crate) sets_autocommit: bool,
    /// Whether the client may read `autocommit` in it.
    pub(crate) reads_autocommit: bool,
    /// Why the guard must be gone for it, should a transaction be open under it now: no other words would hide it.
    pub(crate) unguards: Option<Unguarding>,
}

impl Plan {
    /// Whether the guard would be seen.
    pub(crate) fn shows_guard(&self) -> bool {
        self.sets_autocommit || self.reads_autocommit || self.unguards.is_some()
    }

    /// One step that is sent as it came.
    fn whole(risk: Risk, kind: PieceKind, end: usize) -> Self {
        let pieces = smallvec![Piece { start: 0, end, kind }];
        let step = Step { risk, pieces, ..Step::new(What::Whole) };
        Self { steps: smallvec![step], ..Self::default() }
    }

    /// The plan of a command that is read no further than its first byte.
    pub(crate) fn of_command(command: Command) -> Self {
        let risk = match command {
            Command::Debug | Command::ProcessKill | Command::Refresh | Command::Shutdown => {
                Risk::Doubtful(Doubt::Statement)
            }
            Command::ResetConnection => Risk::Rollback,
            _ => Risk::Repeatable,
        };
        Self::whole(risk, PieceKind::Plain, 0)
    }

    /// The plan of a command that is too long to be kept.
    pub(crate) fn of_long_command() -> Self {
        let mut plan = Self::whole(Risk::Doubtful(Doubt::Statement), PieceKind::Write, 0);
        plan.steps[0].pieces.clear();
        plan.transaction.insert(Blocker::LongCommand);
        plan
    }

    /// The plan of a COM_QUERY with the text `sql`.
    pub(crate) fn of_query(sql: &[u8], scene: Scene) -> Self {
        let mut statements = Statements::new(sql, scene.dialect);
        let (first, second) = (statements.next(), statements.next());
        if !scene.takes_several() {
            if second.as_ref().is_some_and(|second| second.kind != Kind::Empty) {
                // The server refuses it as a whole.
                let plan = Self::whole(Risk::Repeatable, PieceKind::Plain, sql.len());
                return plan.for_single(sql.len(), scene);
            }
            // The server would announce a result for a comment behind the statement.
            let ends = first.as_ref().is_none_or(|first| !first.open_ended) && second.is_none();
            if !scene.joins() || !ends || may_hide_statement(sql) {
                let statement = Statement::single(sql, scene.dialect);
                return Self::of_statement(&statement, scene).for_single(sql.len(), scene);
            }
        }
        match (first, second) {
            (Some(first), None) if !wants_wrap(&first, scene) => Self::of_statement(&first, scene),
            (first, second) => {
                let alone = second.is_none();
                let all = first.into_iter().chain(second).chain(statements);
                let mut plan = Self::of_several(all, sql, scene, Layout::Joined);
                // In a text of several, names may mean another schema.
                plan.holding.take_if(|_| !alone);
                plan
            }
        }
    }

    /// The plan of the `statements` of a text, each of them a step of its own if they are to go `apart`.
    fn of_several<'a>(
        statements: impl Iterator<Item = Statement<'a>>,
        sql: &'a [u8],
        scene: Scene,
        layout: Layout,
    ) -> Self {
        let mut planner = Planner::new(scene, layout);
        planner.sql = sql;
        for statement in statements {
            let reads = scene.guards() && reads_autocommit(&statement);
            let shows = reads
                || scene.guard == GuardUse::Seen
                || sets_autocommit(statement.kind)
                || works_unseen(statement.kind, statement.open_ended);
            if scene.guards() && layout == Layout::Joined && shows {
                // The link of such a text is not guarded: a statement that goes alone is told its error.
                return Self::of_several(
                    Statements::new(sql, scene.dialect),
                    sql,
                    scene,
                    Layout::Apart,
                );
            }
            planner.add(&statement, reads);
        }
        planner.finish()
    }

    /// The plan of a lone LOAD DATA LOCAL, which goes as it came.
    fn of_load(len: usize) -> Self {
        let mut plan = Self::whole(Risk::Doubtful(Doubt::Statement), PieceKind::Write, len);
        plan.steps[0].pieces.clear();
        plan.transaction.insert(Blocker::File);
        plan
    }

    /// The plan of one statement that cannot be put together with others: a COM_STMT_EXECUTE, or the
    /// text of a client that may send one only.
    pub(crate) fn of_statement(statement: &Statement<'_>, scene: Scene) -> Self {
        if loads_file(statement) {
            return Self::of_load(statement.sql.len());
        }
        let leavings = Leavings::of(statement);
        let class = Class::of_statement(statement, scene.autocommit);
        let mut plan =
            Self::of_class(class, statement.kind, statement.open_ended, statement.sql.len(), scene);
        plan.reads_autocommit = scene.guards() && reads_autocommit(statement);
        plan.unguards = shows_guard(statement, scene.is_open(), scene);
        plan.sets_autocommit |= scene.is_within() && may_set_autocommit(statement);
        if class == Class::Commit && scene.joins() {
            plan.join_fence(statement);
        }
        plan.leaves(&leavings);
        plan
    }

    /// Adds what a statement leaves behind.
    pub(crate) fn leaves(&mut self, leavings: &Leavings) {
        self.session.extend(leavings.session);
        self.transaction.extend(leavings.transaction);
        self.renames |= leavings.renames;
        self.holding.clone_from(&leavings.holding);
    }

    /// The client's own text goes to a link that takes one statement alone, where that is ours to say.
    fn for_single(mut self, len: usize, scene: Scene) -> Self {
        if let Some(step) = self.steps.iter_mut().find(|step| step.what == What::Whole)
            && scene.joins()
        {
            step.what = What::Single(0..len);
        }
        self
    }

    /// The fence goes out in one text with a lone COMMIT: one round trip less.
    fn join_fence(&mut self, statement: &Statement<'_>) {
        let fence = self.steps.iter().position(|step| step.what == What::Fence);
        let Some(commit) = fence.and_then(|fence| self.steps.get_mut(fence + 1)) else { return };
        if !matches!(commit.risk, Risk::Commit { .. }) {
            return;
        }
        let Range { start, end } = statement.range.clone();
        commit.what = What::Part(start..end);
        commit.risk = Risk::Commit { resume: end };
        commit.pieces = smallvec![Piece { start, end, kind: PieceKind::End }];
        commit.fence_at = Some(0);
        self.steps.retain(|step| step.what != What::Fence);
    }

    /// A prepared statement in a frame goes in one flight with what begins its transaction and what commits it, if
    /// `sql`, its text, is a write whose reply the fence can keep.
    pub(crate) fn in_one_flight(mut self, sql: &[u8], scene: Scene) -> Self {
        let framed = matches!(&self.steps[..], [begin, fence, _, commit]
            if begin.what == What::Begin && fence.what == What::Fence && commit.what == What::Commit);
        if framed && scene.joins() && has_counts_alone(sql) && !reads_diagnostics(sql) {
            self.steps[3].what = What::Close;
            self.steps.remove(1);
        }
        self
    }

    /// Plans a statement by its kind, as [`Self::of_statement`] does, but without the reasons.
    pub(crate) fn of_kind(kind: Kind, open_ended: bool, len: usize, scene: Scene) -> Self {
        Self::of_class(Class::of(kind, open_ended), kind, open_ended, len, scene)
    }

    fn of_class(class: Class, kind: Kind, open_ended: bool, len: usize, scene: Scene) -> Self {
        let open = scene.is_within();
        let mut plan = Self::whole(Risk::Repeatable, class.piece(), len);
        plan.sets_autocommit = open && sets_autocommit(kind);
        let step = &mut plan.steps[0];
        match class {
            Class::Begin | Class::Commit | Class::Implicit if open && scene.is_dirty() => {
                let resume = if class == Class::Commit { len } else { 0 };
                step.risk = commit_risk(kind, scene, resume);
                if scene.fences() {
                    plan.steps.insert_many(0, [Step::new(What::KeepWarnings), Step::fence()]);
                    plan.steps.push(Step::new(What::PutWarningsBack));
                }
            }
            Class::Implicit if kind == Kind::Ddl => {
                step.risk = Risk::Doubtful(Doubt::Statement);
            }
            Class::Rollback => step.risk = Risk::Rollback,
            Class::Write if !open && scene.fences() => {
                plan.steps.insert_many(0, [Step::new(What::Begin), Step::fence()]);
                plan.steps.push(Step::commit_of(None, Risk::Commit { resume: len }));
                plan.steps.iter_mut().for_each(|step| step.frame = Some(Frame(0)));
            }
            Class::Write if !open => step.risk = Risk::Doubtful(scene.doubt()),
            Class::Unknown if !open => step.risk = Risk::Doubtful(Doubt::Statement),
            Class::Begin
            | Class::Commit
            | Class::Implicit
            | Class::Off
            | Class::Plain
            | Class::Savepoint
            | Class::Unknown
            | Class::Write => {}
        }
        if open_ended {
            step_of(&mut plan).pieces.clear();
        }
        plan
    }
}

/// The step of the client's own in a plan of one statement.
fn step_of(plan: &mut Plan) -> &mut Step {
    let place = plan.steps.iter().position(|step| step.what == What::Whole);
    &mut plan.steps[place.unwrap_or_default()]
}

/// Why a statement of a transaction, if one is `open`, is not to be done under the guard, in whatever words.
fn shows_guard(statement: &Statement<'_>, open: bool, scene: Scene) -> Option<Unguarding> {
    let works = works_unseen(statement.kind, statement.open_ended);
    let looks = reads_autocommit(statement) || sets_autocommit(statement.kind);
    let seen = scene.guards() && open && (works || looks) && under_guard(statement).is_none();
    seen.then_some(if looks { Unguarding::Looks } else { Unguarding::Works })
}

fn wants_wrap(statement: &Statement<'_>, scene: Scene) -> bool {
    let open = scene.is_within();
    !open && scene.fences() && Class::of(kind_of(statement), statement.open_ended) == Class::Write
}

/// Meaning of a lost reply to a statement that commits.
fn commit_risk(kind: Kind, scene: Scene, resume: usize) -> Risk {
    let unclear = match kind {
        Kind::Ddl => true,
        // The text goes on otherwise: the COMMIT begins another transaction, or closes the connection.
        Kind::Commit(completion) => scene.chains || completion.chain || completion.release,
        _ => false,
    };
    match (scene.fences(), unclear) {
        (false, _) => Risk::Doubtful(scene.doubt()),
        (true, true) => Risk::Doubtful(Doubt::Statement),
        (true, false) => Risk::Commit { resume },
    }
}

/// Effect of a statement, as far as the plan depends on it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Class {
    Begin,
    Commit,
    /// Commits an open transaction in passing.
    Implicit,
    /// Turns autocommit off, which commits nothing.
    Off,
    Plain,
    Rollback,
    Savepoint,
    /// Anything may happen.
    Unknown,
    Write,
}

impl Class {
    /// Class of a statement, in a session that has autocommit on or off.
    fn of_statement(statement: &Statement<'_>, autocommit: bool) -> Self {
        match autocommit_set_to(statement) {
            Some(true) if autocommit => Self::Plain,
            Some(false) => Self::Off,
            _ => Self::of(kind_of(statement), statement.open_ended),
        }
    }

    fn of(kind: Kind, open_ended: bool) -> Self {
        match kind {
            _ if open_ended => Self::Unknown,
            Kind::Begin => Self::Begin,
            Kind::Call | Kind::Execute | Kind::Other => Self::Unknown,
            Kind::Commit(_) => Self::Commit,
            Kind::Ddl | Kind::LockTables | Kind::UnlockTables => Self::Implicit,
            Kind::Dml => Self::Write,
            Kind::Rollback(_) => Self::Rollback,
            Kind::Savepoint => Self::Savepoint,
            Kind::Set(targets)
                if targets.contains(SetTargets::AUTOCOMMIT)
                    || targets.contains(SetTargets::OTHER) =>
            {
                Self::Implicit
            }
            _ => Self::Plain,
        }
    }

    fn piece(self) -> PieceKind {
        match self {
            Self::Begin => PieceKind::Begin,
            Self::Commit | Self::Rollback => PieceKind::End,
            Self::Implicit | Self::Off => PieceKind::Implicit,
            Self::Plain => PieceKind::Plain,
            Self::Savepoint => PieceKind::Savepoint,
            Self::Unknown => PieceKind::Unknown,
            Self::Write => PieceKind::Write,
        }
    }
}

/// In bytes. The least `max_allowed_packet` that is in use is 1 MiB.
pub(crate) const LONG: usize = 512 << 10;

#[cfg(test)]
mod tests;
