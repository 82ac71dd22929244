//! Connections at nodes that this daemon has killed by itself.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// When this daemon itself has killed a connection at a node: a link of its own that was given up.
#[derive(Debug)]
pub(crate) struct OwnKills {
    start: Instant,
    /// In milliseconds since `start`.
    last: AtomicU64,
}

impl OwnKills {
    /// None yet.
    pub(crate) fn new() -> Self {
        Self { start: Instant::now(), last: AtomicU64::new(u64::MAX) }
    }

    pub(in crate::session) fn note(&self) {
        self.last.store(self.now(), Ordering::Relaxed);
    }

    /// Whether what a node counts may be our own doing: what it said before may be as old as the last
    /// probe.
    pub(in crate::session) fn are_recent(&self) -> bool {
        let last = self.last.load(Ordering::Relaxed);
        last != u64::MAX && self.now().saturating_sub(last) < RECENT.as_millis() as u64
    }

    fn now(&self) -> u64 {
        self.start.elapsed().as_millis() as u64
    }
}

/// Probes are 2 s apart at most, but where they are told to be further apart, and what they count settles for 2 s.
const RECENT: Duration = Duration::from_secs(6);
