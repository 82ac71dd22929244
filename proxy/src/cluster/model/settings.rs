//! Settings of the cluster's side, already validated.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use ido_proxy_config::consul::Consul;
use ido_proxy_config::failover::Evict;
use secrecy::SecretString;

use super::node_addr::NodeAddr;

/// Everything the cluster task needs.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    /// The relation of the nodes to each other.
    pub(crate) kind: ClusterKind,
    /// How nodes are found.
    pub(crate) discovery: DiscoverySettings,
    /// How nodes are asked.
    pub(crate) monitor: MonitorSettings,
    /// How long the primary may be silent to us, while the cluster still counts it as a member,
    /// before writes move (`failover.path_timeout`).
    pub(crate) path_timeout: Duration,
    /// Which nodes are cut off from their cluster at once (`failover.evict`).
    pub(crate) evict: Evict,
    /// The database of the control tables.
    pub(crate) schema: String,
    /// The name of this proxy, for the others and for readers of the pin.
    pub(crate) name: String,
    /// Where the nodes found are remembered over a restart; `None` remembers nothing.
    pub(crate) state_file: Option<PathBuf>,
}

/// The relation of the nodes to each other (`topology` in the configuration).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum ClusterKind {
    /// Galera nodes, any of which may take the writes.
    Galera,
    /// Plain servers that know nothing of each other; usually just one.
    Single,
}

/// How nodes are found.
#[derive(Clone, Debug)]
pub(crate) struct DiscoverySettings {
    /// The DNS name of the service; `None` leaves it at the fixed list.
    pub(crate) service: Option<String>,
    /// Consul's HTTP interface, if it is asked too.
    pub(crate) consul: Option<Consul>,
    /// The name servers to ask for `service`. The system's resolver and its hosts file are not asked. Empty
    /// leaves it at `consul`.
    pub(crate) nameservers: Vec<SocketAddr>,
    /// The port of nodes that DNS names by an address alone (A or AAAA).
    pub(crate) port: u16,
    /// Nodes that are always known, whatever DNS says.
    pub(crate) nodes: Vec<NodeAddr>,
    /// Addresses that are never a node: our own listeners, or the proxy would probe itself.
    pub(crate) excluded: Vec<SocketAddr>,
    /// Time from the end of one lookup to the start of the next.
    pub(crate) interval: Duration,
    /// How long a name server may take to answer, or Consul to say what it knows already.
    pub(crate) timeout: Duration,
}

/// How nodes are asked for their state.
#[derive(Clone, Debug)]
pub(crate) struct MonitorSettings {
    /// The account to log in with. It needs no privilege at all (`USAGE`).
    pub(crate) user: String,
    /// The account's password; empty for none.
    pub(crate) password: SecretString,
    /// Time from the start of one probe of a node to the start of the next.
    pub(crate) interval: Duration,
    /// A probe, connecting included, that takes longer than this is a miss.
    pub(crate) timeout: Duration,
}
