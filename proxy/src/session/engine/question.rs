//! A question to the server about an error.

use ido_proxy_protocol::err::ErrPacket;

use super::running::Running;

/// An error that nobody was told yet.
#[derive(Debug)]
pub(super) struct Asked {
    /// The request that ended with it.
    pub(super) running: Running,
    /// The packet, with its header.
    pub(super) packet: Vec<u8>,
    pub(super) error: ErrPacket,
    pub(super) question: Question,
    /// The answer, as far as it has come: whether the node is read-only.
    pub(super) read_only: bool,
    /// The request of the question was sent.
    pub(super) sent: bool,
}

/// Question to the server.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Question {
    /// Is the transaction still open?
    Transaction,
    /// Does the node work? The answer has the transaction's state too.
    Ready,
    /// Does the node take writes? The answer has the transaction's state too.
    ReadOnly,
}
