//! A ledger: tables to which writers with unique tokens write as Icinga does, and an audit that says
//! what was lost, doubled or told wrongly.
//!
//! A [`Writer`] keeps a [`Record`] of what it was *told*: which transactions were acknowledged, with
//! which ids. [`Ledger::audit`] reads what *stands*, on a node and past any proxy, and names every
//! difference as a [`Finding`].
//!
//! No key of the tables forbids a token to stand twice, as none of Icinga's history tables does: what
//! is applied twice is seen twice.

mod audit;
mod effect;
mod pattern;
mod record;
#[cfg(test)]
mod tests;
mod writer;

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use mysql_async::{Conn, OptsBuilder};

pub use self::audit::{Finding, Findings};
pub use self::effect::Effect;
pub use self::pattern::Pattern;
pub use self::record::{Record, Slot, Standing};
pub use self::writer::Writer;
use crate::error::{LabError, LogTail, Result};
use crate::sql;

/// The tables, and the log that tells why something in them is wrong.
#[derive(Debug)]
pub struct Ledger {
    log: PathBuf,
    writers: AtomicU32,
}

impl Ledger {
    /// Makes the tables. `root` may do that; `log` is the file to read when the audit finds something:
    /// the proxy's.
    ///
    /// # Errors
    /// When the server refuses.
    pub async fn create(mut root: Conn, log: impl Into<PathBuf>) -> Result<Self> {
        let rows =
            |row: &dyn Fn(u32) -> String| (1..=WRITERS).map(row).collect::<Vec<_>>().join(",");
        let slots = |writer| {
            let slots = (0..SLOTS).map(|slot| format!("({writer},{slot},0,0,1)"));
            slots.collect::<Vec<_>>().join(",")
        };
        let seed = format!(
            "{TABLES};
             INSERT INTO icinga.story_counter VALUES {};
             INSERT INTO icinga.story_program (writer, token) VALUES {};
             INSERT INTO icinga.story_status VALUES {}",
            rows(&|writer| format!("({writer},0)")),
            rows(&|writer| format!("({writer},0)")),
            rows(&slots),
        );
        sql::script(&mut root, "the tables of the ledger", &seed, STEP).await?;
        let _ = root.disconnect().await;
        Ok(Self { log: log.into(), writers: AtomicU32::new(0) })
    }

    /// A new writer, connected with `account` as Icinga connects, and writing from now on.
    ///
    /// # Errors
    /// The writer cannot log in.
    ///
    /// # Panics
    /// When there are more writers than the ledger has room for.
    pub async fn writer(&self, pattern: Pattern, account: OptsBuilder) -> Result<Writer> {
        let number = self.writers.fetch_add(1, Ordering::Relaxed) + 1;
        assert!(number <= WRITERS, "a ledger has room for {WRITERS} writers");
        Writer::start(number, pattern, account, self.log.clone()).await
    }

    /// Compares what writers were told with what stands on a server, after a causal read there.
    ///
    /// # Errors
    /// When the server does not answer.
    pub async fn audit(&self, root: Conn, records: &[Record]) -> Result<Findings> {
        audit::audit(root, records).await
    }

    /// Audits as [`Self::audit`], where any finding is a failure: its text has all of them, and the log.
    ///
    /// # Errors
    /// The server does not answer, or there is a finding.
    pub async fn must_balance(&self, root: Conn, records: &[Record]) -> Result<()> {
        let findings = self.audit(root, records).await?;
        if findings.is_empty() {
            return Ok(());
        }
        let log = LogTail::of(&self.log);
        Err(LabError::Failed { what: "the ledger".into(), reason: findings.to_string(), log })
    }

    /// The file to read when something is wrong.
    pub fn log(&self) -> &Path {
        &self.log
    }
}

/// How many writers a ledger has rows for.
const WRITERS: u32 = 16;

/// How many rows of status a writer goes round.
const SLOTS: u32 = 10;

/// Tokens of writer N begin at N times this.
const TOKENS: u64 = 1_000_000_000;

const STEP: Duration = Duration::from_secs(60);

const TABLES: &str = "
    CREATE TABLE icinga.story_history (
        id BIGINT NOT NULL AUTO_INCREMENT PRIMARY KEY,
        token BIGINT NOT NULL,
        writer INT NOT NULL,
        state_time TIMESTAMP NULL,
        output TEXT NOT NULL,
        KEY (token)
    ) ENGINE=InnoDB;
    CREATE TABLE icinga.story_status (
        writer INT NOT NULL,
        slot INT NOT NULL,
        token BIGINT NOT NULL,
        updates BIGINT NOT NULL,
        active INT NOT NULL,
        PRIMARY KEY (writer, slot)
    ) ENGINE=InnoDB;
    CREATE TABLE icinga.story_program (
        id BIGINT NOT NULL AUTO_INCREMENT PRIMARY KEY,
        writer INT NOT NULL UNIQUE,
        token BIGINT NOT NULL
    ) ENGINE=InnoDB;
    CREATE TABLE icinga.story_counter (
        writer INT NOT NULL PRIMARY KEY,
        value BIGINT NOT NULL
    ) ENGINE=InnoDB";
