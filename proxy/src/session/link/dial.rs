//! How a link is opened, and why it could not be.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use ido_proxy_protocol::Violation;
use ido_proxy_protocol::capabilities::Capabilities;
use ido_proxy_protocol::err::ErrPacket;
use secrecy::SecretString;
use thiserror::Error;

use crate::cluster::NodeAddr;
use crate::cluster::tls::NodeTls;
use crate::session::transport::packet_io::ReadError;
use crate::session::transport::wire::Buffers;
use crate::telemetry::metrics::LinkLoss;

/// How a client logs in, and so how its links do.
#[derive(Clone, Debug)]
pub(crate) struct Profile {
    /// Account name.
    pub(crate) user: Vec<u8>,
    /// Password of the account, from the configuration.
    pub(crate) password: SecretString,
    /// Default database.
    pub(crate) database: Option<Vec<u8>>,
    /// The character set byte of the login. Icinga's is latin1 whatever the bytes it sends.
    pub(crate) collation: u8,
    /// Capabilities that the client negotiated.
    pub(crate) capabilities: Capabilities,
    /// The client's largest packet, in bytes.
    pub(crate) max_packet: u32,
    /// Connection attributes, as the client encoded them.
    pub(crate) attributes: Vec<u8>,
}

/// How a worker opens links.
#[derive(Clone, Debug)]
pub(crate) struct Dial {
    /// The worker's free buffers.
    pub(crate) buffers: Arc<Buffers>,
    /// How long it may take to connect and to log in.
    pub(crate) limit: Duration,
    /// By TLS, or without.
    pub(crate) tls: Option<Arc<NodeTls>>,
}

/// Why a link could not be opened.
#[derive(Debug, Error)]
pub(crate) enum LinkError {
    /// The node did not let us in: wrong password, unknown database, too many connections. It said
    /// why. Reaction: the client is told the same; asking again gives the same answer.
    #[error("{node} refuses the login: {error}")]
    Refused { node: NodeAddr, error: ErrPacket },
    /// Reaction: another try, the node may be dying or starting.
    #[error("{node} does not let itself be reached: {source}")]
    Io { node: NodeAddr, source: io::Error },
    /// Reaction: another try.
    #[error("{node} did not complete the login within {after:?}")]
    TimedOut { node: NodeAddr, after: Duration },
    /// Another node is the primary now. Reaction: that one is asked.
    #[error("{node} is no longer the primary")]
    Moved { node: NodeAddr },
    /// TLS does not come about, or the node's certificate is not one to trust. Reaction: another try; the
    /// probes will find the same, and another node is used.
    #[error("{node} cannot be trusted: {flaw}")]
    Untrusted { node: NodeAddr, flaw: String },
    /// The node does not speak the protocol as we do. Asking again gives the same answer.
    #[error("{node} breaks the protocol at login: {violation}")]
    Violation { node: NodeAddr, violation: Violation },
}

impl LinkError {
    /// Whether the same may succeed a moment later. One that `recovers` waits for a place where others
    /// are told at once that there is none: its client has been served before.
    pub(crate) fn may_retry(&self, recovers: bool) -> bool {
        match self {
            Self::Io { .. }
            | Self::Moved { .. }
            | Self::TimedOut { .. }
            | Self::Untrusted { .. } => true,
            Self::Refused { error, .. } => {
                RETRIED_REFUSALS.contains(&error.code) || (recovers && LIMITS.contains(&error.code))
            }
            Self::Violation { .. } => false,
        }
    }

    /// Why the node is not to be trusted, if that is what it says.
    pub(super) fn flaw(&self) -> Option<String> {
        match self {
            Self::Untrusted { flaw, .. } => Some(flaw.clone()),
            _ => None,
        }
    }

    /// The reason to count.
    pub(crate) fn loss(&self) -> LinkLoss {
        match self {
            Self::Refused { .. } if self.may_retry(false) => LinkLoss::NodeFailed,
            Self::Refused { .. } => LinkLoss::LoginFailed,
            Self::Io { .. }
            | Self::Moved { .. }
            | Self::TimedOut { .. }
            | Self::Untrusted { .. } => LinkLoss::ConnectFailed,
            Self::Violation { .. } => LinkLoss::ProtocolViolation,
        }
    }
}

impl LinkError {
    pub(super) fn from_violation(node: NodeAddr, violation: Violation) -> Self {
        match violation {
            Violation::MissingCapability { expected: "SSL" } => {
                Self::Untrusted { node, flaw: "it offers no TLS".into() }
            }
            violation => Self::Violation { node, violation },
        }
    }

    pub(in crate::session) fn from_read(node: NodeAddr, error: ReadError) -> Self {
        match error {
            ReadError::Closed => Self::Io { node, source: io::ErrorKind::UnexpectedEof.into() },
            ReadError::Io(source) => Self::Io { node, source },
            ReadError::Violation(violation) => Self::Violation { node, violation },
        }
    }
}

/// No packet of a login comes near this, in bytes.
pub(in crate::session) const LOGIN_PACKET_LIMIT: usize = 1 << 20;

/// ER_SERVER_SHUTDOWN and the state of a node outside the primary component: such a node is about to
/// be left, so another try is likely to meet another one. And ER_CON_COUNT_ERROR: after a failover many
/// come at once, and some leave again. And ER_HOST_IS_BLOCKED, after logins that broke off.
const RETRIED_REFUSALS: [u16; 4] = [1053, 1047, 1040, 1129];

/// ER_TOO_MANY_USER_CONNECTIONS and ER_USER_LIMIT_REACHED: connections of a node that is being left may
/// still count.
const LIMITS: [u16; 2] = [1203, 1226];
