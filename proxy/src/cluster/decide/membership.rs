//! Membership of the cluster, as its nodes tell: which cluster is ours, and who is still part of it.

use std::time::Duration;

use tokio::time::Instant;

use super::rank::by_preference;
use crate::cluster::model::node_view::NodeView;

/// Whether a later membership than the last one that `node` told us of is without it. Members go by the
/// addresses of their own configuration, which need not be ours: so this tells something only of a node
/// that was on its own list.
pub(super) fn is_thrown_out(node: &NodeView, views: &[NodeView]) -> bool {
    let Some(last) = node.galera() else {
        return false;
    };
    last.members.contains(&node.address)
        && views.iter().filter_map(NodeView::member).any(|other| {
            other.cluster == last.cluster
                && other.view_id > last.view_id
                && !other.members.contains(&node.address)
        })
}

/// Which cluster is ours: the one we know, as long as any node of it answers. A wrong address in
/// DNS must not talk us into another cluster while ours is down, so only a majority of all known
/// nodes replaces it, as after a rebuild from a backup. At the start, when every node has been
/// heard or is silent, the most frequent one will do.
pub(super) fn our_cluster(known: Option<&str>, views: &[NodeView]) -> Option<String> {
    let mut members: Vec<_> = views.iter().filter(|view| view.member().is_some()).collect();
    members.sort_by(|a, b| by_preference(a, b));
    // A stable sort by votes leaves the preferred node's cluster in front of its equals.
    let mut clusters: Vec<(&str, usize)> = Vec::new();
    for galera in members.iter().filter_map(|view| view.member()) {
        match clusters.iter_mut().find(|(cluster, _)| *cluster == galera.cluster) {
            Some((_, votes)) => *votes += 1,
            None => clusters.push((&galera.cluster, 1)),
        }
    }
    clusters.sort_by(|(_, a), (_, b)| b.cmp(a));

    let Some((first, votes)) = clusters.first().copied() else {
        return known.map(str::to_owned);
    };
    let known_answers = clusters.iter().any(|(cluster, _)| Some(*cluster) == known);
    let all_heard = !views.iter().any(NodeView::is_pending);
    let adopt = votes * 2 > views.len() || (known.is_none() && all_heard);
    if adopt && !known_answers { Some(first.to_owned()) } else { known.map(str::to_owned) }
}

/// The latest membership that any node of our cluster knows of, and since when.
pub(super) fn latest_view(
    previous: Option<(u64, Instant)>,
    views: &[NodeView],
    cluster: Option<&str>,
    now: Instant,
) -> Option<(u64, Instant)> {
    let latest = views
        .iter()
        .filter_map(NodeView::member)
        .filter(|galera| Some(galera.cluster.as_str()) == cluster)
        .filter_map(|galera| galera.view_id)
        .max()?;
    let known = previous.filter(|(view, _)| *view == latest);
    Some(known.unwrap_or((latest, now)))
}

/// How long a node may lag behind the latest membership. All members take on a new one at the same
/// point of the same order of events, but the appliers that get there may be busy.
pub(super) const VIEW_SETTLES: Duration = Duration::from_secs(5);
