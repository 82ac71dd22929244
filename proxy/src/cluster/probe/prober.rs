//! Asks one node how it is, again and again, on a connection that stays open in between.
//!
//! Every node has its own task, connection and deadline: a dead node never delays the news of
//! another. Both statements are ones that a node answers outside the primary component too, and
//! that need no privilege.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use mysql_async::prelude::Queryable;
use mysql_async::{Conn, Error, IoError, Row};
use tokio::sync::{Notify, mpsc};
use tokio::task::JoinSet;
use tokio::time::{self, Instant};
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use super::meaning::{meaning, pair};
use super::question::Question;
use crate::cluster::control::connect::{MonitorLogin, flaw};
use crate::cluster::control::pin_table;
use crate::cluster::model::node_addr::NodeAddr;
use crate::cluster::model::node_view::Outcome;
use crate::cluster::model::report::{PAUSED, Report};
use crate::cluster::tls::distrust::is_remembered;
use crate::cluster::tls::node_tls::NodeTls;
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
    pub(crate) login: MonitorLogin,
    /// The question itself.
    pub(crate) question: Question,
    /// Where the outcomes go.
    pub(crate) results: mpsc::Sender<Probed>,
    /// Metrics of the probes.
    pub(crate) metrics: ProbeMetrics,
    /// Asks for a probe at once. However often it is rung meanwhile, one more probe follows.
    pub(crate) wake: Arc<Notify>,
    /// How many intervals there are from one probe to the next.
    pub(crate) pace: Arc<AtomicU32>,
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
            stop.run_until_cancelled(time::sleep(self.login.settings.interval)).await;
        }
    }

    async fn probes(self: Arc<Self>, stop: CancellationToken) {
        let mut connection = None;
        let mut late = JoinSet::new();
        stop.run_until_cancelled(async {
            loop {
                let asked = Instant::now();
                let outcome = match Arc::clone(&self).probe(&mut connection).await {
                    Ok(outcome) => outcome,
                    Err(asking) if late.len() < MOST_LATE => {
                        late.spawn(time::timeout(LATEST, asking));
                        Outcome::Silent
                    }
                    Err(_given_up) => Outcome::Silent,
                };
                self.report(asked, outcome).await;
                self.inspect_certificate(&mut connection).await;
                let turn = asked + self.interval();
                loop {
                    tokio::select! {
                        () = time::sleep_until(turn) => break,
                        () = self.wake.notified() => {
                            time::sleep_until(asked + LEAST_INTERVAL).await;
                            break;
                        }
                        Some(answer) = late.join_next() => {
                            if let Ok(Ok(Ok((Ok(report), _)))) = answer {
                                let late = Outcome::Late(Arc::new(report));
                                self.report(Instant::now(), late).await;
                            }
                        }
                    }
                }
            }
        })
        .await;
        if let Some(connection) = connection {
            self.close(connection).await;
        }
    }

    /// From the start of this probe to that of the next.
    fn interval(&self) -> Duration {
        let usual = self.login.settings.interval;
        let paced = usual.saturating_mul(self.pace.load(Ordering::Relaxed));
        paced.min(SLOWEST).max(usual)
    }

    /// Asks once, on a connection of its own.
    pub(crate) async fn once(self: Arc<Self>) -> Outcome {
        self.probe(&mut None).await.unwrap_or(Outcome::Silent)
    }

    async fn report(&self, asked: Instant, outcome: Outcome) {
        match outcome {
            Outcome::Answer(_) => self.metrics.seconds.record(asked.elapsed()),
            Outcome::Lost(_) | Outcome::Silent => self.metrics.failed.increment(1),
            // The probe was counted as failed when its answer was due.
            Outcome::Late(_) => {}
        }
        let probed = Probed { address: self.address, asked, outcome };
        // Whoever does not listen any more is about to stop us.
        let _ = self.results.send(probed).await;
    }

    /// # Errors
    /// No answer came in time. A later answer says that the node lives. The next question is asked on another
    /// connection, or the late answer would be taken for the next one's.
    async fn probe(self: Arc<Self>, connection: &mut Option<Open>) -> Result<Outcome, Asking> {
        let timeout = self.login.settings.timeout;
        let mut asking = AbortOnDropHandle::new(tokio::spawn(self.ask(connection.take())));
        match time::timeout(timeout, &mut asking).await {
            Ok(Ok((answer, kept))) => {
                *connection = kept;
                Ok(answer.map_or_else(meaning, |report| Outcome::Answer(Arc::new(report))))
            }
            Ok(Err(broken)) => match broken.try_into_panic() {
                Ok(panic) => std::panic::resume_unwind(panic),
                Err(_cancelled) => Ok(Outcome::Silent),
            },
            Err(_elapsed) => Err(asking),
        }
    }

    /// Asks on the open connection, or on a new one. An open connection that turns out to be dead
    /// proves nothing yet: it may have been killed, or timed out. A new one does.
    async fn ask(self: Arc<Self>, open: Option<Open>) -> Asked {
        let mut kept = None;
        if let Some(open) = open
            && let Ok(report) = self.ask_on(&mut kept, open).await
        {
            return (Ok(report), kept);
        }
        let answer = match self.open().await {
            Ok(new) => self.ask_on(&mut kept, new).await,
            Err(error) => Err(error),
        };
        (answer, kept)
    }

    /// Looks at the certificate that the node shows to a new connection, when it is time to, and goes on with
    /// that one.
    async fn inspect_certificate(&self, connection: &mut Option<Open>) {
        let Some(old) = connection.as_mut().filter(|open| self.is_due(open)) else { return };
        let asked = Instant::now();
        match time::timeout(self.login.settings.timeout, self.open()).await {
            Ok(Ok(new)) => self.close(std::mem::replace(old, new)).await,
            // Somebody else has found it a moment ago: it is looked at when it is our turn.
            Ok(Err(Error::Io(IoError::Io(error)))) if is_remembered(&error) => {}
            Ok(Err(error)) if flaw(&error).is_some() => {
                *connection = None;
                self.report(asked, meaning(error)).await;
            }
            // The node may have no connection to spare, and still serves those that are open.
            Ok(Err(_)) | Err(_) => old.looked_at = asked,
        }
    }

    /// Whether to look at the node's certificate.
    fn is_due(&self, open: &Open) -> bool {
        let looks =
            |tls: &NodeTls| open.looked_at.elapsed() >= RENEWAL || tls.backs_off(self.address);
        self.login.tls.as_deref().is_some_and(looks)
    }

    async fn open(&self) -> Result<Open, Error> {
        let looked_at = Instant::now();
        Ok(Open { conn: self.login.connect(self.address).await?, looked_at })
    }

    async fn close(&self, open: Open) {
        let _ = time::timeout(self.login.settings.timeout, open.conn.disconnect()).await;
    }

    /// Leaves the connection in `keep` if the node answered on it.
    async fn ask_on(&self, keep: &mut Option<Open>, mut open: Open) -> Result<Report, Error> {
        let mut answers = open.conn.query_iter(&*self.question.text).await?;
        let status: Vec<Row> = answers.collect().await?;
        let variables: Vec<Row> = answers.collect().await?;
        let status: Vec<_> = status.into_iter().filter_map(pair).collect();
        if let Some((_, nanoseconds)) = status.iter().find(|(name, _)| name == PAUSED)
            && let Ok(nanoseconds) = nanoseconds.parse()
        {
            self.metrics.paused.set(Duration::from_nanos(nanoseconds).as_secs_f64());
        }
        let mut report = Report::parse(status, variables.into_iter().filter_map(pair));
        if self.question.for_pin {
            // A table that somebody has locked must not make its node look silent.
            let patience = self.login.settings.timeout / 2;
            let Ok(pins) = time::timeout(patience, answers.collect()).await else {
                // The answer that may still come is not that to the next question.
                return Ok(report);
            };
            let member = report.galera.as_ref().filter(|galera| galera.primary_component);
            if let Some(galera) = member {
                report.pin = pin_table::reading(pins, &galera.cluster)?;
            }
        }
        drop(answers);
        *keep = Some(open);
        Ok(report)
    }
}

/// A connection to ask on.
struct Open {
    conn: Conn,
    /// When the node's certificate was looked at, or was to be.
    looked_at: Instant,
}

/// A question, and the connection if it can be used for the next one.
type Asked = (Result<Report, Error>, Option<Open>);

/// One that is under way.
type Asking = AbortOnDropHandle<Asked>;

/// How long an answer is waited for that tells no more than that its node lives: where packets are lost, one
/// may take some seconds.
const LATEST: Duration = Duration::from_secs(10);

/// How many are waited for at once.
const MOST_LATE: usize = 5;

/// How often the certificate of a node is looked at.
const RENEWAL: Duration = Duration::from_secs(30);

/// However many there are: a node that does not know the latest membership is taken for out of date after 5 s.
const SLOWEST: Duration = Duration::from_secs(2);

/// The least time between two probes of a node, however much it is suspected.
pub(super) const LEAST_INTERVAL: Duration = Duration::from_millis(5);
