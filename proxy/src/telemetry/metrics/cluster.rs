//! Metrics of the cluster side, with the gauges that follow the topology.

use std::collections::BTreeMap;
use std::sync::Arc;

use metrics::{Counter, Gauge, Histogram};
use tokio::sync::watch;

use super::catalog;
use super::label::{CounterBy, LookupResult};
use crate::cluster::{NodeAddr, Topology};

/// The handles of discovery, probes and the choice of the primary.
#[derive(Clone, Debug)]
pub(crate) struct ClusterMetrics {
    /// Known nodes.
    pub(crate) nodes: Gauge,
    /// Nodes that writes may go to.
    pub(crate) usable: Gauge,
    /// Changes of the primary, the first choice included.
    pub(crate) primary_changes: Counter,
    /// Questions to name servers, by how they ended.
    pub(crate) dns_lookups: CounterBy<LookupResult>,
    /// Questions to Consul's HTTP interface, by how they ended.
    pub(crate) consul_lookups: CounterBy<LookupResult>,
}

impl ClusterMetrics {
    /// Prepares the handles with the recorder installed by then; without one they count nothing.
    pub(crate) fn new() -> Self {
        Self {
            nodes: catalog::NODES.gauge(),
            usable: catalog::NODES_USABLE.gauge(),
            primary_changes: catalog::PRIMARY_CHANGES.counter(),
            dns_lookups: CounterBy::new(&catalog::DNS_LOOKUPS),
            consul_lookups: CounterBy::new(&catalog::CONSUL_LOOKUPS),
        }
    }

    /// The handles of one node's probes, to be prepared once for each node.
    pub(crate) fn probes(&self, node: NodeAddr) -> ProbeMetrics {
        ProbeMetrics {
            seconds: catalog::PROBE_SECONDS.histogram_of(node.to_string()),
            failed: catalog::PROBES_FAILED.counter_of(node.to_string()),
            paused: catalog::NODE_PAUSED.gauge_of(node.to_string()),
        }
    }

    /// Keeps the gauges in step with what `topology` says, until its sender is gone.
    pub(crate) async fn follow(self, mut topology: watch::Receiver<Arc<Topology>>) {
        let mut nodes = BTreeMap::new();
        loop {
            let current = Arc::clone(&topology.borrow_and_update());
            self.observe(&current, &mut nodes);
            if topology.changed().await.is_err() {
                return;
            }
        }
    }

    /// Sets every gauge from one topology. `nodes` holds the handles of every node seen so far: one
    /// that is gone keeps its series, at zero.
    pub(super) fn observe(&self, topology: &Topology, nodes: &mut BTreeMap<NodeAddr, NodeGauges>) {
        self.nodes.set(topology.nodes.len() as f64);
        let usable = topology.nodes.iter().filter(|node| node.usable).count();
        self.usable.set(usable as f64);
        self.primary_changes.absolute(topology.epoch);

        for node in &topology.nodes {
            nodes.entry(node.address).or_insert_with(|| NodeGauges::new(node.address));
        }
        for (address, gauges) in nodes {
            let node = topology.nodes.iter().find(|node| node.address == *address);
            gauges.usable.set(truth(node.is_some_and(|node| node.usable)));
            gauges.primary.set(truth(topology.primary == Some(*address)));
        }
    }
}

/// Metrics of the probes of one node.
#[derive(Clone, Debug)]
pub(crate) struct ProbeMetrics {
    /// Seconds of each answered probe.
    pub(crate) seconds: Histogram,
    /// Probes without an answer, or refused.
    pub(crate) failed: Counter,
    /// For how long the node has stood still for a slower one since it started, in seconds.
    pub(crate) paused: Gauge,
}

pub(super) struct NodeGauges {
    usable: Gauge,
    primary: Gauge,
}

impl NodeGauges {
    fn new(node: NodeAddr) -> Self {
        Self {
            usable: catalog::NODE_USABLE.gauge_of(node.to_string()),
            primary: catalog::PRIMARY.gauge_of(node.to_string()),
        }
    }
}

fn truth(value: bool) -> f64 {
    if value { 1.0 } else { 0.0 }
}
