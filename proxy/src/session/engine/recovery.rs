//! The way back after a loss: what is sent on a link before the client's command goes on.
//!
//! ```text
//!              new link                    same link
//!                 │                            │ ROLLBACK
//!                 ▼                            ▼
//!              Barrier ──── committed? ──► (told, the rest goes on)
//!                 │ not committed
//!                 ▼
//!               Setup        variables, database, LAST_INSERT_ID(); on a new link, prepared statements
//!                 ▼
//!               Replay       the journal, record by record; every answer is compared
//!                 ▼
//!                Over ──► the step in hand, with a fence before it
//! ```
//!
//! The barrier is a causal read: what the lost node committed, and said so, may not have been applied
//! here yet. It reads the fence, so that it also tells what became of a COMMIT in doubt.
//!
//! A loss on the way begins it anew on the next link; nothing of the journal is used up.

use std::collections::VecDeque;

use ido_proxy_protocol::capabilities::Capabilities;
use ido_proxy_protocol::command::Command;
use ido_proxy_protocol::packet::{self};

use super::exchange::{Exchange, GUARD_OFF, GUARD_ON, ROLLBACK};
use super::policy::Why;
use super::running::{Job, Running};
use super::{COM_QUERY, SET_OPTION, Sending, Stuck};
use crate::session::plan::Doubt;
use crate::session::state::book::State;
use crate::session::state::carried::Carried;
use crate::session::state::journal::record::Told;
use crate::session::state::link_facts::LinkFacts;

use self::replay::Place;

mod answers;
mod replay;

/// Where the way back stands.
#[derive(Debug)]
pub(super) struct Recovery {
    phase: Phase,
    queue: VecDeque<Request>,
    start: Start,
    /// A short wait first, so that those who deadlocked do not meet again.
    pub(super) pause: bool,
    /// Whether the link takes several statements in one text now.
    multi: Option<bool>,
    place: Place,
    /// The barrier reads the fence.
    reads_fence: bool,
    /// Rows that the barrier read so far.
    rows: Vec<u8>,
    /// The link may be in any state that the session was in: a replay was broken off on it.
    pub(super) unsettled: bool,
}

/// Where a recovery begins.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Start {
    /// On a new link: everything is to be set up.
    NewLink,
    /// On the same link, and the fence tells what was committed.
    InDoubt,
    /// On the same link: the server has rolled back what is to be done again.
    RolledBack,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Phase {
    Barrier,
    Setup,
    Replay,
    Over,
}

#[derive(Debug)]
struct Request {
    task: Task,
    payload: Vec<u8>,
}

/// Purpose of a request of the way back.
#[derive(Clone, Debug)]
pub(super) enum Task {
    /// Statement that need not succeed.
    Attempt,
    /// Reads the fence, once all that was committed is applied.
    Barrier,
    /// Statement that must succeed.
    Must,
    /// Gives the link the variables of this state, all in one statement.
    Settings(State),
    /// Gives it this one variable, with this value; by another name, or as NULL, if it was tried otherwise before.
    Setting {
        /// Name of the variable.
        name: Vec<u8>,
        /// Value of the variable.
        value: Vec<u8>,
        /// The second try.
        again: bool,
    },
    /// Brings the link into the state in which the client's statement of this number was prepared.
    Stage(u32),
    /// Turns the guard on.
    Guard,
    /// The client's prepared statement of this number.
    Prepare(u32),
    /// Statements that were done already.
    Replay {
        /// Results that the statements told; `None` stands for one of ours between them.
        expected: Vec<Option<Told>>,
        /// Whether the client knows.
        known: bool,
    },
}

impl Recovery {
    /// On a new link. `ghost` is the thread of the link before, if that was to the same node: it may
    /// still hold locks.
    pub(super) fn on_new_link(ghost: Option<u32>) -> Self {
        let mut recovery = Self::new(Phase::Barrier, Start::NewLink);
        if let Some(thread) = ghost {
            recovery.push(Task::Attempt, query(format!("KILL {thread}")));
        }
        recovery
    }

    /// On the same link, for this reason.
    pub(super) fn of(why: Why, carried: &Carried) -> Self {
        match why {
            Why::RolledBack => Self::rolled_back(),
            Why::InDoubt => Self::in_doubt(),
            Why::Hearsay | Why::Anew | Why::Overtaken => Self::in_doubt_or_not(carried),
        }
    }

    /// On the same link, after a COMMIT that the server refused, maybe.
    pub(super) fn in_doubt() -> Self {
        let mut recovery = Self::new(Phase::Barrier, Start::InDoubt);
        recovery.pause = true;
        // A replay that was broken off has set it.
        recovery.push(Task::Attempt, query(NOW));
        recovery.push(Task::Attempt, query(ROLLBACK));
        recovery
    }

    /// On the same link, after the server rolled the transaction back.
    pub(super) fn rolled_back() -> Self {
        Self { phase: Phase::Setup, start: Start::RolledBack, ..Self::in_doubt() }
    }

    /// On the same link, to do the open transaction again without the guard.
    pub(super) fn unguarding() -> Self {
        Self { pause: false, ..Self::rolled_back() }
    }

    /// On the same link, after we have rolled back ourselves.
    pub(super) fn in_doubt_or_not(carried: &Carried) -> Self {
        if carried.fence.is_in_doubt() { Self::in_doubt() } else { Self::rolled_back() }
    }

    /// Nothing but a rollback, on the same link. A replay that was broken off has left it in the state in
    /// which the transaction began.
    fn giving_up() -> Self {
        Self { phase: Phase::Setup, pause: false, unsettled: true, ..Self::in_doubt() }
    }

    fn new(phase: Phase, start: Start) -> Self {
        Self {
            phase,
            queue: VecDeque::new(),
            start,
            pause: false,
            multi: None,
            place: Place::default(),
            reads_fence: false,
            rows: Vec::new(),
            unsettled: false,
        }
    }

    fn push(&mut self, task: Task, payload: Vec<u8>) {
        self.queue.push_back(Request { task, payload });
    }

    /// Appends the next request to `out`. [`Sending::Nothing`]: the way is at its end.
    pub(super) fn next_request(
        &mut self,
        exchange: &mut Exchange,
        carried: &mut Carried,
        link: &LinkFacts,
        out: &mut Vec<u8>,
    ) -> Sending {
        if std::mem::take(&mut self.pause) {
            return Sending::Pause(exchange.tries);
        }
        loop {
            if let Some(Request { task, mut payload }) = self.queue.pop_front() {
                if payload.get(1..) == Some(NOW) && !carried.book.sets_timestamp() {
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
                    self.barrier(carried, link);
                    if self.start != Start::NewLink {
                        // Without autocommit, the client's or ours, it has opened a transaction with what it read.
                        self.push(Task::Attempt, query(ROLLBACK));
                    }
                    if !self.reads_barrier() {
                        if carried.fence.is_in_doubt() {
                            return Sending::Stuck(Stuck::Doubt(Doubt::Unfenced));
                        }
                        exchange.was_undone(carried);
                    }
                }
                Phase::Setup => {
                    if self.start == Start::RolledBack {
                        exchange.was_undone(carried);
                    }
                    self.phase = Phase::Replay;
                    self.set_up(exchange, carried, link);
                }
                Phase::Replay => match self.replay(exchange, carried) {
                    Sending::Nothing => {}
                    sending => return sending,
                },
                Phase::Over => return Sending::Nothing,
            }
        }
    }

    fn barrier(&mut self, carried: &Carried, link: &LinkFacts) {
        let read = carried.fence.query().filter(|_| carried.fence.is_available());
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

    fn set_up(&mut self, exchange: &Exchange, carried: &mut Carried, link: &LinkFacts) {
        if carried.unguarded && carried.guard.is_on() {
            self.push(Task::Must, query(GUARD_OFF));
            carried.guard.turned(false);
        }
        let pending = exchange.has_pending(carried);
        let again = carried.records > 0 || pending;
        let now = carried.book.now();
        // The transaction to be done again may have begun with other settings than those it has made since.
        let begun = if exchange.failed { now.clone() } else { exchange.beginning(carried) };
        let moved = *begun != *now || begun.is_for_one_transaction();
        let fresh = self.start == Start::NewLink;
        let mut schema = link.schema.clone().filter(|_| fresh);
        if fresh {
            self.prepare(&begun, carried, link, &mut schema);
        }
        if fresh || self.unsettled || moved {
            self.push_setup(&begun, carried, link, schema.as_deref());
        }
        if fresh {
            self.multi = Some(link.capabilities.contains(Capabilities::MULTI_STATEMENTS));
        } else if !self.unsettled {
            self.multi = Some(carried.takes_several_now());
        }
        self.put_insert_id_back(exchange, &begun, &now);
        if !exchange.failed && !pending {
            // The command in hand will set its variables anew.
            carried.book.go_back(exchange.state.clone());
        }
        if again {
            let guard = &carried.guard;
            if guard.is_available() && !guard.is_on() {
                if exchange.autocommits(carried) {
                    self.push(Task::Guard, query(GUARD_ON));
                } else if !carried.book.autocommit() && !begun.turns_autocommit_off() {
                    // The client turned it off in the course of what is done again, which leaves it so.
                    self.push(Task::Must, query(GUARD_ON));
                }
            }
            self.set_multi(true, carried);
        } else {
            self.set_multi(carried.takes_several(), carried);
        }
    }

    /// Makes `LAST_INSERT_ID()` what it was. A link that is kept knows that better than we, who know what was
    /// told: it is left alone where what was undone has not changed it.
    fn put_insert_id_back(&mut self, exchange: &Exchange, begun: &State, now: &State) {
        let id = begun.last_insert_id;
        // A statement that the server gave up may have been given an id that nobody was told, and a link that
        // was met in this exchange has the one that we gave it.
        let unclear =
            self.start == Start::RolledBack || self.unsettled || exchange.lost || exchange.left;
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
        carried: &mut Carried,
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
            carried.guard.turned(false);
        }
    }

    /// Prepares the client's statements anew, each in the state of the session that it was prepared in, where that is
    /// not the state that the link is set up in. `schema` is the link's database.
    fn prepare(
        &mut self,
        begun: &State,
        carried: &Carried,
        link: &LinkFacts,
        schema: &mut Option<Vec<u8>>,
    ) {
        let statements = || {
            let ids = carried.book.statement_ids().into_iter();
            ids.filter_map(|id| Some((id, carried.book.statement(id)?)))
        };
        let differs = statements().any(|(_, statement)| *statement.setup != **begun);
        let mut staged: Option<&State> = None;
        for (id, statement) in statements() {
            let setup = &statement.setup;
            if differs && staged.is_none_or(|staged| **staged != **setup) {
                if setup.schema != *schema
                    && let Some(name) = &setup.schema
                {
                    self.push(Task::Stage(id), [&[INIT_DB], &name[..]].concat());
                    *schema = Some(name.clone());
                }
                if let Some(sql) = setup.set_variables(link.backslashes) {
                    self.push(Task::Settings(setup.clone()), query(sql));
                }
                staged = Some(setup);
            }
            let payload = [&[STMT_PREPARE], &statement.sql[..]].concat();
            self.push(Task::Prepare(id), payload);
        }
    }

    /// The variables of `setup` could not be set in one statement: each is tried by itself, before anything else.
    pub(super) fn set_each(&mut self, setup: &State, backslashes: bool) {
        for (name, sql) in Vec::from_iter(setup.set_each(backslashes)).into_iter().rev() {
            let value = setup.value(&name).unwrap_or_default().to_vec();
            let task = Task::Setting { name, value, again: false };
            self.queue.push_front(Request { task, payload: query(sql) });
        }
    }

    /// One variable is tried in another way.
    pub(super) fn set_otherwise(&mut self, name: Vec<u8>, value: Vec<u8>, sql: Vec<u8>) {
        let task = Task::Setting { name, value, again: true };
        self.queue.push_front(Request { task, payload: query(sql) });
    }

    /// The state for the client's statement of this number cannot be brought about: it is not prepared.
    pub(super) fn leave_out(&mut self, id: u32) {
        self.queue.retain(|request| !matches!(request.task, Task::Prepare(other) if other == id));
    }

    fn set_multi(&mut self, multi: bool, carried: &mut Carried) {
        if self.multi != Some(multi) {
            self.multi = Some(multi);
            carried.several.turned(multi);
            self.push(Task::Must, vec![SET_OPTION, u8::from(!multi), 0]);
        }
    }
}

pub(super) fn query(sql: impl AsRef<[u8]>) -> Vec<u8> {
    [&[COM_QUERY], sql.as_ref()].concat()
}

/// One read that waits until the node has applied whatever the cluster has committed.
///
/// Source: MariaDB documentation, "Galera Cluster System Variables" (`wsrep_sync_wait`).
const CAUSALLY: &str = "SET STATEMENT wsrep_sync_wait=15 FOR ";

/// Ends what a replay has set: its time, and an id.
const NOW: &[u8] = b"SET timestamp=DEFAULT, insert_id=0";
/// Ends what a replay has set, where the time cannot be set.
const NO_INSERT_ID: &[u8] = b"SET insert_id=0";

const INIT_DB: u8 = 0x02;
const STMT_PREPARE: u8 = 0x16;
