//! Stage of every story here: three nodes, a proxy with both kinds of listener, and a table.

use std::path::PathBuf;
use std::time::Duration;

use lab::galera::Node;
use lab::proxy::Proxy;
use lab::wait::{Look, wait_until};
use lab::whole::Builder;
use lab::{Lab, LabError, Result, sql};
use mysql_async::OptsBuilder;

use super::reader::Reader;

pub(crate) use lab::story::Story;

/// A cluster with a proxy before it.
pub(crate) struct Stage {
    pub(crate) lab: Lab,
}

impl Stage {
    pub(crate) async fn set() -> Result<Self> {
        Self::with(|builder| builder).await
    }

    /// With other settings.
    pub(crate) async fn with(change: impl FnOnce(Builder) -> Builder) -> Result<Self> {
        let lab = change(Lab::builder().fixed_nodes().proxy().replica()).start().await?;
        lab.galera.node(1).hold(TABLES).await?;
        for node in lab.galera.nodes() {
            let mut root = node.hold("SET SESSION wsrep_sync_wait = 7").await?;
            sql::value::<u32>(&mut root, "SELECT COUNT(*) FROM icinga.story").await?;
        }
        let stage = Self { lab };
        stage.sees(stage.lab.galera.nodes()).await?;
        Ok(stage)
    }

    pub(crate) fn proxy(&self) -> &Proxy {
        self.lab.proxy()
    }

    pub(crate) fn log(&self) -> PathBuf {
        self.proxy().part().log()
    }

    /// A client of the read listener.
    pub(crate) async fn reader(&self) -> Result<Reader> {
        self.client(self.proxy().replica_account()).await
    }

    /// A client that may write.
    pub(crate) async fn writer(&self) -> Result<Reader> {
        self.client(self.proxy().tcp_account()).await
    }

    async fn client(&self, account: OptsBuilder) -> Result<Reader> {
        let account = self.lab.galera.profile().client(account);
        Reader::connect(account, self.log()).await
    }

    /// The node that is written to.
    pub(crate) async fn primary(&self) -> Result<&Node> {
        let primary = self.proxy().primary().await?;
        let nodes = self.lab.galera.nodes().iter();
        let node = nodes.into_iter().find(|node| primary == Some(node.address()));
        node.ok_or_else(|| self.failure("the primary", format!("{primary:?}")))
    }

    /// The node of this name.
    pub(crate) fn named(&self, name: &str) -> &Node {
        let named = self.lab.galera.nodes().iter().find(|node| node.name() == name);
        named.expect("a node of the lab")
    }

    /// The nodes that are not written to.
    pub(crate) async fn others(&self) -> Result<Vec<&Node>> {
        let primary = self.primary().await?;
        Ok(self.lab.galera.others(primary))
    }

    /// Waits until the proxy takes just these nodes for usable.
    pub(crate) async fn sees<'a>(&self, nodes: impl IntoIterator<Item = &'a Node>) -> Result<()> {
        let mut wanted: Vec<_> = nodes.into_iter().map(|node| node.address().to_string()).collect();
        wanted.sort();
        wait_until("these nodes usable", RECOVERY, Some(&self.log()), async || {
            let status = match self.proxy().status().await {
                Ok(status) => status,
                Err(error) => return self.proxy().part().look(error),
            };
            let nodes = status["nodes"].as_array().cloned().unwrap_or_default();
            let usable = nodes.iter().filter(|node| node["usable"] == true);
            let mut usable: Vec<_> =
                usable.filter_map(|node| node["address"].as_str()).map(str::to_owned).collect();
            usable.sort();
            if usable == wanted {
                Look::Done(())
            } else {
                self.proxy().part().look(format!("{usable:?} are"))
            }
        })
        .await
    }

    /// Waits until this reader reads at a node that `is` right. Each of its questions must be answered.
    pub(crate) async fn reads_at(
        &self,
        reader: &mut Reader,
        what: &str,
        is: impl Fn(&str) -> bool,
    ) -> Result<String> {
        let what = format!("a reader at {what}");
        let reader = tokio::sync::Mutex::new(reader);
        wait_until(&what, RECOVERY, Some(&self.log()), async || {
            match reader.lock().await.node().await {
                Ok(name) if is(&name) => Look::Done(name),
                Ok(name) => self.proxy().part().look(name),
                Err(error) => Look::Never(error.to_string()),
            }
        })
        .await
    }

    /// Ends the lab in order.
    pub(crate) async fn end(self) -> Story {
        Ok(self.lab.end().await?)
    }

    /// Ends all nodes but the primary, and waits until `reader` reads there. The primary, and the others.
    pub(crate) async fn leave_one(&self, reader: &mut Reader) -> Result<(&Node, Vec<&Node>)> {
        let others = self.others().await?;
        for node in &others {
            node.term().await?;
        }
        let primary = self.primary().await?;
        self.reads_at(reader, "the primary", |name| name == primary.name()).await?;
        Ok((primary, others))
    }

    /// A failure of a story, with the proxy's log.
    pub(crate) fn failure(&self, what: &str, reason: impl Into<String>) -> LabError {
        let log = lab::error::LogTail::of(&self.log());
        LabError::Failed { what: what.to_owned(), reason: reason.into(), log }
    }

    /// `condition`, or a failure that says why not and names the log.
    pub(crate) fn must(&self, condition: bool, reason: impl Into<String>) -> Result<()> {
        if condition { Ok(()) } else { Err(self.failure("the story", reason)) }
    }
}

/// The account may do everything: what is refused is refused because of the listener.
const TABLES: &str = "
    GRANT ALL ON *.* TO icinga@'%';
    USE icinga;
    CREATE TABLE story (id BIGINT NOT NULL PRIMARY KEY, text TEXT NULL) ENGINE=InnoDB;
    INSERT INTO story VALUES (0, 'first');
    CREATE SEQUENCE story_sequence NOCACHE ENGINE=InnoDB;
    CREATE FUNCTION story_adds() RETURNS INT DETERMINISTIC MODIFIES SQL DATA
        BEGIN INSERT INTO story (id) VALUES (100); RETURN 1; END;
    CREATE PROCEDURE story_unlocks() MODIFIES SQL DATA SET SESSION tx_read_only = 0";

/// Galera needs about 6 s to give a silent node up, on an idle machine.
pub(crate) const RECOVERY: Duration = Duration::from_secs(60);
