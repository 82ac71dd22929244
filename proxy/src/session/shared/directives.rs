//! Orders to a session from outside: where the primary is, and how long the daemon still runs.

use std::fmt;
use std::future::{pending, poll_fn};
use std::sync::Arc;

use tokio::sync::watch;
use tokio_util::sync::ReusableBoxFuture;

use crate::cluster::Topology;

/// The life of the daemon, as sessions and the service manager see it.
#[derive(Clone, Copy, Debug, Default, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) enum Phase {
    /// Clients are served.
    #[default]
    Serving,
    /// No new clients; sessions end when the client would lose nothing by it.
    Draining,
    /// Whatever is left ends now.
    Closing,
}

/// Everything a session must react to, in one value: so that it waits for one thing, not for two.
#[derive(Clone, Debug, Default)]
pub(crate) struct Directives {
    /// Where the primary is.
    pub(crate) topology: Arc<Topology>,
    /// Whether to go on.
    pub(crate) phase: Phase,
}

/// The orders as one session waits for them: beside everything else, with every command. So it
/// registers once for each change, and not, as a receiver does, once for each wait. It must be polled with each
/// wait all the same: being woken for nothing ends a registration.
pub(in crate::session) struct DirectiveWatch {
    directives: watch::Receiver<Directives>,
    change: ReusableBoxFuture<'static, watch::Receiver<Directives>>,
}

impl DirectiveWatch {
    pub(in crate::session) fn new(directives: watch::Receiver<Directives>) -> Self {
        let change = ReusableBoxFuture::new(changed(directives.clone()));
        Self { directives, change }
    }

    /// The latest.
    pub(in crate::session) fn latest(&self) -> watch::Ref<'_, Directives> {
        self.directives.borrow()
    }

    /// A receiver of its own.
    pub(in crate::session) fn receiver(&self) -> watch::Receiver<Directives> {
        self.directives.clone()
    }

    /// Waits until they are others than those at its last return. May be cancelled at any time.
    pub(in crate::session) async fn changed(&mut self) {
        let directives = poll_fn(|cx| self.change.poll(cx)).await;
        self.change.set(changed(directives));
    }
}

impl fmt::Debug for DirectiveWatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.directives.fmt(f)
    }
}

async fn changed(mut directives: watch::Receiver<Directives>) -> watch::Receiver<Directives> {
    if directives.changed().await.is_err() {
        // The sender lives as long as the daemon; without it nothing changes any more.
        pending::<()>().await;
    }
    directives
}

/// Merges the cluster's view into the orders until its sender is gone. The phase is set by whoever
/// holds the sender.
pub(crate) async fn follow_topology(
    directives: watch::Sender<Directives>,
    mut topology: watch::Receiver<Arc<Topology>>,
) {
    loop {
        let latest = Arc::clone(&topology.borrow_and_update());
        directives.send_modify(|directives| directives.topology = latest);
        if topology.changed().await.is_err() {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::timeout;

    use super::*;

    /// A session would stay at a node that was left, or outlive its daemon.
    #[tokio::test(start_paused = true)]
    async fn every_change_is_seen_whoever_waits_and_however_often_the_wait_is_cancelled() {
        let sender = watch::Sender::new(Directives::default());
        let mut standing = DirectiveWatch::new(sender.subscribe());
        for round in 0..3 {
            for _ in 0..2 {
                let quiet = timeout(Duration::from_millis(1), standing.changed()).await;
                assert!(quiet.is_err(), "round {round}: nothing has changed");
            }
            let change = async {
                tokio::task::yield_now().await;
                sender.send_modify(|directives| directives.phase = Phase::Draining);
            };
            let seen = timeout(Duration::from_secs(1), standing.changed());
            assert!(tokio::join!(seen, change).0.is_ok(), "round {round}: while waiting");
            sender.send_modify(|directives| directives.phase = Phase::Serving);
            let seen = timeout(Duration::from_secs(1), standing.changed()).await;
            assert!(seen.is_ok(), "round {round}: before the wait");
            // Whichever task waits is the one that is woken.
            let task = tokio::spawn(async move {
                standing.changed().await;
                standing
            });
            tokio::task::yield_now().await;
            sender.send_modify(|directives| directives.phase = Phase::Draining);
            let waited = timeout(Duration::from_secs(1), task).await;
            standing = waited.expect("it is woken").expect("it ends");
        }
    }

    /// The wake for one change may come late, when the session already waits for the next one. Should it
    /// take the place of that, the session would stay at a dead node.
    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_wake_that_comes_late_is_not_the_next_one() {
        let sender = watch::Sender::new(Directives::default());
        let mut standing = DirectiveWatch::new(sender.subscribe());
        let (seen, mut sees) = watch::channel(0);
        let session = tokio::spawn(async move {
            loop {
                standing.changed().await;
                let epoch = standing.latest().topology.epoch;
                if seen.send(epoch).is_err() {
                    return;
                }
            }
        });
        for epoch in 1..=3000 {
            let topology = Arc::new(Topology { epoch, ..Topology::default() });
            sender.send_modify(|directives| directives.topology = topology);
            let waited = sees.wait_for(|seen| *seen == epoch);
            let waited = timeout(Duration::from_secs(20), waited).await;
            assert!(waited.is_ok(), "change {epoch} is not seen");
        }
        session.abort();
    }
}
