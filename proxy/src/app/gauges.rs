//! Gauges that follow what the daemon is doing.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use crate::cluster::{NodeAddr, Topology};
use crate::session::state::journal::budget::Budget;
use crate::telemetry::metrics::{ClusterMetrics, NodeGauges, SessionMetrics};

/// Keeps the gauges of the cluster in step with what `topology` says, until its sender is gone.
pub(super) async fn follow_topology(
    metrics: ClusterMetrics,
    mut topology: watch::Receiver<Arc<Topology>>,
) {
    let mut nodes = BTreeMap::new();
    loop {
        let current = Arc::clone(&topology.borrow_and_update());
        observe(&metrics, &current, &mut nodes);
        if topology.changed().await.is_err() {
            return;
        }
    }
}

/// Sets every gauge from one topology. `nodes` holds the handles of every node seen so far: one
/// that is gone keeps its series, at zero.
fn observe(
    metrics: &ClusterMetrics,
    topology: &Topology,
    nodes: &mut BTreeMap<NodeAddr, NodeGauges>,
) {
    metrics.nodes.set(topology.nodes.len() as f64);
    let usable = topology.nodes.iter().filter(|node| node.usable).count();
    metrics.usable.set(usable as f64);
    metrics.primary_changes.absolute(topology.epoch);

    for node in &topology.nodes {
        nodes.entry(node.address).or_insert_with(|| metrics.gauges(node.address));
    }
    for (address, gauges) in nodes {
        let node = topology.nodes.iter().find(|node| node.address == *address);
        gauges.usable.set(truth(node.is_some_and(|node| node.usable)));
        gauges.primary.set(truth(topology.primary == Some(*address)));
    }
}

fn truth(value: bool) -> f64 {
    if value { 1.0 } else { 0.0 }
}

/// Keeps the gauges of the journals in step with what they take. Never returns.
pub(super) async fn follow_journals(journals: Arc<Budget>, metrics: Arc<SessionMetrics>) {
    let mut interval = tokio::time::interval(JOURNAL_INTERVAL);
    loop {
        interval.tick().await;
        metrics.journal_memory.set(journals.memory_used() as f64);
        metrics.journal_disk.set(journals.disk_used() as f64);
    }
}

/// How often the size of the journals is looked at.
const JOURNAL_INTERVAL: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::admin::testing::topology;
    use crate::telemetry::metrics::recorder;

    #[test]
    fn the_gauges_follow_the_topology_and_zero_the_node_that_is_gone() {
        let (recorder, handle) = recorder();
        let metrics = metrics::with_local_recorder(&recorder, ClusterMetrics::new);
        let mut nodes = BTreeMap::new();
        metrics::with_local_recorder(&recorder, || observe(&metrics, &topology(), &mut nodes));
        let text = handle.render();
        for line in [
            "ido_proxy_nodes 2",
            "ido_proxy_nodes_usable 1",
            "ido_proxy_primary{node=\"192.0.2.11:3306\"} 1",
            "ido_proxy_primary{node=\"192.0.2.12:3306\"} 0",
            "ido_proxy_node_usable{node=\"192.0.2.12:3306\"} 0",
            "ido_proxy_primary_changes_total 1",
        ] {
            assert!(text.contains(line), "{line} in\n{text}");
        }

        let empty = Topology { epoch: 1, ..Topology::default() };
        metrics::with_local_recorder(&recorder, || observe(&metrics, &empty, &mut nodes));
        let text = handle.render();
        assert!(text.contains("ido_proxy_primary{node=\"192.0.2.11:3306\"} 0"), "{text}");
        assert!(text.contains("ido_proxy_nodes 0"), "{text}");
    }
}
