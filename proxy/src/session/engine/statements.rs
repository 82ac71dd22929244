//! Effects of statements that replies do not tell.

use ido_proxy_protocol::command::Command;
use ido_proxy_protocol::status::StatusFlags;

use super::Machine;
use super::exchange::Exchange;
use super::replies::Replies;
use crate::session::plan::Piece;
use crate::session::plan::blocker::Blocker;
use crate::session::state::settings::statement_id;

impl Machine {
    /// Applies the effect that a command without a reply has on prepared statements.
    pub(super) fn settle_statement(&mut self, exchange: &Exchange) {
        let Some(id) = statement_id(&exchange.request) else { return };
        let (settings, transaction) = (&mut self.session.settings, &self.session.transaction);
        match exchange.command {
            Command::StmtClose => {
                settings.close(id, transaction.is_open());
                settings.close_cursor(id);
                self.forget_long_data(id);
            }
            Command::StmtReset => {
                settings.close_cursor(id);
                self.forget_long_data(id);
            }
            Command::StmtSendLongData if settings.statement(id).is_some() => {
                settings.reasons_mut().insert(Blocker::LongData);
                if transaction.is_open() {
                    self.session.cannot_replay(Blocker::LongData);
                }
                if !self.long_data.contains(&id) {
                    self.long_data.push(id);
                }
            }
            _ => {}
        }
    }

    /// Applies the effect of a command whose reply is over.
    pub(super) fn settle_finished(&mut self, exchange: &Exchange) {
        match exchange.command {
            Command::StmtExecute => {
                statement_id(&exchange.request).iter().for_each(|id| self.forget_long_data(*id));
            }
            Command::SetOption if !exchange.failed => {
                // 0 is on, 1 is off.
                self.session.settings.set_multi(exchange.request.get(1) == Some(&0));
                // Whatever the client has asked for, the link was told so.
                self.session.several.turned(true);
            }
            Command::ResetConnection => {
                self.session.settings.reset();
                self.session.guard.turned(false);
                self.long_data.clear();
            }
            _ => {}
        }
    }

    /// The long parameters of this statement are used up, or gone.
    fn forget_long_data(&mut self, id: u32) {
        self.long_data.retain(|other| *other != id);
        if self.long_data.is_empty() {
            self.session.settings.reasons_mut().remove(Blocker::LongData);
        }
    }
}

impl Replies<'_> {
    /// Takes in the `status` at the end of rows whose last packet has no room for a report. A stored function may have
    /// written: a COMMIT without a fence would be done twice, should its reply be lost.
    pub(super) fn learn_unreported_rows(&mut self, piece: Option<Piece>, status: StatusFlags) {
        self.session.learn_rows(status);
        let transaction = &self.session.transaction;
        let is_clean = transaction.is_open() && !transaction.is_dirty();
        let calls = |piece| self.exchange.calls_stored(piece, self.session);
        if is_clean && piece.is_some_and(calls) {
            self.session.transaction.may_have_written();
        }
    }
}
