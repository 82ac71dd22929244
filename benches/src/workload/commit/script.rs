//! Commands of each workload.

use super::cells::Workload;
use crate::client::{Client, Value, execute, prepare as preparation, query};
use crate::error::Result;
use crate::rounds::{Expect, Script, Unit};
use crate::workload::{batch, repeated};

/// Makes the tables, and the rows that batches change.
///
/// # Errors
/// When the connection is lost or the server refuses.
pub(super) fn prepare(client: &mut Client) -> Result<()> {
    for table in [HISTORY, STATES] {
        client.run(&query(table))?;
    }
    batch::prepare(client, CHECK_RESULTS)
}

/// Script of `workload`, and the answer to each of its units.
pub(super) fn of(workload: Workload) -> (Script, Expect) {
    let expect = |results| Expect { results, rows: 0 };
    let single = |script| Script { single_statements: true, ..script };
    match workload {
        Workload::Nothing => (repeated("DO 1"), expect(1)),
        Workload::Insert => (repeated(&insert()), expect(1)),
        Workload::InsertSingle => (single(repeated(&insert())), expect(1)),
        Workload::Prepared => (single(prepared_insert()), expect(1)),
        Workload::Upsert => (single(upserts()), expect(1)),
        Workload::Commands => (single(commands()), expect(3)),
        Workload::Batch => (batch::script(CHECK_RESULTS), expect(batch::statements(CHECK_RESULTS))),
    }
}

fn insert() -> String {
    format!("INSERT INTO bench_history (object_id, state, output) VALUES (4711, 2, '{OUTPUT}')")
}

fn commands() -> Script {
    let unit: Unit = ["BEGIN", &insert(), "COMMIT"].map(query).to_vec();
    Script { units: vec![unit], ..Script::default() }
}

fn prepared_insert() -> Script {
    let values = [Value::Number(4711), Value::Number(2), Value::Bytes(OUTPUT.into())];
    Script {
        prepared: Some(preparation(
            "INSERT INTO bench_history (object_id, state, output) VALUES (?, ?, ?)",
        )),
        units: vec![vec![execute(&values)]],
        ..Script::default()
    }
}

/// Icinga DB's bulk upsert, worded as it words them. Every execute changes its rows.
fn upserts() -> Script {
    let row = format!("({})", vec!["?"; COLUMNS.len()].join(","));
    let updates = COLUMNS.map(|column| format!("`{column}` = VALUES(`{column}`)"));
    let sql = format!(
        "INSERT INTO `bench_state` (`{}`) VALUES {} ON DUPLICATE KEY UPDATE {}",
        COLUMNS.join("`, `"),
        vec![row; ROWS as usize].join(","),
        updates.join(",")
    );
    let executes = (0..2).flat_map(|version| (0..GROUPS).map(move |group| upsert(group, version)));
    Script {
        prepared: Some(preparation(&sql)),
        units: executes.map(|values| vec![execute(&values)]).collect(),
        ..Script::default()
    }
}

/// Values of one upsert.
fn upsert(group: u8, version: u8) -> Vec<Value> {
    let row = |row: u8| {
        let id = |kind: u8| Value::Bytes([vec![kind; 18], vec![group, row]].concat());
        let (state, now) = (i64::from(version), NOW + i64::from(version));
        [
            id(1),
            id(2),
            id(3),
            Value::Bytes("hard".into()),
            Value::Number(state),
            Value::Number(32 + state),
            Value::Bytes(OUTPUT.into()),
            Value::Bytes(format!("time={now}.125493 value=837 uptime=0.394280").into()),
            Value::Number(now),
            Value::Number(now + 60_000),
        ]
    };
    (0..ROWS).flat_map(row).collect()
}

/// Columns as Icinga DB has for a service, fewer of them.
const COLUMNS: [&str; 10] = [
    "id",
    "environment_id",
    "host_id",
    "state_type",
    "hard_state",
    "severity",
    "output",
    "performance_data",
    "last_update",
    "next_check",
];

const HISTORY: &str = "CREATE TABLE IF NOT EXISTS bench_history \
    (id BIGINT UNSIGNED NOT NULL AUTO_INCREMENT PRIMARY KEY, object_id BIGINT UNSIGNED NOT NULL, \
    state SMALLINT NOT NULL, output TEXT NOT NULL) ENGINE=InnoDB";

const STATES: &str = "CREATE TABLE IF NOT EXISTS bench_state \
    (id BINARY(20) NOT NULL PRIMARY KEY, environment_id BINARY(20) NOT NULL, \
    host_id BINARY(20) NOT NULL, state_type VARCHAR(4) NOT NULL, hard_state TINYINT NOT NULL, \
    severity SMALLINT NOT NULL, output LONGTEXT NOT NULL, performance_data LONGTEXT NOT NULL, \
    last_update BIGINT NOT NULL, next_check BIGINT NOT NULL) ENGINE=InnoDB";

const OUTPUT: &str = "DISK OK - free space: /var 12345 MiB (67% inode=89%), /home 23456 MiB (78%)";

/// Rows of one upsert.
const ROWS: u8 = 50;
/// Upserts before a row is changed again.
const GROUPS: u8 = 8;
/// Check results of a batch, each of two statements: 100 with COMMIT and BEGIN.
const CHECK_RESULTS: u32 = 49;
/// Some Unix time in milliseconds.
const NOW: i64 = 1_795_473_152_000;

#[cfg(test)]
mod tests {
    use super::*;

    /// Promises are about these shapes.
    #[test]
    fn every_workload_is_what_its_name_says() {
        for workload in Workload::ALL {
            let (script, expect) = of(workload);
            let commands = if workload == Workload::Commands { 3 } else { 1 };
            assert!(script.units.iter().all(|unit| unit.len() == commands), "{workload:?}");
            let prepared = matches!(workload, Workload::Prepared | Workload::Upsert);
            assert_eq!(script.prepared.is_some(), prepared, "{workload:?}");
            let results = match workload {
                Workload::Batch => 100,
                Workload::Commands => 3,
                _ => 1,
            };
            assert_eq!(expect.results, results, "{workload:?}");
        }
    }

    /// MariaDB writes nothing for a row that stays the same.
    #[test]
    fn every_upsert_changes_its_rows() {
        let units = upserts().units;
        assert_eq!(units.len(), 2 * usize::from(GROUPS));
        for (index, unit) in units.iter().enumerate() {
            assert_ne!(*unit, units[(index + usize::from(GROUPS)) % units.len()]);
        }
    }
}
