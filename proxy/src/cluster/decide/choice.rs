//! Choice of the primary: what the rule makes of the verdicts, with a pin and without one.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::time::Instant;

use super::decision::Decision;
use super::membership::is_thrown_out;
use super::rank::by_preference;
use super::recent_pins::RECENT;
use crate::cluster::model::cause::Cause;
use crate::cluster::model::node_addr::NodeAddr;
use crate::cluster::model::node_view::{Contact, NodeView};
use crate::cluster::model::pin::Pin;
use crate::cluster::model::verdict::{Reason, Verdict};

/// Consequences of the pin.
pub(super) struct Agreed {
    /// The node that writes go to.
    pub(super) primary: Option<NodeAddr>,
    /// The node to pin instead, and why.
    pub(super) wanted: Option<(NodeAddr, Cause)>,
    /// Why the primary is what it is.
    pub(super) cause: Cause,
}

/// Choice of a primary among nodes that are judged already.
pub(super) struct Choice<'a> {
    /// The decision before.
    pub(super) previous: &'a Decision,
    /// The views of all nodes.
    pub(super) views: &'a [NodeView],
    /// The verdict on each node.
    pub(super) verdicts: &'a BTreeMap<NodeAddr, Verdict>,
    /// When.
    pub(super) now: Instant,
}

impl Choice<'_> {
    /// Writes go to the pinned node or nowhere: what this proxy would rather have is a proposal. The pin is known
    /// `since` then.
    pub(super) fn agreed(
        &self,
        pin: Option<&Pin>,
        patience: Duration,
        since: Option<Instant>,
    ) -> Agreed {
        let Some(pin) = pin else { return self.unset() };
        let cause = match &self.previous.proposal {
            Some(proposal) if proposal.became(pin) => proposal.cause.clone(),
            _ if self.previous.primary == Some(pin.node) => self.previous.cause.clone(),
            _ => Cause::Pinned { by: pin.by.clone(), reason: pin.reason.clone() },
        };
        let stays = |primary| Agreed { primary, wanted: None, cause: cause.clone() };
        let since = since.unwrap_or(self.now);
        let Some(view) = self.view(pin.node) else {
            // Nobody has told us of it yet, or it is called otherwise here.
            let waited = self.now.saturating_duration_since(since) >= patience;
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
                if self.is_worth_waiting_for(view, since, patience) =>
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

    /// The primary where there is no pin.
    pub(super) fn primary(&self, path_timeout: Duration) -> Option<NodeAddr> {
        let best = self.best(None);
        let Some(current) = self.previous.primary.and_then(|node| self.view(node)) else {
            return if self.is_start() {
                None
            } else {
                self.last(best).or(best).map(|v| v.address)
            };
        };
        // Without a pin nobody else moves it.
        let since = self.now.checked_sub(RECENT).unwrap_or(self.now);
        match self.verdicts.get(&current.address)? {
            Verdict::Usable => Some(current.address),
            Verdict::LastResort(_) => {
                Some(self.better_than(current).map_or(current.address, |best| best.address))
            }
            Verdict::Unusable(Reason::Lost(_) | Reason::Silent)
                if self.is_worth_waiting_for(current, since, path_timeout) =>
            {
                Some(current.address)
            }
            Verdict::Unusable(_) => best.map(|view| view.address),
        }
    }

    /// The node to choose if nothing spoke for the one we have, and not `without`. It must have answered just now:
    /// silence is forgiven only where a move would cost something.
    pub(super) fn best(&self, without: Option<NodeAddr>) -> Option<&NodeView> {
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
    ) -> bool {
        let (Contact::Denied { since, .. } | Contact::Silent { since, .. }) = primary.contact
        else {
            return false;
        };
        let reported_alive =
            primary.reported_alive.filter(|_| matches!(primary.contact, Contact::Silent { .. }));
        // Not for ever: nobody else may be let in there.
        let reported_alive = reported_alive
            .map(|reported_alive| reported_alive.min(since + patience * MOST_REPORTED));
        let since = reported_alive.map_or(since, |reported_alive| since.max(reported_alive));
        self.now.saturating_duration_since(since.max(pinned)) < patience
            && !is_thrown_out(primary, self.views)
    }

    /// Why `primary` is the primary, where there is no pin.
    pub(super) fn cause(&self, primary: Option<NodeAddr>) -> Cause {
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

/// For how many times the wait clients may speak for a node that answers no probe.
const MOST_REPORTED: u32 = 10;
