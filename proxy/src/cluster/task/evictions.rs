//! Evictions of dead nodes: begins them, one at a time, and clears the lists behind them.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use tokio_util::task::{AbortOnDropHandle, TaskTracker};

use crate::cluster::control::control_tables::ControlTables;
use crate::cluster::control::eviction::{Evicted, JOIN_PERIOD, clear, evict};
use crate::cluster::decide::death::{Dead, dead, lists_to_clear};
use crate::cluster::decide::decision::Decision;
use crate::cluster::model::node_addr::NodeAddr;
use crate::cluster::model::node_view::NodeView;

/// Evictions of one cluster.
#[derive(Debug)]
pub(super) struct Evictions {
    tables: Arc<ControlTables>,
    tasks: TaskTracker,
    /// The attempt that is under way, or was the last one.
    attempt: Option<Attempt>,
    clearing: Option<AbortOnDropHandle<()>>,
    /// Value of `evs.join_retrans_period` at each node before an eviction.
    periods: BTreeMap<NodeAddr, Duration>,
}

#[derive(Debug)]
struct Attempt {
    dead: Dead,
    begun: Instant,
    task: AbortOnDropHandle<()>,
}

impl Evictions {
    /// None so far.
    pub(super) fn new(tables: Arc<ControlTables>, tasks: TaskTracker) -> Self {
        Self { tables, tasks, attempt: None, clearing: None, periods: BTreeMap::new() }
    }

    /// Begins what is to be done, if anything is.
    pub(super) fn pursue(&mut self, decision: &Decision, views: &[NodeView], now: Instant) {
        self.clear_lists(decision, views, now);
        let Some(dead) = dead(views, decision.cluster()) else { return };
        let again = |last: &Attempt| {
            let waited = now.saturating_duration_since(last.begun) >= AGAIN_AFTER;
            last.task.is_finished() && (last.dead.process != dead.process || waited)
        };
        if !self.attempt.as_ref().is_none_or(again) {
            return;
        }
        // Another eviction, or another proxy, may have shortened it a moment ago.
        self.periods.extend(dead.survivors.iter().filter(|(_, period)| **period != JOIN_PERIOD));
        let (tables, asked) = (Arc::clone(&self.tables), dead.clone());
        let task =
            self.tasks.spawn(async move { report(&asked, evict(tables, asked.clone()).await) });
        self.attempt = Some(Attempt { dead, begun: now, task: AbortOnDropHandle::new(task) });
    }

    /// A process on the list cannot come back, which one that was frozen may want.
    fn clear_lists(&mut self, decision: &Decision, views: &[NodeView], now: Instant) {
        let Some((cluster, (view_id, since))) = decision.cluster().zip(decision.latest_view())
        else {
            return;
        };
        if now.saturating_duration_since(since) < VIEW_STANDS
            || self.clearing.as_ref().is_some_and(|task| !task.is_finished())
        {
            return;
        }
        let nodes = lists_to_clear(views, cluster, view_id);
        if !nodes.is_empty() {
            let period = |node| self.periods.get(&node).copied().unwrap_or(USUAL_PERIOD);
            let nodes = nodes.into_iter().map(|node| (node, period(node))).collect();
            let task = self.tasks.spawn(clear(Arc::clone(&self.tables), nodes));
            self.clearing = Some(AbortOnDropHandle::new(task));
        }
    }
}

fn report(dead: &Dead, outcome: Evicted) {
    let Dead { node, process, .. } = dead;
    match outcome {
        Evicted::Gone(took) => tracing::warn!(
            %node, process, ?took,
            "node is dead, and its cluster was told to go on without it (failover.evict)"
        ),
        Evicted::Lives(why) => tracing::warn!(%node, why, "node refuses, and is not evicted"),
        Evicted::Unprepared => tracing::warn!(
            %node,
            "node is dead, and its cluster waits for seconds until it suspects it: no procedure to evict it; \
             run the SQL of ido-proxy setup again"
        ),
        Evicted::Untold(error) => {
            tracing::warn!(%node, %error, "node is dead, and nobody could be told");
        }
    }
}

/// When an attempt that came to nothing is made again.
const AGAIN_AFTER: Duration = Duration::from_millis(500);

/// How long a view stands before the lists are cleared.
const VIEW_STANDS: Duration = Duration::from_secs(1);

/// Galera's default of `evs.join_retrans_period`, for a list that an earlier run of a proxy has left.
const USUAL_PERIOD: Duration = Duration::from_secs(1);
