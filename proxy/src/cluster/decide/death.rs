//! Whether a node is dead, so that its cluster need not wait until it suspects it.
//!
//! A cluster blocks every write for as long as it waits for a member (`evs.suspect_timeout`, 6 s with what comes on top). A
//! process that is dead has let go of its ports at once, and its host says so to whoever asks. Told to evict it, the others
//! go on within 60 ms.
//!
//! A node that lives and is evicted by mistake stays out of its cluster until it is started again. So a node is dead only
//! - where it has refused a new connection after it had answered on an earlier one,
//! - and a strict majority of its last view has answered since, as one view, and counts it as a member still: it has not
//!   left in order, and nobody else has cut it off.
//!
//! The driver makes sure of two more things: the port of the group refuses too, and the cluster commits nothing meanwhile.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::time::Duration;

use crate::cluster::model::node_addr::NodeAddr;
use crate::cluster::model::node_view::{Contact, Loss, NodeView};
use crate::cluster::model::report::Galera;

/// A node that is dead, as far as views tell.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Dead {
    /// Where it listened.
    pub(crate) node: NodeAddr,
    /// The process as its group calls it: the UUID that is evicted.
    pub(crate) process: String,
    /// Where it listened for its group.
    pub(crate) group: SocketAddr,
    /// The members that are left, a majority, and the period of each, which is to be put back (`evs.join_retrans_period`).
    pub(crate) survivors: BTreeMap<NodeAddr, Duration>,
}

/// The node of `cluster` that is dead, if there is one, as far as `views` tell.
pub(crate) fn dead(views: &[NodeView], cluster: Option<&str>) -> Option<Dead> {
    views.iter().find_map(|view| death(view, views, cluster?))
}

fn death(view: &NodeView, views: &[NodeView], cluster: &str) -> Option<Dead> {
    if view.contact != Contact::Lost(Loss::Refused) {
        return None;
    }
    let (refused, last) = (view.asked?, view.galera()?);
    let survivors = views.iter().filter_map(|other| {
        let galera = other.member().filter(|galera| counts(galera, view.address, last))?;
        let fresh = other.asked? + FRESH >= refused;
        Some((other.address, galera.group.join_period?)).filter(|_| fresh)
    });
    let survivors: BTreeMap<_, _> = survivors.collect();
    let is_majority = last.size.is_some_and(|size| survivors.len() as u64 * 2 > size);
    (last.cluster == cluster && last.group.weight == Some(1) && is_majority).then_some(Dead {
        node: view.address,
        process: last.group.process.clone()?,
        group: last.group.listens?.of(view.address),
        survivors,
    })
}

/// Whether a member is in the view that `node` was in last, and counts it among the members.
fn counts(galera: &Galera, node: NodeAddr, last: &Galera) -> bool {
    galera.cluster == last.cluster
        && galera.view_id.is_some()
        && galera.view_id == last.view_id
        && galera.size == last.size
        && galera.group.weight == Some(1)
        && galera.ready
        && galera.members.contains(&node)
}

/// The nodes of `cluster` whose list of evicted processes is to be cleared, where this view of it stands: all its members
/// answer, and know it. A member that does not answer may be the one that was evicted.
pub(crate) fn lists_to_clear(
    views: &[NodeView],
    cluster: &str,
    view_id: u64,
) -> BTreeSet<NodeAddr> {
    let knows = |galera: &Galera| galera.cluster == cluster && galera.view_id == Some(view_id);
    let members = views.iter().filter_map(|view| Some((view.address, view.member()?)));
    let members: BTreeMap<_, _> = members.filter(|(_, galera)| knows(galera)).collect();
    let whole = |galera: &&Galera| galera.members.iter().all(|member| members.contains_key(member));
    let evicts = |galera: &&Galera| galera.group.evicted.is_some() && whole(galera);
    members.iter().filter(|(_, galera)| evicts(galera)).map(|(node, _)| *node).collect()
}

/// How old the word of a survivor may be when the node refused: all are asked as soon as one does.
const FRESH: Duration = Duration::from_millis(100);

#[cfg(test)]
mod tests;
