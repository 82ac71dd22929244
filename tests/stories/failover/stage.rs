//! Stage of every story here: three nodes, a proxy, a ledger and two small tables.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use lab::findings::Finding;
use lab::galera::Node;
use lab::ledger::{Ledger, Pattern, Record, Writer};
use lab::proxy::Proxy;
use lab::sql;
use lab::wait::{Look, wait_until};
use lab::whole::Builder;
use lab::{Lab, LabError, Result};
use mysql_async::OptsBuilder;
use mysql_async::prelude::FromRow;

use super::client::Client;

pub(crate) use lab::story::Story;

/// A cluster with a proxy before it.
pub(crate) struct Stage {
    pub(crate) lab: Lab,
    pub(crate) ledger: Ledger,
}

impl Stage {
    pub(crate) async fn set() -> Result<Self> {
        Self::with(|builder| builder).await
    }

    /// With other nodes or settings.
    pub(crate) async fn with(change: impl FnOnce(Builder) -> Builder) -> Result<Self> {
        let lab = change(Lab::builder().fixed_nodes().proxy()).start().await?;
        let ledger = Ledger::create(lab.galera.node(1).connect().await?, lab.proxy().part().log());
        let ledger = ledger.await?;
        lab.galera.node(1).hold(TABLES).await?;
        for node in lab.galera.nodes() {
            // A story may look at any of them at once.
            let mut root = node.hold("SET SESSION wsrep_sync_wait = 7").await?;
            sql::value::<u32>(&mut root, "SELECT COUNT(*) FROM icinga.story_value").await?;
        }
        Ok(Self { lab, ledger })
    }

    pub(crate) fn proxy(&self) -> &Proxy {
        self.lab.proxy()
    }

    /// The proxy's log.
    pub(crate) fn log(&self) -> PathBuf {
        self.proxy().part().log()
    }

    /// A client as Icinga is one: it asks for matched rows.
    pub(crate) async fn client(&self) -> Result<Client> {
        self.client_as(self.proxy().tcp_account().client_found_rows(true)).await
    }

    /// A client of another kind.
    pub(crate) async fn client_as(&self, account: OptsBuilder) -> Result<Client> {
        let account = self.lab.galera.profile().client(account);
        Client::connect(account, self.log()).await
    }

    /// One writer of every kind, by TCP and by Unix socket.
    pub(crate) async fn writers(&self) -> Result<Vec<Writer>> {
        self.writers_of(self.proxy(), &PATTERNS).await
    }

    /// Writers of these kinds, the first one by Unix socket, as clients of this proxy.
    pub(crate) async fn writers_of(
        &self,
        proxy: &Proxy,
        patterns: &[Pattern],
    ) -> Result<Vec<Writer>> {
        let mut writers = Vec::new();
        for pattern in patterns {
            let account = match writers.len() {
                0 => proxy.socket_account(),
                _ => proxy.tcp_account(),
            };
            writers.push(self.ledger.writer(*pattern, account).await?);
        }
        Ok(writers)
    }

    /// The node that clients write to now.
    pub(crate) async fn primary(&self) -> Result<&Node> {
        wait_until("a primary", RECOVERY, Some(&self.log()), async || {
            match self.proxy().primary().await {
                Ok(Some(primary)) => match self.lab.galera.node_at(primary) {
                    Some(node) => Look::Done(node),
                    None => Look::Never(format!("{primary} is no node of the lab")),
                },
                Ok(None) => self.proxy().part().look("none"),
                Err(error) => self.proxy().part().look(error),
            }
        })
        .await
    }

    /// The nodes that are not `node`.
    pub(crate) fn others(&self, node: &Node) -> Vec<&Node> {
        self.lab.galera.others(node)
    }

    /// Waits until clients write to another node than `first`.
    pub(crate) async fn moved_from(&self, first: &Node) -> Result<&Node> {
        wait_until("another primary", RECOVERY, Some(&self.log()), async || {
            match self.proxy().primary().await {
                Ok(Some(primary)) if primary != first.address() => {
                    match self.lab.galera.node_at(primary) {
                        Some(node) => Look::Done(node),
                        None => Look::Never(format!("{primary} is no node of the lab")),
                    }
                }
                Ok(primary) => self.proxy().part().look(format!("{primary:?}")),
                Err(error) => self.proxy().part().look(error),
            }
        })
        .await
    }

    /// Waits until the proxy takes `node` for one that could serve.
    pub(crate) async fn sees_synced(&self, node: &Node) -> Result<()> {
        let what = format!("{} seen as synced", node.name());
        wait_until(&what, RECOVERY, Some(&self.log()), async || {
            let status = match self.proxy().status().await {
                Ok(status) => status,
                Err(error) => return self.proxy().part().look(error),
            };
            let nodes = status["nodes"].as_array().cloned().unwrap_or_default();
            let shown = nodes.iter().find(|shown| shown["address"] == node.address().to_string());
            match shown {
                Some(shown) if shown["state"] == "synced" => Look::Done(()),
                _ => self.proxy().part().look(format!("{shown:?}")),
            }
        })
        .await
    }

    /// Waits until a client's command is under way.
    pub(crate) async fn busy(&self) -> Result<()> {
        wait_until("a busy session", SOON, Some(&self.log()), async || {
            let status = self.proxy().status().await.unwrap_or_default();
            let sessions = status["sessions"].as_array().cloned().unwrap_or_default();
            match sessions.iter().any(|session| session["state"] == "busy") {
                true => Look::Done(()),
                false => self.proxy().part().look(format!("{sessions:?}")),
            }
        })
        .await
    }

    /// Waits for a membership of all nodes that lasts. A node that was silent for almost too long may look well
    /// on all sides, and be thrown out all the same; but nobody answers a causal read while that is open.
    pub(crate) async fn settles(&self) -> Result<()> {
        wait_until("a membership that lasts", RECOVERY, Some(&self.log()), async || {
            for node in self.lab.galera.nodes() {
                let read = async {
                    let mut root = node.hold("SET SESSION wsrep_sync_wait = 7").await?;
                    sql::value::<u32>(&mut root, "SELECT COUNT(*) FROM icinga.story_value").await
                };
                if let Err(error) = read.await {
                    return node.part().look(error);
                }
            }
            for node in self.lab.galera.nodes() {
                match node.standing().await {
                    Ok(standing) if standing.synced_among(self.lab.galera.nodes().len()) => {}
                    Ok(standing) => return node.part().look(standing),
                    Err(error) => return node.part().look(error),
                }
            }
            Look::Done(())
        })
        .await
    }

    /// Waits until so many links lie ready at the next primary.
    pub(crate) async fn lies_ready(&self, links: usize) -> Result<()> {
        let line = format!("ido_proxy_warm_links {links}");
        wait_until("links that lie ready", SOON, Some(&self.log()), async || {
            match self.proxy().get("/metrics").await {
                Ok(metrics) if metrics.body.lines().any(|shown| shown == line) => Look::Done(()),
                Ok(_) => self.proxy().part().look("too few"),
                Err(error) => self.proxy().part().look(error),
            }
        })
        .await
    }

    /// A node that is in the primary component.
    pub(crate) async fn survivor(&self) -> Result<&Node> {
        wait_until("a node that serves", RECOVERY, Some(&self.log()), async || {
            for node in self.lab.galera.nodes().iter().filter(|node| node.part().runs()) {
                if node.standing().await.is_ok_and(|standing| standing.synced()) {
                    return Look::Done(node);
                }
            }
            Look::NotYet("none".into())
        })
        .await
    }

    /// The rows of `icinga.story` as token and id, after a causal read on a survivor.
    ///
    /// # Errors
    /// Also when a token is there twice.
    pub(crate) async fn rows(&self) -> Result<BTreeMap<u64, u64>> {
        let mut rows = BTreeMap::new();
        for (token, id) in self.causal("SELECT token, id FROM icinga.story").await? {
            if let Some(other) = rows.insert(token, id) {
                let reason = format!("token {token} stands under the ids {other} and {id}");
                return Err(self.failure("icinga.story", reason));
            }
        }
        Ok(rows)
    }

    /// Row `id` of `icinga.story_value`, after a causal read on a survivor.
    pub(crate) async fn value(&self, id: u32) -> Result<i64> {
        let query = format!("SELECT value FROM icinga.story_value WHERE id = {id}");
        let rows: Vec<(i64,)> = self.causal(&query).await?;
        let row = rows.first().map(|(value,)| *value);
        row.ok_or_else(|| self.failure("icinga.story_value", format!("no row {id}")))
    }

    /// The rows of `query` on a survivor that has applied all there is.
    pub(crate) async fn causal<T: FromRow + Send + 'static>(&self, query: &str) -> Result<Vec<T>> {
        let mut root = self.survivor().await?.hold("SET SESSION wsrep_sync_wait = 7").await?;
        // While the cluster forms anew, nobody knows what there is.
        sql::rows_within(&mut root, query, RECOVERY).await
    }

    /// Ends the writers; what they were told must be what stands.
    pub(crate) async fn balance(&self, writers: Vec<Writer>) -> Result<Vec<Record>> {
        let mut records = Vec::new();
        for writer in writers {
            records.push(writer.end(RECOVERY).await?);
        }
        let root = self.survivor().await?.connect().await?;
        self.ledger.must_balance(root, &records).await?;
        Ok(records)
    }

    /// Ends the lab in order.
    pub(crate) async fn end(self) -> Story {
        Ok(self.lab.end().await?)
    }

    /// A failure of a story, with the proxy's log.
    pub(crate) fn failure(&self, what: &str, reason: impl Into<String>) -> LabError {
        let log = lab::error::LogTail::of(&self.log());
        LabError::Failed { what: what.to_owned(), reason: reason.into(), log }
    }

    /// The `reply` that a client got, where an error is a failure of the story.
    pub(crate) fn heard<T>(&self, reply: mysql_async::Result<T>) -> Result<T> {
        reply.map_err(|error| self.failure("the client's view", error.to_string()))
    }

    /// `condition`, or a failure that says why not and names the log.
    pub(crate) fn must(&self, condition: bool, reason: impl Into<String>) -> Result<()> {
        if condition { Ok(()) } else { Err(self.failure("the story", reason)) }
    }

    /// Fails unless all findings about Icinga are as they should be, and says which are not.
    pub(crate) fn must_hold(&self, findings: impl IntoIterator<Item = Finding>) -> Result<()> {
        let logs = self.lab.run.logs().display();
        findings.into_iter().try_for_each(|finding| {
            self.must(finding.holds, format!("{}; all logs are in {logs}", finding.text))
        })
    }
}

const TABLES: &str = "
    USE icinga;
    CREATE TABLE icinga.story (
        id BIGINT NOT NULL AUTO_INCREMENT PRIMARY KEY,
        token BIGINT NOT NULL,
        text LONGTEXT NULL
    ) ENGINE=InnoDB;
    CREATE TABLE icinga.story_value (id INT PRIMARY KEY, value BIGINT NOT NULL) ENGINE=InnoDB;
    INSERT INTO icinga.story_value SELECT seq, 0 FROM seq_1_to_20";

/// One writer of every kind.
pub(crate) const PATTERNS: [Pattern; 5] = [
    Pattern::Batch { statements: 200 },
    Pattern::Single { statements: 10 },
    Pattern::Prepared { statements: 10 },
    Pattern::Autocommit,
    Pattern::PreparedAutocommit,
];

/// Those that are told no id before it is committed, as Icinga is in its batches: at the next primary, an id
/// that was told is kept free by the proxy that told it, and by no other.
pub(crate) const UNTOLD: [Pattern; 4] = [PATTERNS[0], PATTERNS[0], PATTERNS[3], PATTERNS[4]];

/// Galera needs about 6 s to give a silent node up, on an idle machine.
pub(crate) const RECOVERY: Duration = Duration::from_secs(60);

/// How long something that needs milliseconds may take on a busy machine.
pub(crate) const SOON: Duration = Duration::from_secs(20);
