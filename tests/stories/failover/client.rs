//! A client whose failures name the proxy's log.

use std::path::PathBuf;
use std::time::Duration;

use lab::error::LogTail;
use lab::sql::{self, Reply};
use lab::{LabError, Result};
use mysql_async::prelude::{FromRow, FromValue};
use mysql_async::{Conn, Error, OptsBuilder};

/// One connection.
pub(crate) struct Client {
    pub(crate) conn: Conn,
    log: PathBuf,
}

impl Client {
    /// Logs in.
    pub(crate) async fn connect(account: OptsBuilder, log: PathBuf) -> Result<Self> {
        let conn = sql::connect(account).await.map_err(|error| failure("a login", &error, &log))?;
        Ok(Self { conn, log })
    }

    /// Runs a batch; what was said of each of its statements.
    pub(crate) async fn tell(&mut self, batch: &str) -> Result<Vec<Reply>> {
        let replies = sql::replies(&mut self.conn, batch, PATIENCE).await;
        replies.map_err(|error| failure("a batch", &error, &self.log))
    }

    /// Runs a batch that has to be refused; the code and the text of the refusal.
    pub(crate) async fn refused(&mut self, batch: &str) -> Result<(u16, String)> {
        match sql::replies(&mut self.conn, batch, PATIENCE).await {
            Err(LabError::Sql { source, .. }) => match *source {
                Error::Server(error) => Ok((error.code, error.message)),
                error => {
                    Err(failure("a refusal", &LabError::Refused(error.to_string()), &self.log))
                }
            },
            Err(error) => Err(failure("a refusal", &error, &self.log)),
            Ok(replies) => {
                let error = LabError::Refused(format!("it was done: {replies:?}"));
                Err(failure("a refusal", &error, &self.log))
            }
        }
    }

    /// Adds a row to `icinga.story`; its id as the client was told.
    pub(crate) async fn insert(&mut self, token: u64) -> Result<u64> {
        let replies = self.tell(&adding(token)).await?;
        let id = replies.first().and_then(|reply| reply.id);
        id.ok_or_else(|| LabError::Refused(format!("an INSERT was told no id: {replies:?}")))
    }

    /// The rows of `query`.
    pub(crate) async fn rows<T: FromRow + Send + 'static>(
        &mut self,
        query: &str,
    ) -> Result<Vec<T>> {
        let rows = sql::rows_within(&mut self.conn, query, PATIENCE).await;
        rows.map_err(|error| failure("a query", &error, &self.log))
    }

    /// The first column of the first row of `query`.
    pub(crate) async fn value<T: FromValue + Send + 'static>(&mut self, query: &str) -> Result<T> {
        let first = self.rows::<(T,)>(query).await?.into_iter().next();
        let (value,) = first.ok_or_else(|| LabError::Refused(format!("{query}: no rows")))?;
        Ok(value)
    }
}

/// The statement that adds a row to `icinga.story`.
pub(crate) fn adding(token: u64) -> String {
    format!("INSERT INTO story (token) VALUES ({token})")
}

/// The statement that adds one to row `id` of `icinga.story_value`.
pub(crate) fn counting(id: u32) -> String {
    format!("UPDATE story_value SET value = value + 1 WHERE id = {id}")
}

/// The lock that keeps [`counting`] waiting on one node.
pub(crate) fn locking(id: u32) -> String {
    format!("BEGIN; SELECT * FROM icinga.story_value WHERE id = {id} FOR UPDATE")
}

fn failure(what: &str, error: &LabError, log: &std::path::Path) -> LabError {
    LabError::Failed {
        what: format!("the client's view: {what}"),
        reason: error.to_string(),
        log: LogTail::of(log),
    }
}

/// How long a client waits for a reply.
const PATIENCE: Duration = Duration::from_secs(90);
