//! The nodes we know, whatever the name servers say today.
//!
//! Discovery names candidates, never health: a node that drops out of DNS (a failed Consul check, a
//! lagging name server, a lie) may well be the one that works. So an answer only ever adds, and a
//! node is forgotten when it has been missing for long from good answers *and* from the cluster.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::time::Duration;

use tokio::time::Instant;

use super::topology::NodeAddr;

/// A node that may be part of the cluster.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) struct Candidate {
    /// Where it listens.
    pub(crate) address: NodeAddr,
    /// Lower is preferred, as in an SRV record (RFC 2782). All proxies learn it from the same DNS,
    /// which is why the order of a fixed list, one per proxy, says nothing.
    pub(crate) priority: u16,
}

/// The union of the fixed list, of what DNS says and of what it once said.
#[derive(Debug)]
pub(crate) struct Candidates {
    fixed: BTreeSet<NodeAddr>,
    excluded: BTreeSet<NodeAddr>,
    found: BTreeMap<NodeAddr, Found>,
}

#[derive(Debug)]
struct Found {
    priority: u16,
    /// Set by the first good answer without this node while nothing else spoke for it.
    absent_since: Option<Instant>,
}

impl Candidates {
    /// Knows `fixed`, and never `excluded`.
    pub(crate) fn new(fixed: &[NodeAddr], excluded: &[SocketAddr]) -> Self {
        let excluded: BTreeSet<_> = excluded.iter().map(|address| canonical(*address)).collect();
        let fixed = fixed
            .iter()
            .map(|node| canonical(node.0))
            .filter(|node| !excluded.contains(node))
            .collect();
        Self { fixed, excluded, found: BTreeMap::new() }
    }

    /// Takes back what an earlier run knew.
    pub(crate) fn recall(&mut self, remembered: &[Candidate]) {
        for candidate in remembered {
            self.add(*candidate);
        }
    }

    /// Takes in one good answer: adds what is new, and forgets what was missing all through the
    /// last [`FORGET_AFTER`], both from the answers and from what `is_alive` vouches for. A failed
    /// lookup is not an answer, and so are no nodes at all: both change nothing.
    pub(crate) fn merge(
        &mut self,
        answer: &[Candidate],
        now: Instant,
        is_alive: impl Fn(NodeAddr) -> bool,
    ) {
        if answer.is_empty() {
            return;
        }
        for (address, found) in &mut self.found {
            if is_alive(*address) {
                found.absent_since = None;
            } else {
                found.absent_since.get_or_insert(now);
            }
        }
        for candidate in answer {
            self.add(*candidate);
        }
        self.found.retain(|_, found| {
            found
                .absent_since
                .is_none_or(|since| now.saturating_duration_since(since) < FORGET_AFTER)
        });
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

    /// The nodes that came from DNS, by address: what is worth remembering.
    pub(crate) fn found(&self) -> Vec<Candidate> {
        self.found
            .iter()
            .map(|(address, found)| Candidate { address: *address, priority: found.priority })
            .collect()
    }

    fn add(&mut self, candidate: Candidate) {
        let address = canonical(candidate.address.0);
        if !is_host(address) || self.excluded.contains(&address) {
            return;
        }
        if self.found.len() >= MAX_FOUND && !self.found.contains_key(&address) {
            return;
        }
        self.found.insert(address, Found { priority: candidate.priority, absent_since: None });
    }
}

/// One node has one address: `::ffff:192.0.2.1` is `192.0.2.1`.
fn canonical(address: SocketAddr) -> NodeAddr {
    NodeAddr(SocketAddr::new(address.ip().to_canonical(), address.port()))
}

/// Whether this can be a host's address. `0.0.0.0` would connect to ourselves.
fn is_host(address: NodeAddr) -> bool {
    let ip = address.0.ip();
    let broadcast = matches!(ip, std::net::IpAddr::V4(v4) if v4.is_broadcast());
    address.0.port() != 0 && !ip.is_unspecified() && !ip.is_multicast() && !broadcast
}

/// How long a node must be missing from DNS, and dead, to be forgotten. Longer than the
/// restart of a server, shorter than the patience of who reads the list of nodes.
const FORGET_AFTER: Duration = Duration::from_secs(600);

/// The most nodes that DNS may make us probe. Galera clusters have a handful.
const MAX_FOUND: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    fn node(last: u8) -> Candidate {
        let address = NodeAddr(SocketAddr::from(([192, 0, 2, last], 3306)));
        Candidate { address, priority: 1 }
    }

    fn addresses(candidates: &Candidates) -> Vec<NodeAddr> {
        candidates.all().iter().map(|candidate| candidate.address).collect()
    }

    #[test]
    fn a_node_missing_from_one_answer_stays() {
        let now = Instant::now();
        let mut candidates = Candidates::new(&[], &[]);
        candidates.merge(&[node(1), node(2)], now, |_| false);
        candidates.merge(&[node(2)], now, |_| false);
        assert_eq!(candidates.all(), [node(1), node(2)]);
    }

    #[test]
    fn an_empty_answer_changes_nothing_however_long_it_lasts() {
        let now = Instant::now();
        let mut candidates = Candidates::new(&[], &[]);
        candidates.merge(&[node(1)], now, |_| false);
        candidates.merge(&[], now + FORGET_AFTER * 2, |_| false);
        candidates.merge(&[], now + FORGET_AFTER * 4, |_| false);
        assert_eq!(candidates.all(), [node(1)]);
    }

    #[test]
    fn a_node_is_forgotten_only_when_long_gone() {
        let now = Instant::now();
        let mut candidates = Candidates::new(&[], &[]);
        candidates.merge(&[node(1), node(2)], now, |_| true);
        candidates.merge(&[node(2)], now, |_| false);
        candidates.merge(&[node(2)], now + FORGET_AFTER - Duration::from_secs(1), |_| false);
        assert_eq!(candidates.all(), [node(1), node(2)], "not gone for long enough");
        candidates.merge(&[node(2)], now + FORGET_AFTER, |_| false);
        assert_eq!(candidates.all(), [node(2)]);
    }

    #[test]
    fn a_node_that_lives_on_without_dns_survives_its_next_restart_too() {
        let now = Instant::now();
        let mut candidates = Candidates::new(&[], &[]);
        candidates.merge(&[node(1), node(2)], now, |_| true);
        candidates.merge(&[node(2)], now, |_| true);
        candidates.merge(&[node(2)], now + FORGET_AFTER * 3, |_| true);
        candidates.merge(&[node(2)], now + FORGET_AFTER * 3, |_| false);
        assert_eq!(candidates.all(), [node(1), node(2)], "it was there a moment ago");
        candidates.merge(&[node(2)], now + FORGET_AFTER * 4, |_| false);
        assert_eq!(candidates.all(), [node(2)]);
    }

    #[test]
    fn a_node_that_flaps_in_dns_is_never_forgotten() {
        let mut now = Instant::now();
        let mut candidates = Candidates::new(&[], &[]);
        for _ in 0..20 {
            candidates.merge(&[node(1), node(2)], now, |_| false);
            candidates.merge(&[node(2)], now + FORGET_AFTER / 2, |_| false);
            now += FORGET_AFTER;
        }
        assert_eq!(candidates.all(), [node(1), node(2)]);
    }

    #[test]
    fn the_fixed_list_holds_whatever_dns_says() {
        let now = Instant::now();
        let mut candidates = Candidates::new(&[node(9).address], &[]);
        candidates.merge(&[node(1)], now, |_| false);
        candidates.merge(&[node(1)], now + FORGET_AFTER * 2, |_| false);
        assert_eq!(addresses(&candidates), [node(1).address, node(9).address]);
    }

    #[test]
    fn the_priority_of_dns_holds_for_a_fixed_node_too() {
        let mut candidates = Candidates::new(&[node(1).address], &[]);
        candidates.merge(&[node(1)], Instant::now(), |_| false);
        assert_eq!(candidates.all(), [node(1)]);
    }

    #[test]
    fn the_proxy_never_becomes_its_own_node() {
        let mut candidates = Candidates::new(&[node(1).address], &[node(1).address.0]);
        candidates.merge(&[node(1), node(2)], Instant::now(), |_| true);
        assert_eq!(candidates.all(), [node(2)]);
    }

    #[test]
    fn addresses_that_are_no_host_are_dropped() {
        let lies =
            ["0.0.0.0:3306", "224.0.0.1:3306", "255.255.255.255:3306", "[::]:3306", "192.0.2.1:0"];
        let answer: Vec<_> = lies
            .iter()
            .map(|lie| Candidate { address: NodeAddr(lie.parse().unwrap()), priority: 0 })
            .collect();
        let mut candidates = Candidates::new(&[], &[]);
        candidates.merge(&answer, Instant::now(), |_| true);
        assert_eq!(candidates.all(), []);
    }

    #[test]
    fn a_mapped_address_is_the_same_node() {
        let mapped = Candidate {
            address: NodeAddr("[::ffff:192.0.2.1]:3306".parse().unwrap()),
            priority: 1,
        };
        let mut candidates = Candidates::new(&[], &[]);
        candidates.merge(&[mapped, node(1)], Instant::now(), |_| true);
        assert_eq!(candidates.all(), [node(1)]);
    }

    #[test]
    fn an_answer_of_thousands_does_not_make_us_probe_thousands() {
        let flood: Vec<_> = (0..5_000u16)
            .map(|n| {
                let [high, low] = n.to_be_bytes();
                let address = NodeAddr(SocketAddr::from(([10, 0, high, low], 3306)));
                Candidate { address, priority: 0 }
            })
            .collect();
        let mut candidates = Candidates::new(&[node(1).address], &[]);
        candidates.merge(&flood, Instant::now(), |_| true);
        assert_eq!(candidates.all().len(), MAX_FOUND + 1);
    }
}
