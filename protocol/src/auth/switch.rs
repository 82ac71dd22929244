//! The packets that a server sends between a login and its OK.
//!
//! Sources: MariaDB documentation, "Connection" (Authentication Switch Request Packet); MySQL source
//! documentation, "Protocol::AuthSwitchRequest", "Protocol::AuthMoreData".

use crate::auth::{AuthPlugin, Scramble};
use crate::eof::EOF;
use crate::violation::Violation;
use crate::wire::{Reader, put_until_nul};

/// The first byte of an AuthMoreData packet.
pub const MORE_DATA: u8 = 0x01;

/// The server wants the password proved by another plugin, or with another scramble.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct AuthSwitchRequest {
    /// The plugin it wants.
    pub plugin: AuthPlugin,
    /// Data for the plugin: for most a scramble and a NUL. See [`Self::scramble`].
    pub data: Vec<u8>,
}

impl AuthSwitchRequest {
    /// A wish for a proof by `plugin` with `scramble`.
    pub fn new(plugin: AuthPlugin, scramble: &Scramble) -> Self {
        Self { plugin, data: [scramble.as_slice(), &[0]].concat() }
    }

    /// Reads a payload that begins with 0xFE.
    pub fn decode(payload: &[u8]) -> Result<Self, Violation> {
        let mut reader = Reader::new(payload, "authentication switch");
        match reader.u8()? {
            EOF => {}
            got => return Err(Violation::Unexpected { expected: "an authentication switch", got }),
        }
        if reader.is_empty() {
            // The switch of MySQL 4.0, whose proof shows the password.
            return Ok(Self { plugin: AuthPlugin::from_name(OLD_PASSWORD), data: Vec::new() });
        }
        let plugin = AuthPlugin::from_name(reader.until_nul()?);
        Ok(Self { plugin, data: reader.rest().to_vec() })
    }

    /// The payload.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = vec![EOF];
        put_until_nul(&mut out, self.plugin.name().as_bytes());
        out.extend_from_slice(&self.data);
        out
    }

    /// The scramble, if the data holds one.
    pub fn scramble(&self) -> Result<Scramble, Violation> {
        Reader::new(&self.data, "authentication switch").array()
    }
}

/// Something that the plugin in hand says.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct AuthMoreData<'a> {
    /// The plugin's data.
    pub data: &'a [u8],
}

impl<'a> AuthMoreData<'a> {
    /// Reads a payload that begins with [`MORE_DATA`].
    pub fn decode(payload: &'a [u8]) -> Result<Self, Violation> {
        match payload {
            [MORE_DATA, data @ ..] => Ok(Self { data }),
            [got, ..] => Err(Violation::Unexpected { expected: "more data", got: *got }),
            [] => Err(Violation::Empty { expected: "more data" }),
        }
    }
}

const OLD_PASSWORD: &[u8] = b"mysql_old_password";

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_switch_names_plugin_and_scramble() {
        let payload = b"\xfemysql_native_password\0abcdefghijklmnopqrst\0";
        let switch = AuthSwitchRequest::decode(payload).expect("a switch");
        assert_eq!(switch.plugin, AuthPlugin::NativePassword);
        assert_eq!(switch.scramble().as_ref(), Ok(b"abcdefghijklmnopqrst"));
        assert_eq!(switch.encode(), payload);
        let made = AuthSwitchRequest::new(AuthPlugin::NativePassword, b"abcdefghijklmnopqrst");
        assert_eq!(made, switch);
        for end in 2.."\u{fe}mysql_native_password".len() - 1 {
            assert!(AuthSwitchRequest::decode(&payload[..end]).is_err(), "cut at {end}");
        }
    }

    #[test]
    fn the_switch_of_old_servers_is_recognised() {
        let switch = AuthSwitchRequest::decode(&[EOF]).expect("a switch");
        assert_eq!(switch.plugin.name(), "mysql_old_password");
        assert!(switch.scramble().is_err());
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_a_panic(mut payload: Vec<u8>) {
            let _ = AuthMoreData::decode(&payload);
            payload.insert(0, EOF);
            if let Ok(switch) = AuthSwitchRequest::decode(&payload) {
                let _ = switch.scramble();
            }
        }
    }
}
