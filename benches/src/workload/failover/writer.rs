//! A client that writes batches as Icinga does, in a thread of its own, until it is told to end.
//!
//! Icinga does not send again what met an error, and connects anew. It does so every 10 s; this
//! client is in a hurry.

use std::fmt::Write as _;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use lab::wait::{Look, wait_until};

use super::account::Record;
use crate::client::{Client, Cutter, Endpoint, query};
use crate::error::{BenchError, Context, Result};

/// The work of a client: what to write, and where.
#[derive(Clone, Debug)]
pub(super) struct Task {
    /// The table that is its own, with the columns `token` and `output`.
    pub(super) table: String,
    /// Where it connects.
    pub(super) endpoint: Endpoint,
    /// Rows of one batch, each by a statement of its own.
    pub(super) statements: u32,
}

/// A client that writes. Dropping it ends it wherever it is.
pub(super) struct Writer {
    shared: Arc<Shared>,
    /// Dropped to wake it where it waits before it connects again.
    alarm: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Writer {
    /// Lets it begin.
    ///
    /// # Errors
    /// When there is no thread for it.
    pub(super) fn start(task: Task) -> Result<Self> {
        let shared = Arc::new(Shared::default());
        let (alarm, alarmed) = channel();
        let name = task.table.clone();
        let thread = {
            let shared = Arc::clone(&shared);
            let work = move || write(&task, &shared, &alarmed);
            thread::Builder::new().name(name).spawn(work)
        };
        let thread = thread.context(|| "starting a client".into())?;
        Ok(Self { shared, alarm: Some(alarm), thread: Some(thread) })
    }

    /// Looks at what it was told so far.
    pub(super) fn look<T>(&self, look: impl FnOnce(&Record) -> T) -> T {
        look(&self.shared.state().record)
    }

    /// Lets it end its batch, for at most `patience`; then its connection is cut. Returns what it
    /// was told.
    pub(super) async fn end(mut self, patience: Duration) -> Record {
        self.shared.state().phase = Phase::Ends;
        drop(self.alarm.take());
        let ended = wait_until("the end of a client", patience, None, async || {
            match self.thread.as_ref().is_none_or(JoinHandle::is_finished) {
                true => Look::Done(()),
                false => Look::NotYet("it waits for an answer".into()),
            }
        });
        // If it is late, it will be cut.
        let _ = ended.await;
        self.cut();
        std::mem::take(&mut self.shared.state().record)
    }

    fn cut(&mut self) {
        drop(self.alarm.take());
        {
            let mut state = self.shared.state();
            state.phase = Phase::Cut;
            if let Some(cutter) = &state.cutter {
                cutter.cut();
            }
        }
        if let Some(thread) = self.thread.take() {
            // A panic of the thread has been printed already.
            let _ = thread.join();
        }
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.cut();
    }
}

/// State that the thread and its owner both see.
#[derive(Default)]
struct Shared(Mutex<State>);

#[derive(Default)]
struct State {
    record: Record,
    phase: Phase,
    /// Ends the connection of now, or the one before.
    cutter: Option<Cutter>,
}

#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
enum Phase {
    /// The thread writes one batch after the other.
    #[default]
    Writes,
    /// The thread shall begin no further batch.
    Ends,
    /// The connection is cut: errors from now on say nothing.
    Cut,
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes what ends the new connection.
    fn tie(&self, cutter: Cutter) {
        let mut state = self.state();
        if state.phase == Phase::Cut {
            cutter.cut();
        }
        state.cutter = Some(cutter);
    }

    /// The number of the next batch, if there shall be one. It counts as sent.
    fn next(&self) -> Option<u64> {
        let mut state = self.state();
        (state.phase == Phase::Writes).then(|| {
            state.record.sent += 1;
            state.record.sent - 1
        })
    }

    fn acknowledge(&self, batch: u64) {
        let now = Instant::now();
        self.state().record.acknowledged.push((batch, now));
    }

    /// Takes in an error. Returns whether to go on.
    fn fail(&self, error: &BenchError) -> bool {
        let mut state = self.state();
        if state.phase != Phase::Cut {
            state.record.errors.push(error.to_string());
        }
        state.phase == Phase::Writes
    }
}

fn write(task: &Task, shared: &Shared, alarmed: &Receiver<()>) {
    loop {
        match session(task, shared) {
            Ok(()) => return,
            Err(error) if !shared.fail(&error) => return,
            Err(_) => {}
        }
        if alarmed.recv_timeout(AGAIN) != Err(RecvTimeoutError::Timeout) {
            return;
        }
    }
}

/// Writes on one connection until told to end, or until an error.
fn session(task: &Task, shared: &Shared) -> Result<()> {
    let mut client = Client::connect_tied(&task.endpoint, |cutter| shared.tie(cutter))?;
    for statement in OPENING {
        client.run(&query(statement))?;
    }
    while let Some(batch) = shared.next() {
        let reply = client.run(&query(&task.text(batch)))?;
        // COMMIT and BEGIN are answered too.
        if reply.results != task.statements + 2 {
            let (results, endpoint) = (reply.results, &task.endpoint);
            let why = format!("{endpoint}: {results} answers to a batch of {}", task.statements);
            return Err(BenchError::Refused(why));
        }
        shared.acknowledge(batch);
    }
    Ok(())
}

impl Task {
    /// Batch `batch`: one command, whose tokens no other batch has.
    fn text(&self, batch: u64) -> String {
        let statements = u64::from(self.statements);
        let table = &self.table;
        let mut text = String::with_capacity(self.statements as usize * 160);
        for token in batch * statements..(batch + 1) * statements {
            let _ =
                write!(text, "INSERT INTO {table} (token, output) VALUES ({token}, '{OUTPUT}');");
        }
        text.push_str("COMMIT;BEGIN");
        text
    }
}

/// Statements of Icinga after its login.
const OPENING: [&str; 3] =
    ["SET SESSION TIME_ZONE='+00:00'", "SET SESSION SQL_MODE='NO_AUTO_VALUE_ON_ZERO'", "BEGIN"];

const OUTPUT: &str = "PING OK - Packet loss = 0%, RTA = 0.35 ms";

/// From an error to the next attempt.
const AGAIN: Duration = Duration::from_millis(100);

#[cfg(test)]
mod tests {
    use super::*;

    fn task(statements: u32, endpoint: Endpoint) -> Task {
        Task { table: "t".into(), endpoint, statements }
    }

    /// A token that is used twice would look like a row that was written twice.
    #[test]
    fn every_batch_has_tokens_of_its_own() {
        let task = task(2, Endpoint::Unix("/nowhere".into()));
        let tokens = |batch| {
            let text = task.text(batch);
            assert!(text.ends_with("');COMMIT;BEGIN"), "{text}");
            let values = text.split("VALUES (").skip(1);
            let tokens = values.filter_map(|values| values.split(',').next()?.parse::<u64>().ok());
            tokens.collect::<Vec<_>>()
        };
        assert_eq!((tokens(0), tokens(1), tokens(7)), (vec![0, 1], vec![2, 3], vec![14, 15]));
    }

    /// A client that hangs in its login, or is refused again and again, must not hold up the bench.
    #[tokio::test]
    async fn a_client_ends_whatever_it_waits_for() {
        let silent = std::net::TcpListener::bind("127.0.0.1:0").expect("a port is free");
        let address = silent.local_addr().expect("it is bound");
        let nowhere = Endpoint::Unix("/nowhere/at/all".into());
        for endpoint in [Endpoint::Tcp(address), nowhere] {
            let hangs = matches!(endpoint, Endpoint::Tcp(_));
            let writer = Writer::start(task(1, endpoint)).expect("there is a thread");
            let record = writer.end(Duration::from_millis(100)).await;
            assert_eq!((record.sent, record.acknowledged.len()), (0, 0));
            // Our cut of the connection is not recorded as an error.
            assert!(record.errors.len() <= usize::from(!hangs), "{:?}", record.errors);
        }
    }
}
