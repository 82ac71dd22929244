//! Asks whoever names the nodes again and again, and tells the cluster task what they say. A failure
//! is told to the log, once, and to nobody else.

use std::time::Duration;

use hickory_resolver::proto::ProtoError;
use thiserror::Error;
use tokio::sync::mpsc;
use tokio::time;
use tokio_rustls::rustls;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::consul::Consul;
use super::consul::watch::Watch;
use super::dns::{Answer, Failure, Service};
use super::health::Health;
use super::source::{Named, Source};
use crate::cluster::model::settings::{ClusterKind, DiscoverySettings};
use crate::telemetry::metrics::{ClusterMetrics, CounterBy, LookupResult};

/// Reason why a source cannot be used as configured.
#[derive(Debug, Error)]
pub(crate) enum SourceError {
    /// A certificate to trust is none.
    #[error("discovery.consul_ca_file: {0}")]
    Authority(#[from] rustls::Error),
    /// A certificate to trust is none.
    #[error("tls.nodes_ca_file: {0}")]
    NodeAuthority(rustls::Error),
    /// The service is not a domain name.
    #[error("discovery.service: {0}")]
    Name(#[from] ProtoError),
}

/// Starts to ask every source that `settings` names, until `stop` is cancelled.
///
/// # Errors
/// [`SourceError`]; nothing runs then.
pub(crate) fn spawn(
    settings: &DiscoverySettings,
    metrics: &ClusterMetrics,
    tasks: &TaskTracker,
    stop: &CancellationToken,
) -> Result<mpsc::Receiver<Named>, SourceError> {
    let (answer, answers) = mpsc::channel(1);
    let lookups = dns(settings)?.map(|service| Discovery {
        service,
        interval: settings.interval,
        answers: answer.clone(),
        results: metrics.dns_lookups.clone(),
    });
    if let Some(consul) = Consul::of(settings)? {
        let watch = Watch::new(consul, answer, metrics.consul_lookups.clone());
        tasks.spawn(watch.run(stop.clone()));
    }
    if let Some(lookups) = lookups {
        tasks.spawn(lookups.run(stop.clone()));
    }
    Ok(answers)
}

/// Everybody who will name nodes under these settings.
pub(crate) fn sources(settings: &DiscoverySettings, kind: ClusterKind) -> Vec<Source> {
    let asks_dns = settings.service.is_some() && !settings.nameservers.is_empty();
    let all = [
        (Source::Consul, settings.consul.is_some()),
        (Source::Dns, asks_dns),
        (Source::Members, kind == ClusterKind::Galera),
    ];
    all.into_iter().filter_map(|(source, is_asked)| is_asked.then_some(source)).collect()
}

/// The question for the name servers, if they are asked.
///
/// # Errors
/// The service's name is no domain name.
pub(crate) fn dns(settings: &DiscoverySettings) -> Result<Option<Service>, ProtoError> {
    let DiscoverySettings { port, nameservers, timeout, .. } = settings;
    match &settings.service {
        Some(name) if !nameservers.is_empty() => {
            Service::try_new(name, *port, nameservers, *timeout).map(Some)
        }
        _ => Ok(None),
    }
}

/// The lookups of one service.
#[derive(Debug)]
struct Discovery {
    service: Service,
    interval: Duration,
    answers: mpsc::Sender<Named>,
    results: CounterBy<LookupResult>,
}

impl Discovery {
    async fn run(self, stop: CancellationToken) {
        stop.run_until_cancelled(self.lookups()).await;
    }

    async fn lookups(self) {
        let mut health = Health::Untried;
        loop {
            let answer =
                self.service.lookup(|_, answer| self.results.of(result(answer)).increment(1)).await;
            let error = answer.as_ref().err();
            health = health.after(Source::Dns, error.map(|error| error as _));
            // Before the first answer there may be no node at all: somebody is waiting for it.
            let pause = match health {
                Health::Failing { answered: false } => self.interval.min(EAGER),
                _ => self.interval,
            };
            if let Ok(nodes) = answer
                && self.answers.send(Named { source: Source::Dns, nodes }).await.is_err()
            {
                return;
            }
            time::sleep(pause).await;
        }
    }
}

fn result(answer: &Answer) -> LookupResult {
    match answer {
        Ok(_) => LookupResult::Found,
        Err(Failure::NoNodes) => LookupResult::Empty,
        Err(Failure::Silent) => LookupResult::TimedOut,
        Err(Failure::Code(_) | Failure::Truncated | Failure::Unintelligible(_)) => {
            LookupResult::Failed
        }
    }
}

/// The longest pause between lookups while none has succeeded.
const EAGER: Duration = Duration::from_millis(500);
