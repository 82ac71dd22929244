//! `topology`: what kind of server the proxy stands before.

use serde::Deserialize;

/// The kind of server behind the proxy.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq)]
#[serde(rename_all = "lowercase")]
pub enum Topology {
    /// A MariaDB Galera cluster.
    #[default]
    Galera,
    /// One plain MariaDB or MySQL server: for trying the proxy out, and for client test suites.
    Single,
}
