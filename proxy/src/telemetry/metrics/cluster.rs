//! Metrics of the cluster side.

use metrics::{Counter, Gauge, Histogram};

use super::catalog;
use super::label::{CounterBy, LookupResult};

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
    pub(crate) fn probes(&self, node: impl ToString) -> ProbeMetrics {
        ProbeMetrics {
            seconds: catalog::PROBE_SECONDS.histogram_of(node.to_string()),
            failed: catalog::PROBES_FAILED.counter_of(node.to_string()),
            paused: catalog::NODE_PAUSED.gauge_of(node.to_string()),
        }
    }

    /// The gauges of one node's place in the cluster, to be prepared once for each node.
    pub(crate) fn gauges(&self, node: impl ToString) -> NodeGauges {
        NodeGauges {
            usable: catalog::NODE_USABLE.gauge_of(node.to_string()),
            primary: catalog::PRIMARY.gauge_of(node.to_string()),
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

/// Gauges of the place of one node in the cluster.
#[derive(Clone, Debug)]
pub(crate) struct NodeGauges {
    /// 1 where writes may go to the node.
    pub(crate) usable: Gauge,
    /// 1 where the node is the primary.
    pub(crate) primary: Gauge,
}
