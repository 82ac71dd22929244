//! `ido-proxy check --live`: what would fail, and how to mend it.

use std::net::SocketAddr;
use std::time::Duration;

use ido_proxy_config::Config;
use ido_proxy_protocol::error_code::UNKNOWN_COLUMN;
use mysql_async::prelude::Queryable;
use mysql_async::{Conn, Error, OptsBuilder};
use secrecy::{ExposeSecret, SecretString};
use tokio::time::timeout;

use crate::app::{cluster_settings, node_tls};
use crate::cluster::control::connect::MonitorLogin;
use crate::cluster::model::agreement::Agreement;
use crate::cluster::model::verdict::Verdict;
use crate::cluster::snapshot::take_snapshot;
use crate::cluster::tls::NodeTls;
use crate::cluster::{ClusterKind, NodeAddr};
use crate::session::engine::fault::is_without_fence;

/// Asks name servers and nodes, and logs in as each user. Prints a line for each; returns whether all is
/// as it should be.
pub(super) async fn check(config: &Config) -> bool {
    let tls = match node_tls(config) {
        Ok(tls) => tls,
        Err(error) => return said(false, &error.to_string()),
    };
    let settings = cluster_settings(config);
    let login = MonitorLogin::new(settings.monitor.clone(), tls.clone());
    let (kind, nameservers) = (settings.kind, settings.discovery.nameservers.clone());
    let seen = match take_snapshot(settings, tls.clone()).await {
        Ok(seen) => seen,
        Err(error) => return said(false, &error.to_string()),
    };
    let mut good = true;
    match &seen.service {
        Some(Ok(found)) => {
            let nodes: Vec<_> = found.iter().map(|node| node.address.to_string()).collect();
            good &= said(true, &format!("the name servers name {}", nodes.join(", ")));
        }
        Some(Err(error)) => {
            let asked: Vec<_> = nameservers.iter().map(SocketAddr::to_string).collect();
            good &= said(false, &format!("no name server helps ({}): {error}", asked.join(", ")));
        }
        None => {}
    }
    match &seen.consul {
        Some(Ok(found)) => {
            let nodes: Vec<_> = found.iter().map(|node| node.address.to_string()).collect();
            good &= said(true, &format!("Consul names {}", nodes.join(", ")));
        }
        Some(Err(error)) => good &= said(false, &format!("Consul does not help: it {error}")),
        None => {}
    }
    for (address, name, verdict) in &seen.nodes {
        let name = name.as_deref().unwrap_or_default();
        good &= match verdict {
            Verdict::Usable => said(true, &format!("node {address} {name} is usable")),
            verdict => {
                let reason = verdict.reason().map(ToString::to_string).unwrap_or_default();
                said(false, &format!("node {address} {name} is not usable: {reason}"))
            }
        };
    }
    let usable = seen.nodes.iter().filter(|(.., verdict)| *verdict == Verdict::Usable);
    let usable: Vec<_> = usable.map(|(address, ..)| *address).collect();
    for node in &usable {
        advise(*node, &login).await;
    }
    let Some(node) = usable.first() else {
        return said(false, "no node is usable: clients would be held");
    };
    good &= match (&seen.agreement, kind) {
        (_, ClusterKind::Single) => true,
        (Agreement::Pinned(Some(pin)), _) => {
            said(true, &format!("all proxies go by the pin: {} (epoch {})", pin.node, pin.epoch))
        }
        (Agreement::Pinned(None), _) => {
            said(true, "the proxies can agree on a pin; none is set yet")
        }
        (Agreement::BestEffort(words), _) => said(
            false,
            &format!(
                "no pin ({words}): each proxy would choose the primary for itself; run \
                 `ido-proxy setup | mariadb` on one node"
            ),
        ),
        (Agreement::Unknown, _) => said(false, "no node tells what the proxies have agreed on"),
    };
    for user in &config.users {
        let schema = config.control.schema.as_str();
        good &= fence(*node, tls.as_deref(), &user.name, &user.password, schema, kind).await;
    }
    good
}

/// Says what might be better at `node`, though it works.
async fn advise(node: NodeAddr, login: &MonitorLogin) {
    let asked = timeout(PATIENCE, async {
        let mut conn = login.connect(node).await?;
        let limit = "SELECT @@max_connect_errors WHERE NOT @@skip_name_resolve";
        let limit: Option<u64> = conn.query_first(limit).await?;
        let _ = conn.disconnect().await;
        Ok::<_, Error>(limit)
    });
    // Silence about this variable is no fault: all that is required was answered before.
    if let Ok(Ok(Some(limit))) = asked.await {
        println!(
            "note  node {node} lets this host in no more (error 1129, until FLUSH HOSTS) after {limit} logins \
             in a row that broke off, be it for lost packets: skip_name_resolve = ON prevents that"
        );
    }
}

/// Whether `user` may log in, and fence its transactions.
async fn fence(
    NodeAddr(node): NodeAddr,
    tls: Option<&NodeTls>,
    user: &str,
    password: &SecretString,
    schema: &str,
    kind: ClusterKind,
) -> bool {
    let password = Some(password.expose_secret()).filter(|password| !password.is_empty());
    let account = OptsBuilder::default()
        .ip_or_hostname(node.ip().to_string())
        .tcp_port(node.port())
        .user(Some(user))
        .pass(password)
        .prefer_socket(false);
    let account = match tls {
        Some(tls) => tls.protect(account, NodeAddr(node)),
        None => account,
    };
    let tried = timeout(PATIENCE, async {
        let mut conn = Conn::new(account).await?;
        // Each may do what a fence needs, and changes nothing.
        let table = format!("`{schema}`.`fence`");
        conn.query_drop(format!("SELECT seq FROM {table} LIMIT 0")).await?;
        conn.query_drop(format!("UPDATE {table} SET seq = seq WHERE FALSE")).await?;
        conn.query_drop(format!("INSERT INTO {table} SELECT * FROM {table} WHERE FALSE")).await?;
        let read = conn.query_drop(format!("SELECT reply FROM {table} LIMIT 0")).await;
        let old = matches!(read, Err(Error::Server(error)) if error.code == UNKNOWN_COLUMN);
        let _ = conn.disconnect().await;
        Ok::<_, Error>(old)
    });
    match tried.await {
        Ok(Ok(old)) => {
            let what = match old {
                true => {
                    ", whose table has no column `reply`: each write takes a round trip more; run \
                     `ido-proxy setup | mariadb` on one node again"
                }
                false => "",
            };
            said(true, &format!("user {user} may log in and write the fence{what}"))
        }
        Ok(Err(Error::Server(error))) if is_without_fence(error.code) => {
            let what = match kind {
                ClusterKind::Galera => "a COMMIT whose reply is lost would end in error 1180",
                ClusterKind::Single => "a COMMIT whose reply is lost ends in error 1180",
            };
            let mend = "run `ido-proxy setup | mariadb` on one node";
            said(false, &format!("user {user} cannot write the fence ({error}): {what}; {mend}"))
        }
        Ok(Err(error)) => said(false, &format!("user {user} cannot log in at {node}: {error}")),
        Err(_) => said(false, &format!("user {user}: {node} does not answer in time")),
    }
}

fn said(good: bool, text: &str) -> bool {
    if good {
        println!("ok    {text}")
    } else {
        eprintln!("FAIL  {text}")
    }
    good
}

const PATIENCE: Duration = Duration::from_secs(5);
