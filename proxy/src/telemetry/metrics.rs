//! Metrics for Prometheus.
//!
//! The `metrics` recorder is the one process-wide thing here. Whatever counts gets its handles in a
//! struct ([`SessionMetrics`], [`ClusterMetrics`]), prepared once and passed as an argument.
//!
//! Layout:
//! - [`catalog`] — every metric with its meaning.
//! - [`label`] — labels with a fixed set of values; [`metric`] — what a metric is.
//! - [`session`], [`cluster`] — the handles.

use std::time::{Duration, SystemTime};

#[cfg(test)]
use metrics_exporter_prometheus::PrometheusRecorder;
use metrics_exporter_prometheus::{BuildError, PrometheusBuilder, PrometheusHandle};

mod catalog;
mod cluster;
mod label;
mod metric;
mod session;

pub(crate) use cluster::{ClusterMetrics, NodeGauges, ProbeMetrics};
pub(crate) use label::{
    CounterBy, DoubtOutcome, Label, LinkLoss, LoginResult, LookupResult, RecoveryPhase, Refusal,
};
pub(crate) use session::{Present, SessionMetrics};

/// Reads what was counted.
#[derive(Clone, Debug)]
pub(crate) struct MetricsHandle(PrometheusHandle);

/// Installs the recorder of the process and describes every metric. Call it once, before any
/// handles are prepared.
///
/// # Errors
///
/// Fails if the process has a recorder already.
pub(crate) fn install() -> Result<MetricsHandle, BuildError> {
    let handle = builder()?.install_recorder()?;
    describe();
    Ok(MetricsHandle(handle))
}

impl MetricsHandle {
    /// The text of `/metrics`, in the Prometheus text format.
    pub(crate) fn render(&self) -> String {
        self.0.render()
    }

    /// Moves what histograms have observed into their buckets, again and again; without it their
    /// memory grows until somebody renders. Never returns.
    pub(crate) async fn upkeep(self) {
        let mut interval = tokio::time::interval(UPKEEP_INTERVAL);
        loop {
            interval.tick().await;
            self.0.run_upkeep();
        }
    }
}

#[cfg(test)]
impl MetricsHandle {
    /// A handle whose recorder is not the one of the process: it knows every metric, and no values.
    pub(crate) fn detached() -> Self {
        recorder().1
    }
}

/// A recorder of a test's own, with everything described.
#[cfg(test)]
pub(crate) fn recorder() -> (PrometheusRecorder, MetricsHandle) {
    let recorder = builder().unwrap().build_recorder();
    let handle = MetricsHandle(recorder.handle());
    metrics::with_local_recorder(&recorder, describe);
    (recorder, handle)
}

fn builder() -> Result<PrometheusBuilder, BuildError> {
    PrometheusBuilder::new().set_buckets(&BUCKETS)
}

/// Tells the current recorder what each metric means, and sets those that never change.
fn describe() {
    for metric in catalog::ALL {
        metric.describe();
    }
    catalog::BUILD_INFO.gauge_of(env!("CARGO_PKG_VERSION")).set(1.0);
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    catalog::START_TIME.gauge().set(now.as_secs_f64());
}

/// Upper bounds of every histogram, in seconds: from a login over loopback to a node that hangs.
const BUCKETS: [f64; 14] =
    [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];
const UPKEEP_INTERVAL: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests;
