//! The pin: one row in the cluster itself that says which node is the primary, for every proxy.
//!
//! The pin is changed by compare-and-swap on its epoch, as a transaction of Galera. Of two proxies that want
//! to change the same epoch one fails in certification, or finds the row changed. So there is one
//! decision, and it can be made exactly when somebody can write.

use std::collections::BTreeSet;

use super::node_addr::NodeAddr;

/// The row of the pin.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Pin {
    /// The primary.
    pub(crate) node: NodeAddr,
    /// Grows by one with each change; from 1 on.
    pub(crate) epoch: u64,
    /// Why it was changed last.
    pub(crate) reason: String,
    /// Which proxy did it.
    pub(crate) by: String,
    /// The nodes that operators have drained.
    pub(crate) drained: BTreeSet<NodeAddr>,
}

/// One node's knowledge of the pin.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(crate) enum Reading {
    /// The table is missing, or we may not read it: the server's words.
    Missing(String),
    /// The table has no row for the cluster.
    Unset,
    /// The row, as far as this node has applied it.
    Set(Pin),
    /// The node was not asked, or could not say: nobody reads outside the primary component.
    #[default]
    Unread,
}
