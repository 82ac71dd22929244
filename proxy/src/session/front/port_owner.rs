//! Which process holds an address: what an operator needs to know when a port is taken.

use std::fmt;
use std::fs;
use std::net::{IpAddr, SocketAddr};
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

/// Process that serves the Unix socket that `stream` is connected to.
pub(crate) fn of_unix_peer(stream: &UnixStream) -> Holder {
    match getsockopt(stream, PeerCredentials) {
        Ok(peer) if peer.pid() > 0 => process(peer.pid()),
        _ => Holder::Unseen,
    }
}

/// Process that keeps `wanted` from being bound: whoever listens there, or at that port of every address. Looked up
/// by the socket's inode (proc(5), `/proc/net/tcp`).
pub(crate) fn of_tcp(wanted: SocketAddr) -> Holder {
    let inodes: Vec<String> = ["/proc/net/tcp", "/proc/net/tcp6"]
        .iter()
        .filter_map(|table| fs::read_to_string(table).ok())
        .flat_map(|table| listening_inodes(&table, wanted))
        .map(|inode| format!("socket:[{inode}]"))
        .collect();
    let Ok(processes) = fs::read_dir("/proc") else { return Holder::Unseen };
    processes
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok())
        .find(|pid| holds_any(*pid, &inodes))
        .map_or(Holder::Unseen, process)
}

fn listening_inodes(table: &str, wanted: SocketAddr) -> Vec<String> {
    table
        .lines()
        .filter_map(|line| {
            let fields: Vec<&str> = line.split_whitespace().collect();
            let (local, state, inode) = (fields.get(1)?, fields.get(3)?, fields.get(9)?);
            let in_the_way = *state == LISTEN && collide(address(local)?, wanted);
            in_the_way.then(|| (*inode).to_owned())
        })
        .collect()
}

/// `0100007F:0CEA` is 127.0.0.1:3306: the address in words of four bytes, each in the machine's order.
fn address(text: &str) -> Option<SocketAddr> {
    let (ip, port) = text.split_once(':')?;
    let word = |at: usize| {
        let word = u32::from_str_radix(ip.get(at..at + 8)?, 16).ok()?;
        Some(word.to_ne_bytes())
    };
    let ip = if ip.len() == 8 {
        IpAddr::from(word(0)?)
    } else {
        let words = [word(0)?, word(8)?, word(16)?, word(24)?];
        let mut bytes = [0; 16];
        bytes.iter_mut().zip(words.as_flattened()).for_each(|(byte, from)| *byte = *from);
        IpAddr::from(bytes).to_canonical()
    };
    Some(SocketAddr::new(ip, u16::from_str_radix(port, 16).ok()?))
}

fn collide(held: SocketAddr, wanted: SocketAddr) -> bool {
    let everywhere = held.ip().is_unspecified() || wanted.ip().is_unspecified();
    held.port() == wanted.port() && (everywhere || held.ip() == wanted.ip().to_canonical())
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_as_the_kernel_prints_them() {
        let read = |text| address(text).map(|address| address.to_string());
        if cfg!(target_endian = "little") {
            assert_eq!(read("0100007F:0CEA").as_deref(), Some("127.0.0.1:3306"));
            let loopback = "00000000000000000000000001000000:0CEA";
            assert_eq!(read(loopback).as_deref(), Some("[::1]:3306"));
            let mapped = "0000000000000000FFFF00000100007F:0CEA";
            assert_eq!(read(mapped).as_deref(), Some("127.0.0.1:3306"));
        }
        assert_eq!(read("local_address"), None);
    }

    /// A server at another address of the same port is not in the way; naming it would send people
    /// after the wrong process.
    #[test]
    fn only_who_is_in_the_way_is_named() {
        let at = |text: &str| text.parse().unwrap();
        assert!(collide(at("127.0.0.1:3306"), at("127.0.0.1:3306")));
        assert!(collide(at("0.0.0.0:3306"), at("127.0.0.1:3306")));
        assert!(collide(at("127.0.0.2:3306"), at("0.0.0.0:3306")));
        assert!(!collide(at("127.0.0.2:3306"), at("127.0.0.1:3306")));
        assert!(!collide(at("127.0.0.1:3307"), at("127.0.0.1:3306")));
    }
}
