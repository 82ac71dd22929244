//! The nodes we know, whatever anybody says today.
//!
//! Discovery names candidates, never health: a node that drops out of DNS (a failed Consul check, a
//! lagging name server, a lie) may well be the one that works. So an answer only ever adds, and a
//! node is forgotten when it has been missing for long from the good answers of *every* source, the
//! cluster's own list of members among them, *and* does not answer itself. A source that fails, or
//! was not heard yet, speaks for whatever it named last, or may have named.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::time::Duration;

use tokio::time::Instant;

use super::source::{Candidate, Source};
use crate::cluster::model::node_addr::NodeAddr;

/// The union of the fixed list, of what every source says and of what they once said.
#[derive(Debug)]
pub(crate) struct Candidates {
    fixed: BTreeSet<NodeAddr>,
    excluded: BTreeSet<NodeAddr>,
    found: BTreeMap<NodeAddr, Found>,
    /// The last good answer of each source; `None` before its first one.
    answers: BTreeMap<Source, Option<Answer>>,
}

/// The answer of a source.
#[derive(Debug)]
struct Answer {
    at: Instant,
    /// The priority of each node.
    nodes: BTreeMap<NodeAddr, u16>,
}

#[derive(Debug)]
struct Found {
    priority: u16,
    /// The source that named the node first; `None` if an earlier run knew the node.
    by: Option<Source>,
    /// Set by the first good answer after which nobody speaks for it.
    absent_since: Option<Instant>,
}

impl Candidates {
    /// Knows `fixed`, and never `excluded`. No node is forgotten before each of `sources` was heard.
    pub(crate) fn new(
        fixed: &[NodeAddr],
        excluded: &[SocketAddr],
        sources: impl IntoIterator<Item = Source>,
    ) -> Self {
        let excluded: BTreeSet<_> = excluded.iter().map(|address| canonical(*address)).collect();
        let fixed = fixed
            .iter()
            .map(|node| canonical(node.0))
            .filter(|node| !excluded.contains(node))
            .collect();
        let answers = sources.into_iter().map(|source| (source, None)).collect();
        Self { fixed, excluded, found: BTreeMap::new(), answers }
    }

    /// Takes back what an earlier run knew.
    pub(crate) fn recall(&mut self, remembered: &[Candidate]) {
        for Candidate { address, priority } in remembered {
            let address = canonical(address.0);
            if self.may_be_a_node(address) {
                self.add(address, *priority, None);
            }
        }
    }

    /// Takes in one good answer: adds what is new, and forgets what was missing from the answers of each
    /// source for [`FORGET_AFTER`], and from what `is_alive` vouches for. A failed lookup is not an
    /// answer, and so are no nodes at all: both change nothing, and what is not heard of meanwhile is not
    /// missing.
    pub(crate) fn merge(
        &mut self,
        source: Source,
        answer: &[Candidate],
        now: Instant,
        is_alive: impl Fn(NodeAddr) -> bool,
    ) {
        let mut named = BTreeMap::new();
        for candidate in answer {
            let address = canonical(candidate.address.0);
            if self.may_be_a_node(address) {
                let priority = named.entry(address).or_insert(candidate.priority);
                *priority = candidate.priority.min(*priority);
            }
        }
        if named.is_empty() {
            return;
        }
        let addresses: Vec<_> = named.keys().copied().collect();
        self.answers.insert(source, Some(Answer { at: now, nodes: named }));
        for address in addresses {
            // Membership in Galera tells nothing of a preference, and the fixed list needs no support.
            let is_news = !self.found.contains_key(&address) && !self.fixed.contains(&address);
            if source != Source::Members || is_news {
                self.add(address, self.best_priority(address), Some(source));
            }
        }
        self.forget(now, is_alive);
    }

    /// Every known node, by address.
    pub(crate) fn all(&self) -> Vec<Candidate> {
        let fixed_only = self
            .fixed
            .iter()
            .filter(|address| !self.found.contains_key(*address))
            .map(|address| Candidate { address: *address, priority: 0 });
        let mut all: Vec<_> = self.found().into_iter().chain(fixed_only).collect();
        all.sort_unstable();
        all
    }

    /// The nodes that somebody named, by address: what is worth remembering.
    pub(crate) fn found(&self) -> Vec<Candidate> {
        self.found
            .iter()
            .map(|(address, found)| Candidate { address: *address, priority: found.priority })
            .collect()
    }

    /// Whether a node can be at `address`: neither nobody nor ourselves are.
    pub(crate) fn may_be_a_node(&self, address: NodeAddr) -> bool {
        is_host(address) && !self.excluded.contains(&address)
    }

    /// The best that the sources say now: two that disagree must not make it change all the time.
    fn best_priority(&self, address: NodeAddr) -> u16 {
        let answers = self.answers.values().flatten();
        answers.filter_map(|answer| answer.nodes.get(&address)).min().copied().unwrap_or(u16::MAX)
    }

    fn add(&mut self, address: NodeAddr, priority: u16, by: Option<Source>) {
        if let Some(found) = self.found.get_mut(&address) {
            found.priority = priority;
        } else if self.found.values().filter(|found| found.by == by).count() < MAX_FOUND {
            self.found.insert(address, Found { priority, by, absent_since: None });
        }
    }

    fn forget(&mut self, now: Instant, is_alive: impl Fn(NodeAddr) -> bool) {
        let answers = &self.answers;
        // Every source has answered since `oldest`.
        let oldest = answers.values().map(|answer| answer.as_ref().map(|answer| answer.at)).min();
        let Some(Some(oldest)) = oldest else { return };
        self.found.retain(|address, found| {
            let mut answers = answers.values().flatten();
            if answers.any(|answer| answer.nodes.contains_key(address)) || is_alive(*address) {
                found.absent_since = None;
                return true;
            }
            let since = *found.absent_since.get_or_insert(now);
            oldest.saturating_duration_since(since) < FORGET_AFTER
        });
    }
}

/// One node has one address: `::ffff:192.0.2.1` is `192.0.2.1`.
pub(super) fn canonical(address: SocketAddr) -> NodeAddr {
    NodeAddr(SocketAddr::new(address.ip().to_canonical(), address.port()))
}

/// Whether this can be a host's address. `0.0.0.0` would connect to ourselves.
fn is_host(address: NodeAddr) -> bool {
    let ip = address.0.ip();
    let broadcast = matches!(ip, std::net::IpAddr::V4(v4) if v4.is_broadcast());
    address.0.port() != 0 && !ip.is_unspecified() && !ip.is_multicast() && !broadcast
}

/// How long a node must be missing from every source, and dead, to be forgotten. Longer than the
/// restart of a server, shorter than the patience of who reads the list of nodes.
const FORGET_AFTER: Duration = Duration::from_secs(600);

/// The most nodes that one source may make us probe: one that lies must not crowd out the others.
/// Galera clusters have a handful.
const MAX_FOUND: usize = 64;

#[cfg(test)]
mod tests;
