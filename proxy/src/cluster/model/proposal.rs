//! Proposal of one proxy to all: another primary, or other drained nodes.

use std::collections::BTreeSet;
use std::fmt;

use super::cause::Cause;
use super::node_addr::NodeAddr;
use super::pin::Pin;

/// Another primary, for all proxies.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Proposal {
    /// The cluster that the pin belongs to.
    pub(crate) cluster: String,
    /// The epoch to replace; `None` if the cluster has no pin yet.
    pub(crate) expected: Option<u64>,
    /// The node to pin.
    pub(crate) node: NodeAddr,
    /// Why.
    pub(crate) cause: Cause,
    /// The nodes that are to be drained from now on; `None`: the same as before.
    pub(crate) drained: Option<BTreeSet<NodeAddr>>,
}

impl Proposal {
    /// Whether `pin` is what came of it.
    pub(crate) fn became(&self, pin: &Pin) -> bool {
        pin.node == self.node && pin.epoch == self.expected.unwrap_or_default() + 1
    }
}

impl fmt::Display for Proposal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.node, self.cause)
    }
}
