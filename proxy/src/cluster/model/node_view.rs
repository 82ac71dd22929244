//! Knowledge of one node, from how its probes ended: its last report, and whether it still speaks.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use ido_proxy_protocol::error_code::{SERVER_SHUTDOWN, UNKNOWN_COMMAND};
use tokio::time::Instant;

use super::node_addr::NodeAddr;
use super::report::{Galera, NodeState, Report};

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
    pub(crate) reported_alive: Option<Instant>,
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
    pub(crate) fn is_final(&self) -> bool {
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
            reported_alive: None,
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
                    self.reported_alive = Some(asked);
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

    /// The Galera report of a node that answers from inside a primary component.
    pub(crate) fn member(&self) -> Option<&Galera> {
        let answers = self.contact == Contact::Answering;
        self.galera().filter(|galera| answers && galera.primary_component)
    }

    /// `wsrep_node_name`, or nothing while it is not known.
    pub(crate) fn name(&self) -> Option<&str> {
        self.report.as_ref()?.name.as_deref()
    }
}

/// Codes that Galera answers with outside the primary component, and a server that shuts down.
const FINAL_CODES: [u16; 2] = [UNKNOWN_COMMAND, SERVER_SHUTDOWN];

/// A probe missed once says little: a slow disk, a lost packet that TCP sends again, a burst of
/// flow control all pass within a second. The second miss in a row is news.
const TOLERATED_MISSES: u32 = 1;

#[cfg(test)]
mod tests;
