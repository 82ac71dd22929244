//! `SHOW DECISIONS`: how the primary came to be what it is.

use super::command::Command;
use super::table::{Table, cell};
use crate::admin::status::{AdminState, StateName};
use crate::cluster::decide::history::{Found, utc};

/// `SHOW DECISIONS`
pub(super) const COMMAND: Command = Command {
    words: "SHOW DECISIONS",
    help: "The last decisions about the primary, and what was found of each node; the latest last",
    run,
};

fn run(state: &AdminState) -> Table {
    let columns = ["At", "Epoch", "Primary", "Reason", "Wanted", "Nodes"];
    let mut table = Table::new(columns);
    for decided in state.history.snapshot() {
        let nodes: Vec<_> = decided.nodes.iter().map(describe).collect();
        table.push([
            cell(utc(decided.at)),
            cell(decided.epoch),
            decided.primary.and_then(cell),
            cell(decided.reason),
            decided.proposal,
            cell(nodes.join("; ")),
        ]);
    }
    table
}

fn describe(found: &Found) -> String {
    let name = found.name.clone().unwrap_or_else(|| found.address.to_string());
    match &found.reason {
        Some(reason) => format!("{name}: {reason}"),
        None => format!("{name}: {}", StateName(found.state)),
    }
}
