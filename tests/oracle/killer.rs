//! Kills the node of a program's session at a chosen request, and starts it again.

use std::cell::Cell;
use std::net::SocketAddr;
use std::pin::pin;
use std::rc::Rc;
use std::time::Duration;

use lab::error::{LabError, Result};
use lab::wait::{Look, wait_until};
use lab::{Lab, sql};

use crate::relay::Plans;
use crate::wire::Account;

/// Kills nodes of a lab. The one at which root looks at tables is spared.
#[derive(Clone)]
pub(crate) struct Killer {
    lab: Rc<Lab>,
    plans: Plans,
    spared: SocketAddr,
    client: Account,
}

impl Killer {
    /// The killer of the nodes of `lab` but for `spared`. `client` logs in at the proxy.
    pub(crate) fn new(lab: Rc<Lab>, plans: Plans, spared: SocketAddr, client: Account) -> Self {
        Self { lab, plans, spared, client }
    }

    /// Waits for a trial, and kills the node of its session when the trial's plan says so. All nodes are there again
    /// behind it.
    ///
    /// # Errors
    /// The trial's, or when a node does not come back.
    pub(crate) async fn during<T>(&self, trial: impl Future<Output = Result<T>>) -> Result<T> {
        let begun = Cell::new(false);
        let mut kill = pin!(async {
            let victim = self.plans.victim().await;
            begun.set(true);
            let node = self.lab.galera.nodes().iter().find(|node| node.address() == victim);
            match node.filter(|node| node.address() != self.spared) {
                Some(node) => node.kill().await,
                None => Ok(()),
            }
        });
        let mut trial = pin!(trial);
        let outcome = tokio::select! {
            killed = &mut kill => {
                killed?;
                trial.await
            }
            outcome = &mut trial => {
                if begun.get() {
                    // A node that is half killed would be taken for one that runs.
                    kill.await?;
                }
                outcome
            }
        };
        self.restore().await?;
        outcome
    }

    /// Starts the nodes that were killed, and leads the proxy away from the one that is spared.
    async fn restore(&self) -> Result<()> {
        for node in self.lab.galera.nodes().iter().filter(|node| !node.runs()) {
            node.start().await?;
        }
        let proxy = self.lab.proxy();
        proxy.ready(PATIENCE).await?;
        if proxy.primary().await? == Some(self.spared) {
            let nodes = self.lab.galera.nodes().iter();
            let other = nodes.map(|node| node.address()).find(|address| *address != self.spared);
            let other = other.ok_or_else(|| LabError::Refused("there is one node alone".into()))?;
            proxy.tool(&["switchover", &other.to_string()]).await?;
        }
        self.catch_up().await
    }

    /// Waits until the node behind the proxy has all that root has written elsewhere.
    ///
    /// # Errors
    /// When it has not within a minute.
    pub(crate) async fn catch_up(&self) -> Result<()> {
        let Account { server, user, password, .. } = &self.client;
        wait_until("a causal read through the proxy", PATIENCE, None, async || {
            let read = async {
                let mut conn = sql::connect(sql::account(*server, user, password)).await?;
                sql::script(&mut conn, "a causal read", CAUSALLY, PATIENCE).await?;
                let _ = conn.disconnect().await;
                Ok::<(), LabError>(())
            };
            match read.await {
                Ok(()) => Look::Done(()),
                Err(error) => Look::NotYet(error.to_string()),
            }
        })
        .await
    }
}

const CAUSALLY: &str = "SET STATEMENT wsrep_sync_wait=15 FOR SELECT 1";

const PATIENCE: Duration = Duration::from_secs(60);
