//! Values that all other modules of the cluster speak of: no socket, no clock, no task.
//!
//! - [`node_addr`] names a node; [`report`] is its last answer, with its place in its [`group`]; [`node_view`] is what all its
//!   probes tell, and [`verdict`] whether writes may go there.
//! - [`pin`] is the row that the proxies share, [`agreement`] what the nodes say of it, and [`proposal`] a change
//!   of it. [`peers`] are the other proxies.
//! - [`cause`] tells why the primary is what it is; [`topology`] is the whole answer.
//! - [`settings`] come from the configuration. [`text`] makes the words of others fit for a log.

pub(crate) mod agreement;
pub(crate) mod cause;
pub(crate) mod group;
pub(crate) mod node_addr;
pub(crate) mod node_view;
pub(crate) mod peers;
pub(crate) mod pin;
pub(crate) mod proposal;
pub(crate) mod report;
pub(crate) mod settings;
#[cfg(test)]
pub(crate) mod testing;
pub(crate) mod text;
pub(crate) mod topology;
pub(crate) mod verdict;
