//! What is kept of an open transaction, to run it again on another node.
//!
//! - [`store`] — the records of one session's transaction, in memory and on disk.
//! - [`budget`] — what all sessions together may take for them.

pub(crate) mod budget;
mod chunk;
pub(crate) mod store;
