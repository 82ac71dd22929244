//! The replay: what was done in the open transaction is done again, and its answers are compared.

use ido_proxy_protocol::command::Command;

use crate::session::engine::exchange::Exchange;
use crate::session::engine::exchange::payload::translate;
use crate::session::engine::recovery::{Phase, Recovery, Request};
use crate::session::engine::task::Task;
use crate::session::engine::verdict::{Sending, Stuck};
use crate::session::engine::words::{NOW, query};
use crate::session::plan::blocker::Blocker;
use crate::session::plan::{LONG, reads_last_statement};
use crate::session::state::journal::record::{Record, Told};
use crate::session::state::journal::store::Fetch;
use crate::session::state::session_state::SessionState;
use crate::session::state::settings::statement_id;

/// Statements of one request, and the results that they are to have: none of ours, which are SETs.
#[derive(Default)]
struct Batch {
    sql: Vec<u8>,
    expected: Vec<Option<Told>>,
}

impl Recovery {
    /// Puts the next part of the journal into the queue, or ends the replay.
    pub(super) fn replay(&mut self, exchange: &Exchange, session: &mut SessionState) -> Sending {
        if session.records == 0 && !exchange.has_pending(session) {
            self.phase = Phase::Over;
            return Sending::Nothing;
        }
        if let Some(reason) = session.unreplayable() {
            // The journal is not complete.
            return Sending::Stuck(Stuck::Blocker(reason));
        }
        let fetched = match session.records {
            0 => Fetch::End,
            _ => session.journal.peek(&self.place.cursor),
        };
        match fetched {
            Fetch::Record(bytes) => {
                let Ok(record) = Record::decode(bytes) else {
                    return Sending::Stuck(Stuck::Blocker(Blocker::JournalFull));
                };
                let done = match record.command {
                    Command::Query => self.replay_texts(&record, true, session),
                    command => {
                        let payload = record.payload.to_vec();
                        let (told, at) = (record.told, record.at);
                        self.replay_command(command, &payload, &told, at, session);
                        true
                    }
                };
                if done {
                    session.journal.advance(&mut self.place.cursor);
                }
            }
            Fetch::Load => return Sending::Journal(self.place.cursor),
            Fetch::Lost(overflow) => {
                tracing::warn!(%overflow, "the journal is lost");
                return Sending::Stuck(Stuck::Blocker(Blocker::JournalFull));
            }
            Fetch::End => match exchange.pending(self.place.pending, session) {
                Some(record) => {
                    let done = self.replay_texts(&record, false, session);
                    self.place.pending += usize::from(done);
                }
                None => {
                    // A BEGIN that moves with its session is none.
                    let empty = session.transaction.is_clean() && self.place.pending == 0;
                    session.tally.replays += u64::from(!empty);
                    self.push(Task::Must, query(NOW));
                    self.set_multi(session.takes_several(), session);
                    self.phase = Phase::Over;
                }
            },
        }
        Sending::Nothing
    }

    /// Puts a prepared statement, or a change of the database, into the queue, with its time and its id.
    fn replay_command(
        &mut self,
        command: Command,
        payload: &[u8],
        told: &[Told],
        at: u64,
        session: &mut SessionState,
    ) {
        if told.first().is_some_and(|told| told.says_nothing()) {
            return;
        }
        // 0 is none.
        let id = told.first().and_then(|told| told.id()).unwrap_or_default();
        self.place.id_is_set = id != 0;
        let time = match session.settings.sets_timestamp() {
            true => format!("timestamp={}, ", seconds(at)),
            false => String::new(),
        };
        let byte = command.byte().unwrap_or_default();
        let mut payload = [&[byte], payload].concat();
        let expected = told.iter().copied().map(Some).collect();
        // A statement of ours in between would be the last one.
        let alone = statement_id(&payload)
            .and_then(|id| session.settings.statement(id))
            .is_some_and(|statement| reads_last_statement(&statement.sql));
        translate(command, &mut payload, &mut session.settings);
        if !alone {
            self.push(Task::Must, query(format!("SET {time}insert_id={id}")));
        }
        self.push(Task::Replay { expected, known: true }, payload);
    }

    /// Puts the statements of a record from the next one on, up to a good size, into the queue, with their time and their
    /// ids. `known` says whether the client was told of them; each is a request of its own in a session whose guard
    /// would be seen. Returns whether the record is at its end.
    fn replay_texts(&mut self, record: &Record<'_>, known: bool, session: &SessionState) -> bool {
        let apart = session.unguarded;
        let whole = [(0, record.payload.len() as u32)];
        let bounds = if record.bounds.is_empty() { &whole[..] } else { &record.bounds };
        let text = |bound: &(u32, u32)| record.payload.get(bound.0 as usize..bound.1 as usize);
        let mut batch = Batch::default();
        let first = bounds.get(self.place.statement).and_then(text);
        if session.settings.sets_timestamp()
            && self.place.statement == 0
            && !first.is_some_and(reads_last_statement)
        {
            batch.set(&format!("timestamp={}", seconds(record.at)));
        }
        while let (Some(told), bound) =
            (record.told.get(self.place.statement), bounds.get(self.place.statement))
        {
            self.place.statement += 1;
            if told.says_nothing() {
                continue;
            }
            let sql = bound.and_then(text);
            match told.id() {
                Some(id) => {
                    batch.set(&format!("insert_id={id}"));
                    self.place.id_is_set = true;
                }
                // The statement before may have told an id that it did not generate, and left it for this.
                None if self.place.id_is_set && sql.is_some_and(may_insert) => {
                    batch.set("insert_id=0");
                    self.place.id_is_set = false;
                }
                None => {}
            }
            if let Some(sql) = sql {
                if (apart || sql.len() >= LONG) && !batch.expected.is_empty() {
                    // With anything beside it, it might be longer than the server takes; or, without the guard, be done
                    // though what is beside it was aborted.
                    let ours = std::mem::take(&mut batch);
                    self.queue.push_back(ours.request(known));
                }
                batch.put(sql);
            }
            batch.expected.push(Some(*told));
            if apart || batch.sql.len() >= GOOD_SIZE {
                break;
            }
        }
        if !batch.expected.is_empty() {
            self.queue.push_back(batch.request(known));
        }
        let done = self.place.statement >= record.told.len();
        if done {
            self.place.statement = 0;
        }
        done
    }
}

impl Batch {
    /// Adds a SET of ours. Those that follow each other are one statement: of two, the first might be aborted without a
    /// word.
    fn set(&mut self, assignment: &str) {
        if let Some(None) = self.expected.last() {
            self.sql.extend_from_slice(b", ");
            return self.sql.extend_from_slice(assignment.as_bytes());
        }
        self.put(&[b"SET ", assignment.as_bytes()].concat());
        self.expected.push(None);
    }

    /// Adds a statement.
    fn put(&mut self, sql: &[u8]) {
        if !self.expected.is_empty() {
            self.sql.push(b';');
        }
        self.sql.extend_from_slice(sql);
    }

    fn request(self, known: bool) -> Request {
        let Self { sql, expected } = self;
        Request { task: Task::Replay { expected, known }, payload: query(sql) }
    }
}

/// Whether a statement may add a row: most of Icinga's do not, by their first word.
fn may_insert(sql: &[u8]) -> bool {
    let word = sql.trim_ascii_start().get(..6).unwrap_or_default();
    let others = [b"UPDATE", b"DELETE", b"SELECT"];
    !others.iter().any(|other| word.eq_ignore_ascii_case(*other)) && !reads_last_statement(sql)
}

fn seconds(micros: u64) -> String {
    format!("{}.{:06}", micros / 1_000_000, micros % 1_000_000)
}

/// Bytes of a request from which on the next statement goes into another one.
const GOOD_SIZE: usize = LONG;
