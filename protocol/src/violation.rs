//! Violations of the protocol by a peer.

use thiserror::Error;

use crate::auth_plugin::AuthPlugin;

/// A breach of the protocol, or a wish that cannot be met. The stream cannot be followed past it.
///
/// The reaction is the same for all but where a variant says otherwise: a client is told with
/// error 1835 (malformed packet) if it is its turn to listen, then closed; a link is closed and
/// counts as lost, since what it was about to say is unknown.
#[derive(Clone, Debug, Eq, Error, PartialEq)]
pub enum Violation {
    /// A packet that must have a content has none.
    #[error("an empty packet where {expected} was expected")]
    Empty {
        /// The packet that should have been there.
        expected: &'static str,
    },

    /// A node wants the password in a way that would show it to whoever listens. Reaction: the
    /// login fails; the account needs another plugin, or the link TLS.
    #[error("the server asks for the password in clear text ({plugin})")]
    ClearTextWanted {
        /// The plugin that asks.
        plugin: AuthPlugin,
    },

    /// An integer begins with a byte that stands for no length.
    #[error("a length begins with {got:#04x}, at most 0xfe was expected")]
    Length {
        /// The first byte.
        got: u8,
    },

    /// The peer lacks a capability that nothing works without. Reaction on the client's side:
    /// error 1043 (bad handshake).
    #[error("the peer lacks the capability {expected}")]
    MissingCapability {
        /// The name of the capability.
        expected: &'static str,
    },

    /// A packet has another number than the one behind the packet before. Reaction on the client's side: error 1156.
    #[error("packet number {got}, {expected} was expected")]
    OutOfOrder {
        /// The number that was expected.
        expected: u8,
        /// The number of the packet.
        got: u8,
    },

    /// A server speaks another version of the protocol.
    #[error("protocol version {got}, {expected} was expected")]
    ProtocolVersion {
        /// The version spoken here.
        expected: u8,
        /// The version of the server.
        got: u8,
    },

    /// A packet is longer than allowed where it stands. Reaction on the client's side before
    /// login: close; after it: error 1153.
    #[error("a packet of {got} bytes, at most {limit} were expected")]
    TooLong {
        /// The most bytes of payload allowed.
        limit: usize,
        /// The bytes announced.
        got: usize,
    },

    /// The peer asked for TLS, which was not offered.
    #[error("the client asks for TLS, which was not offered")]
    TlsNotOffered,

    /// A packet ends inside one of its fields.
    #[error("{packet} ends too early: {expected} more bytes were expected, {got} are there")]
    Truncated {
        /// The kind of packet.
        packet: &'static str,
        /// The bytes the field needs.
        expected: u64,
        /// The bytes that are left.
        got: usize,
    },

    /// A packet that does not belong there.
    #[error("a packet that begins with {got:#04x} where {expected} was expected")]
    Unexpected {
        /// The packet that should have been there.
        expected: &'static str,
        /// The first byte of the packet.
        got: u8,
    },

    /// Bytes after the end of a reply. Reaction: if it is an ERR packet the server ends the
    /// connection (shutdown, KILL, timeout): treat it as the loss of the link.
    #[error("the server speaks without having been asked")]
    Unsolicited,

    /// A plugin that is not spoken here. Reaction: the login fails; the account needs another.
    #[error("the server asks for the authentication plugin {plugin}, which is not supported")]
    UnsupportedPlugin {
        /// The plugin.
        plugin: AuthPlugin,
    },
}
