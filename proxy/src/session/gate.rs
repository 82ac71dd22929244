//! Who goes first after a failover.
//!
//! A transaction that is done again must get the ids that its client was told. The next node does not
//! know of them yet, and would give them to whoever asks first. So, for a moment, nobody does anything
//! new: first all those do their transactions again that were told ids.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, timeout_at};

/// One for all sessions. Open unless somebody owes a replay.
#[derive(Debug, Default)]
pub(crate) struct Gate {
    owing: watch::Sender<Owing>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Owing {
    sessions: usize,
    /// When the first of them began to owe.
    since: Option<Instant>,
}

/// Keeps the gate closed while it lives, but no longer than [`LONGEST`].
#[derive(Debug)]
pub(super) struct Debt(Arc<Gate>);

impl Gate {
    /// Closes it, until the debt is dropped.
    pub(super) fn close(self: &Arc<Self>) -> Debt {
        self.owing.send_modify(|owing| {
            owing.sessions += 1;
            owing.since.get_or_insert_with(Instant::now);
        });
        Debt(Arc::clone(self))
    }

    /// Whether nobody owes a replay, or somebody does for too long.
    pub(super) fn is_open(&self) -> bool {
        self.owing.borrow().since.is_none_or(|since| since.elapsed() >= LONGEST)
    }

    /// Waits until it is open.
    pub(super) async fn opened(&self) {
        let Some(since) = self.owing.borrow().since else { return };
        let mut owing = self.owing.subscribe();
        // The sender is ours, so there is always something to wait for.
        let _ = timeout_at(since + LONGEST, owing.wait_for(|owing| owing.sessions == 0)).await;
    }
}

impl Drop for Debt {
    fn drop(&mut self) {
        self.0.owing.send_modify(|owing| {
            owing.sessions -= 1;
            owing.since = owing.since.filter(|_| owing.sessions > 0);
        });
    }
}

/// How long the gate is closed at most. Replays take milliseconds; one that takes longer may be waiting
/// for a lock of a session that waits here.
const LONGEST: Duration = Duration::from_millis(500);

#[cfg(test)]
mod tests {
    use super::*;

    /// An id that one client was told would be another one's row.
    #[tokio::test]
    async fn nobody_goes_on_before_the_last_debt_is_paid() {
        let gate = Arc::new(Gate::default());
        assert!(gate.is_open());
        let (first, second) = (gate.close(), gate.close());
        drop(first);
        assert!(!gate.is_open());
        let waiting = tokio::spawn({
            let gate = Arc::clone(&gate);
            async move { gate.opened().await }
        });
        tokio::task::yield_now().await;
        assert!(!waiting.is_finished());
        drop(second);
        waiting.await.unwrap();
        assert!(gate.is_open());
    }

    /// Two sessions would wait for each other: one for the gate, one for a lock of the other.
    #[tokio::test(start_paused = true)]
    async fn a_debt_that_is_not_paid_stops_nobody_for_long() {
        let gate = Arc::new(Gate::default());
        let debt = gate.close();
        let began = Instant::now();
        gate.opened().await;
        assert_eq!(began.elapsed(), LONGEST);
        let _another = gate.close();
        assert!(gate.is_open(), "it counts from the first on");
        drop(debt);
        assert!(gate.is_open());
    }
}
