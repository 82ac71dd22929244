//! Errors: which of them a client is told, and which mean that something is done again.

use ido_proxy_protocol::Violation;
use ido_proxy_protocol::command::Command;
use ido_proxy_protocol::err::ErrPacket;
use ido_proxy_protocol::statement::{Kind, Statement};

use super::Replies;
use super::client::sql_of;
use crate::session::end::CONNECTION_KILLED;
use crate::session::journal::record::Told;
use crate::session::machine::OURS;
use crate::session::machine::recovery::Recovery;
use crate::session::machine::running::Running;
use crate::session::plan::{PieceKind, Risk, Step};
use crate::session::reason::Reason;

impl Replies<'_> {
    /// The server refuses one of the client's statements.
    pub(super) fn error(&mut self, bytes: &[u8], payload: &[u8]) -> Result<(), Violation> {
        let error = ErrPacket::decode(payload)?;
        let risk = self.exchange.step().map_or(Risk::Repeatable, |step| step.risk);
        let first = self.exchange.running.as_ref().is_some_and(|running| running.piece() == 0);
        let doubtful = matches!(risk, Risk::Doubtful(_)) && error.code != NOT_READY;
        // The read waited for a node that is too far behind: the primary is not.
        let lags = self.carried.may_lag && error.code == LOCK_WAIT_TIMEOUT;
        if (is_loss(&error) || lags) && self.may_move() && !doubtful {
            self.swallow(bytes.len());
            self.lost = Some(error);
            return Ok(());
        }
        if matches!(risk, Risk::Commit { .. }) && first && self.carried.fence.is_set() {
            self.swallow(bytes.len());
            self.again(Recovery::in_doubt(), error);
            return Ok(());
        }
        if self.exchange.running.as_ref().is_some_and(|running| running.given_up) {
            // It ends a reply that nobody is told.
            self.swallow(bytes.len());
            self.exchange.set_untold |= self.is_at_a_set();
            return Ok(());
        }
        if ROLLED_BACK.contains(&error.code)
            && self.exchange.keeps
            && self.may_move()
            && self.exchange.tries < self.most_tries()
            && !matches!(risk, Risk::Doubtful(_))
        {
            self.swallow(bytes.len());
            self.exchange.set_untold |= self.is_at_a_set();
            self.again(Recovery::rolled_back(), error);
            return Ok(());
        }
        // A write alone: what commits by itself, in part or in full, may have done so before it failed.
        let place = self.exchange.running.as_ref().map_or(0, Running::piece);
        let piece = self.exchange.step().and_then(|step| step.pieces.get(place));
        let kind = piece.map(|piece| piece.kind);
        let only_writes = kind == Some(PieceKind::Write)
            && !matches!(risk, Risk::Doubtful(_))
            && self.exchange.transaction.first().is_none();
        if error.code == DUPLICATE_ENTRY
            && only_writes
            && self.exchange.keeps
            && !self.exchange.begun
            && self.may_move()
            && self.exchange.tries < MOST_TRIES
            && self.carried.owed.is_named_in(&error.message)
        {
            // Of an id that the server chose, maybe. Done again, it chooses another one.
            self.swallow(bytes.len());
            self.again(Recovery::in_doubt_or_not(self.carried), error);
            return Ok(());
        }
        if ROLLED_BACK.contains(&error.code) {
            self.carried.transaction.gone();
            self.carried.rolled_back();
        }
        if matches!(kind, Some(PieceKind::Implicit | PieceKind::Begin))
            && self.carried.transaction.is_open()
        {
            // It may have committed before it failed, and an error has no flags that tell.
            self.carried.cannot_replay(Reason::Ddl);
        }
        self.carried.killed |= error.code == CONNECTION_KILLED;
        self.tell(bytes);
        self.give_up_rest(error.code);
        Ok(())
    }

    /// An error ends a batch: nothing behind it is sent.
    pub(super) fn give_up_rest(&mut self, code: u16) {
        let exchange = &mut *self.exchange;
        if let Some(running) = &mut exchange.running {
            running.told.push(Told::Error { code });
        }
        let wrapped = exchange.step().is_some_and(|step| step.restart.is_some());
        exchange.steps.truncate(exchange.at + 1);
        // Under the guard, what came behind the transaction that was given up is open still.
        let guarded = self.carried.guard.is_on() && ROLLED_BACK.contains(&code);
        if wrapped || guarded {
            exchange.steps.push(Step::rollback());
        }
    }

    pub(super) fn may_move(&self) -> bool {
        let told = self.exchange.is_partly_told();
        self.carried.stuck().is_none() && !self.exchange.request.is_empty() && !told
    }

    /// How often it may be tried. A client that is told of a conflict does its transaction again by itself;
    /// one whose node was lost does not know of any, and while a COMMIT is in doubt it cannot be told.
    pub(super) fn most_tries(&self) -> u32 {
        let patient = self.exchange.lost || self.carried.fence.is_in_doubt();
        if patient { MOST_TRIES_AFTER_A_LOSS } else { MOST_TRIES }
    }

    /// Whether the statement at hand sets something: it may be done, though the transaction was given up at it.
    fn is_at_a_set(&self) -> bool {
        let exchange = &*self.exchange;
        let place = exchange.running.as_ref().map_or(0, Running::piece);
        let piece = exchange.step().and_then(|step| step.pieces.get(place));
        let book = &self.carried.book;
        exchange.command == Command::InitDb
            || piece.is_some_and(|piece| {
                let sql = sql_of(exchange.command, &exchange.request, *piece, book);
                let kind = Statement::single(sql, book.dialect()).kind;
                matches!(kind, Kind::Set(_) | Kind::Use)
            })
    }

    /// The same once more, on the same link; or, after many times, the error for which it failed. A reply to
    /// several steps of which the client has a part is not told anew.
    pub(in crate::session::machine) fn again(&mut self, mut recovery: Recovery, error: ErrPacket) {
        if self.exchange.tries >= self.most_tries() || self.exchange.is_partly_told() {
            return self.give_up(&error);
        }
        let exchange = &mut *self.exchange;
        exchange.tries += 1;
        exchange.take_back();
        let begun = exchange.beginning(self.carried);
        let can_follow = !exchange.set_untold && begun.can_follow(&self.carried.book.now());
        if !can_follow && self.carried.stuck().is_none() {
            exchange.leaving = true;
            self.lost = Some(ErrPacket::new(OURS, *b"HY000", "what is set on it cannot be undone"));
            return;
        }
        recovery.unsettled |= exchange.recovery.is_some();
        exchange.recovery = Some(Box::new(recovery));
        tracing::debug!(%error, tries = exchange.tries, "rolled back by the server: once more");
    }
}

/// Whether an error says that the node cannot be worked with, rather than that a statement is wrong.
pub(in crate::session::machine) fn is_loss(error: &ErrPacket) -> bool {
    match error.code {
        // The same number stands for an unknown command.
        NOT_READY => error.message.starts_with(b"WSREP"),
        CONNECTION_KILLED | SERVER_SHUTDOWN | READ_ONLY_MODE => true,
        // The same number stands for other options that forbid something.
        OPTION_PREVENTS => error.message.windows(11).any(|words| words == b"--read-only"),
        _ => false,
    }
}

/// What the server would have said, had it said anything.
pub(super) fn given_up() -> ErrPacket {
    let message = "Deadlock found when trying to get lock; try restarting transaction";
    ErrPacket::new(ROLLED_BACK[0], *b"40001", message)
}

pub(super) fn owed() -> ErrPacket {
    ErrPacket::new(OURS, *b"HY000", "an id that belongs to a row of another session")
}

/// The whole transaction was rolled back with these: ER_LOCK_DEADLOCK, which also is what Galera says
/// of a conflict, and ER_ERROR_DURING_COMMIT.
pub(in crate::session::machine) const ROLLED_BACK: [u16; 2] = [1213, 1180];

/// How often a transaction that the server rolled back is done again before the client is told.
pub(in crate::session::machine) const MOST_TRIES: u32 = 10;

/// The same where the link was lost under it: many sessions do their transactions again at the same time,
/// and meet each other's locks. With the pauses between them this is some seconds.
pub(super) const MOST_TRIES_AFTER_A_LOSS: u32 = 100;

// Error codes of the MariaDB documentation, "MariaDB Error Codes".
/// ER_UNKNOWN_COM_ERROR; with a message that begins with WSREP, Galera's "not ready".
pub(super) const NOT_READY: u16 = 1047;
/// ER_SERVER_SHUTDOWN.
pub(super) const SERVER_SHUTDOWN: u16 = 1053;
/// ER_DUP_ENTRY.
pub(in crate::session::machine) const DUPLICATE_ENTRY: u16 = 1062;
/// ER_LOCK_WAIT_TIMEOUT.
pub(crate) const LOCK_WAIT_TIMEOUT: u16 = 1205;
/// ER_OPTION_PREVENTS_STATEMENT.
pub(super) const OPTION_PREVENTS: u16 = 1290;
/// ER_READ_ONLY_MODE.
pub(super) const READ_ONLY_MODE: u16 = 1836;
