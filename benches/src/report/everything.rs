//! Numbers of every benchmark, as the results folder keeps them.

use serde::{Deserialize, Serialize};

use crate::conditions::Conditions;
use crate::series::Series;
use crate::workload::commit::cells::Commits;
use crate::workload::dump::Dumps;
use crate::workload::failover::runs::Failovers;
use crate::workload::latency::Latency;
use crate::workload::results::Results;
use crate::workload::sessions::Sessions;

/// Numbers and the conditions they were made under: one JSON file.
#[derive(Debug, Deserialize, Serialize)]
pub(crate) struct Part<T> {
    /// Under these.
    pub(crate) conditions: Conditions,
    /// These.
    pub(crate) numbers: T,
}

/// Numbers of `bench throughput`.
#[derive(Debug, Deserialize, Serialize)]
pub(crate) struct Throughput {
    /// Icinga's batch.
    pub(crate) batch: Vec<Series>,
    /// Large results.
    pub(crate) results: Results,
}

/// Every benchmark that was made and stands in the folder.
#[derive(Debug, Default)]
pub(crate) struct Everything {
    /// `latency.json`.
    pub(crate) latency: Option<Part<Latency>>,
    /// `throughput.json`.
    pub(crate) throughput: Option<Part<Throughput>>,
    /// `sessions.json`.
    pub(crate) sessions: Option<Part<Vec<Sessions>>>,
    /// `commit.json`.
    pub(crate) commit: Option<Part<Commits>>,
    /// `icinga.json`.
    pub(crate) icinga: Option<Part<Dumps>>,
    /// `failover.json`.
    pub(crate) failover: Option<Part<Failovers>>,
}
