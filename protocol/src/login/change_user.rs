//! COM_CHANGE_USER: a client that is in logs in again, as another user and with a fresh session.
//!
//! Source: MariaDB documentation, "COM_CHANGE_USER".

use crate::capabilities::Capabilities;
use crate::login::LoginRequest;
use crate::violation::Violation;
use crate::wire::Reader;

impl LoginRequest {
    /// Reads the payload of a COM_CHANGE_USER, the command byte included. What the packet does not
    /// say again (capabilities, longest packet, and the collation, which clients may leave out)
    /// stays as it was at the first login.
    pub fn from_change_user(
        payload: &[u8],
        capabilities: Capabilities,
        max_packet: u32,
        collation: u8,
    ) -> Result<Self, Violation> {
        let mut reader = Reader::new(payload, "COM_CHANGE_USER");
        let _command = reader.u8()?;
        let user = reader.until_nul()?.to_vec();
        let len = reader.u8()?;
        let auth_response = reader.bytes(u64::from(len))?.to_vec();
        let database = Some(reader.until_nul_or_end().to_vec()).filter(|name| !name.is_empty());
        // The id has two bytes here and one in the login; those above 255 have no place there.
        let collation = if reader.is_empty() {
            collation
        } else {
            u8::try_from(reader.u16()?).unwrap_or(collation)
        };
        let auth_plugin = (capabilities.contains(Capabilities::PLUGIN_AUTH) && !reader.is_empty())
            .then(|| reader.until_nul_or_end().to_vec());
        let mut attributes = Vec::new();
        if capabilities.contains(Capabilities::CONNECT_ATTRS) && !reader.is_empty() {
            attributes = reader.lenenc_bytes()?.to_vec();
        }
        Ok(Self {
            capabilities,
            max_packet,
            collation,
            user,
            auth_response,
            database,
            auth_plugin,
            attributes,
            zstd_level: None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PACKET: &[u8] =
        b"\x11icinga\0\x04\x01\x02\x03\x04ido\0\x2d\x00mysql_native_password\0\x05\x01k\x02vv";

    fn decode(payload: &[u8]) -> Result<LoginRequest, Violation> {
        let flags = Capabilities::PLUGIN_AUTH | Capabilities::CONNECT_ATTRS;
        LoginRequest::from_change_user(payload, flags, 1 << 24, 8)
    }

    #[test]
    fn every_field_is_read() {
        let request = decode(PACKET).expect("well-formed");
        assert_eq!(request.user, b"icinga");
        assert_eq!(request.auth_response, [1, 2, 3, 4]);
        assert_eq!(request.database.as_deref(), Some(&b"ido"[..]));
        assert_eq!(request.collation, 0x2D);
        assert_eq!(request.auth_plugin.as_deref(), Some(&b"mysql_native_password"[..]));
        assert_eq!(request.attributes().collect::<Vec<_>>(), [(&b"k"[..], &b"vv"[..])]);
    }

    #[test]
    fn an_old_client_may_stop_after_the_database() {
        let request = decode(b"\x11icinga\0\x00ido\0").expect("well-formed");
        assert_eq!(request.collation, 8, "the first login's");
        assert_eq!(request.auth_plugin, None);
    }

    #[test]
    fn a_cut_packet_is_refused_or_short_but_never_a_panic() {
        for end in 0..PACKET.len() {
            drop(decode(&PACKET[..end]));
        }
        assert!(decode(&PACKET[..3]).is_err());
    }
}
