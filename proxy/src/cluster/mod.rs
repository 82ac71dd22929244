//! Where is the primary? Everything that answers that question, and nothing about sessions.
//!
//! Layout:
//! - [`topology`] — the answer, as every session and the admin side watch it.

pub(crate) mod topology;

pub(crate) use topology::{Node, NodeAddr, NodeState, Topology};
