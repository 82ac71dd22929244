//! The server side of one connection, as opensrv-mysql wants it.

use std::io;
use std::sync::Arc;

use async_trait::async_trait;
use ido_proxy_protocol::auth::{Scramble, native};
use opensrv_mysql::{
    AsyncMysqlShim, ErrorKind, InitWriter, OkResponse, ParamParser, QueryResultWriter,
    StatementMetaWriter, StatusFlags,
};
use rand::Rng;
use rand::distr::Alphanumeric;
use secrecy::ExposeSecret;
use tokio::io::AsyncWrite;
use tokio::sync::Notify;
use tracing::{info, warn};

use super::answer::Answer;
use super::client::{Account, Client};
use super::client_queries::SERVER_VERSION;
use super::dispatch;
use crate::admin::status::AdminState;

/// Checks the login, and answers the commands, of one connection.
#[derive(Debug)]
pub(super) struct Shim {
    state: AdminState,
    account: Arc<Account>,
    client: Client,
    /// Never the same for two connections: else a proof seen once would open the console again.
    salt: Scramble,
    logged_in: Arc<Notify>,
}

impl Shim {
    /// The server side for `client`, which must log in as `account`.
    pub(super) fn new(state: AdminState, account: Arc<Account>, client: Client) -> Self {
        let mut random = rand::rng();
        Self {
            state,
            account,
            client,
            // Letters and digits only: clients read a part of it up to a zero byte.
            salt: std::array::from_fn(|_| random.sample(Alphanumeric)),
            logged_in: Arc::default(),
        }
    }

    /// The client that is connected.
    pub(super) fn client(&self) -> Client {
        self.client
    }

    /// Notified once the client has logged in.
    pub(super) fn logged_in(&self) -> Arc<Notify> {
        Arc::clone(&self.logged_in)
    }

    fn proves(&self, user: &[u8], response: &[u8]) -> bool {
        // The proof is checked for a wrong name too, so that names cannot be told apart by time.
        let password = self.account.password.expose_secret().as_bytes();
        let proven = native::verify(password, &self.salt, response);
        proven && user == self.account.user.as_bytes()
    }
}

#[async_trait]
impl<W: AsyncWrite + Send + Unpin> AsyncMysqlShim<W> for Shim {
    type Error = io::Error;

    fn version(&self) -> String {
        SERVER_VERSION.to_owned()
    }

    fn connect_id(&self) -> u32 {
        self.client.id
    }

    fn salt(&self) -> Scramble {
        self.salt
    }

    async fn authenticate(
        &self,
        _plugin: &str,
        user: &[u8],
        _salt: &[u8],
        response: &[u8],
    ) -> bool {
        let accepted = self.proves(user, response);
        let client = self.client;
        // Whatever an unknown client calls itself: on one line of the log, and cut short.
        let user: String = String::from_utf8_lossy(user).chars().take(NAME_SHOWN).collect();
        if accepted {
            info!(%client, user, "console login");
            self.logged_in.notify_one();
        } else {
            warn!(%client, ?user, "console login refused: unknown user or wrong password");
        }
        accepted
    }

    async fn on_query<'a>(
        &'a mut self,
        query: &'a str,
        results: QueryResultWriter<'a, W>,
    ) -> io::Result<()> {
        match dispatch::answer(query, &self.state, self.client, &self.account.user) {
            Answer::Done => results.completed(done()).await,
            Answer::Rows(table) => table.send(results).await,
            Answer::Unknown(message) => {
                results.error(ErrorKind::ER_PARSE_ERROR, message.as_bytes()).await
            }
        }
    }

    async fn on_init<'a>(&'a mut self, _: &'a str, writer: InitWriter<'a, W>) -> io::Result<()> {
        writer.ok().await
    }

    /// An empty text is what the gate makes of commands that the console does not have.
    async fn on_prepare<'a>(
        &'a mut self,
        query: &'a str,
        writer: StatementMetaWriter<'a, W>,
    ) -> io::Result<()> {
        let (kind, message) = if query.is_empty() {
            (ErrorKind::ER_UNKNOWN_COM_ERROR, "the console does not have this command")
        } else {
            (ErrorKind::ER_UNSUPPORTED_PS, "the console takes plain text, no prepared statements")
        };
        writer.error(kind, message.as_bytes()).await
    }

    /// Never called: nothing can be prepared.
    async fn on_execute<'a>(
        &'a mut self,
        _: u32,
        _: ParamParser<'a>,
        results: QueryResultWriter<'a, W>,
    ) -> io::Result<()> {
        results.error(ErrorKind::ER_UNSUPPORTED_PS, b"nothing is prepared".as_slice()).await
    }

    async fn on_close<'a>(&'a mut self, _: u32)
    where
        W: 'async_trait,
    {
    }
}

fn done() -> OkResponse {
    OkResponse { status_flags: StatusFlags::SERVER_STATUS_AUTOCOMMIT, ..OkResponse::default() }
}

/// How many characters of a name the log shows: no account's is longer.
const NAME_SHOWN: usize = 128;
