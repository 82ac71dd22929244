//! Pins of late, and how patient their changes make us.

use std::time::Duration;

use tokio::time::Instant;

use crate::cluster::model::pin::Pin;
use crate::cluster::model::verdict::Reason;

/// The pins of late, and at least the latest one, which is the last.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct RecentPins(Vec<KnownPin>);

#[derive(Clone, Copy, Debug, PartialEq)]
struct KnownPin {
    epoch: u64,
    /// Since when we know of it.
    since: Instant,
    /// Whoever changed it heard nothing from the node before; others may have.
    for_silence: bool,
}

impl KnownPin {
    fn is_recent(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.since) < RECENT
    }
}

impl RecentPins {
    /// Takes in a `pin` that is later than all before.
    pub(super) fn add(&mut self, pin: &Pin, now: Instant) {
        let for_silence = pin.reason.ends_with(&Reason::Silent.to_string());
        self.0.push(KnownPin { epoch: pin.epoch, since: now, for_silence });
    }

    /// The pins of late as of `now`, when `pin` is the latest one.
    pub(super) fn after(&self, pin: Option<&Pin>, now: Instant) -> Self {
        let latest = self.0.last();
        let kept = |known: &&KnownPin| known.is_recent(now) || Some(*known) == latest;
        let mut pins = Self(self.0.iter().filter(kept).copied().collect());
        if let Some(pin) = pin
            && pins.0.last().is_none_or(|known| known.epoch != pin.epoch)
        {
            pins.add(pin, now);
        }
        pins
    }

    /// Since when the latest one is known.
    pub(super) fn since(&self) -> Option<Instant> {
        self.0.last().map(|known| known.since)
    }

    /// How long to wait for a pinned node that is silent to us alone. Two proxies of which each reaches
    /// another node would take the pin from each other for ever: so the wait doubles with each change of late that
    /// was made for silence.
    pub(super) fn patience(&self, path_timeout: Duration, now: Instant) -> Duration {
        let counts = |known: &&KnownPin| known.for_silence && known.is_recent(now);
        let changes = self.0.iter().filter(counts).count().min(MOST_DOUBLED);
        path_timeout * (1 << changes)
    }
}

/// How long a change of the pin counts against the next one.
pub(super) const RECENT: Duration = Duration::from_secs(600);

/// How often the wait for a silent node doubles at most.
const MOST_DOUBLED: usize = 6;
