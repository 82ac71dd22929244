//! `SHOW SESSIONS`: who is connected, and what each does.

use super::command::Command;
use super::table::{Table, cell};
use crate::admin::status::AdminState;

/// `SHOW SESSIONS`
pub(super) const COMMAND: Command = Command {
    words: "SHOW SESSIONS",
    help: "Every session: its client, its node, and what it does since how many seconds",
    run,
};

fn run(state: &AdminState) -> Table {
    let mut table = Table::new([
        "Id",
        "User",
        "Client",
        "Role",
        "Database",
        "Node",
        "State",
        "Command",
        "Seconds",
        "Transaction",
        "Cannot move",
        "Commands",
        "Received",
        "Sent",
    ]);
    for session in state.registry.snapshot() {
        table.push([
            cell(session.id),
            session.user,
            cell(session.client),
            cell(session.role),
            session.database,
            session.node.and_then(cell),
            cell(session.state),
            session.command.and_then(cell),
            cell(format_args!("{:.1}", session.state_seconds)),
            cell(if session.in_transaction { "open" } else { "" }),
            session.stays.and_then(cell),
            cell(session.commands),
            cell(session.received_bytes),
            cell(session.sent_bytes),
        ]);
    }
    table
}
