//! `SHOW VERSION`: what runs here, and since when.

use super::command::Command;
use super::table::{Table, cell};
use crate::admin::status::{AdminState, VERSION};

/// `SHOW VERSION`
pub(super) const COMMAND: Command = Command {
    words: "SHOW VERSION",
    help: "The version of the proxy and the seconds since it started",
    run,
};

fn run(state: &AdminState) -> Table {
    let mut table = Table::new(["Version", "Uptime"]);
    table.push([cell(VERSION), cell(state.started.elapsed().as_secs())]);
    table
}
