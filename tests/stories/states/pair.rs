//! Stage of every story here: three nodes, two proxies, a client that writes through each, and a watch that sees
//! whether they agree.

use std::time::Duration;

use lab::agreement::Watch;
use lab::error::LogTail;
use lab::galera::Node;
use lab::ledger::{Ledger, Pattern, Writer};
use lab::proxy::Proxy;
use lab::wait::{Look, wait_until};
use lab::{Lab, LabError, Result};

pub(crate) use lab::story::Story;

pub(crate) struct Pair {
    pub(crate) lab: Lab,
    ledger: Ledger,
    writers: Vec<Writer>,
    watch: Watch,
}

impl Pair {
    /// Each proxy has a client.
    pub(crate) async fn set() -> Result<Self> {
        Self::with_clients_of(&[0, 1]).await
    }

    /// These proxies have clients.
    pub(crate) async fn with_clients_of(proxies: &[usize]) -> Result<Self> {
        Self::of(Lab::builder().fixed_nodes().proxies(2).start().await?, proxies).await
    }

    /// Sets the stage in a lab that has been prepared.
    pub(crate) async fn of(lab: Lab, proxies: &[usize]) -> Result<Self> {
        let root = lab.galera.node(1).connect().await?;
        let ledger = Ledger::create(root, lab.proxy().part().log()).await?;
        let watch = Watch::begin(&lab.proxies);
        let mut pair = Self { lab, ledger, writers: Vec::new(), watch };
        pair.moved(1).await?;
        for proxy in proxies.iter().map(|proxy| &pair.lab.proxies[*proxy]) {
            let pattern = Pattern::Batch { statements: 20 };
            pair.writers.push(pair.ledger.writer(pattern, proxy.tcp_account()).await?);
        }
        pair.go_on().await?;
        Ok(pair)
    }

    /// Waits until every client has written more.
    pub(crate) async fn go_on(&self) -> Result<()> {
        self.goes_on(5).await
    }

    /// Waits until every client has written so many transactions more.
    pub(crate) async fn goes_on(&self, transactions: u64) -> Result<()> {
        self.goes_on_within(transactions, RECOVERY).await
    }

    /// Waits until every client has written so many transactions more, each client within `deadline`.
    pub(crate) async fn goes_on_within(&self, transactions: u64, deadline: Duration) -> Result<()> {
        for writer in &self.writers {
            writer.writes(transactions, deadline).await?;
        }
        Ok(())
    }

    /// Waits until both proxies are at this epoch, and returns the node.
    pub(crate) async fn moved(&self, epoch: u64) -> Result<&Node> {
        let what = format!("both proxies at epoch {epoch}");
        let log = self.lab.proxy().part().log();
        let node = wait_until(&what, RECOVERY, Some(&log), async || {
            let mut named = Vec::new();
            for proxy in &self.lab.proxies {
                match proxy.status().await {
                    Ok(status) => named.push((status["epoch"].clone(), status["primary"].clone())),
                    Err(error) => return proxy.part().look(error),
                }
            }
            let together = named[0] == named[1] && named[0].0 == epoch;
            match named[0].1.as_str().filter(|_| together) {
                Some(node) => Look::Done(node.to_owned()),
                None => Look::NotYet(format!("{named:?}")),
            }
        })
        .await?;
        let known = node.parse().ok().and_then(|node| self.lab.galera.node_at(node));
        known.ok_or_else(|| LabError::Refused(format!("{node} is no node of the lab")))
    }

    /// The nodes that are not `node`.
    pub(crate) fn others(&self, node: &Node) -> Vec<&Node> {
        self.lab.galera.others(node)
    }

    /// Waits until every proxy shows this `reason` of `node`.
    pub(crate) async fn shown(&self, node: &Node, reason: &str) -> Result<()> {
        for proxy in &self.lab.proxies {
            shown(proxy, node, reason).await?;
        }
        Ok(())
    }

    /// Waits until every proxy finds nothing wrong with `node`.
    pub(crate) async fn usable(&self, node: &Node) -> Result<()> {
        for proxy in &self.lab.proxies {
            usable(proxy, node).await?;
        }
        Ok(())
    }

    /// No transaction was done again: whoever moved did so between two of them. One client writes, as of
    /// two masters one does: of two, each moves when its own transaction ends, and until the other one has
    /// followed they write to two nodes, where one may be in the way of the other.
    pub(crate) async fn nothing_was_replayed(&self) -> Result<()> {
        for proxy in &self.lab.proxies {
            let metrics = proxy.get("/metrics").await?.body;
            let none = metrics.lines().any(|line| line == "ido_proxy_replays_total 0");
            self.must(none, format!("{} has replayed", proxy.part().name()))?;
        }
        Ok(())
    }

    /// Waits until Galera has stopped writes at `node` for so long, in all.
    pub(crate) async fn stands_still(&self, node: &Node, long: Duration) -> Result<()> {
        let what = format!("{} has stood still for {long:?}", node.name());
        wait_until(&what, RECOVERY, Some(&node.log()), async || {
            match node.counter("wsrep_flow_control_paused_ns").await.map(Duration::from_nanos) {
                Ok(paused) if paused >= long => Look::Done(()),
                Ok(paused) => node.part().look(format!("{paused:?}")),
                Err(error) => node.part().look(error),
            }
        })
        .await
    }

    /// Whoever looks for the reason why everything is slow finds how long the node has waited for another one.
    pub(crate) async fn shows_that_it_stood_still(&self, node: &Node) -> Result<()> {
        let name = "ido_proxy_node_flow_control_paused_seconds";
        let series = format!("{name}{{node=\"{}\"}} ", node.address());
        for proxy in &self.lab.proxies {
            let metrics = proxy.get("/metrics").await?.body;
            let shown = metrics.lines().find_map(|line| line.strip_prefix(&series));
            let seconds = shown.and_then(|seconds| seconds.parse::<f64>().ok()).unwrap_or_default();
            self.must(seconds > 1.0, format!("{} shows {shown:?}", proxy.part().name()))?;
        }
        Ok(())
    }

    /// Ends the clients: none has met an error, and what they were told is what stands. No two proxies
    /// have named different nodes for one epoch.
    pub(crate) async fn end(self) -> Story {
        self.longest_pause().await?;
        Ok(())
    }

    /// Ends the clients as [`Self::end`] does, and tells how long a client waited at most.
    pub(crate) async fn longest_pause(self) -> Result<Duration> {
        let mut records = Vec::new();
        for writer in self.writers {
            records.push(writer.end(RECOVERY).await?);
        }
        let primary = self.lab.proxy().primary().await?;
        let primary = primary.and_then(|primary| self.lab.galera.node_at(primary));
        let primary = primary.ok_or_else(|| LabError::Refused("there is no primary".into()))?;
        let root = primary.connect().await?;
        self.ledger.must_balance(root, &records).await?;
        let seen = self.watch.end().await?;
        eprintln!("{seen}");
        self.lab.end().await?;
        Ok(records.iter().map(|record| record.longest_pause).max().unwrap_or_default())
    }

    pub(crate) fn must(&self, condition: bool, reason: impl Into<String>) -> Result<()> {
        if condition {
            return Ok(());
        }
        let log = LogTail::of(&self.lab.proxy().part().log());
        Err(LabError::Failed { what: "the story".into(), reason: reason.into(), log })
    }
}

/// Waits until `proxy` shows this `reason` of `node`.
pub(crate) async fn shown(proxy: &Proxy, node: &Node, reason: &str) -> Result<()> {
    let what = format!("{} shown as: {reason}", node.name());
    shows(&what, proxy, node, |shown| {
        shown["reason"].as_str().is_some_and(|shown| shown.contains(reason))
    })
    .await
}

/// Waits until `proxy` finds nothing wrong with `node`.
pub(crate) async fn usable(proxy: &Proxy, node: &Node) -> Result<()> {
    let what = format!("{} usable", node.name());
    shows(&what, proxy, node, |shown| shown["usable"] == true).await
}

/// Waits until what `proxy` shows of `node` is as it should be.
async fn shows(
    what: &str,
    proxy: &Proxy,
    node: &Node,
    as_it_should: impl Fn(&serde_json::Value) -> bool,
) -> Result<()> {
    // One that could not be trusted is left alone for up to a minute.
    wait_until(what, 2 * RECOVERY, Some(&proxy.part().log()), async || {
        let status = match proxy.status().await {
            Ok(status) => status,
            Err(error) => return proxy.part().look(error),
        };
        let nodes = status["nodes"].as_array().cloned().unwrap_or_default();
        match nodes.iter().find(|shown| shown["address"] == node.address().to_string()) {
            Some(shown) if as_it_should(shown) => Look::Done(()),
            shown => proxy.part().look(format!("{shown:?}")),
        }
    })
    .await
}

/// Galera needs about 6 s to give a silent node up, on an idle machine.
pub(crate) const RECOVERY: Duration = Duration::from_secs(60);
