//! Large results, in rows of 1 KB and in short rows as Icinga reads its objects.
//!
//! The rows of 1 KB are read from a table that is in the server's memory. A last one has 100 MB of one
//! constant: no real query is that cheap for a server, so it shows where a proxy's own limit is.

use serde::{Deserialize, Serialize};

use super::{measured, repeated};
use crate::client::{Client, query};
use crate::error::Result;
use crate::progress::Progress;
use crate::rounds::{Expect, Plan};
use crate::series::Series;
use crate::stand::Target;

/// The series of all results.
#[derive(Debug, Deserialize, Serialize)]
pub(crate) struct Results {
    /// 10,000 rows of 1 KB from a table.
    pub(crate) ten: Vec<Series>,
    /// 100,000 rows of 1 KB from a table.
    pub(crate) hundred: Vec<Series>,
    /// 2,000,000 rows of about 50 bytes.
    pub(crate) short_rows: Vec<Series>,
    /// 100,000 rows of one constant of 1 KB.
    pub(crate) constant: Vec<Series>,
}

/// Measures all four.
///
/// # Errors
/// When a connection is lost or an answer is not as expected.
pub(crate) fn measure(targets: &[Target], quick: bool, progress: &Progress) -> Result<Results> {
    Client::connect(&targets[0].endpoint)?.run(&query(TABLE))?;
    let measured = |what, sql: &str, rows: u64, rounds, turn| {
        let expect = Expect { results: 1, rows };
        let plan = Plan { rounds, turn, warm_up: turn / 4, expect };
        measured(what, targets, &plan, &repeated(sql), progress)
    };
    let scale = if quick { 1 } else { 5 };
    let constant = format!("SELECT '{}' FROM seq_1_to_100000", "x".repeat(993));
    let ten = format!("{ROWS} WHERE id <= 10000");
    Ok(Results {
        ten: measured("10 MB result", &ten, 10_000, 12 * scale, 4)?,
        hundred: measured("100 MB result", ROWS, 100_000, 6 * scale, 2)?,
        short_rows: measured("100 MB in short rows", SHORT, 2_000_000, 2 * scale, 1)?,
        constant: measured("100 MB of a constant", &constant, 100_000, 6 * scale, 1)?,
    })
}

/// 100,000 rows that are 1,000 bytes each on the wire, shaped as Icinga's history.
const TABLE: &str = "CREATE OR REPLACE TABLE bench_rows \
    (id BIGINT UNSIGNED PRIMARY KEY, object_id BIGINT UNSIGNED, state SMALLINT, output TEXT) \
    CHARACTER SET latin1 \
    SELECT seq AS id, 40000 + seq % 40000 AS object_id, seq % 4 AS state, \
    RPAD(CONCAT('DISK ', seq, ' OK - free space: /var 12345 MiB (67% inode=89%): '), 978, 'x') \
    AS output FROM seq_1_to_100000";

const ROWS: &str = "SELECT id, object_id, state, output FROM bench_rows";

/// Rows like those of `SELECT object_id, objecttype_id, name1, name2, is_active FROM icinga_objects`.
const SHORT: &str = "SELECT 10000000 + seq, 2, 'host12345.example.com', 'service12', 1 \
    FROM seq_1_to_2000000";
