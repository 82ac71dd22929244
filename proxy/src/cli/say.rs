//! Commands that ask the daemon or the cluster something, and print what they hear.

use std::fmt::Display;
use std::process::ExitCode;

use tokio::runtime;

/// Does `work`, and prints the text that comes of it, or why there is none.
pub(super) fn say<E: Display>(work: impl Future<Output = Result<String, E>>) -> ExitCode {
    let runtime = runtime::Builder::new_current_thread().enable_all().build();
    let told = runtime.map_err(|error| error.to_string());
    match told.and_then(|runtime| runtime.block_on(work).map_err(|error| error.to_string())) {
        Ok(text) => {
            print!("{text}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("ido-proxy: {error}");
            ExitCode::FAILURE
        }
    }
}
