//! The state of everything, as `/status` and the console show it.

use std::fmt;
use std::sync::Arc;
use std::time::Instant;

use serde::Serialize;
use tokio::sync::watch;

use crate::cluster::decide::history::{Decided, History};
use crate::cluster::{Node, NodeAddr, NodeState, Topology};
use crate::session::shared::failover_stats::{Failover, Failovers};
use crate::session::shared::registry::{Registry, SessionStatus};
use crate::telemetry::metrics::MetricsHandle;

/// Sources of the admin side's answers. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct AdminState {
    /// The cluster, as its task publishes it.
    pub(crate) topology: watch::Receiver<Arc<Topology>>,
    /// The last decisions about the primary.
    pub(crate) history: Arc<History>,
    /// The sessions, as they write themselves down.
    pub(crate) registry: Arc<Registry>,
    /// The last failovers.
    pub(crate) failovers: Arc<Failovers>,
    /// The metrics.
    pub(crate) metrics: MetricsHandle,
    /// When the daemon started.
    pub(crate) started: Instant,
    /// The addresses that clients connect to, in the words of the configuration.
    pub(crate) listen: Arc<[String]>,
    /// The addresses of clients that only read, in the same words.
    pub(crate) replica_listen: Arc<[String]>,
}

impl AdminState {
    /// Everything as it is now.
    pub(crate) fn status(&self) -> Status {
        let topology = self.current_topology();
        Status {
            version: VERSION,
            uptime_seconds: self.started.elapsed().as_secs(),
            listen: self.listen.to_vec(),
            replica_listen: self.replica_listen.to_vec(),
            primary: topology.primary,
            next: topology.next,
            epoch: topology.epoch,
            reason: topology.cause.to_string(),
            agreed: topology.agreement.pin().is_some(),
            nodes: topology.nodes.clone(),
            sessions: self.registry.snapshot(),
            failovers: self.failovers.snapshot(),
            decisions: self.history.snapshot(),
        }
    }

    /// Whether clients can write.
    ///
    /// # Errors
    ///
    /// One line for an operator that says why they cannot.
    pub(super) fn health(&self) -> Result<(), String> {
        let topology = self.current_topology();
        if topology.primary.is_some() {
            return Ok(());
        }
        if topology.nodes.is_empty() {
            return Err("no primary: discovery has found no node yet".to_owned());
        }
        let nodes: Vec<_> = topology.nodes.iter().map(describe).collect();
        Err(format!("no primary: {}", nodes.join("; ")))
    }

    pub(super) fn current_topology(&self) -> Arc<Topology> {
        Arc::clone(&self.topology.borrow())
    }
}

/// The answer of `/status`.
#[derive(Debug, Serialize)]
pub(crate) struct Status {
    /// The version of the daemon.
    pub(super) version: &'static str,
    /// Seconds since it started.
    pub(super) uptime_seconds: u64,
    /// The addresses that clients connect to.
    pub(super) listen: Vec<String>,
    /// The addresses of clients that only read.
    pub(super) replica_listen: Vec<String>,
    /// The node that writes go to, or null.
    pub(super) primary: Option<NodeAddr>,
    /// The node that would be it, were that one lost now, or null.
    pub(super) next: Option<NodeAddr>,
    /// Grows with each change of the primary; where `agreed`, it is that of the pin.
    pub(super) epoch: u64,
    /// Why the primary is what it is.
    pub(super) reason: String,
    /// Whether all proxies go by one pin.
    pub(super) agreed: bool,
    /// Every known node, ordered by address.
    pub(super) nodes: Vec<Node>,
    /// Every session, ordered by id.
    pub(super) sessions: Vec<SessionStatus>,
    /// The last changes of the node that sessions with a command under way were carried through, the
    /// oldest first.
    pub(super) failovers: Vec<Failover>,
    /// The last decisions about the primary, with what they were made from, the oldest first.
    pub(super) decisions: Vec<Decided>,
}

/// The version of the daemon.
pub(super) const VERSION: &str = env!("CARGO_PKG_VERSION");

/// A state in one word, the same as in `/status`.
pub(super) struct StateName(pub(super) NodeState);

impl fmt::Display for StateName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.serialize(f)
    }
}

fn describe(node: &Node) -> String {
    let name = node.name.as_deref().unwrap_or_default();
    let space = if name.is_empty() { "" } else { " " };
    let state = StateName(node.state);
    match &node.reason {
        Some(reason) => format!("{name}{space}{} {state} ({reason})", node.address),
        None => format!("{name}{space}{} {state}", node.address),
    }
}
