//! The commands of `ido-proxy`, one file each.

use std::fmt::Display;
use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};
use ido_proxy_config::{Config, Environment, render};
use tokio::runtime;

mod check;
mod daemon;
mod explain;
mod live;
mod order;
mod run;
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

/// The option that every command has.
#[derive(Args, Debug)]
struct ConfigFile {
    /// The configuration file
    #[arg(short, long, value_name = "FILE", default_value = DEFAULT_PATH, env = "IDO_PROXY_CONFIG")]
    config: PathBuf,
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

impl ConfigFile {
    fn path(&self) -> &Path {
        &self.config
    }

    /// Reads the configuration; its errors go to standard error, as miette draws them.
    fn load(&self) -> Result<Config, ExitCode> {
        let environment = Environment {
            credentials_directory: std::env::var_os("CREDENTIALS_DIRECTORY").map(PathBuf::from),
        };
        Config::load(&self.config, &environment).map_err(|errors| {
            eprint!("{}", render(&errors, std::io::stderr().is_terminal()));
            ExitCode::from(BAD_CONFIGURATION)
        })
    }
}

/// Does `work`, and prints the text that comes of it, or why there is none.
fn say<E: Display>(work: impl Future<Output = Result<String, E>>) -> ExitCode {
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

/// Where the configuration is, if nobody says otherwise.
const DEFAULT_PATH: &str = "/etc/ido-proxy/ido-proxy.toml";

/// `EX_USAGE` of sysexits.h.
const BAD_CONFIGURATION: u8 = 64;
