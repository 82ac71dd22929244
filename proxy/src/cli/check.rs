//! `ido-proxy check`

use std::io::IsTerminal;
use std::process::ExitCode;

use clap::Args;
use ido_proxy_config::{Config, render};

use super::config_file::ConfigFile;
use super::live;

/// Read the configuration and say what is wrong with it.
///
/// Prints every problem with file, line and a caret; the exit code is 64 if there is any. With --live it
/// goes on, asks the name servers and the nodes, and logs in as each user; the exit code is 1 if anything
/// is not as it should be.
#[derive(Args, Debug)]
pub(super) struct Check {
    #[command(flatten)]
    config: ConfigFile,
    /// Ask name servers, nodes and accounts too
    #[arg(long)]
    live: bool,
}

impl Check {
    pub(super) fn execute(self) -> ExitCode {
        let config = match self.config.load() {
            Ok(config) => config,
            Err(code) => return code,
        };
        for warning in config.warnings() {
            eprint!("{}", render(warning, std::io::stderr().is_terminal()));
        }
        println!("{}: good", self.config.path().display());
        if self.live {
            return check_live(&config);
        }
        ExitCode::SUCCESS
    }
}

fn check_live(config: &Config) -> ExitCode {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    match runtime {
        Ok(runtime) if runtime.block_on(live::check(config)) => ExitCode::SUCCESS,
        Ok(_) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("ido-proxy: cannot start: {error}");
            ExitCode::FAILURE
        }
    }
}
