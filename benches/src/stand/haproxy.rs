//! HAProxy as one sets it up before one MariaDB: mode tcp, one thread, everything else as it is by
//! default. It sets TCP_NODELAY by itself and does not splice unless told to. Before a cluster: the
//! same with its check for MySQL, at its usual pace, one active server, and the others as backups.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use lab::part::Part;
use lab::process::Program;
use lab::run::Run;
use lab::wait::{Look, wait_until};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;

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

/// Configuration of HAProxy before the server at `to`.
pub(super) fn before_one(listen: SocketAddr, socket: &Path, to: SocketAddr) -> String {
    let socket = socket.display();
    format!("{COMMON}listen mariadb\n\tbind {listen}\n\tbind unix@{socket}\n\tserver node1 {to}\n")
}

/// The Unix socket of [`before_one`].
pub(super) fn socket(run: &Run) -> PathBuf {
    run.data("haproxy").join("mariadb.sock")
}

/// Configuration of HAProxy before a cluster, of which the first node is the active one. A client at `keeping`
/// keeps its connection to a server that no longer answers, which is the default. A client at `closing` loses
/// its connection as soon as the check finds the server down. `console` is for questions to HAProxy.
pub(super) fn before_cluster(
    keeping: SocketAddr,
    closing: SocketAddr,
    nodes: &[SocketAddr],
    console: &Path,
) -> String {
    let server = |(index, node): (usize, &SocketAddr)| {
        let backup = if index == 0 { "" } else { " backup" };
        format!("\tserver node{} {node} check{backup}\n", index + 1)
    };
    let servers: String = nodes.iter().enumerate().map(server).collect();
    let check = format!("\toption mysql-check user {CHECK_USER}\n");
    format!(
        "{COMMON}\
         global\n\tstats socket {}\n\
         listen keeping\n\tbind {keeping}\n{check}{servers}\
         listen closing\n\tbind {closing}\n{check}\
         \tdefault-server on-marked-down shutdown-sessions\n{servers}",
        console.display()
    )
}

/// Where [`before_cluster`] shall let it be asked.
pub(super) fn console(run: &Run) -> PathBuf {
    run.data("haproxy").join("console.sock")
}

/// Waits until its checks have found every server well. As long as one was never checked, a single
/// failure counts as three, and it would look quicker than it is.
///
/// # Errors
/// When that takes too long, or it ends.
pub(super) async fn checked(part: &Part, console: &Path) -> Result<()> {
    wait_until("every server checked by HAProxy", CHECKED, Some(&part.log()), async || {
        match statistics(console).await {
            Ok(statistics) if all_well(&statistics) => Look::Done(()),
            Ok(statistics) => part.look(statistics),
            Err(error) => part.look(error),
        }
    })
    .await?;
    Ok(())
}

async fn statistics(console: &Path) -> std::io::Result<String> {
    let mut stream = UnixStream::connect(console).await?;
    stream.write_all(b"show stat\n").await?;
    let mut statistics = String::new();
    stream.read_to_string(&mut statistics).await?;
    Ok(statistics)
}

/// Whether `statistics` has servers, and each has passed a check and is as far from being down as can
/// be: its health is at `rise + fall - 1`.
fn all_well(statistics: &str) -> bool {
    let mut lines = statistics.lines().map(|line| line.split(',').collect::<Vec<_>>());
    let Some(heads) = lines.next() else { return false };
    let is_well = |cells: &[&str]| {
        let cell = |name| Some(*cells.get(heads.iter().position(|head| *head == name)?)?);
        let number = |name| cell(name)?.parse::<u32>().ok();
        let best = (number("check_rise")? + number("check_fall")?).checked_sub(1)?;
        Some(cell("check_status")? == "L7OK" && number("check_health")? == best)
    };
    // The second column of what is no server is FRONTEND or BACKEND.
    let servers = lines.filter(|cells| cells.get(1).is_some_and(|name| name.starts_with("node")));
    let servers: Vec<_> = servers.collect();
    !servers.is_empty() && servers.iter().all(|cells| is_well(cells) == Some(true))
}

/// The account that its check logs in with. It has no password and no rights.
pub(crate) const CHECK_USER: &str = "haproxy";

/// A check comes each 2 s.
const CHECKED: Duration = Duration::from_secs(30);

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
        let text = before_cluster(address(8), address(9), &nodes, Path::new("/s"));
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

    /// Struck before its first check, a server is down at once, and HAProxy seems quicker than it is.
    #[test]
    fn a_server_is_well_after_its_first_check() {
        let statistics = |checks: [&str; 2]| {
            let heads = "# pxname,svname,status,check_status,check_rise,check_fall,check_health";
            let [first, second] = checks;
            format!(
                "{heads},\nkeeping,FRONTEND,OPEN,,,,,\nkeeping,node1,UP,{first},\n\
                 keeping,node2,UP,{second},\nkeeping,BACKEND,UP,,,,,\n\n"
            )
        };
        assert!(all_well(&statistics(["L7OK,2,3,4", "L7OK,2,3,4"])));
        for other in ["INI,2,3,2", "L7OK,2,3,3", "L7TOUT,2,3,4", ""] {
            assert!(!all_well(&statistics(["L7OK,2,3,4", other])), "{other}");
        }
        assert!(!all_well(""));
    }
}
