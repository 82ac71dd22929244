//! Measures ido-proxy beside a direct connection, HAProxy and nginx: see `bench --help`.

mod cli;
mod client;
mod conditions;
mod error;
mod others;
mod own_build;
mod procfs;
mod progress;
mod report;
mod rounds;
mod schedule;
mod series;
mod stand;
mod wakes;
mod workload;

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    match cli::Arguments::parse().run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bench: {error}");
            ExitCode::FAILURE
        }
    }
}
