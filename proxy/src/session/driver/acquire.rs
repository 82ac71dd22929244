//! A client waits, connected, because no primary is usable; and how it gets a link when one is.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::time::{Instant, sleep, sleep_until, timeout};

use crate::cluster::NodeAddr;
use crate::session::driver::end::End;
use crate::session::driver::{MOST_HELD, Session};
use crate::session::link::Link;
use crate::session::link::dial::LinkError;
use crate::session::shared::directives::Phase;
use crate::session::shared::registry::SessionPhase;
use crate::session::state::link_facts::{Freshness, LinkFacts};
use crate::telemetry::metrics::{LinkLoss, Present, RecoveryPhase};

/// Outcome of a try to open a link.
enum Tried {
    /// The link is there.
    Linked,
    /// Another node is to be tried.
    Another,
    /// Nothing came of it.
    Failed,
}

impl Session {
    /// Opens a link to the primary, and waits for one as long as it takes, up to `failover.hold`.
    /// Meanwhile the client's bytes stay where they are.
    ///
    /// # Errors
    /// The client went away, a node refused it, or nothing became usable in time.
    pub(in crate::session) async fn hold(&mut self) -> Result<(), End> {
        let started = Instant::now();
        let mut held = None;
        let mut pause = FIRST_RETRY;
        self.rest_after_failures().await;
        loop {
            let directives = self.directives.latest().clone();
            // One that has a transaction or a command to do again goes on for as long as the daemon does.
            let owes = self.loss.is_some() && self.machine.wants_link();
            if directives.phase != Phase::Serving && (!owes || directives.phase == Phase::Closing) {
                return Err(End::Drained);
            }
            let idle =
                !self.machine.wants_link() && self.waiting.is_none() && !self.has_long_command();
            self.begin_wait_unless(self.client_waits());
            let wanted =
                |node: &NodeAddr| !idle || self.loss.is_some_and(|loss| loss.node == *node);
            let destination = self.destination(&directives.topology);
            if let Some(node) = destination.filter(wanted) {
                match self.try_node(node).await? {
                    Tried::Linked => {
                        if held.take().is_some() {
                            let waited = started.elapsed();
                            tracing::info!(session = %self.entry.id(), %node, ?waited, "released");
                        }
                        if idle {
                            // Nothing was under way: there is nothing to recover from.
                            self.loss = None;
                        }
                        self.leaving = false;
                        return Ok(());
                    }
                    Tried::Another => continue,
                    Tried::Failed => {}
                }
            }
            if idle {
                // Nothing waits: it was only to be known why the link was closed.
                if let Some(loss) = &mut self.loss {
                    loss.closed = false;
                }
                return Ok(());
            }
            if held.is_none() {
                self.entry.set_state(SessionPhase::Held);
                held = Some(Present::enter(&self.context.metrics.held));
                tracing::info!(session = %self.entry.id(), "held: no usable primary");
            }
            if let Some(loss) = &mut self.loss {
                loss.enter(RecoveryPhase::Detect);
            }
            pause = self.wait_for_node(started, pause, destination.is_some()).await?;
        }
    }

    /// Keeps a session from asking a node that takes logins and nothing else as fast as that can refuse.
    async fn rest_after_failures(&mut self) {
        let Some(again) = self.loss.map(|loss| loss.again).filter(|again| *again > 0) else {
            return;
        };
        let rest = jittered((FIRST_RETRY * again).min(LAST_RETRY));
        tokio::select! {
            () = self.directives.changed() => {}
            () = sleep(rest) => {}
        }
    }

    /// Counts the wait of a client that was silent so far from now on.
    fn begin_wait_unless(&mut self, client_waits: bool) {
        if let Some(loss) = &mut self.loss
            && !client_waits
        {
            loss.begins_to_wait();
        }
    }

    /// Tries to open a link to this node.
    ///
    /// # Errors
    /// The node refused the client, or somebody has killed its connection.
    async fn try_node(&mut self, node: NodeAddr) -> Result<Tried, End> {
        if let Some(loss) = &mut self.loss {
            loss.enter(RecoveryPhase::Link);
        }
        let opened = self.open_link_while_wanted(node).await;
        self.was_killed(node, &opened).await?;
        match opened {
            // Another one became the primary while this one answered: what waits must not be
            // written here.
            Ok(()) if self.destination(&self.directives.latest().topology) != Some(node) => {
                self.entry.set_node(None);
                if let Some(link) = self.link.take() {
                    link.quit().await;
                }
                Ok(Tried::Another)
            }
            Ok(()) => Ok(Tried::Linked),
            Err(error) if error.may_retry(self.loss.is_some()) => {
                tracing::debug!(session = %self.entry.id(), %error, "no link yet");
                self.report(node, &error);
                match self.asks_another(node, &error) {
                    true => Ok(Tried::Another),
                    false => Ok(Tried::Failed),
                }
            }
            Err(error) => Err(End::LinkRefused(error)),
        }
    }

    /// Waits for another topology, or for `pause` where there `is_a_node` to ask again. Returns the next pause.
    ///
    /// # Errors
    /// The client went away, or waited for too long.
    async fn wait_for_node(
        &mut self,
        started: Instant,
        pause: Duration,
        is_a_node: bool,
    ) -> Result<Duration, End> {
        let client_waits = self.client_waits();
        let since = self.loss.map_or(started, |loss| loss.since);
        let deadline = since + self.context.limits.hold;
        let may_read = self.client.input.len() < MOST_HELD;
        tokio::select! {
            () = self.directives.changed() => return Ok(FIRST_RETRY),
            () = sleep(jittered(pause)), if is_a_node => return Ok((pause * 2).min(LAST_RETRY)),
            // Nobody reads what would tell us: a client that gave up must not keep its seat.
            () = sleep(LOOK), if !may_read => if self.client.peer_has_closed() {
                return Err(End::ClientGone);
            },
            () = sleep_until(deadline), if client_waits => {
                return Err(End::HoldExpired { held: self.context.limits.hold });
            }
            read = self.client.fill(), if may_read => match read {
                Ok(0) => return Err(End::ClientGone),
                Ok(_) => self.begin_wait_unless(client_waits),
                Err(error) => return Err(End::ClientFailed(error)),
            },
        }
        Ok(pause)
    }

    /// Tells those who watch the nodes how a login at `node` failed.
    pub(in crate::session) fn report(&self, node: NodeAddr, error: &LinkError) {
        match error {
            LinkError::Refused { error, .. } => self.context.cluster.node_error(node, error),
            LinkError::Moved { .. } => {}
            _ => self.context.cluster.suspect(node),
        }
    }

    /// The epoch, if `node` is its primary.
    fn epoch_of(&self, node: NodeAddr) -> Option<u64> {
        let directives = self.directives.latest();
        Some(directives.topology.epoch).filter(|_| directives.topology.primary == Some(node))
    }

    /// Whether the client waits for a reply, and not only its open transaction for a node.
    fn client_waits(&self) -> bool {
        self.machine.is_busy() || self.waiting.is_some() || !self.client.input.is_empty()
    }

    /// A node that closed a link in order, takes a new one, and counts one more KILL than before: somebody
    /// has killed the connection there. That is passed on: who kills a statement does not want it done
    /// again.
    ///
    /// # Errors
    /// [`End::Killed`]
    async fn was_killed(
        &mut self,
        node: NodeAddr,
        opened: &Result<(), LinkError>,
    ) -> Result<(), End> {
        let Some(loss) = &mut self.loss else { return Ok(()) };
        let closed = std::mem::take(&mut loss.closed);
        let (true, Some(before)) = (closed && loss.node == node && opened.is_ok(), loss.kills)
        else {
            return Ok(());
        };
        let now = self.link.as_ref().and_then(|link| link.kills);
        if now.is_none_or(|now| now <= before) || self.context.own_kills.are_recent() {
            return Ok(());
        }
        if let Some(link) = self.link.take() {
            link.quit().await;
        }
        Err(End::Killed { node, said: None })
    }

    /// Opens the link as [`Self::open_link`] does, and gives up as soon as the session is to go elsewhere. A frozen
    /// node accepts connections, and then says nothing.
    async fn open_link_while_wanted(&mut self, node: NodeAddr) -> Result<(), LinkError> {
        let moved = self.until_not_wanted(node);
        tokio::select! {
            opened = self.open_link(node) => opened,
            () = moved => Err(LinkError::Moved { node }),
        }
    }

    /// Opens the link to `node` and tells the machine.
    ///
    /// # Errors
    /// [`LinkError`]; the session has no link then.
    pub(in crate::session) async fn open_link(&mut self, node: NodeAddr) -> Result<(), LinkError> {
        let started = Instant::now();
        let epoch = self.epoch_of(node);
        let standby = self.standby_slot.as_ref().and_then(|standby_slot| standby_slot.take(node));
        let metrics = Arc::clone(&self.context.metrics);
        let (mut link, schema) = match standby {
            Some((link, profile)) => {
                metrics.warm_links_used.increment(1);
                (link, profile.database)
            }
            None => {
                let dial = self.context.dial();
                let mut greeted = self.greeted.take();
                if let Some(other) = greeted.take_if(|greeted| greeted.node != node) {
                    self.context.leave(other);
                }
                let opened = async {
                    let mut link = Link::open(node, &self.profile, &dial, greeted).await?;
                    self.bind(&mut link).await.map(|()| link)
                };
                let link = opened.await.inspect_err(|error: &LinkError| {
                    metrics.links_lost.of(error.loss()).increment(1);
                })?;
                metrics.links_opened.increment(1);
                metrics.link_seconds.record(started.elapsed().as_secs_f64());
                (link, self.profile.database.clone())
            }
        };
        if self.loss.is_some_and(|loss| loss.closed && loss.node == node && loss.kills.is_some()) {
            let counted = timeout(self.context.limits.link_timeout, link.count_kills()).await;
            counted
                .unwrap_or_else(|_| Err(LinkError::TimedOut { node, after: started.elapsed() }))?;
        }
        // One that closed the link has ended its thread.
        let ghost = self.loss.filter(|loss| loss.node == node && !loss.closed);
        // Nothing goes on where a transaction was given up.
        let ghost = ghost.filter(|loss| loss.reason != LinkLoss::Conflict);
        // Numbers begin anew when a server is started again.
        let ghost = ghost.map(|loss| loss.thread);
        let ghost = ghost.filter(|thread| *thread < link.greeting.connection_id);
        if ghost.is_some() {
            self.context.own_kills.note();
        }
        // Once a session has waited for it to catch up, nobody else has to.
        let known = self.context.caught_up.load(Ordering::Relaxed).max(FIRST_EPOCH);
        // A reader waits for that only if it is to, and then with each read.
        let causal = self.context.galera && self.reader.is_none();
        let behind = causal && epoch.is_none_or(|epoch| epoch > known);
        self.catches_up = epoch.filter(|_| causal && (behind || self.loss.is_some()));
        let may_lag = self.arrived(node);
        let facts = link.facts(schema, causal, ghost);
        let freshness = match (behind, may_lag) {
            (true, _) => Freshness::Behind,
            (false, true) => Freshness::Waits,
            (false, false) => Freshness::Current,
        };
        self.machine.link_up(LinkFacts { freshness, ..facts });
        self.entry.set_node(Some(node));
        self.entry.set_thread(link.greeting.connection_id);
        self.link = Some(link);
        // A reader that loses its node takes any other: there is none to keep a link ready at.
        if self.reader.is_none() && self.standby_slot.is_none() {
            let standby_slot = self.context.standby.claim(self.entry.entry(), self.profile.clone());
            self.standby_slot = Some(standby_slot);
        }
        Ok(())
    }
}

/// Between half and one and a half of `pause`: a thousand held clients must not ask a node that is
/// just coming up all at the same moment.
fn jittered(pause: Duration) -> Duration {
    pause.mul_f64(rand::random_range(0.5..1.5))
}

/// Epoch of the first primary since the start of the daemon: no session knows of anything before.
const FIRST_EPOCH: u64 = 1;

/// How soon a primary that refused a link is asked again, at first and at last.
const FIRST_RETRY: Duration = Duration::from_millis(100);
const LAST_RETRY: Duration = Duration::from_secs(1);

/// How often to look whether a held client that is read no further is still there.
const LOOK: Duration = Duration::from_secs(1);
