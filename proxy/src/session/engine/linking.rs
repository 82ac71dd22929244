//! A link comes, or goes: whether the session goes on, and from where.

use ido_proxy_protocol::capabilities::Capabilities;

use super::attempt::Departure;
use super::exchange::{Exchange, Origin};
use super::recovery::Recovery;
use super::running::Behind;
use super::verdict::Stuck;
use super::{Machine, State};
use crate::session::plan::blocker::Blocker;
use crate::session::plan::{Doubt, Risk, Step};
use crate::session::state::guard::Guard;
use crate::session::state::link_facts::{Freshness, LinkFacts};
use crate::session::state::several::Several;

impl Machine {
    /// Says that a link is there, in the state that a login leaves.
    pub(crate) fn link_up(&mut self, facts: LinkFacts) {
        let tracks = facts.capabilities.contains(Capabilities::SESSION_TRACK);
        self.session.settings.meet(&facts.version, tracks);
        self.session.settings.meet_reports(facts.reports.clone());
        if let Some(status) = facts.status.filter(|_| !self.met) {
            // The server's own default of autocommit and sql_mode.
            self.session.settings.learn_status(status);
        }
        // A command that is at the door brings the way back with it.
        if self.is_idle() && self.commands.is_idle() && self.session.has_journal() {
            let mut exchange = Exchange::restoring(&mut self.session);
            exchange.attempt.tries = self.restore_tries;
            self.state = State::Busy(Box::new(exchange));
        }
        if let State::Busy(exchange) = &mut self.state {
            let mut recovery = Recovery::on_new_link(facts.ghost);
            recovery.pause = exchange.attempt.tries > 0
                && (exchange.attempt.departure == Departure::Done
                    || matches!(exchange.origin, Origin::Restore { .. }));
            exchange.recovery = Some(Box::new(recovery));
        }
        let multi = facts.capabilities.contains(Capabilities::MULTI_STATEMENTS);
        let differs = self.session.settings.multi() && !multi;
        self.session.several = Several::of_link(multi);
        self.fresh =
            (self.met || facts.freshness == Freshness::Behind || differs) && !self.is_busy();
        if std::mem::replace(&mut self.met, true) {
            // The new link knows nothing of the client's last statement.
            self.session.settings.diagnostics().moved();
        }
        self.session.may_lag = facts.freshness == Freshness::Waits;
        self.session.guard = Guard::of_link(facts.galera);
        self.link = Some(facts);
    }

    /// Says that the link is gone, or is given up. The session goes on with the next one.
    ///
    /// # Errors
    /// [`Stuck`] says why the session cannot go on.
    pub(crate) fn link_lost(&mut self) -> Result<(), Stuck> {
        self.link = None;
        self.session.guard = Guard::default();
        if let State::Busy(exchange) = &mut self.state
            && matches!(exchange.origin, Origin::Restore { .. })
        {
            self.restore_tries = exchange.attempt.tries;
            self.refusal = exchange.origin.take_refusal().or_else(|| self.refusal.take());
            self.state = State::Idle;
        }
        if let State::Busy(exchange) = &mut self.state {
            exchange.forget_question();
        }
        let State::Busy(exchange) = &mut self.state else {
            let stuck = self.session.stuck().map(Stuck::Blocker);
            return stuck.map_or(Ok(()), Err);
        };
        if exchange.releases(&self.session) {
            exchange.reply.settle();
            return Err(Stuck::Released);
        }
        self.session.fence.haunt();
        exchange.attempt.link_gone();
        exchange.behind = Behind::Nothing;
        let step = exchange.running.as_ref().filter(|running| running.is_step());
        let cut = step.map_or(0, |running| running.cut);
        let risk = exchange.step().map(|step| step.risk).filter(|_| step.is_some());
        // A possible commit is reported first. Otherwise a client that took it for rolled back would do it again.
        if let Some(doubt) = risk.and_then(|risk| exchange.doubt(risk, &self.session))
            && cut == 0
            && exchange.is_complete()
        {
            return Err(Stuck::Doubt(doubt));
        }
        let whole = exchange.is_complete() && !exchange.request.is_empty();
        // The statement cannot be done again, but the fence tells whether it was done.
        let asks = whole
            && exchange.step().is_some_and(|step| matches!(step.risk, Risk::Commit { .. }))
            && self.session.fence.is_in_doubt()
            && self.session.settings.unmovable().is_none();
        let reason = self
            .session
            .stuck()
            .or_else(|| (!whole).then_some(Blocker::LongCommand))
            .or_else(|| step.and_then(|_| exchange.transaction.first()));
        if let Some(reason) = reason
            && !asks
        {
            let doubt = self.session.fence.is_in_doubt();
            return Err(if doubt {
                Stuck::Doubt(Doubt::Statement)
            } else {
                Stuck::Blocker(reason)
            });
        }
        exchange.recovery = None;
        if step.is_none() {
            exchange.running = None;
            return Ok(());
        }
        if risk == Some(Risk::Rollback) {
            self.session.rolled_back();
            self.session.transaction.gone();
            if cut == 0 {
                // A statement that is rolled back is not done again, and what it has set stays set.
                exchange.state = self.session.settings.now();
            }
        }
        if exchange.is_partly_told() {
            return Err(Stuck::Told);
        }
        exchange.forget_ghost();
        exchange.reply.expects_nothing();
        exchange.take_back(&self.session);
        if exchange.shows_reports && exchange.step().is_some_and(|step| !step.is_ours()) {
            // The next link reports to us alone.
            exchange.script.insert_here(Step::show_reports());
        }
        exchange.name_last_statement(&self.session);
        Ok(())
    }
}
