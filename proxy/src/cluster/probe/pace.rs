//! Pace of the probes: how many intervals there are from one probe of a node to the next.

use std::sync::Arc;
use std::sync::atomic::AtomicU32;

/// The pace of a node that is asked at every interval.
pub(crate) fn every_time() -> Arc<AtomicU32> {
    Arc::new(AtomicU32::new(1))
}

/// How many intervals there are between two probes of a node that is neither the primary nor the next one, among so
/// many: few clusters have more than a dozen, and to know each of fifty within half a second is worth nothing while
/// all is well. Should the primary be silent, all are asked at once.
pub(crate) fn pace(nodes: usize) -> u32 {
    u32::try_from(nodes.div_ceil(MANY)).unwrap_or(u32::MAX).max(1)
}

/// So many nodes are asked at every interval.
const MANY: usize = 16;
