//! `ido-proxy run`

use std::process::ExitCode;

use clap::Args;
use ido_proxy_config::logs::{Format, Level, Logs};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use tracing::level_filters::LevelFilter;

use super::config_file::ConfigFile;
use crate::app::App;
use crate::telemetry::{logs, metrics};

/// Serve clients until SIGTERM or SIGINT.
///
/// On SIGTERM the listeners close, each session ends with its transaction, and what has not ended
/// after failover.drain is closed.
#[derive(Args, Debug)]
pub(super) struct Run {
    #[command(flatten)]
    config: ConfigFile,
}

impl Run {
    pub(super) fn execute(self) -> ExitCode {
        let config = match self.config.load() {
            Ok(config) => config,
            Err(code) => return code,
        };
        let (format, level) = log_settings(&config.logs);
        if let Err(error) = logs::init(format, level) {
            eprintln!("ido-proxy: {error}");
            return ExitCode::FAILURE;
        }
        for warning in config.warnings() {
            tracing::warn!("{}", warning.summary());
        }
        raise_file_limit();
        let daemon = metrics::install()
            .map_err(|error| error.to_string())
            .and_then(|handle| App::bind(config, handle).map_err(|error| error.to_string()))
            .and_then(|app| app.run().map_err(|error| error.to_string()));
        match daemon {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                tracing::error!("{error}");
                ExitCode::FAILURE
            }
        }
    }
}

fn log_settings(logs: &Logs) -> (logs::Format, LevelFilter) {
    let format = match logs.format {
        Format::Text => logs::Format::Text,
        Format::Json => logs::Format::Json,
    };
    let level = match logs.level {
        Level::Error => LevelFilter::ERROR,
        Level::Warn => LevelFilter::WARN,
        Level::Info => LevelFilter::INFO,
        Level::Debug => LevelFilter::DEBUG,
        Level::Trace => LevelFilter::TRACE,
    };
    (format, level)
}

/// Every client costs two files; the soft limit of most systems is 1,024.
fn raise_file_limit() {
    let raised = getrlimit(Resource::RLIMIT_NOFILE)
        .and_then(|(_soft, hard)| setrlimit(Resource::RLIMIT_NOFILE, hard, hard));
    if let Err(error) = raised {
        tracing::warn!(%error, "cannot raise the limit of open files");
    }
}
