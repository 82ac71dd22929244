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
use super::session_line::Session;
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

impl Goal {
    /// `None`: nobody moves.
    fn of(order: Order, node: NodeAddr, pin: &Pin) -> Option<Self> {
        match order {
            Order::Primary => Some(Self::At(node.to_string())),
            Order::Drain if pin.node != node => Some(Self::NotAt(node.to_string())),
            Order::Drain | Order::Undrain => None,
        }
    }

    /// Those that have still to follow, and those that cannot. One without a link takes its next one where it should.
    fn missed_by<'a>(&self, sessions: &'a [Session]) -> (Vec<&'a Session>, Vec<&'a Session>) {
        let late = |session: &&Session| match (self, &session.node) {
            (_, None) => false,
            (Self::At(goal), Some(node)) => node != goal && session.role == "writer",
            (Self::NotAt(left), Some(node)) => node == left,
        };
        sessions.iter().filter(late).partition(|session| session.stays.is_none())
    }
}

/// Waits until the daemon on this host knows of this `epoch` and its sessions have followed, and says so, or how
/// many have not.
async fn followed(daemon: SocketAddr, goal: Option<&Goal>, epoch: u64, wait: Duration) -> String {
    let Some(goal) = goal.filter(|_| !wait.is_zero()) else { return String::new() };
    let deadline = Instant::now() + wait;
    loop {
        let status = match daemon::get::<Status>(daemon, "/status").await {
            Ok(status) => status,
            Err(AskError::Unreachable { .. }) => return String::new(),
            Err(error) => {
                return format!("whether the sessions have followed is not known: {error}\n");
            }
        };
        let known = status.epoch >= epoch;
        let (late, staying) = goal.missed_by(&status.sessions);
        if known && late.is_empty() && staying.is_empty() {
            return "the sessions of this host have followed\n".into();
        }
        if known && late.is_empty() {
            return format!(
                "{} of the sessions of this host cannot follow, and will end with their node; the others have \
                 followed:\n{}",
                staying.len(),
                lines(&staying)
            );
        }
        if Instant::now() >= deadline && !known {
            return "the ido-proxy of this host does not know of it yet\n".into();
        }
        if Instant::now() >= deadline {
            return format!(
                "{} of the sessions of this host have still to follow, when their transactions are over:\n{}",
                late.len(),
                lines(&[late, staying].concat())
            );
        }
        sleep(PACE).await;
    }
}

/// The first of these sessions, one a line.
fn lines(sessions: &[&Session]) -> String {
    let mut text: String =
        sessions.iter().take(MOST_LINES).map(|session| format!("  {session}\n")).collect();
    if sessions.len() > MOST_LINES {
        text += "  … SHOW SESSIONS on the console lists all\n";
    }
    text
}

/// Sessions that an order tells one by one.
const MOST_LINES: usize = 20;

/// Between two looks at the sessions.
const PACE: Duration = Duration::from_millis(50);

#[cfg(test)]
mod tests {
    use super::*;

    /// The counts of those that are late, and of those that stay: `!` behind the role.
    fn missed(goal: &Goal, sessions: &[(&str, &str)]) -> (usize, usize) {
        let sessions: Vec<_> = (1..)
            .zip(sessions)
            .map(|(id, (role, node))| {
                let stays = role.ends_with('!').then_some("it has a temporary table");
                Session::at(id, node, role.trim_end_matches('!'), stays)
            })
            .collect();
        let (late, staying) = goal.missed_by(&sessions);
        (late.len(), staying.len())
    }

    /// Otherwise an operator shuts down a node whose sessions are not counted, and cuts their clients.
    #[test]
    fn sessions_that_are_still_there_are_counted() {
        let sessions = [("writer", "a:1"), ("writer", "b:1"), ("reader", "a:1"), ("writer", "")];
        assert_eq!(
            missed(&Goal::At("b:1".into()), &sessions),
            (1, 0),
            "readers stay where they are"
        );
        assert_eq!(missed(&Goal::NotAt("a:1".into()), &sessions), (2, 0));
        assert_eq!(missed(&Goal::At("b:1".into()), &sessions[1..]), (0, 0));
        assert_eq!(missed(&Goal::NotAt("a:1".into()), &[("reader!", "a:1")]), (0, 1));
    }

    /// Otherwise an operator who waits with a shutdown does not know whom to ask, nor for what.
    #[test]
    fn who_stays_is_told_with_the_reason() {
        let session = Session::at(7, "a:1", "writer", Some("it has a temporary table"));
        assert_eq!(lines(&[&session]), "       7  icinga at a:1: it has a temporary table\n");
        let many = lines(&[&session; MOST_LINES + 1]);
        assert_eq!(many.lines().count(), MOST_LINES + 1);
        assert!(many.ends_with("lists all\n"), "{many}");
    }
}
