//! Ids that belong to rows which are not there yet.
//!
//! A transaction that is done again must get the ids that its client was told. The next node does not
//! know of them, and gives them to whoever inserts first. So they are written down here until the
//! transaction is done again; who is given one of them meanwhile has its own transaction rolled back, and
//! is given the next one.
//!
//! The node may also give one to an INSERT in the very moment before its owner puts its row there. That
//! INSERT then waits for the owner's transaction and fails, of a row that its client knows nothing of. So
//! those that were put back are remembered for as long as an INSERT may have waited.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Those of all sessions. Of which table an id is nobody knows here: a number that another table gives
/// is given up for nothing, which costs that table a number.
#[derive(Debug, Default)]
pub(crate) struct ReservedIds {
    /// How many there are, for those who must not wait.
    count: AtomicUsize,
    ids: Mutex<Ids>,
}

#[derive(Debug, Default)]
struct Ids {
    /// Each with how many sessions owe it.
    reserved: BTreeMap<u64, usize>,
    /// Those of which nobody does any more, each with when that was.
    paid: BTreeMap<u64, Instant>,
}

/// Ids that one session owes, while it lives.
#[derive(Debug)]
pub(in crate::session) struct Reservation {
    reserved: Arc<ReservedIds>,
    ids: Vec<u64>,
}

impl ReservedIds {
    /// Writes `ids` down, until the debt is dropped.
    pub(in crate::session) fn reserve(self: &Arc<Self>, ids: Vec<u64>) -> Reservation {
        let mut all = self.lock();
        all.forget();
        for id in &ids {
            *all.reserved.entry(*id).or_default() += 1;
        }
        self.count.store(all.reserved.len(), Ordering::Release);
        drop(all);
        Reservation { reserved: Arc::clone(self), ids }
    }

    /// Whether no session owes any.
    pub(in crate::session) fn is_empty(&self) -> bool {
        self.count.load(Ordering::Acquire) == 0
    }

    /// Whether an INSERT of so many rows, of which the first was given `id`, may have been given an id
    /// that is owed.
    pub(in crate::session) fn has(&self, id: u64, rows: u64) -> bool {
        if self.count.load(Ordering::Acquire) == 0 {
            return false;
        }
        let last = id.saturating_add(rows.saturating_sub(1).saturating_mul(MOST_NODES));
        self.lock().reserved.range(id..=last).next().is_some()
    }

    /// Whether the message of an error 1062 names an id that is owed, or was until a moment ago: the row
    /// that is in the way may be that of another session, put there again. The entry is what stands between
    /// the first two quotes, and an id is the whole of it. Ids are those of the primary key.
    pub(in crate::session) fn is_named_in(&self, message: &[u8]) -> bool {
        let mut quoted = message.split(|byte| *byte == b'\'').skip(1).step_by(2);
        let (entry, key) = (quoted.next(), quoted.next());
        if key.is_some_and(|key| key != b"PRIMARY" && !key.ends_with(b".PRIMARY")) {
            return false;
        }
        let entry = entry.and_then(|entry| str::from_utf8(entry).ok());
        let Some(id) = entry.and_then(|entry| entry.parse::<u64>().ok()) else { return false };
        let mut all = self.lock();
        all.forget();
        all.reserved.contains_key(&id) || all.paid.contains_key(&id)
    }

    fn lock(&self) -> MutexGuard<'_, Ids> {
        self.ids.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Ids {
    /// Drops what nobody can be waiting for any more.
    fn forget(&mut self) {
        self.paid.retain(|_, when| when.elapsed() < LONGEST_WAIT);
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        let mut all = self.reserved.lock();
        all.forget();
        for id in &self.ids {
            match all.reserved.get_mut(id) {
                Some(count) if *count > 1 => *count -= 1,
                _ => {
                    all.reserved.remove(id);
                    all.paid.insert(*id, Instant::now());
                }
            }
        }
        self.reserved.count.store(all.reserved.len(), Ordering::Release);
    }
}

/// Galera makes `auto_increment_increment` the number of nodes; hardly a cluster has more.
const MOST_NODES: u64 = 16;

/// `innodb_lock_wait_timeout` is 50 s, and what the owner's transaction does may take a while as well.
const LONGEST_WAIT: Duration = Duration::from_secs(120);

#[cfg(test)]
mod tests {
    use super::*;

    /// An id that one client was told would be another one's row.
    #[test]
    fn an_id_is_owed_until_the_last_who_owes_it_has_paid() {
        let reserved = Arc::new(ReservedIds::default());
        assert!(!reserved.has(7, 1));
        let (one, other) = (reserved.reserve(vec![7, 10]), reserved.reserve(vec![7]));
        assert!(reserved.has(7, 1) && reserved.has(10, 1) && !reserved.has(8, 1));
        assert!(reserved.has(4, 2), "the second row may have it");
        drop(one);
        assert!(reserved.has(7, 1) && !reserved.has(10, 1));
        drop(other);
        assert!(!reserved.has(7, 1));
        assert_eq!(reserved.count.load(Ordering::Acquire), 0);
    }

    /// A client would be told of a duplicate of an id that the server chose.
    #[test]
    fn a_row_that_is_in_the_way_may_have_been_put_there_a_moment_ago() {
        let reserved = Arc::new(ReservedIds::default());
        let message = b"Duplicate entry '15690' for key 'PRIMARY'";
        assert!(!reserved.is_named_in(message));
        let reservation = reserved.reserve(vec![15690]);
        assert!(reserved.is_named_in(message));
        drop(reservation);
        assert!(reserved.is_named_in(message));
        assert!(reserved.is_named_in("Doppelter Eintrag '15690' für Schlüssel".as_bytes()));
        assert!(!reserved.is_named_in(b"Duplicate entry 'host-15690' for key 'name'"));
        assert!(!reserved.is_named_in(b"Duplicate entry '7' for key 'index_15690'"));
        assert!(!reserved.is_named_in(b"Duplicate entry '5690' for key 'PRIMARY'"));
        assert!(!reserved.is_named_in(b"Duplicate entry '99999999999999999999' for key 'x'"));
    }
}
