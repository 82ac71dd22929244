//! The answer of Consul's health API: a list of instances, in JSON.

use std::net::{IpAddr, SocketAddr};

use serde::Deserialize;

use super::failure::Failure;
use crate::cluster::discovery::source::Candidate;
use crate::cluster::model::node_addr::NodeAddr;
use crate::cluster::model::text::legible;

/// One instance (Consul's documentation, "List Nodes for Service"); checks and all else are ignored.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Instance {
    node: Node,
    service: Service,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Node {
    #[serde(default)]
    address: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Service {
    #[serde(default)]
    address: Option<String>,
    #[serde(default)]
    port: i64,
}

/// Every instance with an IP address: the service's own, or else its node's. One whose port is 0 has
/// `port`. Names would have to be resolved, by resolvers that we do not use; they are left out.
///
/// # Errors
/// The body is no such list.
pub(super) fn nodes(body: &[u8], port: u16) -> Result<Vec<Candidate>, Failure> {
    let instances: Vec<Instance> =
        serde_json::from_slice(body).map_err(|error| Failure::Garbled(legible(&error)))?;
    let mut nodes: Vec<_> =
        instances.iter().filter_map(|instance| candidate(instance, port)).collect();
    nodes.sort_unstable();
    nodes.dedup();
    Ok(nodes)
}

fn candidate(instance: &Instance, default_port: u16) -> Option<Candidate> {
    let given = |address: &Option<String>| address.clone().filter(|text| !text.is_empty());
    let ip: IpAddr =
        given(&instance.service.address).or_else(|| given(&instance.node.address))?.parse().ok()?;
    let port = match u16::try_from(instance.service.port).ok()? {
        0 => default_port,
        port => port,
    };
    Some(Candidate { address: NodeAddr(SocketAddr::new(ip, port)), priority: PRIORITY })
}

/// Priority in Consul's SRV records, so that proxies rank alike whichever way they ask.
const PRIORITY: u16 = 1;

#[cfg(test)]
mod tests {
    use super::*;

    fn read(body: &str) -> Result<Vec<String>, Failure> {
        let nodes = nodes(body.as_bytes(), 3306)?;
        Ok(nodes.iter().map(|node| format!("{} {}", node.priority, node.address)).collect())
    }

    fn instance(node: &str, service: &str, port: i64, status: &str) -> String {
        format!(
            r#"{{"Node":{{"ID":"x","Address":"{node}","Meta":{{}}}},
                "Service":{{"ID":"galeradb","Address":"{service}","Port":{port},"Tags":null}},
                "Checks":[{{"Status":"{status}"}}]}}"#
        )
    }

    /// Health is not for Consul to say: a node whose check fails may be the one that works.
    #[test]
    fn all_instances_are_candidates_whether_they_pass_or_not() {
        let all = [
            instance("192.0.2.9", "192.0.2.2", 3307, "critical"),
            instance("192.0.2.1", "", 0, "passing"),
            instance("192.0.2.1", "", 0, "passing"),
            instance("192.0.2.9", "2001:db8::1", 3306, "warning"),
        ];
        let body = format!("[{}]", all.join(","));
        let expected = ["1 192.0.2.1:3306", "1 192.0.2.2:3307", "1 [2001:db8::1]:3306"];
        assert_eq!(read(&body).unwrap(), expected);
        assert_eq!(read("[]").unwrap(), Vec::<String>::new());
    }

    #[test]
    fn instances_without_a_usable_address_hide_no_others() {
        let all = [
            instance("db1.example", "", 3306, "passing"),
            instance("192.0.2.1", "db1.example", 3306, "passing"),
            instance("192.0.2.1", "", 70_000, "passing"),
            instance("192.0.2.1", "", -1, "passing"),
            instance("", "", 3306, "passing"),
            instance("192.0.2.4", "", 3306, "passing"),
        ];
        assert_eq!(read(&format!("[{}]", all.join(","))).unwrap(), ["1 192.0.2.4:3306"]);
        let null = r#"[{"Node":{"Address":null},"Service":{"Address":null}}]"#;
        assert_eq!(read(null).unwrap(), Vec::<String>::new());
    }

    #[test]
    fn what_is_no_list_of_instances_is_garbled() {
        let deep = "[".repeat(100_000);
        for body in ["", "null", "{}", "[1]", "[{}]", "\u{0}", "[", "<html></html>", &deep] {
            assert!(matches!(read(body), Err(Failure::Garbled(_))), "{:.20}", body);
        }
    }
}
