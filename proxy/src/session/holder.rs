//! Which process holds an address: what an operator needs to know when a port is taken.

use std::fmt;
use std::fs;
use std::os::unix::net::UnixStream;
use std::path::Path;

use nix::sys::socket::{getsockopt, sockopt::PeerCredentials};

/// The process that holds an address, as far as it can be seen.
#[derive(Debug)]
pub(crate) enum Holder {
    /// A process, with its name where `/proc` tells it.
    Process { pid: i32, name: Option<String> },
    /// Hidden from us: it belongs to another user or another namespace.
    Unseen,
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Process { pid, name: Some(name) } => write!(f, "{name} (pid {pid})"),
            Self::Process { pid, name: None } => write!(f, "pid {pid}"),
            Self::Unseen => f.write_str("a process that this user cannot see"),
        }
    }
}

/// Who serves the Unix socket that `stream` is connected to.
pub(crate) fn of_unix_peer(stream: &UnixStream) -> Holder {
    match getsockopt(stream, PeerCredentials) {
        Ok(peer) if peer.pid() > 0 => process(peer.pid()),
        _ => Holder::Unseen,
    }
}

/// Who listens on a TCP port, looked up by the socket's inode (proc(5), `/proc/net/tcp`).
pub(crate) fn of_tcp_port(port: u16) -> Holder {
    let inodes: Vec<String> = ["/proc/net/tcp", "/proc/net/tcp6"]
        .iter()
        .filter_map(|table| fs::read_to_string(table).ok())
        .flat_map(|table| listening_inodes(&table, port))
        .map(|inode| format!("socket:[{inode}]"))
        .collect();
    let Ok(processes) = fs::read_dir("/proc") else { return Holder::Unseen };
    processes
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok())
        .find(|pid| holds_any(*pid, &inodes))
        .map_or(Holder::Unseen, process)
}

fn listening_inodes(table: &str, port: u16) -> Vec<String> {
    let suffix = format!(":{port:04X}");
    table
        .lines()
        .filter_map(|line| {
            let fields: Vec<&str> = line.split_whitespace().collect();
            let (local, state, inode) = (fields.get(1)?, fields.get(3)?, fields.get(9)?);
            (local.ends_with(&suffix) && *state == LISTEN).then(|| (*inode).to_owned())
        })
        .collect()
}

fn holds_any(pid: i32, sockets: &[String]) -> bool {
    let Ok(files) = fs::read_dir(Path::new("/proc").join(pid.to_string()).join("fd")) else {
        return false;
    };
    files
        .flatten()
        .filter_map(|file| fs::read_link(file.path()).ok())
        .any(|target| sockets.iter().any(|socket| target.as_os_str() == socket.as_str()))
}

fn process(pid: i32) -> Holder {
    let name = fs::read_to_string(format!("/proc/{pid}/comm")).ok();
    Holder::Process { pid, name: name.map(|name| name.trim_end().to_owned()) }
}

/// `TCP_LISTEN` as `/proc/net/tcp` prints it.
const LISTEN: &str = "0A";
