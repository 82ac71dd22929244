//! Changes the pin, if nobody else has.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use mysql_async::prelude::Queryable;
use mysql_async::{Conn, Error, Row};
use thiserror::Error;
use tokio::time::{sleep, timeout};

use super::connect::MonitorLogin;
use super::model::node_addr::NodeAddr;
use super::model::pin::{Pin, Reading};
use super::model::proposal::Proposal;
use super::model::settings::Settings;
use super::model::text::legible;
use super::tls::NodeTls;

/// Where the pin is, and who changes it.
#[derive(Debug)]
pub(crate) struct Proposer {
    /// The account that may change it.
    pub(crate) login: MonitorLogin,
    /// The database of the table.
    pub(crate) schema: String,
    /// Name of this proxy, for readers of the row.
    pub(crate) name: String,
    /// Connections that lie ready: a node that everybody turns to may let nobody in any more.
    ready: Mutex<BTreeMap<NodeAddr, Conn>>,
}

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

impl Proposer {
    /// A proposer with these `settings`, which speaks to nodes as `tls` says.
    pub(crate) fn new(settings: &Settings, tls: Option<Arc<NodeTls>>) -> Self {
        Self {
            login: MonitorLogin::new(settings.monitor.clone(), tls),
            schema: settings.schema.clone(),
            name: settings.name.clone(),
            ready: Mutex::default(),
        }
    }

    /// Asks the node that is proposed to change the pin, and returns what the pin is then: ours, or what
    /// somebody else made of it meanwhile.
    ///
    /// # Errors
    /// [`ProposeError`]
    pub(crate) async fn propose(&self, proposal: &Proposal) -> Result<Reading, ProposeError> {
        let node = proposal.node;
        match timeout(PATIENCE, self.ask(proposal)).await {
            Ok(Ok(reading)) => Ok(reading),
            Ok(Err(source)) => Err(ProposeError::Node { node, source }),
            Err(_elapsed) => Err(ProposeError::TimedOut { node }),
        }
    }

    /// Makes a connection to `node` lie ready, and closes those to other nodes.
    pub(crate) async fn prepare(&self, node: NodeAddr) {
        let others = std::mem::take(&mut *self.lock());
        for conn in others.into_values() {
            let _ = conn.disconnect().await;
        }
        loop {
            match timeout(PATIENCE, self.open(node)).await {
                Ok(Ok(conn)) => {
                    self.lock().insert(node, conn);
                    return;
                }
                Ok(Err(_)) | Err(_) => sleep(PREPARE_AGAIN_AFTER).await,
            }
        }
    }

    /// A connection to `node`: the one that is kept, if it is one to that node.
    ///
    /// # Errors
    /// The node does not let us in.
    pub(super) async fn connection(
        &self,
        kept: Option<(NodeAddr, Conn)>,
        node: NodeAddr,
    ) -> Result<Conn, Error> {
        match kept {
            Some((at, conn)) if at == node => Ok(conn),
            _ => self.open(node).await,
        }
    }

    /// A new connection to `node`, whose statements commit by themselves whatever the server's default is.
    async fn open(&self, node: NodeAddr) -> Result<Conn, Error> {
        let mut conn = self.login.connect(node).await?;
        conn.query_drop("SET autocommit=1").await?;
        Ok(conn)
    }

    async fn ask(&self, proposal: &Proposal) -> Result<Reading, Error> {
        let ready = self.lock().remove(&proposal.node);
        if let Some(conn) = ready {
            match self.ask_on(conn, proposal).await {
                // The server has closed the connection meanwhile.
                Err(Error::Io(_) | Error::Driver(_)) => {}
                answered => return answered,
            }
        }
        self.ask_on(self.open(proposal.node).await?, proposal).await
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<NodeAddr, Conn>> {
        self.ready.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn ask_on(&self, mut conn: Conn, proposal: &Proposal) -> Result<Reading, Error> {
        let cluster = proposal.cluster.as_str();
        if !is_uuid(cluster) {
            return Ok(Reading::Unread);
        }
        conn.query_drop(self.statement(proposal)).await?;
        let reading = reading(conn.query(query(&self.schema)).await, cluster)?;
        let _ = conn.disconnect().await;
        Ok(reading)
    }

    /// Statement that changes one row, or none where another proxy was first.
    fn statement(&self, proposal: &Proposal) -> String {
        let Proposal { cluster, expected, node, cause, drained } = proposal;
        let (schema, reason, by) = (&self.schema, literal(&cause.to_string()), literal(&self.name));
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
}

/// A text that any server reads alike, whatever its `sql_mode`.
pub(super) fn literal(text: &str) -> String {
    let text: String = text.chars().take(LONGEST).collect();
    let digits = text.bytes().fold(String::new(), |digits, byte| format!("{digits}{byte:02x}"));
    format!("CONVERT(x'{digits}' USING utf8mb4)")
}

/// Whether it may stand in quotes as it is.
pub(super) fn is_uuid(cluster: &str) -> bool {
    !cluster.is_empty() && cluster.chars().all(|c| c.is_ascii_hexdigit() || c == '-')
}

/// The question for the pins: there is one for each cluster that has ever been set up in this database.
pub(super) fn query(schema: &str) -> String {
    format!(
        "SELECT cluster, node, CAST(epoch AS CHAR), reason, `by`, drained FROM `{schema}`.`pin`"
    )
}

/// The pin of `cluster` in the `answer`.
///
/// # Errors
/// The connection is lost, or has failed.
pub(super) fn reading(answer: Result<Vec<Row>, Error>, cluster: &str) -> Result<Reading, Error> {
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

/// The values of a row as texts. Whatever is in it, nothing panics.
pub(super) fn texts(row: Row) -> impl Iterator<Item = Option<String>> {
    row.unwrap_raw().into_iter().map(|value| match value {
        Some(mysql_async::Value::Bytes(bytes)) => {
            Some(String::from_utf8_lossy(&bytes).into_owned())
        }
        _ => None,
    })
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

/// ER_DBACCESS_DENIED_ERROR, ER_BAD_DB_ERROR, ER_BAD_FIELD_ERROR, ER_TABLEACCESS_DENIED_ERROR,
/// ER_COLUMNACCESS_DENIED_ERROR, ER_NO_SUCH_TABLE.
const MISSING: [u16; 6] = [1044, 1049, 1054, 1142, 1143, 1146];

/// The most that a column of the table takes, in characters.
const LONGEST: usize = 255;

/// How soon a node that let nobody in is asked again.
const PREPARE_AGAIN_AFTER: Duration = Duration::from_secs(5);

/// Longer than a cluster needs to form anew.
const PATIENCE: Duration = Duration::from_secs(20);
