//! Connections to the control tables: `pin` and `proxy`, in a database that Galera replicates.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use mysql_async::prelude::Queryable;
use mysql_async::{Conn, Error};
use tokio::time::{sleep, timeout};

use super::connect::MonitorLogin;
use crate::cluster::model::node_addr::NodeAddr;
use crate::cluster::model::settings::Settings;
use crate::cluster::tls::node_tls::NodeTls;

/// Database of the control tables, which all nodes have, and our name in it.
#[derive(Debug)]
pub(crate) struct ControlTables {
    /// The account that may change them.
    pub(crate) login: MonitorLogin,
    /// The database of the tables.
    pub(crate) schema: String,
    /// Name of this proxy, for readers of the rows.
    pub(crate) name: String,
    /// Connections that lie ready: a node that everybody turns to may let nobody in any more.
    ready: Mutex<BTreeMap<NodeAddr, Conn>>,
}

impl ControlTables {
    /// The tables of these `settings`; we speak to nodes as `tls` says.
    pub(crate) fn new(settings: &Settings, tls: Option<Arc<NodeTls>>) -> Self {
        Self {
            login: MonitorLogin::new(settings.monitor.clone(), tls),
            schema: settings.schema.clone(),
            name: settings.name.clone(),
            ready: Mutex::default(),
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
    pub(super) async fn open(&self, node: NodeAddr) -> Result<Conn, Error> {
        let mut conn = self.login.connect(node).await?;
        conn.query_drop("SET autocommit=1").await?;
        Ok(conn)
    }

    /// Takes the connection to `node` that lies ready, if there is one.
    pub(super) fn take_ready(&self, node: NodeAddr) -> Option<Conn> {
        self.lock().remove(&node)
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<NodeAddr, Conn>> {
        self.ready.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How soon a node that let nobody in is asked again.
const PREPARE_AGAIN_AFTER: Duration = Duration::from_secs(5);

/// Longer than a cluster needs to form anew.
pub(super) const PATIENCE: Duration = Duration::from_secs(20);
