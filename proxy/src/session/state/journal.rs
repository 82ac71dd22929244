//! Records of an open transaction, to run it again on another node.
//!
//! - [`store`] — the records of one session's transaction, in memory and on disk.
//! - [`record`] — one command, and what the client was told of it.
//! - [`budget`] — what all sessions together may take for them.

pub(crate) mod budget;
mod chunk;
pub(crate) mod record;
pub(crate) mod store;
