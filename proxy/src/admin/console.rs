//! An SQL console for operators: any MySQL client may ask it `SHOW NODES`.
//!
//! The protocol side is opensrv-mysql, which trusts its clients; what it lacks is added around it:
//! real salts and passwords ([`shim`]), packets in order and of bounded length ([`gate`]), and here
//! a bounded number of connections, a time to log in and a time to say something.
//!
//! Layout:
//! - [`gate`], [`shim`] — between the socket, opensrv-mysql and the commands.
//! - [`dispatch`] — which command a text means.
//! - [`show_commands`] — the list of commands; `show_*` — one file a command.
//! - [`client_queries`] — what client libraries ask by themselves.
//! - [`command`], [`answer`], [`table`], [`client`] — the words that all of them use.

use std::io::{self, Write};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use ido_proxy_protocol::err::ErrPacket;
use ido_proxy_protocol::packet;
use opensrv_mysql::{AsyncMysqlIntermediary, IntermediaryOptions};
use tokio::io::BufWriter;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, Semaphore};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tracing::{debug, error, warn};

use super::guarded::Guarded;
use super::status::AdminState;
use super::{BindError, listen};

mod answer;
mod client;
mod client_queries;
mod command;
mod dispatch;
mod gate;
mod shim;
mod show_commands;
mod show_decisions;
mod show_nodes;
mod show_sessions;
mod show_version;
mod table;

pub(crate) use client::Account;

use client::Client;
use gate::Gate;
use shim::Shim;

/// The console, bound but not yet serving.
#[derive(Debug)]
pub(crate) struct Console {
    listener: std::net::TcpListener,
}

/// Listens on the address of `[admin] console`. Needs no runtime.
///
/// # Errors
///
/// [`BindError`], which names the key, the address and who holds it.
pub(crate) fn bind(address: SocketAddr) -> Result<Console, BindError> {
    listen("console", address).map(|listener| Console { listener })
}

impl Console {
    /// The address it listens on.
    #[cfg(test)]
    fn local_addr(&self) -> SocketAddr {
        self.listener.local_addr().unwrap()
    }

    /// Serves whoever logs in as `account`, until `stop` is cancelled. Connections end with it, since
    /// nobody loses anything.
    ///
    /// # Errors
    ///
    /// Fails if the listener does not fit the runtime.
    pub(crate) async fn serve(
        self,
        state: AdminState,
        account: Account,
        stop: CancellationToken,
    ) -> io::Result<()> {
        let listener = TcpListener::from_std(self.listener)?;
        let account = Arc::new(account);
        let places = Arc::new(Semaphore::new(MAX_CONNECTIONS));
        let mut conversations = JoinSet::new();
        let mut last_id: u32 = 0;
        loop {
            tokio::select! {
                () = stop.cancelled() => return Ok(()),
                Some(ended) = conversations.join_next() => {
                    if let Err(error) = ended {
                        error!(%error, "a console connection ended by a fault of the console");
                    }
                }
                accepted = listener.accept() => match accepted {
                    Ok((stream, peer)) => {
                        let Ok(place) = Arc::clone(&places).try_acquire_owned() else {
                            refuse(stream, peer);
                            continue;
                        };
                        last_id = last_id.wrapping_add(1);
                        let client = Client { id: last_id, peer };
                        let shim = Shim::new(state.clone(), Arc::clone(&account), client);
                        conversations.spawn(converse(Guarded::new(stream, place, IDLE), shim));
                    }
                    Err(error) => {
                        warn!(%error, "cannot accept a console connection");
                        tokio::time::sleep(ACCEPT_PAUSE).await;
                    }
                },
            }
        }
    }
}

/// One client, from the greeting to its end.
async fn converse(stream: Guarded, shim: Shim) {
    let client = shim.client();
    let logged_in = shim.logged_in();
    let (reader, writer) = tokio::io::split(stream);
    let conversation = AsyncMysqlIntermediary::run_with_options(
        shim,
        Gate::new(reader),
        BufWriter::new(writer),
        &OPTIONS,
    );
    let ended = tokio::select! {
        ended = conversation => ended,
        () = login_deadline(&logged_in) => Err(io::ErrorKind::TimedOut.into()),
    };
    match ended {
        Ok(()) => debug!(%client, "console connection closed"),
        // Only the kind: what a malformed login is quoted with may hold its proof of the password.
        Err(error) => debug!(%client, error = %error.kind(), "console connection ended"),
    }
}

/// Returns if `logged_in` is not notified in time, else never.
async fn login_deadline(logged_in: &Notify) {
    if tokio::time::timeout(LOGIN_TIMEOUT, logged_in.notified()).await.is_ok() {
        std::future::pending::<()>().await;
    }
}

/// Tells a client that all places are taken, in place of a greeting.
fn refuse(stream: TcpStream, peer: SocketAddr) {
    warn!(%peer, limit = MAX_CONNECTIONS, "console connection refused: too many");
    let refusal = ErrPacket::new(1040, *b"08004", "Too many connections");
    let mut bytes = Vec::new();
    packet::frame(&refusal.encode_without_state(), 0, &mut bytes);
    // The kernel's buffer of a new connection takes these few bytes; a client that is gone by now
    // needs no answer.
    let _ = stream.into_std().and_then(|mut stream| stream.write_all(&bytes));
}

const MAX_CONNECTIONS: usize = 32;
const LOGIN_TIMEOUT: Duration = Duration::from_secs(10);
/// Longest silence of a client that has logged in; `mariadb` connects again by itself.
const IDLE: Duration = Duration::from_secs(600);
/// Between two tries to accept when the kernel is out of something.
const ACCEPT_PAUSE: Duration = Duration::from_millis(200);
/// `USE` comes to the commands as every other text.
const OPTIONS: IntermediaryOptions = IntermediaryOptions {
    process_use_statement_on_query: true,
    reject_connection_on_dbname_absence: false,
};

#[cfg(test)]
mod tests;
