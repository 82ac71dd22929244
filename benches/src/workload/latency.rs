//! The time of one small command: `DO 1`, and one row by its key.

use serde::{Deserialize, Serialize};

use crate::client::{Client, query};
use crate::error::Result;
use crate::progress::Progress;
use crate::rounds::{self, Expect, Plan};
use crate::series::Series;
use crate::stand::Target;

/// What was measured.
#[derive(Debug, Deserialize, Serialize)]
pub(crate) struct Latency {
    /// `DO 1`: the least that a server can do.
    pub(crate) do_1: Vec<Series>,
    /// One row of five columns, by its primary key.
    pub(crate) one_row: Vec<Series>,
}

/// Measures both.
///
/// # Errors
/// When a connection is lost or an answer is not as expected.
pub(crate) fn measure(targets: &[Target], quick: bool, progress: &Progress) -> Result<Latency> {
    let rounds = if quick { 60 } else { 300 };
    let plan = |rows| Plan { rounds, turn: 250, warm_up: 25, expect: Expect { results: 1, rows } };
    let measured = |what: &str, sql: &str, rows: u64| -> Result<Vec<Series>> {
        let plan = plan(rows);
        let bar = progress.rounds(what, plan.rounds_for(targets.len()));
        let measured = rounds::run(targets, &plan, &[query(sql)], || bar.inc(1))?;
        bar.finish();
        Ok(measured.iter().map(Series::of).collect())
    };
    let do_1 = measured("DO 1", "DO 1", 0)?;
    prepare(targets)?;
    let one_row = measured("SELECT of one row", ONE_ROW, 1)?;
    Ok(Latency { do_1, one_row })
}

/// The row, in the table that Icinga keeps its objects' names in.
fn prepare(targets: &[Target]) -> Result<()> {
    if let Some(target) = targets.first() {
        Client::connect(&target.endpoint)?.run(&query(ROW))?;
    }
    Ok(())
}

const ROW: &str = "REPLACE INTO icinga_objects \
    (object_id, instance_id, objecttype_id, name1, name2, is_active) \
    VALUES (1, 1, 2, 'host1.example.com', 'service1', 1)";

const ONE_ROW: &str = "SELECT object_id, objecttype_id, name1, name2, is_active \
    FROM icinga_objects WHERE object_id = 1";
