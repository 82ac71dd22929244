//! `[discovery]`: how nodes are found.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;
use std::time::Duration;

use serde::Deserialize;

use crate::Topology;
use crate::address::Peer;
use crate::keys::{Key, key, later};
use crate::report::Report;
use crate::text;

/// `[discovery]`: at least one of `service` and `nodes` is given.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Discovery {
    /// The DNS name of the cluster. Default: none.
    #[serde(deserialize_with = "text::optional::<_, ServiceName, _>")]
    pub service: Option<ServiceName>,
    /// Who is asked for it, each once; not empty where `service` is given. A port that is not given
    /// is 53; Consul's own is 8600. Default: none.
    #[serde(deserialize_with = "text::list::<_, Peer<53>, _>")]
    pub nameservers: Vec<SocketAddr>,
    /// The port of nodes known by A and AAAA answers, which name none; not 0. Default: 3306.
    pub port: u16,
    /// Nodes that are always candidates, each once. Default: none.
    #[serde(deserialize_with = "text::list::<_, Peer<0>, _>")]
    pub nodes: Vec<SocketAddr>,
    /// Consul's HTTP interface. Default: none.
    #[serde(deserialize_with = "text::optional::<_, ConsulUrl, _>")]
    pub consul: Option<SocketAddr>,
    /// From one look-up to the next, 50 ms to 1 h. Default: 1 s.
    #[serde(with = "humantime_serde")]
    pub interval: Duration,
    /// How long an answer may take, 10 ms to 1 min. Default: 500 ms.
    #[serde(with = "humantime_serde")]
    pub timeout: Duration,
}

impl Default for Discovery {
    fn default() -> Self {
        Self {
            service: None,
            nameservers: Vec::new(),
            port: 3306,
            nodes: Vec::new(),
            consul: None,
            interval: Duration::from_secs(1),
            timeout: Duration::from_millis(500),
        }
    }
}

impl Discovery {
    pub(crate) fn check(&self, topology: Topology, report: &mut Report<'_>) {
        self.check_sources(topology, report);
        unique("discovery.nameservers", &self.nameservers, report);
        unique("discovery.nodes", &self.nodes, report);
        if self.port == 0 {
            report.wrong_value("discovery.port", "the port is 0");
        }
        report.duration(
            "discovery.interval",
            self.interval,
            Duration::from_millis(50)..=Duration::from_secs(3600),
        );
        report.duration(
            "discovery.timeout",
            self.timeout,
            Duration::from_millis(10)..=Duration::from_secs(60),
        );
    }

    fn check_sources(&self, topology: Topology, report: &mut Report<'_>) {
        match &self.service {
            None if self.nodes.is_empty() && !report.is_damaged("discovery.nodes") => {
                let empty = report.has("discovery.nodes");
                report.missing(
                    if empty { "discovery.nodes" } else { "discovery.service" },
                    "no way to find the nodes",
                    "neither service nor nodes here",
                    "add service = \"galeradb.service.consul\" with nameservers to [discovery], or \
                     nodes = [\"192.0.2.11:3306\"]",
                );
            }
            Some(service) if self.nameservers.is_empty() => report.missing(
                "discovery.nameservers",
                &format!("nobody to ask for {service}"),
                "no nameservers here",
                "add nameservers = [\"192.0.2.11:8600\"] to [discovery] (8600 is Consul's DNS); the \
                 system's resolver is never used",
            ),
            None if !self.nameservers.is_empty() && !report.is_damaged("discovery.service") => {
                report.warning(
                    "discovery.nameservers",
                    "nameservers without a service to ask them for",
                    "not used",
                    "add service = \"galeradb.service.consul\", or leave nameservers out",
                );
            }
            _ => {}
        }
        if topology == Topology::Single && self.nodes.len() > 1 {
            report.error(
                "discovery.nodes.1",
                "topology = \"single\" has one server",
                "a second one",
                "leave one node, or say topology = \"galera\"",
            );
        }
    }
}

fn unique(key: &str, addresses: &[SocketAddr], report: &mut Report<'_>) {
    for (index, address) in addresses.iter().enumerate() {
        if addresses[..index].contains(address) {
            report.wrong_value(&format!("{key}.{index}"), "listed before");
        }
    }
}

/// A DNS name in ASCII, without a closing dot (RFC 1123, with the underscores of SRV names).
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ServiceName(String);

impl ServiceName {
    /// The name, without a closing dot.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ServiceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for ServiceName {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let name = text.strip_suffix('.').unwrap_or(text);
        if name.is_empty() {
            return Err("empty");
        }
        if name.parse::<IpAddr>().is_ok() || name.parse::<SocketAddr>().is_ok() {
            return Err("an address; addresses belong in nodes");
        }
        if name.len() > 253 {
            return Err("longer than the 253 characters of a DNS name");
        }
        let is_label = |label: &str| {
            let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
            (1..=63).contains(&label.len())
                && label.chars().all(fits)
                && !label.starts_with('-')
                && !label.ends_with('-')
        };
        if !name.split('.').all(is_label) {
            return Err("not a DNS name");
        }
        Ok(Self(name.to_owned()))
    }
}

/// `http://IP:PORT`, the port 8500 if it is not given.
struct ConsulUrl(SocketAddr);

impl From<ConsulUrl> for SocketAddr {
    fn from(url: ConsulUrl) -> Self {
        url.0
    }
}

impl FromStr for ConsulUrl {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let host =
            text.strip_prefix("http://").ok_or_else(|| "not an http:// address".to_owned())?;
        let host = host.strip_suffix('/').unwrap_or(host);
        let Peer::<8500>(address) = host.parse()?;
        Ok(Self(address))
    }
}

pub(crate) const KEYS: &[Key] = &[
    key("discovery.service", "a DNS name, as in \"galeradb.service.consul\""),
    key(
        "discovery.nameservers",
        "an array of \"IP\" (port 53) and \"IP:PORT\" (8600 is Consul's), each once, as in \
         [\"192.0.2.11:8600\"]",
    ),
    key("discovery.port", "a port from 1 to 65535, as in 3306"),
    key(
        "discovery.nodes",
        "an array of \"IP:PORT\", each once, as in [\"192.0.2.11:3306\"]; for a name use service",
    ),
    later(
        "discovery.consul",
        "the address of Consul's HTTP interface, as in \"http://127.0.0.1:8500\"",
    ),
    key("discovery.interval", "a time from \"50ms\" to \"1h\", as in \"1s\""),
    key("discovery.timeout", "a time from \"10ms\" to \"1m\", as in \"500ms\""),
];
