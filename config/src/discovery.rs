//! `[discovery]`: how nodes are found.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use secrecy::SecretString;
use serde::Deserialize;

use crate::address::Peer;
use crate::consul::{self, Consul, ConsulUrl, RawConsul};
use crate::keys::{Key, key};
use crate::report::Report;
use crate::secret::{RawSecret, Surroundings};
use crate::service_name::ServiceName;
use crate::text;
use crate::topology::Topology;

/// `[discovery]`: at least one of `service` and `nodes` is given.
#[derive(Clone, Debug)]
pub struct Discovery {
    /// The DNS name of the cluster. Default: none.
    pub service: Option<ServiceName>,
    /// Name servers for `service`, each once; not empty where `service` is given without `consul`. The port is
    /// 53 if not given; Consul's own is 8600. Default: none.
    pub nameservers: Vec<SocketAddr>,
    /// The port of nodes known by A and AAAA answers, which name none; not 0. Default: 3306.
    pub port: u16,
    /// Nodes that are always candidates, each once. Default: none.
    pub nodes: Vec<SocketAddr>,
    /// Consul's HTTP interface. Default: none.
    pub consul: Option<Consul>,
    /// From one look-up to the next, 50 ms to 1 h. Default: 1 s.
    pub interval: Duration,
    /// How long an answer may take, 10 ms to 1 min. Default: 500 ms.
    pub timeout: Duration,
}

/// `[discovery]` before the files that it names were read.
#[derive(Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct RawDiscovery {
    #[serde(deserialize_with = "text::optional::<_, ServiceName, _>")]
    service: Option<ServiceName>,
    #[serde(deserialize_with = "text::list::<_, Peer<53>, _>")]
    nameservers: Vec<SocketAddr>,
    port: u16,
    #[serde(deserialize_with = "text::list::<_, Peer<0>, _>")]
    nodes: Vec<SocketAddr>,
    #[serde(deserialize_with = "text::optional::<_, ConsulUrl, _>")]
    consul: Option<ConsulUrl>,
    consul_token: Option<SecretString>,
    consul_token_file: Option<PathBuf>,
    consul_credential: Option<String>,
    consul_ca_file: Option<PathBuf>,
    #[serde(with = "humantime_serde")]
    interval: Duration,
    #[serde(with = "humantime_serde")]
    timeout: Duration,
}

impl Default for RawDiscovery {
    fn default() -> Self {
        Self {
            service: None,
            nameservers: Vec::new(),
            port: 3306,
            nodes: Vec::new(),
            consul: None,
            consul_token: None,
            consul_token_file: None,
            consul_credential: None,
            consul_ca_file: None,
            interval: Duration::from_secs(1),
            timeout: Duration::from_millis(500),
        }
    }
}

impl RawDiscovery {
    /// Where something is wrong, the value stands for the error in `report`.
    pub(crate) fn resolve(
        self,
        topology: Topology,
        around: &Surroundings<'_>,
        report: &mut Report<'_>,
    ) -> Discovery {
        self.check(topology, report);
        let consul = RawConsul {
            url: self.consul,
            token: RawSecret {
                given: self.consul_token,
                file: self.consul_token_file,
                credential: self.consul_credential,
            },
            ca_file: self.consul_ca_file,
        };
        Discovery {
            consul: consul.resolve(self.service.as_ref(), around, report),
            service: self.service,
            nameservers: self.nameservers,
            port: self.port,
            nodes: self.nodes,
            interval: self.interval,
            timeout: self.timeout,
        }
    }

    fn check(&self, topology: Topology, report: &mut Report<'_>) {
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
            Some(service)
                if self.nameservers.is_empty()
                    && self.consul.is_none()
                    && !report.is_damaged("discovery.consul") =>
            {
                report.missing(
                    "discovery.nameservers",
                    &format!("nobody to ask for {service}"),
                    "neither nameservers nor consul here",
                    "add nameservers = [\"192.0.2.11:8600\"] to [discovery] (8600 is Consul's DNS), \
                     or consul = \"http://127.0.0.1:8500\"; the system's resolver is never used",
                );
            }
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
    consul::URL_KEY,
    consul::TOKEN_KEY,
    consul::TOKEN_FILE_KEY,
    consul::CREDENTIAL_KEY,
    consul::CA_FILE_KEY,
    key("discovery.interval", "a time from \"50ms\" to \"1h\", as in \"1s\""),
    key("discovery.timeout", "a time from \"10ms\" to \"1m\", as in \"500ms\""),
];
