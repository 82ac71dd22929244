//! Addresses, as they are written in the file.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::str::FromStr;

/// Where clients are awaited.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub enum ListenAddress {
    /// An IP address and a port, which is not 0.
    Tcp(SocketAddr),
    /// The absolute path of a Unix socket, at most 107 bytes long (unix(7)).
    Unix(PathBuf),
}

impl ListenAddress {
    /// Whether other machines can reach it.
    pub fn is_public(&self) -> bool {
        match self {
            Self::Tcp(address) => is_public(*address),
            Self::Unix(_) => false,
        }
    }
}

impl fmt::Display for ListenAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => address.fmt(f),
            Self::Unix(path) => path.display().fmt(f),
        }
    }
}

impl FromStr for ListenAddress {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if !text.starts_with('/') {
            return tcp(text).map(Self::Tcp);
        }
        if text.len() > UNIX_PATH_MAX {
            return Err(format!(
                "the path of a Unix socket has at most {UNIX_PATH_MAX} bytes, this one has {}",
                text.len()
            ));
        }
        if text.ends_with('/') || text.contains('\0') {
            return Err("not the path of a file".to_owned());
        }
        Ok(Self::Unix(PathBuf::from(text)))
    }
}

/// An address of our own, for TCP only.
pub(crate) struct TcpListen(SocketAddr);

impl From<TcpListen> for SocketAddr {
    fn from(address: TcpListen) -> Self {
        address.0
    }
}

impl FromStr for TcpListen {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        tcp(text).map(Self)
    }
}

/// Where something else listens, `DEFAULT_PORT` unless that is 0 and the text must name the port.
pub(crate) struct Peer<const DEFAULT_PORT: u16>(pub(crate) SocketAddr);

impl<const DEFAULT_PORT: u16> From<Peer<DEFAULT_PORT>> for SocketAddr {
    fn from(address: Peer<DEFAULT_PORT>) -> Self {
        address.0
    }
}

impl<const DEFAULT_PORT: u16> FromStr for Peer<DEFAULT_PORT> {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let address = match text.parse::<IpAddr>() {
            Ok(ip) if DEFAULT_PORT != 0 => SocketAddr::new(ip, DEFAULT_PORT),
            _ => tcp(text)?,
        };
        if address.ip().to_canonical().is_unspecified() {
            return Err("nobody can be reached at the unspecified address".to_owned());
        }
        Ok(Self(address))
    }
}

/// Whether other machines can reach a listener at `address`.
pub(crate) fn is_public(address: SocketAddr) -> bool {
    !address.ip().to_canonical().is_loopback()
}

/// `IP:PORT`, with a word about what is amiss with anything else.
fn tcp(text: &str) -> Result<SocketAddr, String> {
    match text.parse::<SocketAddr>() {
        Ok(address) if address.port() == 0 => Err("the port is 0".to_owned()),
        Ok(address) => Ok(address),
        Err(_) if text.is_empty() => Err("empty".to_owned()),
        Err(_) if text.trim_matches(['[', ']']).parse::<IpAddr>().is_ok() => {
            Err("the port is missing".to_owned())
        }
        Err(_) => Err(match text.rsplit_once(':') {
            Some((host, _)) if host.parse::<IpAddr>().is_ok() => "not a port".to_owned(),
            Some((host, _)) if is_name(host) => format!("{host} is a name, not an IP address"),
            None if is_name(text) => format!("{text} is a name, not an IP address"),
            _ => "not an IP address and a port".to_owned(),
        }),
    }
}

fn is_name(host: &str) -> bool {
    let name_like = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
    host.starts_with(|c: char| c.is_ascii_alphanumeric())
        && host.contains(|c: char| c.is_ascii_alphabetic())
        && host.chars().all(name_like)
}

/// `sizeof(sun_path)` without the closing NUL.
const UNIX_PATH_MAX: usize = 107;
