//! The client's results: what they tell it, and what they say of the transaction.

use ido_proxy_protocol::capabilities::Capabilities;
use ido_proxy_protocol::command::Command;
use ido_proxy_protocol::eof::EofPacket;
use ido_proxy_protocol::ok::{self, OkPacket};
use ido_proxy_protocol::packet::HEADER_LEN;
use ido_proxy_protocol::prepare::PrepareOk;
use ido_proxy_protocol::reply::ReplyStep;
use ido_proxy_protocol::statement::{Kind, Statement};
use ido_proxy_protocol::status::StatusFlags;
use ido_proxy_protocol::{Violation, session_state};
use smallvec::SmallVec;

use super::Replies;
use super::telling::put_status;
use crate::session::engine::attempt::MOST_TRIES;
use crate::session::engine::exchange::shape::{commits_and_clears, sql_of};
use crate::session::engine::exchange::target::Target;
use crate::session::engine::exchange::{Exchange, Opens};
use crate::session::engine::running::Running;
use crate::session::plan::{
    Leavings, Piece, PieceKind, Risk, UnderGuard, What, begins_with, chooses_insert_id,
    names_reports, reads_autocommit, reads_counters, reads_last_statement, reads_no_table,
    sets_in_passing, untold_in, wastes_ids, works_on_no_table,
};
use crate::session::state::digest::PayloadDigest;
use crate::session::state::journal::record::Told;
use crate::session::state::settings::{Prepared, statement_id};
use crate::session::state::transaction::Transaction;

impl Replies<'_> {
    pub(super) fn client_packet(
        &mut self,
        step: ReplyStep,
        bytes: &[u8],
        ended: bool,
    ) -> Result<(), Violation> {
        let payload = bytes.get(HEADER_LEN..).unwrap_or_default();
        self.find_offset(bytes);
        match step {
            ReplyStep::Pass(_) => {
                if let Some(running) = &mut self.exchange.running
                    && self.exchange.keeps
                {
                    running.digest.get_or_insert_with(|| Box::new(PayloadDigest::new()));
                }
                if let Some(Running { digest: Some(digest), .. }) = &mut self.exchange.running {
                    digest.update(bytes);
                }
                self.rows(bytes, bytes);
            }
            ReplyStep::Ok { status, state_changed, last, .. } => {
                self.ok(bytes, payload, status, state_changed, last)?;
            }
            ReplyStep::Eof { status, .. } if ended => {
                self.settle(PieceEnd::Rows(status), payload)?;
                let wanted = self.shaped_eof(status);
                if wanted == status {
                    self.tell(bytes);
                } else {
                    self.tell_with(bytes, EofPacket::STATUS_AT, wanted);
                }
            }
            // The one between the columns and the rows has flags, too.
            ReplyStep::Eof { status, .. } => {
                let wanted = self.shaped_eof(status);
                let mut told = SmallVec::<[u8; 64]>::from_slice(bytes);
                put_status(&mut told, HEADER_LEN + EofPacket::STATUS_AT, wanted);
                self.rows(bytes, if wanted == status { bytes } else { &told });
            }
            ReplyStep::Err { .. } => self.error(bytes, payload)?,
            ReplyStep::Raw { last, .. } => {
                if self.exchange.command == Command::StmtPrepare {
                    return self.prepared(bytes, payload, last);
                }
                self.tell(bytes);
            }
            ReplyStep::Progress { .. } if self.exchange.reply.holds() => self.swallow(bytes.len()),
            ReplyStep::AuthExchange { .. } | ReplyStep::Progress { .. } => self.stream(bytes),
            ReplyStep::LocalInfile { .. } => {
                self.wants_file = bytes.get(HEADER_LEN - 1).copied();
                self.stream(bytes);
            }
            ReplyStep::Incomplete => {}
        }
        Ok(())
    }

    pub(super) fn ok(
        &mut self,
        bytes: &[u8],
        payload: &[u8],
        status: StatusFlags,
        state_changed: bool,
        last: bool,
    ) -> Result<(), Violation> {
        let hidden = self.exchange.under_guard(self.exchange.script.place(), self.session);
        if hidden == Some(UnderGuard::Off) {
            // The mode is the client's own from here on.
            self.session.guard.turned(false);
        }
        let reserved = self.exchange.keeps && self.took_a_reserved_id(payload)?;
        self.settle(PieceEnd::Ok { status, state_changed }, payload)?;
        let in_flight = self.exchange.script.is_in_flight();
        if let Some(running) = &mut self.exchange.running {
            // A statement that has committed by itself keeps what it was given.
            let framed = running.framed().is_some() || in_flight;
            running.reserved |= reserved && self.session.transaction.is_open() && !framed;
        }
        let wanted = self.shaped(status);
        let strip = state_changed && !self.client.contains(Capabilities::SESSION_TRACK);
        let mut chosen = self.chosen_reports(payload, wanted, state_changed)?;
        if matches!(hidden, Some(UnderGuard::On(_))) && !strip && wanted.contains(REPORTS) {
            let packet = OkPacket::decode(payload, self.link)?;
            let reports = chosen.unwrap_or_else(|| packet.session_state.to_vec());
            chosen = Some(told_as_on(&reports));
        }
        if let Some(reports) = chosen {
            let mut packet = OkPacket::decode(payload, self.link)?;
            packet.status = wanted;
            packet.session_state = &reports;
            if reports.is_empty() {
                packet.status.remove(StatusFlags::SESSION_STATE_CHANGED);
            }
            self.tell_payload(bytes, &packet.encode(self.client));
        } else if wanted == status && !strip {
            self.tell(bytes);
        } else if !strip && wanted.contains(REPORTS) == status.contains(REPORTS) {
            self.tell_with(bytes, ok::status_at(payload)?, wanted);
        } else {
            let mut packet = OkPacket::decode(payload, self.link)?;
            packet.status = wanted;
            if !wanted.contains(StatusFlags::SESSION_STATE_CHANGED) {
                packet.session_state = &[];
            }
            self.tell_payload(bytes, &packet.encode(self.client));
        }
        self.after_cut();
        self.continues = !last && !self.exchange.reply.holds();
        Ok(())
    }

    /// Chooses the changes to tell the client from those that an OK packet reports; `None`: all of them.
    fn chosen_reports(
        &self,
        payload: &[u8],
        wanted: StatusFlags,
        state_changed: bool,
    ) -> Result<Option<Vec<u8>>, Violation> {
        let tells = state_changed && wanted.contains(REPORTS);
        let Some(reports) = self.session.settings.reports().filter(|_| {
            // Meanwhile the link reports as the client has asked for.
            tells
                && !self.exchange.shows_reports
                && self.client.contains(Capabilities::SESSION_TRACK)
        }) else {
            return Ok(None);
        };
        let packet = OkPacket::decode(payload, self.link)?;
        let retained =
            session_state::retained(packet.session_state, |change| reports.keeps(change))?;
        // A server that tracks less would not say that there is a report.
        Ok((retained != packet.session_state || retained.is_empty()).then_some(retained))
    }

    /// Whether an INSERT was given an id that another session must have. After some tries it may keep it:
    /// the number may well be that of another table.
    pub(super) fn took_a_reserved_id(&self, payload: &[u8]) -> Result<bool, Violation> {
        let packet = OkPacket::decode(payload, self.link)?;
        let id = packet.last_insert_id;
        // Where no row was inserted, the id is that of a row which was there. One that goes out at once is told.
        Ok(id != 0
            && !self.exchange.reply.has_begun()
            && packet.affected_rows > 0
            && self.session.reserved.has(id, packet.affected_rows)
            && self.exchange.attempt.tries < MOST_TRIES
            && self.may_move())
    }

    /// The flags of an EOF packet, which has no room for the report that was asked for by us.
    fn shaped_eof(&self, status: StatusFlags) -> StatusFlags {
        let mut status = self.shaped(status);
        status.remove(StatusFlags::SESSION_STATE_CHANGED);
        status
    }

    /// The flags as the client expects them: what we put around a statement does not show.
    pub(super) fn shaped(&self, status: StatusFlags) -> StatusFlags {
        let mut status = self.session.guard.unguarded(status);
        let Some(step) = self.exchange.step() else { return status };
        if matches!(step.what, What::Framed(_)) {
            // The results behind it are ours.
            status.remove(StatusFlags::MORE_RESULTS);
        }
        if step.frame.is_some() || self.exchange.opens == Opens::ForUs {
            status.remove(StatusFlags::IN_TRANS);
            status.remove(StatusFlags::SESSION_STATE_CHANGED);
        }
        if self.exchange.script.comes_more_behind(self.exchange.script.place()) {
            status = status | StatusFlags::MORE_RESULTS;
        }
        status
    }

    /// Applies the effect of a result without error on transaction and session.
    pub(super) fn settle(&mut self, end: PieceEnd, payload: &[u8]) -> Result<(), Violation> {
        let Self { exchange, session, .. } = self;
        let (Some(running), Some(step)) = (&exchange.running, exchange.script.step()) else {
            return Ok(());
        };
        let place = running.piece();
        let piece = step.pieces.get(place).copied();
        let kind = piece.map(|piece| piece.kind);
        let several = step.pieces.len() > 1
            || step.fence_at.is_some()
            || matches!(step.what, What::Framed(_));
        let rolls_back = step.risk == Risk::Rollback && place == 0;
        if running.given_up {
            // All of it is done again.
            return match end {
                PieceEnd::Ok { .. } => session.learn_settings(payload, self.link),
                PieceEnd::Rows(_) => Ok(()),
            };
        }
        let before = session.transaction.clone();
        if !before.is_open() {
            session.forget_untold();
        }
        match kind {
            Some(PieceKind::End) if rolls_back => session.rolled_back(),
            Some(PieceKind::End) => session.committed(),
            Some(PieceKind::Begin) => self.begins(place, before.is_open()),
            _ => {}
        }
        self.learn_result(piece, end, payload)?;
        self.learn_id(piece, end, payload)?;
        self.settle_transaction(kind, several, before);
        if self.exchange.keeps {
            self.keep_result(end, payload)?;
        }
        if let Some(holding) = &self.exchange.holding {
            self.session.settings.give(holding);
        }
        Ok(())
    }

    /// A BEGIN of the client's was done, and has committed what `was_open`.
    fn begins(&mut self, place: usize, was_open: bool) {
        let Self { exchange, session, .. } = self;
        if was_open {
            session.committed();
            if let Some(step) = exchange.script.step_mut() {
                // The work that the step was to commit is committed, and no longer in doubt.
                step.risk = Risk::Repeatable;
            }
        }
        // The end of what was open before has made this forgotten.
        session.unguarded |= exchange.shows_guard();
        exchange.state = session.settings.now();
        let mark = exchange.reply.mark();
        if let Some(running) = &mut exchange.running {
            running.cut_at(place, mark);
        }
    }

    /// Takes in counts, flags and reports of a result.
    fn learn_result(
        &mut self,
        piece: Option<Piece>,
        end: PieceEnd,
        payload: &[u8],
    ) -> Result<(), Violation> {
        let Self { exchange, session, .. } = self;
        let sql = piece.map_or(&[][..], |piece| {
            sql_of(exchange.command, &exchange.request, piece, &session.settings)
        });
        let (untold, passing) = (untold_in(sql), sets_in_passing(sql));
        let before =
            (!passing.is_empty()).then(|| (session.settings.now(), session.settings.status()));
        match end {
            PieceEnd::Ok { status, state_changed } => {
                let packet = OkPacket::decode(payload, self.link)?;
                match packet.ends_rows {
                    true => self.learn_rows_read(piece, packet.warnings),
                    false => self.learn_counts(piece, packet.affected_rows, packet.warnings),
                }
                let schema = self.session.learn_ok(payload, status, state_changed, self.link)?;
                self.schema = schema.or_else(|| self.schema.take());
            }
            PieceEnd::Rows(status) => {
                self.learn_rows_read(piece, EofPacket::decode(payload)?.warnings);
                self.learn_unreported_rows(piece, status);
            }
        }
        self.learn_cursor(end);
        self.session.settings.guess_untold(untold);
        if let Some(before) = before {
            self.session.settings.put_back(&passing, before);
        }
        Ok(())
    }

    /// Takes in whether the statement that was executed, or fetched from, has an open cursor.
    fn learn_cursor(&mut self, end: PieceEnd) {
        let (PieceEnd::Ok { status, .. } | PieceEnd::Rows(status)) = end;
        let exchange = &*self.exchange;
        if matches!(exchange.command, Command::StmtExecute | Command::StmtFetch)
            && let Some(id) = statement_id(&exchange.request)
        {
            self.session.settings.learn_cursor(id, status);
        }
    }

    /// A statement of the client's changed so many rows.
    fn learn_counts(&mut self, piece: Option<Piece>, rows: u64, warnings: u16) {
        let Self { exchange, session, .. } = self;
        let sql = piece
            .map(|piece| sql_of(exchange.command, &exchange.request, piece, &session.settings));
        let reads = sql.is_some_and(reads_list);
        let ends = [PieceKind::Begin, PieceKind::End, PieceKind::Savepoint];
        let beside = exchange.command == Command::InitDb
            || sql.is_some_and(|sql| works_on_no_table(sql, session.settings.dialect()))
            || piece.is_some_and(|piece| ends.contains(&piece.kind));
        let clears = sql.is_some_and(|sql| commits_and_clears(piece, sql));
        let diagnostics = session.settings.diagnostics();
        match beside {
            _ if reads && warnings > 0 => diagnostics.failed(),
            // GET DIAGNOSTICS leaves what it reads.
            _ if reads => {}
            true => diagnostics.counted_beside(rows, warnings),
            false => {
                if clears {
                    diagnostics.forget_kept();
                }
                diagnostics.counted(rows, warnings);
            }
        }
    }

    /// A statement of the client's returned rows, with so many warnings.
    fn learn_rows_read(&mut self, piece: Option<Piece>, warnings: u16) {
        let Self { exchange, session, .. } = self;
        let sql = piece.map_or(&[][..], |piece| {
            sql_of(exchange.command, &exchange.request, piece, &session.settings)
        });
        let sql = sql.get(..MOST_READ).unwrap_or(sql);
        // Without the guard it would return other rows.
        let sees_guard = session.guard.is_on()
            && reads_autocommit(&Statement::single(sql, session.settings.dialect()))
            && exchange.under_guard(exchange.script.place(), session).is_none();
        // Outside of a transaction nothing is done again for it.
        let passing = session.transaction.is_open()
            && (sees_guard
                || reads_last_statement(sql)
                || names_reports(sql)
                || reads_counters(sql, session.settings.dialect()));
        // A function that somebody has stored may use a table.
        let clears = commits_and_clears(piece, sql);
        let beside = warnings == 0
            && (exchange.command == Command::FieldList
                || (reads_no_table(sql)
                    && !Statement::single(sql, session.settings.dialect()).may_call_stored()));
        session.telltale.passing |= passing;
        if clears {
            session.settings.diagnostics().forget_kept();
        }
        match beside {
            true => session.settings.diagnostics().returned_rows_beside(),
            false => session.settings.diagnostics().returned_rows(warnings),
        }
    }

    /// Takes in which LAST_INSERT_ID() a result has left.
    fn learn_id(
        &mut self,
        piece: Option<Piece>,
        end: PieceEnd,
        payload: &[u8],
    ) -> Result<(), Violation> {
        let Self { exchange, session, .. } = self;
        let kind = piece.map(|piece| piece.kind);
        let has_rows = matches!(end, PieceEnd::Rows(_)) || payload.first() == Some(&OK_BEHIND_ROWS);
        session.telltale.rows |= has_rows;
        let sql = |piece| sql_of(exchange.command, &exchange.request, piece, &session.settings);
        let hides_id = match (kind, piece) {
            // The ids of rows that are returned, or loaded from a file, the client is not told.
            (Some(PieceKind::Write), Some(piece)) => has_rows || begins_with(sql(piece), b"LOAD "),
            (Some(PieceKind::Write), None) => has_rows,
            (Some(PieceKind::Plain), Some(piece)) => chooses_insert_id(sql(piece)),
            (None | Some(PieceKind::Unknown), _) => has_rows || ok::last_insert_id(payload)? == 0,
            _ => false,
        };
        let wastes = match (kind, piece, end) {
            (Some(PieceKind::Write), Some(piece), PieceEnd::Ok { .. }) => {
                wastes_ids(sql(piece), ok::last_insert_id(payload)?)
            }
            _ => false,
        };
        if hides_id {
            session.hide_insert_id();
        } else if let (Some(PieceKind::Write), Some(piece), PieceEnd::Ok { .. }) =
            (kind, piece, end)
        {
            let told = OkPacket::decode(payload, Capabilities::PROTOCOL_41)?;
            let (rows, id) = (told.affected_rows, told.last_insert_id);
            if let Some(target) = Target::of_told(sql(piece), rows, id) {
                target.told(rows, id, session.settings.write_ids_mut());
            }
        }
        if wastes {
            session.untold_id();
        }
        Ok(())
    }

    /// Draws conclusions from the transaction `before` a result and behind it. `several` statements were sent together.
    fn settle_transaction(&mut self, kind: Option<PieceKind>, several: bool, before: Transaction) {
        let Self { exchange, session, .. } = self;
        let was_open = before.is_open();
        if kind == Some(PieceKind::Plain) && !before.is_dirty() && session.transaction.is_dirty() {
            // A function has written, maybe to a table that gives ids.
            session.untold_id();
        }
        let closed = was_open && !session.transaction.is_open();
        let opened = !was_open && session.transaction.is_open();
        if opened && session.guard.is_on() && kind.is_none() && !session.transaction.is_explicit() {
            // The text has ended the client's transaction, and gone on: without the guard that would be committed.
            exchange.opens = Opens::ForUs;
        }
        if exchange.opens == Opens::ForUs && session.transaction.is_explicit() {
            // The text has committed that, and begun one that is the client's.
            exchange.opens = Opens::ForClient;
            session.ended_unseen();
        }
        match kind {
            // Neither ends a transaction, and one that comes alone is told an error. For the client it is
            // open still.
            Some(PieceKind::Plain | PieceKind::Savepoint | PieceKind::Write)
                if closed && several =>
            {
                if let Some(running) = &mut exchange.running {
                    running.given_up = true;
                }
                session.transaction = before;
            }
            Some(PieceKind::End) => {}
            _ if exchange.command == Command::ResetConnection => session.rolled_back(),
            Some(PieceKind::Begin | PieceKind::Implicit) if closed => session.committed(),
            _ if closed => session.ended_unseen(),
            Some(PieceKind::Unknown) if was_open => session.fence.may_be_committed(),
            // SET ROLE commits nothing, and leaves the transaction open.
            Some(PieceKind::Implicit) if was_open && !several => session.outlived(),
            _ => {}
        }
        if !matches!(
            kind,
            Some(PieceKind::Begin | PieceKind::End | PieceKind::Plain | PieceKind::Write)
        ) {
            // The statement may have gone back to before the fence.
            session.fence.unsettle();
        }
        let only_reads = [PieceKind::Begin, PieceKind::End, PieceKind::Plain, PieceKind::Savepoint];
        if kind.is_none_or(|kind| !only_reads.contains(&kind)) {
            session.transaction.may_have_written();
        }
    }

    /// Keeps what the client is told, to compare a replay with it.
    fn keep_result(&mut self, end: PieceEnd, payload: &[u8]) -> Result<(), Violation> {
        let Some(running) = &mut self.exchange.running else { return Ok(()) };
        let told = match (running.digest.take(), end) {
            (Some(digest), _) => Told::Rows { digest: digest.finish() },
            (None, PieceEnd::Ok { .. }) => {
                let packet = OkPacket::decode(payload, self.link)?;
                running.shared |= packet.last_insert_id != 0 && wrote_several(packet.info);
                Told::ok(&packet)
            }
            (None, PieceEnd::Rows(_)) => Told::Other,
        };
        running.told.push(told);
        Ok(())
    }

    /// Behind a COMMIT or ROLLBACK nothing of what is before is sent again.
    pub(super) fn after_cut(&mut self) {
        let Exchange { running: Some(running), script, reply, state, .. } = &mut *self.exchange
        else {
            return;
        };
        if running.given_up {
            return;
        }
        let place = running.piece();
        let piece = script.step().and_then(|step| step.pieces.get(place));
        let ends = match piece.map(|piece| piece.kind) {
            Some(PieceKind::End) => true,
            Some(PieceKind::Implicit) => !self.session.transaction.is_open(),
            _ => false,
        };
        if ends {
            running.cut_at(place + 1, reply.mark());
            *state = self.session.settings.now();
            self.exchange.reply.settle();
        }
    }

    pub(super) fn prepared(
        &mut self,
        bytes: &[u8],
        payload: &[u8],
        last: bool,
    ) -> Result<(), Violation> {
        let first = self.exchange.running.as_ref().is_some_and(|running| running.told.is_empty());
        if !first {
            self.stream(bytes);
            return Ok(());
        }
        let mut ok = PrepareOk::decode(payload, self.link)?;
        let sql = self.exchange.request.get(1..).unwrap_or_default().to_vec();
        let single = Statement::single(&sql, self.session.settings.dialect());
        let link_id = ok.statement_id;
        let mut statement = Prepared::new(sql.clone(), single.kind, single.open_ended, link_id);
        statement.reads_autocommit = reads_autocommit(&single);
        statement.leavings = Leavings::of(&single);
        statement.parameters = ok.parameters.into();
        statement.setup = self.exchange.state.clone();
        // After a change of the link its numbers may be those of older statements.
        let id = self.session.settings.free_statement_id(link_id);
        self.session.settings.prepared(id, statement);
        let beside = match single.kind {
            Kind::Begin | Kind::Commit(_) | Kind::Rollback(_) | Kind::Savepoint | Kind::Set(_) => {
                true
            }
            _ => reads_no_table(&sql) && !single.may_call_stored(),
        };
        if !beside {
            self.session.settings.diagnostics().list_cleared();
        }
        if let Some(running) = &mut self.exchange.running {
            // Definitions follow.
            running.told.push(Told::Other);
        }
        if id == link_id {
            self.stream(bytes);
        } else {
            ok.statement_id = id;
            self.release();
            self.tell_payload(bytes, &ok.encode());
        }
        if last {
            self.exchange.reply.begin();
        }
        Ok(())
    }
}

/// How a result ended.
#[derive(Clone, Copy, Debug)]
pub(super) enum PieceEnd {
    Ok { status: StatusFlags, state_changed: bool },
    Rows(StatusFlags),
}

/// Whether the text of an OK packet is that of an INSERT of several rows: "Records: 3  Duplicates: 0
/// Warnings: 0", in the language of the server. An INSERT of one row has no text.
pub(super) fn wrote_several(info: &[u8]) -> bool {
    let mut numbers = info.split(|byte| !byte.is_ascii_digit()).filter(|word| !word.is_empty());
    numbers.next().is_some_and(|records| records != b"1" && records != b"0")
}

/// Reports in which `autocommit`, which the guard keeps off, is on.
fn told_as_on(reports: &[u8]) -> Vec<u8> {
    const OFF: &[u8] = b"\x00\x0F\x0Aautocommit\x03OFF";
    const ON: &[u8] = b"\x00\x0E\x0Aautocommit\x02ON";
    match reports.windows(OFF.len()).position(|window| window == OFF) {
        Some(at) => [&reports[..at], ON, &reports[at + OFF.len()..]].concat(),
        None => reports.to_vec(),
    }
}

/// Whether a statement is GET DIAGNOSTICS. Where it fails it is answered with OK and a warning, and with a ROW_COUNT() of -1.
/// Seen on MariaDB 10.11.
fn reads_list(sql: &[u8]) -> bool {
    begins_with(sql, b"GET")
}

/// Bytes of a statement with rows that are searched for what it reads.
const MOST_READ: usize = 4096;

/// The first byte of an OK packet at the end of rows.
///
/// Source: MariaDB documentation, "Result Set Packets".
const OK_BEHIND_ROWS: u8 = 0xFE;

const REPORTS: StatusFlags = StatusFlags::SESSION_STATE_CHANGED;
