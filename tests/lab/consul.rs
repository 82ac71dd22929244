//! Real Consul: a server beside each node, and the service that names the cluster.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use serde_json::json;

use crate::dns;
use crate::error::{Context, Result};
use crate::part::Part;
use crate::process::{Program, found};
use crate::run::{Run, lab_folder};
use crate::wait::{Look, wait_until};

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
    /// When it is not installed, or no leader is found.
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

    /// Its servers, to be killed, stopped and launched again. On SIGTERM they end with code 1, since they
    /// do not leave their cluster.
    pub fn servers(&self) -> &[Part] {
        &self.servers
    }

    async fn has_leader(&self) -> Result<()> {
        for (server, address) in self.servers.iter().zip(self.nameservers()) {
            let what = format!("{} in a cluster with a leader", server.name());
            let http = SocketAddr::new(address.ip(), 8500);
            wait_until(&what, START, Some(&server.log()), async || {
                match crate::http::fetch(http, "/v1/status/leader").await {
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
        "performance": { "raft_multiplier": 1 },
        "disable_update_check": true,
        "services": [{
            "name": "galeradb",
            "address": address,
            "port": 3306,
            "checks": [{ "tcp": format!("{address}:3306"), "interval": "1s", "timeout": "1s" }],
        }],
    })
}

fn program() -> Option<PathBuf> {
    let own = lab_folder().join("consul/usr/bin/consul");
    if own.is_file() { Some(own) } else { found("consul".as_ref()).ok() }
}

const START: Duration = Duration::from_secs(60);
