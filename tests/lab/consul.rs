//! Real Consul: a server beside each node, and the service that names the cluster.

use std::fs;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use serde_json::json;

use crate::dns;
use crate::error::{Context, LabError, Result};
use crate::http::{fetch, put};
use crate::number::lab_folder;
use crate::part::Part;
use crate::process::Program;
use crate::run::Run;
use crate::tool::found;
use crate::wait::{Look, wait_until};

pub mod secured;

/// A Consul cluster: DNS on port 8600 and HTTP on port 8500 of every node's address.
///
/// Service `galeradb` has each node with a TCP check each second. A frozen node passes it: its kernel
/// still accepts connections.
#[derive(Debug)]
pub struct Consul {
    run: Arc<Run>,
    servers: Vec<Part>,
}

impl Consul {
    /// Whether this machine has it.
    pub fn available() -> bool {
        program().is_some()
    }

    /// Starts `servers` servers, one beside each node, and waits until they agree on a leader.
    ///
    /// # Errors
    /// Consul is not installed, or no leader is found.
    pub async fn start(run: &Arc<Run>, servers: u8) -> Result<Self> {
        let program = program().unwrap_or_else(|| "consul".into());
        let members: Vec<_> = (1..=servers).map(|host| run.number().address(host)).collect();
        let mut parts = Vec::new();
        for (index, address) in members.iter().enumerate() {
            let name = format!("consul{}", index + 1);
            let folder = run.data(&name);
            fs::create_dir_all(&folder).context(|| format!("making {}", folder.display()))?;
            let file = folder.join("consul.json");
            fs::write(&file, configuration(*address, &members, &folder).to_string())
                .context(|| format!("writing {}", file.display()))?;
            let agent = Program::new(name, &program).arg("agent").arg("-config-file").arg(file);
            parts.push(Part::new(run, agent));
        }
        let consul = Self { run: Arc::clone(run), servers: parts };
        for server in &consul.servers {
            server.launch()?;
        }
        consul.has_leader().await?;
        Ok(consul)
    }

    /// Where it answers DNS.
    pub fn nameservers(&self) -> Vec<SocketAddr> {
        (1..).zip(&self.servers).map(|(host, _)| self.run.socket(host, 8600)).collect()
    }

    /// The servers of Consul, to be killed, stopped and launched again. On SIGTERM they end with code 1, since
    /// they do not leave their cluster.
    pub fn servers(&self) -> &[Part] {
        &self.servers
    }

    /// Where server `host`, counted from 1, answers HTTP, as `discovery.consul` takes it.
    pub fn url(&self, host: u8) -> String {
        format!("http://{}", self.http(host))
    }

    /// The number of the server that leads the others, from 1.
    ///
    /// # Errors
    /// The servers do not agree on a leader.
    pub async fn leader(&self) -> Result<u8> {
        for host in (1..).take(self.servers.len()).filter(|host| self.server(*host).runs()) {
            let answer = fetch(self.http(host), "/v1/status/leader").await?;
            let leader = answer.json().as_str().and_then(|at| at.parse::<SocketAddr>().ok());
            let is_it = |host: &u8| {
                Some(IpAddr::from(self.run.number().address(*host))) == leader.map(|at| at.ip())
            };
            if let Some(leader) = (1..).take(self.servers.len()).find(is_it) {
                return Ok(leader);
            }
        }
        Err(LabError::Refused("Consul has no leader".into()))
    }

    /// Server `host`, counted from 1.
    ///
    /// # Panics
    /// When there is no such server: a story that names one has a mistake.
    pub fn server(&self, host: u8) -> &Part {
        let found = usize::from(host).checked_sub(1).and_then(|at| self.servers.get(at));
        found.unwrap_or_else(|| panic!("Consul server {host} of {}", self.servers.len()))
    }

    /// Registers instance `id` of the service at server `host`, with the check that all have. The one that
    /// each server has from the start is called [`OWN_INSTANCE`].
    ///
    /// # Errors
    /// The server does not answer, or has no leader.
    pub async fn register(&self, host: u8, id: &str, address: SocketAddr) -> Result<()> {
        let mut instance = instance(address);
        instance["id"] = id.into();
        put(self.http(host), "/v1/agent/service/register", &instance.to_string()).await
    }

    /// Takes instance `id` out of server `host`.
    ///
    /// # Errors
    /// The server does not answer, or has no such instance.
    pub async fn deregister(&self, host: u8, id: &str) -> Result<()> {
        put(self.http(host), &format!("/v1/agent/service/deregister/{id}"), "").await
    }

    fn http(&self, host: u8) -> SocketAddr {
        self.run.socket(host, 8500)
    }

    async fn has_leader(&self) -> Result<()> {
        for (server, address) in self.servers.iter().zip(self.nameservers()) {
            let what = format!("{} in a cluster with a leader", server.name());
            let http = SocketAddr::new(address.ip(), 8500);
            wait_until(&what, START, Some(&server.log()), async || {
                match fetch(http, "/v1/status/leader").await {
                    Ok(answer)
                        if answer.json().as_str().is_some_and(|leader| !leader.is_empty()) =>
                    {
                        Look::Done(())
                    }
                    Ok(answer) => server.look(answer.body),
                    Err(error) => server.look(error),
                }
            })
            .await?;
        }
        Ok(())
    }
}

/// Waits until every one of `nameservers` names exactly `expected` nodes.
///
/// # Errors
/// When that takes longer than `deadline`.
pub async fn names_nodes(
    nameservers: &[SocketAddr],
    expected: usize,
    deadline: Duration,
) -> Result<()> {
    for nameserver in nameservers {
        let what = format!("{expected} nodes of {} at {nameserver}", dns::SERVICE);
        wait_until(&what, deadline, None, async || match dns::lookup(*nameserver).await {
            Ok(nodes) if nodes.len() == expected => Look::Done(()),
            Ok(nodes) => Look::NotYet(format!("{nodes:?}")),
            Err(error) => Look::NotYet(error.to_string()),
        })
        .await?;
    }
    Ok(())
}

fn configuration(
    address: Ipv4Addr,
    members: &[Ipv4Addr],
    folder: &std::path::Path,
) -> serde_json::Value {
    json!({
        "server": true,
        "bootstrap_expect": members.len(),
        "node_name": format!("node{}", address.octets()[3]),
        "data_dir": folder.join("data"),
        "bind_addr": address,
        "client_addr": address,
        "retry_join": members,
        "retry_interval": "1s",
        "ports": { "serf_wan": -1, "grpc": -1 },
        // By default it names three at most over UDP, others each time.
        "dns_config": { "udp_answer_limit": 5 },
        "performance": { "raft_multiplier": 1 },
        "disable_update_check": true,
        "services": [instance((address, 3306).into())],
    })
}

/// An instance of the service, in the words of both the configuration and the HTTP interface.
fn instance(address: SocketAddr) -> serde_json::Value {
    json!({
        "id": OWN_INSTANCE,
        "name": "galeradb",
        "address": address.ip(),
        "port": address.port(),
        "checks": [{ "tcp": address, "interval": "1s", "timeout": "1s" }],
    })
}

/// The instance that each server has from the start: the node beside it.
pub const OWN_INSTANCE: &str = "galeradb";

fn program() -> Option<PathBuf> {
    let own = lab_folder().join("consul/usr/bin/consul");
    if own.is_file() { Some(own) } else { found("consul".as_ref()).ok() }
}

const START: Duration = Duration::from_secs(60);
