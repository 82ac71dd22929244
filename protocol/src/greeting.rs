//! The first packet on a connection: the server says who it is and what it can do.
//!
//! Sources: MariaDB documentation, "Connection" (Initial Handshake Packet); MySQL source
//! documentation, "Protocol::HandshakeV10".

use std::borrow::Cow;

use crate::auth_plugin::{AuthPlugin, Scramble};
use crate::capabilities::Capabilities;
use crate::err::{ERR, ErrPacket};
use crate::status::StatusFlags;
use crate::violation::Violation;
use crate::wire::{Reader, put_until_nul};

/// The first packet of a server.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum FirstPacket {
    /// The server turns the client away: too many connections, a blocked host, a shutdown.
    Error(ErrPacket),
    /// The server wants the client to log in.
    Greeting(Greeting),
}

impl FirstPacket {
    /// Reads the first payload of a server.
    pub fn decode(payload: &[u8]) -> Result<Self, Violation> {
        if payload.first() == Some(&ERR) {
            ErrPacket::decode(payload).map(Self::Error)
        } else {
            Greeting::decode(payload).map(Self::Greeting)
        }
    }
}

/// Version and capabilities of a server, and what a login needs.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Greeting {
    /// The version as it is on the wire, such as `5.5.5-10.11.6-MariaDB-log`; no NUL byte.
    pub server_version: Vec<u8>,
    /// The number that CONNECTION_ID() returns and KILL takes.
    pub connection_id: u32,
    /// The random bytes that a password is proved with. See [`Self::scramble_from`].
    pub scramble: Scramble,
    /// The server's capabilities.
    pub capabilities: Capabilities,
    /// The low byte of its default collation's id.
    pub collation: u8,
    /// The state a session begins with.
    pub status: StatusFlags,
    /// How accounts prove their passwords unless told otherwise;
    /// [`AuthPlugin::NativePassword`] without [`PLUGIN_AUTH`](Capabilities::PLUGIN_AUTH).
    pub auth_plugin: AuthPlugin,
}

impl Greeting {
    /// Reads a greeting.
    pub fn decode(payload: &[u8]) -> Result<Self, Violation> {
        let mut reader = Reader::new(payload, "greeting");
        match reader.u8()? {
            PROTOCOL_VERSION => {}
            got => return Err(Violation::ProtocolVersion { expected: PROTOCOL_VERSION, got }),
        }
        let server_version = reader.until_nul()?.to_vec();
        let connection_id = reader.u32()?;
        let scramble_start: [u8; 8] = reader.array()?;
        let _filler = reader.u8()?;
        let low = u32::from(reader.u16()?);
        let collation = reader.u8()?;
        let status = StatusFlags::from_bits(reader.u16()?);
        let low = low | u32::from(reader.u16()?) << 16;
        let scramble_len = reader.u8()?;
        let _reserved: [u8; 6] = reader.array()?;
        let capabilities = Capabilities::from_halves(low, reader.u32()?);
        if !capabilities.contains(Capabilities::SECURE_CONNECTION) {
            return Err(Violation::MissingCapability { expected: "SECURE_CONNECTION" });
        }

        let rest_len = u64::from(scramble_len).saturating_sub(8).max(SCRAMBLE_REST_LEN);
        let mut scramble_rest = Reader::new(reader.bytes(rest_len)?, "greeting");
        let scramble_end: [u8; 12] = scramble_rest.array()?;
        let mut scramble = [0; 20];
        scramble[..8].copy_from_slice(&scramble_start);
        scramble[8..].copy_from_slice(&scramble_end);

        let auth_plugin = if capabilities.contains(Capabilities::PLUGIN_AUTH) {
            AuthPlugin::from_name(reader.until_nul_or_end())
        } else {
            AuthPlugin::NativePassword
        };
        Ok(Self {
            server_version,
            connection_id,
            scramble,
            capabilities,
            collation,
            status,
            auth_plugin,
        })
    }

    /// The payload. [`SECURE_CONNECTION`](Capabilities::SECURE_CONNECTION) must be among the
    /// capabilities.
    pub fn encode(&self) -> Vec<u8> {
        let low = self.capabilities.low().to_le_bytes();
        let has_plugin = self.capabilities.contains(Capabilities::PLUGIN_AUTH);
        let mut out = Vec::with_capacity(96);
        out.push(PROTOCOL_VERSION);
        put_until_nul(&mut out, &self.server_version);
        out.extend_from_slice(&self.connection_id.to_le_bytes());
        out.extend_from_slice(&self.scramble[..8]);
        out.push(0);
        out.extend_from_slice(&low[..2]);
        out.push(self.collation);
        out.extend_from_slice(&self.status.bits().to_le_bytes());
        out.extend_from_slice(&low[2..]);
        out.push(if has_plugin { SCRAMBLE_LEN_WITH_NUL } else { 0 });
        out.extend_from_slice(&[0; 6]);
        out.extend_from_slice(&self.capabilities.extended_on_wire().to_le_bytes());
        out.extend_from_slice(&self.scramble[8..]);
        out.push(0);
        if has_plugin {
            put_until_nul(&mut out, self.auth_plugin.name().as_bytes());
        }
        out
    }

    /// The version for people and logs.
    pub fn version(&self) -> Cow<'_, str> {
        String::from_utf8_lossy(&self.server_version)
    }

    /// Makes random bytes into a scramble. Client libraries take a NUL for its end, and servers
    /// avoid `$`, which separates the fields of stored passwords.
    pub fn scramble_from(random: Scramble) -> Scramble {
        random.map(|byte| match byte & 0x7F {
            0 => 0x01,
            b'$' => b'%',
            other => other,
        })
    }
}

const PROTOCOL_VERSION: u8 = 10;
const SCRAMBLE_LEN_WITH_NUL: u8 = 21;
/// The second part of the scramble: 12 bytes and a NUL.
const SCRAMBLE_REST_LEN: u64 = 13;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The greeting that the MariaDB documentation dissects, from a 10.11 server.
    const MARIADB: &[u8] = b"\x0a5.5.5-10.11.6-MariaDB\0\x29\0\0\0abcdefgh\0\xfe\xf7\x2d\x02\0\
        \xff\x81\x15\0\0\0\0\0\0\x3d\0\0\0ijklmnopqrst\0mysql_native_password\0";

    #[test]
    fn a_mariadb_greeting_shows_its_extended_capabilities() {
        let Ok(FirstPacket::Greeting(greeting)) = FirstPacket::decode(MARIADB) else {
            panic!("not a greeting");
        };
        assert_eq!(greeting.version(), "5.5.5-10.11.6-MariaDB");
        assert_eq!(greeting.connection_id, 41);
        assert_eq!(&greeting.scramble, b"abcdefghijklmnopqrst");
        assert_eq!(greeting.collation, 45);
        assert_eq!(greeting.status, StatusFlags::AUTOCOMMIT);
        assert_eq!(greeting.auth_plugin, AuthPlugin::NativePassword);
        assert!(!greeting.capabilities.contains(Capabilities::LONG_PASSWORD));
        assert!(greeting.capabilities.contains(Capabilities::CACHE_METADATA));
        assert!(greeting.capabilities.contains(Capabilities::SESSION_TRACK));
        assert_eq!(greeting.encode(), MARIADB);
    }

    #[test]
    fn a_greeting_cut_short_is_a_violation() {
        // From the plugin's name on, some servers leave bytes out.
        let name = MARIADB.len() - "mysql_native_password\0".len();
        for end in 0..name {
            assert!(FirstPacket::decode(&MARIADB[..end]).is_err(), "cut at {end}");
        }
        for end in name..MARIADB.len() {
            assert!(FirstPacket::decode(&MARIADB[..end]).is_ok(), "cut at {end}");
        }
    }

    #[test]
    fn a_server_that_turns_us_away_says_why() {
        let Ok(FirstPacket::Error(err)) = FirstPacket::decode(b"\xff\x10\x04Too many connections")
        else {
            panic!("not an error");
        };
        assert_eq!(err.code, 1040);
        let old = Greeting::decode(b"\x093.23\0");
        assert_eq!(old, Err(Violation::ProtocolVersion { expected: 10, got: 9 }));
    }

    #[test]
    fn a_scramble_has_no_byte_that_client_libraries_stumble_over() {
        for byte in 0..=u8::MAX {
            let [first, ..] = Greeting::scramble_from([byte; 20]);
            assert!(first != 0 && first != b'$' && first < 0x80);
        }
    }

    proptest! {
        #[test]
        fn greetings_round_trip(
            server_version in proptest::collection::vec(1..=u8::MAX, 0..40),
            connection_id: u32,
            scramble: [u8; 20],
            low: u32,
            extended: u32,
            collation: u8,
            status: u16,
            name in "[a-z0-9_]{1,20}",
        ) {
            let mut capabilities = Capabilities::from_halves(low, extended);
            capabilities.insert(Capabilities::SECURE_CONNECTION);
            let auth_plugin = if capabilities.contains(Capabilities::PLUGIN_AUTH) {
                AuthPlugin::from_name(name.as_bytes())
            } else {
                AuthPlugin::NativePassword
            };
            let status = StatusFlags::from_bits(status);
            let greeting = Greeting {
                server_version, connection_id, scramble, capabilities, collation, status, auth_plugin,
            };
            prop_assert_eq!(Greeting::decode(&greeting.encode()), Ok(greeting));
        }

        #[test]
        fn any_bytes_are_read_without_a_panic(mut payload: Vec<u8>) {
            let _ = FirstPacket::decode(&payload);
            payload.insert(0, PROTOCOL_VERSION);
            let _ = FirstPacket::decode(&payload);
        }
    }
}
