//! One client's conversation, from its login to its end.
//!
//! Folders, each of which knows only those below it:
//! - [`front`] — from a bound address to a client that is logged in.
//! - [`driver`] — the loop of a session: waits, moves bytes as the engine says, and takes links.
//! - [`engine`] — the decisions, without sockets: replies, and the way back after a loss.
//! - [`link`] — connections to nodes, those that lie ready, and where sessions that only read go.
//! - [`state`] — what goes from link to link; [`transport`] — bytes; [`shared`] — what sessions share.
//! - [`plan`] — what a command means, and in which steps it goes to a node.

pub(crate) mod driver;
pub(crate) mod engine;
pub(crate) mod front;
pub(crate) mod link;
mod plan;
pub(crate) mod shared;
pub(crate) mod state;
#[cfg(test)]
mod testing;
pub(crate) mod transport;
