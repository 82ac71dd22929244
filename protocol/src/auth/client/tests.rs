use super::*;
use crate::auth::server;
use crate::login::LoginPacket;
use crate::packet::{HEADER_LEN, Header};
use crate::status::StatusFlags;

const SCRAMBLE: &Scramble = b"abcdefghijklmnopqrst";

/// Capabilities of Icinga's session.
const WANTED: Capabilities = Capabilities::FOUND_ROWS
    .union(Capabilities::MULTI_STATEMENTS)
    .union(Capabilities::SESSION_TRACK)
    .union(Capabilities::COMPRESS)
    .union(Capabilities::CACHE_METADATA);

fn request() -> Request {
    Request {
        user: b"icinga".to_vec(),
        password: b"secret".to_vec(),
        database: Some(b"icinga".to_vec()),
        collation: 8,
        wanted: WANTED,
        max_packet: 1 << 30,
        attributes: b"\x03_os\x05Linux".to_vec(),
    }
}

fn greeting(auth_plugin: AuthPlugin) -> Greeting {
    Greeting {
        server_version: b"5.5.5-10.11.6-MariaDB".to_vec(),
        connection_id: 7,
        scramble: *SCRAMBLE,
        capabilities: ALWAYS
            | Capabilities::CONNECT_WITH_DB
            | Capabilities::CONNECT_ATTRS
            | Capabilities::SESSION_TRACK
            | Capabilities::MULTI_STATEMENTS
            | Capabilities::COMPRESS
            | Capabilities::CACHE_METADATA
            | Capabilities::STMT_BULK,
        collation: 45,
        status: StatusFlags::AUTOCOMMIT,
        auth_plugin,
    }
}

/// The payload of the only packet in `step`, which must have this sequence id.
fn sent(step: ClientLoginStep, sequence: u8) -> Vec<u8> {
    let ClientLoginStep::Send(bytes) = step else {
        panic!("nothing to send: {step:?}");
    };
    assert_eq!(Header::parse(&bytes).map(|header| header.sequence), Some(sequence));
    bytes[HEADER_LEN..].to_vec()
}

/// Greets with `plugin` and returns the login that answers it.
fn greet(login: &mut Login, plugin: AuthPlugin) -> LoginRequest {
    let step = login.on_packet(0, &greeting(plugin).encode()).expect("a greeting");
    match LoginPacket::decode(&sent(step, 1)) {
        Ok(LoginPacket::Login(request)) => request,
        other => panic!("not a login: {other:?}"),
    }
}

#[test]
fn the_session_is_as_the_client_wants_it_as_far_as_the_node_can() {
    let mut login = Login::new(request());
    let answer = greet(&mut login, AuthPlugin::NativePassword);
    assert_eq!(answer.capabilities, login.capabilities());
    assert_eq!((answer.collation, answer.max_packet), (8, 1 << 30));
    assert_eq!(answer.database.as_deref(), Some(&b"icinga"[..]));
    assert_eq!(answer.attributes, b"\x03_os\x05Linux");
    let agreed = login.capabilities();
    assert!(agreed.contains(Capabilities::SESSION_TRACK | Capabilities::CACHE_METADATA));
    // The node cannot, the client did not ask, and we could not follow.
    assert!(!agreed.intersects(Capabilities::FOUND_ROWS | Capabilities::STMT_BULK));
    assert!(!agreed.intersects(Capabilities::COMPRESS));
    assert_eq!(login.greeting().map(|greeting| greeting.connection_id), Some(7));

    assert_eq!(answer.auth_response, native::scramble(b"secret", SCRAMBLE));
    let done = login.on_packet(2, b"\0\0\0\x02\0\0\0").expect("an OK");
    assert!(matches!(done, ClientLoginStep::Done(ok) if ok == b"\0\0\0\x02\0\0\0"));
}

#[test]
fn a_cached_password_of_mysql_8_is_proved_without_showing_it() {
    let mut login = Login::new(request());
    let answer = greet(&mut login, AuthPlugin::CachingSha2);
    assert_eq!(answer.auth_response, caching_sha2::scramble(b"secret", SCRAMBLE));
    let wait = login.on_packet(2, &[MORE_DATA, caching_sha2::FAST_SUCCESS]).expect("more data");
    assert!(matches!(wait, ClientLoginStep::Wait));
    let done = login.on_packet(3, b"\0\0\0\x02\0\0\0").expect("an OK");
    assert!(matches!(done, ClientLoginStep::Done(_)));
}

#[test]
fn the_password_itself_is_never_sent() {
    let mut login = Login::new(request());
    greet(&mut login, AuthPlugin::CachingSha2);
    let full = login.on_packet(2, &[MORE_DATA, caching_sha2::FULL_AUTHENTICATION]);
    assert_eq!(full.err(), Some(Violation::ClearTextWanted { plugin: AuthPlugin::CachingSha2 }));

    for plugin in [AuthPlugin::Clear, AuthPlugin::Other("dialog".into())] {
        let mut login = Login::new(request());
        // Named in the greeting, such a plugin is answered with the proof of another.
        let answer = greet(&mut login, plugin.clone());
        assert_eq!(answer.auth_plugin.as_deref(), Some(&b"mysql_native_password"[..]));
        let switch = AuthSwitchRequest::new(plugin.clone(), SCRAMBLE).encode();
        assert_eq!(login.on_packet(2, &switch).err(), Some(refusal(plugin)));
    }
}

#[test]
fn a_switch_is_followed_with_its_own_scramble() {
    let mut login = Login::new(request());
    greet(&mut login, AuthPlugin::Ed25519);
    let switch = AuthSwitchRequest::new(AuthPlugin::NativePassword, &[9; 20]).encode();
    let step = login.on_packet(2, &switch).expect("a switch");
    assert_eq!(sent(step, 3), native::scramble(b"secret", &[9; 20]));
    let failed = login.on_packet(4, b"\xff\x15\x04#28000Access denied").expect("an ERR");
    assert!(matches!(failed, ClientLoginStep::Failed(error) if error.code == 1045));
    assert_eq!(login.on_packet(5, b"\0\0\0\x02\0\0\0").err(), Some(Violation::Unsolicited));
}

#[test]
fn a_node_that_is_full_says_so() {
    let mut login = Login::new(request());
    let step = login.on_packet(0, b"\xff\x10\x04#08004Too many connections").expect("an ERR");
    assert!(matches!(step, ClientLoginStep::Failed(error) if error.code == 1040));
}

#[test]
fn tls_is_insisted_on() {
    let mut wanted = request();
    wanted.wanted.insert(Capabilities::SSL);
    let mut login = Login::new(wanted.clone());
    let plain = login.on_packet(0, &greeting(AuthPlugin::NativePassword).encode());
    assert_eq!(plain.err(), Some(Violation::MissingCapability { expected: "SSL" }));

    let mut login = Login::new(wanted);
    assert!(login.tls_started().is_empty());
    let mut login_again = Login::new(login.request.clone());
    let mut offering = greeting(AuthPlugin::NativePassword);
    offering.capabilities.insert(Capabilities::SSL);
    let step = login_again.on_packet(0, &offering.encode()).expect("a greeting");
    let ClientLoginStep::StartTls(bytes) = step else {
        panic!("no TLS: {step:?}");
    };
    assert!(matches!(LoginPacket::decode(&bytes[HEADER_LEN..]), Ok(LoginPacket::Ssl(_))));
    let bytes = login_again.tls_started();
    assert_eq!(Header::parse(&bytes).map(|header| header.sequence), Some(2));
    assert!(matches!(LoginPacket::decode(&bytes[HEADER_LEN..]), Ok(LoginPacket::Login(_))));
}

#[test]
fn debug_shows_no_password() {
    let shown = format!("{:?}", Login::new(request()));
    assert!(shown.contains("icinga") && !shown.contains("secret"), "{shown}");
    assert!(!shown.contains("115, 101, 99"), "{shown}");
}

#[test]
fn both_ends_understand_each_other() {
    for (plugin, password) in [
        (AuthPlugin::NativePassword, "secret"),
        (AuthPlugin::NativePassword, ""),
        (AuthPlugin::CachingSha2, "secret"),
        (AuthPlugin::CachingSha2, ""),
        (AuthPlugin::Ed25519, "secret"),
    ] {
        let request = Request { password: password.into(), ..request() };
        let mut client = Login::new(request);
        let mut server = server::Login::new(greeting(plugin.clone()), "localhost");
        let mut to_client = server.bytes_to_send();
        loop {
            let sequence = to_client[3];
            let step = client.on_packet(sequence, &to_client[HEADER_LEN..]).expect("no violation");
            let to_server = match step {
                ClientLoginStep::Send(bytes) => bytes,
                other => panic!("{other:?} with {plugin}"),
            };
            let answer = server.on_packet(to_server[3], &to_server[HEADER_LEN..], |user| {
                assert_eq!(user, b"icinga");
                Some(password.into())
            });
            match answer.expect("no violation") {
                server::LoginStep::Reply(bytes) => to_client = bytes,
                server::LoginStep::Accepted { request, .. } => {
                    assert_eq!(request.collation, 8);
                    break;
                }
                other => panic!("{other:?} with {plugin}"),
            }
        }
    }
}
