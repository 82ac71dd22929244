//! One lookup of the service: every name server is asked at once, and every good answer counts.
//!
//! Each name server has a resolver of its own. A pool of them shares one deadline, so that a dead
//! first server would use it up, and keeps scores that outlive an outage; nothing here survives
//! the lookup. The system's resolver, its search list and its hosts file have no part in it, and
//! nothing is cached: Consul's answers live for zero seconds, and a negative answer must not be
//! believed for the minute that its SOA record asks for.

use std::collections::BTreeMap;
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use hickory_resolver::config::{
    ConnectionConfig, NameServerConfig, ProtocolConfig, ResolveHosts, ResolverConfig,
};
use hickory_resolver::lookup::Lookup;
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::net::{DnsError, NetError};
use hickory_resolver::proto::ProtoError;
use hickory_resolver::proto::op::ResponseCode;
use hickory_resolver::proto::rr::rdata::SRV;
use hickory_resolver::proto::rr::{Name, RData, Record};
use hickory_resolver::{Resolver, TokioResolver};
use tokio::task::JoinSet;
use tokio::time;

use super::source::Candidate;
use crate::cluster::model::node_addr::NodeAddr;

/// The name to look up, and the name servers to ask.
#[derive(Clone, Debug)]
pub(crate) struct Service {
    name: Name,
    port: u16,
    nameservers: Vec<SocketAddr>,
    timeout: Duration,
}

impl Service {
    /// The service `name`, a full domain name with or without its final dot. `port` belongs to
    /// nodes that are named by address alone.
    ///
    /// # Errors
    /// `name` is not a domain name.
    pub(crate) fn try_new(
        name: &str,
        port: u16,
        nameservers: &[SocketAddr],
        timeout: Duration,
    ) -> Result<Self, ProtoError> {
        let mut name = Name::from_utf8(name)?;
        name.set_fqdn(true);
        Ok(Self { name, port, nameservers: nameservers.to_vec(), timeout })
    }

    /// Asks every name server at once, and takes what they all know: one that knows less than the
    /// others hides nothing, so that proxies with other name servers know the same nodes. A dead
    /// one costs the timeout, which delays no traffic. Tells `heard` what each of them said.
    ///
    /// # Errors
    /// No server gave a good answer in time: the failure of each.
    pub(crate) async fn lookup(
        &self,
        mut heard: impl FnMut(SocketAddr, &Answer),
    ) -> Result<Vec<Candidate>, LookupError> {
        let mut pending = JoinSet::new();
        for server in &self.nameservers {
            let one = OneServer::new(self.clone(), *server);
            let (server, timeout) = (*server, self.timeout);
            pending.spawn(async move {
                let answer = time::timeout(timeout, one.nodes()).await;
                (server, answer.unwrap_or(Err(Failure::Silent)))
            });
        }
        let mut nodes = Vec::new();
        let mut failures = BTreeMap::new();
        while let Some(joined) = pending.join_next().await {
            match joined {
                Ok((server, answer)) => {
                    heard(server, &answer);
                    match answer {
                        Ok(answer) => nodes.extend(answer),
                        Err(failure) => drop(failures.insert(server, failure)),
                    }
                }
                Err(error) => tracing::error!(%error, "a DNS lookup broke down"),
            }
        }
        if nodes.is_empty() { Err(LookupError { failures }) } else { Ok(each_once(nodes)) }
    }
}

/// A name server's answer: the nodes of the service, at least one.
pub(crate) type Answer = Result<Vec<Candidate>, Failure>;

/// Shuffled answers are the same answer; of a node named twice the better priority counts.
fn each_once(mut nodes: Vec<Candidate>) -> Vec<Candidate> {
    nodes.sort_unstable();
    nodes.dedup_by_key(|node| node.address);
    nodes
}

/// No name server gave a good answer.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(crate) struct LookupError {
    /// The failure of each name server, by address.
    pub(crate) failures: BTreeMap<SocketAddr, Failure>,
}

impl fmt::Display for LookupError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.failures.is_empty() {
            return f.write_str("no name server to ask");
        }
        for (index, (server, failure)) in self.failures.iter().enumerate() {
            let separator = if index == 0 { "" } else { "; " };
            write!(f, "{separator}{server} {failure}")?;
        }
        Ok(())
    }
}

impl std::error::Error for LookupError {}

/// Failures of a name server to give a good answer.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Failure {
    /// The server answered with an error code, such as SERVFAIL.
    Code(ResponseCode),
    /// The server knows no node of the service (NXDOMAIN, or no record of the type).
    NoNodes,
    /// The server did not answer, or does not listen.
    Silent,
    /// The answer was cut short, over TCP too.
    Truncated,
    /// The answer made no sense, or the network failed in another way.
    Unintelligible(String),
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Code(code) => write!(f, "answers: {code}"),
            Self::NoNodes => f.write_str("knows no node of the service"),
            Self::Silent => f.write_str("does not answer"),
            Self::Truncated => f.write_str("cuts its answer short"),
            Self::Unintelligible(error) => write!(f, "gives no useful answer: {error}"),
        }
    }
}

impl From<NetError> for Failure {
    fn from(error: NetError) -> Self {
        match error {
            NetError::Dns(DnsError::NoRecordsFound(_)) => Self::NoNodes,
            NetError::Dns(DnsError::ResponseCode(code)) => Self::Code(code),
            NetError::NoConnections | NetError::Timeout => Self::Silent,
            NetError::Truncated => Self::Truncated,
            error => Self::Unintelligible(error.to_string()),
        }
    }
}

struct OneServer {
    service: Service,
    resolver: Result<TokioResolver, Failure>,
}

impl OneServer {
    fn new(service: Service, server: SocketAddr) -> Self {
        let connection = |protocol| {
            let mut connection = ConnectionConfig::new(protocol);
            connection.port = server.port();
            connection
        };
        let connections = vec![connection(ProtocolConfig::Udp), connection(ProtocolConfig::Tcp)];
        let config = ResolverConfig::from_name_servers(vec![NameServerConfig::new(
            server.ip(),
            false,
            connections,
        )]);
        let mut builder = Resolver::builder_with_config(config, TokioRuntimeProvider::default());
        let options = builder.options_mut();
        options.use_hosts_file = ResolveHosts::Never;
        options.cache_size = 0;
        // UDP loses packets: two tries fit into the time that we have.
        options.attempts = 1;
        options.timeout = service.timeout / 2;
        Self { service, resolver: builder.build().map_err(Failure::from) }
    }

    /// SRV first, for it alone knows ports. Only a server that says that there is no such record
    /// is asked for addresses: one that merely failed would otherwise make us believe in nodes at
    /// the default port whenever it stumbles.
    async fn nodes(&self) -> Answer {
        let resolver = self.resolver.as_ref().map_err(Clone::clone)?;
        let nodes = match resolver.srv_lookup(self.service.name.clone()).await {
            Ok(answer) => self.nodes_of_srv(resolver, &answer).await,
            Err(error) => match Failure::from(error) {
                Failure::NoNodes | Failure::Code(ResponseCode::NotImp | ResponseCode::FormErr) => {
                    addresses(resolver, &self.service.name, self.service.timeout / 2)
                        .await?
                        .into_iter()
                        .map(|ip| candidate(ip, self.service.port, 0))
                        .collect()
                }
                failure => return Err(failure),
            },
        };
        if nodes.is_empty() { Err(Failure::NoNodes) } else { Ok(nodes) }
    }

    /// The targets' addresses come along with the answer (glue), or are asked for, all at once: a
    /// target that cannot be resolved neither hides nor delays the others.
    async fn nodes_of_srv(&self, resolver: &TokioResolver, answer: &Lookup) -> Vec<Candidate> {
        let mut nodes = Vec::new();
        let mut lookups = JoinSet::new();
        for srv in answer.answers().iter().filter_map(service_record) {
            let glue = answer.additionals().iter().filter(|record| record.name == srv.target);
            let known = nodes.len();
            nodes.extend(glue.filter_map(address).map(|ip| candidate(ip, srv.port, srv.priority)));
            if nodes.len() == known && lookups.len() < MAX_TARGETS {
                let (resolver, srv) = (resolver.clone(), srv.clone());
                let patience = self.service.timeout / 2;
                lookups.spawn(async move {
                    let addresses = addresses(&resolver, &srv.target, patience).await;
                    (addresses.unwrap_or_default(), srv)
                });
            }
        }
        for (addresses, srv) in lookups.join_all().await {
            nodes.extend(addresses.into_iter().map(|ip| candidate(ip, srv.port, srv.priority)));
        }
        nodes
    }
}

/// Every IPv4 and IPv6 address of `name`. One kind is enough: servers that leave questions for AAAA
/// unanswered exist.
async fn addresses(
    resolver: &TokioResolver,
    name: &Name,
    patience: Duration,
) -> Result<Vec<IpAddr>, Failure> {
    let (v4, v6) = tokio::join!(
        time::timeout(patience, resolver.ipv4_lookup(name.clone())),
        time::timeout(patience, resolver.ipv6_lookup(name.clone())),
    );
    let mut addresses = Vec::new();
    let mut failure = Failure::NoNodes;
    for answer in [v6, v4] {
        match answer.map(|answer| answer.map_err(Failure::from)) {
            Ok(Ok(answer)) => addresses.extend(answer.answers().iter().filter_map(address)),
            Ok(Err(Failure::NoNodes)) => {}
            Ok(Err(error)) => failure = error,
            Err(_) => failure = Failure::Silent,
        }
    }
    if addresses.is_empty() { Err(failure) } else { Ok(addresses) }
}

fn candidate(ip: IpAddr, port: u16, priority: u16) -> Candidate {
    Candidate { address: NodeAddr(SocketAddr::new(ip, port)), priority }
}

/// A record that offers the service; the target `.` says that nobody does (RFC 2782).
fn service_record(record: &Record) -> Option<&SRV> {
    match &record.data {
        RData::SRV(srv) if !srv.target.is_root() => Some(srv),
        _ => None,
    }
}

fn address(record: &Record) -> Option<IpAddr> {
    match &record.data {
        RData::A(address) => Some(IpAddr::V4(address.0)),
        RData::AAAA(address) => Some(IpAddr::V6(address.0)),
        _ => None,
    }
}

/// The most targets of one answer to look up. An answer may name thousands.
const MAX_TARGETS: usize = 64;

#[cfg(test)]
mod tests;
