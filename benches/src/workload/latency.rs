//! The time of one small command: `DO 1`, and one row by its key.

use nix::sched::{CpuSet, sched_getaffinity};
use nix::unistd::Pid;
use serde::{Deserialize, Serialize};

use super::{measured, repeated};
use crate::client::{Client, query};
use crate::error::{BenchError, Context, Result};
use crate::procfs::ProcessTree;
use crate::progress::Progress;
use crate::rounds::{Expect, Plan};
use crate::series::Series;
use crate::stand::Stand;

/// The series of all commands.
#[derive(Debug, Deserialize, Serialize)]
pub(crate) struct Latency {
    /// `DO 1`: the least that a server can do.
    pub(crate) do_1: Vec<Series>,
    /// `DO 1` while client, server and all programs in between share one core.
    pub(crate) do_1_on_one_core: Vec<Series>,
    /// One row of five columns, by its primary key.
    pub(crate) one_row: Vec<Series>,
}

/// Measures all three.
///
/// # Errors
/// When a connection is lost or an answer is not as expected.
pub(crate) fn measure(stand: &Stand, quick: bool, progress: &Progress) -> Result<Latency> {
    let targets = stand.targets();
    let rounds = if quick { 60 } else { 300 };
    let plan = |rows| Plan { rounds, turn: 250, warm_up: 25, expect: Expect { results: 1, rows } };
    let do_1 = measured("DO 1", &targets, &plan(0), &repeated("DO 1"), progress)?;
    let do_1_on_one_core = on_one_core(stand, || {
        measured("DO 1 on one core", &targets, &plan(0), &repeated("DO 1"), progress)
    })?;
    Client::connect(&targets[0].endpoint)?.run(&query(ROW))?;
    let one_row = measured("SELECT of one row", &targets, &plan(1), &repeated(ONE_ROW), progress)?;
    Ok(Latency { do_1, do_1_on_one_core, one_row })
}

/// Keeps everybody to one core while `measuring`.
///
/// The scheduler puts a chain of three processes on one core or on two as it likes, and waking a
/// process on the other core costs more than any proxy's work. On one core the work is all there is.
fn on_one_core<T>(stand: &Stand, measuring: impl FnOnce() -> Result<T>) -> Result<T> {
    let io = |error: nix::Error| std::io::Error::from(error);
    let all = sched_getaffinity(Pid::from_raw(0)).map_err(io);
    let all = all.context(|| "asking for the cores".into())?;
    let is_ours = |core: &usize| all.is_set(*core).unwrap_or(false);
    let last = (0..CpuSet::count()).rev().find(is_ours);
    let last = last.ok_or_else(|| BenchError::Refused("there is no core to run on".into()))?;
    let mut one = CpuSet::new();
    one.set(last).map_err(io).context(|| format!("choosing core {last}"))?;

    let everybody = || stand.processes().chain([ProcessTree::of(std::process::id())]);
    let measured =
        everybody().try_for_each(|process| process.keep_to(&one)).and_then(|()| measuring());
    everybody().try_for_each(|process| process.keep_to(&all))?;
    measured
}

/// A row in the table that Icinga keeps its objects' names in.
const ROW: &str = "REPLACE INTO icinga_objects \
    (object_id, instance_id, objecttype_id, name1, name2, is_active) \
    VALUES (1, 1, 2, 'host1.example.com', 'service1', 1)";

const ONE_ROW: &str = "SELECT object_id, objecttype_id, name1, name2, is_active \
    FROM icinga_objects WHERE object_id = 1";
