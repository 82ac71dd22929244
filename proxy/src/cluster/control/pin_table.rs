//! Table of the pin: reads it, and changes it if nobody else has.

use ido_proxy_protocol::error_code::{
    COLUMN_ACCESS_DENIED, DATABASE_ACCESS_DENIED, NO_SUCH_TABLE, TABLE_ACCESS_DENIED,
    UNKNOWN_COLUMN, UNKNOWN_DATABASE,
};
use mysql_async::prelude::Queryable;
use mysql_async::{Conn, Error, Row};
use thiserror::Error;
use tokio::time::timeout;

use super::control_tables::{ControlTables, PATIENCE};
use super::sql_text::{is_uuid, literal, texts};
use crate::cluster::model::node_addr::NodeAddr;
use crate::cluster::model::pin::{Pin, Reading};
use crate::cluster::model::proposal::Proposal;
use crate::cluster::model::text::legible;

/// Why the pin could not be changed, or it is not known whether it was. It may be tried again: the epoch
/// that is expected makes sure that it is changed once.
#[derive(Debug, Error)]
pub(crate) enum ProposeError {
    /// The node failed, or another change of the row came first.
    #[error("{node}: {source}")]
    Node { node: NodeAddr, source: Error },
    /// The cluster replicates nothing now, or the node is gone.
    #[error("{node} did not answer within {PATIENCE:?}")]
    TimedOut { node: NodeAddr },
}

/// Asks the node that is proposed to change the pin, and returns what the pin is then: ours, or what
/// somebody else made of it meanwhile.
///
/// # Errors
/// [`ProposeError`]
pub(crate) async fn propose(
    tables: &ControlTables,
    proposal: &Proposal,
) -> Result<Reading, ProposeError> {
    let node = proposal.node;
    match timeout(PATIENCE, ask(tables, proposal)).await {
        Ok(Ok(reading)) => Ok(reading),
        Ok(Err(source)) => Err(ProposeError::Node { node, source }),
        Err(_elapsed) => Err(ProposeError::TimedOut { node }),
    }
}

async fn ask(tables: &ControlTables, proposal: &Proposal) -> Result<Reading, Error> {
    if let Some(conn) = tables.take_ready(proposal.node) {
        match ask_on(conn, tables, proposal).await {
            // The server has closed the connection meanwhile.
            Err(Error::Io(_) | Error::Driver(_)) => {}
            answered => return answered,
        }
    }
    ask_on(tables.open(proposal.node).await?, tables, proposal).await
}

async fn ask_on(
    mut conn: Conn,
    tables: &ControlTables,
    proposal: &Proposal,
) -> Result<Reading, Error> {
    let cluster = proposal.cluster.as_str();
    if !is_uuid(cluster) {
        return Ok(Reading::Unread);
    }
    conn.query_drop(statement(tables, proposal)).await?;
    let reading = reading(conn.query(query(&tables.schema)).await, cluster)?;
    let _ = conn.disconnect().await;
    Ok(reading)
}

/// Statement that changes one row, or none where another proxy was first.
fn statement(tables: &ControlTables, proposal: &Proposal) -> String {
    let Proposal { cluster, expected, node, cause, drained } = proposal;
    let (schema, reason, by) = (&tables.schema, literal(&cause.to_string()), literal(&tables.name));
    let drained = drained.as_ref().map(|nodes| {
        let nodes: Vec<_> = nodes.iter().map(ToString::to_string).collect();
        format!(", drained = '{}'", nodes.join(" "))
    });
    let drained = drained.unwrap_or_default();
    let set = format!("node = '{node}', reason = {reason}, `by` = {by}{drained}");
    match expected {
        None => format!(
            "INSERT IGNORE INTO `{schema}`.`pin` SET cluster = '{cluster}', epoch = 1, {set}"
        ),
        Some(epoch) => format!(
            "UPDATE `{schema}`.`pin` SET epoch = epoch + 1, `at` = CURRENT_TIMESTAMP(6), {set} \
             WHERE cluster = '{cluster}' AND epoch = {epoch}"
        ),
    }
}

/// The question for the pins: there is one for each cluster that has ever been set up in this database.
pub(crate) fn query(schema: &str) -> String {
    format!(
        "SELECT cluster, node, CAST(epoch AS CHAR), reason, `by`, drained FROM `{schema}`.`pin`"
    )
}

/// The pin of `cluster` in the `answer`.
///
/// # Errors
/// The connection is lost, or has failed.
pub(crate) fn reading(answer: Result<Vec<Row>, Error>, cluster: &str) -> Result<Reading, Error> {
    match answer {
        Ok(rows) => {
            let ours = rows.into_iter().filter_map(|row| {
                let mut values = texts(row);
                values.next()?.filter(|named| named == cluster)?;
                Some(parse(values))
            });
            Ok(match ours.last() {
                None => Reading::Unset,
                Some(pin) => pin.map_or(Reading::Unread, Reading::Set),
            })
        }
        Err(Error::Server(error)) if MISSING.contains(&error.code) => {
            Ok(Reading::Missing(legible(&error.message)))
        }
        Err(Error::Server(_)) => Ok(Reading::Unread),
        Err(error) => Err(error),
    }
}

fn parse(mut values: impl Iterator<Item = Option<String>>) -> Option<Pin> {
    let mut next = || values.next().flatten();
    let (node, epoch, reason, by, drained) = (next()?, next()?, next()?, next()?, next()?);
    let address = |text: &str| text.parse().ok().map(NodeAddr);
    Some(Pin {
        node: address(&node)?,
        epoch: epoch.parse().ok()?,
        reason: legible(&reason),
        by: legible(&by),
        // Words that are no address name no node of ours.
        drained: drained.split_whitespace().filter_map(address).collect(),
    })
}

/// Codes of a server without the table, or that does not let us read it.
const MISSING: [u16; 6] = [
    DATABASE_ACCESS_DENIED,
    UNKNOWN_DATABASE,
    UNKNOWN_COLUMN,
    TABLE_ACCESS_DENIED,
    COLUMN_ACCESS_DENIED,
    NO_SUCH_TABLE,
];
