//! `ido-proxy check`

use std::io::IsTerminal;
use std::process::ExitCode;

use clap::Args;
use ido_proxy_config::render;

use super::ConfigFile;

/// Read the configuration and say what is wrong with it.
///
/// Prints every problem with file, line and a caret; the exit code is 64 if there is any.
#[derive(Args, Debug)]
pub(super) struct Check {
    #[command(flatten)]
    config: ConfigFile,
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
        for key in config.not_yet() {
            eprintln!("warning: {key} is read, but this version does not act on it yet");
        }
        println!("{}: good", self.config.path().display());
        ExitCode::SUCCESS
    }
}
