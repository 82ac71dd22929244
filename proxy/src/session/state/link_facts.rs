//! Properties of a link that decisions depend on.

use std::sync::Arc;

use ido_proxy_protocol::capabilities::Capabilities;
use ido_proxy_protocol::status::StatusFlags;

use crate::session::state::reports::Reports;

/// Properties of a link after its login.
#[derive(Clone, Debug, Default)]
pub(crate) struct LinkFacts {
    /// In force on it, and so the layout of what it sends.
    pub(crate) capabilities: Capabilities,
    /// The version in the greeting.
    pub(crate) version: Vec<u8>,
    /// A backslash in a string is an escape.
    pub(crate) backslashes: bool,
    /// The default database it logged in with.
    pub(crate) schema: Option<Vec<u8>>,
    /// The node is one of a Galera cluster.
    pub(crate) galera: bool,
    /// The thread of the link before, if that was to the same node.
    pub(crate) ghost: Option<u32>,
    /// The flags of its welcome.
    pub(crate) status: Option<StatusFlags>,
    /// Reports that the link sends to a client that asks for nothing else.
    pub(crate) reports: Option<Arc<Reports>>,
    /// How far the node may be behind the others.
    pub(crate) freshness: Freshness,
}

/// How far a node may be behind what other nodes have committed, and said so to a client.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) enum Freshness {
    /// Whatever a client was told is there.
    #[default]
    Current,
    /// Not all may be there yet: the first read must wait.
    Behind,
    /// Each read waits for it, and may give up.
    Waits,
}
