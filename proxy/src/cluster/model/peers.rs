//! Nodes that the other proxies reach. A node that one proxy cannot go to is a bad primary for all. The next
//! best node is no better if another proxy cannot go there.
//!
//! Each proxy keeps a row in the cluster, with a beat that grows while the proxy lives. So reader and writer
//! of a row need no common clock.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use tokio::time::Instant;

use super::node_addr::NodeAddr;

/// A row of another proxy.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Row {
    /// Which proxy.
    pub(crate) name: String,
    /// The nodes that answer it.
    pub(crate) reaches: BTreeSet<NodeAddr>,
    /// Grows while it lives.
    pub(crate) beat: u64,
}

/// The other proxies, as far as they were heard.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Peers(BTreeMap<String, Peer>);

#[derive(Clone, Debug, PartialEq)]
struct Peer {
    row: Row,
    /// When its beat was seen to grow. `None`: not yet, it may be long gone.
    alive: Option<Instant>,
}

impl Peers {
    /// Takes in what was read now.
    pub(crate) fn take(&mut self, rows: Vec<Row>, now: Instant) {
        let rows = rows.into_iter().map(|row| {
            let known = self.0.get(&row.name);
            let grown = known.is_some_and(|known| known.row.beat != row.beat);
            let alive = if grown { Some(now) } else { known.and_then(|known| known.alive) };
            (row.name.clone(), Peer { row, alive })
        });
        self.0 = rows.collect();
    }

    /// How many of those that live reach `node`.
    pub(crate) fn reaching(&self, node: NodeAddr, now: Instant) -> usize {
        self.live(now).filter(|row| row.reaches.contains(&node)).count()
    }

    fn live(&self, now: Instant) -> impl Iterator<Item = &Row> {
        let lives = move |peer: &&Peer| {
            peer.alive.is_some_and(|alive| now.saturating_duration_since(alive) < LIVES)
        };
        self.0.values().filter(lives).map(|peer| &peer.row)
    }
}

/// How long it counts as alive since.
const LIVES: Duration = Duration::from_secs(20);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::model::testing::address;

    fn row(name: &str, reaches: &[u8], beat: u64) -> Row {
        let reaches = reaches.iter().map(|node| address(*node)).collect();
        Row { name: name.into(), reaches, beat }
    }

    /// A proxy that was taken down a year ago would have a say in where the others write.
    #[test]
    fn only_who_is_seen_to_live_counts() {
        let mut peers = Peers::default();
        let start = Instant::now();
        let reached =
            |peers: &Peers, now| (1..=3).map(|n| peers.reaching(address(n), now)).collect();
        peers.take(vec![row("gone", &[1], 9), row("there", &[2], 4)], start);
        let nobody: Vec<usize> = reached(&peers, start);
        assert_eq!(nobody, [0, 0, 0], "nobody knows yet");
        let later = start + LIVES / 2;
        peers.take(vec![row("gone", &[1], 9), row("there", &[2, 3], 5)], later);
        let one: Vec<usize> = reached(&peers, later);
        assert_eq!(one, [0, 1, 1]);
        let silent: Vec<usize> = reached(&peers, later + LIVES);
        assert_eq!(silent, [0, 0, 0], "it was not heard of again");
    }
}
