//! A client that writes to the ledger until it is told to end, or meets an error.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use mysql_async::prelude::Queryable;
use mysql_async::{Conn, OptsBuilder};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

use super::{Pattern, Record, TOKENS};
use crate::error::{Context, LabError, LogTail, Result};
use crate::sql;
use crate::wait::{Look, wait_until};

/// A client that writes, in a task of its own. Dropping it ends it wherever it is.
#[derive(Debug)]
pub struct Writer {
    shared: Arc<Shared>,
    stop: watch::Sender<bool>,
    task: JoinHandle<()>,
    log: PathBuf,
}

impl Writer {
    pub(super) async fn start(
        number: u32,
        pattern: Pattern,
        account: OptsBuilder,
        log: PathBuf,
    ) -> Result<Self> {
        let account = pattern.account(account.client_found_rows(true))?;
        let mut conn = sql::connect(account).await?;
        for statement in pattern.opening() {
            conn.query_drop(*statement).await.context(|| (*statement).to_owned())?;
        }
        let record = Mutex::new(Record::new(number));
        let shared = Arc::new(Shared { number, record });
        let (stop, stopped) = watch::channel(false);
        let task = tokio::spawn(write(conn, pattern, Arc::clone(&shared), stopped));
        Ok(Self { shared, stop, task, log })
    }

    /// Waits until `transactions` more than now are acknowledged.
    ///
    /// # Errors
    /// When that takes longer than `deadline`, or it meets an error.
    pub async fn writes(&self, transactions: u64, deadline: Duration) -> Result<()> {
        let goal = self.shared.record().commits + transactions;
        let what = format!("{transactions} more transactions of writer {}", self.shared.number);
        wait_until(&what, deadline, Some(&self.log), async || {
            let record = self.shared.record();
            match &record.error {
                _ if record.commits >= goal => Look::Done(()),
                Some(error) => Look::Never(format!("the client got an error: {error}")),
                None => Look::NotYet(format!("{} of {goal}", record.commits)),
            }
        })
        .await
    }

    /// The writer's record so far. Effects in flight may be acknowledged the next moment.
    pub fn so_far(&self) -> Record {
        self.shared.record().clone()
    }

    /// Lets the writer end its transaction, and returns its record. An error that it met is in the record.
    ///
    /// # Errors
    /// The writer gets no reply within `deadline`.
    pub async fn end(mut self, deadline: Duration) -> Result<Record> {
        self.stop.send_replace(true);
        if timeout(deadline, &mut self.task).await.is_err() {
            let record = self.so_far();
            let seen = format!("{} transactions, then silence", record.commits);
            let what = format!("the end of writer {}", record.writer);
            let log = LogTail::of(&self.log);
            return Err(LabError::Deadline { what, after: deadline, seen, log });
        }
        Ok(self.so_far())
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// State that the task and its owner both see.
#[derive(Debug)]
pub(super) struct Shared {
    number: u32,
    record: Mutex<Record>,
}

impl Shared {
    pub(super) fn writer(&self) -> u32 {
        self.number
    }

    pub(super) fn record(&self) -> MutexGuard<'_, Record> {
        self.record.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn acknowledge(&self) {
        self.record().acknowledges();
    }
}

async fn write(
    mut conn: Conn,
    pattern: Pattern,
    shared: Arc<Shared>,
    mut stopped: watch::Receiver<bool>,
) {
    let mut next = u64::from(shared.number) * TOKENS;
    while !*stopped.borrow() {
        let effects = pattern.plan(&mut next);
        shared.record().sends(&effects);
        if let Err(failure) = pattern.send(&mut conn, &effects, &shared).await {
            shared.record().fails(failure.error.to_string(), failure.denied);
            return;
        }
        tokio::select! {
            () = sleep(PACE) => {}
            _ = stopped.changed() => {}
        }
    }
    let _ = conn.disconnect().await;
}

/// From a reply to the next transaction. Icinga takes a second.
const PACE: Duration = Duration::from_millis(20);
