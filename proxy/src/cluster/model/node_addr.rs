//! Address of a node, which is also its name wherever a node is meant.

use std::fmt;
use std::net::SocketAddr;

use serde::{Serialize, Serializer};

/// Where a Galera node listens for clients.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub(crate) struct NodeAddr(pub(crate) SocketAddr);

impl NodeAddr {
    /// In place of a node that is not known.
    pub(crate) const UNKNOWN: Self =
        Self(SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::UNSPECIFIED), 0));
}

impl fmt::Display for NodeAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Serialize for NodeAddr {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}
