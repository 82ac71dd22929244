//! Plan of a command, by what it is and by what the session knows of the statement that it names.

use ido_proxy_protocol::command::Command;

use crate::session::plan::{Plan, Scene, Unguarding, works_unseen};
use crate::session::state::settings::{SessionSettings, statement_id};

/// The plan of a command; `request` is its payload, if that was kept.
pub(super) fn plan_of(
    command: Command,
    request: Option<&[u8]>,
    settings: &SessionSettings,
    scene: Scene,
) -> Plan {
    let Some(payload) = request else { return Plan::of_long_command() };
    match command {
        Command::Query => {
            let mut plan = Plan::of_query(payload.get(1..).unwrap_or_default(), scene);
            plan.holding = plan.holding.map(|holding| holding.within(settings.schema()));
            plan
        }
        Command::StmtExecute | Command::StmtBulkExecute => {
            let statement = statement_id(payload).and_then(|id| settings.statement(id));
            let Some(statement) = statement else { return Plan::of_command(command) };
            let len = statement.sql.len();
            let mut plan = Plan::of_kind(statement.kind, statement.open_ended, len, scene);
            if command == Command::StmtExecute {
                plan = plan.in_one_flight(&statement.sql, scene);
            }
            plan.leaves(&statement.leavings);
            // Names of a prepared statement are read in the schema that it was prepared in.
            let schema = statement.setup.schema.as_deref();
            plan.holding = plan.holding.map(|holding| holding.within(schema));
            plan.reads_autocommit = scene.guards() && statement.reads_autocommit;
            let unseen = works_unseen(statement.kind, statement.open_ended);
            let sets = plan.sets_autocommit || plan.reads_autocommit;
            plan.unguards = match scene.guards() && scene.is_open() {
                true if sets => Some(Unguarding::Looks),
                true if unseen => Some(Unguarding::Works),
                _ => None,
            };
            plan
        }
        _ => Plan::of_command(command),
    }
}
