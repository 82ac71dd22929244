//! The last decisions, each with what it was made from: for an operator who asks next morning why.

use std::collections::VecDeque;
use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::Serialize;

use super::decision::Decision;
use crate::cluster::model::node_addr::NodeAddr;
use crate::cluster::model::node_view::NodeView;
use crate::cluster::model::report::NodeState;

/// The last decisions, the latest last.
#[derive(Debug, Default)]
pub(crate) struct History(Mutex<VecDeque<Decided>>);

/// One decision: a change of the primary, of what is wanted instead, or of what was found of a node.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct Decided {
    /// When, in seconds since 1970.
    pub(crate) at: f64,
    /// The node that writes go to from then on, or null.
    pub(crate) primary: Option<NodeAddr>,
    /// Grows with each change of the primary.
    pub(crate) epoch: u64,
    /// Why the primary is what it is.
    pub(crate) reason: String,
    /// The node proposed to all proxies instead, if any.
    pub(crate) proposal: Option<String>,
    /// The findings about each node, ordered by address.
    pub(crate) nodes: Vec<Found>,
}

/// The finding about one node.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct Found {
    /// Where it listens.
    pub(crate) address: NodeAddr,
    /// `wsrep_node_name`, once the node has told it.
    pub(crate) name: Option<String>,
    /// State of the node by its own report, or by the network's.
    pub(crate) state: NodeState,
    /// Why writes may not go there, or only if there is no other; null if they may.
    pub(crate) reason: Option<String>,
}

/// A time in seconds since 1970, to the millisecond, in UTC.
pub(crate) fn utc(at: f64) -> impl fmt::Display + use<> {
    let since_1970 = Duration::try_from_secs_f64(at).unwrap_or_default();
    humantime::format_rfc3339_millis(UNIX_EPOCH + since_1970)
}

impl History {
    /// Writes `decision`, which was made from `views`, down if it differs from the one `before`.
    pub(crate) fn note(&self, before: &Decision, decision: &Decision, views: &[NodeView]) {
        if is_same(before, decision) {
            return;
        }
        let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let decided = Decided {
            at: since_1970.as_secs_f64(),
            primary: decision.primary,
            epoch: decision.epoch,
            reason: decision.cause.to_string(),
            proposal: decision.proposal.as_ref().map(ToString::to_string),
            nodes: views.iter().map(|view| found(decision, view)).collect(),
        };
        let mut last = self.lock();
        if last.len() == KEPT {
            last.pop_front();
        }
        last.push_back(decided);
    }

    /// All that are kept, the latest last.
    pub(crate) fn snapshot(&self) -> Vec<Decided> {
        self.lock().iter().cloned().collect()
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<Decided>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn is_same(before: &Decision, after: &Decision) -> bool {
    before.primary == after.primary
        && before.epoch == after.epoch
        && before.cause == after.cause
        && before.proposal == after.proposal
        && before.verdicts == after.verdicts
}

fn found(decision: &Decision, view: &NodeView) -> Found {
    let verdict = decision.verdicts.get(&view.address);
    Found {
        address: view.address,
        name: view.name().map(str::to_owned),
        state: view.state(),
        reason: verdict.and_then(|verdict| verdict.reason()).map(ToString::to_string),
    }
}

/// How many are kept.
const KEPT: usize = 100;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::model::cause::Cause;

    /// Otherwise the record of last night's changes is lost by the morning, or fills the memory.
    #[test]
    fn the_last_hundred_changes_are_kept_and_nothing_else() {
        let history = History::default();
        let decision = |epoch| Decision { epoch, ..Decision::default() };
        for epoch in 1..=KEPT as u64 + 20 {
            history.note(&decision(epoch - 1), &decision(epoch), &[]);
            history.note(&decision(epoch), &decision(epoch), &[]);
        }
        let epochs: Vec<_> = history.snapshot().iter().map(|decided| decided.epoch).collect();
        assert_eq!(epochs, (21..=KEPT as u64 + 20).collect::<Vec<_>>());
    }

    /// A proxy that wants another primary and cannot have it would look idle.
    #[test]
    fn another_cause_is_another_decision() {
        let history = History::default();
        let ordered = Decision { cause: Cause::Ordered, ..Decision::default() };
        history.note(&Decision::default(), &ordered, &[]);
        assert_eq!(history.snapshot()[0].reason, "an operator wants it");
    }
}
