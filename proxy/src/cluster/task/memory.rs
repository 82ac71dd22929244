//! Memory of the nodes: keeps the state file in step with those that are known.

use std::time::Duration;

use tokio::sync::watch;
use tokio::time;
use tokio_util::task::TaskTracker;

use crate::cluster::discovery::source::Candidate;
use crate::cluster::discovery::state_file::StateFile;

/// Nodes for the state file: the latest value wins, and a slow disk holds nobody up.
#[derive(Debug)]
pub(super) struct Memory {
    /// The nodes to remember.
    pub(super) nodes: watch::Sender<Vec<Candidate>>,
}

impl Memory {
    /// Writes each change of `nodes` to `file`.
    pub(super) fn spawn(file: StateFile, nodes: Vec<Candidate>, tasks: &TaskTracker) -> Self {
        let (sender, mut changes) = watch::channel(nodes);
        tasks.spawn(async move {
            let mut patience = Duration::MAX;
            while !matches!(time::timeout(patience, changes.changed()).await, Ok(Err(_))) {
                let (file, nodes) = (file.clone(), changes.borrow_and_update().clone());
                let saved = tokio::task::spawn_blocking(move || file.save(&nodes)).await;
                patience = match saved {
                    Ok(Err(error)) => {
                        tracing::warn!(%error, "cannot remember the nodes for the next start");
                        // The next change may be years away.
                        SAVE_AGAIN_AFTER
                    }
                    Ok(Ok(())) | Err(_) => Duration::MAX,
                };
            }
        });
        Self { nodes: sender }
    }
}

/// How long to wait after the disk failed.
pub(super) const SAVE_AGAIN_AFTER: Duration = Duration::from_secs(60);
