//! A real Galera cluster: 1 to 5 MariaDB servers on the lab's addresses.
//!
//! All nodes start from copies of one prepared data directory ([`template`]) that was shut down as a
//! member of the cluster, so they join by an incremental transfer and the cluster stands in seconds.

mod crowd;
pub(crate) mod node;
mod profile;
pub(crate) mod server;
pub(crate) mod template;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

pub use self::crowd::Crowd;
pub use self::node::{Node, Standing, Thread, Written};
pub use self::profile::Profile;
pub use self::template::{ICINGA_DATABASE, ICINGA_PASSWORD, ICINGA_USER};
use crate::error::{LabError, Result};
use crate::run::Run;
use crate::wait::{Look, wait_until};

/// The parts of a cluster.
#[derive(Clone, Debug)]
pub struct GaleraSpec {
    /// How many nodes: 1..=5.
    pub nodes: u8,
    /// Kind of all servers; [`Profile::chosen`] unless given.
    pub server: Option<Profile>,
    /// More arguments for every mariadbd, such as `--max-allowed-packet=64M`.
    pub arguments: Vec<String>,
    /// More of Galera's own options, such as `evs.suspect_timeout=PT3S`.
    pub provider_options: Vec<String>,
    /// Whether it has a uuid of its own. All others of this machine have that of their common origin.
    pub stranger: bool,
}

impl Default for GaleraSpec {
    fn default() -> Self {
        Self {
            nodes: 3,
            server: None,
            arguments: Vec::new(),
            provider_options: Vec::new(),
            stranger: false,
        }
    }
}

/// A running cluster. Dropping it kills all nodes.
#[derive(Debug)]
pub struct Galera {
    profile: Profile,
    nodes: Vec<Node>,
}

impl Galera {
    /// Starts a cluster and waits until every node is Synced and sees all the others.
    ///
    /// # Errors
    /// When a program is missing, or a node does not come up.
    pub async fn start(run: &Arc<Run>, spec: &GaleraSpec) -> Result<Self> {
        if !(1..=5).contains(&spec.nodes) {
            return Err(LabError::Refused(format!("{} nodes: 1 to 5 are possible", spec.nodes)));
        }
        let profile = spec.server.map_or_else(Profile::chosen, Ok)?;
        let nodes: Vec<_> =
            (1..=spec.nodes).map(|index| Node::new(run, index, spec, profile)).collect();
        let folders: Vec<_> = nodes.iter().map(|node| node.folder().to_owned()).collect();
        template::copy(run, profile, &folders).await?;
        for node in &nodes {
            if spec.stranger {
                node.forget_cluster()?;
            }
        }
        let cluster = Self { profile, nodes };
        for (index, node) in cluster.nodes.iter().enumerate() {
            node.launch(index == 0)?;
        }
        cluster.all_synced(START).await?;
        Ok(cluster)
    }

    /// Kind of all its servers.
    pub fn profile(&self) -> Profile {
        self.profile
    }

    /// Node `index`, counted from 1 as its address is.
    ///
    /// # Panics
    /// When there is no such node: a story that names one has a mistake.
    pub fn node(&self, index: usize) -> &Node {
        let found = index.checked_sub(1).and_then(|at| self.nodes.get(at));
        found.unwrap_or_else(|| panic!("node {index} of {}", self.nodes.len()))
    }

    /// All nodes, dead ones too.
    pub fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    /// The node that clients reach at `address`.
    pub fn node_at(&self, address: SocketAddr) -> Option<&Node> {
        self.nodes.iter().find(|node| node.address() == address)
    }

    /// The nodes that are not `node`.
    pub fn others(&self, node: &Node) -> Vec<&Node> {
        self.nodes.iter().filter(|other| other.index() != node.index()).collect()
    }

    /// Waits until every node is Synced in one primary component of all nodes.
    ///
    /// # Errors
    /// When that takes longer than `deadline`, or a node ended.
    pub async fn all_synced(&self, deadline: Duration) -> Result<()> {
        self.size(self.nodes.len(), deadline).await
    }

    /// Waits until every *running* node is Synced in one primary component of `size` nodes.
    ///
    /// # Errors
    /// When that takes longer than `deadline`, or a running node ends.
    pub async fn size(&self, size: usize, deadline: Duration) -> Result<()> {
        for node in self.nodes.iter().filter(|node| node.part().runs() || size == self.nodes.len())
        {
            let what = format!("{} Synced among {size}", node.name());
            wait_until(&what, deadline, Some(&node.log()), async || match node.standing().await {
                Ok(standing) if standing.synced_among(size) => Look::Done(()),
                Ok(standing) => node.part().look(standing),
                Err(error) => node.part().look(error),
            })
            .await?;
        }
        Ok(())
    }

    /// Starts the whole cluster again after every node has ended: from the node that knows most.
    ///
    /// # Errors
    /// When a node still runs, or does not come up.
    pub async fn bootstrap(&self) -> Result<()> {
        if let Some(node) = self.nodes.iter().find(|node| node.part().runs()) {
            return Err(LabError::Refused(format!("{} still runs", node.name())));
        }
        let mut latest = (self.node(1), i64::MIN);
        for node in &self.nodes {
            let position = node.recovered_position().await?;
            if position > latest.1 {
                latest = (node, position);
            }
        }
        latest.0.may_bootstrap()?;
        latest.0.launch(true)?;
        latest.0.ready(START).await?;
        for node in self.nodes.iter().filter(|node| node.index() != latest.0.index()) {
            node.launch(false)?;
        }
        self.all_synced(START).await
    }
}

/// Generous: two slow cores may be shared by a build. Three nodes take about 4 s on idle ones.
const START: Duration = Duration::from_secs(90);
