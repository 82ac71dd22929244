//! Errors: which of them a client is told, and which mean that something is done again.

use std::ops::Range;

use ido_proxy_protocol::Violation;
use ido_proxy_protocol::command::Command;
use ido_proxy_protocol::err::ErrPacket;
use ido_proxy_protocol::packet::HEADER_LEN;
use ido_proxy_protocol::statement::{Kind, Statement};

use super::Replies;
use crate::session::engine::attempt::{Departure, MOST_TRIES, MOST_TRIES_AFTER_A_LOSS};
use crate::session::engine::exchange::shape::sql_of;
use crate::session::engine::fault::Fault;
use crate::session::engine::policy::{
    Answer, Effect, Facts, Position, Reaction, Redo, Transaction, Why, Within, react,
};
use crate::session::engine::recovery::Recovery;
use crate::session::engine::running::Running;
use crate::session::engine::words::OURS;
use crate::session::plan::{PieceKind, Risk, Step, What, begins_with};
use crate::session::state::journal::record::Told;

impl Replies<'_> {
    /// The server refuses one of the client's statements.
    pub(super) fn error(&mut self, bytes: &[u8], payload: &[u8]) -> Result<(), Violation> {
        let error = ErrPacket::decode(payload)?;
        if self.framed().is_some() || self.exchange.script.is_in_flight() {
            // The check behind it stops in front of the COMMIT.
            self.session.fence.was_not_reached();
        }
        if let Some(begin) = self.exchange.begin_failed.take() {
            // Neither was done.
            self.swallow(bytes.len());
            self.own_reaction(Position::FlightBegin, begin, Facts::PLAIN);
            return Ok(());
        }
        let running = self.exchange.running.as_ref();
        let at = match running.is_some_and(|running| running.given_up) {
            true => Position::Abandoned,
            false => Position::Statement,
        };
        self.statement_failed(at, error, Packet::Here(bytes), Answer::NotAsked);
        Ok(())
    }

    /// The server was asked about an error of the client's, and answered.
    pub(in crate::session::engine) fn answered(
        &mut self,
        error: ErrPacket,
        packet: &[u8],
        answer: Answer,
    ) {
        self.statement_failed(Position::Statement, error, Packet::Kept(packet), answer);
    }

    /// Carries out the reaction to an error of the client's.
    fn statement_failed(
        &mut self,
        at: Position,
        error: ErrPacket,
        packet: Packet<'_>,
        answer: Answer,
    ) {
        let fault = self.fault_of(&error);
        let reaction = react(at, fault, self.facts(&error, fault, answer));
        let retried = matches!(reaction, Reaction::Retry(Why::Hearsay));
        if answer == Answer::Open && !retried && self.piece_kind() != Some(PieceKind::End) {
            // The statement has failed in front of its commit.
            self.session.outlived();
        }
        match reaction {
            Reaction::Tell(transaction) => return self.tell_error(error, packet, transaction),
            Reaction::Ask => return self.ask_about(error, packet.bytes()),
            _ => {}
        }
        if let Packet::Here(bytes) = packet {
            self.swallow(bytes.len());
        }
        match reaction {
            Reaction::Retry(why) => {
                match why {
                    Why::Hearsay => self.exchange.attempt.hearsay += 1,
                    Why::InDoubt => self.exchange.attempt.count_refusal(&error),
                    Why::RolledBack => {
                        self.exchange.attempt.set_untold |= self.is_at_a_set();
                        self.exchange.attempt.conflict.get_or_insert_with(|| error.clone());
                    }
                    Why::Anew => self.exchange.attempt.taken = Some(error.message.clone()),
                    Why::Overtaken => {}
                }
                self.again(Recovery::of(why, self.session), error);
            }
            Reaction::Drop => self.exchange.attempt.set_untold |= self.is_at_a_set(),
            _ => self.lost = Some(error),
        }
    }

    /// The meaning of an error of the client's.
    pub(in crate::session::engine) fn fault_of(&self, error: &ErrPacket) -> Fault {
        Fault::of_read(error, self.session.settings.reads_causally(), self.session.may_lag)
    }

    /// Circumstances of an error of the client's.
    fn facts(&self, error: &ErrPacket, fault: Fault, answer: Answer) -> Facts {
        let exchange = &*self.exchange;
        let kind = self.piece_kind();
        let effect = match self.risk() {
            Risk::Doubtful(_) => Effect::Doubtful,
            _ if !self.is_in_doubt() => Effect::Nothing,
            _ if kind == Some(PieceKind::End) => Effect::Commit,
            _ => Effect::Passing,
        };
        let ours = exchange.step().is_some_and(|step| step.frame.is_some());
        let within = match (self.session.transaction.is_open(), self.session.settings.autocommit())
        {
            (true, _) if ours => Within::Ours,
            (true, _) => Within::Clients,
            // A procedure may have begun one before it failed.
            (false, true)
                if kind.is_none_or(|kind| kind == PieceKind::Unknown)
                    && fault != Fault::Syntax
                    && exchange.is_complete() =>
            {
                Within::Maybe
            }
            (false, true) => Within::Nothing,
            (false, false) => Within::Maybe,
        };
        let redo = match self.may_move() {
            true if exchange.keeps && exchange.attempt.tries < self.most_tries() => Redo::Here,
            true => Redo::Elsewhere,
            false => Redo::Never,
        };
        // A write alone: what commits by itself, in part or in full, may have done so before it failed.
        let may_choose_anew = fault == Fault::Duplicate
            && kind == Some(PieceKind::Write)
            && exchange.transaction.first().is_none()
            && exchange.keeps
            && !exchange.reply.has_begun()
            && exchange.attempt.tries < MOST_TRIES
            && !self.says_itself(&error.message)
            && exchange.attempt.taken.as_ref() != Some(&error.message)
            && self.session.reserved.is_named_in(&error.message);
        let exhausted = exchange.attempt.hearsay >= MOST_HEARSAY;
        Facts { effect, within, answer, redo, may_choose_anew, exhausted }
    }

    /// Whether the statement in hand has the number in its own words that the `message` of an error 1062 quotes: the client has
    /// chosen it.
    fn says_itself(&self, message: &[u8]) -> bool {
        let (Some(sql), Some(number)) =
            (self.piece_sql(), message.split(|byte| *byte == b'\'').nth(1))
        else {
            return false;
        };
        sql.split(|byte| !byte.is_ascii_alphanumeric()).any(|word| word == number)
    }

    /// Tells an error of the client's.
    fn tell_error(&mut self, error: ErrPacket, packet: Packet<'_>, transaction: Transaction) {
        let ends = transaction == Transaction::Ends;
        let kind = self.piece_kind();
        // Outside of a transaction, a SIGNAL of such an error ends nothing, and leaves a SET TRANSACTION for what comes next.
        if ends && (self.session.transaction.is_open() || !self.is_at_a_signal()) {
            match kind {
                _ if Fault::of(&error) == Fault::Conflict => self.session.rolled_back(),
                // The statement committed the open transaction, and failed then.
                Some(PieceKind::Implicit | PieceKind::Begin) => self.session.committed(),
                // KILL commits as well, for one.
                _ => self.session.ended_unseen(),
            }
            self.session.transaction.gone();
        }
        if !ends && kind == Some(PieceKind::Unknown) {
            // A procedure may have committed before it failed.
            self.session.fence.may_be_committed();
        }
        self.session.settings.diagnostics().failed_with(&error);
        if kind == Some(PieceKind::Write) {
            // A row that failed may have been given an id, which is used up, and which LAST_INSERT_ID() says.
            self.session.untold_id();
            self.session.settings.write_ids_mut().disturb();
        }
        if self.exchange.script.is_in_flight() {
            // The check has failed behind it, and its error is in the list.
            self.session.settings.diagnostics().lose_error(&error);
        }
        let words = self.own_words_of(&error);
        if let Some(words) = &words {
            // The list has the server's.
            self.session.settings.diagnostics().lose_error(words);
            self.session.settings.diagnostics().disturb();
        }
        match (packet, words) {
            (Packet::Here(bytes), None) => self.tell(bytes),
            (Packet::Here(bytes), Some(error)) => self.tell_payload(bytes, &error.encode()),
            (Packet::Kept(packet), None) => self.tell_kept(packet),
            (Packet::Kept(packet), Some(mut error)) => {
                let head = packet.get(..HEADER_LEN).unwrap_or_default();
                error.message.truncate(MOST_MESSAGE);
                self.tell_kept(&[head, &error.encode()].concat());
            }
        }
        self.give_up_rest(error.code, ends);
    }

    /// A syntax error as the server would have told it, had it got the client's text as it came: it quotes what stands
    /// behind the error, which may be words of ours, or cut off.
    fn own_words_of(&self, error: &ErrPacket) -> Option<ErrPacket> {
        let place = self.exchange.running.as_ref().map_or(0, Running::piece);
        let as_it_came = |step: &&Step| matches!(step.what, What::Single(_) | What::Whole);
        let step = self.exchange.step().filter(|step| !as_it_came(step))?;
        let piece = step.pieces.get(place).filter(|_| Fault::of(error) == Fault::Syntax)?;
        let sql =
            self.exchange.request.get(1..).filter(|_| self.exchange.command == Command::Query)?;
        let message = quote_again(&error.message, sql, piece.start..piece.end)?;
        Some(ErrPacket { message, ..error.clone() })
    }

    /// The meaning of a lost reply to the step in hand.
    fn risk(&self) -> Risk {
        self.exchange.step().map_or(Risk::Repeatable, |step| step.risk)
    }

    /// Whether the error is that of a COMMIT, of which the fence tells whether it was done all the same.
    fn is_in_doubt(&self) -> bool {
        let first = self.exchange.running.as_ref().is_some_and(|running| running.piece() == 0);
        matches!(self.risk(), Risk::Commit { .. }) && first && self.session.fence.is_set()
    }

    fn piece_kind(&self) -> Option<PieceKind> {
        let place = self.exchange.running.as_ref().map_or(0, Running::piece);
        let piece = self.exchange.step().and_then(|step| step.pieces.get(place));
        piece.map(|piece| piece.kind)
    }

    /// An error ends a batch: nothing behind it is sent.
    pub(super) fn give_up_rest(&mut self, code: u16, aborted: bool) {
        let exchange = &mut *self.exchange;
        if let Some(running) = &mut exchange.running {
            running.told.push(Told::Error { code });
        }
        let wrapped = exchange.step().is_some_and(|step| step.frame.is_some());
        exchange.script.end_here();
        // Under the guard, what came behind the transaction that was given up is open still.
        let guarded = self.session.guard.is_on() && aborted;
        if wrapped || guarded {
            exchange.script.extend([Step::rollback()]);
        }
    }

    pub(in crate::session::engine) fn may_move(&self) -> bool {
        let told = self.exchange.is_partly_told();
        self.session.stuck().is_none() && !self.exchange.request.is_empty() && !told
    }

    /// How often it may be tried. A client that is told of a conflict does its transaction again by itself;
    /// one whose node was lost does not know of any, and while a COMMIT is in doubt it cannot be told.
    pub(super) fn most_tries(&self) -> u32 {
        // A SIGNAL raises its own error each time.
        let lost = self.exchange.attempt.lost && !self.is_at_a_signal();
        let patient = lost || self.session.fence.is_in_doubt();
        if patient { MOST_TRIES_AFTER_A_LOSS } else { MOST_TRIES }
    }

    /// Whether the statement at hand does nothing but raise an error.
    fn is_at_a_signal(&self) -> bool {
        self.piece_sql().is_some_and(|sql| {
            let sql = sql.trim_ascii_start();
            begins_with(sql, b"SIGNAL") || begins_with(sql, b"RESIGNAL")
        })
    }

    /// The text of the statement at hand.
    fn piece_sql(&self) -> Option<&[u8]> {
        let exchange = &*self.exchange;
        let place = exchange.running.as_ref().map_or(0, Running::piece);
        let piece = exchange.step().and_then(|step| step.pieces.get(place))?;
        Some(sql_of(exchange.command, &exchange.request, *piece, &self.session.settings))
    }

    /// Whether the statement at hand sets something: it may be done, though the transaction was given up at it.
    fn is_at_a_set(&self) -> bool {
        self.exchange.command == Command::InitDb
            || self.piece_sql().is_some_and(|sql| {
                let kind = Statement::single(sql, self.session.settings.dialect()).kind;
                matches!(kind, Kind::Set(_) | Kind::Use)
            })
    }

    /// Tries the same once more, on the same link; or, after many times, tells the error for which it failed. A reply to
    /// several steps of which the client has a part is not told anew.
    pub(in crate::session::engine) fn again(&mut self, mut recovery: Recovery, error: ErrPacket) {
        let told = self.exchange.is_partly_told();
        // Nothing is told anew where the fence is only asked.
        let asks = self.session.stuck().is_some() && self.session.fence.is_in_doubt();
        if self.exchange.attempt.tries >= self.most_tries() || (told && !asks) {
            return self.give_up(&error);
        }
        let exchange = &mut *self.exchange;
        exchange.attempt.tries += 1;
        match told {
            true => exchange.running = None,
            false => exchange.take_back(self.session),
        }
        let begun = exchange.beginning(self.session);
        let can_follow =
            !exchange.attempt.set_untold && begun.can_follow(&self.session.settings.now());
        if !can_follow && self.session.stuck().is_none() {
            tracing::debug!(%error, tries = exchange.attempt.tries, "rolled back by the server: once more, on another link");
            exchange.attempt.departure = Departure::Due;
            self.lost = Some(ErrPacket::new(OURS, *b"HY000", "what is set on it cannot be undone"));
            return;
        }
        recovery.unsettled |= exchange.recovery.is_some();
        exchange.recovery = Some(Box::new(recovery));
        tracing::debug!(%error, tries = exchange.attempt.tries, "rolled back by the server: once more");
    }
}

/// The message of a syntax error in this part of `sql`, with what the whole of it has behind the error. `None`: there is
/// nothing to be changed.
fn quote_again(message: &[u8], sql: &[u8], part: Range<usize>) -> Option<Vec<u8>> {
    let find =
        |text: &[u8], words: &[u8]| text.windows(words.len()).position(|window| window == words);
    let start = find(message, b"near '")? + b"near '".len();
    let end = message.iter().rposition(|byte| *byte == b'\'').filter(|end| *end >= start)?;
    let quoted = message.get(start..end)?;
    let cut = quoted.strip_suffix(b"...").filter(|_| quoted.len() >= MOST_QUOTED);
    let quoted_text = cut.unwrap_or(quoted);
    let text = sql.get(part.clone())?;
    // The server reads no further.
    let end_of_text = |byte: &u8| *byte == b';' || byte.is_ascii_whitespace();
    let sql = sql.get(..=sql.iter().rposition(|byte| !end_of_text(byte))?)?;
    // The first place from which on the quotation is that of the text, as far as the server quotes.
    let fits = |at: &usize| {
        let rest = &text[*at..];
        let beyond = rest.strip_prefix(quoted_text);
        let is_end = |beyond: &[u8]| beyond.first() == Some(&0) || beyond.iter().all(end_of_text);
        quoted_text.starts_with(rest)
            || beyond.is_some_and(|beyond| cut.is_some() || is_end(beyond))
    };
    let within = (0..text.len()).find(fits).filter(|_| !quoted.is_empty());
    let at = match within {
        Some(at) => part.start + at,
        // The error is at the end of the statement, which for the server is what stands there.
        None if quoted.is_empty() || quoted.starts_with(b";") => part.end,
        None => return None,
    };
    let whole = sql.get(at..).unwrap_or_default().trim_ascii_start();
    // Nor does it quote further than to a zero byte.
    let whole = whole.split(|byte| *byte == 0).next().unwrap_or_default();
    let whole = match whole.get(..MOST_QUOTED) {
        Some(_) if whole.len() > MOST_QUOTED => [&whole[..MOST_QUOTED - 3], b"..."].concat(),
        _ => whole.to_vec(),
    };
    (whole != quoted).then(|| [&message[..start], &whole, &message[end..]].concat())
}

/// Characters of a text that the server quotes in a syntax error; of a longer one, three are dots.
const MOST_QUOTED: usize = 80;

/// Bytes of the longest message of an error.
const MOST_MESSAGE: usize = 512;

/// Where an error packet is.
enum Packet<'a> {
    /// In the input.
    Here(&'a [u8]),
    /// Kept from before.
    Kept(&'a [u8]),
}

impl<'a> Packet<'a> {
    fn bytes(&self) -> &'a [u8] {
        match self {
            Self::Here(bytes) | Self::Kept(bytes) => bytes,
        }
    }
}

/// How often a statement is tried again on a node that works, for an error that says otherwise.
const MOST_HEARSAY: u32 = 2;

#[cfg(test)]
mod tests {
    use super::*;

    /// Otherwise people would be shown words that they have not written.
    #[test]
    fn a_syntax_error_quotes_the_clients_own_text() {
        let sql = b"INSERT INTO t VALU (2);COMMIT";
        let told = |quoted: &str, sql: &[u8], part| {
            let message = format!("right syntax to use near '{quoted}' at line 1");
            let words = quote_again(message.as_bytes(), sql, part);
            words.map(|words| String::from_utf8(words).unwrap())
        };
        let whole = Some("right syntax to use near 'VALU (2);COMMIT' at line 1".to_owned());
        assert_eq!(told("VALU (2);UPDATE `ido_proxy`.`fence` SET", sql, 0..22), whole);
        assert_eq!(told("VALU (2)", sql, 0..22), whole);
        let end = Some("right syntax to use near ';COMMIT' at line 1".to_owned());
        assert_eq!(told(";SET @ido_proxy=IF(@@in_", sql, 0..22), end);
        assert_eq!(told("VALU (2)", &sql[..22], 0..22), None, "as the server said it");
        let long = [&b"SELECT 1;SELEC "[..], &[b'x'; 100]].concat();
        let quoted = String::from_utf8(long[9..86].to_vec()).unwrap() + "...";
        assert_eq!(told(&quoted, &long, 9..long.len()), None);
        assert_eq!(told("no such thing", sql, 0..5), None);
        let twice = b"INSERT INTO t VALU (2), VALU (2)";
        assert_eq!(told("VALU (2)", twice, 0..twice.len()), None, "the second one, to the end");
        let oracle = b"BEGIN; SELECT 1; COMMIT ; ";
        let whole = Some("right syntax to use near '; SELECT 1; COMMIT' at line 1".to_owned());
        assert_eq!(told("; UPDATE `ido_proxy`.`fence` SET", oracle, 0..5), whole);
        let nothing = Some("right syntax to use near '' at line 1".to_owned());
        assert_eq!(told("; ", b"SELECT 1; BEGIN; ", 10..15), nothing);
    }
}
