//! Which node gets how many rows.

use std::collections::HashMap;
use std::time::Instant;

use lab::galera::Galera;

/// Follows the counters of all nodes.
#[derive(Default)]
pub(super) struct Traffic {
    last: HashMap<u8, (Instant, u64)>,
}

impl Traffic {
    /// For each node its rows a second, written by its own clients, since the last call. `None` for a
    /// node that does not answer, and at the first call.
    pub(super) async fn rows_a_second(&mut self, galera: &Galera) -> Vec<Option<f64>> {
        let mut rates = Vec::new();
        for node in galera.nodes() {
            let Ok(rows) = node.client_writes().await else {
                self.last.remove(&node.index());
                rates.push(None);
                continue;
            };
            let now = Instant::now();
            let before = self.last.insert(node.index(), (now, rows));
            rates.push(before.and_then(|(then, before)| {
                // A node that was started again counts from zero.
                let rows = u32::try_from(rows.checked_sub(before)?).ok()?;
                Some(f64::from(rows) / now.duration_since(then).as_secs_f64())
            }));
        }
        rates
    }
}
