//! Discovery of the nodes: who may be one, whoever says so.
//!
//! - [`source`] has the sources and what they name, [`health`] whether one answers.
//! - [`dns`] and [`consul`] ask; [`sources`] starts those that the settings name.
//! - [`candidates`] are the nodes that we know, whatever anybody says today; [`state_file`] remembers them.
//! - [`unconfirmed`] are members that only Galera names, before they have answered as such.

pub(crate) mod candidates;
pub(crate) mod consul;
pub(crate) mod dns;
mod health;
pub(crate) mod source;
pub(crate) mod sources;
pub(crate) mod state_file;
pub(crate) mod unconfirmed;
