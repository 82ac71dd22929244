//! Eviction of a dead node from its cluster, by the procedure that `ido-proxy setup` has created.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::io::ErrorKind;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use ido_proxy_protocol::error_code::{DOES_NOT_EXIST, ROUTINE_ACCESS_DENIED};
use mysql_async::prelude::Queryable;
use mysql_async::{Conn, Error};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};

use super::control_tables::ControlTables;
use crate::cluster::decide::death::Dead;
use crate::cluster::model::node_addr::NodeAddr;

/// How the attempt to evict a node ended.
#[derive(Debug)]
pub(crate) enum Evicted {
    /// The cluster has gone on without it, or will soon: so long after it was told so.
    Gone(Duration),
    /// One of its ports does not refuse, or the cluster commits: the node lives.
    Lives(&'static str),
    /// The procedure is not there, or not ours to call.
    Unprepared,
    /// No node could be told.
    Untold(Error),
}

/// Makes sure that the node is dead, and tells the survivors to go on without it until they do.
pub(crate) async fn evict(tables: Arc<ControlTables>, dead: Dead) -> Evicted {
    let mut opening = JoinSet::new();
    for survivor in dead.survivors.keys().copied() {
        let tables = Arc::clone(&tables);
        opening.spawn(async move { ready(&tables, survivor).await });
    }
    let mut commit = pin!(commit(&tables, &dead));
    let (node, group, committed, links) = tokio::join!(
        refuses(dead.node.0),
        refuses(dead.group),
        timeout(COMMITS_WITHIN, &mut commit),
        opening.join_all(),
    );
    match (node, group, committed) {
        (true, true, Err(_elapsed)) => {}
        (false, ..) => return Evicted::Lives("its port for clients answers"),
        (_, false, _) => return Evicted::Lives("its port for the group answers"),
        (.., Ok(Ok(()))) => return Evicted::Lives("its cluster commits"),
        (.., Ok(Err(error))) => return Evicted::Untold(error),
    }
    let begun = Instant::now();
    let (mut told, failed) = parted(links);
    match failed {
        Some(Error::Server(error)) if UNPREPARED.contains(&error.code) => {
            return Evicted::Unprepared;
        }
        Some(error) if told.is_empty() => return Evicted::Untold(error),
        _ => {}
    }
    for _ in 0..ROUNDS {
        let mut telling = JoinSet::new();
        for mut link in told {
            let (tables, process) = (Arc::clone(&tables), dead.process.clone());
            telling.spawn(async move {
                tell(&mut link, &tables, &process, JOIN_PERIOD).await.map(|()| link)
            });
        }
        let failed;
        (told, failed) = parted(telling.join_all().await);
        if let Some(error) = failed.filter(|_| told.is_empty()) {
            return Evicted::Untold(error);
        }
        if timeout(ROUND, &mut commit).await.is_ok() {
            break;
        }
    }
    Evicted::Gone(begun.elapsed())
}

/// Links that work, and why another one does not.
fn parted(links: Vec<Result<Conn, Error>>) -> (Vec<Conn>, Option<Error>) {
    let (mut work, mut failed) = (Vec::new(), None);
    for link in links {
        match link {
            Ok(link) => work.push(link),
            Err(error) => failed = Some(error),
        }
    }
    (work, failed)
}

/// Lets whoever was evicted come back to these nodes, each of which gets its period back.
pub(crate) async fn clear(tables: Arc<ControlTables>, nodes: BTreeMap<NodeAddr, Duration>) {
    for (node, period) in nodes {
        let cleared = async { tell(&mut open(&tables, node).await?, &tables, "", period).await };
        match cleared.await {
            Ok(()) => tracing::info!(%node, "the list of evicted nodes is cleared"),
            Err(error) => {
                tracing::debug!(%node, %error, "the list of evicted nodes is not cleared");
            }
        }
    }
}

/// A link on which the procedure was called once already, for nothing: what the server does with a first call takes longer
/// than a message takes to the next node. A survivor that hears of the eviction from another one before it is told itself
/// makes both wait.
async fn ready(tables: &ControlTables, node: NodeAddr) -> Result<Conn, Error> {
    let mut link = open(tables, node).await?;
    match tell(&mut link, tables, "-", JOIN_PERIOD).await {
        Err(Error::Server(error)) if error.code == SIGNALED => Ok(link),
        Err(error) => Err(error),
        Ok(()) => Ok(link),
    }
}

async fn open(tables: &ControlTables, node: NodeAddr) -> Result<Conn, Error> {
    timeout(PATIENCE, tables.open(node)).await.unwrap_or_else(|_elapsed| Err(late()))
}

/// Calls the procedure. A process is named by hexadecimal digits, which no quote is among.
async fn tell(
    link: &mut Conn,
    tables: &ControlTables,
    process: &str,
    period: Duration,
) -> Result<(), Error> {
    let period = period.as_secs_f64();
    let call = format!("CALL `{}`.`evict`('{process}', {period:.3})", tables.schema);
    timeout(PATIENCE, link.query_drop(call)).await.unwrap_or_else(|_elapsed| Err(late()))
}

fn late() -> Error {
    Error::Io(std::io::Error::from(ErrorKind::TimedOut).into())
}

/// Whether a host says that nobody listens there.
async fn refuses(address: SocketAddr) -> bool {
    let connected = timeout(PATIENCE, TcpStream::connect(address)).await;
    matches!(connected, Ok(Err(error)) if error.kind() == ErrorKind::ConnectionRefused)
}

/// Commits a small change at one of the survivors. A cluster waits with that for each member, and for a dead one until it
/// suspects it, or is told.
async fn commit(tables: &ControlTables, dead: &Dead) -> Result<(), Error> {
    let mut hasher = DefaultHasher::new();
    tables.name.hash(&mut hasher);
    let change = format!(
        "INSERT INTO `{}`.`fence` (session, seq) VALUES ('evict-{:016x}', 1) \
         ON DUPLICATE KEY UPDATE seq = seq + 1",
        tables.schema,
        hasher.finish()
    );
    let Some(node) = dead.survivors.keys().next() else { return Err(late()) };
    open(tables, *node).await?.query_drop(change).await
}

/// How often survivors that wait for each other say again what they see, while a node is evicted. The least there is.
pub(crate) const JOIN_PERIOD: Duration = Duration::from_millis(100);

/// How long a round takes: as long as survivors that were told at different times need to hear each other again.
const ROUND: Duration = Duration::from_millis(130);

/// How often they are told at most.
const ROUNDS: u32 = 20;

/// How long a node may take to answer: one that takes longer is not told.
const PATIENCE: Duration = Duration::from_secs(1);

/// Longer than a commit takes where all members live.
const COMMITS_WITHIN: Duration = Duration::from_millis(30);

/// ER_SIGNAL_EXCEPTION: the argument is no UUID.
const SIGNALED: u16 = 1644;

/// Codes of a node without the procedure, or that does not let us call it.
const UNPREPARED: [u16; 2] = [DOES_NOT_EXIST, ROUTINE_ACCESS_DENIED];
