use proptest::prelude::*;

use super::*;

/// A login as Connector/C sends it for Icinga: latin1 (8), found rows, several statements.
fn icinga() -> LoginRequest {
    LoginRequest {
        capabilities: Capabilities::PROTOCOL_41
            | Capabilities::SECURE_CONNECTION
            | Capabilities::FOUND_ROWS
            | Capabilities::MULTI_STATEMENTS
            | Capabilities::CONNECT_WITH_DB
            | Capabilities::PLUGIN_AUTH
            | Capabilities::PLUGIN_AUTH_LENENC
            | Capabilities::CONNECT_ATTRS
            | Capabilities::CACHE_METADATA,
        max_packet: 0x4000_0000,
        collation: 8,
        user: b"icinga".to_vec(),
        auth_response: vec![0x5A; 20],
        database: Some(b"icinga".to_vec()),
        auth_plugin: Some(b"mysql_native_password".to_vec()),
        attributes: b"\x03_os\x05Linux\x04_pid\x0242".to_vec(),
        zstd_level: None,
    }
}

#[test]
fn a_login_is_written_as_the_documentation_has_it() {
    let payload = icinga().encode();
    let mut expected = b"\x0a\x82\x39\0\0\0\0\x40\x08".to_vec();
    expected.extend_from_slice(&[0; 19]);
    expected.extend_from_slice(b"\x10\0\0\0icinga\0\x14ZZZZZZZZZZZZZZZZZZZZicinga\0");
    expected.extend_from_slice(b"mysql_native_password\0\x12\x03_os\x05Linux\x04_pid\x0242");
    assert_eq!(payload, expected);
    assert_eq!(LoginPacket::decode(&payload), Ok(LoginPacket::Login(icinga())));
}

#[test]
fn attributes_keep_their_order_and_end_where_they_break() {
    let mut login = icinga();
    let pairs: Vec<_> = login.attributes().collect();
    assert_eq!(pairs, [(&b"_os"[..], &b"Linux"[..]), (b"_pid", b"42")]);
    login.attributes.push(b'\x09');
    assert_eq!(login.attributes().count(), 2);
}

#[test]
fn a_login_cut_anywhere_never_panics() {
    let payload = icinga().encode();
    let database = payload.len() - b"icinga\0mysql_native_password\0".len() - 19;
    for end in 0..database {
        assert!(LoginPacket::decode(&payload[..end]).is_err(), "cut at {end}");
    }
    for end in database..payload.len() {
        let _ = LoginPacket::decode(&payload[..end]);
    }
}

#[test]
fn a_wish_for_tls_is_told_from_a_login() {
    let capabilities = Capabilities::PROTOCOL_41 | Capabilities::SSL;
    let request = SslRequest { capabilities, max_packet: 1 << 24, collation: 33 };
    let payload = request.encode();
    assert_eq!(payload.len(), 32);
    assert_eq!(LoginPacket::decode(&payload), Ok(LoginPacket::Ssl(request)));

    let mut login = icinga();
    login.capabilities.insert(Capabilities::SSL);
    assert_eq!(LoginPacket::decode(&login.encode()), Ok(LoginPacket::Login(login)));
}

#[test]
fn a_client_of_mysql_4_0_is_told_what_it_lacks() {
    let old = LoginPacket::decode(b"\x05\x24\0\0\0root\0abcdefgh");
    assert_eq!(old, Err(Violation::MissingCapability { expected: "PROTOCOL_41" }));
}

#[test]
fn debug_shows_no_proof_of_a_password() {
    let shown = format!("{:?}", icinga());
    assert!(shown.contains("icinga") && shown.contains("FOUND_ROWS"), "{shown}");
    assert!(!shown.contains("90") && !shown.contains("ZZ"), "{shown}");
}

fn text() -> impl Strategy<Value = Vec<u8>> {
    proptest::collection::vec(1..=u8::MAX, 0..30)
}

proptest! {
    #[test]
    fn logins_round_trip(
        low: u32,
        extended: u32,
        max_packet: u32,
        collation: u8,
        user in text(),
        auth_response in proptest::collection::vec(1..=u8::MAX, 0..300),
        database in proptest::option::of(text()),
        auth_plugin in proptest::option::of(text()),
        attributes: Vec<u8>,
        zstd_level: Option<u8>,
    ) {
        let mut login = LoginRequest {
            capabilities: Capabilities::from_halves(low, extended),
            max_packet, collation, user, auth_response, database, auth_plugin, attributes, zstd_level,
        };
        login.capabilities.insert(Capabilities::PROTOCOL_41);
        if !login.capabilities.contains(Capabilities::CONNECT_ATTRS) {
            login.attributes.clear();
        }
        login.capabilities = login.announced();
        prop_assert_eq!(LoginPacket::decode(&login.encode()), Ok(LoginPacket::Login(login)));
    }

    #[test]
    fn any_bytes_are_read_without_a_panic(low: u32, tail: Vec<u8>) {
        let _ = LoginPacket::decode(&tail);
        let low = low | Capabilities::PROTOCOL_41.low();
        let payload = [&low.to_le_bytes()[..], &[0; 28], &tail].concat();
        if let Ok(LoginPacket::Login(login)) = LoginPacket::decode(&payload) {
            let _ = login.attributes().count();
        }
    }
}
