//! `ido-proxy switchover`

use std::process::ExitCode;

use clap::Args;
use tokio::runtime;

use super::ConfigFile;
use crate::app::{cluster_settings, own_host};
use crate::cluster::switchover::switch_over;

/// Make another node the primary, for every proxy of the cluster.
///
/// Before a node is taken down for its update, say. Each session moves when its open transaction is over:
/// nothing is done again and no client sees an error. The node stays the primary until it fails or the
/// next switchover.
#[derive(Args, Debug)]
pub(super) struct Switchover {
    #[command(flatten)]
    config: ConfigFile,
    /// The node: its wsrep_node_name, its address, or its address without the port
    #[arg(value_name = "NODE")]
    node: String,
}

impl Switchover {
    pub(super) fn execute(self) -> ExitCode {
        let config = match self.config.load() {
            Ok(config) => config,
            Err(code) => return code,
        };
        let switched = runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|error| error.to_string());
        let by = format!("switchover at {}", own_host());
        let switched = switched.and_then(|runtime| {
            let switched = switch_over(cluster_settings(&config), &self.node, by);
            runtime.block_on(switched).map_err(|error| error.to_string())
        });
        match switched {
            Ok(pin) => {
                println!("{} is the primary of all proxies (epoch {})", pin.node, pin.epoch);
                ExitCode::SUCCESS
            }
            Err(error) => {
                eprintln!("ido-proxy: {error}");
                ExitCode::FAILURE
            }
        }
    }
}
