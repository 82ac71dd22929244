//! The time of a commit: at no distance, at 1 ms and at 5 ms of round trip, on one node and on three.
//!
//! Every way has the same distance to the nodes: a relay stands before each node, and all ways lead
//! through it. The proxies are at the client's side of the distance. A round trip that a proxy adds costs
//! as much here as between two machines.

mod script;
mod stage;

use std::path::Path;
use std::time::Duration;

use clap::ValueEnum;
use serde::{Deserialize, Serialize};
use tokio::runtime::Runtime;

use self::stage::{Cluster, Ways};
use super::measured;
use crate::client::Client;
use crate::error::Result;
use crate::progress::Progress;
use crate::rounds::Plan;
use crate::schedule;
use crate::series::Series;
use crate::wakes::{Knob, Wakes};

/// Extent of a run.
#[derive(Clone, Debug)]
pub(crate) struct Settings<'a> {
    /// Clusters of so many nodes.
    pub(crate) nodes: &'a [u8],
    /// Round trips between clients and nodes, in milliseconds.
    pub(crate) distances: &'a [u32],
    /// Workloads, in the order of measuring.
    pub(crate) workloads: &'a [Workload],
    /// Another ido-proxy to measure beside.
    pub(crate) old: Option<&'a Path>,
    /// Costs of waking a process to measure with.
    pub(crate) wakes: &'a Knob,
    /// Fewer samples: a first impression.
    pub(crate) quick: bool,
}

/// Commands that have something committed.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Workload {
    /// `DO 1`, which commits nothing: the cost of the distance itself
    Nothing,
    /// INSERT as text, of a client that may send several statements at once
    Insert,
    /// INSERT as text, of a client that may not
    InsertSingle,
    /// INSERT as a prepared statement
    Prepared,
    /// INSERT … ON DUPLICATE KEY UPDATE of 50 rows, prepared, as Icinga DB has it
    Upsert,
    /// BEGIN, INSERT and COMMIT, as three commands
    Commands,
    /// Icinga's batch: one text of 100 statements that ends in COMMIT;BEGIN
    Batch,
}

/// Numbers of a whole run.
#[derive(Debug, Default, Deserialize, Serialize)]
pub(crate) struct Commits {
    /// One for each setting and workload.
    pub(crate) cells: Vec<Cell>,
}

/// One workload in one setting.
#[derive(Debug, Deserialize, Serialize)]
pub(crate) struct Cell {
    /// Nodes of the cluster.
    pub(crate) nodes: u8,
    /// The round trip, in milliseconds.
    pub(crate) distance: u32,
    /// Cost of waking a process.
    pub(crate) wakes: Wakes,
    /// Commands that were sent.
    pub(crate) workload: Workload,
    /// Every way, without its curve.
    pub(crate) series: Vec<Series>,
}

impl Workload {
    /// Every workload, in the order of tables.
    pub(crate) const ALL: [Self; 7] = [
        Self::Nothing,
        Self::Insert,
        Self::InsertSingle,
        Self::Prepared,
        Self::Upsert,
        Self::Commands,
        Self::Batch,
    ];

    /// Name in tables.
    pub(crate) fn label(self) -> &'static str {
        match self {
            Self::Nothing => "DO 1, no commit",
            Self::Insert => "INSERT as text",
            Self::InsertSingle => "INSERT as text, one statement a command",
            Self::Prepared => "INSERT, prepared",
            Self::Upsert => "upsert of 50 rows, prepared",
            Self::Commands => "BEGIN, INSERT, COMMIT",
            Self::Batch => "batch of 100 statements",
        }
    }
}

/// Measures every workload in every setting.
///
/// # Errors
/// When a part does not come up, a connection is lost, or an answer is not as expected.
pub(crate) fn measure(
    settings: &Settings<'_>,
    runtime: &Runtime,
    progress: &Progress,
) -> Result<Commits> {
    let mut cells = Vec::new();
    for nodes in settings.nodes {
        let step = progress.step_of_unknown_length(&format!("Galera, {}", counted(*nodes)));
        let cluster = runtime.block_on(Cluster::start(*nodes))?;
        step.finish();
        for distance in settings.distances {
            let round_trip = Duration::from_millis(u64::from(*distance));
            let ways = runtime.block_on(Ways::open(&cluster, round_trip, settings.old))?;
            let mut client = Client::connect(&ways.targets()[0].endpoint)?;
            script::prepare(&mut client)?;
            drop(client);
            for workload in settings.workloads {
                let work = Work { nodes: *nodes, distance: *distance, workload: *workload };
                for wakes in settings.wakes.kinds() {
                    settings.wakes.turn(*wakes)?;
                    cells.push(work.measure(&ways, *wakes, settings.quick, progress)?);
                }
            }
        }
    }
    Ok(Commits { cells })
}

/// So many nodes, in words.
pub(crate) fn counted(nodes: u8) -> String {
    if nodes == 1 { "1 node".into() } else { format!("{nodes} nodes") }
}

/// One workload in one setting, to be measured.
struct Work {
    nodes: u8,
    distance: u32,
    workload: Workload,
}

impl Work {
    fn measure(&self, ways: &Ways, wakes: Wakes, quick: bool, progress: &Progress) -> Result<Cell> {
        let Self { nodes, distance, workload } = *self;
        let wakes_label = match wakes.label() {
            "" => String::new(),
            label => format!(", {label}"),
        };
        let place = counted(nodes);
        let what = format!("{place}, {distance} ms: {}{wakes_label}", workload.label());
        let (script, expect) = script::of(workload);
        let amount = Amount::of(workload, distance, quick);
        let (rounds, turn) = amount.turns(ways.targets().len());
        let plan = Plan { rounds, turn, warm_up: 2, expect };
        let mut series = measured(&what, ways.targets(), &plan, &script, progress)?;
        for series in &mut series {
            // Percentiles of a few hundred commands say as much as their curve.
            series.curve.clear();
        }
        Ok(Cell { nodes, distance, wakes, workload, series })
    }
}

/// Number of samples on each way, and the least number of rounds.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
struct Amount {
    rounds: usize,
    samples: usize,
}

impl Amount {
    /// Slow workloads have fewer samples, so that the whole run takes some six minutes.
    fn of(workload: Workload, distance: u32, quick: bool) -> Self {
        let (rounds, samples) = match (distance, workload) {
            (0, Workload::Batch) => (20, 200),
            (0, Workload::Upsert) => (40, 480),
            (0, _) => (40, 1_200),
            (1..=2, Workload::Batch) => (20, 160),
            (1..=2, _) => (20, 400),
            (_, Workload::Batch) => (12, 96),
            (..) => (12, 144),
        };
        if quick { Self { rounds: 4, samples: samples / 8 } } else { Self { rounds, samples } }
    }

    /// Rounds, and samples of each turn.
    fn turns(self, targets: usize) -> (usize, usize) {
        let rounds = self.rounds.next_multiple_of(schedule::cycle(targets));
        (rounds, self.samples.div_ceil(rounds))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A fifth way must not make the run twice as long.
    #[test]
    fn a_way_more_does_not_change_how_much_each_way_sends() {
        for distance in [0, 1, 5] {
            let amount = Amount::of(Workload::Insert, distance, false);
            for targets in 3..=5 {
                let (rounds, turn) = amount.turns(targets);
                assert!(rounds.is_multiple_of(schedule::cycle(targets)));
                assert!((amount.samples..amount.samples + rounds).contains(&(rounds * turn)));
            }
        }
    }
}
