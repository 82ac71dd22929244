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
use crate::session::shared::directives::{Orders, Phase};
use crate::session::shared::registry::{SessionEntry, SessionId};
use crate::session::transport::timer::Clock;
use crate::telemetry::metrics::Present;

/// The warm links of one worker's sessions.
#[derive(Debug, Default)]
pub(crate) struct WarmLinks {
    seats: Mutex<Seats>,
}

#[derive(Debug, Default)]
struct Seats {
    taken: BTreeMap<SessionId, Place>,
    /// At most one for each of them, and [`MOST_WARM`] at all: there may be thousands of sessions.
    warm: Vec<(SessionId, Warm)>,
    /// Links of sessions that ended; to be closed in order.
    left: Vec<Warm>,
}

impl Seats {
    fn has_warm(&self, session: SessionId) -> bool {
        self.warm.iter().any(|(owner, _)| *owner == session)
    }

    /// Takes out the link of this session, if it is `wanted`.
    fn take(&mut self, session: SessionId, wanted: impl Fn(&Warm) -> bool) -> Option<Warm> {
        let mine = |(owner, warm): &(SessionId, Warm)| *owner == session && wanted(warm);
        let place = self.warm.iter().position(mine)?;
        Some(self.warm.swap_remove(place).1)
    }
}

#[derive(Debug)]
struct Place {
    entry: Arc<SessionEntry>,
    profile: Profile,
}

/// A link nobody uses yet.
#[derive(Debug)]
struct Warm {
    link: Link,
    /// Profile that the link was logged in with.
    profile: Profile,
    _counted: Present,
}

/// One session's claim to a warm link, for as long as it lives.
#[derive(Debug)]
pub(in crate::session) struct Seat {
    links: Arc<WarmLinks>,
    id: SessionId,
}

impl Seat {
    /// The link that lies ready at `node`, and how it was logged in.
    pub(in crate::session) fn take(&self, node: NodeAddr) -> Option<(Link, Profile)> {
        let mut seats = self.links.lock();
        let warm = seats.take(self.id, |warm| warm.link.node == node)?;
        if warm.link.wire.peer_has_closed() {
            seats.left.push(warm);
            return None;
        }
        Some((warm.link, warm.profile))
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut seats = self.links.lock();
        seats.taken.remove(&self.id);
        let warm = seats.take(self.id, |_| true);
        seats.left.extend(warm);
    }
}

impl WarmLinks {
    /// Gives the session of `entry`, which logs in as `profile` says, a seat.
    pub(in crate::session) fn seat(
        self: &Arc<Self>,
        entry: Arc<SessionEntry>,
        profile: Profile,
    ) -> Seat {
        let id = entry.id();
        self.lock().taken.insert(id, Place { entry, profile });
        Seat { links: Arc::clone(self), id }
    }

    /// Opens and closes them, on the worker that they belong to, until `orders` end.
    pub(in crate::session) async fn keep(
        self: Arc<Self>,
        heater: Heater,
        orders: watch::Receiver<Orders>,
    ) {
        let mut phase = orders.clone();
        let ends = phase.wait_for(|orders| orders.phase != Phase::Serving);
        tokio::select! {
            _ = ends => {}
            () = self.heat_on(&heater, &orders) => {}
        }
        let all = self.take_unwanted(&Topology::default(), true);
        self.close(all).await;
    }

    async fn heat_on(&self, heater: &Heater, orders: &watch::Receiver<Orders>) {
        loop {
            let topology = Arc::clone(&orders.borrow().topology);
            self.close(self.take_unwanted(&topology, false)).await;
            heater.clock.sleep(self.heat(heater, &topology).await).await;
        }
    }

    async fn close(&self, unwanted: Vec<Warm>) {
        for warm in unwanted {
            warm.link.quit().await;
        }
    }

    /// Opens the link that is wanted most, and says how long to rest then.
    async fn heat(&self, heater: &Heater, topology: &Topology) -> Duration {
        let Some(node) = topology.next.filter(|node| topology.has_room(*node)) else {
            return LOOK;
        };
        let Some((id, profile)) = self.most_wanted() else { return LOOK };
        match Link::open(node, &profile, &heater.dial, None).await {
            Ok(link) => {
                let warm = Warm { link, profile, _counted: Present::enter(&heater.count) };
                self.put(id, warm);
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
        let seats = self.lock();
        if seats.warm.len() >= MOST_WARM {
            return None;
        }
        let idle = seats.taken.iter().map(|(id, place)| (place.entry.idle_for(), *id, place));
        let active = idle.filter(|(idle, ..)| *idle < ACTIVE);
        let cold = active.filter(|(_, id, _)| !seats.has_warm(*id));
        let (_, id, place) = cold.min_by_key(|(idle, id, _)| (*idle, *id))?;
        Some((id, place.profile.clone()))
    }

    /// How many lie ready.
    #[cfg(test)]
    pub(in crate::session) fn count(&self) -> usize {
        self.lock().warm.len()
    }

    /// Keeps `warm` for its session, if that is still there.
    fn put(&self, id: SessionId, warm: Warm) {
        let mut seats = self.lock();
        if seats.taken.contains_key(&id) {
            seats.warm.push((id, warm));
        } else {
            seats.left.push(warm);
        }
    }

    /// The links that are of no use any more: of sessions that ended, closed by the node, at a node that is
    /// neither the primary nor the next one. A session that has not spoken since the primary changed has
    /// its link at the primary.
    fn take_unwanted(&self, topology: &Topology, all: bool) -> Vec<Warm> {
        let mut seats = self.lock();
        let mut unwanted = mem::take(&mut seats.left);
        let known = topology.primary.is_some() && topology.next.is_some();
        let useless = seats.warm.extract_if(.., |(_, warm)| {
            let node = Some(warm.link.node);
            let elsewhere = known && node != topology.primary && node != topology.next;
            all || elsewhere || warm.link.wire.peer_has_closed()
        });
        unwanted.extend(useless.map(|(_, warm)| warm));
        unwanted
    }

    fn lock(&self) -> MutexGuard<'_, Seats> {
        self.seats.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Means to open warm links.
#[derive(Clone, Debug)]
pub(in crate::session) struct Heater {
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
