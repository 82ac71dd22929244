//! Where is the primary? Everything that answers that question, and nothing about sessions.
//!
//! ```text
//!  DNS, Consul ────> discover ──┐                       ┌──> sessions
//!  fixed list                   ├──> task ──> Topology ─┤
//!  every node ─────> probe ─────┘    decide             └──> admin
//! ```
//!
//! Layout:
//! - [`topology`] — the answer, as every session and the admin side watch it.
//! - [`settings`] — what this part wants to know from the configuration.
//! - [`task`] — owns everything below and publishes the answer.
//! - [`discover`] ([`dns`], [`consul`]) — asks who the nodes are; [`source`] — whom, and whether it
//!   answers; [`state_file`] remembers it.
//! - [`candidates`] — pure: the nodes we know, whatever anybody says today.
//! - [`trials`] — pure: members that only Galera names, before they have answered as such.
//! - [`probe`] — asks one node how it is, again and again; [`view`] — pure: what its answer means.
//! - [`pin`] — pure: what the proxies have agreed on; [`propose`] — changes it, if nobody else has;
//!   [`order`] — because an operator says so.
//! - [`tls`] — whom to trust for a node.
//! - [`peers`] — what the other proxies reach. [`follow`] — whether somebody has changed the pin.
//! - [`verdict`] — pure: may writes go to this node? [`decide`] — pure: which one is the primary.
//!   [`history`] — the last hundred times, for operators.

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
