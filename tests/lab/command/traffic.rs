//! Which node clients write to, and how much.

use std::collections::HashMap;
use std::time::Instant;

use lab::galera::{Galera, Written};

/// Follows the counters of all nodes.
#[derive(Default)]
pub(super) struct Traffic {
    last: HashMap<u8, (Instant, Written)>,
}

/// Writes since the look before.
#[derive(Debug, Default)]
pub(super) struct Flow {
    /// Rows a second, on the node where most were.
    pub(super) rows: f64,
    /// The nodes whose own clients wrote.
    pub(super) writers: Vec<String>,
}

impl Traffic {
    /// Looks at all nodes. Those that do not answer count for nothing.
    pub(super) async fn look(&mut self, galera: &Galera) -> Flow {
        let mut flow = Flow::default();
        for node in galera.nodes() {
            let Ok(written) = node.written().await else {
                self.last.remove(&node.index());
                continue;
            };
            let now = Instant::now();
            let Some((then, before)) = self.last.insert(node.index(), (now, written)) else {
                continue;
            };
            // A node that was started again counts from zero.
            let rows = u32::try_from(written.rows.saturating_sub(before.rows)).unwrap_or(u32::MAX);
            let rate = f64::from(rows) / now.duration_since(then).as_secs_f64();
            flow.rows = flow.rows.max(rate);
            if written.sent > before.sent {
                flow.writers.push(node.name().to_owned());
            }
        }
        flow
    }
}
