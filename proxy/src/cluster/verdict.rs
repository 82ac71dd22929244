//! May writes go to this node? One node is judged by what it said, against what the cluster as a
//! whole is known to be.

use std::fmt;

use super::settings::ClusterKind;
use super::view::{Contact, Galera, Loss, NodeView, Report, Sync};

/// Whether writes may go to a node.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Verdict {
    /// Only if there is no usable node.
    LastResort(Reason),
    /// Not at all.
    Unusable(Reason),
    /// Writes may go to the node.
    Usable,
}

impl Verdict {
    /// Why it is not simply usable.
    pub(crate) fn reason(&self) -> Option<&Reason> {
        match self {
            Self::LastResort(reason) | Self::Unusable(reason) => Some(reason),
            Self::Usable => None,
        }
    }

    /// Which of two nodes to take, whatever their names: the lower one. `None`: not at all.
    pub(crate) fn class(&self) -> Option<u8> {
        match self {
            Self::Usable => Some(0),
            Self::LastResort(Reason::Desynced) => Some(1),
            Self::LastResort(Reason::Drained) => Some(2),
            // A donor by rsync blocks every write while it gives its state.
            Self::LastResort(_) => Some(3),
            Self::Unusable(_) => None,
        }
    }
}

/// Why a node is not usable, or only the last resort.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Reason {
    /// The node's view of the membership is older than that of others, and has been for a while.
    Behind,
    /// An operator took it out of flow control (`wsrep_desync`).
    Desynced,
    /// The node gives its state to another one.
    Donor,
    /// An operator drained it (`ido-proxy drain`).
    Drained,
    /// The node belongs to another cluster.
    Foreign {
        /// The `wsrep_cluster_state_uuid` that it reports.
        cluster: String,
    },
    /// Nobody names it any more, and it cannot be reached.
    Forgotten,
    /// The node is in the group but has not caught up.
    Joining,
    /// The node was a member, and the others know of a later membership without it.
    Left,
    /// The probe failed at once.
    Lost(Loss),
    /// The node stands outside the primary component.
    NonPrimary,
    /// The node replicates nothing by Galera.
    NotGalera,
    /// Not probed yet.
    NotProbed,
    /// The node does not accept statements (`wsrep_ready`).
    NotReady,
    /// `read_only` is set.
    ReadOnly,
    /// The node is told to refuse statements.
    Rejecting {
        /// The variable that says so.
        variable: &'static str,
    },
    /// The node does not answer.
    Silent,
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Behind => f.write_str("does not know the cluster's latest membership"),
            Self::Desynced => f.write_str("desynced (wsrep_desync=ON)"),
            Self::Donor => f.write_str("donor: gives its state to another node"),
            Self::Drained => f.write_str("drained by an operator (ido-proxy drain)"),
            Self::Foreign { cluster } => write!(f, "belongs to another cluster ({cluster})"),
            Self::Forgotten => f.write_str("no longer known"),
            Self::Joining => f.write_str("joining: has not caught up with the cluster"),
            Self::Left => f.write_str("no longer a member of the cluster, say the others"),
            Self::Lost(loss) => loss.fmt(f),
            Self::NonPrimary => f.write_str("outside the primary component"),
            Self::NotGalera => f.write_str("not a Galera node (wsrep is off)"),
            Self::NotProbed => f.write_str("not probed yet"),
            Self::NotReady => f.write_str("not ready (wsrep_ready=OFF)"),
            Self::ReadOnly => f.write_str("read only (read_only=ON)"),
            Self::Rejecting { variable } => write!(f, "rejects queries ({variable})"),
            Self::Silent => f.write_str("does not answer in time"),
        }
    }
}

/// Facts about the cluster as a whole.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Yardstick<'a> {
    /// The relation of the nodes to each other.
    pub(crate) kind: ClusterKind,
    /// Which cluster is ours, once known.
    pub(crate) cluster: Option<&'a str>,
    /// A membership that every member must know of by now: an older one is out of date.
    pub(crate) settled_view: Option<u64>,
}

/// Judges one node.
pub(crate) fn judge(view: &NodeView, yardstick: Yardstick<'_>) -> Verdict {
    let report = match (&view.contact, &view.report) {
        (Contact::Unknown, _) => return Verdict::Unusable(Reason::NotProbed),
        (Contact::Denied { loss, .. } | Contact::Lost(loss), _) => {
            return Verdict::Unusable(Reason::Lost(loss.clone()));
        }
        (_, None) => return Verdict::Unusable(Reason::Silent),
        (Contact::Silent { .. }, _) if view.is_silent() => {
            return Verdict::Unusable(Reason::Silent);
        }
        (Contact::Answering | Contact::Silent { .. }, Some(report)) => report,
    };
    if let Some(reason) = unusable(report, yardstick) {
        return Verdict::Unusable(reason);
    }
    match &report.galera {
        Some(galera) if galera.desynced => Verdict::LastResort(Reason::Desynced),
        Some(galera) if galera.sync == Sync::Donor => Verdict::LastResort(Reason::Donor),
        _ => Verdict::Usable,
    }
}

fn unusable(report: &Report, yardstick: Yardstick<'_>) -> Option<Reason> {
    if yardstick.kind == ClusterKind::Galera {
        match &report.galera {
            None => return Some(Reason::NotGalera),
            Some(galera) => {
                if let Some(reason) = outside(galera, yardstick) {
                    return Some(reason);
                }
            }
        }
    }
    report.read_only.then_some(Reason::ReadOnly)
}

/// Why a Galera node cannot take writes, the weightiest reason first.
fn outside(galera: &Galera, yardstick: Yardstick<'_>) -> Option<Reason> {
    if !galera.primary_component {
        return Some(Reason::NonPrimary);
    }
    if yardstick.cluster.is_some_and(|ours| ours != galera.cluster) {
        return Some(Reason::Foreign { cluster: galera.cluster.clone() });
    }
    match galera.sync {
        Sync::Donor if galera.rejects_as_donor && !galera.desynced => {
            return Some(Reason::Rejecting { variable: "wsrep_sst_donor_rejects_queries" });
        }
        Sync::Donor | Sync::Synced => {}
        Sync::Joined | Sync::Joining | Sync::Undefined => return Some(Reason::Joining),
    }
    if !galera.ready {
        return Some(Reason::NotReady);
    }
    if galera.rejects {
        return Some(Reason::Rejecting { variable: "wsrep_reject_queries" });
    }
    if yardstick.settled_view > galera.view_id {
        return Some(Reason::Behind);
    }
    None
}

#[cfg(test)]
mod tests;
