//! Verdict on one node: whether writes may go there, and why not.

use std::fmt;

use super::node_view::Loss;

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_name_the_variable_to_look_at() {
        let words = [
            (Reason::Desynced, "desynced (wsrep_desync=ON)"),
            (Reason::ReadOnly, "read only (read_only=ON)"),
            (Reason::NonPrimary, "outside the primary component"),
            (Reason::Lost(Loss::Refused), "connection refused"),
            (
                Reason::Lost(Loss::Rejected { code: 1045, message: "Access denied".into() }),
                "error 1045: Access denied",
            ),
        ];
        for (reason, text) in words {
            assert_eq!(reason.to_string(), text);
        }
    }
}
