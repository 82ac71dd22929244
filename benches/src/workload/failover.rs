//! The primary is lost under load: how long each client stands still, and what becomes of what it
//! wrote.
//!
//! A Galera cluster that loses a node stands still by itself until the others agree that it is
//! gone. So a plain client writes on a node that survives; what the proxy's client waits longer
//! than that one, in the same run, is the proxy's share.

mod account;
pub(crate) mod runs;
mod stage;
mod writer;

use self::runs::{Failovers, Fault};
use self::stage::Stage;
use crate::error::Result;
use crate::progress::Progress;
use crate::schedule;

/// Makes each of `faults` `repeat` times, in turns.
///
/// # Errors
/// When a part does not come up, or ido-proxy's client loses a transaction, has one twice or sees
/// an error: the text names the proxy's log.
pub(crate) async fn measure(
    repeat: usize,
    faults: &[Fault],
    progress: &Progress,
) -> Result<Failovers> {
    let step = progress.step_of_unknown_length("three Galera nodes, ido-proxy");
    let stage = Stage::set().await?;
    step.finish();
    let mut all = Vec::new();
    for round in 0..repeat {
        for index in schedule::order(round, faults.len()) {
            let fault = faults[index];
            let what = format!("failover {}/{repeat}: {}", round + 1, fault.label());
            let step = progress.step_of_unknown_length(&what);
            all.push(stage.run(round, fault).await?);
            step.finish();
        }
    }
    stage.end().await?;
    Ok(Failovers { hangs_after_seconds: stage::HANGS.as_secs(), runs: all })
}
