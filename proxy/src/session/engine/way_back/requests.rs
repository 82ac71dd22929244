//! The requests of a recovery, in their order.

use ido_proxy_protocol::capabilities::Capabilities;
use ido_proxy_protocol::command::Command;
use ido_proxy_protocol::packet;

use crate::session::engine::exchange::Exchange;
use crate::session::engine::recovery::{Phase, Recovery, Request, Start};
use crate::session::engine::running::{Job, Running};
use crate::session::engine::task::Task;
use crate::session::engine::verdict::{Sending, Stuck};
use crate::session::engine::words::{
    CAUSALLY, GUARD_OFF, GUARD_ON, NO_INSERT_ID, NOW, ROLLBACK, SET_OPTION, query,
};
use crate::session::plan::Doubt;
use crate::session::state::link_facts::LinkFacts;
use crate::session::state::session_state::SessionState;
use crate::session::state::settings::State;

impl Recovery {
    /// Appends the next request to `out`. [`Sending::Nothing`]: the way is at its end.
    pub(in crate::session::engine) fn next_request(
        &mut self,
        exchange: &mut Exchange,
        session: &mut SessionState,
        link: &LinkFacts,
        out: &mut Vec<u8>,
    ) -> Sending {
        if std::mem::take(&mut self.pause) {
            return Sending::Pause(exchange.attempt.tries);
        }
        loop {
            if let Some(Request { task, mut payload }) = self.queue.pop_front() {
                if payload.get(1..) == Some(NOW) && !session.settings.sets_timestamp() {
                    payload = query(NO_INSERT_ID);
                }
                let command = Command::from_byte(payload.first().copied().unwrap_or_default());
                packet::frame(&payload, 0, out);
                let mark = exchange.reply.mark();
                let job = Job::Task(task);
                exchange.running = Some(Running::new(command, link.capabilities, job, mark));
                return Sending::Request;
            }
            match self.phase {
                Phase::Barrier => {
                    self.phase = Phase::Setup;
                    self.barrier(session, link);
                    if self.start != Start::NewLink {
                        // Without autocommit, the client's or ours, it has opened a transaction with what it read.
                        self.push(Task::Attempt, query(ROLLBACK));
                    }
                    if !self.reads_barrier() {
                        if session.fence.is_in_doubt() {
                            return Sending::Stuck(Stuck::Doubt(Doubt::Unfenced));
                        }
                        exchange.was_undone(session);
                    }
                }
                Phase::Setup => {
                    if self.start == Start::RolledBack {
                        exchange.was_undone(session);
                    }
                    self.phase = Phase::Replay;
                    self.set_up(exchange, session, link);
                }
                Phase::Replay => match self.replay(exchange, session) {
                    Sending::Nothing => {}
                    sending => return sending,
                },
                Phase::Over => return Sending::Nothing,
            }
        }
    }

    fn barrier(&mut self, session: &SessionState, link: &LinkFacts) {
        let read = session.fence.query().filter(|_| session.fence.is_available());
        self.reads_fence = read.is_some();
        let sql = match (read, link.galera) {
            (Some(read), true) => format!("{CAUSALLY}{read}"),
            (Some(read), false) => read,
            (None, true) => format!("{CAUSALLY}SELECT 1"),
            (None, false) => return,
        };
        self.push(Task::Barrier, query(&sql));
    }

    fn reads_barrier(&self) -> bool {
        self.queue.iter().any(|request| matches!(request.task, Task::Barrier))
    }

    fn set_up(&mut self, exchange: &Exchange, session: &mut SessionState, link: &LinkFacts) {
        if session.unguarded && session.guard.is_on() {
            self.push(Task::Must, query(GUARD_OFF));
            session.guard.turned(false);
        }
        let pending = exchange.has_pending(session);
        let again = session.records > 0 || pending;
        let now = session.settings.now();
        // The transaction to be done again may have begun with other settings than those it has made since.
        let begun = if exchange.failed { now.clone() } else { exchange.beginning(session) };
        let moved = *begun != *now || begun.is_for_one_transaction();
        let fresh = self.start == Start::NewLink;
        let present = match fresh {
            true => Some(State::of_login(link.schema.clone())),
            false if self.unsettled => None,
            false => Some(now.clone()),
        };
        // A link that is kept lacks those alone that the client has closed within what is done again.
        let statements = match fresh {
            true => session.settings.statement_ids(),
            false if again => session.settings.closed_ids(),
            false => Vec::new(),
        };
        let staged = self.prepare(statements, present, &begun, session, link);
        if fresh || self.unsettled || moved || staged.is_some() {
            let schema = staged.map_or_else(|| link.schema.clone(), |staged| staged.schema.clone());
            self.push_setup(&begun, session, link, schema.as_deref().filter(|_| fresh));
        }
        if fresh {
            self.multi = Some(link.capabilities.contains(Capabilities::MULTI_STATEMENTS));
        } else if !self.unsettled {
            self.multi = Some(session.takes_several_now());
        }
        self.put_insert_id_back(exchange, &begun, &now);
        if !exchange.failed && !pending {
            // The command in hand will set its variables anew.
            session.settings.go_back(exchange.state.clone());
        }
        if again {
            let guard = &session.guard;
            if guard.is_available() && !guard.is_on() && exchange.autocommits(session) {
                self.push(Task::Guard, query(GUARD_ON));
            }
            self.set_multi(true, session);
        } else {
            self.set_multi(session.takes_several(), session);
        }
    }

    /// Makes `LAST_INSERT_ID()` what it was. A link that is kept knows that better than we, who know what was
    /// told: it is left alone where what was undone has not changed it.
    fn put_insert_id_back(&mut self, exchange: &Exchange, begun: &State, now: &State) {
        let id = begun.last_insert_id;
        // A statement that the server gave up may have been given an id that nobody was told, and a link that
        // was met in this exchange has the one that we gave it.
        let unclear =
            self.start == Start::RolledBack || self.unsettled || exchange.attempt.has_moved();
        let unclear = unclear && !begun.insert_id_is_hidden;
        let changed = match self.start == Start::NewLink {
            true => id != 0,
            false => !exchange.failed && (now.last_insert_id != id || unclear),
        };
        if changed {
            self.push(Task::Must, query(format!("SET last_insert_id={id}")));
        }
    }

    /// Database and variables, where the link's database is `schema`.
    fn push_setup(
        &mut self,
        setup: &State,
        session: &mut SessionState,
        link: &LinkFacts,
        schema: Option<&[u8]>,
    ) {
        if setup.schema.as_deref() != schema
            && let Some(schema) = &setup.schema
        {
            self.push(Task::Must, [&[INIT_DB], &schema[..]].concat());
        }
        if let Some(sql) = setup.set_variables(link.backslashes) {
            self.push(Task::Settings(setup.clone()), query(sql));
        }
        if let Some(sql) = setup.set_role() {
            self.push(Task::Must, query(sql));
        }
        for sql in setup.set_characteristics() {
            self.push(Task::Must, query(sql));
        }
        if setup.sets_autocommit() {
            // To the client's own, whatever it is now.
            session.guard.turned(false);
        }
    }

    /// Prepares statements of the client's anew, each in the state of the session that it was prepared in. The link is in
    /// the state `present`, if that is known. Returns the state that it is in then, where that is another one.
    fn prepare(
        &mut self,
        ids: Vec<u32>,
        present: Option<State>,
        begun: &State,
        session: &SessionState,
        link: &LinkFacts,
    ) -> Option<State> {
        let mut known = present.map(|present| present.for_preparing());
        let mut staged: Option<State> = None;
        for id in ids {
            let Some(statement) = session.settings.statement(id) else { continue };
            let setup = statement.setup.for_preparing();
            if known.as_ref().is_none_or(|known| **known != *setup) {
                let schema = known.as_ref().and_then(|known| known.schema.as_ref());
                if let Some(name) = setup.schema.as_ref().filter(|name| schema != Some(name)) {
                    self.push(Task::Stage(id), [&[INIT_DB], &name[..]].concat());
                }
                if let Some(sql) = setup.set_role() {
                    self.push(Task::Stage(id), query(sql));
                }
                self.unset(known.as_ref(), &setup);
                if let Some(sql) = setup.set_variables(link.backslashes) {
                    self.push(Task::Settings(setup.clone()), query(sql));
                }
                known = Some(setup.clone());
                staged = Some(setup);
            }
            let payload = [&[STMT_PREPARE], &statement.sql[..]].concat();
            self.push(Task::Prepare(id), payload);
        }
        self.unset(staged.as_ref(), &begun.for_preparing());
        staged
    }

    /// Gives the variables that are set in `staged`, and not in `next`, the values of the login.
    fn unset(&mut self, staged: Option<&State>, next: &State) {
        for sql in staged.into_iter().flat_map(|staged| staged.unset(next)) {
            self.push(Task::Attempt, query(sql));
        }
    }

    /// The variables of `setup` could not be set in one statement: each is tried by itself, before anything else.
    pub(in crate::session::engine) fn set_each(&mut self, setup: &State, backslashes: bool) {
        for (name, sql) in Vec::from_iter(setup.set_each(backslashes)).into_iter().rev() {
            let value = setup.value(&name).unwrap_or_default().to_vec();
            let task = Task::Setting { name, value, again: false };
            self.queue.push_front(Request { task, payload: query(sql) });
        }
    }

    /// One variable is tried in another way.
    pub(in crate::session::engine) fn set_otherwise(
        &mut self,
        name: Vec<u8>,
        value: Vec<u8>,
        sql: Vec<u8>,
    ) {
        let task = Task::Setting { name, value, again: true };
        self.queue.push_front(Request { task, payload: query(sql) });
    }

    /// The state for the client's statement of this number cannot be brought about: it is not prepared.
    pub(in crate::session::engine) fn leave_out(&mut self, id: u32) {
        self.queue.retain(|request| !matches!(request.task, Task::Prepare(other) if other == id));
    }

    pub(super) fn set_multi(&mut self, multi: bool, session: &mut SessionState) {
        if self.multi != Some(multi) {
            self.multi = Some(multi);
            session.several.turned(multi);
            self.push(Task::Must, vec![SET_OPTION, u8::from(!multi), 0]);
        }
    }
}

const INIT_DB: u8 = 0x02;
const STMT_PREPARE: u8 = 0x16;
