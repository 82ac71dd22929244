//! `ido-proxy switchover` and `ido-proxy drain`

use std::net::SocketAddr;
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use serde::Deserialize;
use tokio::time::{Instant, sleep};

use super::config_file::ConfigFile;
use super::daemon::{self, AskError};
use super::say::say;
use crate::app::{cluster_settings, node_tls, own_host};
use crate::cluster::NodeAddr;
use crate::cluster::model::pin::Pin;
use crate::cluster::operator::{Order, OrderError, carry_out};

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
    #[command(flatten)]
    patience: Patience,
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
    #[command(flatten)]
    patience: Patience,
}

#[derive(Args, Debug)]
struct Patience {
    /// How long to wait until the sessions of this host have followed; 0s: not at all
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = humantime::parse_duration)]
    wait: Duration,
}

impl Switchover {
    pub(super) fn execute(self) -> ExitCode {
        carry(Order::Primary, &self.config, &self.node, &self.patience, |_, pin| {
            format!("{} is the primary of all proxies (epoch {})", pin.node, pin.epoch)
        })
    }
}

impl Drain {
    pub(super) fn execute(self) -> ExitCode {
        let order = if self.undo { Order::Undrain } else { Order::Drain };
        carry(order, &self.config, &self.node, &self.patience, |node, pin| match order {
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
    patience: &Patience,
    tell: impl FnOnce(NodeAddr, &Pin) -> String,
) -> ExitCode {
    let config = match config.load() {
        Ok(config) => config,
        Err(code) => return code,
    };
    let by = format!("an operator at {}", own_host());
    say(async {
        let tls = node_tls(&config)?;
        let (node, pin) = carry_out(order, cluster_settings(&config), tls, node, by).await?;
        let goal = Goal::of(order, node, &pin);
        let followed = followed(config.admin.http, goal.as_ref(), pin.epoch, patience.wait).await;
        Ok::<_, OrderError>(format!("{}\n{followed}", tell(node, &pin)))
    })
}

/// Where sessions are to be when an order has been followed.
#[derive(Debug)]
enum Goal {
    /// Those that write are at this node.
    At(String),
    /// None is at this node.
    NotAt(String),
}

/// Fields of `/status` that are needed here.
#[derive(Debug, Deserialize)]
struct Status {
    epoch: u64,
    sessions: Vec<Session>,
}

#[derive(Debug, Deserialize)]
struct Session {
    node: Option<String>,
    role: String,
    /// Why it cannot move, whatever it does.
    stays: Option<String>,
}

impl Goal {
    /// `None`: nobody moves.
    fn of(order: Order, node: NodeAddr, pin: &Pin) -> Option<Self> {
        match order {
            Order::Primary => Some(Self::At(node.to_string())),
            Order::Drain if pin.node != node => Some(Self::NotAt(node.to_string())),
            Order::Drain | Order::Undrain => None,
        }
    }

    /// How many have still to follow, and how many never will. One without a link takes its next one where it
    /// should.
    fn missed_by(&self, sessions: &[Session]) -> (usize, usize) {
        let late = |session: &&Session| match (self, &session.node) {
            (_, None) => false,
            (Self::At(goal), Some(node)) => node != goal && session.role == "writer",
            (Self::NotAt(left), Some(node)) => node == left,
        };
        let late: Vec<_> = sessions.iter().filter(late).collect();
        let stay = late.iter().filter(|session| session.stays.is_some()).count();
        (late.len() - stay, stay)
    }
}

/// Waits until the daemon on this host knows of this `epoch` and its sessions have followed, and says so, or how
/// many have not.
async fn followed(daemon: SocketAddr, goal: Option<&Goal>, epoch: u64, wait: Duration) -> String {
    let Some(goal) = goal.filter(|_| !wait.is_zero()) else { return String::new() };
    let deadline = Instant::now() + wait;
    loop {
        let (late, stay, known) = match daemon::get::<Status>(daemon, "/status").await {
            Ok(status) => {
                let (late, stay) = goal.missed_by(&status.sessions);
                (late, stay, status.epoch >= epoch)
            }
            Err(AskError::Unreachable { .. }) => return String::new(),
            Err(error) => {
                return format!("whether the sessions have followed is not known: {error}\n");
            }
        };
        if known && (late, stay) == (0, 0) {
            return "the sessions of this host have followed\n".into();
        }
        if known && late == 0 {
            return format!(
                "{stay} of the sessions of this host cannot follow and will end with their node: \
                 ido-proxy explain says why; the others have followed\n"
            );
        }
        if Instant::now() >= deadline && !known {
            return "the ido-proxy of this host does not know of it yet\n".into();
        }
        if Instant::now() >= deadline {
            return format!(
                "{late} of the sessions of this host still to follow, when their transactions are over: \
                 SHOW SESSIONS on the console lists them\n"
            );
        }
        sleep(PACE).await;
    }
}

/// Between two looks at the sessions.
const PACE: Duration = Duration::from_millis(50);

#[cfg(test)]
mod tests {
    use super::*;

    fn late(goal: &Goal, sessions: &[(&str, &str)]) -> (usize, usize) {
        let sessions = sessions.iter().map(|(role, node)| Session {
            node: (!node.is_empty()).then(|| (*node).to_owned()),
            role: role.trim_end_matches('!').to_owned(),
            stays: role.ends_with('!').then(|| "temporary_table".to_owned()),
        });
        goal.missed_by(&sessions.collect::<Vec<_>>())
    }

    /// Otherwise an operator shuts down a node whose sessions are not counted, and cuts their clients.
    #[test]
    fn sessions_that_are_still_there_are_counted() {
        let sessions = [("writer", "a:1"), ("writer", "b:1"), ("reader", "a:1"), ("writer", "")];
        assert_eq!(late(&Goal::At("b:1".into()), &sessions), (1, 0), "readers stay where they are");
        assert_eq!(late(&Goal::NotAt("a:1".into()), &sessions), (2, 0));
        assert_eq!(late(&Goal::At("b:1".into()), &sessions[1..]), (0, 0));
        assert_eq!(late(&Goal::NotAt("a:1".into()), &[("reader!", "a:1")]), (0, 1));
    }
}
