//! ido-proxy: keeps Icinga's database connection alive on a MariaDB Galera cluster.
//!
//! Layout:
//! - [`cli`] — the commands.
//! - [`app`] — puts the daemon together and takes it down.
//! - [`session`] — one client's conversation.
//! - [`cluster`] — where is the primary?
//! - [`admin`] — HTTP and the SQL console.
//! - [`telemetry`] — metrics and logs.

use std::process::ExitCode;

use clap::Parser;

mod admin;
mod app;
mod cli;
mod cluster;
mod session;
mod telemetry;

fn main() -> ExitCode {
    cli::Cli::parse().execute()
}
