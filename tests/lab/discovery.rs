//! How the cluster is found: Consul, or its stand-in.

use std::net::SocketAddr;
use std::sync::Arc;

use crate::consul::Consul;
use crate::dns::DnsStandIn;
use crate::error::Result;
use crate::run::Run;

/// The service that answers for `galeradb.service.consul`.
#[derive(Debug)]
pub enum Discovery {
    /// Real Consul.
    Consul(Consul),
    /// The lab's own DNS server, where there is no Consul.
    StandIn(DnsStandIn),
    /// Nobody: the proxy is told the nodes themselves.
    Fixed,
}

impl Discovery {
    /// Starts Consul, or the stand-in where it is not installed.
    ///
    /// # Errors
    /// When neither comes up.
    pub async fn start(run: &Arc<Run>, nodes: u8) -> Result<Self> {
        if Consul::available() {
            Ok(Self::Consul(Consul::start(run, nodes).await?))
        } else {
            Ok(Self::StandIn(DnsStandIn::start(run, nodes)?))
        }
    }

    /// Which of the two [`Discovery::start`] would start, for people.
    pub fn planned() -> &'static str {
        if Consul::available() { CONSUL } else { STAND_IN }
    }

    /// Where DNS is answered.
    pub fn nameservers(&self) -> Vec<SocketAddr> {
        match self {
            Self::Consul(consul) => consul.nameservers(),
            Self::StandIn(stand_in) => stand_in.servers().to_vec(),
            Self::Fixed => Vec::new(),
        }
    }

    /// Which of the two it is, for people.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Consul(_) => CONSUL,
            Self::StandIn(_) => STAND_IN,
            Self::Fixed => FIXED,
        }
    }
}

const FIXED: &str = "nobody: a fixed list";
const CONSUL: &str = "Consul";
const STAND_IN: &str = "a DNS stand-in of the lab (Consul is not installed)";
