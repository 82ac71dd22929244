//! The answer of a client to the greeting.
//!
//! Sources: MariaDB documentation, "Connection" (Client Handshake Response, SSLRequest packet);
//! MySQL source documentation, "Protocol::HandshakeResponse41", "Protocol::SSLRequest".

mod change_user;

use std::fmt;

use crate::capabilities::Capabilities;
use crate::violation::Violation;
use crate::wire::{Reader, put_lenenc_bytes, put_until_nul};

/// A client's answer to the greeting.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum LoginPacket {
    /// The client logs in.
    Login(LoginRequest),
    /// The client wants TLS first, and logs in then.
    Ssl(SslRequest),
}

impl LoginPacket {
    /// Reads the answer to a greeting.
    pub fn decode(payload: &[u8]) -> Result<Self, Violation> {
        let (start, mut reader) = SslRequest::read(payload)?;
        if reader.is_empty() && start.capabilities.contains(Capabilities::SSL) {
            return Ok(Self::Ssl(start));
        }
        LoginRequest::read(start, &mut reader).map(Self::Login)
    }
}

/// The first 32 bytes of a login, sent alone by a client that goes on with TLS.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct SslRequest {
    /// Capabilities as in [`LoginRequest::capabilities`]; [`SSL`](Capabilities::SSL) is among them.
    pub capabilities: Capabilities,
    /// Longest packet as in [`LoginRequest::max_packet`].
    pub max_packet: u32,
    /// Collation as in [`LoginRequest::collation`].
    pub collation: u8,
}

impl SslRequest {
    /// The payload.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(256);
        out.extend_from_slice(&self.capabilities.low().to_le_bytes());
        out.extend_from_slice(&self.max_packet.to_le_bytes());
        out.push(self.collation);
        out.extend_from_slice(&[0; 19]);
        out.extend_from_slice(&self.capabilities.extended_on_wire().to_le_bytes());
        out
    }

    fn read(payload: &[u8]) -> Result<(Self, Reader<'_>), Violation> {
        let mut reader = Reader::new(payload, "login");
        // Clients of MySQL 3.23 and 4.0 send two bytes of capabilities and another layout.
        let low_half = Capabilities::from_bits(u64::from(reader.clone().u16()?));
        if !low_half.contains(Capabilities::PROTOCOL_41) {
            return Err(Violation::MissingCapability { expected: "PROTOCOL_41" });
        }
        let low = reader.u32()?;
        let max_packet = reader.u32()?;
        let collation = reader.u8()?;
        let _filler: [u8; 19] = reader.array()?;
        let capabilities = Capabilities::from_halves(low, reader.u32()?);
        Ok((Self { capabilities, max_packet, collation }, reader))
    }
}

/// The account that wants to log in, and the settings of the session.
#[derive(Clone, Eq, PartialEq)]
pub struct LoginRequest {
    /// The client's capabilities. In force are those that the greeting offered as well. The flags that
    /// announce a field below follow from that field when the packet is written.
    pub capabilities: Capabilities,
    /// The longest packet the client takes, in bytes.
    pub max_packet: u32,
    /// The low byte of the id of the session's collation.
    pub collation: u8,
    /// The account, without a host; no NUL byte.
    pub user: Vec<u8>,
    /// The proof of the password, as [`Self::auth_plugin`] has it. Never shown by `Debug`.
    pub auth_response: Vec<u8>,
    /// The default database, [`CONNECT_WITH_DB`](Capabilities::CONNECT_WITH_DB); no NUL byte.
    pub database: Option<Vec<u8>>,
    /// The plugin that made the proof, [`PLUGIN_AUTH`](Capabilities::PLUGIN_AUTH); no NUL byte.
    pub auth_plugin: Option<Vec<u8>>,
    /// The connection attributes as they are on the wire, in their order, without the length of the
    /// whole; sent with [`CONNECT_ATTRS`](Capabilities::CONNECT_ATTRS). See [`Self::attributes`].
    pub attributes: Vec<u8>,
    /// The level of compression, [`ZSTD_COMPRESSION`](Capabilities::ZSTD_COMPRESSION).
    pub zstd_level: Option<u8>,
}

impl LoginRequest {
    fn read(start: SslRequest, reader: &mut Reader<'_>) -> Result<Self, Violation> {
        let SslRequest { capabilities, max_packet, collation } = start;
        let user = reader.until_nul()?.to_vec();
        let auth_response = if capabilities.contains(Capabilities::PLUGIN_AUTH_LENENC) {
            reader.lenenc_bytes()?
        } else if capabilities.contains(Capabilities::SECURE_CONNECTION) {
            let len = reader.u8()?;
            reader.bytes(u64::from(len))?
        } else {
            reader.until_nul()?
        };
        // Servers forgive clients that announce the fields below and leave them out.
        let mut text =
            |flag| capabilities.contains(flag).then(|| reader.until_nul_or_end().to_vec());
        let database = text(Capabilities::CONNECT_WITH_DB);
        let auth_plugin = text(Capabilities::PLUGIN_AUTH);
        let mut attributes = Vec::new();
        if capabilities.contains(Capabilities::CONNECT_ATTRS) && !reader.is_empty() {
            attributes = reader.lenenc_bytes()?.to_vec();
        }
        let mut zstd_level = None;
        if capabilities.contains(Capabilities::ZSTD_COMPRESSION) && !reader.is_empty() {
            zstd_level = Some(reader.u8()?);
        }
        Ok(Self {
            capabilities,
            max_packet,
            collation,
            user,
            auth_response: auth_response.to_vec(),
            database,
            auth_plugin,
            attributes,
            zstd_level,
        })
    }

    /// The payload.
    pub fn encode(&self) -> Vec<u8> {
        let capabilities = self.announced();
        let Self { max_packet, collation, .. } = *self;
        let mut out = SslRequest { capabilities, max_packet, collation }.encode();
        put_until_nul(&mut out, &self.user);
        if capabilities.contains(Capabilities::PLUGIN_AUTH_LENENC) {
            put_lenenc_bytes(&mut out, &self.auth_response);
        } else if capabilities.contains(Capabilities::SECURE_CONNECTION) {
            out.push(self.auth_response.len() as u8);
            out.extend_from_slice(&self.auth_response);
        } else {
            put_until_nul(&mut out, &self.auth_response);
        }
        for text in [&self.database, &self.auth_plugin].into_iter().flatten() {
            put_until_nul(&mut out, text);
        }
        if capabilities.contains(Capabilities::CONNECT_ATTRS) {
            put_lenenc_bytes(&mut out, &self.attributes);
        }
        out.extend(self.zstd_level);
        out
    }

    /// The connection attributes as pairs of key and value, in the client's order. Ends where they
    /// are malformed.
    pub fn attributes(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        let mut reader = Reader::new(&self.attributes, "connection attributes");
        std::iter::from_fn(move || {
            let key = reader.lenenc_bytes().ok()?;
            Some((key, reader.lenenc_bytes().ok()?))
        })
    }

    /// The capabilities with the flags that the fields call for.
    fn announced(&self) -> Capabilities {
        let mut capabilities = self.capabilities;
        for (flag, announced) in [
            (Capabilities::CONNECT_WITH_DB, self.database.is_some()),
            (Capabilities::PLUGIN_AUTH, self.auth_plugin.is_some()),
            (Capabilities::ZSTD_COMPRESSION, self.zstd_level.is_some()),
        ] {
            if announced {
                capabilities.insert(flag);
            } else {
                capabilities.remove(flag);
            }
        }
        if self.auth_response.len() > usize::from(u8::MAX) {
            capabilities.insert(Capabilities::PLUGIN_AUTH_LENENC);
        }
        capabilities
    }
}

/// Leaves out the proof of the password: whoever has it and the scramble can guess at leisure.
impl fmt::Debug for LoginRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = |bytes: &[u8]| bytes.escape_ascii().to_string();
        f.debug_struct("LoginRequest")
            .field("capabilities", &self.capabilities)
            .field("max_packet", &self.max_packet)
            .field("collation", &self.collation)
            .field("user", &text(&self.user))
            .field("database", &self.database.as_deref().map(text))
            .field("auth_plugin", &self.auth_plugin.as_deref().map(text))
            .field("attributes", &text(&self.attributes))
            .field("zstd_level", &self.zstd_level)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
