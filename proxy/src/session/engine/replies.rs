//! Handles the reply to a request: tells it as it comes, holds it until the rest is there, or takes out what is ours.
//! Also learns the state of the transaction.

use ido_proxy_protocol::Violation;
use ido_proxy_protocol::capabilities::Capabilities;
use ido_proxy_protocol::command::Command;
use ido_proxy_protocol::err::ErrPacket;
use ido_proxy_protocol::reply::{ReplyStep, ReplyTracker};

use super::attempt::{given_up, reserved};
use super::edits::Edits;
use super::exchange::{Exchange, Opens};
use super::recovery::Recovery;
use super::running::{Behind, Job, Owner};
use super::verdict::Stuck;
use crate::session::plan::Step;
use crate::session::state::session_state::SessionState;

mod client;
mod errors;
mod ours;
mod telling;

/// Takes in one piece of what comes from the link.
pub(super) struct Replies<'a> {
    pub(super) exchange: &'a mut Exchange,
    pub(super) session: &'a mut SessionState,
    pub(super) link: Capabilities,
    pub(super) client: Capabilities,
    /// The link takes a backslash in a string for an escape, after its login.
    pub(super) backslashes: bool,
    pub(super) input: &'a [u8],
    pub(super) taken: usize,
    pub(super) edits: Edits,
    /// The default database, if it has changed.
    pub(super) schema: Option<Vec<u8>>,
    /// The last packet is an OK of the client's that announces another result.
    pub(super) continues: bool,
    /// The node said, by this error, that it cannot be worked with any more.
    pub(super) lost: Option<ErrPacket>,
    /// The number of the packet in which the server asks the client for a file.
    pub(super) wants_file: Option<u8>,
    /// The session cannot go on.
    pub(super) stuck: Option<Stuck>,
}

impl Replies<'_> {
    /// Goes through all of it.
    ///
    /// # Errors
    /// It cannot be followed.
    pub(super) fn take_in(&mut self) -> Result<(), Violation> {
        while self.lost.is_none() && self.stuck.is_none() {
            let Some(running) = &mut self.exchange.running else { return self.drop_unwanted() };
            let rest = self.input.get(self.taken..).unwrap_or_default();
            let results = running.tracker.results();
            let step = running.tracker.step(rest)?;
            let len = step.covered();
            if len == 0 {
                break;
            }
            let bytes = rest.get(..len).unwrap_or_default();
            let ended = running.tracker.results() > results
                || matches!(step, ReplyStep::Err { .. } | ReplyStep::Raw { last: true, .. });
            let done = running.tracker.is_done();
            self.continues = false;
            let owner = running.owner();
            if let ReplyStep::Err { .. } = step
                && !self.exchange.begins_flight()
            {
                self.disown_behind();
            }
            match owner {
                Owner::Client => self.client_packet(step, bytes, ended)?,
                owner => self.own_packet(owner, step, bytes, ended)?,
            }
            self.taken += len;
            if ended && let Some(running) = &mut self.exchange.running {
                running.result += 1;
            }
            if done && self.lost.is_none() && self.stuck.is_none() {
                self.request_done();
            }
        }
        Ok(())
    }

    /// Disowns the request behind the one in hand: it should not be done, since the one in hand failed.
    fn disown_behind(&mut self) {
        if let Behind::Sent(_) = self.exchange.behind {
            let unwanted = ReplyTracker::new(Command::Query, self.link);
            self.exchange.behind = Behind::Unwanted(unwanted);
        }
    }

    /// Drops the reply to what should not have been done.
    fn drop_unwanted(&mut self) -> Result<(), Violation> {
        while let Behind::Unwanted(tracker) = &mut self.exchange.behind {
            let rest = self.input.get(self.taken..).unwrap_or_default();
            let len = tracker.step(rest)?.covered();
            if len == 0 {
                break;
            }
            if tracker.is_done() {
                self.exchange.behind = Behind::Nothing;
            }
            self.swallow(len);
            self.taken += len;
        }
        Ok(())
    }

    /// The reply to the request in hand is complete.
    fn request_done(&mut self) {
        let exchange = &mut *self.exchange;
        let Some(running) = exchange.running.take() else { return };
        if let Job::Task(_) = running.job {
            return;
        }
        let stopped = exchange.lacks_results(&running);
        if running.reserved || running.given_up || stopped {
            let error = if running.given_up || stopped { given_up() } else { reserved() };
            if !self.may_move() {
                return self.give_up(&error);
            }
            self.exchange.running = Some(running);
            let recovery = Recovery::in_doubt_or_not(self.session);
            self.again(recovery, error);
            // The reply is complete, told or not.
            self.exchange.running = None;
            return;
        }
        exchange.record(self.session, running);
        exchange.script.step_done();
        if !self.session.transaction.is_open() {
            // Nothing of what is before is done again.
            exchange.state = self.session.settings.now();
            self.session.forget_unreplayable();
        }
        if let Behind::Sent(more) = exchange.behind {
            exchange.behind = match more {
                ..=1 => Behind::Nothing,
                more => Behind::Sent(more - 1),
            };
            return exchange.run(self.session, self.link);
        }
        let transaction = &self.session.transaction;
        let ours =
            transaction.is_implicit() || (exchange.opens == Opens::ForUs && transaction.is_open());
        if self.session.guard.is_on() && ours && !exchange.shows_reports {
            // A procedure has ended the client's transaction and gone on: without the guard, what it
            // did then is committed.
            exchange.opens = Opens::ForClient;
            self.session.committed();
            exchange.script.insert_here(Step::commit());
        }
        if exchange.script.is_over() {
            self.end();
        }
    }

    /// All is done: what is held goes to the client.
    fn end(&mut self) {
        self.exchange.keep(self.session);
        let held = self.exchange.reply.take();
        if !held.is_empty() {
            self.edits.replace(self.input, self.taken..self.taken, &held);
        }
        self.exchange.reply.complete();
    }
}
