//! A node's place in the group that its cluster is made of, in the words of Galera's provider.
//!
//! Sources: "Galera Status Variables" and "Galera Parameters" in the Galera Cluster documentation.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use super::node_addr::NodeAddr;

/// A node's place in its group.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Group {
    /// `wsrep_gcomm_uuid`: the name of the process. Another one each time it is started.
    pub(crate) process: Option<String>,
    /// `wsrep_evs_evict_list`: the processes that are kept out.
    pub(crate) evicted: Option<String>,
    /// `gmcast.listen_addr`: where the node listens for the others; `None` where that is no number.
    pub(crate) listens: Option<GroupAddr>,
    /// `pc.weight`: how often the node counts where a majority is counted.
    pub(crate) weight: Option<u64>,
    /// `evs.join_retrans_period`: how often members that form a new view say again what they see.
    pub(crate) join_period: Option<Duration>,
}

impl Group {
    /// Reads the two status variables, and `wsrep_provider_options`.
    pub(super) fn parse(process: Option<String>, evicted: Option<String>, options: &str) -> Self {
        let option = |name: &str| {
            let mut pairs = options.split(';').filter_map(|option| option.split_once('='));
            pairs.find(|(known, _)| known.trim() == name).map(|(_, value)| value.trim())
        };
        Self {
            process: process.filter(|process| is_process(process)),
            evicted,
            listens: option("gmcast.listen_addr").and_then(GroupAddr::parse),
            weight: option("pc.weight").and_then(|weight| weight.parse().ok()),
            join_period: option("evs.join_retrans_period").and_then(period),
        }
    }
}

/// Address at which a node listens for its group.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct GroupAddr {
    /// `None`: on all addresses of its host.
    pub(crate) ip: Option<IpAddr>,
    /// The port, 4567 by default.
    pub(crate) port: u16,
}

impl GroupAddr {
    /// The address of the group of the node that clients reach at `node`.
    pub(crate) fn of(self, node: NodeAddr) -> SocketAddr {
        SocketAddr::new(self.ip.unwrap_or_else(|| node.0.ip()), self.port)
    }

    /// Reads an address such as `tcp://0.0.0.0:4567`.
    fn parse(text: &str) -> Option<Self> {
        let (_, address) = text.split_once("://")?;
        let address: SocketAddr = address.parse().ok()?;
        let ip = Some(address.ip()).filter(|ip| !ip.is_unspecified());
        Some(Self { ip, port: address.port() })
    }
}

/// Reads a period as Galera writes it where it is shorter than a minute, such as `PT1.5S`.
fn period(text: &str) -> Option<Duration> {
    let seconds: f64 = text.strip_prefix("PT")?.strip_suffix('S')?.parse().ok()?;
    Duration::try_from_secs_f64(seconds).ok()
}

/// Whether a text is the name of a process in a group, and so may stand in SQL.
fn is_process(text: &str) -> bool {
    let dashes = [8, 13, 18, 23];
    let fits = |(at, byte): (usize, u8)| match dashes.contains(&at) {
        true => byte == b'-',
        false => matches!(byte, b'0'..=b'9' | b'a'..=b'f'),
    };
    text.len() == 36 && text.bytes().enumerate().all(fits)
}
