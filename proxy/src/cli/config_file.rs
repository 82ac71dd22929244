//! The configuration file, as the command line names it.

use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;
use ido_proxy_config::{Config, Environment, render};

/// The option that every command has.
#[derive(Args, Debug)]
pub(super) struct ConfigFile {
    /// The configuration file
    #[arg(short, long, value_name = "FILE", default_value = DEFAULT_PATH, env = "IDO_PROXY_CONFIG")]
    config: PathBuf,
}

impl ConfigFile {
    pub(super) fn path(&self) -> &Path {
        &self.config
    }

    /// Reads the configuration; its errors go to standard error, as miette draws them.
    pub(super) fn load(&self) -> Result<Config, ExitCode> {
        let environment = Environment {
            credentials_directory: std::env::var_os("CREDENTIALS_DIRECTORY").map(PathBuf::from),
        };
        Config::load(&self.config, &environment).map_err(|errors| {
            eprint!("{}", render(&errors, std::io::stderr().is_terminal()));
            ExitCode::from(BAD_CONFIGURATION)
        })
    }
}

/// Where the configuration is, if nobody says otherwise.
const DEFAULT_PATH: &str = "/etc/ido-proxy/ido-proxy.toml";

/// `EX_USAGE` of sysexits.h.
const BAD_CONFIGURATION: u8 = 64;
