//! Asks the name servers again and again, and tells the cluster task what they say. A failure is
//! told to the log, once, and to nobody else.

use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time;
use tokio_util::sync::CancellationToken;

use super::candidates::Candidate;
use super::dns::{Answer, Failure, LookupError, Service};
use crate::telemetry::metrics::{CounterBy, DnsResult};

/// The lookups of one service.
#[derive(Debug)]
pub(crate) struct Discovery {
    service: Service,
    interval: Duration,
    answers: mpsc::Sender<Vec<Candidate>>,
    results: CounterBy<DnsResult>,
}

impl Discovery {
    /// Looks `service` up every `interval`, sends each good answer to `answers`, and counts what
    /// each name server said.
    pub(crate) fn new(
        service: Service,
        interval: Duration,
        answers: mpsc::Sender<Vec<Candidate>>,
        results: CounterBy<DnsResult>,
    ) -> Self {
        Self { service, interval, answers, results }
    }

    /// Runs until `stop` is cancelled.
    pub(crate) async fn run(self, stop: CancellationToken) {
        stop.run_until_cancelled(self.lookups()).await;
    }

    async fn lookups(self) {
        let mut health = Health::Untried;
        loop {
            let answer =
                self.service.lookup(|_, answer| self.results.of(result(answer)).increment(1)).await;
            health = health.after(answer.as_ref().err());
            // Before the first answer there may be no node at all: somebody is waiting for it.
            let pause = match health {
                Health::Failing { answered: false } => self.interval.min(EAGER),
                _ => self.interval,
            };
            if let Ok(nodes) = answer
                && self.answers.send(nodes).await.is_err()
            {
                return;
            }
            time::sleep(pause).await;
        }
    }
}

fn result(answer: &Answer) -> DnsResult {
    match answer {
        Ok(_) => DnsResult::Found,
        Err(Failure::NoNodes) => DnsResult::Empty,
        Err(Failure::Silent) => DnsResult::TimedOut,
        Err(Failure::Code(_) | Failure::Truncated | Failure::Unintelligible(_)) => {
            DnsResult::Failed
        }
    }
}

enum Health {
    Answering,
    Failing { answered: bool },
    Untried,
}

impl Health {
    fn after(self, error: Option<&LookupError>) -> Self {
        match (self, error) {
            (Self::Answering, None) => Self::Answering,
            (Self::Untried, None) => {
                tracing::info!("DNS names the nodes");
                Self::Answering
            }
            (Self::Failing { .. }, None) => {
                tracing::info!("DNS names the nodes again");
                Self::Answering
            }
            (failing @ Self::Failing { .. }, Some(_)) => failing,
            (Self::Answering, Some(error)) => {
                tracing::warn!(%error, "DNS names no nodes: those known before are kept");
                Self::Failing { answered: true }
            }
            (Self::Untried, Some(error)) => {
                tracing::warn!(%error, "DNS names no nodes: going by those that are known already");
                Self::Failing { answered: false }
            }
        }
    }
}

/// The longest pause between lookups while none has succeeded.
const EAGER: Duration = Duration::from_millis(500);
