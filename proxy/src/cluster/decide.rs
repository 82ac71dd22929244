//! Which node is the primary? A pure function of the previous decision, of what is known of the
//! nodes, and of the time.
//!
//! The rule, in this order:
//! 1. The primary stays the primary while it is usable. Nothing ever moves back by itself.
//! 2. A primary that is merely silent to us, or turns our probe away, and is still a member in the
//!    eyes of the others, is given [`Policy::path_timeout`]: more likely our way to it is broken
//!    than the node is.
//! 3. Otherwise the node that was primary last, if it is usable again; else the first usable node
//!    by [`by_preference`]; else, where there is no usable node, one that is a last resort.
//!    Where the proxies share a pin (see [`pin`](super::model::pin)), that is the primary, and what the rule
//!    would choose instead is proposed to all.
//!    Of two that are equally well the one is better that more of the proxies reach; and a node that only
//!    some of them reach is not left for one that fewer reach.
//! 4. Nothing is chosen at all before every node was heard, or counts as silent, so that proxies
//!    that start at different times choose alike, and do not take the one that happened to answer
//!    first.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::time::Instant;

use super::judge::{Yardstick, judge};
use super::model::agreement::Agreement;
use super::model::cause::Cause;
use super::model::node_addr::NodeAddr;
use super::model::node_view::{Contact, NodeView};
use super::model::peers::{Peers, Row};
use super::model::pin::Pin;
use super::model::proposal::Proposal;
use super::model::report::Galera;
use super::model::settings::ClusterKind;
use super::model::verdict::{Reason, Verdict};
use super::rank::by_preference;

/// The decision, with the state that the next decision needs.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Decision {
    /// The node that writes go to.
    pub(crate) primary: Option<NodeAddr>,
    /// The node that would be it, were that one lost now.
    pub(crate) next: Option<NodeAddr>,
    /// How often the primary has become another node.
    pub(crate) epoch: u64,
    /// Why the primary is what it is.
    pub(crate) cause: Cause,
    /// The verdict on each node.
    pub(crate) verdicts: BTreeMap<NodeAddr, Verdict>,
    /// `primary`, or the last node that was.
    last_primary: Option<NodeAddr>,
    /// The agreement of the proxies.
    pub(crate) agreement: Agreement,
    /// The pin to propose to the proxies instead.
    pub(crate) proposal: Option<Proposal>,
    /// The nodes that other proxies reach.
    peers: Peers,
    /// Since when we know of the pin, and of those before it, the latest last.
    pinned: Vec<Known>,
    /// Which cluster is ours.
    cluster: Option<String>,
    /// The latest membership that any node of ours knows, and since when we know of it.
    latest_view: Option<(u64, Instant)>,
}

impl Decision {
    /// Takes in a pin that was told by the answer to a proposal.
    pub(crate) fn learn(&mut self, pin: Pin, now: Instant) {
        if self.agreement.pin().is_none_or(|known| known.epoch < pin.epoch) {
            self.pinned.push(Known::of(&pin, now));
            self.agreement = Agreement::Pinned(Some(pin));
        }
    }

    /// Takes in what the other proxies said just now.
    pub(crate) fn hear(&mut self, rows: Vec<Row>, now: Instant) {
        self.peers.take(rows, now);
    }

    /// Which cluster is ours, once known.
    pub(crate) fn cluster(&self) -> Option<&str> {
        self.cluster.as_deref()
    }

    /// Whether a node that says this is in our cluster.
    pub(crate) fn is_ours(&self, galera: &Galera) -> bool {
        self.cluster.as_ref() == Some(&galera.cluster)
    }
}

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
    let cluster = our_cluster(previous, views);
    let latest_view = latest_view(previous, views, cluster.as_deref(), now);
    let yardstick = Yardstick {
        kind: policy.kind,
        cluster: cluster.as_deref(),
        settled_view: latest_view
            .filter(|(_, since)| now.saturating_duration_since(*since) >= VIEW_SETTLES)
            .map(|(view, _)| view),
    };
    let known =
        if cluster == previous.cluster { previous.agreement.clone() } else { Agreement::Unknown };
    let agreement = known.after(views, cluster.as_deref());
    let verdict = |view: &NodeView| match judge(view, yardstick) {
        // The node has not been asked since, or does not know the new membership yet.
        verdict if verdict.class().is_some() && is_thrown_out(view, views) => {
            Verdict::Unusable(Reason::Left)
        }
        verdict => agreement.applied(view.address, verdict),
    };
    let verdicts: BTreeMap<_, _> = views.iter().map(|view| (view.address, verdict(view))).collect();
    let pinned = pinned(previous, agreement.pin(), now);
    let choice = Choice { previous, views, verdicts: &verdicts, now };
    let (primary, proposal, cause) = match (&agreement, &cluster) {
        (Agreement::Pinned(pin), Some(cluster)) => {
            let patience = patience(policy.path_timeout, &pinned, now);
            let agreed = choice.agreed(pin.as_ref(), patience, &pinned, now);
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
            let primary = choice.primary(policy, now);
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
        pinned,
        cluster,
        latest_view,
    }
}

/// A pin of late.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Known {
    epoch: u64,
    /// Since when we know of it.
    since: Instant,
    /// Whoever changed it heard nothing from the node before; others may have.
    for_silence: bool,
}

impl Known {
    fn of(pin: &Pin, now: Instant) -> Self {
        let for_silence = pin.reason.ends_with(&Reason::Silent.to_string());
        Self { epoch: pin.epoch, since: now, for_silence }
    }

    fn is_recent(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.since) < RECENT
    }
}

/// The pins of late, the latest last.
fn pinned(previous: &Decision, pin: Option<&Pin>, now: Instant) -> Vec<Known> {
    let latest = previous.pinned.last();
    let kept = |known: &&Known| known.is_recent(now) || Some(*known) == latest;
    let mut pinned: Vec<_> = previous.pinned.iter().filter(kept).copied().collect();
    if let Some(pin) = pin
        && pinned.last().is_none_or(|known| known.epoch != pin.epoch)
    {
        pinned.push(Known::of(pin, now));
    }
    pinned
}

/// How long to wait for a pinned node that is silent to us alone. Two proxies of which each reaches
/// another node would take the pin from each other for ever: so the wait doubles with each change of late that
/// was made for silence.
fn patience(path_timeout: Duration, pinned: &[Known], now: Instant) -> Duration {
    let counts = |known: &&Known| known.for_silence && known.is_recent(now);
    let changes = pinned.iter().filter(counts).count().min(MOST_DOUBLED);
    path_timeout * (1 << changes)
}

/// Consequences of the pin.
struct Agreed {
    primary: Option<NodeAddr>,
    /// The node to pin instead, and why.
    wanted: Option<(NodeAddr, Cause)>,
    cause: Cause,
}

struct Choice<'a> {
    previous: &'a Decision,
    views: &'a [NodeView],
    verdicts: &'a BTreeMap<NodeAddr, Verdict>,
    now: Instant,
}

impl Choice<'_> {
    /// Writes go to the pinned node or nowhere: what this proxy would rather have is a proposal.
    fn agreed(
        &self,
        pin: Option<&Pin>,
        patience: Duration,
        pinned: &[Known],
        now: Instant,
    ) -> Agreed {
        let Some(pin) = pin else { return self.unset() };
        let cause = match &self.previous.proposal {
            Some(proposal) if proposal.became(pin) => proposal.cause.clone(),
            _ if self.previous.primary == Some(pin.node) => self.previous.cause.clone(),
            _ => Cause::Pinned { by: pin.by.clone(), reason: pin.reason.clone() },
        };
        let stays = |primary| Agreed { primary, wanted: None, cause: cause.clone() };
        let since = pinned.last().map_or(now, |known| known.since);
        let Some(view) = self.view(pin.node) else {
            // Nobody has told us of it yet, or it is called otherwise here.
            let waited = now.saturating_duration_since(since) >= patience;
            return if waited { self.instead(pin.node, Reason::Forgotten) } else { stays(None) };
        };
        match self.verdicts.get(&pin.node) {
            Some(Verdict::Usable) => stays(Some(pin.node)),
            Some(Verdict::LastResort(reason)) => match self.better_than(view) {
                Some(best) => {
                    let cause = Cause::Preferred { node: pin.node, reason: reason.clone() };
                    Agreed {
                        primary: Some(pin.node),
                        wanted: Some((best.address, cause)),
                        cause: self.previous.cause.clone(),
                    }
                }
                None => stays(Some(pin.node)),
            },
            // The proxy that pinned the node may know more than our last probe.
            _ if view.asked.is_none_or(|asked| asked < since) && !view.is_silent() => stays(None),
            Some(Verdict::Unusable(Reason::Lost(_) | Reason::Silent))
                if self.is_worth_waiting_for(view, since, patience, now) =>
            {
                stays(Some(pin.node))
            }
            Some(Verdict::Unusable(reason)) => {
                let agreed = self.instead(pin.node, reason.clone());
                let gains = |(best, _): &(NodeAddr, Cause)| self.gains(view, *best);
                Agreed { wanted: agreed.wanted.filter(gains), ..agreed }
            }
            None => stays(None),
        }
    }

    /// The first pin of a cluster: what we have, or would choose.
    fn unset(&self) -> Agreed {
        let has_class =
            |node: &NodeAddr| self.view(*node).is_some_and(|view| self.class(view).is_some());
        let primary = self.previous.primary.filter(has_class);
        let best = if self.is_start() { None } else { self.best(None).map(|view| view.address) };
        let wanted = primary.or(best).map(|node| (node, Cause::Elected));
        Agreed { primary, wanted, cause: self.previous.cause.clone() }
    }

    /// `node` is nobody's primary until another is agreed on.
    fn instead(&self, node: NodeAddr, reason: Reason) -> Agreed {
        let cause = Cause::Lost { node, reason };
        let wanted = self.best(Some(node)).map(|best| (best.address, cause.clone()));
        Agreed { primary: None, wanted, cause }
    }

    fn primary(&self, policy: Policy, now: Instant) -> Option<NodeAddr> {
        let best = self.best(None);
        let Some(current) = self.previous.primary.and_then(|node| self.view(node)) else {
            return if self.is_start() {
                None
            } else {
                self.last(best).or(best).map(|v| v.address)
            };
        };
        // Without a pin nobody else moves it.
        let since = now.checked_sub(RECENT).unwrap_or(now);
        match self.verdicts.get(&current.address)? {
            Verdict::Usable => Some(current.address),
            Verdict::LastResort(_) => {
                Some(self.better_than(current).map_or(current.address, |best| best.address))
            }
            Verdict::Unusable(Reason::Lost(_) | Reason::Silent)
                if self.is_worth_waiting_for(current, since, policy.path_timeout, now) =>
            {
                Some(current.address)
            }
            Verdict::Unusable(_) => best.map(|view| view.address),
        }
    }

    /// The node to choose if nothing spoke for the one we have, and not `without`. It must have answered just now:
    /// silence is forgiven only where a move would cost something.
    fn best(&self, without: Option<NodeAddr>) -> Option<&NodeView> {
        self.views
            .iter()
            .filter(|view| Some(view.address) != without)
            .filter(|view| view.contact == Contact::Answering && self.class(view).is_some())
            .min_by(|a, b| {
                let reached = |view: &NodeView| self.reaching(view.address);
                (self.class(a).cmp(&self.class(b)))
                    .then_with(|| reached(b).cmp(&reached(a)))
                    .then_with(|| by_preference(a, b))
            })
    }

    /// How many other proxies reach `node`.
    fn reaching(&self, node: NodeAddr) -> usize {
        self.previous.peers.reaching(node, self.now)
    }

    /// Whether more proxies could go to `best` than to `pinned`, if only ways are broken. With `best` we are one
    /// more ourselves.
    fn gains(&self, pinned: &NodeView, best: NodeAddr) -> bool {
        let may_be_the_way =
            matches!(pinned.contact, Contact::Denied { .. } | Contact::Silent { .. });
        !may_be_the_way
            || is_thrown_out(pinned, self.views)
            || self.reaching(best) + 1 > self.reaching(pinned.address)
    }

    /// The best node, if it is of a better class than `current`.
    fn better_than(&self, current: &NodeView) -> Option<&NodeView> {
        self.best(None).filter(|best| self.class(best) < self.class(current))
    }

    /// The last primary, if it is no worse than `best`.
    fn last(&self, best: Option<&NodeView>) -> Option<&NodeView> {
        let last = self.view(self.previous.last_primary?)?;
        let as_good = last.contact == Contact::Answering
            && self.class(last).is_some()
            && self.class(last) <= best.and_then(|best| self.class(best));
        as_good.then_some(last)
    }

    fn is_start(&self) -> bool {
        self.previous.last_primary.is_none() && self.views.iter().any(|view| view.is_pending())
    }

    /// A silent primary may be alive behind a broken path, and one that turns our probe away may
    /// serve everybody else. It is given time, from when it became the primary or last answered one of our clients on,
    /// unless the cluster itself has thrown it out.
    fn is_worth_waiting_for(
        &self,
        primary: &NodeView,
        pinned: Instant,
        patience: Duration,
        now: Instant,
    ) -> bool {
        let (Contact::Denied { since, .. } | Contact::Silent { since, .. }) = primary.contact
        else {
            return false;
        };
        let vouched = primary.vouched.filter(|_| matches!(primary.contact, Contact::Silent { .. }));
        // Not for ever: nobody else may be let in there.
        let vouched = vouched.map(|vouched| vouched.min(since + patience * MOST_VOUCHED));
        let since = vouched.map_or(since, |vouched| since.max(vouched));
        now.saturating_duration_since(since.max(pinned)) < patience
            && !is_thrown_out(primary, self.views)
    }

    fn cause(&self, primary: Option<NodeAddr>) -> Cause {
        match (self.previous.primary, primary) {
            (None, None) => self.previous.cause.clone(),
            (None, Some(_)) if self.previous.last_primary.is_none() => Cause::Elected,
            (None, Some(_)) if primary == self.previous.last_primary => Cause::Returned,
            (None, Some(_)) => self.previous.cause.clone(),
            (Some(_), _) if primary == self.previous.primary => self.previous.cause.clone(),
            (Some(node), _) => match self.verdicts.get(&node) {
                Some(Verdict::LastResort(reason)) => {
                    Cause::Preferred { node, reason: reason.clone() }
                }
                Some(Verdict::Unusable(reason)) => Cause::Lost { node, reason: reason.clone() },
                Some(Verdict::Usable) | None => Cause::Lost { node, reason: Reason::Forgotten },
            },
        }
    }

    fn class(&self, view: &NodeView) -> Option<u8> {
        self.verdicts.get(&view.address)?.class()
    }

    fn view(&self, address: NodeAddr) -> Option<&NodeView> {
        self.views.iter().find(|view| view.address == address)
    }
}

/// Whether a later membership than the last one that `node` told us of is without it. Members go by the
/// addresses of their own configuration, which need not be ours: so this tells something only of a node
/// that was on its own list.
fn is_thrown_out(node: &NodeView, views: &[NodeView]) -> bool {
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
fn our_cluster(previous: &Decision, views: &[NodeView]) -> Option<String> {
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

    let known = previous.cluster.as_deref();
    let Some((first, votes)) = clusters.first().copied() else {
        return previous.cluster.clone();
    };
    let known_answers = clusters.iter().any(|(cluster, _)| Some(*cluster) == known);
    let all_heard = !views.iter().any(NodeView::is_pending);
    let adopt = votes * 2 > views.len() || (known.is_none() && all_heard);
    if adopt && !known_answers { Some(first.to_owned()) } else { previous.cluster.clone() }
}

/// The latest membership that any node of our cluster knows of, and since when.
fn latest_view(
    previous: &Decision,
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
    let known = previous.latest_view.filter(|(view, _)| *view == latest);
    Some(known.unwrap_or((latest, now)))
}

/// How long a change of the pin counts against the next one.
const RECENT: Duration = Duration::from_secs(600);

/// How often the wait for a silent node doubles at most.
const MOST_DOUBLED: usize = 6;

/// For how many times the wait clients may speak for a node that answers no probe.
const MOST_VOUCHED: u32 = 10;

/// How long a node may lag behind the latest membership. All members take on a new one at the same
/// point of the same order of events, but the appliers that get there may be busy.
const VIEW_SETTLES: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests;

#[cfg(test)]
mod pinned;

#[cfg(test)]
mod simulation;
