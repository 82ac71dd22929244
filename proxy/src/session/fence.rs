//! The fence: one row of a session in the cluster, which tells whether its last transaction was
//! committed, and keeps a ghost from committing it too.
//!
//! A transaction that wrote also sets `seq` of its session from N-1 to N, before its COMMIT. If the
//! reply to the COMMIT is lost, `seq` tells the outcome: N, it was committed; N-1, it was not, or not
//! yet. In the second case it is done again, with the same change of the same row, so that Galera's
//! certification lets one of the two commit and never both.
//!
//! A session borrows its row, a [`Slot`], from the [`FencePool`] of the daemon. A slot goes back only
//! when the outcome of all that was sent with it is known: else a ghost could commit in another
//! session's name. Rows are named anew at each start of the daemon, for the same reason.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rand::Rng as _;

/// Where fences are kept and lent out.
#[derive(Debug)]
pub(crate) struct FencePool {
    /// `schema`.`fence`, quoted.
    table: String,
    /// Of this run of the daemon.
    instance: String,
    /// None are.
    closed: bool,
    next: AtomicU64,
    free: Mutex<Vec<Slot>>,
    /// All times count from here.
    start: Instant,
    /// When the table was last found to be missing, in milliseconds since `start`; 0: never.
    missed: AtomicU64,
}

/// One row, and what is known of it.
#[derive(Debug)]
struct Slot {
    name: String,
    /// The number of transactions committed under it; 0: there is no row yet.
    seq: u64,
}

impl FencePool {
    /// The pool of the table `fence` in `schema`, which is a plain name.
    pub(crate) fn new(schema: &str) -> Self {
        let id: u64 = rand::rng().random();
        Self {
            table: format!("`{schema}`.`fence`"),
            instance: format!("{id:016x}"),
            closed: false,
            next: AtomicU64::new(1),
            free: Mutex::default(),
            start: Instant::now(),
            missed: AtomicU64::new(0),
        }
    }

    /// Whether fences can be written, as far as is known. One that was missing is tried again after a while:
    /// somebody may have run `ido-proxy setup`.
    pub(crate) fn is_available(&self) -> bool {
        let missed = self.missed.load(Ordering::Relaxed);
        let missing =
            missed != 0 && self.now().saturating_sub(missed) <= TRIED_AGAIN.as_millis() as u64;
        !missing && !self.closed
    }

    /// The table is missing. Returns whether that is news.
    fn is_missing(&self) -> bool {
        self.missed.swap(self.now().max(1), Ordering::Relaxed) == 0
    }

    fn now(&self) -> u64 {
        self.start.elapsed().as_millis() as u64
    }

    fn take(&self) -> Slot {
        let free = self.free.lock().unwrap_or_else(PoisonError::into_inner).pop();
        free.unwrap_or_else(|| {
            let number = self.next.fetch_add(1, Ordering::Relaxed);
            Slot { name: format!("{}-{number}", self.instance), seq: 0 }
        })
    }

    fn give(&self, slot: Slot) {
        self.free.lock().unwrap_or_else(PoisonError::into_inner).push(slot);
    }
}

/// The errors that say that an account has no fence: ER_DBACCESS_DENIED_ERROR, ER_BAD_DB_ERROR,
/// ER_TABLEACCESS_DENIED_ERROR, ER_NO_SUCH_TABLE (MariaDB documentation, "MariaDB Error Codes").
pub(crate) const FENCELESS: [u16; 4] = [1044, 1049, 1142, 1146];

/// After how long a table that was missing is tried again.
const TRIED_AGAIN: Duration = Duration::from_secs(10);

/// The fence of one session.
#[derive(Debug)]
pub(crate) struct Fence {
    pool: Arc<FencePool>,
    slot: Option<Slot>,
    /// The open transaction has set it.
    set: bool,
    /// A COMMIT was sent, and its outcome is not known yet.
    in_doubt: bool,
}

/// What the row says after a COMMIT in doubt.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Outcome {
    /// It was committed.
    Committed,
    /// It was not, and no longer can be once the same is done again.
    NotCommitted,
    /// Somebody else changed or removed the row: nothing can be said.
    Unclear,
}

impl Fence {
    /// The fence of a session that has not written yet.
    pub(crate) fn new(pool: Arc<FencePool>) -> Self {
        Self { pool, slot: None, set: false, in_doubt: false }
    }

    /// The fence of a session that never writes: it cannot be used.
    pub(crate) fn none() -> Self {
        Self::new(Arc::new(FencePool { closed: true, ..FencePool::new("") }))
    }

    /// Whether it can be used.
    pub(crate) fn is_available(&self) -> bool {
        self.pool.is_available()
    }

    /// Whether the open transaction has set it already.
    pub(crate) fn is_set(&self) -> bool {
        self.set
    }

    /// Whether a COMMIT was sent whose outcome is not known yet.
    pub(crate) fn is_in_doubt(&self) -> bool {
        self.in_doubt
    }

    /// The statement that sets it; one affected row, or the transaction must not be committed.
    pub(crate) fn statement(&mut self) -> String {
        let table = &self.pool.table;
        let Slot { name, seq } = self.slot.get_or_insert_with(|| self.pool.take());
        match seq {
            0 => format!("INSERT INTO {table} (session, seq) VALUES ('{name}', 1)"),
            seq => {
                let next = *seq + 1;
                format!("UPDATE {table} SET seq={next} WHERE session='{name}' AND seq={seq}")
            }
        }
    }

    /// The statement that reads it, if there is anything to be read.
    pub(crate) fn query(&self) -> Option<String> {
        let Slot { name, .. } = self.slot.as_ref()?;
        Some(format!("SELECT seq FROM {} WHERE session='{name}'", self.pool.table))
    }

    /// It was set, in the open transaction.
    pub(crate) fn was_set(&mut self) {
        self.set = true;
    }

    /// A COMMIT is about to be sent.
    pub(crate) fn committing(&mut self) {
        self.in_doubt |= self.set;
    }

    /// The transaction was committed.
    pub(crate) fn committed(&mut self) {
        if (self.set || self.in_doubt)
            && let Some(slot) = &mut self.slot
        {
            slot.seq += 1;
        }
        self.set = false;
        self.in_doubt = false;
    }

    /// The transaction was rolled back, and nothing of it can come back.
    pub(crate) fn rolled_back(&mut self) {
        self.set = false;
        self.in_doubt = false;
    }

    /// The transaction is to be done again elsewhere, and will set it again.
    pub(crate) fn undone(&mut self) {
        self.set = false;
    }

    /// What the number that was read says of the transaction in doubt; `None`: there is no row.
    pub(crate) fn outcome(&self, read: Option<u64>) -> Outcome {
        let Some(Slot { seq, .. }) = &self.slot else { return Outcome::NotCommitted };
        match read.unwrap_or_default() {
            read if read == *seq => Outcome::NotCommitted,
            read if read == *seq + 1 => Outcome::Committed,
            _ => Outcome::Unclear,
        }
    }

    /// Gives its row up: somebody else has changed it.
    pub(crate) fn discard(&mut self) {
        self.slot = None;
        self.set = false;
    }

    /// The table is missing, or may not be written. Returns whether that is news.
    pub(crate) fn is_missing(&mut self) -> bool {
        self.set = false;
        self.pool.is_missing()
    }
}

impl Drop for Fence {
    fn drop(&mut self) {
        if let Some(slot) = self.slot.take()
            && !self.in_doubt
        {
            self.pool.give(slot);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pool() -> Arc<FencePool> {
        Arc::new(FencePool::new("ido_proxy"))
    }

    /// A transaction would be taken for committed, and lost; or for lost, and doubled.
    #[test]
    fn the_row_tells_whether_the_transaction_was_committed() {
        let mut fence = Fence::new(pool());
        assert!(fence.statement().starts_with("INSERT INTO `ido_proxy`.`fence`"));
        fence.was_set();
        fence.committing();
        assert_eq!(fence.outcome(None), Outcome::NotCommitted);
        assert_eq!(fence.outcome(Some(1)), Outcome::Committed);
        assert_eq!(fence.outcome(Some(7)), Outcome::Unclear);
        fence.committed();
        assert!(fence.statement().contains("SET seq=2"));
        assert_eq!(fence.outcome(Some(1)), Outcome::NotCommitted);
        assert_eq!(fence.outcome(None), Outcome::Unclear, "the row was removed");
    }

    /// A transaction that did not set it must not count.
    #[test]
    fn a_commit_of_what_was_not_fenced_changes_nothing() {
        let mut fence = Fence::new(pool());
        fence.committing();
        fence.committed();
        assert!(fence.statement().starts_with("INSERT"));
    }

    /// A ghost would commit in another session's name, and that session would lose what it wrote.
    #[test]
    fn a_slot_in_doubt_is_not_lent_again() {
        let pool = pool();
        let mut known = Fence::new(Arc::clone(&pool));
        known.statement();
        known.was_set();
        known.committing();
        known.committed();
        let name = known.query();
        drop(known);
        let mut again = Fence::new(Arc::clone(&pool));
        assert!(again.statement().contains("AND seq=1"), "it goes on where it was");
        assert_eq!(again.query(), name);
        again.was_set();
        again.committing();
        drop(again);
        let mut other = Fence::new(pool);
        other.statement();
        assert_ne!(other.query(), name);
    }
}
