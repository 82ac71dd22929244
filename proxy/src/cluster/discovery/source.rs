//! Sources of the nodes' addresses, and what they name.

use std::fmt;

use crate::cluster::model::node_addr::NodeAddr;

/// Source of nodes, beside the fixed list.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) enum Source {
    /// Consul's health API.
    Consul,
    /// The name servers.
    Dns,
    /// The nodes of our own cluster, of each other (`wsrep_incoming_addresses`).
    Members,
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Consul => "Consul",
            Self::Dns => "DNS",
            Self::Members => "Galera",
        })
    }
}

/// A node that may be part of the cluster.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) struct Candidate {
    /// Where it listens.
    pub(crate) address: NodeAddr,
    /// Lower is preferred, as in an SRV record (RFC 2782). All proxies learn it from the same DNS,
    /// which is why the order of a fixed list, one per proxy, says nothing.
    pub(crate) priority: u16,
}

/// One good answer.
#[derive(Clone, Debug)]
pub(crate) struct Named {
    /// The source of the answer.
    pub(crate) source: Source,
    /// The nodes in it, at least one.
    pub(crate) nodes: Vec<Candidate>,
}
