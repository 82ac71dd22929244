//! `ido-proxy switchover` and `ido-proxy drain`

use std::process::ExitCode;

use clap::Args;

use super::ConfigFile;
use crate::app::{cluster_settings, own_host};
use crate::cluster::NodeAddr;
use crate::cluster::order::{Order, OrderError, carry_out};
use crate::cluster::pin::Pin;

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

/// Take a node out of use, for every proxy of the cluster, until `--undo`.
///
/// If it is the primary, another node becomes it at once: each session moves when its open transaction is
/// over, nothing is done again and no client sees an error. Clients that only read leave it too. While no
/// other node is usable, a drained one is used all the same.
#[derive(Args, Debug)]
pub(super) struct Drain {
    #[command(flatten)]
    config: ConfigFile,
    /// The node: its wsrep_node_name, its address, or its address without the port
    #[arg(value_name = "NODE")]
    node: String,
    /// Give the node back: it may be used as any other again. Nothing moves for that
    #[arg(long)]
    undo: bool,
}

impl Switchover {
    pub(super) fn execute(self) -> ExitCode {
        carry(Order::Primary, &self.config, &self.node, |_, pin| {
            format!("{} is the primary of all proxies (epoch {})", pin.node, pin.epoch)
        })
    }
}

impl Drain {
    pub(super) fn execute(self) -> ExitCode {
        let order = if self.undo { Order::Undrain } else { Order::Drain };
        carry(order, &self.config, &self.node, |node, pin| match order {
            Order::Undrain => format!("{node} may be used again; the primary is {}", pin.node),
            _ if pin.node == node => {
                format!("{node} is drained, but stays the primary until another node is usable")
            }
            _ => format!("{node} is drained; the primary is {} (epoch {})", pin.node, pin.epoch),
        })
    }
}

/// Carries `order` out, and says what came of it.
fn carry(
    order: Order,
    config: &ConfigFile,
    node: &str,
    say: impl FnOnce(NodeAddr, &Pin) -> String,
) -> ExitCode {
    let config = match config.load() {
        Ok(config) => config,
        Err(code) => return code,
    };
    let by = format!("an operator at {}", own_host());
    super::say(async {
        let (node, pin) = carry_out(order, cluster_settings(&config), node, by).await?;
        Ok::<_, OrderError>(say(node, &pin) + "\n")
    })
}
