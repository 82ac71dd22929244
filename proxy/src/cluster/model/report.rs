//! Meaning of a probe's answer. The rows of the two `SHOW` statements become a [`Report`] once;
//! nobody after that looks at a server variable's text.
//!
//! A value that is missing is read as the worse of its two meanings: a node that does not say that
//! it is ready is not ready.
//!
//! Sources: "Galera Cluster Status Variables" and "Galera Cluster System Variables" in the MariaDB
//! documentation.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use super::group::Group;
use super::node_addr::NodeAddr;
use super::pin::Reading;

/// A node's report about itself.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Report {
    /// `wsrep_node_name`.
    pub(crate) name: Option<String>,
    /// `version`, such as `10.11.6-MariaDB`.
    pub(crate) version: Option<String>,
    /// `max_allowed_packet` in bytes.
    pub(crate) max_allowed_packet: Option<u64>,
    /// `Com_kill`: how often somebody has killed a connection or a statement there.
    pub(crate) kills: Option<u64>,
    /// `Threads_connected`: connections that are open there.
    pub(crate) connections: Option<u64>,
    /// `max_connections`.
    pub(crate) max_connections: Option<u64>,
    /// `read_only` is anything but `OFF`.
    pub(crate) read_only: bool,
    /// The node's knowledge of the pin.
    pub(crate) pin: Reading,
    /// The report about the cluster; `None` for a server that replicates nothing by Galera.
    pub(crate) galera: Option<Galera>,
}

/// A Galera node's report about its cluster.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Galera {
    /// `wsrep_cluster_state_uuid`: which cluster.
    pub(crate) cluster: String,
    /// `wsrep_cluster_conf_id`, which grows with each change of membership; `None` outside the
    /// primary component, where the server shows the largest number there is.
    pub(crate) view_id: Option<u64>,
    /// `wsrep_cluster_status` is `Primary`.
    pub(crate) primary_component: bool,
    /// `wsrep_ready` is `ON`.
    pub(crate) ready: bool,
    /// `wsrep_local_state`.
    pub(crate) sync: Sync,
    /// `wsrep_desync` is `ON`: an operator took it out of flow control.
    pub(crate) desynced: bool,
    /// When it refuses statements though it could take them.
    pub(crate) refuses: Refuses,
    /// `wsrep_incoming_addresses`: the members, in the words of their own configuration. Names
    /// instead of addresses are left out.
    pub(crate) members: BTreeSet<NodeAddr>,
    /// `wsrep_cluster_size`: how many members there are, those among them that have no address.
    pub(crate) size: Option<u64>,
    /// The node's place in the group.
    pub(crate) group: Group,
}

/// Settings that make a node refuse statements which it could take.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) struct Refuses {
    /// `wsrep_reject_queries` is anything but `NONE`.
    pub(crate) always: bool,
    /// `wsrep_sst_donor_rejects_queries` is `ON`.
    pub(crate) as_donor: bool,
}

/// `wsrep_local_state`, by its number: its text says more, and changes more.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) enum Sync {
    /// 2: gives its state to another, or is desynced.
    Donor,
    /// 3: has the state, and catches up.
    Joined,
    /// 1: waits for the state, or receives it.
    Joining,
    /// 4: caught up.
    Synced,
    /// 0, or nothing we know: in no group.
    #[default]
    Undefined,
}

/// The state of a node, in Galera's own words where it answered.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum NodeState {
    /// Gives state to another node, or is taken out of flow control (`Donor/Desynced`).
    Donor,
    /// Receives state, or is otherwise on its way into the group (`Joining`, `Joined`).
    Joining,
    /// Answers, but stands outside the primary component.
    NonPrimary,
    /// Serves, one plain server (`topology = "single"`).
    Online,
    /// In the group and caught up (`Synced`).
    Synced,
    /// Not probed yet.
    Unknown,
    /// Does not answer, or refuses us.
    Unreachable,
}

impl Report {
    /// Reads the rows of `SHOW GLOBAL STATUS`, of which those in [`STATUS`] and [`GALERA_STATUS`] matter,
    /// and of `SHOW GLOBAL VARIABLES`, of which those in [`VARIABLES`] do.
    pub(crate) fn parse(
        status: impl IntoIterator<Item = (String, String)>,
        variables: impl IntoIterator<Item = (String, String)>,
    ) -> Self {
        let rows = status.into_iter().chain(variables);
        let sane = |value: &str| value.len() <= LONGEST_VALUE && !value.contains(char::is_control);
        let rows = Rows(rows.filter(|(_, value)| sane(value)).collect());
        Self {
            name: rows.text("wsrep_node_name"),
            version: rows.text("version"),
            max_allowed_packet: rows.number("max_allowed_packet"),
            kills: rows.number("Com_kill"),
            connections: rows.number("Threads_connected"),
            max_connections: rows.number("max_connections"),
            read_only: !rows.is("read_only", &["OFF", "0"]),
            pin: Reading::Unread,
            galera: Galera::parse(&rows),
        }
    }

    /// Whether it has connections to spare: a quarter of them is left to those who need one.
    pub(crate) fn has_room(&self) -> bool {
        let (Some(open), Some(most)) = (self.connections, self.max_connections) else {
            return false;
        };
        open < most - most / 4
    }

    /// The node's own word for its state.
    pub(super) fn state(&self) -> NodeState {
        match &self.galera {
            None => NodeState::Online,
            Some(galera) if !galera.primary_component => NodeState::NonPrimary,
            Some(galera) => match galera.sync {
                Sync::Donor => NodeState::Donor,
                Sync::Synced => NodeState::Synced,
                Sync::Joined | Sync::Joining | Sync::Undefined => NodeState::Joining,
            },
        }
    }
}

impl Galera {
    /// `None` where writes stay on that server, be it that no provider is loaded or `wsrep_on` off.
    fn parse(rows: &Rows) -> Option<Self> {
        if !rows.is("wsrep_on", &["ON"]) {
            return None;
        }
        let cluster = rows.text("wsrep_cluster_state_uuid").unwrap_or_default();
        Some(Self {
            view_id: rows.number("wsrep_cluster_conf_id").filter(|id| *id != u64::MAX),
            // A component of no cluster is none.
            primary_component: rows.is("wsrep_cluster_status", &["Primary"]) && !cluster.is_empty(),
            ready: rows.is("wsrep_ready", &["ON"]),
            sync: match rows.number("wsrep_local_state") {
                Some(1) => Sync::Joining,
                Some(2) => Sync::Donor,
                Some(3) => Sync::Joined,
                Some(4) => Sync::Synced,
                _ => Sync::Undefined,
            },
            desynced: rows.is("wsrep_desync", &["ON"]),
            refuses: Refuses {
                always: !rows.is("wsrep_reject_queries", &["NONE"]),
                as_donor: rows.is("wsrep_sst_donor_rejects_queries", &["ON"]),
            },
            members: rows
                .text("wsrep_incoming_addresses")
                .unwrap_or_default()
                .split(',')
                .filter_map(|member| member.trim().parse().ok().map(NodeAddr))
                .collect(),
            size: rows.number("wsrep_cluster_size"),
            group: Group::parse(
                rows.text("wsrep_gcomm_uuid"),
                rows.text("wsrep_evs_evict_list"),
                &rows.text("wsrep_provider_options").unwrap_or_default(),
            ),
            cluster,
        })
    }
}

struct Rows(BTreeMap<String, String>);

impl Rows {
    fn text(&self, name: &str) -> Option<String> {
        self.0.get(name).filter(|value| !value.is_empty()).cloned()
    }

    fn number(&self, name: &str) -> Option<u64> {
        self.0.get(name)?.parse().ok()
    }

    fn is(&self, name: &str, values: &[&str]) -> bool {
        self.0.get(name).is_some_and(|is| values.iter().any(|value| is.eq_ignore_ascii_case(value)))
    }
}

/// The status counters that matter, by name, of any server.
pub(crate) const STATUS: [&str; 2] = ["Com_kill", "Threads_connected"];

/// Those of a Galera node.
pub(crate) const GALERA_STATUS: [&str; 10] = [
    "wsrep_cluster_conf_id",
    "wsrep_cluster_size",
    "wsrep_cluster_state_uuid",
    "wsrep_cluster_status",
    "wsrep_evs_evict_list",
    PAUSED,
    "wsrep_gcomm_uuid",
    "wsrep_incoming_addresses",
    "wsrep_local_state",
    "wsrep_ready",
];

/// Nanoseconds for which the node has stood still since it started, so that a slower one could follow.
pub(crate) const PAUSED: &str = "wsrep_flow_control_paused_ns";

/// The variables that matter, by name.
pub(crate) const VARIABLES: [&str; 10] = [
    "max_allowed_packet",
    "max_connections",
    "read_only",
    "version",
    "wsrep_desync",
    "wsrep_node_name",
    "wsrep_on",
    "wsrep_provider_options",
    "wsrep_reject_queries",
    "wsrep_sst_donor_rejects_queries",
];

/// The longest value in bytes that is believed; a longer one, or one that would break the lines of
/// a log, counts as missing. The longest that make sense are the options of Galera, some 2,000 bytes.
const LONGEST_VALUE: usize = 4096;

#[cfg(test)]
mod tests;
