//! Where is the primary? Everything that answers that question, and nothing about sessions.
//!
//! ```text
//!  DNS, Consul ────> discovery ──┐                       ┌──> sessions
//!  fixed list                    ├──> task ──> Topology ─┤
//!  every node ─────> probe ──────┘    decide             └──> admin
//! ```
//!
//! A module imports those above itself in this list, and none below:
//! - [`model`] — pure: the values that all others speak of, from [`NodeAddr`] to [`Topology`].
//! - [`decide`] — pure: may writes go to a node, and which one is the primary.
//! - [`tls`] — whom to trust for a node.
//! - [`control`] — the tables that the proxies share: the pin, and what each proxy reaches.
//! - [`probe`] — asks one node how it is, again and again.
//! - [`discovery`] — asks who the nodes are, and remembers them.
//! - [`handle`] — what the rest of the daemon may ask, and say. [`snapshot`] — one answer of each, for
//!   `ido-proxy check --live`.
//! - [`task`] — owns all of these and publishes the answer. [`operator`] — changes the pin because an operator
//!   says so.

pub(crate) mod control;
pub(crate) mod decide;
pub(crate) mod discovery;
mod handle;
pub(crate) mod model;
pub(crate) mod operator;
mod probe;
pub(crate) mod snapshot;
pub(crate) mod task;
#[cfg(test)]
mod testing;
pub(crate) mod tls;

pub(crate) use handle::ClusterHandle;
pub(crate) use model::node_addr::NodeAddr;
pub(crate) use model::report::NodeState;
pub(crate) use model::settings::{ClusterKind, DiscoverySettings, MonitorSettings, Settings};
pub(crate) use model::topology::{Node, Topology};
pub(crate) use task::Cluster;
