//! The nodes last found, by whatever source, kept on disk: a proxy that starts while every name server
//! is down still knows where the cluster is.
//!
//! The file is a convenience, so nothing about it is ever an error: unreadable or corrupt, it is
//! a warning and an empty memory.

use std::collections::BTreeSet;
use std::fs;
use std::io::{self, Read, Write};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::source::Candidate;
use crate::cluster::model::node_addr::NodeAddr;
use crate::cluster::model::settings::DiscoverySettings;

/// Where the nodes of one cluster are remembered.
#[derive(Clone, Debug)]
pub(crate) struct StateFile {
    path: PathBuf,
    service: String,
}

#[derive(Deserialize, Serialize)]
struct Content {
    /// How the cluster is found: the service, or the fixed list where there is none.
    service: String,
    nodes: Vec<Entry>,
}

#[derive(Deserialize, Serialize)]
struct Entry {
    address: SocketAddr,
    priority: u16,
}

impl StateFile {
    /// The file `path`, holding the nodes of the cluster that is found by `settings`.
    pub(crate) fn new(path: &Path, settings: &DiscoverySettings) -> Self {
        let fixed = || {
            let nodes: BTreeSet<_> = settings.nodes.iter().map(ToString::to_string).collect();
            nodes.into_iter().collect::<Vec<_>>().join(",")
        };
        Self { path: path.to_owned(), service: settings.service.clone().unwrap_or_else(fixed) }
    }

    /// Nodes that an earlier run knew of this cluster. They are none if there was no such run, if it looked for
    /// another cluster, or if the file is of no use.
    pub(crate) fn load(&self) -> Vec<Candidate> {
        match self.read() {
            Ok(content) if content.service == self.service => content
                .nodes
                .iter()
                .map(|node| Candidate { address: NodeAddr(node.address), priority: node.priority })
                .collect(),
            Ok(_) => Vec::new(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
            Err(error) => {
                let path = self.path.display();
                tracing::warn!(%path, %error, "cannot read the nodes remembered from last time");
                Vec::new()
            }
        }
    }

    /// Replaces the file in one step, so that a crash leaves the old or the new one. Blocks on the
    /// disk: not for a runtime's own threads.
    ///
    /// # Errors
    /// Whatever the file system says.
    pub(crate) fn save(&self, nodes: &[Candidate]) -> io::Result<()> {
        let nodes = nodes
            .iter()
            .map(|node| Entry { address: node.address.0, priority: node.priority })
            .collect();
        let content = Content { service: self.service.clone(), nodes };
        let mut bytes = serde_json::to_vec_pretty(&content)?;
        bytes.push(b'\n');

        let temporary = self.path.with_extension("tmp");
        let mut file = fs::File::create(&temporary)?;
        file.write_all(&bytes)?;
        file.sync_all()?;
        fs::rename(&temporary, &self.path)
    }

    fn read(&self) -> io::Result<Content> {
        let mut bytes = Vec::new();
        fs::File::open(&self.path)?.take(MAX_BYTES).read_to_end(&mut bytes)?;
        Ok(serde_json::from_slice(&bytes)?)
    }
}

/// Far more than the most nodes we know would fill; a bigger file is not ours.
const MAX_BYTES: u64 = 64 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    /// Found by this service.
    fn service(name: &str) -> DiscoverySettings {
        let second = std::time::Duration::from_secs(1);
        DiscoverySettings {
            service: Some(name.to_owned()),
            consul: None,
            nameservers: Vec::new(),
            port: 3306,
            nodes: Vec::new(),
            excluded: Vec::new(),
            interval: second,
            timeout: second,
        }
    }

    fn nodes() -> Vec<Candidate> {
        vec![
            Candidate { address: NodeAddr("192.0.2.1:3306".parse().unwrap()), priority: 1 },
            Candidate { address: NodeAddr("[2001:db8::1]:3307".parse().unwrap()), priority: 2 },
        ]
    }

    #[test]
    fn a_restart_knows_the_nodes_of_last_time() {
        let directory = tempfile::tempdir().unwrap();
        let file =
            StateFile::new(&directory.path().join("nodes.json"), &service("db.service.consul"));
        assert_eq!(file.load(), [], "a first start remembers nothing");
        file.save(&nodes()).unwrap();
        file.save(&nodes()).unwrap();
        assert_eq!(file.load(), nodes());
        let left = fs::read_dir(directory.path()).unwrap().count();
        assert_eq!(left, 1, "no temporary file stays behind");
    }

    #[test]
    fn the_nodes_of_another_service_are_not_ours() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("nodes.json");
        StateFile::new(&path, &service("old.service.consul")).save(&nodes()).unwrap();
        assert_eq!(StateFile::new(&path, &service("new.service.consul")).load(), []);
    }

    #[test]
    fn the_nodes_beside_another_fixed_list_are_not_ours() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("nodes.json");
        let listed = |list: &[Candidate]| {
            let nodes = list.iter().map(|node| node.address).collect();
            StateFile::new(&path, &DiscoverySettings { service: None, nodes, ..service("") })
        };
        let mut list = nodes();
        listed(&list).save(&nodes()).unwrap();
        list.reverse();
        assert_eq!(listed(&list).load(), nodes(), "the same list in another order");
        assert_eq!(listed(&list[1..]).load(), []);
    }

    /// An update of the proxy while the name servers are down must not lose the cluster.
    #[test]
    fn a_file_of_the_first_version_is_read() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("nodes.json");
        let old = r#"{"service": "db.service.consul", "nodes": [
            {"address": "192.0.2.1:3306", "priority": 1},
            {"address": "[2001:db8::1]:3307", "priority": 2}]}"#;
        fs::write(&path, old).unwrap();
        assert_eq!(StateFile::new(&path, &service("db.service.consul")).load(), nodes());
    }

    #[test]
    fn a_corrupt_file_does_not_stop_a_start() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("nodes.json");
        let file = StateFile::new(&path, &service("db"));
        file.save(&nodes()).unwrap();
        let good = fs::read(&path).unwrap();
        for end in 0..good.len() - 2 {
            fs::write(&path, &good[..end]).unwrap();
            assert_eq!(file.load(), [], "cut after {end} bytes");
        }
        for garbage in
            [&b"\xff\xfe\x00"[..], b"[]", b"{\"service\":\"db\",\"nodes\":[{\"address\":\"x\"}]}"]
        {
            fs::write(&path, garbage).unwrap();
            assert_eq!(file.load(), []);
        }
        let directory_instead = StateFile::new(directory.path(), &service("db"));
        assert_eq!(directory_instead.load(), []);
    }

    #[test]
    fn a_directory_that_cannot_be_written_is_told() {
        let file = StateFile::new(Path::new("/proc/nowhere/nodes.json"), &service("db"));
        assert!(file.save(&nodes()).is_err());
    }
}
