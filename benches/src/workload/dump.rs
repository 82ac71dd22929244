//! Icinga's first dump: how long a real Icinga 2 takes to write all its objects to an empty database.
//!
//! Every run has a server, a proxy and a database of its own. The time is Icinga's own: from the
//! start of its connecting until the last object is written, as its log says.

use std::fs::File;
use std::io::Read;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use lab::icinga::{Database, Icinga, IcingaSpec};
use lab::part::Part;
use lab::plain::Plain;
use lab::proxy::{Proxy, ProxySpec};
use lab::run::Run;
use lab::sql;
use lab::wait::{Look, wait_until};
use serde::{Deserialize, Serialize};
use tokio::time::{Instant, sleep};

use crate::error::{BenchError, Context, Result};
use crate::others;
use crate::procfs::ProcessTree;
use crate::progress::Progress;
use crate::schedule;
use crate::stand::{SERVER, Way, haproxy_before, nginx_before};

/// The size of the benchmark.
#[derive(Clone, Copy, Debug, Deserialize, Serialize)]
pub(crate) struct Size {
    /// Hosts.
    pub(crate) hosts: u32,
    /// Services, spread over the hosts.
    pub(crate) services: u32,
    /// Dumps of each way.
    pub(crate) repeat: usize,
}

/// The dumps of all ways.
#[derive(Debug, Deserialize, Serialize)]
pub(crate) struct Dumps {
    /// The size that was asked for.
    pub(crate) size: Size,
    /// Every dump, in the order in which they were made.
    pub(crate) dumps: Vec<Dump>,
}

/// One dump.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct Dump {
    /// Which round it belongs to, from 0.
    pub(crate) round: usize,
    /// Which way Icinga took.
    pub(crate) way: Way,
    /// Seconds, from the start of connecting until the last object was written.
    pub(crate) seconds: f64,
    /// Commands that Icinga sent, each waiting for the answer to the one before. Only ido-proxy counts
    /// them: 0 elsewhere.
    pub(crate) commands: u64,
    /// CPU seconds of the program in between. 0 where there is none.
    pub(crate) cpu_seconds: f64,
    /// CPU seconds of the server.
    pub(crate) server_cpu_seconds: f64,
    /// The most memory of the program in between, in bytes. 0 where there is none.
    pub(crate) peak_memory: u64,
}

/// Makes all dumps, the ways in turns.
///
/// # Errors
/// When a part does not come up, or the database lacks an object at the end.
pub(crate) async fn measure(size: Size, progress: &Progress) -> Result<Dumps> {
    let mut dumps = Vec::new();
    for round in 0..size.repeat {
        for index in schedule::order(round, WAYS.len()) {
            let way = WAYS[index];
            let objects = size.hosts + size.services;
            let number = round + 1;
            let of = size.repeat;
            let step = progress.step_of_unknown_length(&format!(
                "dump {number}/{of} of {objects} objects: {}",
                way.label()
            ));
            dumps.push(dump(round, way, size).await?);
            step.finish();
        }
    }
    Ok(Dumps { size, dumps })
}

async fn dump(round: usize, way: Way, size: Size) -> Result<Dump> {
    let run = Arc::new(Run::begin()?);
    let server = Plain::start(&run, &SERVER).await?;
    let between = Between::start(&run, &server, way).await?;
    let process = between.part().and_then(Part::id).map(ProcessTree::of);
    let server_process = server.part().id().map(ProcessTree::of);
    let server_before = server_process.map(ProcessTree::cpu).unwrap_or_default();

    let spec = IcingaSpec {
        hosts: size.hosts,
        services: size.services,
        interval: CHECK_INTERVAL,
        database: between.database(&server, way),
        master: None,
    };
    let icinga = Icinga::launch(&run, spec).await?;
    let seconds = finished(&icinga).await?;
    let dump = Dump {
        round,
        way,
        seconds,
        commands: between.commands().await?,
        cpu_seconds: process.map_or(0.0, |process| process.cpu().as_secs_f64()),
        server_cpu_seconds: server_process
            .map_or(0.0, |process| (process.cpu() - server_before).as_secs_f64()),
        peak_memory: process.map_or(0, |process| process.memory().peak),
    };
    complete(&server, size).await?;
    // The worker of Icinga is no child of ours, and goes on a moment longer.
    let icinga_process = icinga.part().id().map(ProcessTree::of);
    others::ended_alone(icinga_process.map(ProcessTree::cpu).unwrap_or_default());
    // Statements that Icinga would still send at its end are not measured.
    icinga.part().kill().await?;
    Ok(dump)
}

/// The program in between, if any.
enum Between {
    Nothing,
    Other(Part, SocketAddr),
    Proxy(Proxy),
}

impl Between {
    async fn start(run: &Arc<Run>, server: &Plain, way: Way) -> Result<Self> {
        match way.program() {
            None => Ok(Self::Nothing),
            Some(Way::IDO_PROXY) => {
                let spec = ProxySpec::single(&[server.address()]);
                Ok(Self::Proxy(Proxy::start_single(run, server, &spec).await?))
            }
            Some(_) => {
                let to = server.address();
                let (part, address) = match way {
                    Way::Nginx => nginx_before(run, to).await?,
                    _ => haproxy_before(run, to).await?,
                };
                Ok(Self::Other(part, address))
            }
        }
    }

    fn part(&self) -> Option<&Part> {
        match self {
            Self::Nothing => None,
            Self::Other(part, _) => Some(part),
            Self::Proxy(proxy) => Some(proxy.part()),
        }
    }

    /// Where Icinga is told to write.
    fn database(&self, server: &Plain, way: Way) -> Database {
        match self {
            Self::Nothing => Database::Tcp(server.address()),
            Self::Other(_, address) => Database::Tcp(*address),
            Self::Proxy(proxy) if way == Way::ProxyUnix => {
                Database::Socket(proxy.socket().to_owned())
            }
            Self::Proxy(proxy) => Database::Tcp(proxy.tcp()),
        }
    }

    /// The number of commands that Icinga has sent so far; only ido-proxy counts them.
    async fn commands(&self) -> Result<u64> {
        match self {
            Self::Proxy(proxy) => Ok(counted(&proxy.get("/metrics").await?.body)),
            _ => Ok(0),
        }
    }
}

/// The commands in ido-proxy's metrics, of all kinds.
fn counted(metrics: &str) -> u64 {
    let lines = metrics.lines().filter(|line| line.starts_with("ido_proxy_commands_total"));
    let numbers = lines.filter_map(|line| line.rsplit(' ').next()?.parse::<u64>().ok());
    numbers.sum()
}

/// Waits for the line in Icinga's log that says how long it took.
async fn finished(icinga: &Icinga) -> Result<f64> {
    let path = icinga.part().log();
    let mut log = File::open(&path).context(|| format!("opening {}", path.display()))?;
    let end = Instant::now() + DUMP;
    let mut unread = String::new();
    while Instant::now() < end {
        let mut bytes = Vec::new();
        log.read_to_end(&mut bytes).context(|| format!("reading {}", path.display()))?;
        unread.push_str(&String::from_utf8_lossy(&bytes));
        if let Some(seconds) = unread.lines().find_map(duration) {
            return Ok(seconds);
        }
        // A line that is not complete yet is looked at again.
        let complete = unread.rfind('\n').map_or(0, |at| at + 1);
        unread.drain(..complete);
        if !icinga.part().runs() {
            return Err(failed("Icinga ended in the middle of its dump", &path));
        }
        // Seldom: looking takes from the time that is measured.
        sleep(LOOK).await;
    }
    Err(failed("Icinga did not finish its dump in time", &path))
}

fn failed(what: &str, log: &Path) -> BenchError {
    BenchError::Refused(format!("{what}: see {}", log.display()))
}

/// The seconds in "Finished reconnecting to 'ido-mysql' database 'icinga' in 12.345 second(s).".
fn duration(line: &str) -> Option<f64> {
    let (_, rest) = line.split_once("Finished reconnecting to '")?;
    let (_, rest) = rest.rsplit_once("' in ")?;
    rest.split_ascii_whitespace().next()?.parse().ok()
}

/// A dump that was quick because it lost objects is no dump. Its COMMIT follows the line in the log.
async fn complete(server: &Plain, size: Size) -> Result<()> {
    let mut root = server.connect().await?;
    let tables = [
        ("hosts", size.hosts),
        ("hoststatus", size.hosts),
        ("services", size.services),
        ("servicestatus", size.services),
    ];
    for (table, expected) in tables {
        let what = format!("{expected} rows in icinga_{table}");
        wait_until(&what, COMMIT, None, async || {
            let count = format!("SELECT COUNT(*) FROM icinga.icinga_{table}");
            match sql::value::<u32>(&mut root, &count).await {
                Ok(count) if count == expected => Look::Done(()),
                Ok(count) => Look::NotYet(format!("{count}")),
                Err(error) => Look::NotYet(error.to_string()),
            }
        })
        .await?;
    }
    Ok(())
}

/// The ways that are compared, in the order of the table.
pub(crate) const WAYS: [Way; 5] =
    [Way::Direct, Way::Proxy, Way::ProxyUnix, Way::Haproxy, Way::Nginx];

/// Icinga's own default. Its first checks come in the first minute whatever the interval.
const CHECK_INTERVAL: Duration = Duration::from_secs(300);

const DUMP: Duration = Duration::from_secs(1800);
const COMMIT: Duration = Duration::from_secs(300);
const LOOK: Duration = Duration::from_millis(250);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_of_all_kinds_are_counted() {
        let metrics = "# TYPE ido_proxy_commands_total counter\n\
                       ido_proxy_commands_total{command=\"query\"} 40\n\
                       ido_proxy_commands_total{command=\"ping\"} 2\n\
                       ido_proxy_sessions 1\n";
        assert_eq!(counted(metrics), 42);
    }

    /// The figure that is published is read from this line.
    #[test]
    fn icinga_says_how_long_it_took() {
        let line = "[2026-11-22 12:16:14 +0000] information/IdoMysqlConnection: Finished \
                    reconnecting to 'ido-mysql' database 'icinga' in 31.2467 second(s).";
        assert_eq!(duration(line), Some(31.2467));
        assert_eq!(duration("information/IdoMysqlConnection: MySQL IDO instance id: 1"), None);
    }
}
