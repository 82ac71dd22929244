//! `SHOW NODES`: which node is what, and why.

use super::command::Command;
use super::table::{Cell, Table, cell};
use crate::admin::status::{AdminState, StateName};

/// `SHOW NODES`
pub(super) const COMMAND: Command = Command {
    words: "SHOW NODES",
    help: "Every known node: its role, its state, and why it is not usable",
    run,
};

fn run(state: &AdminState) -> Table {
    let topology = state.current_topology();
    let columns = ["Address", "Name", "Role", "State", "Usable", "Reason", "Version"];
    let mut table = Table::new(columns);
    for node in &topology.nodes {
        let is_primary = topology.primary == Some(node.address);
        table.push([
            cell(node.address),
            node.name.clone(),
            cell(if is_primary { "primary" } else { "" }),
            cell(StateName(node.state)),
            yes_or_no(node.usable),
            node.reason.clone(),
            node.version.clone(),
        ]);
    }
    table
}

fn yes_or_no(value: bool) -> Cell {
    cell(if value { "yes" } else { "no" })
}
