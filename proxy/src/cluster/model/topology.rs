//! The cluster as this proxy sees it now: the value that the cluster task publishes and that
//! sessions and the admin side watch. It is immutable; a change is a new value.

use serde::Serialize;

use super::agreement::Agreement;
use super::cause::Cause;
use super::node_addr::NodeAddr;
use super::report::NodeState;
use super::verdict::Reason;

/// All that is known of the cluster at one moment.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Topology {
    /// The node that writes go to; `None` while no node is usable. It is not changed for one slow
    /// answer, so for a moment it may be a node whose `usable` is false.
    pub(crate) primary: Option<NodeAddr>,
    /// The node that would be it, were `primary` lost now.
    pub(crate) next: Option<NodeAddr>,
    /// Grows by one whenever `primary` changes to another node. A session compares it to learn
    /// that its link belongs to the past.
    pub(crate) epoch: u64,
    /// Why `primary` is what it is.
    pub(crate) cause: Cause,
    /// The agreement of the proxies.
    pub(crate) agreement: Agreement,
    /// Every known node, ordered by address.
    pub(crate) nodes: Vec<Node>,
}

impl Topology {
    /// Whether `node` has connections to spare.
    pub(crate) fn has_room(&self, node: NodeAddr) -> bool {
        self.nodes.iter().any(|known| known.address == node && known.has_room)
    }

    /// How often somebody has killed a connection or a statement at `node`, as it last said.
    pub(crate) fn kills(&self, node: NodeAddr) -> Option<u64> {
        self.nodes.iter().find(|known| known.address == node)?.kills
    }

    /// The longest packet in bytes that every usable node takes, if any node has told.
    pub(crate) fn packet_limit(&self) -> Option<u64> {
        let usable = self.nodes.iter().filter(|node| node.usable);
        usable.filter_map(|node| node.max_allowed_packet).min()
    }

    /// Whether `node` answers no probe, or turns us away.
    pub(crate) fn doubts(&self, node: NodeAddr) -> bool {
        let doubted = |known: &Node| known.state == NodeState::Unreachable;
        self.nodes.iter().any(|known| known.address == node && doubted(known))
    }

    /// Whether another node took the place of `node`, where writes may wait for long: for a transfer of state, which
    /// may itself wait for a transaction that waits for them.
    pub(crate) fn is_left_blocked(&self, node: NodeAddr) -> bool {
        self.stalls_by(node, Stall::Donating) && self.primary.is_some_and(|primary| primary != node)
    }

    /// Whether another node took the place of `node` because nothing comes from it any more. Who waits
    /// for it waits in vain: the kernel of a frozen server keeps its connections open.
    pub(crate) fn is_left_for_silent(&self, node: NodeAddr) -> bool {
        let was_silent = matches!(
            &self.cause,
            Cause::Lost { node: lost, reason: Reason::Silent } if *lost == node
        );
        (was_silent || self.stalls_by(node, Stall::Silent))
            && self.primary.is_some_and(|primary| primary != node)
    }
    fn stalls_by(&self, node: NodeAddr, stall: Stall) -> bool {
        self.nodes.iter().any(|known| known.address == node && known.stall == Some(stall))
    }
}

/// One node as last probed.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct Node {
    /// Where it listens.
    pub(crate) address: NodeAddr,
    /// `wsrep_node_name`, once the node has told it.
    pub(crate) name: Option<String>,
    /// State of the node by its own report, or by the network's.
    pub(crate) state: NodeState,
    /// Whether writes may go there. Of a node that is only the last resort this is true while it
    /// is the primary, and false while there is a better one.
    pub(crate) usable: bool,
    /// Why it is not usable (or why it is only the last resort), in words for an operator.
    pub(crate) reason: Option<String>,
    /// The variable `version`, such as `10.11.6-MariaDB`, once known.
    pub(crate) version: Option<String>,
    /// The variable `max_allowed_packet` in bytes, once known.
    pub(crate) max_allowed_packet: Option<u64>,
    /// How often somebody has killed a connection or a statement there, once known.
    #[serde(skip)]
    pub(crate) kills: Option<u64>,
    /// Whether it has connections to spare.
    #[serde(skip)]
    pub(crate) has_room: bool,
    /// Why its clients may wait in vain.
    #[serde(skip)]
    pub(crate) stall: Option<Stall>,
}

/// Reason why a command at a node may never come to its end, though the connection stays open.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Stall {
    /// The node gives its state to another one, and may let no write come to its end.
    Donating,
    /// The node counts as silent.
    Silent,
}

#[cfg(test)]
impl Node {
    /// One that is as well as can be.
    pub(crate) fn synced(address: NodeAddr) -> Self {
        Self {
            address,
            name: None,
            state: NodeState::Synced,
            usable: true,
            reason: None,
            version: None,
            max_allowed_packet: None,
            kills: None,
            has_room: true,
            stall: None,
        }
    }
}
