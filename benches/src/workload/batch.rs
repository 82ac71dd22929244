//! Icinga's own work: what it sends once a second, as one command.
//!
//! A batch has 124 check results, each a full UPDATE of the object's status and a row of history,
//! then COMMIT and BEGIN: 250 statements, 250 KB. The statements are worded as Icinga 2.13 words
//! them (see protocol/testdata/icinga.bin), on its own tables.

use std::fmt::Write as _;

use super::measured;
use crate::client::{Client, query};
use crate::error::Result;
use crate::progress::Progress;
use crate::rounds::{Expect, Plan, Script};
use crate::series::Series;
use crate::stand::Target;

/// Measures the batch.
///
/// # Errors
/// When a connection is lost or an answer is not as expected.
pub(crate) fn measure(targets: &[Target], quick: bool, progress: &Progress) -> Result<Vec<Series>> {
    let expect = Expect { results: STATEMENTS, rows: 0 };
    let plan = Plan { rounds: if quick { 12 } else { 60 }, turn: 10, warm_up: 2, expect };
    let mut client = Client::connect(&targets[0].endpoint)?;
    prepare(&mut client, RESULTS)?;
    measured("Icinga's batch", targets, &plan, &script(RESULTS), progress)
}

/// Writes the rows that batches of so many check results change.
///
/// # Errors
/// When the connection is lost or the server refuses.
pub(super) fn prepare(client: &mut Client, results: u32) -> Result<()> {
    for statement in statuses(results) {
        client.run(&query(&statement))?;
    }
    Ok(())
}

/// Batches of so many check results.
pub(super) fn script(results: u32) -> Script {
    let at_login =
        ["SET SESSION TIME_ZONE='+00:00'", "SET SESSION SQL_MODE='NO_AUTO_VALUE_ON_ZERO'", "BEGIN"];
    // An UPDATE that changes nothing is cheap: each group of objects alternates between two results.
    let batches =
        (0..2).flat_map(|version| (0..GROUPS).map(move |group| batch(group, version, results)));
    Script {
        at_login: at_login.map(query).to_vec(),
        units: batches.map(|batch| vec![query(&batch)]).collect(),
        ..Script::default()
    }
}

/// One command of Icinga's, without header.
fn batch(group: u32, version: u32, results: u32) -> String {
    let mut batch = String::with_capacity(256 << 10);
    for result in 0..results {
        let object = Object { id: 1 + group * results + result };
        let _ = write!(batch, "{};{};", object.status(version), object.history(version));
    }
    batch.push_str("COMMIT;BEGIN");
    batch
}

/// The rows that the batches will change.
fn statuses(results: u32) -> impl Iterator<Item = String> {
    ["host", "service"].into_iter().map(move |kind| {
        let objects = (1..=GROUPS * results).map(|id| Object { id });
        let rows = objects.filter(|object| object.kind() == kind);
        let rows: Vec<_> = rows.map(|object| format!("({},1)", object.id)).collect();
        let rows = rows.join(",");
        format!("REPLACE INTO icinga_{kind}status ({kind}_object_id, instance_id) VALUES {rows}")
    })
}

/// One of Icinga's objects: every sixth is a host, the others are services.
struct Object {
    id: u32,
}

impl Object {
    fn kind(&self) -> &'static str {
        if self.id.is_multiple_of(6) { "host" } else { "service" }
    }

    fn status(&self, version: u32) -> String {
        let (id, kind) = (self.id, self.kind());
        let (host_id, service_id) = match kind {
            "host" => (format!("host_object_id = {id},  "), String::new()),
            _ => (String::new(), format!("service_object_id = {id},  ")),
        };
        let (state, now) = (1 + version, NOW + version);
        let last_times = match kind {
            "host" => format!(
                "last_time_down = FROM_UNIXTIME({now}),  last_time_unreachable = NULL,  \
                 last_time_up = NULL,  "
            ),
            _ => format!(
                "last_time_critical = NULL,  last_time_ok = NULL,  \
                 last_time_unknown = FROM_UNIXTIME({now}),  last_time_warning = NULL,  "
            ),
        };
        format!(
            "UPDATE icinga_{kind}status SET acknowledgement_type = '0',  \
             active_checks_enabled = '1',  check_command = 'random',  check_source = 'lab',  \
             check_timeperiod_object_id = NULL,  check_type = '0',  current_check_attempt = '1',  \
             current_notification_number = '0',  current_state = '{state}',  \
             event_handler_enabled = '1',  execution_time = '0.00010{version}',  \
             flap_detection_enabled = '0',  has_been_checked = '1',  {host_id}instance_id = 1,  \
             is_flapping = '0',  is_reachable = '1',  last_check = FROM_UNIXTIME({now}),  \
             last_hard_state = '{state}',  last_hard_state_change = FROM_UNIXTIME({now}),  \
             last_notification = NULL,  last_state_change = FROM_UNIXTIME({now}),  {last_times}\
             latency = '0.00021{version}',  long_output = '',  max_check_attempts = '1',  \
             next_check = FROM_UNIXTIME({next}),  next_notification = NULL,  \
             normal_check_interval = '0.033333',  notifications_enabled = '1',  \
             original_attributes = 'null',  output = '{output}',  passive_checks_enabled = '1',  \
             percent_state_change = '0',  perfdata = 'time={now}.125493 value=837 \
             value_1m=753.300000 value_5m=669.600000 uptime=0.394280',  \
             problem_has_been_acknowledged = '0',  process_performance_data = '1',  \
             retry_check_interval = '0.033333',  scheduled_downtime_depth = '0',  {service_id}\
             should_be_scheduled = '1',  state_type = '1',  \
             status_update_time = FROM_UNIXTIME({now}) WHERE {kind}_object_id = {id}",
            next = now + 10,
            output = output(version),
        )
    }

    fn history(&self, version: u32) -> String {
        let (id, state, now) = (self.id, 1 + version, NOW + version);
        format!(
            "INSERT INTO icinga_statehistory (check_source, current_check_attempt, instance_id, \
             last_hard_state, last_state, long_output, max_check_attempts, object_id, output, \
             state, state_change, state_time, state_time_usec, state_type) VALUES ('lab', '1', 1, \
             '{state}', '{state}', '', '1', {id}, '{output}', '{state}', '1', \
             FROM_UNIXTIME({now}), '125530', '1')",
            output = output(version),
        )
    }
}

/// Statements of a batch of so many check results, with COMMIT and BEGIN.
pub(super) const fn statements(results: u32) -> u32 {
    2 * results + 2
}

fn output(version: u32) -> String {
    format!(
        "Hello from lab. Icinga 2 has been running for {} milliseconds. Version: r2.13.6-1",
        394 + version
    )
}

/// Check results in a batch; each is two statements.
const RESULTS: u32 = 124;
const STATEMENTS: u32 = statements(RESULTS);
/// So many batches pass before an object has its next result: 992 objects in all.
const GROUPS: u32 = 8;
/// Some Unix time.
const NOW: u32 = 1_795_473_152;

#[cfg(test)]
mod tests {
    use super::*;

    /// The figure is about batches of this size and shape.
    #[test]
    fn a_batch_is_as_large_as_icingas() {
        let batch = batch(0, 0, RESULTS);
        assert_eq!(batch.split(';').count() as u32, STATEMENTS);
        assert_eq!(STATEMENTS, 250);
        assert!((240_000..260_000).contains(&batch.len()), "{} bytes", batch.len());
        assert!(batch.ends_with(";COMMIT;BEGIN"));
    }

    /// MariaDB writes nothing for an UPDATE that changes nothing: it would be quicker than Icinga's.
    #[test]
    fn every_batch_changes_its_rows() {
        let units = script(RESULTS).units;
        assert_eq!(units.len() as u32, 2 * GROUPS);
        for (index, unit) in units.iter().enumerate() {
            let same_rows = &units[(index + GROUPS as usize) % units.len()];
            assert_ne!(unit, same_rows);
        }
    }
}
