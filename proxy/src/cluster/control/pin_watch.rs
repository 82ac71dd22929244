//! Watch of the pin: reads it far more often than a probe does. Until every proxy knows of a planned change, clients write
//! to two nodes, where one may be in the way of the other.

use std::sync::Arc;
use std::time::Duration;

use mysql_async::prelude::Queryable;
use mysql_async::{Conn, Error};
use tokio::sync::{mpsc, watch};
use tokio::time::{sleep, timeout};

use super::control_tables::ControlTables;
use super::pin_table::{query, reading};
use super::proxy_table::Advertisement;
use super::sql_text::is_uuid;
use crate::cluster::model::node_addr::NodeAddr;
use crate::cluster::model::pin::{Pin, Reading};

/// A pin that was seen.
#[derive(Clone, Debug)]
pub(crate) struct SeenPin {
    /// The cluster that the pin belongs to.
    pub(crate) cluster: String,
    /// The pin itself.
    pub(crate) pin: Pin,
}

/// Hands on each pin that is new, as the primary shows it, until `seen_pins` is closed. Of a primary that is lost
/// nothing is learned here, and nothing has to be: while it is silent the others are asked more often.
pub(crate) async fn watch_pin(
    tables: Arc<ControlTables>,
    mut advertisement: watch::Receiver<Advertisement>,
    seen_pins: mpsc::Sender<SeenPin>,
) {
    let mut ready: Option<(NodeAddr, Conn)> = None;
    let mut known = (String::new(), 0);
    loop {
        let Advertisement { cluster, at, .. } = advertisement.borrow_and_update().clone();
        let mut seen = None;
        if let Some(node) = at.filter(|_| is_uuid(&cluster)) {
            let read = read_pin(ready.take(), node, &tables, &cluster);
            if let Ok(Ok((conn, reading))) = timeout(PATIENCE, read).await {
                ready = Some((node, conn));
                seen = Some(reading);
            }
        }
        let rest = match seen {
            Some(Reading::Set(pin)) => {
                if (&cluster, pin.epoch) != (&known.0, known.1) {
                    known = (cluster.clone(), pin.epoch);
                    if seen_pins.send(SeenPin { cluster, pin }).await.is_err() {
                        return;
                    }
                }
                PACE
            }
            // The probes tell why.
            Some(_) | None => REST,
        };
        tokio::select! {
            () = sleep(rest) => {}
            changed = advertisement.changed() => if changed.is_err() { return },
            () = seen_pins.closed() => return,
        }
    }
}

async fn read_pin(
    kept: Option<(NodeAddr, Conn)>,
    node: NodeAddr,
    tables: &ControlTables,
    cluster: &str,
) -> Result<(Conn, Reading), Error> {
    let mut conn = tables.connection(kept, node).await?;
    let reading = reading(conn.query(query(&tables.schema)).await, cluster)?;
    Ok((conn, reading))
}

/// Pause from one reading to the next.
const PACE: Duration = Duration::from_millis(100);

/// Pause from one reading to the next where there is nothing to be seen.
const REST: Duration = Duration::from_secs(1);

/// Longest wait for the row.
const PATIENCE: Duration = Duration::from_secs(2);
