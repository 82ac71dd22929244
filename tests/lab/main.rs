//! The `lab` command: the lab for people.

use std::process::ExitCode;

use clap::Parser;

mod command;

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    command::Cli::parse().execute().await
}
