//! A question to the server between an error and the client that hears of it.
//!
//! An error packet has no status flags. So after an error within a transaction the server is asked whether the
//! transaction is still open; and after an error that would condemn the node, whether that is so. The questions leave
//! the warnings of a client's last statement as they find them.

use ido_proxy_protocol::Violation;
use ido_proxy_protocol::capabilities::Capabilities;
use ido_proxy_protocol::command::Command;
use ido_proxy_protocol::err::ErrPacket;
use ido_proxy_protocol::packet::{self, HEADER_LEN};
use ido_proxy_protocol::reply::ReplyStep;
use ido_proxy_protocol::status::StatusFlags;

use super::exchange::Exchange;
use super::fault::Fault;
use super::policy::{Answer, Facts, Position};
use super::question::{Asked, Question};
use super::replies::Replies;
use super::running::{Job, Running};
use super::words::{READ_ONLY, READY, SET_OPTION, query};
use crate::session::plan::blocker::Blocker;

impl Exchange {
    /// Appends the question that is due, if one is.
    pub(super) fn ask(&mut self, multi: bool, link: Capabilities, out: &mut Vec<u8>) -> bool {
        let mark = self.reply.mark();
        let Some(asked) = self.asked.as_mut().filter(|asked| !asked.sent) else { return false };
        asked.sent = true;
        let (command, payload) = match asked.question {
            // Sets what is set already. Its reply has flags, and leaves ROW_COUNT() at -1.
            Question::Transaction => (Command::SetOption, vec![SET_OPTION, u8::from(!multi), 0]),
            Question::Ready => (Command::Query, query(READY)),
            Question::ReadOnly => (Command::Query, query(READ_ONLY)),
        };
        packet::frame(&payload, 0, out);
        self.running = Some(Running::new(command, link, Job::Ask, mark));
        true
    }

    /// The error that the server is asked about now.
    pub(super) fn asked_about(&self) -> Option<&ErrPacket> {
        self.asked.as_ref().map(|asked| &asked.error)
    }

    /// The link is lost before the answer came: the request that ended with the error has no reply.
    pub(super) fn forget_question(&mut self) {
        if let Some(asked) = self.asked.take() {
            self.running = Some(asked.running);
        }
    }
}

impl Replies<'_> {
    /// Keeps the error packet `bytes` back, and asks the server what it means.
    pub(super) fn ask_about(&mut self, error: ErrPacket, bytes: &[u8]) {
        let Some(running) = self.exchange.running.take() else { return };
        let question = match self.fault_of(&error) {
            Fault::NodeReadOnly => Question::ReadOnly,
            fault if fault.doubts_node() || fault == Fault::CausalRead => Question::Ready,
            _ => Question::Transaction,
        };
        self.swallow(bytes.len());
        let (packet, read_only, sent) = (bytes.to_vec(), false, false);
        let asked = Asked { running, packet, error, question, read_only, sent };
        self.exchange.asked = Some(Box::new(asked));
    }

    /// Takes in a packet of the answer.
    pub(super) fn answer_packet(
        &mut self,
        step: ReplyStep,
        bytes: &[u8],
        ended: bool,
    ) -> Result<(), Violation> {
        let Some(asked) = &mut self.exchange.asked else { return Ok(()) };
        let status = match step {
            ReplyStep::Pass(_) => {
                // The last row packet is that of the one value.
                asked.read_only = bytes.last() == Some(&b'1');
                return Ok(());
            }
            ReplyStep::Err { .. } => {
                let error = ErrPacket::decode(bytes.get(HEADER_LEN..).unwrap_or_default())?;
                self.exchange.forget_question();
                self.own_reaction(Position::Own, error, Facts::PLAIN);
                return Ok(());
            }
            ReplyStep::Eof { status, .. } | ReplyStep::Ok { status, .. } if ended => status,
            _ => return Ok(()),
        };
        let Some(asked) = self.exchange.asked.take() else { return Ok(()) };
        let Asked { running, packet, error, question, read_only, .. } = *asked;
        self.exchange.running = Some(running);
        let answer = match status.contains(StatusFlags::IN_TRANS) {
            _ if question == Question::ReadOnly && read_only => Answer::ReadOnly,
            true => Answer::Open,
            false => Answer::Closed,
        };
        let session = &mut *self.session;
        if answer == Answer::Open && !session.transaction.is_open() && session.settings.autocommit()
        {
            session.transaction.learn_status(status);
            session.transaction.may_have_written();
            session.cannot_replay(Blocker::Call);
        }
        if answer == Answer::Open {
            // The error had no room for what the failed statement did: a table without transactions keeps its rows.
            self.learn_own(bytes.get(HEADER_LEN..).unwrap_or_default(), step)?;
        }
        self.answered(error, &packet, answer);
        if question == Question::Ready {
            // ROW_COUNT() is 0 now.
            self.session.settings.diagnostics().disturb();
        }
        Ok(())
    }
}
