//! Links that lie ready, logged in, at the node that would be the next primary: what a session does
//! after the loss of its link begins with its first word there, and not with a connection and a login.
//!
//! They are opened one after the other, the busiest sessions' first, and never more than
//! [`MOST_WARM`] for a worker: a node that is about to be needed must not be filled with links that nobody
//! uses. What a session is not served from here it opens for itself.

use std::collections::BTreeMap;
use std::mem;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use metrics::Gauge;
use tokio::sync::watch;

use crate::cluster::{NodeAddr, Topology};
use crate::session::link::Link;
use crate::session::link::dial::{Dial, Profile};
use crate::session::shared::directives::{Directives, Phase};
use crate::session::shared::registry::{SessionEntry, SessionId};
use crate::session::transport::timer::Clock;
use crate::telemetry::metrics::Present;

/// The warm links of one worker's sessions.
#[derive(Debug, Default)]
pub(crate) struct StandbyPool {
    slots: Mutex<StandbySlots>,
}

#[derive(Debug, Default)]
struct StandbySlots {
    taken: BTreeMap<SessionId, Place>,
    /// At most one for each of them, and [`MOST_WARM`] at all: there may be thousands of sessions.
    standby: Vec<(SessionId, Standby)>,
    /// Links of sessions that ended; to be closed in order.
    left: Vec<Standby>,
}

impl StandbySlots {
    fn has_warm(&self, session: SessionId) -> bool {
        self.standby.iter().any(|(owner, _)| *owner == session)
    }

    /// Takes out the link of this session, if it is `wanted`.
    fn take(&mut self, session: SessionId, wanted: impl Fn(&Standby) -> bool) -> Option<Standby> {
        let mine = |(owner, standby): &(SessionId, Standby)| *owner == session && wanted(standby);
        let place = self.standby.iter().position(mine)?;
        Some(self.standby.swap_remove(place).1)
    }
}

#[derive(Debug)]
struct Place {
    entry: Arc<SessionEntry>,
    profile: Profile,
}

/// A link nobody uses yet.
#[derive(Debug)]
struct Standby {
    link: Link,
    /// Profile that the link was logged in with.
    profile: Profile,
    _counted: Present,
}

/// One session's claim to a warm link, for as long as it lives.
#[derive(Debug)]
pub(in crate::session) struct StandbySlot {
    links: Arc<StandbyPool>,
    id: SessionId,
}

impl StandbySlot {
    /// The link that lies ready at `node`, and how it was logged in.
    pub(in crate::session) fn take(&self, node: NodeAddr) -> Option<(Link, Profile)> {
        let mut slots = self.links.lock();
        let standby = slots.take(self.id, |standby| standby.link.node == node)?;
        if standby.link.wire.peer_has_closed() {
            slots.left.push(standby);
            return None;
        }
        Some((standby.link, standby.profile))
    }
}

impl Drop for StandbySlot {
    fn drop(&mut self) {
        let mut slots = self.links.lock();
        slots.taken.remove(&self.id);
        let standby = slots.take(self.id, |_| true);
        slots.left.extend(standby);
    }
}

impl StandbyPool {
    /// Gives the session of `entry`, which logs in as `profile` says, a seat.
    pub(in crate::session) fn claim(
        self: &Arc<Self>,
        entry: Arc<SessionEntry>,
        profile: Profile,
    ) -> StandbySlot {
        let id = entry.id();
        self.lock().taken.insert(id, Place { entry, profile });
        StandbySlot { links: Arc::clone(self), id }
    }

    /// Opens and closes them, on the worker that they belong to, until `directives` end.
    pub(in crate::session) async fn keep(
        self: Arc<Self>,
        opener: StandbyOpener,
        directives: watch::Receiver<Directives>,
    ) {
        let mut phase = directives.clone();
        let ends = phase.wait_for(|directives| directives.phase != Phase::Serving);
        tokio::select! {
            _ = ends => {}
            () = self.heat_on(&opener, &directives) => {}
        }
        let all = self.take_unwanted(&Topology::default(), true);
        self.close(all).await;
    }

    async fn heat_on(&self, opener: &StandbyOpener, directives: &watch::Receiver<Directives>) {
        loop {
            let topology = Arc::clone(&directives.borrow().topology);
            self.close(self.take_unwanted(&topology, false)).await;
            opener.clock.sleep(self.heat(opener, &topology).await).await;
        }
    }

    async fn close(&self, unwanted: Vec<Standby>) {
        for standby in unwanted {
            standby.link.quit().await;
        }
    }

    /// Opens the link that is wanted most, and says how long to rest then.
    async fn heat(&self, opener: &StandbyOpener, topology: &Topology) -> Duration {
        let Some(node) = topology.next.filter(|node| topology.has_room(*node)) else {
            return LOOK;
        };
        let Some((id, profile)) = self.most_wanted() else { return LOOK };
        match Link::open(node, &profile, &opener.dial, None).await {
            Ok(link) => {
                let standby = Standby { link, profile, _counted: Present::enter(&opener.count) };
                self.put(id, standby);
                PACE
            }
            Err(error) => {
                tracing::debug!(session = %id, %error, "no link lies ready");
                REST
            }
        }
    }

    /// The session without a warm link that did something last, if that is not long ago.
    fn most_wanted(&self) -> Option<(SessionId, Profile)> {
        let slots = self.lock();
        if slots.standby.len() >= MOST_WARM {
            return None;
        }
        let idle = slots.taken.iter().map(|(id, place)| (place.entry.idle_for(), *id, place));
        let active = idle.filter(|(idle, ..)| *idle < ACTIVE);
        let cold = active.filter(|(_, id, _)| !slots.has_warm(*id));
        let (_, id, place) = cold.min_by_key(|(idle, id, _)| (*idle, *id))?;
        Some((id, place.profile.clone()))
    }

    /// How many lie ready.
    #[cfg(test)]
    pub(in crate::session) fn count(&self) -> usize {
        self.lock().standby.len()
    }

    /// Keeps `standby` for its session, if that is still there.
    fn put(&self, id: SessionId, standby: Standby) {
        let mut slots = self.lock();
        if slots.taken.contains_key(&id) {
            slots.standby.push((id, standby));
        } else {
            slots.left.push(standby);
        }
    }

    /// The links that are of no use any more: of sessions that ended, closed by the node, at a node that is
    /// neither the primary nor the next one. A session that has not spoken since the primary changed has
    /// its link at the primary.
    fn take_unwanted(&self, topology: &Topology, all: bool) -> Vec<Standby> {
        let mut slots = self.lock();
        let mut unwanted = mem::take(&mut slots.left);
        let known = topology.primary.is_some() && topology.next.is_some();
        let useless = slots.standby.extract_if(.., |(_, standby)| {
            let node = Some(standby.link.node);
            let elsewhere = known && node != topology.primary && node != topology.next;
            all || elsewhere || standby.link.wire.peer_has_closed()
        });
        unwanted.extend(useless.map(|(_, standby)| standby));
        unwanted
    }

    fn lock(&self) -> MutexGuard<'_, StandbySlots> {
        self.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Means to open warm links.
#[derive(Clone, Debug)]
pub(in crate::session) struct StandbyOpener {
    /// The worker's.
    pub(in crate::session) dial: Dial,
    /// How many lie ready.
    pub(in crate::session) count: Gauge,
    /// Clock for the pause between two of them.
    pub(in crate::session) clock: Clock,
}

/// The most of them that one worker keeps.
const MOST_WARM: usize = 16;

/// From one that is opened to the next.
const PACE: Duration = Duration::from_millis(100);

/// How often to look whether one is wanted.
const LOOK: Duration = Duration::from_millis(500);

/// After a node did not let us in.
const REST: Duration = Duration::from_secs(10);

/// A session that has done nothing for so long has none kept for it.
const ACTIVE: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests;
