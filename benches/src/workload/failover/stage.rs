//! The cluster with its proxies and clients, and one run on it.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use lab::error::LogTail;
use lab::galera::Node;
use lab::wait::{Look, wait_until};
use lab::{Lab, LabError, sql};
use tokio::time::sleep;

use super::account::{Record, Rows, Standing};
use super::runs::{Carried, Fault, Run, Seen, Who};
use super::writer::{Task, Writer};
use crate::client::Endpoint;
use crate::error::Result;
use crate::stand::{CHECK_USER, haproxy_before_cluster};

/// Three nodes and ido-proxy. Dropping it ends them all.
pub(super) struct Stage {
    lab: Lab,
}

impl Stage {
    /// Brings it up.
    ///
    /// # Errors
    /// When a part is missing or does not come up.
    pub(super) async fn set() -> Result<Self> {
        let lab = Lab::builder().fixed_nodes().proxy().start().await?;
        lab.galera.node(1).hold(&format!("CREATE USER {CHECK_USER}@'%'")).await?;
        Ok(Self { lab })
    }

    /// Ends it in order.
    ///
    /// # Errors
    /// When the proxy does not end well.
    pub(super) async fn end(self) -> Result<()> {
        Ok(self.lab.end().await?)
    }

    /// Strikes the primary under load, brings it back, and says what every client saw.
    ///
    /// # Errors
    /// When the cluster or the proxy does not recover, or ido-proxy's client loses a transaction,
    /// has one twice or sees an error.
    pub(super) async fn run(&self, round: usize, fault: Fault) -> Result<Run> {
        let primary = self.primary().await?;
        let survivors = self.others(primary);
        self.tables(primary, survivors[0]).await?;
        let in_order = [&[primary], &survivors[..]].concat();
        let addresses: Vec<SocketAddr> = in_order.iter().map(|node| node.address()).collect();
        let haproxy = haproxy_before_cluster(&self.lab.run, &addresses).await?;
        let start = |who: Who| {
            let address = match who {
                Who::Haproxy => haproxy.keeping,
                Who::HaproxyClosing => haproxy.closing,
                Who::Proxy => self.lab.proxy().tcp(),
                Who::Survivor => survivors[0].address(),
            };
            let (table, statements) = (who.table(), who.statements());
            Writer::start(Task { table, endpoint: Endpoint::Tcp(address), statements })
        };
        let survivor = start(Who::Survivor)?;
        let proxy = start(Who::Proxy)?;
        let keeping = start(Who::Haproxy)?;
        let closing = start(Who::HaproxyClosing)?;
        let begun = Instant::now();
        for writer in [&survivor, &proxy, &keeping, &closing] {
            self.writes(writer, begun, WARM_UP).await?;
        }

        let (struck, at) = (Instant::now(), SystemTime::now());
        match fault {
            Fault::Kill => primary.kill().await?,
            Fault::Stop => primary.stop()?,
            Fault::Term => primary.term().await?,
        }
        self.formed_without(primary, &survivors).await?;
        let formed = Instant::now();
        self.writes(&proxy, formed, AFTERWARDS).await?;
        self.writes(&survivor, formed, AFTERWARDS).await?;
        // Each writes no more than it must: what a frozen node misses, another has to keep for it,
        // and there is not room for much.
        let mut records = vec![
            (Who::Survivor, survivor.end(RECOVERY).await),
            (Who::Proxy, proxy.end(RECOVERY).await),
        ];
        let (keeping, closing) = tokio::join!(
            written_or_hung(keeping, formed, struck),
            written_or_hung(closing, formed, struck),
        );
        records.extend([(Who::Haproxy, keeping?), (Who::HaproxyClosing, closing?)]);
        let carried = self.carried(primary, at).await?;
        drop(haproxy);
        self.bring_back(primary, fault).await?;

        let mut clients = Vec::new();
        for (who, record) in records {
            let pause = record.pause(struck, formed);
            clients.push(self.seen(who, &record, pause).await?);
        }
        let (primary, survivor) = (primary.index(), survivors[0].index());
        Ok(Run { round, fault, primary, survivor, clients, carried })
    }

    /// The node that the proxy's clients write to now.
    async fn primary(&self) -> Result<&Node> {
        let proxy = self.lab.proxy();
        let found = wait_until("a primary", RECOVERY, Some(&self.log()), async || {
            let primary = match proxy.primary().await {
                Ok(primary) => primary,
                Err(error) => return proxy.part().look(error),
            };
            let mut nodes = self.lab.galera.nodes().iter();
            match nodes.find(|node| Some(node.address()) == primary) {
                Some(node) => Look::Done(node),
                None => proxy.part().look("none"),
            }
        })
        .await?;
        Ok(found)
    }

    fn others(&self, node: &Node) -> Vec<&Node> {
        self.lab.galera.nodes().iter().filter(|other| other.index() != node.index()).collect()
    }

    /// A table for each client, empty, also on the node where one of them does not go through a
    /// proxy.
    async fn tables(&self, primary: &Node, survivor: &Node) -> Result<()> {
        let table = |who: Who| {
            let table = who.table();
            format!(
                "DROP TABLE IF EXISTS {table};
                 CREATE TABLE {table} (
                     id BIGINT NOT NULL AUTO_INCREMENT PRIMARY KEY,
                     token BIGINT NOT NULL,
                     output TEXT NOT NULL
                 ) ENGINE=InnoDB"
            )
        };
        let tables: Vec<_> = Who::ALL.into_iter().map(table).collect();
        primary.hold(&tables.join(";")).await?;
        let there = format!("{CAUSAL}; SELECT 1 FROM {}", Who::Survivor.table());
        survivor.hold(&there).await?;
        Ok(())
    }

    /// Waits until a client has so many acknowledgements more than at `since`. What it meets in
    /// between is judged later.
    async fn writes(&self, writer: &Writer, since: Instant, transactions: usize) -> Result<()> {
        let what = format!("{transactions} transactions of a client");
        wait_until(&what, RECOVERY, Some(&self.log()), async || {
            writer.look(|record| match record.acknowledged_since(since) {
                some if some >= transactions => Look::Done(()),
                some => {
                    let error = record.errors.last().map_or("", String::as_str);
                    self.lab.proxy().part().look(format!("{some} {error}"))
                }
            })
        })
        .await?;
        Ok(())
    }

    /// Waits until `survivors` are a cluster without `struck`, and the proxy writes to one of them.
    async fn formed_without(&self, struck: &Node, survivors: &[&Node]) -> Result<()> {
        for node in survivors {
            let what = format!("{} among {}", node.name(), survivors.len());
            wait_until(&what, RECOVERY, Some(&node.log()), async || {
                // Seldom: asking takes from the time that is measured.
                sleep(LOOK).await;
                match node.standing().await {
                    Ok(standing) if standing.synced_among(survivors.len()) => Look::Done(()),
                    Ok(standing) => node.part().look(standing),
                    Err(error) => node.part().look(error),
                }
            })
            .await?;
        }
        wait_until("another primary", RECOVERY, Some(&self.log()), async || {
            match self.lab.proxy().primary().await {
                Ok(Some(primary)) if primary != struck.address() => Look::Done(()),
                Ok(primary) => self.lab.proxy().part().look(format!("{primary:?}")),
                Err(error) => self.lab.proxy().part().look(error),
            }
        })
        .await?;
        Ok(())
    }

    /// The proxy's account of the sessions that lost their link to `struck` after `at`.
    async fn carried(&self, struck: &Node, at: SystemTime) -> Result<Option<Carried>> {
        let status = self.lab.proxy().status().await?;
        let at = at.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64();
        let from = struck.address().to_string();
        let all = status["failovers"].as_array().cloned().unwrap_or_default();
        let all = all.into_iter().filter(|entry| {
            entry["from"] == from.as_str() && entry["at"].as_f64().is_some_and(|then| then >= at)
        });
        let all = all.filter_map(|entry| serde_json::from_value::<Carried>(entry).ok());
        Ok(all.max_by(|one, other| one.pause_ms.total_cmp(&other.pause_ms)))
    }

    /// Makes the cluster whole again, and waits until the proxy knows.
    async fn bring_back(&self, struck: &Node, fault: Fault) -> Result<()> {
        match fault {
            Fault::Kill | Fault::Term => struck.launch(false)?,
            Fault::Stop => struck.cont()?,
        }
        // A node that wakes up believes at first that nothing has happened: the others know better,
        // and by the time they count it in again, so does it.
        self.lab.galera.all_synced(RECOVERY).await?;
        struck.ready(RECOVERY).await?;
        let proxy = self.lab.proxy();
        let what = "all nodes seen as synced";
        wait_until(what, RECOVERY, Some(&self.log()), async || {
            let status = match proxy.status().await {
                Ok(status) => status,
                Err(error) => return proxy.part().look(error),
            };
            let nodes = status["nodes"].as_array().cloned().unwrap_or_default();
            let synced = nodes.iter().filter(|node| node["state"] == "synced").count();
            match synced == self.lab.galera.nodes().len() {
                true => Look::Done(()),
                false => proxy.part().look(format!("{nodes:?}")),
            }
        })
        .await?;
        Ok(())
    }

    /// Compares what a client was told with what stands.
    async fn seen(&self, who: Who, record: &Record, pause: Option<Duration>) -> Result<Seen> {
        let mut root = self.lab.galera.node(1).hold(CAUSAL).await?;
        let (table, statements) = (who.table(), who.statements());
        let query = format!(
            "SELECT token DIV {statements} AS batch, COUNT(*), COUNT(DISTINCT token)
             FROM {table} GROUP BY batch"
        );
        let rows: Vec<(u64, u64, u64)> = sql::rows_within(&mut root, &query, RECOVERY).await?;
        let rows = rows.into_iter().map(|(batch, all, tokens)| (batch, Rows { all, tokens }));
        let stands: Standing = rows.collect();
        let balance = record.judged(u64::from(statements), &stands);
        let seen = Seen {
            who,
            transactions: record.acknowledged.len() as u64,
            pause_ms: pause.map(|pause| pause.as_secs_f64() * 1e3),
            errors: record.errors.len() as u64,
            first_error: record.errors.first().cloned(),
            lost: balance.lost,
            doubled: balance.doubled,
            rows_sent: balance.rows_sent,
            rows_lost: balance.rows_lost,
        };
        if who == Who::Proxy && !seen.is_clean() {
            let reason = format!("not everything stands once, without an error: {seen:?}");
            let (what, log) = ("ido-proxy's client".into(), LogTail::of(&self.log()));
            return Err(LabError::Failed { what, reason, log }.into());
        }
        Ok(seen)
    }

    /// The proxy's log.
    fn log(&self) -> PathBuf {
        self.lab.proxy().part().log()
    }
}

impl Seen {
    /// Whether the client has met no error, nothing was left unanswered, and each of its rows
    /// stands once.
    fn is_clean(&self) -> bool {
        let answered = self.transactions * u64::from(self.who.statements());
        (self.errors, self.lost, self.doubled, self.rows_lost) == (0, 0, 0, 0)
            && self.rows_sent == answered
    }
}

impl Who {
    /// The table that is its own.
    fn table(self) -> String {
        let name = match self {
            Self::Haproxy => "haproxy",
            Self::HaproxyClosing => "haproxy_closing",
            Self::Proxy => "proxy",
            Self::Survivor => "survivor",
        };
        format!("icinga.bench_{name}")
    }

    /// Rows of one of its transactions.
    fn statements(self) -> u32 {
        match self {
            Self::Haproxy | Self::HaproxyClosing | Self::Proxy => 20,
            Self::Survivor => 1,
        }
    }
}

/// Ends a client when it writes again after `formed`, or when [`HANGS`] have gone by since
/// `struck`.
async fn written_or_hung(writer: Writer, formed: Instant, struck: Instant) -> Result<Record> {
    wait_until("a client that writes or hangs", RECOVERY, None, async || {
        match writer.look(|record| record.acknowledged_since(formed)) {
            some if some >= AFTERWARDS || struck.elapsed() >= HANGS => Look::Done(()),
            some => Look::NotYet(some.to_string()),
        }
    })
    .await?;
    Ok(writer.end(PROMPT).await)
}

/// A client that has heard nothing for so long after the fault hangs.
pub(super) const HANGS: Duration = Duration::from_secs(30);

/// Transactions to acknowledge before the fault.
const WARM_UP: usize = 100;
/// Transactions to acknowledge after the fault.
const AFTERWARDS: usize = 20;

/// Galera needs about 6 s to give a silent node up; a node that is brought back may need more.
const RECOVERY: Duration = Duration::from_secs(90);
/// A client that writes ends its batch sooner.
const PROMPT: Duration = Duration::from_secs(2);
const LOOK: Duration = Duration::from_millis(250);

/// Makes the statements that follow see everything that the cluster has committed.
const CAUSAL: &str = "SET SESSION wsrep_sync_wait = 7";
