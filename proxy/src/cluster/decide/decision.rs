//! Decision on the primary, with all that the next decision begins with.

use std::collections::BTreeMap;

use tokio::time::Instant;

use super::recent_pins::RecentPins;
use crate::cluster::model::agreement::Agreement;
use crate::cluster::model::cause::Cause;
use crate::cluster::model::node_addr::NodeAddr;
use crate::cluster::model::peers::{Peers, Row};
use crate::cluster::model::pin::Pin;
use crate::cluster::model::proposal::Proposal;
use crate::cluster::model::report::Galera;
use crate::cluster::model::verdict::Verdict;

/// The decision, with the state that the next decision needs.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Decision {
    /// The node that writes go to.
    pub(crate) primary: Option<NodeAddr>,
    /// The node that would be it, were that one lost now.
    pub(crate) next: Option<NodeAddr>,
    /// How often the primary has become another node.
    pub(crate) epoch: u64,
    /// Why the primary is what it is.
    pub(crate) cause: Cause,
    /// The verdict on each node.
    pub(crate) verdicts: BTreeMap<NodeAddr, Verdict>,
    /// `primary`, or the last node that was.
    pub(super) last_primary: Option<NodeAddr>,
    /// The agreement of the proxies.
    pub(crate) agreement: Agreement,
    /// The pin to propose to the proxies instead.
    pub(crate) proposal: Option<Proposal>,
    /// The nodes that other proxies reach.
    pub(super) peers: Peers,
    /// The pins of late.
    pub(super) recent_pins: RecentPins,
    /// Which cluster is ours.
    pub(super) cluster: Option<String>,
    /// The latest membership that any node of ours knows, and since when we know of it.
    pub(super) latest_view: Option<(u64, Instant)>,
}

impl Decision {
    /// Takes in a pin that was told by the answer to a proposal.
    pub(crate) fn learn(&mut self, pin: Pin, now: Instant) {
        if self.agreement.pin().is_none_or(|known| known.epoch < pin.epoch) {
            self.recent_pins.add(&pin, now);
            self.agreement = Agreement::Pinned(Some(pin));
        }
    }

    /// Takes in the rows of the other proxies, as read just now.
    pub(crate) fn take_peers(&mut self, rows: Vec<Row>, now: Instant) {
        self.peers.take(rows, now);
    }

    /// Which cluster is ours, once known.
    pub(crate) fn cluster(&self) -> Option<&str> {
        self.cluster.as_deref()
    }

    /// The latest membership that any node of ours knows, and since when we know of it.
    pub(crate) fn latest_view(&self) -> Option<(u64, Instant)> {
        self.latest_view
    }

    /// Whether a node that says this is in our cluster.
    pub(crate) fn is_ours(&self, galera: &Galera) -> bool {
        self.cluster.as_ref() == Some(&galera.cluster)
    }
}
