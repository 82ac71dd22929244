//! Rule by which the primary is decided: see [`decide`](super) for its text.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::time::Instant;

use super::choice::Choice;
use super::decision::Decision;
use super::judge::{ClusterFacts, judge};
use super::membership::{VIEW_SETTLES, is_thrown_out, latest_view, our_cluster};
use crate::cluster::model::agreement::Agreement;
use crate::cluster::model::node_view::NodeView;
use crate::cluster::model::proposal::Proposal;
use crate::cluster::model::settings::ClusterKind;
use crate::cluster::model::verdict::{Reason, Verdict};

/// Settings of the configuration that decisions depend on.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Policy {
    /// The relation of the nodes to each other.
    pub(crate) kind: ClusterKind,
    /// How long a silent primary stays it, while the cluster counts it as a member.
    pub(crate) path_timeout: Duration,
}

/// Decides anew. `views` may come in any order; it makes no difference.
pub(crate) fn decide(
    previous: &Decision,
    views: &[NodeView],
    policy: Policy,
    now: Instant,
) -> Decision {
    let cluster = our_cluster(previous.cluster(), views);
    let latest_view = latest_view(previous.latest_view, views, cluster.as_deref(), now);
    let facts = ClusterFacts {
        kind: policy.kind,
        cluster: cluster.as_deref(),
        settled_view: latest_view
            .filter(|(_, since)| now.saturating_duration_since(*since) >= VIEW_SETTLES)
            .map(|(view, _)| view),
    };
    let known =
        if cluster == previous.cluster { previous.agreement.clone() } else { Agreement::Unknown };
    let agreement = known.after(views, cluster.as_deref());
    let verdict = |view: &NodeView| match judge(view, facts) {
        // The node has not been asked since, or does not know the new membership yet.
        verdict if verdict.class().is_some() && is_thrown_out(view, views) => {
            Verdict::Unusable(Reason::Left)
        }
        verdict => agreement.applied(view.address, verdict),
    };
    let verdicts: BTreeMap<_, _> = views.iter().map(|view| (view.address, verdict(view))).collect();
    let recent_pins = previous.recent_pins.after(agreement.pin(), now);
    let choice = Choice { previous, views, verdicts: &verdicts, now };
    let (primary, proposal, cause) = match (&agreement, &cluster) {
        (Agreement::Pinned(pin), Some(cluster)) => {
            let patience = recent_pins.patience(policy.path_timeout, now);
            let agreed = choice.agreed(pin.as_ref(), patience, recent_pins.since());
            let propose = |(node, cause)| Proposal {
                cluster: cluster.clone(),
                expected: pin.as_ref().map(|pin| pin.epoch),
                node,
                cause,
                drained: None,
            };
            (agreed.primary, agreed.wanted.map(propose), agreed.cause)
        }
        _ => {
            let primary = choice.primary(policy.path_timeout);
            (primary, None, choice.cause(primary))
        }
    };
    let changed = primary.is_some() && primary != previous.last_primary;
    // Sessions go by its growth, whoever counts.
    let epoch = previous.epoch + u64::from(changed);
    let epoch =
        agreement.pin().filter(|_| primary.is_some()).map_or(epoch, |pin| epoch.max(pin.epoch));
    Decision {
        primary,
        next: choice.best(primary).map(|view| view.address),
        epoch,
        cause,
        verdicts,
        last_primary: primary.or(previous.last_primary),
        agreement,
        proposal,
        peers: previous.peers.clone(),
        recent_pins,
        cluster,
        latest_view,
    }
}
