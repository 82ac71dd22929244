//! `ido-proxy setup`

use std::process::ExitCode;

use clap::Args;
use ido_proxy_config::setup::setup_sql;

use super::config_file::ConfigFile;

/// Print the SQL that creates accounts, grants and control tables.
///
/// Meant for `ido-proxy setup | mariadb` on one node; it holds no clear-text password, and is safe to
/// run twice.
#[derive(Args, Debug)]
pub(super) struct Setup {
    #[command(flatten)]
    config: ConfigFile,
    /// The host part of the accounts: where the proxies connect from, as the nodes see it
    #[arg(long, value_name = "PATTERN", default_value = "%")]
    host: String,
}

impl Setup {
    pub(super) fn execute(self) -> ExitCode {
        match self.config.load() {
            Ok(config) => {
                print!("{}", setup_sql(&config, &self.host));
                ExitCode::SUCCESS
            }
            Err(code) => code,
        }
    }
}
