//! Members of our cluster that nobody else names: pure.
//!
//! Galera's list of members has the addresses that the nodes' own configuration gives, which may be of
//! no use to us: an inner network, a loopback address, another host's. So such a member is unconfirmed
//! at first: it is asked as any node is, but takes no part in any decision, is not remembered, and holds
//! nobody up. Once it has answered as a node of our cluster it is one that we know. One that does not is
//! left alone, and tried again after a while.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::Duration;

use tokio::time::Instant;

use super::candidates::canonical;
use crate::cluster::decide::decision::Decision;
use crate::cluster::model::node_addr::NodeAddr;
use crate::cluster::model::node_view::{Contact, NodeView};

/// The members that are not known as nodes yet, with what is kept of each one that is asked.
#[derive(Debug)]
pub(crate) struct UnconfirmedMembers<N> {
    members: BTreeMap<NodeAddr, Member<N>>,
}

#[derive(Debug)]
enum Member<N> {
    /// The node is being asked, for the first time or again.
    Asked { since: Instant, again: bool, node: N },
    /// The node did not answer as a member would.
    LeftAlone { since: Instant },
}

impl<N> UnconfirmedMembers<N> {
    /// No member yet.
    pub(crate) fn new() -> Self {
        Self { members: BTreeMap::new() }
    }

    /// Brings these in line with the `members` that are not known, for each of which `ask` starts
    /// to ask. Whoever is a member no longer, or is known now, is dropped.
    pub(crate) fn update(
        &mut self,
        members: &BTreeSet<NodeAddr>,
        now: Instant,
        mut ask: impl FnMut(NodeAddr) -> N,
    ) {
        self.members.retain(|address, _| members.contains(address));
        for (address, member) in &mut self.members {
            match member {
                Member::Asked { since, again, .. } if now - *since >= PATIENCE => {
                    if !*again {
                        tracing::info!(node = %address, "does not answer as a member would");
                    }
                    *member = Member::LeftAlone { since: now };
                }
                Member::LeftAlone { since } if now - *since >= REST => {
                    *member = Member::Asked { since: now, again: true, node: ask(*address) };
                }
                Member::Asked { .. } | Member::LeftAlone { .. } => {}
            }
        }
        for address in members {
            if self.members.len() < MAX_UNCONFIRMED && !self.members.contains_key(address) {
                tracing::info!(node = %address, "named by Galera alone: asking whether it is a node");
                let member = Member::Asked { since: now, again: false, node: ask(*address) };
                self.members.insert(*address, member);
            }
        }
    }

    /// The record of the member at `address`, while the member is asked.
    pub(crate) fn get_mut(&mut self, address: NodeAddr) -> Option<&mut N> {
        match self.members.get_mut(&address)? {
            Member::Asked { node, .. } => Some(node),
            Member::LeftAlone { .. } => None,
        }
    }

    /// Takes out a member that is confirmed: it is what it was said to be.
    pub(crate) fn take_confirmed(
        &mut self,
        is_confirmed: impl Fn(&N) -> bool,
    ) -> Option<(NodeAddr, N)> {
        let confirmed = self.members.iter().find_map(|(address, member)| match member {
            Member::Asked { node, .. } if is_confirmed(node) => Some(*address),
            Member::Asked { .. } | Member::LeftAlone { .. } => None,
        })?;
        match self.members.remove(&confirmed)? {
            Member::Asked { node, .. } => Some((confirmed, node)),
            Member::LeftAlone { .. } => None,
        }
    }
}

/// The members that the nodes of our cluster name which stand inside its primary component. Nobody
/// else is believed.
pub(crate) fn members(decision: &Decision, views: &[&NodeView]) -> BTreeSet<NodeAddr> {
    let mut all = BTreeSet::new();
    for view in views {
        if let Some(galera) = view.member().filter(|galera| decision.is_ours(galera)) {
            let members = galera.members.iter().map(|member| canonical(member.0));
            all.extend(members.filter(|member| is_reachable_from(*member, view.address)));
        }
    }
    all
}

/// Whether the member `member` can be meant by a node that we know as `node`: another host's loopback is
/// not ours, and a link has to be named for an address that holds on one link alone.
fn is_reachable_from(member: NodeAddr, node: NodeAddr) -> bool {
    let (member, node) = (member.0.ip(), node.0.ip());
    match member {
        _ if member.is_loopback() => node.is_loopback(),
        IpAddr::V6(v6) => !v6.is_unicast_link_local(),
        IpAddr::V4(v4) => !v4.is_link_local(),
    }
}

/// Whether what was asked has answered as a member of our cluster, and is not a node that answers to us at
/// another address: that would count twice, and failing over to it would lead back to where we were.
pub(crate) fn is_confirmed(decision: &Decision, known: &[&NodeView], asked: &NodeView) -> bool {
    let answers = |view: &NodeView| view.contact == Contact::Answering;
    let Some(name) = asked.name() else { return false };
    let ours = asked.member().is_some_and(|galera| decision.is_ours(galera));
    ours && !known.iter().any(|view| answers(view) && view.name() == Some(name))
}

/// How long a member may take to prove itself: many probes.
const PATIENCE: Duration = Duration::from_secs(30);

/// How long one that did not is left alone. One that joins is a member before it can answer, for as long
/// as it takes to receive the state.
const REST: Duration = Duration::from_secs(60);

/// The most members that are unconfirmed at a time. Galera clusters have a handful.
const MAX_UNCONFIRMED: usize = 16;

#[cfg(test)]
mod tests;
