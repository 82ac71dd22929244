//! Proving passwords.
//!
//! - [`native`] and [`caching_sha2`] compute and check proofs.
//! - [`switch`] holds the packets that change the plugin in the middle of a login.
//! - [`server`] is the end that accepts a client, [`client`] the end that logs in to a node.

pub mod caching_sha2;
pub mod client;
pub mod native;
pub mod server;
pub mod switch;

pub use crate::auth_plugin::{AuthPlugin, Scramble};
