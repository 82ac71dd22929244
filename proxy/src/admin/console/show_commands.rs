//! `SHOW COMMANDS`, also spelled `HELP`: what the console knows.

use super::command::{COMMANDS, Command};
use super::table::{Table, cell};
use crate::admin::status::AdminState;

/// `SHOW COMMANDS`
pub(super) const COMMAND: Command = Command { words: "SHOW COMMANDS", help: "This list", run };

/// `HELP`. The `mariadb` prompt answers `help` by itself, so this is for other clients.
pub(super) const HELP: Command = Command { words: "HELP", help: "The same list", run };

fn run(_: &AdminState) -> Table {
    let mut table = Table::new(["Command", "Shows"]);
    for command in &COMMANDS {
        table.push([cell(command.words), cell(command.help)]);
    }
    table
}
