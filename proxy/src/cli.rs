//! The commands of `ido-proxy`, one file each.

use std::process::ExitCode;

use clap::{Parser, Subcommand};

mod check;
mod config_file;
mod daemon;
mod explain;
mod live;
mod order;
mod run;
mod say;
mod session_line;
mod setup;

/// Keeps Icinga's database connection alive on a MariaDB Galera cluster.
///
/// Icinga says host = "localhost"; the proxy finds the Galera nodes by asking Consul's DNS, sends
/// every write to one of them, and holds clients while there is none.
#[derive(Debug, Parser)]
#[command(name = "ido-proxy", version, propagate_version = true)]
#[command(
    after_help = "Start with `ido-proxy check`, then `ido-proxy setup | mariadb` on a node, \
                        then `ido-proxy run`."
)]
pub(crate) struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serve clients until SIGTERM or SIGINT
    Run(run::Run),
    /// Read the configuration and say what is wrong with it
    Check(check::Check),
    /// Say why the primary is what it is, and why a session can or cannot move
    Explain(explain::Explain),
    /// Print the SQL that creates accounts, grants and control tables
    Setup(setup::Setup),
    /// Make another node the primary, for every proxy
    Switchover(order::Switchover),
    /// Take a node out of use, for every proxy
    Drain(order::Drain),
}

impl Cli {
    /// Does what the command line says. The exit code is 0, 1 for a failure, or 64 (EX_USAGE of
    /// sysexits.h) for a bad configuration.
    pub(crate) fn execute(self) -> ExitCode {
        match self.command {
            Command::Run(run) => run.execute(),
            Command::Check(check) => check.execute(),
            Command::Explain(explain) => explain.execute(),
            Command::Setup(setup) => setup.execute(),
            Command::Switchover(switchover) => switchover.execute(),
            Command::Drain(drain) => drain.execute(),
        }
    }
}
