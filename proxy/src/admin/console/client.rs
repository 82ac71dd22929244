//! Clients of the console, and the account that lets them in.

use std::fmt;
use std::net::SocketAddr;

use secrecy::SecretString;

/// Account that may log in to the console.
#[derive(Clone, Debug)]
pub(crate) struct Account {
    /// The name, compared byte by byte.
    pub(crate) user: String,
    /// The password; an empty one lets the user in without.
    pub(crate) password: SecretString,
}

/// A client's connection to the console.
#[derive(Clone, Copy, Debug)]
pub(super) struct Client {
    /// The number of the connection.
    pub(super) id: u32,
    /// The address of the client.
    pub(super) peer: SocketAddr,
}

impl fmt::Display for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.peer.fmt(f)
    }
}
