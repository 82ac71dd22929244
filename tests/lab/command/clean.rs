//! `lab clean`

use std::process::ExitCode;

use lab::leftovers;

/// Clears away what crashed labs left, and says what that was.
pub(super) fn execute() -> ExitCode {
    let swept = leftovers::clean();
    println!(
        "ended {} processes, removed {} data folders, left {} living labs alone",
        swept.processes, swept.folders, swept.alive
    );
    ExitCode::SUCCESS
}
