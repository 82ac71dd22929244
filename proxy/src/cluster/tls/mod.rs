//! TLS to the nodes and to Consul: whom to trust, and for which name.
//!
//! [`node_tls`] is what sessions, probes and those who read the pin begin TLS with; [`distrust`](mod@distrust) says why it did
//! not come about, [`backoff`] leaves a node alone for that. [`client_config`] is the ground of all of them.

mod backoff;
pub(crate) mod client_config;
pub(crate) mod distrust;
pub(crate) mod node_tls;

pub(crate) use distrust::{Distrusted, distrust};
pub(crate) use node_tls::NodeTls;
