//! Handle of the cluster: what the rest of the daemon may ask of it, and say to it.

use std::collections::BTreeMap;
use std::sync::Arc;

use ido_proxy_protocol::err::ErrPacket;
use tokio::sync::{Notify, mpsc, watch};
use tokio::time::Instant;
use tokio_util::task::TaskTracker;

use super::decide::history::History;
use super::model::node_addr::NodeAddr;
use super::model::node_view::{Loss, Outcome};
use super::model::text::legible;
use super::model::topology::Topology;
use super::probe::prober::Probed;

/// Handle of the cluster for the rest of the daemon.
#[derive(Clone, Debug)]
pub(crate) struct ClusterHandle {
    /// The cluster as it is now. The sender lives as long as the task.
    pub(crate) topology: watch::Receiver<Arc<Topology>>,
    /// The decisions that led to it.
    pub(crate) history: Arc<History>,
    /// Wake-ups of the probes.
    pub(super) wakeups: watch::Receiver<Wakeups>,
    /// Outcomes, as if of probes.
    pub(super) outcomes: mpsc::Sender<Probed>,
    /// Nodes that answer a client.
    pub(super) liveness: mpsc::Sender<NodeAddr>,
    /// All tasks of the cluster.
    pub(super) tasks: TaskTracker,
}

impl ClusterHandle {
    /// Says that something is wrong with `node`: it is probed at once instead of at its next turn, and so
    /// are the others, who know whether it is still one of them. Cheap, and callable from any thread and
    /// at any rate; what is said of a node while it is being probed leads to one more probe.
    pub(crate) fn suspect(&self, node: NodeAddr) {
        let wakeups = self.wakeups.borrow();
        if wakeups.contains_key(&node) {
            wakeups.values().for_each(|wakeup| wakeup.notify_one());
        }
    }

    /// Says what `node` answered to a client's command, or at a login: if that is that it shuts down, or is
    /// no part of the cluster, it counts as if it had been said to a probe. A probe could learn it only
    /// later: a server that shuts down takes connections for a second, and does not answer.
    pub(crate) fn node_error(&self, node: NodeAddr, error: &ErrPacket) {
        let message = legible(&String::from_utf8_lossy(&error.message));
        let loss = Loss::Rejected { code: error.code, message };
        if loss.is_final() {
            let outcome = Outcome::Lost(loss);
            // One that is lost because the task has too much to do is seen by the probe that follows.
            drop(self.outcomes.try_send(Probed { address: node, asked: Instant::now(), outcome }));
        }
        self.suspect(node);
    }

    /// Says that a client is answered by `node`, which answers no probe: lost packets delay both, and are no
    /// reason to leave it.
    pub(crate) fn report_alive(&self, node: NodeAddr) {
        // If there is no room, another report follows soon.
        let _ = self.liveness.try_send(node);
    }

    /// Waits until everything that [`Cluster::spawn`](super::task::Cluster::spawn) started has ended, connections closed.
    pub(crate) async fn stopped(&self) {
        self.tasks.wait().await;
    }
}

#[cfg(test)]
impl ClusterHandle {
    /// A cluster that is what the test says; `wakeup` is notified when `node` is suspected.
    pub(crate) fn scripted(
        topology: watch::Receiver<Arc<Topology>>,
        node: NodeAddr,
        wakeup: Arc<Notify>,
    ) -> Self {
        let (_, wakeups) = watch::channel(Wakeups::from([(node, wakeup)]));
        let (outcomes, _) = mpsc::channel(1);
        let (liveness, _) = mpsc::channel(1);
        let history = Arc::default();
        Self { topology, history, wakeups, outcomes, liveness, tasks: TaskTracker::new() }
    }
}

/// Notified for an immediate probe of a node.
pub(super) type Wakeups = BTreeMap<NodeAddr, Arc<Notify>>;
