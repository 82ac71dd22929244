//! HAProxy as one sets it up before one MariaDB: mode tcp, one thread, everything else as it is by
//! default. It sets TCP_NODELAY by itself and does not splice unless told to. Before a cluster: the
//! same with its check for MySQL, at its usual pace, one active server, and the others as backups.

use std::fs;
use std::net::SocketAddr;
use std::sync::Arc;

use lab::part::Part;
use lab::process::Program;
use lab::run::Run;

use crate::error::{Context, Result};

/// Starts it and waits for nothing.
pub(super) fn start(run: &Arc<Run>, configuration: &str) -> Result<Part> {
    let folder = run.data("haproxy");
    fs::create_dir_all(&folder).context(|| format!("making {}", folder.display()))?;
    let file = folder.join("haproxy.cfg");
    fs::write(&file, configuration).context(|| format!("writing {}", file.display()))?;
    let part = Part::new(run, Program::new("haproxy", "haproxy").args(["-db", "-f"]).arg(&file));
    part.launch()?;
    Ok(part)
}

/// What it is told before the server at `to`.
pub(super) fn before_one(listen: SocketAddr, to: SocketAddr) -> String {
    format!("{COMMON}listen mariadb\n\tbind {listen}\n\tserver node1 {to}\n")
}

/// What it is told before a cluster, of which the first node is the active one. At `keeping` a
/// client keeps its connection to a server that no longer answers, as it is by default; at
/// `closing` it loses it as soon as the check finds the server down.
pub(super) fn before_cluster(
    keeping: SocketAddr,
    closing: SocketAddr,
    nodes: &[SocketAddr],
) -> String {
    let server = |(index, node): (usize, &SocketAddr)| {
        let backup = if index == 0 { "" } else { " backup" };
        format!("\tserver node{} {node} check{backup}\n", index + 1)
    };
    let servers: String = nodes.iter().enumerate().map(server).collect();
    let check = format!("\toption mysql-check user {CHECK_USER}\n");
    format!(
        "{COMMON}\
         listen keeping\n\tbind {keeping}\n{check}{servers}\
         listen closing\n\tbind {closing}\n{check}\
         \tdefault-server on-marked-down shutdown-sessions\n{servers}"
    )
}

/// The account that its check logs in with. It has no password and no rights.
pub(crate) const CHECK_USER: &str = "haproxy";

const COMMON: &str = "\
global
\tnbthread 1
\tmaxconn 4000
defaults
\tmode tcp
\ttimeout connect 5s
\ttimeout client 1h
\ttimeout server 1h
";

#[cfg(test)]
mod tests {
    use super::*;

    /// With two active servers it would spread the writers, and the comparison would be another
    /// one.
    #[test]
    fn one_node_is_active_and_the_others_are_backups() {
        let address = |host| SocketAddr::from(([127, 0, 0, host], 3306));
        let nodes = [address(2), address(1), address(3)];
        let text = before_cluster(address(8), address(9), &nodes);
        let servers: Vec<_> = text.lines().filter(|line| line.contains("server node")).collect();
        let section = [
            "\tserver node1 127.0.0.2:3306 check",
            "\tserver node2 127.0.0.1:3306 check backup",
            "\tserver node3 127.0.0.3:3306 check backup",
        ];
        assert_eq!(servers, [section, section].concat());
        let (keeping, closing) = text.split_once("listen closing").expect("both are there");
        assert!(!keeping.contains("shutdown-sessions") && closing.contains("shutdown-sessions"));
    }
}
