//! Looks at the pin far more often than a probe does. Until every proxy knows of a planned change, clients write
//! to two nodes, where one may be in the way of the other.

use std::sync::Arc;
use std::time::Duration;

use mysql_async::prelude::Queryable;
use mysql_async::{Conn, Error};
use tokio::sync::{mpsc, watch};
use tokio::time::{sleep, timeout};

use super::model::node_addr::NodeAddr;
use super::model::pin::{Pin, Reading};
use super::propose::{Proposer, is_uuid, query, reading};
use super::proxy_table::Saying;

/// A pin that was seen.
#[derive(Clone, Debug)]
pub(crate) struct Found {
    /// The cluster that the pin belongs to.
    pub(crate) cluster: String,
    /// The pin itself.
    pub(crate) pin: Pin,
}

/// Hands on each pin that is new, as the primary shows it, until `found` is closed. Of a primary that is lost
/// nothing is learned here, and nothing has to be: while it is silent the others are asked more often.
pub(crate) async fn follow(
    proposer: Arc<Proposer>,
    mut saying: watch::Receiver<Saying>,
    found: mpsc::Sender<Found>,
) {
    let mut ready: Option<(NodeAddr, Conn)> = None;
    let mut known = (String::new(), 0);
    loop {
        let Saying { cluster, at, .. } = saying.borrow_and_update().clone();
        let mut seen = None;
        if let Some(node) = at.filter(|_| is_uuid(&cluster)) {
            let look = look(ready.take(), node, &proposer, &cluster);
            if let Ok(Ok((conn, reading))) = timeout(PATIENCE, look).await {
                ready = Some((node, conn));
                seen = Some(reading);
            }
        }
        let rest = match seen {
            Some(Reading::Set(pin)) => {
                if (&cluster, pin.epoch) != (&known.0, known.1) {
                    known = (cluster.clone(), pin.epoch);
                    if found.send(Found { cluster, pin }).await.is_err() {
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
            changed = saying.changed() => if changed.is_err() { return },
            () = found.closed() => return,
        }
    }
}

async fn look(
    kept: Option<(NodeAddr, Conn)>,
    node: NodeAddr,
    proposer: &Proposer,
    cluster: &str,
) -> Result<(Conn, Reading), Error> {
    let mut conn = proposer.connection(kept, node).await?;
    let reading = reading(conn.query(query(&proposer.schema)).await, cluster)?;
    Ok((conn, reading))
}

/// Pause from one look to the next.
const PACE: Duration = Duration::from_millis(100);

/// Pause from one look to the next where there is nothing to be seen.
const REST: Duration = Duration::from_secs(1);

/// Longest wait for the row.
const PATIENCE: Duration = Duration::from_secs(2);
