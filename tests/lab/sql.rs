//! SQL connections of the lab itself: to ask a node how it is, and to count rows.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use mysql_async::prelude::{FromRow, Queryable};
use mysql_async::{Conn, Opts, OptsBuilder, Row};

use crate::error::{Context, LabError, LogTail, Result};

/// Options for `user` at `address`. Change them freely before [`connect`].
pub fn account(address: SocketAddr, user: &str, password: &str) -> OptsBuilder {
    // Both sizes given, the client asks the server nothing at login: a node that is not in the
    // primary component refuses every SELECT. `prefer_socket` would leave for another way in.
    OptsBuilder::default()
        .ip_or_hostname(address.ip().to_string())
        .tcp_port(address.port())
        .user(Some(user))
        .pass(Some(password).filter(|password| !password.is_empty()))
        .prefer_socket(false)
        .max_allowed_packet(Some(64 << 20))
        .wait_timeout(Some(28_800))
}

/// Options for the lab's own root, past any proxy. What it does is committed, whatever the server's default is.
pub fn root(address: SocketAddr) -> OptsBuilder {
    account(address, "root", "").init(vec!["SET autocommit = 1"])
}

/// Options for `user` at a Unix socket.
pub fn socket_account(socket: &Path, user: &str, password: &str) -> OptsBuilder {
    account(([127, 0, 0, 1], 3306).into(), user, password)
        .socket(Some(socket.display().to_string()))
}

/// Logs in, within 5 s.
///
/// # Errors
/// When the login fails or takes longer.
pub async fn connect(options: impl Into<Opts>) -> Result<Conn> {
    let options = options.into();
    let to = match options.socket() {
        Some(socket) => socket.to_owned(),
        None => format!("{}:{}", options.ip_or_hostname(), options.tcp_port()),
    };
    bounded(format!("logging in at {to}"), Conn::new(options)).await
}

/// The rows of `query`, within 5 s.
///
/// # Errors
/// The query fails or takes longer.
pub async fn rows<T: FromRow + Send + 'static>(conn: &mut Conn, query: &str) -> Result<Vec<T>> {
    rows_within(conn, query, DEADLINE).await
}

/// The rows of `query`, which may take longer.
///
/// # Errors
/// The query fails, or takes longer than `deadline`.
pub async fn rows_within<T: FromRow + Send + 'static>(
    conn: &mut Conn,
    query: &str,
    deadline: Duration,
) -> Result<Vec<T>> {
    match tokio::time::timeout(deadline, conn.query(query)).await {
        Ok(rows) => rows.context(|| query.to_owned()),
        Err(_) => Err(late(query.to_owned(), deadline)),
    }
}

/// The first column of the first row of `query`.
///
/// # Errors
/// Those of [`rows`]; an answer without rows is an error too.
pub async fn value<T>(conn: &mut Conn, query: &str) -> Result<T>
where
    T: mysql_async::prelude::FromValue + Send + 'static,
{
    let first = bounded(query.to_owned(), conn.query_first(query)).await?;
    first.ok_or_else(|| LabError::Refused(format!("{query}: no rows")))
}

/// Runs a script of any number of statements, within `deadline`.
///
/// # Errors
/// At the first statement that fails.
pub async fn script(conn: &mut Conn, what: &str, script: &str, deadline: Duration) -> Result<()> {
    match tokio::time::timeout(deadline, conn.query_drop(script)).await {
        Ok(ended) => ended.context(|| what.to_owned()),
        Err(_) => Err(late(what.to_owned(), deadline)),
    }
}

/// Numbers in the reply to one statement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reply {
    /// Affected rows, or matched rows if the client asked for those.
    pub affected: u64,
    /// The id of a new row.
    pub id: Option<u64>,
}

/// Runs a script of any number of statements, and returns what was said of each. Rows are dropped.
///
/// # Errors
/// At the first statement that fails, or after `deadline`.
pub async fn replies(conn: &mut Conn, script: &str, deadline: Duration) -> Result<Vec<Reply>> {
    let what: String = script.chars().take(80).collect();
    let work = async {
        let mut replies = Vec::new();
        let mut result = conn.query_iter(script).await?;
        loop {
            replies.push(Reply { affected: result.affected_rows(), id: result.last_insert_id() });
            if result.is_empty() {
                break;
            }
            result.collect::<Row>().await?;
            if result.columns().is_none() {
                break;
            }
        }
        // An error that came in place of the next reply is told only now.
        result.drop_result().await?;
        Ok::<_, mysql_async::Error>(replies)
    };
    match tokio::time::timeout(deadline, work).await {
        Ok(replies) => replies.context(|| what),
        Err(_) => Err(late(what, deadline)),
    }
}

async fn bounded<T>(
    what: String,
    answer: impl Future<Output = mysql_async::Result<T>>,
) -> Result<T> {
    match tokio::time::timeout(DEADLINE, answer).await {
        Ok(answer) => answer.context(|| what),
        Err(_) => Err(late(what, DEADLINE)),
    }
}

fn late(what: String, after: Duration) -> LabError {
    LabError::Deadline { what, after, seen: "no answer".into(), log: LogTail::default() }
}

const DEADLINE: Duration = Duration::from_secs(5);
