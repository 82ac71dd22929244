//! Who goes first after a failover.
//!
//! A transaction that is done again must get the ids that its client was told. The next node does not
//! know of them yet, and would give them to whoever asks first. So, for a moment, nobody does anything
//! new: first all those do their transactions again that were told ids.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

/// One for all sessions. Open unless somebody owes a replay.
#[derive(Debug, Default)]
pub(crate) struct Gate {
    owing: watch::Sender<usize>,
}

/// Keeps the gate closed while it lives.
#[derive(Debug)]
pub(super) struct Debt(Arc<Gate>);

impl Gate {
    /// Closes it, until the debt is dropped.
    pub(super) fn close(self: &Arc<Self>) -> Debt {
        self.owing.send_modify(|owing| *owing += 1);
        Debt(Arc::clone(self))
    }

    /// Whether nobody owes a replay.
    pub(super) fn is_open(&self) -> bool {
        *self.owing.borrow() == 0
    }

    /// Waits until it is open.
    pub(super) async fn opened(&self) {
        // The sender is ours, so there is always something to wait for.
        let _ = self.owing.subscribe().wait_for(|owing| *owing == 0).await;
    }
}

impl Drop for Debt {
    fn drop(&mut self) {
        self.0.owing.send_modify(|owing| *owing -= 1);
    }
}

/// How long a session waits for those that owe a replay: one of them may itself wait for a lock that
/// this session has.
pub(super) const LONGEST_WAIT: Duration = Duration::from_secs(10);

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
}
