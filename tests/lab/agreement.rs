//! Whether proxies name the same primary, all the time: asked of each of them over and over.

use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use tokio::task::JoinHandle;
use tokio::time::sleep;
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::error::{LabError, Result};
use crate::http::fetch;
use crate::proxy::Proxy;

/// Watches until it is told to end. Dropping it ends it too, without a word.
#[derive(Debug)]
pub struct Watch {
    stop: DropGuard,
    task: JoinHandle<Seen>,
}

/// The disagreements that a watch has seen.
#[derive(Debug, Default)]
pub struct Seen {
    /// The longest time for which two proxies named different primaries, or one of them none: one that gives
    /// a silent node up before the cluster does, names none until it has.
    pub longest: Duration,
    /// The longest time for which they named two.
    pub two: Duration,
    /// How often all of them were asked.
    pub looks: u64,
    epochs: BTreeMap<u64, SocketAddr>,
    apart: Option<Instant>,
    split: Option<Instant>,
    broken: Vec<String>,
}

impl Watch {
    /// Begins to ask `proxies`, ten times a second. One that does not answer is not counted: it does not
    /// run.
    pub fn begin(proxies: &[Proxy]) -> Self {
        let stop = CancellationToken::new();
        let asked: Vec<_> = proxies.iter().map(Proxy::http).collect();
        let stopped = stop.clone();
        let task = tokio::spawn(async move {
            let mut seen = Seen::default();
            let watching = async {
                loop {
                    let mut named = Vec::new();
                    for http in &asked {
                        named.extend(pinned(*http).await);
                    }
                    seen.take(&named);
                    sleep(PACE).await;
                }
            };
            stopped.run_until_cancelled(watching).await;
            seen
        });
        Self { stop: stop.drop_guard(), task }
    }

    /// Ends it.
    ///
    /// # Errors
    /// Two proxies named different nodes for the same epoch: two primaries at a time.
    pub async fn end(self) -> Result<Seen> {
        drop(self.stop);
        let seen = self.task.await.map_err(|error| LabError::Refused(error.to_string()))?;
        match seen.broken.first() {
            None => Ok(seen),
            Some(_) => Err(LabError::Refused(seen.broken.join("; "))),
        }
    }
}

/// Epoch and primary of a proxy that goes by the pin.
type Named = (u64, Option<SocketAddr>);

impl Seen {
    fn take(&mut self, named: &[Named]) {
        self.looks += 1;
        for (epoch, node) in named {
            let Some(node) = node else { continue };
            let known = *self.epochs.entry(*epoch).or_insert(*node);
            if known != *node {
                self.broken.push(format!("{known} and {node} in epoch {epoch}"));
            }
        }
        let apart = named.iter().any(|(_, node)| *node != named[0].1);
        lasts(apart, &mut self.apart, &mut self.longest);
        let mut nodes = named.iter().filter_map(|(_, node)| *node);
        let first = nodes.next();
        lasts(nodes.any(|node| Some(node) != first), &mut self.split, &mut self.two);
    }
}

impl fmt::Display for Seen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { longest, two, looks, .. } = self;
        write!(f, "apart for {longest:.1?} at most, at two nodes for {two:.1?}, in {looks} looks")
    }
}

/// Keeps the longest time for which something was so.
fn lasts(is_so: bool, since: &mut Option<Instant>, longest: &mut Duration) {
    match since {
        _ if !is_so => *since = None,
        None => *since = Some(Instant::now()),
        Some(since) => *longest = (*longest).max(since.elapsed()),
    }
}

async fn pinned(http: SocketAddr) -> Option<Named> {
    let status = fetch(http, "/status").await.ok()?.json();
    let epoch = status["epoch"].as_u64().filter(|_| status["agreed"] == true)?;
    Some((epoch, status["primary"].as_str().and_then(|address| address.parse().ok())))
}

/// From one look to the next.
const PACE: Duration = Duration::from_millis(100);

#[cfg(test)]
mod tests {
    use super::*;

    /// A watch that sees nothing would let every story about agreement pass.
    #[test]
    fn two_primaries_of_one_epoch_are_seen() {
        let [one, other] = ["127.0.0.1:1", "127.0.0.1:2"].map(|node| node.parse().ok());
        let mut seen = Seen::default();
        seen.take(&[(1, one), (1, one)]);
        seen.take(&[(2, other), (1, one)]);
        assert!(seen.broken.is_empty() && seen.apart.is_some() && seen.split.is_some());
        seen.take(&[(2, other), (1, None)]);
        assert!(seen.apart.is_some() && seen.split.is_none(), "one names none");
        seen.take(&[(2, other), (2, one)]);
        assert_eq!(seen.broken, ["127.0.0.1:2 and 127.0.0.1:1 in epoch 2"]);
    }
}
