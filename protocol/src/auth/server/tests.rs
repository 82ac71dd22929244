use proptest::prelude::*;

use super::*;
use crate::auth::caching_sha2;
use crate::login::SslRequest;
use crate::packet::{HEADER_LEN, Header};
use crate::status::StatusFlags;

const SCRAMBLE: &Scramble = b"abcdefghijklmnopqrst";

fn greeting(extra: Capabilities) -> Greeting {
    Greeting {
        server_version: b"5.5.5-10.11.6-MariaDB".to_vec(),
        connection_id: 7,
        scramble: *SCRAMBLE,
        capabilities: Capabilities::PROTOCOL_41
            | Capabilities::SECURE_CONNECTION
            | Capabilities::PLUGIN_AUTH
            | extra,
        collation: 8,
        status: StatusFlags::AUTOCOMMIT,
        auth_plugin: AuthPlugin::NativePassword,
    }
}

fn request(user: &[u8], plugin: Option<&AuthPlugin>, response: Vec<u8>) -> LoginRequest {
    LoginRequest {
        capabilities: Capabilities::PROTOCOL_41 | Capabilities::SECURE_CONNECTION,
        max_packet: 1 << 24,
        collation: 8,
        user: user.to_vec(),
        auth_response: response,
        database: None,
        auth_plugin: plugin.map(|plugin| plugin.name().into()),
        attributes: Vec::new(),
        zstd_level: None,
    }
}

/// One account with a password and one without.
fn lookup(user: &[u8]) -> Option<Vec<u8>> {
    match user {
        b"icinga" => Some(b"secret".to_vec()),
        b"open" => Some(Vec::new()),
        _ => None,
    }
}

fn step(login: &mut Login, sequence: u8, payload: &[u8]) -> LoginStep {
    login.on_packet(sequence, payload, lookup).expect("no violation")
}

fn new_login() -> Login {
    Login::new(greeting(Capabilities::empty()), "127.0.0.1")
}

fn refusal(step: LoginStep) -> String {
    match step {
        LoginStep::Refused { error, .. } => error.to_string(),
        other => panic!("not refused: {other:?}"),
    }
}

#[test]
fn the_greeting_is_the_first_packet() {
    let login = new_login();
    let bytes = login.bytes_to_send();
    assert_eq!(Header::parse(&bytes).map(|header| header.sequence), Some(0));
    assert_eq!(Greeting::decode(&bytes[HEADER_LEN..]).as_ref(), Ok(login.greeting()));
}

#[test]
fn the_right_password_opens_in_one_step() {
    for plugin in [None, Some(&AuthPlugin::NativePassword)] {
        let response = native::scramble(b"secret", SCRAMBLE);
        let packet = request(b"icinga", plugin, response).encode();
        let LoginStep::Accepted { request, next_sequence } = step(&mut new_login(), 1, &packet)
        else {
            panic!("the right password was refused");
        };
        assert_eq!((request.user.as_slice(), next_sequence), (&b"icinga"[..], 2));
    }
}

#[test]
fn a_client_with_another_plugin_is_asked_to_switch() {
    let mut login = new_login();
    let response = caching_sha2::scramble(b"secret", SCRAMBLE);
    let packet = request(b"icinga", Some(&AuthPlugin::CachingSha2), response).encode();
    let LoginStep::Reply(bytes) = step(&mut login, 1, &packet) else {
        panic!("no switch");
    };
    assert_eq!(Header::parse(&bytes).map(|header| header.sequence), Some(2));
    let switch = AuthSwitchRequest::decode(&bytes[HEADER_LEN..]).expect("a switch");
    assert_eq!(switch.plugin, AuthPlugin::NativePassword);

    let scramble = switch.scramble().expect("a scramble");
    let proof = native::scramble(b"secret", &scramble);
    let LoginStep::Accepted { next_sequence, .. } = step(&mut login, 3, &proof) else {
        panic!("the right password was refused after a switch");
    };
    assert_eq!(next_sequence, 4);
}

#[test]
fn an_unknown_user_is_told_the_same_as_a_wrong_password() {
    let wrong = native::scramble(b"wrong", SCRAMBLE);
    for user in ["icinga", "nobody"] {
        let packet = request(user.as_bytes(), None, wrong.clone()).encode();
        assert_eq!(
            refusal(step(&mut new_login(), 1, &packet)),
            format!(
                "ERROR 1045 (28000): Access denied for user '{user}'@'127.0.0.1' \
                 (using password: YES)"
            )
        );
        let packet = request(user.as_bytes(), None, Vec::new()).encode();
        let error = refusal(step(&mut new_login(), 1, &packet));
        assert!(error.ends_with("(using password: NO)"), "{error}");

        let mut login = new_login();
        let packet = request(user.as_bytes(), Some(&AuthPlugin::Ed25519), wrong.clone()).encode();
        assert!(matches!(step(&mut login, 1, &packet), LoginStep::Reply(_)));
        let error = refusal(step(&mut login, 3, &wrong));
        assert!(error.ends_with("(using password: YES)"), "{error}");
    }
}

#[test]
fn an_account_without_a_password_opens_without_one_only() {
    let packet = request(b"open", None, Vec::new()).encode();
    let opened = step(&mut new_login(), 1, &packet);
    assert!(matches!(opened, LoginStep::Accepted { .. }));
    let packet = request(b"open", None, native::scramble(b"x", SCRAMBLE)).encode();
    refusal(step(&mut new_login(), 1, &packet));
    // The decoy opens nothing.
    let packet = request(b"nobody", None, native::scramble(DECOY, SCRAMBLE)).encode();
    refusal(step(&mut new_login(), 1, &packet));
}

#[test]
fn tls_is_begun_once_and_only_if_it_was_offered() {
    let capabilities = Capabilities::PROTOCOL_41 | Capabilities::SSL;
    let wish = SslRequest { capabilities, max_packet: 1, collation: 8 }.encode();
    let refused = new_login().on_packet(1, &wish, lookup);
    assert_eq!(refused.err(), Some(Violation::TlsNotOffered));

    let mut login = Login::new(greeting(Capabilities::SSL), "localhost");
    assert!(matches!(step(&mut login, 1, &wish), LoginStep::StartTls));
    let packet = request(b"icinga", None, native::scramble(b"secret", SCRAMBLE)).encode();
    assert!(matches!(step(&mut login, 2, &packet), LoginStep::Accepted { next_sequence: 3, .. }));

    let mut login = Login::new(greeting(Capabilities::SSL), "localhost");
    assert!(matches!(step(&mut login, 1, &wish), LoginStep::StartTls));
    assert_eq!(login.on_packet(2, &wish, lookup).err(), Some(Violation::TlsNotOffered));
}

#[test]
fn nothing_opens_a_login_that_was_refused() {
    let mut login = new_login();
    refusal(step(&mut login, 1, &request(b"icinga", None, vec![1; 20]).encode()));
    let right = request(b"icinga", None, native::scramble(b"secret", SCRAMBLE)).encode();
    assert_eq!(login.on_packet(1, &right, lookup).err(), Some(Violation::Unsolicited));
}

#[test]
fn a_login_without_a_scramble_is_refused() {
    let mut old = request(b"icinga", None, Vec::new());
    old.capabilities = Capabilities::PROTOCOL_41;
    assert_eq!(
        new_login().on_packet(1, &old.encode(), lookup).err(),
        Some(Violation::MissingCapability { expected: "SECURE_CONNECTION" })
    );
}

proptest! {
    #[test]
    fn no_guess_opens_an_account(
        response in proptest::collection::vec(any::<u8>(), 0..40),
        user in prop::sample::select(vec!["icinga", "nobody"]),
    ) {
        let packet = request(user.as_bytes(), None, response).encode();
        refusal(step(&mut new_login(), 1, &packet));
    }
}
