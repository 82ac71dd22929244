//! The time of a commit: at no distance, at 1 ms and at 5 ms of round trip, on one node and on three.
//!
//! Every way has the same distance to the nodes: a relay stands before each node, and all ways lead
//! through it. The proxies are at the client's side of the distance. A round trip that a proxy adds costs
//! as much here as between two machines.

pub(crate) mod cells;
mod script;
mod stage;

use std::path::Path;
use std::time::Duration;

use tokio::runtime::Runtime;

use self::cells::{Cell, Commits, Workload, counted};
use self::stage::{Cluster, Ways};
use super::measured;
use crate::client::Client;
use crate::error::Result;
use crate::progress::Progress;
use crate::rounds::Plan;
use crate::schedule;
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
