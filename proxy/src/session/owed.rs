//! Ids that belong to rows which are not there yet.
//!
//! A transaction that is done again must get the ids that its client was told. The next node does not
//! know of them, and gives them to whoever inserts first. So they are written down here until the
//! transaction is done again; who is given one of them meanwhile has its own transaction rolled back, and
//! is given the next one.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Those of all sessions. Of which table an id is nobody knows here: a number that another table gives
/// is given up for nothing, which costs that table a number.
#[derive(Debug, Default)]
pub(crate) struct OwedIds {
    /// How many there are, for those who must not wait.
    count: AtomicUsize,
    /// Each with how many sessions owe it.
    ids: Mutex<BTreeMap<u64, usize>>,
}

/// What one session owes, while it lives.
#[derive(Debug)]
pub(super) struct Debt {
    owed: Arc<OwedIds>,
    ids: Vec<u64>,
}

impl OwedIds {
    /// Writes `ids` down, until the debt is dropped.
    pub(super) fn owe(self: &Arc<Self>, ids: Vec<u64>) -> Debt {
        let mut owed = self.lock();
        for id in &ids {
            *owed.entry(*id).or_default() += 1;
        }
        self.count.store(owed.len(), Ordering::Release);
        drop(owed);
        Debt { owed: Arc::clone(self), ids }
    }

    /// Whether an INSERT of so many rows, of which the first was given `id`, may have been given an id
    /// that is owed.
    pub(super) fn has(&self, id: u64, rows: u64) -> bool {
        if self.count.load(Ordering::Acquire) == 0 {
            return false;
        }
        let last = id.saturating_add(rows.saturating_sub(1).saturating_mul(MOST_NODES));
        self.lock().range(id..=last).next().is_some()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<u64, usize>> {
        self.ids.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Debt {
    fn drop(&mut self) {
        let mut owed = self.owed.lock();
        for id in &self.ids {
            match owed.get_mut(id) {
                Some(1) | None => drop(owed.remove(id)),
                Some(count) => *count -= 1,
            }
        }
        self.owed.count.store(owed.len(), Ordering::Release);
    }
}

/// Galera makes `auto_increment_increment` the number of nodes; hardly a cluster has more.
const MOST_NODES: u64 = 16;

#[cfg(test)]
mod tests {
    use super::*;

    /// An id that one client was told would be another one's row.
    #[test]
    fn an_id_is_owed_until_the_last_who_owes_it_has_paid() {
        let owed = Arc::new(OwedIds::default());
        assert!(!owed.has(7, 1));
        let (one, other) = (owed.owe(vec![7, 10]), owed.owe(vec![7]));
        assert!(owed.has(7, 1) && owed.has(10, 1) && !owed.has(8, 1));
        assert!(owed.has(4, 2), "the second row may have it");
        drop(one);
        assert!(owed.has(7, 1) && !owed.has(10, 1));
        drop(other);
        assert!(!owed.has(7, 1));
        assert_eq!(owed.count.load(Ordering::Acquire), 0);
    }
}
