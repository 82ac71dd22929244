//! A client that reads. Its failures name the proxy's log.

use std::path::PathBuf;
use std::time::Duration;

use lab::error::LogTail;
use lab::{LabError, Result, sql};
use mysql_async::prelude::{FromValue, Queryable};
use mysql_async::{Conn, Error, OptsBuilder};

/// One connection.
pub(crate) struct Reader {
    pub(crate) conn: Conn,
    log: PathBuf,
}

impl Reader {
    /// Logs in.
    pub(crate) async fn connect(account: OptsBuilder, log: PathBuf) -> Result<Self> {
        Ok(Self { conn: sql::connect(account).await?, log })
    }

    /// The first column of the first row of `query`.
    pub(crate) async fn value<T: FromValue + Send + 'static>(&mut self, query: &str) -> Result<T> {
        match self.ask(query).await {
            Ok(Some(value)) => Ok(value),
            Ok(None) => Err(self.failure(query, "no row")),
            Err(error) => Err(self.failure(query, error.to_string())),
        }
    }

    /// Runs a text.
    pub(crate) async fn tell(&mut self, text: &str) -> Result<()> {
        match self.ask::<mysql_async::Value>(text).await {
            Ok(_) => Ok(()),
            Err(error) => Err(self.failure(text, error.to_string())),
        }
    }

    /// The name of the node that reads for it.
    pub(crate) async fn node(&mut self) -> Result<String> {
        self.value("SELECT @@wsrep_node_name").await
    }

    /// Runs a text that has to be refused; the code and the words of the refusal.
    pub(crate) async fn refused(&mut self, text: &str) -> Result<(u16, String)> {
        match self.ask::<mysql_async::Value>(text).await {
            Err(Error::Server(error)) => Ok((error.code, error.message)),
            Err(error) => Err(self.failure(text, error.to_string())),
            Ok(_) => Err(self.failure(text, "it was done")),
        }
    }

    async fn ask<T: FromValue + Send + 'static>(
        &mut self,
        query: &str,
    ) -> mysql_async::Result<Option<T>> {
        match tokio::time::timeout(PATIENCE, self.conn.query_first(query)).await {
            Ok(answer) => answer,
            Err(_) => Err(Error::Other(format!("no answer within {PATIENCE:?}").into())),
        }
    }

    fn failure(&self, what: &str, reason: impl Into<String>) -> LabError {
        LabError::Failed {
            what: format!("the reader's view: {what}"),
            reason: reason.into(),
            log: LogTail::of(&self.log),
        }
    }
}

/// How long a reader waits for a reply.
const PATIENCE: Duration = Duration::from_secs(60);
