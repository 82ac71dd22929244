//! Interfaces for an operator's questions: HTTP and SQL.
//!
//! Layout:
//! - [`status`] — the state of everything as one value, and whether it is well.
//! - [`http`] — `/status`, `/health`, `/metrics` and a page to look at.
//! - [`console`] — `SHOW NODES` and the like for any MySQL client.
//! - [`guarded`] — connections that cannot be hoarded, for both.

pub(crate) mod console;
mod guarded;
pub(crate) mod http;
mod status;
#[cfg(test)]
pub(crate) mod testing;

use std::net::{SocketAddr, TcpListener};

pub(crate) use status::AdminState;

use crate::session::front::listener::{self, Listener};

/// Why an address of the admin side cannot be listened on. Reaction: the daemon does not start.
#[derive(Debug, thiserror::Error)]
#[error("[admin] {key}: {source}")]
pub(crate) struct BindError {
    key: &'static str,
    source: listener::BindError,
}

/// Listens on the address that `key` of the section `[admin]` gives.
fn listen(key: &'static str, address: SocketAddr) -> Result<TcpListener, BindError> {
    match Listener::tcp(address) {
        Ok(Listener::Tcp(listener)) => Ok(listener),
        Ok(Listener::Unix(..)) => unreachable!("asked for TCP"),
        Err(source) => Err(BindError { key, source }),
    }
}
