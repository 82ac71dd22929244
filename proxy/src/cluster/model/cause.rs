//! Why the primary is what it is, in words for operators.

use std::fmt;

use super::node_addr::NodeAddr;
use super::verdict::Reason;

/// Why the primary is what it is.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(crate) enum Cause {
    /// An operator drained a node.
    Drained {
        /// The node.
        node: NodeAddr,
    },
    /// The first choice after the start.
    Elected,
    /// `node` was the primary and can be it no longer.
    Lost {
        /// The former primary.
        node: NodeAddr,
        /// Why the node can be the primary no longer.
        reason: Reason,
    },
    /// `node` was the primary as a last resort, and there is a better one now.
    Preferred {
        /// The former primary.
        node: NodeAddr,
        /// Why the node is a last resort.
        reason: Reason,
    },
    /// An operator wants it.
    Ordered,
    /// All proxies have agreed on it.
    Pinned {
        /// The proxy or the operator that proposed the node.
        by: String,
        /// Why.
        reason: String,
    },
    /// The last primary is usable again, before any other node took its place.
    Returned,
    /// No node has been usable yet.
    #[default]
    Starting,
    /// An operator gave a drained node back.
    Undrained {
        /// The node.
        node: NodeAddr,
    },
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Drained { node } => write!(f, "an operator drained {node}"),
            Self::Elected => f.write_str("first choice"),
            Self::Lost { node, reason } => write!(f, "{node} is lost: {reason}"),
            Self::Preferred { node, reason } => write!(f, "better than {node}: {reason}"),
            Self::Ordered => f.write_str("an operator wants it"),
            Self::Pinned { by, reason } => write!(f, "agreed on: {reason} (says {by})"),
            Self::Returned => f.write_str("usable again"),
            Self::Starting => f.write_str("no node has been usable yet"),
            Self::Undrained { node } => write!(f, "an operator gave {node} back"),
        }
    }
}
