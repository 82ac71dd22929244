//! Consul as it is run where not everybody may read it: TLS, and nothing without a token.

use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use serde_json::json;

use super::{START, instance, program};
use crate::error::{Context, Result};
use crate::http::put;
use crate::part::Part;
use crate::process::Program;
use crate::run::Run;
use crate::tool::run_tool;
use crate::wait::{Look, wait_until};

/// One server that knows `nodes` as instances of the service.
#[derive(Debug)]
pub struct SecuredConsul {
    /// Where it is spoken to, as `discovery.consul` takes it.
    pub url: String,
    /// The certificate that signed its own.
    pub ca_file: PathBuf,
    /// Where it is spoken to without TLS, for the lab's own use.
    http: SocketAddr,
    part: Part,
}

impl SecuredConsul {
    /// Starts it at host `host` of the lab, with certificates and policies of its own, and a token that may
    /// read the service.
    ///
    /// # Errors
    /// Consul is not installed, or does not come up.
    pub async fn start(run: &Arc<Run>, host: u8, nodes: &[SocketAddr]) -> Result<Self> {
        let consul = program().unwrap_or_else(|| "consul".into());
        let folder = run.data("consul-secured");
        fs::create_dir_all(&folder).context(|| format!("making {}", folder.display()))?;
        let address = run.number().address(host);
        let here = format!("--chdir={}", folder.display());
        let san = format!("-additional-ipaddress={address}");
        for arguments in [&["tls", "ca", "create"][..], &["tls", "cert", "create", "-server", &san]]
        {
            // Consul writes the files to where it is run.
            let mut all = vec![here.as_ref(), consul.as_os_str()];
            all.extend(arguments.iter().map(std::ffi::OsStr::new));
            run_tool("env", &all, b"").await?;
        }
        let ca_file = folder.join("consul-agent-ca.pem");
        let services: Vec<_> = nodes
            .iter()
            .map(|node| {
                let mut service = instance(*node);
                service["id"] = node.to_string().into();
                service["token"] = MASTER.into();
                service
            })
            .collect();
        let configuration = json!({
            "server": true,
            "bootstrap_expect": 1,
            "data_dir": folder.join("data"),
            "bind_addr": address,
            "client_addr": address,
            "ports": { "serf_wan": -1, "grpc": -1, "dns": -1, "https": 8501 },
            "ca_file": ca_file,
            "cert_file": folder.join("dc1-server-consul-0.pem"),
            "key_file": folder.join("dc1-server-consul-0-key.pem"),
            "acl": {
                "enabled": true,
                "default_policy": "deny",
                "tokens": { "master": MASTER, "agent": MASTER },
            },
            "performance": { "raft_multiplier": 1 },
            "disable_update_check": true,
            "services": services,
        });
        let file = folder.join("consul.json");
        fs::write(&file, configuration.to_string())
            .context(|| format!("writing {}", file.display()))?;
        let agent = Program::new("consul-secured", &consul).arg("agent").arg("-config-file");
        let part = Part::new(run, agent.arg(file));
        part.launch()?;
        let url = format!("https://{address}:8501");
        let secured = Self { url, ca_file, http: run.socket(host, 8500), part };
        secured.let_read().await?;
        Ok(secured)
    }

    /// Makes [`SecuredConsul::TOKEN`] one that may read the service, and [`SecuredConsul::BLIND`] one that
    /// may not.
    async fn let_read(&self) -> Result<()> {
        let rules = r#"service "galeradb" { policy = "read" } node_prefix "" { policy = "read" }"#;
        let policy = json!({ "Name": "reader", "Rules": rules });
        wait_until("a policy in Consul", START, Some(&self.part.log()), async || {
            match self.put("/v1/acl/policy", &policy).await {
                Ok(()) => Look::Done(()),
                Err(error) => self.part.look(error),
            }
        })
        .await?;
        let reader = json!({ "SecretID": Self::TOKEN, "Policies": [{ "Name": "reader" }] });
        self.put("/v1/acl/token", &reader).await?;
        self.put("/v1/acl/token", &json!({ "SecretID": Self::BLIND })).await
    }

    /// Registers another instance.
    ///
    /// # Errors
    /// Consul does not answer.
    pub async fn register(&self, node: SocketAddr) -> Result<()> {
        let mut service = instance(node);
        service["id"] = node.to_string().into();
        self.put("/v1/agent/service/register", &service).await
    }

    async fn put(&self, path: &str, body: &serde_json::Value) -> Result<()> {
        put(self.http, &format!("{path}?token={MASTER}"), &body.to_string()).await
    }

    /// A token that may read the service and its nodes.
    pub const TOKEN: &str = "7d1c9a52-0b1e-4c38-9f0a-5a4e6f0d2b11";
    /// A token that may read nothing.
    pub const BLIND: &str = "7d1c9a52-0b1e-4c38-9f0a-5a4e6f0d2b12";
}

const MASTER: &str = "7d1c9a52-0b1e-4c38-9f0a-5a4e6f0d2b10";
