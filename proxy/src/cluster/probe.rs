//! Asks one node how it is, again and again, on a connection that stays open in between.
//!
//! Every node has its own task, connection and deadline: a dead node never delays the news of
//! another. Both statements are ones that a node answers outside the primary component too, and
//! that need no privilege.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use mysql_async::prelude::Queryable;
use mysql_async::{Conn, DriverError, Error, IoError, Opts, OptsBuilder, Row, Value};
use secrecy::ExposeSecret;
use tokio::sync::{Notify, mpsc};
use tokio::time::{self, Instant};
use tokio_util::sync::CancellationToken;

use super::propose;
use super::settings::{ClusterKind, MonitorSettings};
use super::topology::NodeAddr;
use super::view::{Loss, Outcome, Report, VARIABLES};
use crate::telemetry::metrics::ProbeMetrics;

/// How the probe of `address` that was sent at `asked` ended.
#[derive(Debug)]
pub(crate) struct Probed {
    /// Which node.
    pub(crate) address: NodeAddr,
    /// When the probe began.
    pub(crate) asked: Instant,
    /// How it ended.
    pub(crate) outcome: Outcome,
}

/// The probes of one node.
pub(crate) struct Prober {
    /// Which node.
    pub(crate) address: NodeAddr,
    /// How it is asked.
    pub(crate) settings: Arc<MonitorSettings>,
    /// What is asked.
    pub(crate) kind: ClusterKind,
    /// The database of the pin; `None` if there is none to ask for.
    pub(crate) schema: Option<String>,
    /// Where the outcomes go.
    pub(crate) results: mpsc::Sender<Probed>,
    /// What is counted.
    pub(crate) metrics: ProbeMetrics,
    /// Asks for a probe at once. However often it is rung meanwhile, one more probe follows.
    pub(crate) wake: Arc<Notify>,
}

impl Prober {
    /// Runs until `stop` is cancelled. Should a probe panic, it counts as a miss, and the next one
    /// begins afresh: a node that nobody asks any more would keep its last good state for ever.
    pub(crate) async fn run(self: Arc<Self>, stop: CancellationToken) {
        while !stop.is_cancelled() {
            let probing = tokio::spawn(Arc::clone(&self).probes(stop.clone()));
            let Err(error) = probing.await else { return };
            tracing::error!(node = %self.address, %error, "the probe broke down and starts again");
            let asked = Instant::now();
            self.report(asked, Outcome::Silent).await;
            stop.run_until_cancelled(time::sleep(self.settings.interval)).await;
        }
    }

    async fn probes(self: Arc<Self>, stop: CancellationToken) {
        let mut connection = None;
        stop.run_until_cancelled(async {
            loop {
                let asked = Instant::now();
                let outcome = self.probe(&mut connection).await;
                self.report(asked, outcome).await;
                tokio::select! {
                    () = time::sleep_until(asked + self.settings.interval) => {}
                    () = self.wake.notified() => time::sleep_until(asked + LEAST_INTERVAL).await,
                }
            }
        })
        .await;
        if let Some(connection) = connection {
            let goodbye = Conn::disconnect(connection);
            let _ = time::timeout(self.settings.timeout, goodbye).await;
        }
    }

    /// Asks once, on a connection of its own.
    pub(crate) async fn once(&self) -> Outcome {
        self.probe(&mut None).await
    }

    async fn report(&self, asked: Instant, outcome: Outcome) {
        match outcome {
            Outcome::Answer(_) => self.metrics.seconds.record(asked.elapsed()),
            Outcome::Lost(_) | Outcome::Silent => self.metrics.failed.increment(1),
        }
        let probed = Probed { address: self.address, asked, outcome };
        // Whoever does not listen any more is about to stop us.
        let _ = self.results.send(probed).await;
    }

    async fn probe(&self, connection: &mut Option<Conn>) -> Outcome {
        // On a timeout the connection is dropped along with the question: its answer, should it
        // still come, would be taken for that to the next.
        match time::timeout(self.settings.timeout, self.ask(connection)).await {
            Ok(Ok(report)) => Outcome::Answer(Box::new(report)),
            Ok(Err(error)) => meaning(error),
            Err(_) => Outcome::Silent,
        }
    }

    /// Asks on the open connection, or on a new one. An open connection that turns out to be dead
    /// proves nothing yet: it may have been killed, or timed out. A new one does.
    async fn ask(&self, connection: &mut Option<Conn>) -> Result<Report, Error> {
        if let Some(open) = connection.take()
            && let Ok(report) = self.ask_on(connection, open).await
        {
            return Ok(report);
        }
        let new = Conn::new(options(self.address, &self.settings)).await?;
        self.ask_on(connection, new).await
    }

    /// Leaves the connection in `keep` if the node answered on it.
    async fn ask_on(&self, keep: &mut Option<Conn>, mut conn: Conn) -> Result<Report, Error> {
        let status = match self.kind {
            ClusterKind::Galera => conn.query(GALERA_STATUS).await?,
            ClusterKind::Single => conn.query(STATUS).await?,
        };
        let variables = conn.query(variables_statement()).await?;
        let mut report = Report::parse(
            status.into_iter().filter_map(pair),
            variables.into_iter().filter_map(pair),
        );
        let member = report.galera.as_ref().filter(|galera| galera.primary_component);
        if let (Some(schema), Some(galera)) = (&self.schema, member) {
            // A table that somebody has locked must not make its node look silent.
            let patience = self.settings.timeout / 2;
            match time::timeout(patience, propose::read(&mut conn, schema, &galera.cluster)).await {
                Ok(read) => report.pin = read?,
                // The answer that may still come is not that to the next question.
                Err(_elapsed) => return Ok(report),
            }
        }
        *keep = Some(conn);
        Ok(report)
    }
}

/// How the monitor logs in at `node`.
pub(super) fn options(node: NodeAddr, settings: &MonitorSettings) -> Opts {
    let address = node.0;
    let password = settings.password.expose_secret();
    OptsBuilder::default()
        .ip_or_hostname(address.ip().to_string())
        .resolved_ips(Some(vec![address.ip()]))
        .tcp_port(address.port())
        .user(Some(settings.user.as_str()))
        .pass((!password.is_empty()).then_some(password))
        // Or it would go on over the Unix socket that the node names: our own host's.
        .prefer_socket(false)
        // Both given, or it would ask for them, with a SELECT.
        .max_allowed_packet(Some(MAX_ANSWER))
        .wait_timeout(Some(WAIT_TIMEOUT_SECONDS))
        .stmt_cache_size(0)
        .tcp_keepalive(Some(KEEPALIVE))
        .into()
}

/// What a failed probe tells of the node. Failures of the way to it, and of our own host (such as
/// no more file descriptors), say no more than silence does.
fn meaning(error: Error) -> Outcome {
    match error {
        Error::Io(IoError::Io(error)) => match error.kind() {
            io::ErrorKind::ConnectionRefused => Outcome::Lost(Loss::Refused),
            io::ErrorKind::BrokenPipe
            | io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::UnexpectedEof => Outcome::Lost(Loss::Closed),
            // The system did not say this: the driver did, of what it had read.
            _ if error.raw_os_error().is_none() => Outcome::Lost(Loss::Garbled(words(&error))),
            _ => Outcome::Silent,
        },
        Error::Driver(DriverError::ConnectionClosed) => Outcome::Lost(Loss::Closed),
        // Without the packet: it may be another one each time, which would be news each time.
        Error::Driver(DriverError::UnexpectedPacket { .. }) => {
            Outcome::Lost(Loss::Garbled("an unexpected packet".into()))
        }
        Error::Server(error) => {
            Outcome::Lost(Loss::Rejected { code: error.code, message: words(&error.message) })
        }
        error => Outcome::Lost(Loss::Garbled(words(&error))),
    }
}

/// Somebody else's words, fit for one line of a log.
pub(super) fn words(text: &impl ToString) -> String {
    let legible = |letter: char| if letter.is_control() { ' ' } else { letter };
    text.to_string().chars().take(LONGEST_MESSAGE).map(legible).collect()
}

fn pair(row: Row) -> Option<(String, String)> {
    let mut values = row.unwrap_raw().into_iter().flatten();
    Some((text(values.next()?)?, text(values.next()?)?))
}

fn text(value: Value) -> Option<String> {
    match value {
        Value::Bytes(bytes) => Some(String::from_utf8_lossy(&bytes).into_owned()),
        _ => None,
    }
}

fn variables_statement() -> String {
    let names = VARIABLES.map(|name| format!("'{name}'")).join(",");
    format!("SHOW GLOBAL VARIABLES WHERE Variable_name IN ({names})")
}

const STATUS: &str = "SHOW GLOBAL STATUS WHERE Variable_name IN ('Com_kill', 'Threads_connected')";
const GALERA_STATUS: &str = "SHOW GLOBAL STATUS WHERE Variable_name LIKE 'wsrep%' \
    OR Variable_name IN ('Com_kill', 'Threads_connected')";

/// The largest answer packet that we take, in bytes.
const MAX_ANSWER: usize = 1024 * 1024;

/// In characters; a server's own messages are at most 512 bytes long.
const LONGEST_MESSAGE: usize = 512;

/// Not sent to the server: how long the driver takes an unused connection for a good one.
const WAIT_TIMEOUT_SECONDS: usize = 28_800;

/// The driver reads a connection that timed out to its end in the background; a host that is gone
/// ends it by this.
const KEEPALIVE: Duration = Duration::from_secs(10);

/// The least time between two probes of a node, however much it is suspected.
const LEAST_INTERVAL: Duration = Duration::from_millis(5);

#[cfg(test)]
mod tests;
