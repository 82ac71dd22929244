//! How a writer puts its statements on the wire.

use mysql_async::prelude::{Protocol, Queryable};
use mysql_async::{Conn, Error, OptsBuilder, QueryResult, Row};

use super::effect::{Effect, alone, transaction};
use super::writer::Shared;
use crate::error::Result;
use crate::galera::Profile;

/// How a writer puts its statements on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pattern {
    /// One command a transaction, `…;…;COMMIT;BEGIN`: Icinga 2.
    Batch {
        /// Statements of a transaction, without COMMIT and BEGIN.
        statements: usize,
    },
    /// One command a statement, BEGIN and COMMIT too: Icinga Web.
    Single {
        /// Number as in [`Pattern::Batch`].
        statements: usize,
    },
    /// Like `Single`, with statements that are prepared once.
    Prepared {
        /// Number as in [`Pattern::Batch`].
        statements: usize,
    },
    /// One command a statement, and each is a transaction: scripts.
    Autocommit,
    /// Like `Autocommit`, with statements that are prepared once: Icinga DB.
    PreparedAutocommit,
}

/// Why what is in flight was not acknowledged.
pub(super) struct Failure {
    pub(super) error: Error,
    /// Whether the error says that it does not stand.
    pub(super) denied: bool,
}

impl Pattern {
    /// Statements that are sent once after the login.
    pub(super) fn opening(self) -> &'static [&'static str] {
        const AS_ICINGA: [&str; 4] = [
            "SELECT @@global.max_allowed_packet AS max_allowed_packet",
            "SET SESSION TIME_ZONE='+00:00'",
            "SET SESSION SQL_MODE='NO_AUTO_VALUE_ON_ZERO'",
            "BEGIN",
        ];
        match self {
            Self::Batch { .. } => &AS_ICINGA,
            _ => &AS_ICINGA[..3],
        }
    }

    /// `account`, so that what it writes is committed on any server.
    pub(super) fn account(self, account: OptsBuilder) -> Result<OptsBuilder> {
        match self {
            Self::Autocommit | Self::PreparedAutocommit => Ok(Profile::chosen()?.client(account)),
            Self::Batch { .. } | Self::Single { .. } | Self::Prepared { .. } => Ok(account),
        }
    }

    /// The next transaction's statements, with tokens from `next` on.
    pub(super) fn plan(self, next: &mut u64) -> Vec<Effect> {
        match self {
            Self::Batch { statements }
            | Self::Single { statements }
            | Self::Prepared { statements } => transaction(statements, next),
            Self::Autocommit | Self::PreparedAutocommit => alone(next),
        }
    }

    /// Sends one transaction and reads all that is said to it.
    pub(super) async fn send(
        self,
        conn: &mut Conn,
        effects: &[Effect],
        shared: &Shared,
    ) -> Result<(), Failure> {
        match self {
            Self::Batch { .. } => batch(conn, effects, shared).await,
            Self::Single { .. } => single(conn, effects, shared, false).await,
            Self::Prepared { .. } => single(conn, effects, shared, true).await,
            Self::Autocommit => autocommit(conn, effects, shared, false).await,
            Self::PreparedAutocommit => autocommit(conn, effects, shared, true).await,
        }
    }
}

async fn batch(conn: &mut Conn, effects: &[Effect], shared: &Shared) -> Result<(), Failure> {
    let mut text = String::new();
    for effect in effects {
        text += &effect.text(shared.writer());
        text.push(';');
    }
    text += "COMMIT;BEGIN";
    shared.record().commits();
    let in_batch = |at: usize| move |error| Failure::at(error, at < effects.len());
    let mut result = conn.query_iter(text).await.map_err(in_batch(0))?;
    for at in 0..effects.len() + 2 {
        hear(&result, at, shared);
        if at == effects.len() {
            shared.acknowledge();
        }
        if at <= effects.len() {
            if result.is_empty() {
                let text = format!("{} results to {} statements", at + 1, effects.len() + 2);
                return Err(Failure::at(Error::Other(text.into()), false));
            }
            result.collect::<Row>().await.map_err(in_batch(at + 1))?;
        }
    }
    if !result.is_empty() {
        shared.record().oddities.push("more results than statements".into());
    }
    result.drop_result().await.map_err(in_batch(effects.len()))
}

async fn single(
    conn: &mut Conn,
    effects: &[Effect],
    shared: &Shared,
    prepared: bool,
) -> Result<(), Failure> {
    let in_body = |error| Failure::at(error, true);
    conn.query_drop("BEGIN").await.map_err(in_body)?;
    for (at, effect) in effects.iter().enumerate() {
        command(conn, *effect, at, shared, prepared).await.map_err(in_body)?;
    }
    shared.record().commits();
    conn.query_drop("COMMIT").await.map_err(|error| Failure::at(error, false))?;
    shared.acknowledge();
    Ok(())
}

async fn autocommit(
    conn: &mut Conn,
    effects: &[Effect],
    shared: &Shared,
    prepared: bool,
) -> Result<(), Failure> {
    for (at, effect) in effects.iter().enumerate() {
        shared.record().commits();
        let sent = command(conn, *effect, at, shared, prepared).await;
        sent.map_err(|error| Failure::at(error, false))?;
        shared.acknowledge();
    }
    Ok(())
}

async fn command(
    conn: &mut Conn,
    effect: Effect,
    at: usize,
    shared: &Shared,
    prepared: bool,
) -> mysql_async::Result<()> {
    if prepared {
        let (text, values) = effect.prepared(shared.writer());
        let result = conn.exec_iter(text, values).await?;
        hear(&result, at, shared);
        result.drop_result().await
    } else {
        let result = conn.query_iter(effect.text(shared.writer())).await?;
        hear(&result, at, shared);
        result.drop_result().await
    }
}

fn hear<P: Protocol>(result: &QueryResult<'_, '_, P>, at: usize, shared: &Shared) {
    shared.record().hears(at, result.affected_rows(), result.last_insert_id());
}

impl Failure {
    /// `in_body`: it is the reply to a statement before COMMIT, after which a server reads no further.
    fn at(error: Error, in_body: bool) -> Self {
        let denied = match &error {
            Error::Server(error) => in_body || error.code == DEADLOCK,
            _ => false,
        };
        Self { error, denied }
    }
}

/// The server has rolled back.
const DEADLOCK: u16 = 1213;
