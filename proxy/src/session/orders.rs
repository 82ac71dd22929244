//! What a session is told from outside: where the primary is, and how long the daemon still runs.

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
pub(crate) struct Orders {
    /// Where the primary is.
    pub(crate) topology: Arc<Topology>,
    /// Whether to go on.
    pub(crate) phase: Phase,
}

/// The orders as one session waits for them: beside everything else, with every command. So it
/// registers once for each change, and not, as a receiver does, once for each wait.
pub(super) struct Standing {
    orders: watch::Receiver<Orders>,
    change: ReusableBoxFuture<'static, watch::Receiver<Orders>>,
}

impl Standing {
    pub(super) fn new(orders: watch::Receiver<Orders>) -> Self {
        let change = ReusableBoxFuture::new(changed(orders.clone()));
        Self { orders, change }
    }

    /// The latest.
    pub(super) fn latest(&self) -> watch::Ref<'_, Orders> {
        self.orders.borrow()
    }

    /// A receiver of its own.
    pub(super) fn receiver(&self) -> watch::Receiver<Orders> {
        self.orders.clone()
    }

    /// Waits until they are others than those at its last return. May be cancelled at any time.
    pub(super) async fn changed(&mut self) {
        let orders = poll_fn(|cx| self.change.poll(cx)).await;
        self.change.set(changed(orders));
    }
}

impl fmt::Debug for Standing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.orders.fmt(f)
    }
}

async fn changed(mut orders: watch::Receiver<Orders>) -> watch::Receiver<Orders> {
    if orders.changed().await.is_err() {
        // The sender lives as long as the daemon; without it nothing changes any more.
        pending::<()>().await;
    }
    orders
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
