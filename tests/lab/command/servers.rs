//! `lab servers`

use std::process::ExitCode;

use lab::galera::Profile;

/// Lists the kinds of servers, one a line: name and particularities.
pub(super) fn execute() -> ExitCode {
    for profile in Profile::ALL {
        println!("{:12} {}", profile.name(), profile.about());
    }
    ExitCode::SUCCESS
}
