//! Meaning of a probe's answer. The rows of the two `SHOW` statements become a [`Report`] once;
//! nobody after that looks at a server variable's text.
//!
//! A value that is missing is read as the worse of its two meanings: a node that does not say that
//! it is ready is not ready.
//!
//! Sources: "Galera Cluster Status Variables" and "Galera Cluster System Variables" in the MariaDB
//! documentation.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::pin::Reading;
use super::topology::{NodeAddr, NodeState};

/// Knowledge of one node: its last report, and whether it still speaks.
#[derive(Clone, Debug)]
pub(crate) struct NodeView {
    /// Where it listens.
    pub(crate) address: NodeAddr,
    /// Lower is preferred.
    pub(crate) priority: u16,
    /// Whether it answers now.
    pub(crate) contact: Contact,
    /// When the probe was sent that told so.
    pub(crate) asked: Option<Instant>,
    /// The node's last answer, kept when it falls silent, as the answer still names the node.
    pub(crate) report: Option<Arc<Report>>,
    /// How often somebody has killed there.
    pub(crate) kills: Option<Kills>,
    /// Time when the node last answered a client, or an old question of ours, though not us in time.
    pub(crate) vouched: Option<Instant>,
}

/// How often somebody has killed a connection or a statement at a node. A probe may see a KILL before its
/// victim does: so what counts as known is a while old.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Kills {
    /// The count as of [`SETTLES`] before the last answer.
    pub(crate) settled: u64,
    latest: u64,
    changed: Instant,
}

impl Kills {
    fn after(before: Option<Self>, count: u64, now: Instant) -> Self {
        let Some(mut kills) = before else {
            return Self { settled: count, latest: count, changed: now };
        };
        if now.saturating_duration_since(kills.changed) >= SETTLES {
            kills.settled = kills.latest;
        }
        if count != kills.latest {
            (kills.latest, kills.changed) = (count, now);
        }
        kills
    }
}

/// Longer than a server needs to close a connection that was killed.
const SETTLES: Duration = Duration::from_secs(2);

/// Whether a node answers.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Contact {
    /// The last probe was answered.
    Answering,
    /// The node lives, and turns us away: no more connections, a changed password. Whether the node serves its
    /// other clients is not known.
    Denied {
        /// When the first of the latest probes without an answer was sent.
        since: Instant,
        /// The node's words.
        loss: Loss,
    },
    /// The last probe failed at once, and said why.
    Lost(Loss),
    /// The last `misses` probes had no answer in time.
    Silent {
        /// When the first of the latest probes without an answer was sent.
        since: Instant,
        /// How many of them in a row, `misses >= 1`.
        misses: u32,
    },
    /// Not probed yet.
    Unknown,
}

/// Why a node is known at once to be of no use, where silence would have to be waited out.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Loss {
    /// The connection was closed or reset: the server died, or closes its sessions to stop.
    Closed,
    /// Something else than a MySQL server listens there.
    Garbled(String),
    /// Nothing listens there.
    Refused,
    /// The server turned us away, or the statement down.
    Rejected {
        /// The server's error code, such as 1045.
        code: u16,
        /// The server's words.
        message: String,
    },
    /// TLS does not come about, or its certificate is not one to trust. That may be for us alone: by our
    /// clock, or by the authorities that we know.
    Untrusted(String),
}

impl Loss {
    /// Whether it can be of no use to anybody, rather than to our probe alone.
    pub(super) fn is_final(&self) -> bool {
        match self {
            Self::Closed | Self::Garbled(_) | Self::Refused => true,
            Self::Rejected { code, .. } => FINAL_CODES.contains(code),
            Self::Untrusted(_) => false,
        }
    }
}

impl fmt::Display for Loss {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Closed => f.write_str("closes the connection"),
            Self::Garbled(error) => write!(f, "does not answer as a MySQL server: {error}"),
            Self::Refused => f.write_str("connection refused"),
            Self::Rejected { code, message } => write!(f, "error {code}: {message}"),
            Self::Untrusted(flaw) => write!(f, "cannot be trusted: {flaw}"),
        }
    }
}

/// How one probe ended.
#[derive(Clone, Debug)]
pub(crate) enum Outcome {
    /// The node answered.
    Answer(Arc<Report>),
    /// The node answered a question whose time was up: it lives.
    Late(Arc<Report>),
    /// The node is of no use, and said so at once.
    Lost(Loss),
    /// No answer in time, or none that tells more of the node than of the way to it.
    Silent,
}

impl NodeView {
    /// A node nobody has asked yet.
    pub(crate) fn new(address: NodeAddr, priority: u16) -> Self {
        Self {
            address,
            priority,
            contact: Contact::Unknown,
            asked: None,
            report: None,
            kills: None,
            vouched: None,
        }
    }

    /// Takes in how the probe sent at `asked` ended, or what came in at that time though it was late. Returns
    /// whether that is any news: an answer like the one before is none.
    pub(crate) fn observe(&mut self, outcome: Outcome, asked: Instant) -> bool {
        let (since, missed) = match self.contact {
            Contact::Denied { since, .. } => (since, 0),
            Contact::Silent { since, misses } => (since, misses),
            Contact::Answering | Contact::Lost(_) | Contact::Unknown => (asked, 0),
        };
        if !matches!(outcome, Outcome::Late(_)) {
            self.asked = Some(asked);
        }
        self.contact = match outcome {
            // The late report may be older than the known one, and counts only if both are the same.
            Outcome::Late(report) => {
                let same = self.says_nothing_new(&report);
                if same {
                    self.vouched = Some(asked);
                }
                return same;
            }
            Outcome::Answer(report) => {
                let kills = report.kills.map(|count| Kills::after(self.kills, count, asked));
                self.kills = kills.or(self.kills);
                if self.contact == Contact::Answering && self.report.as_ref() == Some(&report) {
                    return false;
                }
                self.report = Some(report);
                Contact::Answering
            }
            Outcome::Lost(loss) if loss.is_final() => Contact::Lost(loss),
            Outcome::Lost(loss) => Contact::Denied { since, loss },
            Outcome::Silent => Contact::Silent { since, misses: missed.saturating_add(1) },
        };
        true
    }

    /// Whether it is to its cluster and its clients what it was.
    fn says_nothing_new(&self, report: &Report) -> bool {
        let same =
            |known: &Report| known.galera == report.galera && known.read_only == report.read_only;
        self.report.as_deref().is_some_and(same)
    }

    /// Whether its last word was one, be it a refusal.
    pub(crate) fn is_alive(&self) -> bool {
        matches!(self.contact, Contact::Answering | Contact::Denied { .. })
    }

    /// Whether it has missed so many probes in a row that it counts as unreachable.
    pub(crate) fn is_silent(&self) -> bool {
        match self.contact {
            Contact::Silent { misses, .. } => misses > TOLERATED_MISSES || self.report.is_none(),
            Contact::Answering | Contact::Denied { .. } | Contact::Lost(_) | Contact::Unknown => {
                false
            }
        }
    }

    /// Whether nothing is known of it, and the next probe may well tell: a proxy that took the one
    /// miss of a good node for its last word would choose another primary than all the rest.
    pub(crate) fn is_pending(&self) -> bool {
        match self.contact {
            Contact::Silent { misses, .. } => misses <= TOLERATED_MISSES && self.report.is_none(),
            Contact::Answering | Contact::Denied { .. } | Contact::Lost(_) => false,
            Contact::Unknown => true,
        }
    }

    /// The node's own word for itself, or ours.
    pub(crate) fn state(&self) -> NodeState {
        match (&self.contact, &self.report) {
            (Contact::Unknown, _) => NodeState::Unknown,
            (Contact::Denied { .. } | Contact::Lost(_), _) | (_, None) => NodeState::Unreachable,
            (Contact::Silent { .. }, _) if self.is_silent() => NodeState::Unreachable,
            (_, Some(report)) => report.state(),
        }
    }

    /// The node's last report about its cluster, if it is a Galera node.
    pub(crate) fn galera(&self) -> Option<&Galera> {
        self.report.as_ref()?.galera.as_ref()
    }

    /// `wsrep_node_name`, or nothing while it is not known.
    pub(crate) fn name(&self) -> Option<&str> {
        self.report.as_ref()?.name.as_deref()
    }
}

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
    /// `wsrep_reject_queries` is anything but `NONE`.
    pub(crate) rejects: bool,
    /// `wsrep_sst_donor_rejects_queries` is `ON`.
    pub(crate) rejects_as_donor: bool,
    /// `wsrep_incoming_addresses`: the members, in the words of their own configuration. Names
    /// instead of addresses are left out.
    pub(crate) members: BTreeSet<NodeAddr>,
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

    fn state(&self) -> NodeState {
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
            rejects: !rows.is("wsrep_reject_queries", &["NONE"]),
            rejects_as_donor: rows.is("wsrep_sst_donor_rejects_queries", &["ON"]),
            members: rows
                .text("wsrep_incoming_addresses")
                .unwrap_or_default()
                .split(',')
                .filter_map(|member| member.trim().parse().ok().map(NodeAddr))
                .collect(),
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
pub(crate) const GALERA_STATUS: [&str; 7] = [
    "wsrep_cluster_conf_id",
    "wsrep_cluster_state_uuid",
    "wsrep_cluster_status",
    PAUSED,
    "wsrep_incoming_addresses",
    "wsrep_local_state",
    "wsrep_ready",
];

/// Nanoseconds for which the node has stood still since it started, so that a slower one could follow.
pub(crate) const PAUSED: &str = "wsrep_flow_control_paused_ns";

/// The variables that matter, by name.
pub(crate) const VARIABLES: [&str; 9] = [
    "max_allowed_packet",
    "max_connections",
    "read_only",
    "version",
    "wsrep_desync",
    "wsrep_node_name",
    "wsrep_on",
    "wsrep_reject_queries",
    "wsrep_sst_donor_rejects_queries",
];

/// ER_UNKNOWN_COM_ERROR, Galera's answer outside the primary component, and ER_SERVER_SHUTDOWN.
const FINAL_CODES: [u16; 2] = [1047, 1053];

/// The longest value in bytes that is believed; a longer one, or one that would break the lines of
/// a log, counts as missing. The longest that
/// makes sense are the members of a cluster, some 20 bytes for each of them.
const LONGEST_VALUE: usize = 4096;

/// A probe missed once says little: a slow disk, a lost packet that TCP sends again, a burst of
/// flow control all pass within a second. The second miss in a row is news.
const TOLERATED_MISSES: u32 = 1;

#[cfg(test)]
mod tests;
