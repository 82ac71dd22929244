//! A session whose client only reads: where it differs from one that writes.
//!
//! One that writes has no [`Reader`], and nothing here costs it more than to see that.

use std::future::{Future, pending};

use ido_proxy_protocol::error_code::LOCK_WAIT_TIMEOUT;
use tokio::time::{Instant, timeout};

use crate::cluster::{NodeAddr, Topology};
use crate::session::driver::end::End;
use crate::session::driver::{Cause, Session};
use crate::session::link::Link;
use crate::session::link::dial::LinkError;
use crate::session::link::replica::{Reader, is_mute};
use crate::session::shared::directives::Directives;
use crate::telemetry::metrics::LinkLoss;

impl Session {
    /// The node that the session is to work with now: the primary, unless it only reads.
    pub(in crate::session) fn destination(&self, topology: &Topology) -> Option<NodeAddr> {
        match &self.reader {
            Some(reader) => reader.destination(topology, Instant::now()),
            None => topology.primary,
        }
    }

    /// Waits until the session no longer wants a link to `node`.
    pub(in crate::session) fn until_not_wanted(
        &self,
        node: NodeAddr,
    ) -> impl Future<Output = ()> + use<> {
        let mut directives = self.directives.receiver();
        let reader = self.reader.clone();
        async move {
            let moved = |directives: &Directives| match &reader {
                Some(reader) => !reader.wants(node, &directives.topology, Instant::now()),
                None => directives.topology.primary != Some(node),
            };
            // The sender lives as long as the daemon.
            if directives.wait_for(moved).await.is_err() {
                pending::<()>().await;
            }
        }
    }

    /// Whether the session has to give a link to `node` up at once: nothing comes from there any more.
    pub(in crate::session) fn is_left_for_silent(
        &self,
        node: NodeAddr,
        topology: &Topology,
    ) -> bool {
        match &self.reader {
            Some(reader) => {
                let next = reader.destination(topology, Instant::now());
                is_mute(node, topology) && next.is_some_and(|next| next != node)
            }
            None => topology.is_left_for_silent(node),
        }
    }

    /// Whether the session stays where it is although another node is to be preferred: its node still works
    /// for a reader, and what it has cannot be set up elsewhere.
    pub(in crate::session) fn stays(&self) -> bool {
        self.reader.is_some() && self.machine.session.stuck().is_some()
    }

    /// Makes a new link what the session's role asks for.
    ///
    /// # Errors
    /// The link is lost, or the node does not do it.
    pub(in crate::session) async fn bind(&self, link: &mut Link) -> Result<(), LinkError> {
        let Some(reader) = &self.reader else { return Ok(()) };
        let (node, after) = (link.node, self.context.limits.link_timeout);
        let bound = timeout(after, reader.bind(link)).await;
        bound.unwrap_or(Err(LinkError::TimedOut { node, after }))
    }

    /// The session has a link to `node`. Returns whether what it reads there may be waited for too long.
    pub(in crate::session) fn arrived(&mut self, node: NodeAddr) -> bool {
        let Some(reader) = &mut self.reader else { return false };
        let topology = &self.directives.latest().topology;
        reader.arrived(node, topology, Instant::now());
        reader.waits_at(node, topology)
    }

    /// Notes that `node` gave no link, for this reason. Returns whether there is another one to be asked at once.
    pub(in crate::session) fn asks_another(&mut self, node: NodeAddr, error: &LinkError) -> bool {
        let Some(reader) = &mut self.reader else { return false };
        let (topology, now) = (&self.directives.latest().topology, Instant::now());
        // One that was given up for another one is not to blame.
        if !matches!(error, LinkError::Moved { .. }) {
            reader.shun(node, now);
        }
        let next = reader.destination(topology, now);
        next.is_some_and(|next| !reader.shuns(next, now))
    }

    /// The link to `node` was lost. One that was closed in order is asked once more, since somebody may have
    /// killed the connection.
    pub(in crate::session) fn lost_at(&mut self, node: NodeAddr, cause: &Cause, closed: bool) {
        let Some(reader) = &mut self.reader else { return };
        match cause {
            // The reader has waited for long. The primary is the one that need not wait.
            Cause::Said(error) if error.code == LOCK_WAIT_TIMEOUT => {
                reader.shun_others(&self.directives.latest().topology, Instant::now());
            }
            Cause::Left(_) => {}
            _ if closed => {}
            _ => reader.shun(node, Instant::now()),
        }
    }

    /// The reason to count for the loss of a link.
    pub(in crate::session) fn reason(&self, cause: &Cause) -> LinkLoss {
        match cause.loss() {
            LinkLoss::PrimaryChanged if self.reader.is_some() => LinkLoss::ReaderMoved,
            loss => loss,
        }
    }

    /// When to look anew where the session should be, though nothing has changed.
    pub(in crate::session) fn look_at(&self) -> Option<Instant> {
        self.reader.as_ref().and_then(Reader::look_at)
    }

    /// The time to look has come.
    pub(in crate::session) fn look(&mut self) -> Result<(), End> {
        if let Some(reader) = &mut self.reader {
            reader.looked();
        }
        self.apply_directives()
    }
}

#[cfg(test)]
mod tests;
