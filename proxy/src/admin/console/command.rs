//! A command of the console.

use super::table::Table;
use crate::admin::status::AdminState;

/// One command. Each has its own file.
#[derive(Debug)]
pub(super) struct Command {
    /// The words to type, in capitals.
    pub(super) words: &'static str,
    /// The description for `SHOW COMMANDS`.
    pub(super) help: &'static str,
    /// Computes the answer.
    pub(super) run: fn(&AdminState) -> Table,
}
