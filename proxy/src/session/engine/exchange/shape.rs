//! Questions about the command in hand that its text answers.

use ido_proxy_protocol::command::Command;
use ido_proxy_protocol::statement::{Kind, Statement};

use super::target::Target;
use super::{Exchange, Intake};
use crate::session::engine::exchange::payload::NUMBERED;
use crate::session::engine::running::Running;
use crate::session::plan::blocker::Blocker;
use crate::session::plan::{
    Doubt, Piece, PieceKind, Risk, Step, UnderGuard, Unreported, What, begins_with, contains,
    may_name, reads_diagnostics, reads_warnings, sets_one_of, sets_untold, under_guard,
};
use crate::session::state::journal::record::Told;
use crate::session::state::session_state::SessionState;
use crate::session::state::settings::{SessionSettings, statement_id};

impl Exchange {
    /// Where the client sets what no report tells, the server is asked for it.
    pub(in crate::session::engine) fn ask_untold(&mut self, session: &SessionState) {
        let sql = self.text(session);
        let confused = session.settings.confused();
        if sql.is_some_and(|sql| sets_untold(sql) || sets_one_of(sql, confused)) {
            self.intake = Intake::Keeps;
            self.script.extend([Step::ask_state()]);
        }
    }

    /// The text of the command.
    fn text<'a>(&'a self, session: &'a SessionState) -> Option<&'a [u8]> {
        match self.command {
            Command::Query => self.request.get(1..),
            Command::StmtExecute => session.settings.statement_text(&self.request),
            _ => None,
        }
    }

    /// The client looks at what it is told of changes, or chooses that: it finds its own settings and not ours.
    pub(in crate::session::engine) fn show_reports(&mut self, session: &mut SessionState) {
        self.intake = Intake::Keeps;
        self.shows_reports = true;
        let locked = session.settings.reasons_mut().contains(Blocker::LockedTables);
        let sql = self.text(session).unwrap_or_default();
        let unreported = Unreported::of(sql, session.settings.dialect());
        if locked || unreported.other {
            // Nobody reports that tables are locked now, or that the next transaction is READ ONLY, nor with a later state.
            session.settings.reasons_mut().insert(Blocker::Untracked);
        }
        self.unreported = unreported.variables;
        // Done again, it would turn over what is reported to us.
        self.transaction.insert(Blocker::Untracked);
        session.settings.show_reports(true);
        self.script.put_first(Step::show_reports());
        self.script.extend(Step::hide_reports());
    }

    /// Whether its bytes may go to the link as they come.
    pub(in crate::session::engine) fn may_pass(&self, session: &mut SessionState) -> bool {
        let [Step { what: What::Whole, .. }] = self.script.steps() else { return false };
        if NUMBERED.contains(&self.command)
            && session.settings.is_other_on_link(self.command, &self.request)
        {
            return false;
        }
        if self.command == Command::StmtExecute {
            session.settings.learn_types(&self.request);
        }
        self.guard_turns(session).is_none()
            && self.under_guard(self.script.place(), session).is_none()
            && self.several_turns(session).is_none()
            && !(self.command == Command::SetOption && session.several.is_usual())
            && !self.lacks_row_count(session)
    }

    /// Form that the statement alone in the step at `at` has under the guard, if the link is under it.
    pub(in crate::session::engine) fn under_guard(
        &self,
        at: usize,
        session: &SessionState,
    ) -> Option<UnderGuard> {
        let step = self.script.get(at)?;
        let [piece] = step.pieces[..] else { return None };
        let hidden = session.guard.is_on() && session.transaction.is_open();
        if !hidden || self.command != Command::Query || step.is_ours() {
            return None;
        }
        let sql = sql_of(self.command, &self.request, piece, &session.settings);
        if !may_name(sql, *b"oco", b"AUTOCOMMIT") {
            return None;
        }
        under_guard(&Statement::single(sql, session.settings.dialect()))
    }

    /// Whether the statement in hand is to close the connection: the server does, without a reply.
    pub(in crate::session::engine) fn releases(&self, session: &SessionState) -> bool {
        let place = self.running.as_ref().filter(|running| running.is_step()).map(Running::piece);
        let hidden = self.step().is_some_and(|step| step.pieces.is_empty() && !step.is_ours());
        if place.is_some() && hidden && self.command == Command::Query {
            // Which of its statements is at hand is not known.
            return may_release(self.request.get(1..).unwrap_or_default());
        }
        let piece = place.and_then(|place| self.step()?.pieces.get(place));
        if piece.is_some_and(|piece| piece.kind == PieceKind::Unknown)
            && session.settings.releases()
        {
            // A procedure may have ended a transaction.
            return true;
        }
        let Some(piece) = piece.filter(|piece| piece.kind == PieceKind::End) else { return false };
        let sql = match (self.command, statement_id(&self.request)) {
            (Command::Query, _) => self.request.get(1 + piece.start..1 + piece.end),
            (_, id) => id.and_then(|id| Some(&session.settings.statement(id)?.sql[..])),
        };
        let single = Statement::single(sql.unwrap_or_default(), session.settings.dialect());
        match single.kind {
            Kind::Commit(completion) | Kind::Rollback(completion) => {
                completion.release
                    || (session.settings.releases() && !refuses(sql.unwrap_or_default()))
            }
            _ => false,
        }
    }

    /// Whether the wrapped statement in hand writes to one table, as far as its text tells: then a write to a table
    /// without transactions is all that it did.
    pub(in crate::session::engine) fn writes_one_table(&self, session: &SessionState) -> bool {
        let frame = self.step().and_then(|step| step.frame);
        let statement = frame.and_then(|frame| self.script.statement_of(frame));
        let Some(piece) = statement.and_then(|statement| statement.pieces.first()) else {
            return false;
        };
        let sql = sql_of(self.command, &self.request, *piece, &session.settings);
        let head = sql.split(|byte| matches!(byte, b'(' | b'=')).next().unwrap_or_default();
        begins_with(sql, b"INSERT")
            || begins_with(sql, b"REPLACE")
            || !(head.contains(&b',') || contains(sql, b"JOIN") || contains(sql, b"USING"))
    }

    /// Words of the wrapped statement in hand that bear on the id in its reply.
    pub(super) fn target(&self, session: &SessionState) -> Option<Target> {
        let piece = *self.script.statement_of(self.step()?.frame?)?.pieces.first()?;
        Some(Target::of(sql_of(self.command, &self.request, piece, &session.settings)))
    }

    /// Whether the client could be told the id of the wrapped statement in hand, were its reply lost.
    pub(super) fn id_would_be_known(&self, session: &SessionState) -> bool {
        let known = |target: Target| target.id_would_be_known(session.settings.write_ids());
        self.target(session).is_none_or(known)
    }

    /// Whether the reply to the step in hand ended before each of its statements had a result, and without an error: what
    /// was not done must not be committed.
    ///
    /// Seen on MariaDB 11.8, where a node leaves the primary component while it works at a text.
    pub(in crate::session::engine) fn lacks_results(&self, running: &Running) -> bool {
        let Some(step) = self.step().filter(|step| step.pieces.len() > 1) else { return false };
        if running.piece() >= step.pieces.len() {
            return false;
        }
        let ends = |piece: &Piece| {
            matches!(piece.kind, PieceKind::End | PieceKind::Implicit | PieceKind::Unknown)
        };
        if step.frame.is_some() || step.pieces.iter().any(ends) {
            // A COMMIT may close the connection, with no result for what is behind it; a procedure has many.
            return false;
        }
        let failed = matches!(running.told.last(), Some(Told::Error { .. }));
        let sql = self.request.get(1..).unwrap_or_default();
        // A comment has no result.
        let is_statement = |piece: &&Piece| {
            let text = sql.get(piece.start..piece.end).unwrap_or_default().trim_ascii_start();
            text.first().is_some_and(u8::is_ascii_alphabetic)
        };
        running.is_step()
            && !failed
            && running.piece() < step.pieces.iter().filter(is_statement).count()
    }

    /// The text of the step at `at` that may read what the statement before it has left.
    fn text_at<'a>(&'a self, at: usize, session: &'a SessionState, list_differs: bool) -> &'a [u8] {
        let text = match (self.command, statement_id(&self.request)) {
            (Command::Query, _) => {
                let next = self.script.get(at).and_then(|step| step.pieces.first());
                let sql = self.request.get(1..).unwrap_or_default();
                match next {
                    // An error stays in the list behind a COMMIT, too.
                    Some(piece) if list_differs => sql.get(piece.start..),
                    Some(piece) => sql.get(piece.start..piece.end),
                    None => None,
                }
                .unwrap_or(sql)
            }
            (Command::StmtExecute, Some(id)) => {
                session.settings.statement(id).map_or(&[][..], |statement| &statement.sql)
            }
            _ => &[],
        };
        text.get(..MOST_READ).unwrap_or(text)
    }

    /// Whether the step at `at` reads the list of warnings and errors.
    pub(in crate::session::engine) fn reads_list_at(
        &self,
        at: usize,
        session: &SessionState,
    ) -> bool {
        reads_warnings(self.text_at(at, session, true))
    }

    /// The doubt about the step in hand, of such a `risk`, where its reply is lost.
    pub(in crate::session::engine) fn doubt(
        &self,
        risk: Risk,
        session: &SessionState,
    ) -> Option<Doubt> {
        match risk {
            Risk::Doubtful(doubt) => Some(doubt),
            Risk::Repeatable if !session.transaction.is_open() && self.may_call_stored(session) => {
                Some(Doubt::Statement)
            }
            _ => None,
        }
    }

    /// Whether a statement of the step in hand may write by a stored function, though it looks as if it only read.
    fn may_call_stored(&self, session: &SessionState) -> bool {
        let pieces = self.script.step().map_or(&[][..], |step| &step.pieces);
        let mut plain = pieces.iter().filter(|piece| piece.kind == PieceKind::Plain);
        plain.any(|piece| self.calls_stored(*piece, session))
    }

    /// Whether this statement of the command may call a stored function.
    pub(in crate::session::engine) fn calls_stored(
        &self,
        piece: Piece,
        session: &SessionState,
    ) -> bool {
        let sql = sql_of(self.command, &self.request, piece, &session.settings);
        Statement::single(sql, session.settings.dialect()).may_call_stored()
    }

    /// Whether ROW_COUNT() must be put back before the step in hand.
    pub(in crate::session::engine) fn lacks_row_count(&self, session: &mut SessionState) -> bool {
        let list_differs = session.settings.diagnostics().list_differs();
        session.settings.diagnostics().is_row_count_lost()
            && reads_diagnostics(self.text_at(self.script.place(), session, list_differs))
    }
}

/// The text of a statement.
pub(in crate::session::engine) fn sql_of<'a>(
    command: Command,
    request: &'a [u8],
    piece: Piece,
    settings: &'a SessionSettings,
) -> &'a [u8] {
    let sql = match command {
        Command::Query => request.get(1 + piece.start..1 + piece.end),
        _ => statement_id(request).and_then(|id| Some(&settings.statement(id)?.sql[..])),
    };
    sql.unwrap_or_default()
}

/// Whether a statement that commits in passing clears the list, the warnings of before its COMMIT included: CREATE TABLE does,
/// since it names a table, and CREATE DATABASE does not.
pub(in crate::session::engine) fn commits_and_clears(piece: Option<Piece>, sql: &[u8]) -> bool {
    let names: [([u8; 3], &[u8]); 5] = [
        (*b"abl", b"TABLE"),
        (*b"nde", b"INDEX"),
        (*b"iew", b"VIEW"),
        (*b"equ", b"SEQUENCE"),
        (*b"rig", b"TRIGGER"),
    ];
    piece.is_some_and(|piece| piece.kind == PieceKind::Implicit)
        && !begins_with(sql, b"UNLOCK")
        && names.into_iter().any(|(three, name)| may_name(sql, three, name))
}

/// Whether a COMMIT or ROLLBACK says NO RELEASE. AND CHAIN alone does not keep `completion_type` from closing the connection.
/// Seen on MariaDB 10.11.
fn refuses(sql: &[u8]) -> bool {
    sql.windows(NO_RELEASE.len()).any(|words| words.eq_ignore_ascii_case(NO_RELEASE))
}

const NO_RELEASE: &[u8] = b"NO RELEASE";

/// Whether a text has a COMMIT or ROLLBACK in it that closes the connection, by its words.
fn may_release(sql: &[u8]) -> bool {
    let is_word = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'_';
    let words = sql.split(|byte| !is_word(byte)).filter(|word| !word.is_empty());
    let words: Vec<&[u8]> = words.collect();
    let is_any = |word: &[u8], of: &[&[u8]]| of.iter().any(|one| word.eq_ignore_ascii_case(one));
    let before: [&[u8]; 4] = [b"COMMIT", b"ROLLBACK", b"WORK", b"CHAIN"];
    words.iter().enumerate().skip(1).any(|(at, word)| {
        let savepoint = words.get(at + 1).is_some_and(|next| is_any(next, &[b"SAVEPOINT"]));
        is_any(word, &[b"RELEASE"]) && is_any(words[at - 1], &before) && !savepoint
    })
}

/// Bytes of a statement that are searched for what reads the last statement's diagnostics.
const MOST_READ: usize = 4096;
