//! How long a command was kept waiting because its link was lost, and by what: for the metrics and for
//! `/status`.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::Serialize;
use tokio::time::Instant;

use crate::cluster::NodeAddr;
use crate::telemetry::metrics::{Label, LinkLoss, RecoveryPhase};

/// A link that was lost, until its session is on its way again.
#[derive(Clone, Copy, Debug)]
pub(in crate::session) struct Loss {
    /// To which node it was.
    pub(in crate::session) node: NodeAddr,
    /// Thread of the link at the node.
    pub(in crate::session) thread: u32,
    /// Why it was lost.
    pub(in crate::session) reason: LinkLoss,
    /// Since when a command has been waiting: from the first loss on, if others followed.
    pub(in crate::session) since: Instant,
    /// The node closed it in order. One that is alive does that when somebody kills the connection,
    /// one that is being shut down does it, and takes no new ones.
    pub(in crate::session) closed: bool,
    /// How often somebody had killed a connection at that node before.
    pub(in crate::session) kills: Option<u64>,
    /// How many links to this node were lost before this one, in a row, since something went on.
    pub(in crate::session) again: u32,
    phase: RecoveryPhase,
    entered: Instant,
    spent: [Duration; RecoveryPhase::NAMES.len()],
}

impl Loss {
    /// Loss of a link to `node`, now. `before` is the loss that the session had not recovered from: the time it took
    /// so far still counts.
    pub(in crate::session) fn new(
        node: NodeAddr,
        thread: u32,
        reason: LinkLoss,
        closed: bool,
        before: Option<Self>,
    ) -> Self {
        let now = Instant::now();
        let fresh = Self {
            node,
            thread,
            reason,
            since: now,
            closed,
            kills: None,
            again: 0,
            phase: RecoveryPhase::Detect,
            entered: now,
            spent: Default::default(),
        };
        let Some(mut before) = before else { return fresh };
        before.spend(now);
        let again = if before.node == node { before.again + 1 } else { 0 };
        Self { since: before.since, spent: before.spent, again, ..fresh }
    }

    /// A command begins to wait only now: the link was lost while none was in hand.
    pub(in crate::session) fn begins_to_wait(&mut self) {
        let fresh = Self::new(self.node, self.thread, self.reason, self.closed, None);
        *self = Self { kills: self.kills, again: self.again, ..fresh };
    }

    /// From now on time is spent on this.
    pub(in crate::session) fn enter(&mut self, phase: RecoveryPhase) {
        if self.phase != phase {
            self.spend(Instant::now());
            self.phase = phase;
        }
    }

    /// The time up to `now` belongs to the phase at hand.
    fn spend(&mut self, now: Instant) {
        self.spent[self.phase.index()] += now.saturating_duration_since(self.entered);
        self.entered = now;
    }

    /// The command is done.
    pub(in crate::session) fn over(mut self) -> Pause {
        let now = Instant::now();
        self.spend(now);
        Pause {
            from: self.node,
            reason: self.reason,
            took: now.saturating_duration_since(self.since),
            phases: self.spent,
        }
    }
}

/// How long one command was kept waiting.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pause {
    /// The node that was lost.
    pub(crate) from: NodeAddr,
    /// Why.
    pub(crate) reason: LinkLoss,
    /// All of it, to the end of the command.
    pub(crate) took: Duration,
    /// Parts of the pause, in the order of [`RecoveryPhase`].
    pub(crate) phases: [Duration; RecoveryPhase::NAMES.len()],
}

/// The last failovers that sessions were carried through.
#[derive(Debug, Default)]
pub(crate) struct Failovers(Mutex<Inner>);

#[derive(Debug, Default)]
struct Inner {
    last: VecDeque<Failover>,
    longest: Duration,
}

/// One change of the node, and what it cost the sessions that had a command under way.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Failover {
    /// When the first session went on, in seconds since 1970.
    pub(crate) at: f64,
    /// The node that was lost.
    pub(crate) from: NodeAddr,
    /// The node on which the sessions went on.
    pub(crate) to: NodeAddr,
    /// Why the first of the links was lost, as in `ido_proxy_links_lost_total`.
    pub(crate) reason: &'static str,
    /// How often the primary had changed by then.
    pub(crate) epoch: u64,
    /// How many sessions had a command under way.
    pub(crate) sessions: u64,
    /// How many transactions were done again.
    pub(crate) replays: u64,
    /// The longest pause of a command, in milliseconds.
    pub(crate) pause_ms: f64,
    /// Parts of the longest pause.
    pub(crate) phases_ms: Phases,
}

/// The parts of a pause, in milliseconds.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct Phases {
    /// Until another primary was known.
    detect: f64,
    /// Until there was a link to it.
    link: f64,
    /// Until the new node had applied all that the lost one had committed.
    wait: f64,
    /// Setting up the session's state.
    restore: f64,
    /// Doing the transaction again.
    replay: f64,
    /// The command itself, on the new node.
    commit: f64,
}

impl Failovers {
    /// Takes in that a session went on, on node `to`. Returns the longest pause so far.
    pub(crate) fn add(&self, pause: &Pause, to: NodeAddr, epoch: u64, replays: u64) -> Duration {
        let mut inner = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        inner.longest = inner.longest.max(pause.took);
        let (from, pause_ms) = (pause.from, millis(pause.took));
        let known = inner
            .last
            .iter_mut()
            .rev()
            .find(|last| (last.from, last.to, last.epoch) == (from, to, epoch));
        if let Some(known) = known {
            known.sessions += 1;
            known.replays += replays;
            if pause_ms > known.pause_ms {
                (known.pause_ms, known.phases_ms) = (pause_ms, Phases::of(pause));
            }
        } else {
            let at = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
            let reason = LinkLoss::NAMES[pause.reason.index()];
            let phases_ms = Phases::of(pause);
            if inner.last.len() == KEPT {
                inner.last.pop_front();
            }
            let at = at.as_secs_f64();
            inner.last.push_back(Failover {
                at,
                from,
                to,
                reason,
                epoch,
                sessions: 1,
                replays,
                pause_ms,
                phases_ms,
            });
        }
        inner.longest
    }

    /// The last ones, the oldest first.
    pub(crate) fn snapshot(&self) -> Vec<Failover> {
        let inner = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        inner.last.iter().cloned().collect()
    }
}

impl Phases {
    fn of(pause: &Pause) -> Self {
        let ms = |phase: RecoveryPhase| millis(pause.phases[phase.index()]);
        Self {
            detect: ms(RecoveryPhase::Detect),
            link: ms(RecoveryPhase::Link),
            wait: ms(RecoveryPhase::Wait),
            restore: ms(RecoveryPhase::Restore),
            replay: ms(RecoveryPhase::Replay),
            commit: ms(RecoveryPhase::Commit),
        }
    }
}

/// To the microsecond.
fn millis(time: Duration) -> f64 {
    time.as_micros() as f64 / 1e3
}

/// How many failovers are remembered.
const KEPT: usize = 50;

#[cfg(test)]
mod tests {
    use super::*;

    fn node(last: u8) -> NodeAddr {
        NodeAddr(([192, 0, 2, last], 3306).into())
    }

    /// An operator would look for the cause of a pause in the wrong place.
    #[tokio::test(start_paused = true)]
    async fn a_pause_is_the_sum_of_its_phases_whatever_is_lost_on_the_way() {
        let first = Loss::new(node(1), 7, LinkLoss::Closed, true, None);
        tokio::time::advance(Duration::from_millis(30)).await;
        let mut loss = Loss::new(node(2), 8, LinkLoss::NodeFailed, false, Some(first));
        tokio::time::advance(Duration::from_millis(5)).await;
        loss.enter(RecoveryPhase::Link);
        tokio::time::advance(Duration::from_millis(2)).await;
        loss.enter(RecoveryPhase::Commit);
        tokio::time::advance(Duration::from_millis(1)).await;
        let pause = loss.over();
        assert_eq!(pause.took, Duration::from_millis(38));
        assert_eq!(pause.phases.iter().sum::<Duration>(), pause.took);
        assert_eq!(pause.phases[RecoveryPhase::Detect.index()], Duration::from_millis(35));
    }

    /// A client that was idle for an hour was not kept waiting for an hour.
    #[tokio::test(start_paused = true)]
    async fn a_session_without_a_command_does_not_wait() {
        let mut loss = Loss::new(node(1), 7, LinkLoss::Closed, true, None);
        tokio::time::advance(Duration::from_secs(3600)).await;
        loss.begins_to_wait();
        tokio::time::advance(Duration::from_millis(3)).await;
        assert_eq!(loss.over().took, Duration::from_millis(3));
    }

    /// A thousand sessions would push all that came before out of the list.
    #[tokio::test(start_paused = true)]
    async fn the_sessions_of_one_failover_are_one_line_with_the_longest_pause() {
        let failovers = Failovers::default();
        for millis in [20, 50, 30] {
            let loss = Loss::new(node(1), 7, LinkLoss::Closed, true, None);
            tokio::time::advance(Duration::from_millis(millis)).await;
            failovers.add(&loss.over(), node(2), 2, 1);
        }
        for epoch in 3..=60 {
            let loss = Loss::new(node(2), 7, LinkLoss::Closed, true, None);
            let longest = failovers.add(&loss.over(), node(1), epoch, 0);
            assert_eq!(longest, Duration::from_millis(50));
            if epoch == 3 {
                let first = &failovers.snapshot()[0];
                assert_eq!((first.sessions, first.replays, first.pause_ms), (3, 3, 50.0));
            }
        }
        assert_eq!(failovers.snapshot().len(), KEPT);
    }
}
