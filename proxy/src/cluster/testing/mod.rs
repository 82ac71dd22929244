//! Stand-ins for name servers, Consul and nodes, and the words of real ones.

pub(crate) mod fake_consul;
pub(crate) mod fake_dns;
pub(crate) mod fake_node;

use std::time::Duration;

use tokio::sync::watch;

/// Waits until the watched value is as wanted.
///
/// # Panics
/// If it does not become so in a time that only a defect takes; names the last value.
pub(crate) async fn eventually<T: std::fmt::Debug>(
    watched: &mut watch::Receiver<T>,
    wanted: impl FnMut(&T) -> bool,
) {
    let waiting = tokio::time::timeout(DEADLINE, watched.wait_for(wanted)).await.map(|_| ());
    assert!(waiting.is_ok(), "it never came to be: {:#?}", *watched.borrow());
}

/// Much longer than anything here takes, on a busy machine too.
pub(crate) const DEADLINE: Duration = Duration::from_secs(20);
