//! A link is lost or left, and the session goes on without it, or cannot.

use std::fmt;
use std::io;

use ido_proxy_protocol::err::ErrPacket;
use ido_proxy_protocol::error_code::CONNECTION_KILLED;
use tokio::time::Instant;

use super::Session;
use crate::cluster::NodeAddr;
use crate::session::driver::end::End;
use crate::session::engine::Stuck;
use crate::session::shared::directives::Phase;
use crate::session::shared::failover_stats::Loss;
use crate::telemetry::metrics::LinkLoss;

/// Why a link was lost, or given up.
#[derive(Debug)]
pub(in crate::session) enum Cause {
    /// The session left it itself: what is done again cannot be on it.
    Left(ErrPacket),
    /// The primary is another node now, or the node that a reader uses.
    Moved,
    /// The node said so.
    Said(ErrPacket),
    /// Another node took its place because it is silent.
    Silent,
    /// The socket of the link failed, or was closed.
    Socket(io::Error),
}

impl Cause {
    pub(in crate::session) fn loss(&self) -> LinkLoss {
        match self {
            Self::Left(_) => LinkLoss::Conflict,
            Self::Moved | Self::Silent => LinkLoss::PrimaryChanged,
            Self::Said(_) => LinkLoss::NodeFailed,
            Self::Socket(_) => LinkLoss::Closed,
        }
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Left(why) => write!(f, "{}", String::from_utf8_lossy(&why.message)),
            Self::Moved => f.write_str("another node is to be used now"),
            Self::Said(error) => write!(f, "it said: {error}"),
            Self::Silent => f.write_str("it is silent, and another node took its place"),
            Self::Socket(error) => error.fmt(f),
        }
    }
}

impl Session {
    /// Keeps the ids that the client was told from others, while its transaction may have to be done again.
    pub(super) fn owe_ids(&mut self) {
        let ids = self.machine.session.told_ids();
        if self.machine.session.has_journal() && !ids.is_empty() {
            self.reservation.get_or_insert_with(|| self.context.reserved.reserve(ids.to_vec()));
        }
    }

    /// Lets go of a link that is to be left, if nothing is open on it: the next command takes the next
    /// link. The session itself ends only with the daemon, or if it cannot move.
    pub(super) async fn leave_at_boundary(&mut self) -> Result<(), End> {
        if !self.machine.at_boundary() || !self.client.output.is_empty() {
            return Ok(());
        }
        if self.directives.latest().phase != Phase::Serving {
            return Err(End::Drained);
        }
        if self.stays() {
            return Ok(());
        }
        let Some(link) = self.link.take() else { return Ok(()) };
        self.leaving = false;
        self.reservation = None;
        self.entry.set_node(None);
        self.context.metrics.links_lost.of(self.reason(&Cause::Moved)).increment(1);
        let node = link.node;
        link.quit().await;
        let lost = self.machine.link_lost();
        lost.or_else(|stuck| self.cannot_go_on(node, "is no longer the primary", stuck))
    }

    /// The link is lost, or given up. The session goes on without, if it can.
    pub(in crate::session) fn lose(&mut self, cause: Cause) -> Result<(), End> {
        let Some(link) = self.link.take() else { return Ok(()) };
        let node = link.node;
        match &cause {
            Cause::Left(_) | Cause::Moved | Cause::Silent => {}
            Cause::Said(error) => self.context.cluster.node_error(node, error),
            Cause::Socket(_) => self.context.cluster.suspect(node),
        }
        self.entry.set_node(None);
        // The link was closed under the question what this error meant.
        let said =
            self.machine.asked_about().filter(|_| matches!(cause, Cause::Socket(_))).cloned();
        let killed = said.as_ref().is_some_and(|error| error.code == CONNECTION_KILLED);
        let reason = self.reason(&cause);
        self.context.metrics.links_lost.of(reason).increment(1);
        let thread = link.greeting.connection_id;
        let closed = match &cause {
            Cause::Said(error) => error.code == CONNECTION_KILLED,
            Cause::Socket(error) => killed || error.kind() == END_OF_STREAM && !link.reset,
            Cause::Left(_) | Cause::Moved | Cause::Silent => false,
        };
        let kills = self.directives.latest().topology.kills(node);
        // A command that is tried again waits anew each time, and rests by itself.
        let left = matches!(cause, Cause::Left(_));
        let before = self.loss.filter(|before| !left || before.reason != LinkLoss::Conflict);
        let mut loss = Loss::new(node, thread, reason, closed, before);
        loss.kills = kills;
        if left {
            loss.again = 0;
        }
        self.loss = Some(loss);
        self.lost_at(node, &cause, closed);
        let busy = self.machine.is_busy();
        tracing::info!(session = %self.entry.id(), %node, %cause, busy, "link lost");
        let lost = self.machine.link_lost();
        if self.machine.begins_without_schema() {
            // No statement would lead out of the one that was chosen since.
            self.profile.database = None;
        }
        // The client may have been told more ids since the session was to move.
        self.reservation = None;
        self.owe_ids();
        if lost.is_err() && killed {
            // The node said so, and closed the link: the client cannot go on elsewhere, and hears what it would have.
            self.reservation = None;
            return Err(End::Killed { node, said });
        }
        lost.or_else(|stuck| match stuck {
            Stuck::Released => Err(End::ClientQuit),
            stuck => self.cannot_go_on(node, "was lost", stuck),
        })
    }

    /// Ends the session, at once if a command waits for its reply, else with the next one: a client reads
    /// nothing that it has not asked for.
    fn cannot_go_on(
        &mut self,
        node: NodeAddr,
        cause: &'static str,
        stuck: Stuck,
    ) -> Result<(), End> {
        self.reservation = None;
        let end = End::Stuck { node, cause, stuck };
        if self.machine.is_busy() || self.waiting.is_some() {
            return Err(end);
        }
        tracing::warn!(session = %self.entry.id(), "to end with its next command: {end}");
        self.pending_end = Some(end);
        Ok(())
    }

    pub(super) fn stuck(&self, stuck: Stuck, cause: &'static str) -> End {
        End::Stuck { node: self.last_node(), cause, stuck }
    }

    /// The node that the session has lost and not recovered from, or else its own.
    pub(super) fn last_node(&self) -> NodeAddr {
        let node = self.link.as_ref().map(|link| link.node);
        let node = self.loss.map(|loss| loss.node).or(node);
        node.unwrap_or(NodeAddr::UNKNOWN)
    }

    /// Until when the session may be without a link that works.
    pub(in crate::session) fn hold_deadline(&self) -> Instant {
        let since = self.loss.map_or_else(Instant::now, |loss| loss.since);
        since + self.context.limits.hold
    }
}

/// The node closed the connection in order.
pub(super) const END_OF_STREAM: io::ErrorKind = io::ErrorKind::UnexpectedEof;
