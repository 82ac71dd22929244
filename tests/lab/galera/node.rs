//! One Galera node: its server process, what it says of itself, and what can be done to it.

use std::collections::HashMap;
use std::fmt;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use mysql_async::{Conn, Row};

use super::server::{GENERAL_LOG, cluster_arguments, server};
use super::{Crowd, GaleraSpec, ICINGA_USER, Profile};
use crate::certificates::NodeFiles;
use crate::counters;
use crate::error::{Context, LabError, Result};
use crate::part::Part;
use crate::process::{Process, Program};
use crate::run::Run;
use crate::sql;
use crate::wait::{Look, wait_until};

/// A node of the lab's cluster, running or not.
#[derive(Debug)]
pub struct Node {
    index: u8,
    profile: Profile,
    run: Arc<Run>,
    folder: PathBuf,
    part: Part,
}

impl Node {
    /// A node that does not run yet. The data directory is still to be copied.
    pub(super) fn new(run: &Arc<Run>, index: u8, spec: &GaleraSpec, profile: Profile) -> Self {
        let folder = run.data(&format!("node{index}"));
        let program = server(format!("node{index}"), &folder, profile)
            .args(cluster_arguments(run, index, spec.nodes, &spec.provider_options))
            .args(profile.node_arguments(index))
            .args(NodeFiles::of(run, index).arguments())
            .args(&spec.arguments);
        let part = Part::new(run, program);
        Self { index, profile, run: Arc::clone(run), folder, part }
    }

    /// Data directory.
    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    /// Number of the node in the lab, from 1.
    pub fn index(&self) -> u8 {
        self.index
    }

    /// Name of the node, its `wsrep_node_name`: `node1` and so on.
    pub fn name(&self) -> &str {
        self.part.name()
    }

    /// Where it serves SQL.
    pub fn address(&self) -> SocketAddr {
        self.run.socket(self.index, 3306)
    }

    /// Error log of the node.
    pub fn log(&self) -> PathBuf {
        self.part.log()
    }

    /// Logs in as root, past any proxy.
    ///
    /// # Errors
    /// When it does not answer within 5 s.
    pub async fn connect(&self) -> Result<Conn> {
        sql::connect(sql::root(self.address())).await
    }

    /// Place of the node in the cluster, as it says itself.
    ///
    /// # Errors
    /// When it does not answer.
    pub async fn standing(&self) -> Result<Standing> {
        let mut conn = self.connect().await?;
        let rows: Vec<(String, String)> =
            sql::rows(&mut conn, "SHOW GLOBAL STATUS LIKE 'wsrep%'").await?;
        Ok(Standing(rows.into_iter().collect()))
    }

    /// One of its status counters.
    ///
    /// # Errors
    /// When it does not answer, or has no such number.
    pub async fn counter(&self, name: &str) -> Result<u64> {
        let mut conn = self.connect().await?;
        let count = self.counter_by(&mut conn, name).await?;
        let _ = conn.disconnect().await;
        Ok(count)
    }

    /// One of its status counters, by a connection that is there.
    pub(super) async fn counter_by(&self, conn: &mut Conn, name: &str) -> Result<u64> {
        let query = format!("SHOW GLOBAL STATUS LIKE '{name}'");
        let rows: Vec<(String, String)> = sql::rows(conn, &query).await?;
        let value = rows.first().and_then(|(_, value)| value.parse().ok());
        value.ok_or_else(|| LabError::Refused(format!("{}: no counter {name}", self.name())))
    }

    /// Waits until Icinga's account runs a statement on it that begins with `words`: the moment for a fault
    /// that has to come in the middle of something.
    ///
    /// # Errors
    /// When that takes longer than `deadline`, or the process ends.
    pub async fn busy_with(&self, words: &str, deadline: Duration) -> Result<Thread> {
        let runs = |thread: &Thread| thread.statement.trim_start().starts_with(words);
        self.thread(&format!("{} busy with {words:?}", self.name()), deadline, runs).await
    }

    /// Waits until Icinga's account commits on it and the other nodes have not agreed yet, by whatever
    /// statement. As long as one of them is frozen or parted from it, they will not.
    ///
    /// # Errors
    /// When that takes longer than `deadline`, or the process ends.
    pub async fn commits(&self, deadline: Duration) -> Result<Thread> {
        // With a binary log the state is that of the whole COMMIT, whatever it waits for.
        let commits = |thread: &Thread| {
            matches!(thread.state.as_str(), "Waiting for certification" | "Commit")
        };
        self.thread(&format!("{} committing", self.name()), deadline, commits).await
    }

    /// Connections of Icinga's account to the node now, one entry each.
    ///
    /// # Errors
    /// When it does not answer.
    pub async fn threads(&self) -> Result<Vec<Thread>> {
        Thread::all(&mut self.connect().await?).await
    }

    async fn thread(
        &self,
        what: &str,
        deadline: Duration,
        is: impl Fn(&Thread) -> bool,
    ) -> Result<Thread> {
        let mut conn = self.connect().await?;
        wait_until(what, deadline, Some(&self.log()), async || match Thread::all(&mut conn).await {
            Ok(threads) => match threads.iter().find(|thread| is(thread)) {
                Some(thread) => Look::Done(thread.clone()),
                None => self.part.look(format!("{threads:?}")),
            },
            Err(error) => self.part.look(error),
        })
        .await
    }

    /// Runs `script` as root and keeps the connection: a transaction in it stays open, and so do the
    /// locks it took, until the connection is dropped or the node ends.
    ///
    /// # Errors
    /// When it does not answer, or the script fails.
    pub async fn hold(&self, script: &str) -> Result<Conn> {
        let mut conn = self.connect().await?;
        sql::script(&mut conn, script, script, STEP).await?;
        Ok(conn)
    }

    /// Changes one of Galera's own options, such as `gcs.fc_limit`, from now on.
    ///
    /// # Errors
    /// When it does not answer, or refuses.
    pub async fn provider_option(&self, option: &str, value: &str) -> Result<()> {
        self.hold(&self.profile.provider_option(option, value)).await.map(drop)
    }

    /// Lets no more than so many connections in, and takes all of them.
    ///
    /// # Errors
    /// When it turns somebody away for another reason.
    pub async fn fill(&self, seats: u32) -> Result<Crowd<'_>> {
        Crowd::gather(self, seats).await
    }

    /// How much was written on it since its start.
    ///
    /// # Errors
    /// When it does not answer.
    pub async fn written(&self) -> Result<Written> {
        let mut conn = self.connect().await?;
        let rows: Vec<(String, String)> = sql::rows(&mut conn, "SHOW GLOBAL STATUS").await?;
        let _ = conn.disconnect().await;
        let rows: HashMap<_, _> = rows.into_iter().collect();
        let value = |name: &str| rows.get(name).and_then(|value| value.parse::<u64>().ok());
        let changes = ["Com_insert", "Com_update", "Com_delete", "Com_replace"];
        let written = changes.iter().map(|name| value(name)).sum::<Option<u64>>();
        let written = written.zip(value("wsrep_replicated"));
        let (rows, sent) = written
            .ok_or_else(|| LabError::Refused(format!("{}: counters missing", self.name())))?;
        Ok(Written { rows, sent })
    }

    /// Begins to write every statement that clients send to this node to its general log.
    ///
    /// # Errors
    /// When it does not answer.
    pub async fn record(&self) -> Result<()> {
        let mut conn = self.connect().await?;
        let what = format!("recording on {}", self.name());
        sql::script(&mut conn, &what, "SET GLOBAL general_log = ON", STEP).await
    }

    /// The statements that write rows in what was recorded so far. Works on a dead node too.
    ///
    /// # Errors
    /// When nothing was recorded.
    pub fn recorded_writes(&self) -> Result<usize> {
        let path = self.folder.join(GENERAL_LOG);
        let log = fs::read(&path).context(|| format!("reading {}", path.display()))?;
        Ok(counters::writes_in_general_log(&log))
    }

    /// Lets it show another certificate from now on: the one that its files have.
    ///
    /// # Errors
    /// When it does not answer.
    pub async fn renew_certificate(&self) -> Result<()> {
        let mut conn = self.connect().await?;
        let what = format!("another certificate of {}", self.name());
        sql::script(&mut conn, &what, "FLUSH SSL", STEP).await
    }

    /// Whether its process runs.
    pub fn runs(&self) -> bool {
        self.part.runs()
    }

    /// SIGKILL: the process is gone, the kernel resets its connections.
    ///
    /// # Errors
    /// When it does not run.
    pub async fn kill(&self) -> Result<()> {
        self.part.kill().await
    }

    /// SIGTERM, as an administrator does it: it leaves the cluster in order.
    ///
    /// # Errors
    /// When it does not run, or does not end.
    pub async fn term(&self) -> Result<()> {
        self.part.term().await
    }

    /// SIGSTOP: the kernel goes on accepting connections, nobody answers.
    ///
    /// # Errors
    /// When it does not run.
    pub fn stop(&self) -> Result<()> {
        self.part.stop()
    }

    /// SIGCONT, after [`Node::stop`].
    ///
    /// # Errors
    /// When it does not run.
    pub fn cont(&self) -> Result<()> {
        self.part.cont()
    }

    /// Lets every flush to its disk take this much longer, until what is returned is dropped. It flushes at each
    /// COMMIT from now on.
    ///
    /// # Errors
    /// When it does not run, or strace is missing.
    pub async fn slow_disk(&self, by: Duration) -> Result<Process> {
        self.hold("SET GLOBAL innodb_flush_log_at_trx_commit = 1").await?;
        let Some(id) = self.part.id() else {
            return Err(LabError::Refused(format!("{} does not run", self.name())));
        };
        let calls = "fsync,fdatasync";
        let inject = format!("inject={calls}:delay_exit={}", by.as_micros());
        let process = Program::new(format!("{}-slow-disk", self.name()), "strace")
            .args(["-f", "-e", &format!("trace={calls}"), "-e", &inject, "-p", &id.to_string()])
            .spawn(&self.run)?;
        let what = format!("the disk of {} is slow", self.name());
        wait_until(&what, STEP, Some(process.log()), async || {
            let said = fs::read_to_string(process.log()).unwrap_or_default();
            if said.contains("attached") { Look::Done(()) } else { Look::NotYet(said) }
        })
        .await?;
        Ok(process)
    }

    /// Starts it again after its end, and waits until it is back among the others.
    ///
    /// # Errors
    /// When it runs already, or is not Synced within 90 s.
    pub async fn start(&self) -> Result<()> {
        self.launch(false)?;
        self.ready(Duration::from_secs(90)).await
    }

    /// Waits until it is Synced in a primary component of any size.
    ///
    /// # Errors
    /// When that takes longer than `deadline`, or the process ends.
    pub async fn ready(&self, deadline: Duration) -> Result<()> {
        let what = format!("{} Synced", self.name());
        wait_until(&what, deadline, Some(&self.log()), async || match self.standing().await {
            Ok(standing) if standing.synced() => Look::Done(()),
            Ok(standing) => self.part.look(standing),
            Err(error) => self.part.look(error),
        })
        .await
    }

    /// Process of the node: id, log, signals.
    pub fn part(&self) -> &Part {
        &self.part
    }

    /// Starts its process and waits for nothing. `new_cluster` makes it the first of a cluster.
    ///
    /// # Errors
    /// When it runs already.
    pub fn launch(&self, new_cluster: bool) -> Result<()> {
        self.part.launch_with(if new_cluster { &["--wsrep-new-cluster"] } else { &[] })
    }

    /// The position up to which its tables go, read from them while it does not run.
    pub(super) async fn recovered_position(&self) -> Result<i64> {
        let program = server(format!("{}-recover", self.name()), &self.folder, self.profile)
            .args(cluster_arguments(&self.run, self.index, 1, &[]))
            .args(self.profile.node_arguments(self.index))
            .arg("--wsrep-recover");
        let process = program.spawn(&self.run)?;
        process.exit(Duration::from_secs(30)).await?;
        let log = fs::read_to_string(process.log())
            .context(|| format!("reading {}", process.log().display()))?;
        let line = log.lines().rev().find_map(|line| line.split("Recovered position: ").nth(1));
        // `UUID:SEQNO`, and with a binary log also `,GTID`.
        let position = line.and_then(|line| {
            let (_, seqno) = line.trim().split(',').next()?.split_once(':')?;
            seqno.parse().ok()
        });
        position
            .ok_or_else(|| LabError::Refused(format!("no position in {}", process.log().display())))
    }

    /// Makes it forget which cluster it belonged to and how far it had come, while it does not run: at its next
    /// start another node has to give it everything.
    ///
    /// # Errors
    /// When it has never run, or the disk fails.
    pub fn forget_cluster(&self) -> Result<()> {
        let path = self.folder.join("grastate.dat");
        fs::remove_file(&path).context(|| format!("removing {}", path.display()))
    }

    /// Marks it as the one to begin a new cluster with, as an administrator does after an outage.
    pub(super) fn may_bootstrap(&self) -> Result<()> {
        let path = self.folder.join("grastate.dat");
        let state = fs::read_to_string(&path).context(|| format!("reading {}", path.display()))?;
        let state = state.replace("safe_to_bootstrap: 0", "safe_to_bootstrap: 1");
        fs::write(&path, state).context(|| format!("writing {}", path.display()))
    }
}

/// How much was written on a node.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Written {
    /// Rows changed, both by its own clients and by what other nodes sent.
    pub rows: u64,
    /// Transactions that its own clients made, and that it sent to the other nodes.
    pub sent: u64,
}

/// Connection of Icinga's account to a node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Thread {
    /// The number to KILL it by.
    pub id: u64,
    /// Where it comes from.
    pub peer: SocketAddr,
    /// State that the server reports.
    pub state: String,
    /// Statement it runs, "" while it waits for a command.
    pub statement: String,
}

impl Thread {
    async fn all(root: &mut Conn) -> Result<Vec<Self>> {
        // Not information_schema: MariaDB 10.11.19 was seen to crash there when a client left.
        let rows = sql::rows::<Row>(root, "SHOW FULL PROCESSLIST").await?;
        Ok(rows.iter().filter_map(Self::of_icinga).collect())
    }

    /// From a row of SHOW PROCESSLIST, if it is one of Icinga's.
    fn of_icinga(row: &Row) -> Option<Self> {
        let text = |column| row.get_opt::<String, _>(column).and_then(std::result::Result::ok);
        (text("User")? == ICINGA_USER).then_some(())?;
        Some(Self {
            id: row.get("Id")?,
            peer: text("Host")?.parse().ok()?,
            state: text("State").unwrap_or_default(),
            statement: text("Info").unwrap_or_default(),
        })
    }
}

/// The `wsrep_*` status of a node.
#[derive(Clone, Debug)]
pub struct Standing(HashMap<String, String>);

impl Standing {
    /// One of its values, "" where there is none.
    pub fn value(&self, name: &str) -> &str {
        self.0.get(name).map_or("", String::as_str)
    }

    /// Whether it may serve: Synced, in the primary component.
    pub fn synced(&self) -> bool {
        self.value("wsrep_local_state_comment") == "Synced"
            && self.value("wsrep_cluster_status") == "Primary"
            && self.value("wsrep_ready") == "ON"
    }

    /// Whether it may serve, in a component of exactly `size` nodes.
    pub fn synced_among(&self, size: usize) -> bool {
        self.synced() && self.value("wsrep_cluster_size") == size.to_string()
    }
}

impl fmt::Display for Standing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.value("wsrep_local_state_comment");
        let size = self.value("wsrep_cluster_size");
        write!(f, "{state} in a {} component of {size}", self.value("wsrep_cluster_status"))
    }
}

/// How long a node may take over a small step.
pub(super) const STEP: Duration = Duration::from_secs(60);
