//! Why a session ended: who failed, whether the client may try again, and what it is told.

use std::io;
use std::time::Duration;

use ido_proxy_protocol::Violation;
use ido_proxy_protocol::err::ErrPacket;
use ido_proxy_protocol::error_code::{
    CONNECTION_KILLED, ERROR_DURING_COMMIT, MALFORMED_PACKET, PACKET_TOO_LARGE,
    PACKETS_OUT_OF_ORDER, SERVER_SHUTDOWN, UNKNOWN_COMMAND,
};
use thiserror::Error;

use crate::cluster::NodeAddr;
use crate::session::engine::Stuck;
use crate::session::link::dial::LinkError;
use crate::session::transport::packet_io::ReadError;
use crate::telemetry::metrics::{LinkLoss, Refusal};

/// Why a session ended.
#[derive(Debug, Error)]
pub(crate) enum End {
    /// The socket towards the client failed. Reaction: none, it is gone.
    #[error("the client's connection failed: {0}")]
    ClientFailed(io::Error),
    /// The client closed without saying goodbye. Its transaction is rolled back by closing the link.
    #[error("the client went away")]
    ClientGone,
    /// COM_QUIT.
    #[error("the client quit")]
    ClientQuit,
    /// The client does not keep to the protocol. It is told, then closed.
    #[error("the client breaks the protocol: {0}")]
    ClientViolation(Violation),
    /// The daemon ends, and the client stood between two transactions.
    #[error("drained")]
    Drained,
    /// The daemon ends, and the client did not reach the end of its transaction in time.
    #[error("closed within a transaction, since the daemon ends")]
    DrainTimedOut,
    /// No primary within `failover.hold`. The client is told, and may try again.
    #[error("no usable primary for {held:?}")]
    HoldExpired { held: Duration },
    /// Somebody killed the connection at the node. The client is told, as the node would have.
    #[error("the connection was killed at {node}")]
    Killed {
        /// Where.
        node: NodeAddr,
        /// Error that the node sent about it, if any.
        said: Option<ErrPacket>,
    },
    /// A node did not let the client in. It is told what the node said.
    #[error(transparent)]
    LinkRefused(LinkError),
    /// The link is lost, and the session cannot go on at another node. The client is told why; its
    /// transaction is rolled back, unless the text says that this is not known.
    #[error("{node} {cause}, and {stuck}")]
    Stuck { node: NodeAddr, cause: &'static str, stuck: Stuck },
    /// The node sends what cannot be followed.
    #[error("{node} breaks the protocol: {violation}")]
    NodeViolation { node: NodeAddr, violation: Violation },
}

/// Side that is the cause of an end.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Side {
    /// The client.
    Client,
    /// The node, or the way there.
    Node,
    /// Our daemon, by its own decision.
    Proxy,
}

impl End {
    /// Names the side that is the cause.
    pub(crate) fn side(&self) -> Side {
        match self {
            Self::ClientFailed(_)
            | Self::ClientGone
            | Self::ClientQuit
            | Self::ClientViolation(_) => Side::Client,
            Self::Killed { .. }
            | Self::LinkRefused(_)
            | Self::NodeViolation { .. }
            | Self::Stuck { .. } => Side::Node,
            Self::Drained | Self::DrainTimedOut | Self::HoldExpired { .. } => Side::Proxy,
        }
    }

    /// Whether the same client would probably be served if it came again.
    pub(crate) fn may_retry(&self) -> bool {
        match self {
            Self::ClientFailed(_)
            | Self::ClientGone
            | Self::ClientQuit
            | Self::ClientViolation(_)
            | Self::NodeViolation { .. } => false,
            Self::LinkRefused(error) => error.may_retry(false),
            Self::Drained
            | Self::DrainTimedOut
            | Self::HoldExpired { .. }
            | Self::Killed { .. }
            | Self::Stuck { .. } => true,
        }
    }

    /// Whether an operator should hear of it without asking.
    pub(crate) fn is_trouble(&self) -> bool {
        !matches!(self, Self::ClientGone | Self::ClientQuit | Self::Drained | Self::Killed { .. })
    }

    /// Error for the client, in reply to the command it waits for.
    pub(crate) fn error(&self) -> Option<ErrPacket> {
        let (code, state) = match self {
            Self::ClientFailed(_) | Self::ClientGone | Self::ClientQuit => return None,
            Self::LinkRefused(LinkError::Refused { error, .. })
            | Self::Killed { said: Some(error), .. } => return Some(error.clone()),
            Self::ClientViolation(Violation::TooLong { .. }) => (PACKET_TOO_LARGE, *b"08S01"),
            Self::ClientViolation(Violation::OutOfOrder { .. }) => {
                (PACKETS_OUT_OF_ORDER, *b"08S01")
            }
            Self::ClientViolation(_) => (MALFORMED_PACKET, *b"HY000"),
            Self::Drained | Self::DrainTimedOut => (SERVER_SHUTDOWN, *b"08S01"),
            Self::HoldExpired { .. } => (UNKNOWN_COMMAND, *b"08S01"),
            Self::Killed { .. } | Self::LinkRefused(_) => (CONNECTION_KILLED, *b"70100"),
            Self::Stuck { stuck: Stuck::Doubt(_), .. } => (ERROR_DURING_COMMIT, *b"HY000"),
            Self::Stuck { .. } => (CONNECTION_KILLED, *b"70100"),
            Self::NodeViolation { .. } => (MALFORMED_PACKET, *b"HY000"),
        };
        Some(ErrPacket::new(code, state, format!("ido-proxy: {self}")))
    }

    /// The reason to count when this end means that an open link was lost.
    pub(crate) fn link_loss(&self) -> Option<LinkLoss> {
        match self {
            Self::NodeViolation { .. } => Some(LinkLoss::ProtocolViolation),
            _ => None,
        }
    }

    /// The reason to count when this end was the proxy's own will.
    pub(crate) fn refusal(&self) -> Option<Refusal> {
        match self {
            Self::HoldExpired { .. } => Some(Refusal::HoldExpired),
            Self::DrainTimedOut => Some(Refusal::ShuttingDown),
            Self::ClientViolation(Violation::TooLong { .. }) => Some(Refusal::PacketTooLarge),
            _ => None,
        }
    }
}

impl From<ReadError> for End {
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::Closed => Self::ClientGone,
            ReadError::Io(error) => Self::ClientFailed(error),
            ReadError::Violation(violation) => Self::ClientViolation(violation),
        }
    }
}
