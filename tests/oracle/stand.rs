//! The servers: a lab of our own, or some that run.

use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use lab::error::{Context, LabError, Result};
use lab::{Lab, sql};
use mysql_async::prelude::Queryable;
use tokio_util::task::AbortOnDropHandle;
use toml::Value;

use crate::killer::Killer;
use crate::relay::{Plans, between};
use crate::wire::{Account, PATIENCE};

/// Where clients and root log in.
pub(crate) struct Stand {
    pub(crate) root: Account,
    pub(crate) direct: Account,
    pub(crate) proxy: Account,
    /// Faults of the links of programs, where they can be broken.
    pub(crate) plans: Option<Plans>,
    relays: Vec<AbortOnDropHandle<()>>,
    /// Kept alive for as long as its servers are used.
    lab: Option<Rc<Lab>>,
    /// Kills nodes, where that is a fault to be tried.
    pub(crate) killer: Option<Killer>,
}

/// Servers that run, as the command line names them.
#[derive(Clone, Debug)]
pub(crate) struct Running {
    pub(crate) direct: SocketAddr,
    pub(crate) proxy: SocketAddr,
    pub(crate) user: String,
    pub(crate) password: String,
    pub(crate) root: String,
    pub(crate) root_password: String,
}

impl Stand {
    /// A lab of `nodes` nodes and a proxy. With `kills`, programs run directly at a node that is not the primary.
    ///
    /// # Errors
    /// When a part does not come up.
    pub(crate) async fn lab(nodes: u8, kills: bool) -> Result<Self> {
        let user = [("name", USER), ("password", USER)];
        let user = user.into_iter().map(|(key, value)| (key.to_owned(), Value::from(value)));
        let users = Value::Array(vec![Value::Table(user.collect())]);
        let lab = Lab::builder()
            .nodes(nodes)
            .fixed_nodes()
            .proxy()
            .node_argument("--innodb-lock-wait-timeout=1")
            .node_argument("--lock-wait-timeout=2")
            .node_argument("--local-infile=ON")
            .node_argument("--max-connections=2000")
            .node_argument("--innodb-print-all-deadlocks=ON")
            .proxy_setting("users", users)
            .start()
            .await?;
        let direct = lab.proxy().primary().await?;
        let primary = direct.ok_or_else(|| LabError::Refused("there is no primary".into()))?;
        let others = lab.galera.nodes().iter().map(|node| node.address());
        let spared = others.rev().find(|address| kills && *address != primary);
        let direct = spared.unwrap_or(primary);
        let running = Running {
            direct,
            proxy: lab.proxy().tcp(),
            user: USER.into(),
            password: USER.into(),
            root: "root".into(),
            root_password: String::new(),
        };
        Ok(Self { lab: Some(Rc::new(lab)), ..Self::running(&running).await? })
    }

    /// Servers that run. The account must be known to the proxy, and have the grants of `ido-proxy setup`.
    ///
    /// # Errors
    /// When root may not grant what the account needs.
    pub(crate) async fn running(running: &Running) -> Result<Self> {
        let Running { direct, proxy, user, password, root, root_password } = running;
        let account = |server: &SocketAddr, user: &str, password: &str| Account {
            server: *server,
            user: user.into(),
            password: password.into(),
            patience: PATIENCE,
        };
        let mut conn = sql::connect(sql::account(*direct, root, root_password)).await?;
        for statement in [
            format!("GRANT ALL ON `orc\\_%`.* TO {user}@'%'"),
            format!("CREATE ROLE IF NOT EXISTS {ROLE}"),
            format!("GRANT SELECT ON `orc\\_%`.* TO {ROLE}"),
            format!("GRANT {ROLE} TO {user}@'%'"),
        ] {
            conn.query_drop(&statement).await.context(|| statement.clone())?;
        }
        let _ = conn.disconnect().await;
        Ok(Self {
            root: account(direct, root, root_password),
            direct: account(direct, user, password),
            proxy: account(proxy, user, password),
            plans: None,
            relays: Vec::new(),
            lab: None,
            killer: None,
        })
    }

    /// Leads the proxy's links over relays that can break them.
    ///
    /// # Errors
    /// Without a lab of our own, without root, or without nftables.
    pub(crate) async fn break_links(&mut self) -> Result<()> {
        let lab = self.lab.as_ref();
        let lab = lab.ok_or_else(|| LabError::Refused("faults take a lab of our own".into()))?;
        let plans = Plans::default();
        for node in lab.galera.nodes() {
            let relay = lab.run.socket(200 + node.index(), 3306);
            let group = lab.proxy().group();
            let led = between(&lab.faults, group, node.address(), relay, &plans);
            self.relays.push(led.await?);
        }
        self.plans = Some(plans);
        Ok(())
    }

    /// Lets faults be the end of a node, of links that [`Self::break_links`] leads.
    pub(crate) fn kill_nodes(&mut self) {
        if let (Some(lab), Some(plans)) = (&self.lab, &self.plans) {
            let (lab, plans, client) = (Rc::clone(lab), plans.clone(), self.proxy.clone());
            (self.proxy.patience, self.root.patience) = (FAILOVER, FAILOVER);
            self.killer = Some(Killer::new(lab, plans, self.root.server, client));
        }
    }

    /// Names the servers, for the head of a report.
    pub(crate) fn name(&self) -> String {
        let whose = if self.lab.is_some() { "own lab" } else { "running servers" };
        format!("{whose}: direct {}, proxy {}", self.direct.server, self.proxy.server)
    }

    /// Ends what was started.
    ///
    /// # Errors
    /// When a part does not end well.
    pub(crate) async fn end(mut self) -> Result<()> {
        if let Some(lab) = &self.lab {
            lab.heal().await?;
        }
        self.relays.clear();
        self.killer = None;
        match self.lab.and_then(Rc::into_inner) {
            Some(lab) => lab.end().await,
            None => Ok(()),
        }
    }
}

/// The account of programs.
const USER: &str = "oracle";

/// Longer than the cluster needs to find out that a node is gone.
const FAILOVER: Duration = Duration::from_secs(40);

const ROLE: &str = "orc_role";
