//! Asks the name servers again and again, and tells the cluster task what they say. A failure is
//! told to the log, once, and to nobody else.

use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time;
use tokio_util::sync::CancellationToken;

use super::candidates::Candidate;
use super::dns::{LookupError, Service};

/// The lookups of one service.
#[derive(Debug)]
pub(crate) struct Discovery {
    service: Service,
    interval: Duration,
    answers: mpsc::Sender<Vec<Candidate>>,
}

impl Discovery {
    /// Looks `service` up every `interval`, and sends each good answer to `answers`.
    pub(crate) fn new(
        service: Service,
        interval: Duration,
        answers: mpsc::Sender<Vec<Candidate>>,
    ) -> Self {
        Self { service, interval, answers }
    }

    /// Runs until `stop` is cancelled.
    pub(crate) async fn run(self, stop: CancellationToken) {
        stop.run_until_cancelled(self.lookups()).await;
    }

    async fn lookups(self) {
        let mut health = Health::Untried;
        loop {
            let answer = self.service.lookup().await;
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
