//! Workloads, one a file.

pub(crate) mod batch;
pub(crate) mod commit;
pub(crate) mod dump;
pub(crate) mod failover;
pub(crate) mod latency;
pub(crate) mod results;
pub(crate) mod sessions;

use crate::client::query;
use crate::error::Result;
use crate::progress::Progress;
use crate::rounds::{self, Plan, Script};
use crate::series::Series;
use crate::stand::Target;

/// Runs the rounds of one workload, with a bar.
fn measured(
    what: &str,
    targets: &[Target],
    plan: &Plan,
    script: &Script,
    progress: &Progress,
) -> Result<Vec<Series>> {
    let bar = progress.rounds(what, plan.rounds_for(targets.len()));
    let measured = rounds::run(targets, plan, script, || bar.inc(1))?;
    bar.finish();
    Ok(measured.iter().map(Series::of).collect())
}

/// One statement, over and over.
fn repeated(sql: &str) -> Script {
    Script { units: vec![vec![query(sql)]], ..Script::default() }
}
