//! A cluster for the tests of `admin` and `telemetry`.

use std::sync::Arc;
use std::time::Instant;

use tokio::sync::watch;

use super::AdminState;
use crate::cluster::{Node, NodeAddr, NodeState, Topology};
use crate::session::shared::registry::Registry;
use crate::telemetry::metrics::MetricsHandle;

/// A daemon without sessions over the cluster of [`topology`], and the sender that changes it.
pub(crate) fn state() -> (AdminState, watch::Sender<Arc<Topology>>) {
    let (sender, receiver) = watch::channel(Arc::new(topology()));
    let state = AdminState {
        topology: receiver,
        history: Arc::default(),
        failovers: Arc::default(),
        registry: Arc::new(Registry::new()),
        metrics: MetricsHandle::detached(),
        started: Instant::now(),
        listen: Arc::new(["127.0.0.1:3306".to_owned()]),
        replica_listen: Arc::new(["127.0.0.1:3307".to_owned()]),
    };
    (state, sender)
}

/// The address in `text`.
pub(crate) fn address(text: &str) -> NodeAddr {
    NodeAddr(text.parse().unwrap())
}

/// Two nodes: `db1` is the primary, `db2` is a donor and not usable.
pub(crate) fn topology() -> Topology {
    Topology {
        primary: Some(address(DB1)),
        epoch: 1,
        nodes: vec![
            Node {
                name: Some("db1".into()),
                version: Some("10.11.6-MariaDB".into()),
                ..node(DB1, NodeState::Synced)
            },
            Node {
                name: Some("db2".into()),
                usable: false,
                reason: Some("gives state to another node".into()),
                ..node(DB2, NodeState::Donor)
            },
        ],
        ..Topology::default()
    }
}

fn node(address_text: &str, state: NodeState) -> Node {
    Node { state, ..Node::synced(address(address_text)) }
}

/// The address of the primary.
pub(crate) const DB1: &str = "192.0.2.11:3306";
/// The address of the donor.
pub(crate) const DB2: &str = "192.0.2.12:3306";
