//! What a session is told from outside: where the primary is, and how long the daemon still runs.

use std::sync::Arc;

use tokio::sync::watch;

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
pub(crate) struct Orders {
    /// Where the primary is.
    pub(crate) topology: Arc<Topology>,
    /// Whether to go on.
    pub(crate) phase: Phase,
}

/// Merges the cluster's view into the orders until its sender is gone. The phase is set by whoever
/// holds the sender.
pub(crate) async fn follow_topology(
    orders: watch::Sender<Orders>,
    mut topology: watch::Receiver<Arc<Topology>>,
) {
    loop {
        let latest = Arc::clone(&topology.borrow_and_update());
        orders.send_modify(|orders| orders.topology = latest);
        if topology.changed().await.is_err() {
            return;
        }
    }
}
