//! Large results: 10 MB, 100 MB, and 100 MB in short rows as Icinga reads its objects.
//!
//! The server makes the rows from nothing, which is quicker than reading a table: what is between it
//! and the client has less to hide behind.

use serde::{Deserialize, Serialize};

use super::{measured, repeated};
use crate::error::Result;
use crate::progress::Progress;
use crate::rounds::{Expect, Plan};
use crate::series::Series;
use crate::stand::Target;

/// What was measured.
#[derive(Debug, Deserialize, Serialize)]
pub(crate) struct Results {
    /// 10,000 rows of 1 KB.
    pub(crate) ten: Vec<Series>,
    /// 100,000 rows of 1 KB.
    pub(crate) hundred: Vec<Series>,
    /// 2,000,000 rows of about 50 bytes.
    pub(crate) short_rows: Vec<Series>,
}

/// Measures all three.
///
/// # Errors
/// When a connection is lost or an answer is not as expected.
pub(crate) fn measure(targets: &[Target], quick: bool, progress: &Progress) -> Result<Results> {
    let measured = |what, select: &str, rows: u64, rounds, turn| {
        let expect = Expect { results: 1, rows };
        let plan = Plan { rounds, turn, warm_up: turn / 4, expect };
        let sql = format!("SELECT {select} FROM seq_1_to_{rows}");
        measured(what, targets, &plan, &repeated(&sql), progress)
    };
    let scale = if quick { 1 } else { 5 };
    Ok(Results {
        ten: measured("10 MB result", LONG, 10_000, 6 * scale, 4)?,
        hundred: measured("100 MB result", LONG, 100_000, 6 * scale, 1)?,
        short_rows: measured("100 MB in short rows", SHORT, 2_000_000, 2 * scale, 1)?,
    })
}

/// About 1,000 bytes with its header.
const LONG: &str = "REPEAT('x', 993)";

/// As `SELECT object_id, objecttype_id, name1, name2, is_active FROM icinga_objects`.
const SHORT: &str = "10000000 + seq, 2, 'host12345.example.com', 'service12', 1";
