//! Judge of one node: by what it said, against what the cluster as a whole is known to be.

use crate::cluster::model::node_view::{Contact, NodeView};
use crate::cluster::model::report::{Galera, Report, Sync};
use crate::cluster::model::settings::ClusterKind;
use crate::cluster::model::verdict::{Reason, Verdict};

/// Facts about the cluster as a whole.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ClusterFacts<'a> {
    /// The relation of the nodes to each other.
    pub(crate) kind: ClusterKind,
    /// Which cluster is ours, once known.
    pub(crate) cluster: Option<&'a str>,
    /// A membership that every member must know of by now: an older one is out of date.
    pub(crate) settled_view: Option<u64>,
}

/// Judges one node.
pub(crate) fn judge(view: &NodeView, facts: ClusterFacts<'_>) -> Verdict {
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
    if let Some(reason) = unusable(report, facts) {
        return Verdict::Unusable(reason);
    }
    match &report.galera {
        Some(galera) if galera.desynced => Verdict::LastResort(Reason::Desynced),
        Some(galera) if galera.sync == Sync::Donor => Verdict::LastResort(Reason::Donor),
        _ => Verdict::Usable,
    }
}

fn unusable(report: &Report, facts: ClusterFacts<'_>) -> Option<Reason> {
    if facts.kind == ClusterKind::Galera {
        match &report.galera {
            None => return Some(Reason::NotGalera),
            Some(galera) => {
                if let Some(reason) = outside(galera, facts) {
                    return Some(reason);
                }
            }
        }
    }
    report.read_only.then_some(Reason::ReadOnly)
}

/// Why a Galera node cannot take writes, the weightiest reason first.
fn outside(galera: &Galera, facts: ClusterFacts<'_>) -> Option<Reason> {
    if !galera.primary_component {
        return Some(Reason::NonPrimary);
    }
    if facts.cluster.is_some_and(|ours| ours != galera.cluster) {
        return Some(Reason::Foreign { cluster: galera.cluster.clone() });
    }
    match galera.sync {
        Sync::Donor if galera.refuses.as_donor && !galera.desynced => {
            return Some(Reason::Rejecting { variable: "wsrep_sst_donor_rejects_queries" });
        }
        Sync::Donor | Sync::Synced => {}
        Sync::Joined | Sync::Joining | Sync::Undefined => return Some(Reason::Joining),
    }
    if !galera.ready {
        return Some(Reason::NotReady);
    }
    if galera.refuses.always {
        return Some(Reason::Rejecting { variable: "wsrep_reject_queries" });
    }
    if facts.settled_view > galera.view_id {
        return Some(Reason::Behind);
    }
    None
}

#[cfg(test)]
mod tests;
