//! Nodes that the other proxies reach. A node that one proxy cannot go to is a bad primary for all. The next
//! best node is no better if another proxy cannot go there.
//!
//! Each proxy keeps a row in the cluster, with a beat that grows while the proxy lives. So reader and writer
//! of a row need no common clock.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use mysql_async::prelude::Queryable;
use mysql_async::{Conn, Error};
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep, timeout};

use super::probe::words;
use super::propose::{Proposer, is_uuid, literal, texts};
use super::topology::NodeAddr;

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

/// Report of a proxy about itself, and the node to write it to.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(crate) struct Saying {
    /// The cluster that the nodes belong to.
    pub(crate) cluster: String,
    /// The node to say it to; `None`: there is none, or nothing to say.
    pub(crate) at: Option<NodeAddr>,
    /// The nodes that answer us.
    pub(crate) reaches: BTreeSet<NodeAddr>,
}

/// Says what we reach, whenever that changes and now and then, and hands on what the others say, until
/// `heard` is closed.
pub(crate) async fn talk(
    proposer: Arc<Proposer>,
    mut saying: watch::Receiver<Saying>,
    heard: mpsc::Sender<Vec<Row>>,
) {
    let mut ready: Option<(NodeAddr, Conn)> = None;
    let mut rest = BEAT;
    loop {
        let latest = saying.borrow_and_update().clone();
        if let Some(node) = latest.at.filter(|_| is_uuid(&latest.cluster)) {
            match timeout(PATIENCE, exchange(ready.take(), node, &proposer, &latest)).await {
                Ok(Ok((conn, rows))) => {
                    rest = BEAT;
                    ready = Some((node, conn));
                    if heard.send(rows).await.is_err() {
                        return;
                    }
                }
                // The pin says it where the tables are missing.
                Ok(Err(error)) => tracing::debug!(%node, %error, "the other proxies are not heard"),
                // A cluster that forms anew lets nobody write. What hangs there may keep its connection.
                Err(_elapsed) => {
                    rest = (2 * rest).min(LONGEST_REST);
                    tracing::debug!(%node, "the other proxies are not heard in time");
                }
            }
        }
        tokio::select! {
            () = sleep(rest) => {}
            changed = saying.changed() => match changed {
                // Changes that follow at once belong to the same event.
                Ok(()) => sleep(CALM).await,
                Err(_) => return,
            },
            () = heard.closed() => return,
        }
    }
}

async fn exchange(
    kept: Option<(NodeAddr, Conn)>,
    node: NodeAddr,
    proposer: &Proposer,
    saying: &Saying,
) -> Result<(Conn, Vec<Row>), Error> {
    let mut conn = proposer.connection(kept, node).await?;
    let Saying { cluster, reaches, .. } = saying;
    let (schema, name) = (&proposer.schema, literal(&proposer.name));
    let reaches: Vec<_> = reaches.iter().map(ToString::to_string).collect();
    let reaches = reaches.join(" ");
    conn.query_drop(format!(
        "INSERT INTO `{schema}`.`proxy` (cluster, name, reaches, beat) \
         VALUES ('{cluster}', {name}, '{reaches}', 1) \
         ON DUPLICATE KEY UPDATE reaches = '{reaches}', beat = beat + 1"
    ))
    .await?;
    let rows: Vec<mysql_async::Row> = conn
        .query(format!(
            "SELECT name, reaches, CAST(beat AS CHAR) FROM `{schema}`.`proxy` \
             WHERE cluster = '{cluster}' AND name <> {name}"
        ))
        .await?;
    Ok((conn, rows.into_iter().filter_map(parse).collect()))
}

/// `None`: somebody else has made the table, and it has something else in it.
fn parse(row: mysql_async::Row) -> Option<Row> {
    let mut values = texts(row);
    let (name, reaches, beat) = (values.next()??, values.next()??, values.next()??);
    let reaches = reaches.split_whitespace().filter_map(|node| node.parse().ok().map(NodeAddr));
    Some(Row { name: words(&name), reaches: reaches.collect(), beat: beat.parse().ok()? })
}

/// How often a proxy says that it lives.
const BEAT: Duration = Duration::from_secs(5);

/// How seldom where nothing can be written.
const LONGEST_REST: Duration = Duration::from_secs(300);

/// How long it counts as alive since.
const LIVES: Duration = Duration::from_secs(20);

/// How long to wait for more of the same after a change.
const CALM: Duration = Duration::from_millis(200);

/// To write and read two rows.
const PATIENCE: Duration = Duration::from_secs(2);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::testing::views::address;

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
        let later = start + BEAT;
        peers.take(vec![row("gone", &[1], 9), row("there", &[2, 3], 5)], later);
        let one: Vec<usize> = reached(&peers, later);
        assert_eq!(one, [0, 1, 1]);
        let silent: Vec<usize> = reached(&peers, later + LIVES);
        assert_eq!(silent, [0, 0, 0], "it was not heard of again");
    }
}
