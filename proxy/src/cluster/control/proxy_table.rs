//! Table of the proxies: each keeps a row there, with what it reaches, and reads those of the others.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use mysql_async::prelude::Queryable;
use mysql_async::{Conn, Error};
use tokio::sync::{mpsc, watch};
use tokio::time::{sleep, timeout};

use super::control_tables::ControlTables;
use super::sql_text::{is_uuid, literal, texts};
use crate::cluster::model::node_addr::NodeAddr;
use crate::cluster::model::peers::Row;
use crate::cluster::model::text::legible;

/// Report of a proxy about itself, and the node to write it to.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(crate) struct Advertisement {
    /// The cluster that the nodes belong to.
    pub(crate) cluster: String,
    /// The node to write it to; `None`: there is none, or nothing to write.
    pub(crate) at: Option<NodeAddr>,
    /// The nodes that answer us.
    pub(crate) reaches: BTreeSet<NodeAddr>,
}

/// Writes what we reach, whenever that changes and now and then, and hands on the rows of the others, until
/// `others` is closed.
pub(crate) async fn exchange_rows(
    tables: Arc<ControlTables>,
    mut advertisement: watch::Receiver<Advertisement>,
    others: mpsc::Sender<Vec<Row>>,
) {
    let mut ready: Option<(NodeAddr, Conn)> = None;
    let mut rest = BEAT;
    loop {
        let latest = advertisement.borrow_and_update().clone();
        if let Some(node) = latest.at.filter(|_| is_uuid(&latest.cluster)) {
            match timeout(PATIENCE, exchange_once(ready.take(), node, &tables, &latest)).await {
                Ok(Ok((conn, rows))) => {
                    rest = BEAT;
                    ready = Some((node, conn));
                    if others.send(rows).await.is_err() {
                        return;
                    }
                }
                // The pin says it where the tables are missing.
                Ok(Err(error)) => tracing::debug!(%node, %error, "the other proxies are not heard"),
                // A cluster that forms anew lets nobody write. What hangs there may keep its connection.
                Err(_elapsed) => {
                    rest = (2 * rest).min(LONGEST_REST);
                    tracing::debug!(%node, "the other proxies are not heard in time");
                }
            }
        }
        tokio::select! {
            () = sleep(rest) => {}
            changed = advertisement.changed() => match changed {
                // Changes that follow at once belong to the same event.
                Ok(()) => sleep(CALM).await,
                Err(_) => return,
            },
            () = others.closed() => return,
        }
    }
}

async fn exchange_once(
    kept: Option<(NodeAddr, Conn)>,
    node: NodeAddr,
    tables: &ControlTables,
    advertisement: &Advertisement,
) -> Result<(Conn, Vec<Row>), Error> {
    let mut conn = tables.connection(kept, node).await?;
    let Advertisement { cluster, reaches, .. } = advertisement;
    let (schema, name) = (&tables.schema, literal(&tables.name));
    let reaches: Vec<_> = reaches.iter().map(ToString::to_string).collect();
    let reaches = reaches.join(" ");
    conn.query_drop(format!(
        "INSERT INTO `{schema}`.`proxy` (cluster, name, reaches, beat) \
         VALUES ('{cluster}', {name}, '{reaches}', 1) \
         ON DUPLICATE KEY UPDATE reaches = '{reaches}', beat = beat + 1"
    ))
    .await?;
    let rows: Vec<mysql_async::Row> = conn
        .query(format!(
            "SELECT name, reaches, CAST(beat AS CHAR) FROM `{schema}`.`proxy` \
             WHERE cluster = '{cluster}' AND name <> {name}"
        ))
        .await?;
    Ok((conn, rows.into_iter().filter_map(parse).collect()))
}

/// `None`: somebody else has made the table, and it has something else in it.
fn parse(row: mysql_async::Row) -> Option<Row> {
    let mut values = texts(row);
    let (name, reaches, beat) = (values.next()??, values.next()??, values.next()??);
    let reaches = reaches.split_whitespace().filter_map(|node| node.parse().ok().map(NodeAddr));
    Some(Row { name: legible(&name), reaches: reaches.collect(), beat: beat.parse().ok()? })
}

/// How often a proxy says that it lives.
const BEAT: Duration = Duration::from_secs(5);

/// How seldom where nothing can be written.
const LONGEST_REST: Duration = Duration::from_secs(300);

/// How long to wait for more of the same after a change.
const CALM: Duration = Duration::from_millis(200);

/// To write and read two rows.
const PATIENCE: Duration = Duration::from_secs(2);
