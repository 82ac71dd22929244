//! Where a reader goes: to a usable node other than the primary, and to the primary only while there is
//! no other.
//!
//! ```text
//!            ┌───────────── it became the primary, or cannot be used ────────────┐
//!            ▼                                                                   │
//!   choose among the others ──► another node, for as long as it is one ──────────┘
//!            │ there is none                         ▲
//!            ▼                                       │ there is one again,
//!        the primary, for at least REST ─────────────┘ and the session is between two transactions
//! ```
//!
//! A node that failed a session is shunned for a while: the topology may not know yet what the session
//! has seen. A change of the primary does not concern a reader whose node is neither the old nor the
//! new one.

use std::time::Duration;

use smallvec::SmallVec;
use tokio::time::Instant;

use crate::cluster::{Node, NodeAddr, NodeState, Topology};
use crate::session::link::Link;
use crate::session::link::dial::LinkError;
use crate::session::shared::role::Role;

/// State of a reader's session and its node.
#[derive(Clone, Debug)]
pub(crate) struct Reader {
    ticket: u32,
    sync_wait: bool,
    /// Where its link leads, or led.
    at: Option<NodeAddr>,
    /// Since when it has been with the primary, for want of another node.
    fell_back: Option<Instant>,
    /// When to look whether there is another node again.
    look_at: Option<Instant>,
    /// Nodes that failed it, and until when they are not asked.
    shunned: SmallVec<[(NodeAddr, Instant); 2]>,
}

impl Reader {
    /// The reader of a session with this role, if it is one.
    pub(crate) fn of(role: Role) -> Option<Self> {
        match role {
            Role::Reader { ticket, sync_wait } => Some(Self {
                ticket,
                sync_wait,
                at: None,
                fell_back: None,
                look_at: None,
                shunned: SmallVec::new(),
            }),
            Role::Writer => None,
        }
    }

    /// The node that it goes to now.
    pub(crate) fn destination(&self, topology: &Topology, now: Instant) -> Option<NodeAddr> {
        let usable = topology.nodes.iter().filter(|node| node.usable).map(|node| node.address);
        let others = usable.filter(|node| topology.primary != Some(*node));
        let good = others.clone().filter(|node| !self.shuns(*node, now));
        if self
            .at
            .is_some_and(|at| good.clone().any(|node| node == at) || self.rests(at, topology, now))
        {
            return self.at;
        }
        let nth = self.ticket as usize % good.clone().count().max(1);
        let primary = topology.primary;
        good.clone()
            .nth(nth)
            .or_else(|| primary.filter(|primary| !self.shuns(*primary, now)))
            // All have failed it: the one that did so first may be well again.
            .or_else(|| others.chain(primary).min_by_key(|node| self.shunned_until(*node)))
    }

    /// Whether it is with the primary for want of another node, and has not been there for long: a node
    /// that comes and goes must not take all readers with it each time.
    fn rests(&self, at: NodeAddr, topology: &Topology, now: Instant) -> bool {
        topology.primary == Some(at)
            && !self.shuns(at, now)
            && self.fell_back.is_some_and(|since| now < since + REST)
    }

    /// Whether it would stay at `node`, were it there.
    pub(crate) fn wants(&self, node: NodeAddr, topology: &Topology, now: Instant) -> bool {
        let there = Self { at: Some(node), ..self.clone() };
        there.destination(topology, now) == Some(node)
    }

    /// Notes that the session has a link to `node` now.
    pub(crate) fn arrived(&mut self, node: NodeAddr, topology: &Topology, now: Instant) {
        self.at = Some(node);
        self.fell_back = (topology.primary == Some(node)).then_some(now);
        self.look_at = self.fell_back.map(|since| since + REST);
    }

    /// When to look anew where it should be, though nothing has changed.
    pub(crate) fn look_at(&self) -> Option<Instant> {
        self.look_at
    }

    /// Notes that the session has looked.
    pub(crate) fn looked(&mut self) {
        self.look_at = None;
    }

    /// `node` failed it.
    pub(crate) fn shun(&mut self, node: NodeAddr, now: Instant) {
        self.shunned.retain(|(known, until)| *known != node && *until > now);
        self.shunned.push((node, now + REST));
    }

    /// Every node but the primary failed it.
    pub(crate) fn shun_others(&mut self, topology: &Topology, now: Instant) {
        for node in topology.nodes.iter().filter(|node| topology.primary != Some(node.address)) {
            self.shun(node.address, now);
        }
    }

    /// Whether `node` is not to be asked now.
    pub(crate) fn shuns(&self, node: NodeAddr, now: Instant) -> bool {
        self.shunned_until(node).is_some_and(|until| now < until)
    }

    fn shunned_until(&self, node: NodeAddr) -> Option<Instant> {
        self.shunned.iter().find(|(known, _)| *known == node).map(|(_, until)| *until)
    }

    /// Whether a read at `node` may have to wait for what other nodes have committed.
    pub(crate) fn waits_at(&self, node: NodeAddr, topology: &Topology) -> bool {
        self.sync_wait && topology.primary != Some(node)
    }

    /// Makes a link that has just logged in one for reading.
    ///
    /// # Errors
    /// The link is lost, or the node does not do it: then nothing may be sent on it.
    pub(crate) async fn bind(&self, link: &mut Link) -> Result<(), LinkError> {
        link.must(READ_ONLY).await?;
        if self.sync_wait {
            link.must(SYNC_WAIT).await?;
        }
        Ok(())
    }
}

/// Whether nothing comes from `node` any more while there is somewhere else to go. A reader that waits for a
/// reply from there waits in vain, and may read the same elsewhere.
pub(crate) fn is_mute(node: NodeAddr, topology: &Topology) -> bool {
    let mute = |known: &Node| known.address == node && known.state == NodeState::Unreachable;
    topology.nodes.iter().any(mute)
}

/// How long a node that failed a session is shunned, and how long a session stays with the primary at
/// least. Together, since a session that fell back because it shuns a node looks for it only then.
pub(crate) const REST: Duration = Duration::from_secs(10);

/// Holds for every transaction of the session, statements alone included: the server refuses what writes with
/// error 1792. It knows this form in every version, unlike the variable behind it.
const READ_ONLY: &[u8] = b"SET SESSION TRANSACTION READ ONLY";

/// Reads wait until the node has applied what the cluster had committed when they came; SHOW and BEGIN are
/// reads.
///
/// Source: MariaDB documentation, "Galera Cluster System Variables" (`wsrep_sync_wait`).
const SYNC_WAIT: &[u8] = b"SET SESSION wsrep_sync_wait=1";

#[cfg(test)]
mod tests;
