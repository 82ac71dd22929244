//! `SHOW COMMANDS`, also spelled `HELP`: every command that the console knows.

use super::command::Command;
use super::table::{Table, cell};
use super::{show_decisions, show_nodes, show_sessions, show_version};
use crate::admin::status::AdminState;

/// Every command, in the order in which they are taught.
pub(super) const COMMANDS: [Command; 6] = [
    show_nodes::COMMAND,
    show_sessions::COMMAND,
    show_decisions::COMMAND,
    show_version::COMMAND,
    COMMAND,
    HELP,
];

/// `SHOW COMMANDS`
const COMMAND: Command = Command { words: "SHOW COMMANDS", help: "This list", run };

/// `HELP`. The `mariadb` prompt answers `help` by itself, so this is for other clients.
const HELP: Command = Command { words: "HELP", help: "The same list", run };

fn run(_: &AdminState) -> Table {
    let mut table = Table::new(["Command", "Shows"]);
    for command in &COMMANDS {
        table.push([cell(command.words), cell(command.help)]);
    }
    table
}
