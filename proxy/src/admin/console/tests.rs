use std::collections::HashSet;

use mysql_async::prelude::Queryable;
use mysql_async::{Conn, Error, Opts, OptsBuilder, Row};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::*;
use crate::admin::testing::{DB1, address, state};
use crate::cluster::Topology;
use crate::session::shared::role::RoleName;

/// A console on a port of its own.
struct Served {
    address: SocketAddr,
    state: AdminState,
    stop: CancellationToken,
    task: JoinHandle<io::Result<()>>,
    _topology: watch::Sender<Arc<Topology>>,
}

impl Served {
    fn start() -> Self {
        let console = bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let address = console.local_addr();
        let (state, topology) = state();
        let stop = CancellationToken::new();
        let account = Account { user: USER.to_owned(), password: PASSWORD.into() };
        let task = tokio::spawn(console.serve(state.clone(), account, stop.clone()));
        Self { address, state, stop, task, _topology: topology }
    }

    fn opts(&self, user: &str, password: &str) -> Opts {
        OptsBuilder::default()
            .ip_or_hostname("127.0.0.1")
            .tcp_port(self.address.port())
            .user(Some(user))
            .pass(Some(password))
            .into()
    }

    async fn connect(&self) -> Conn {
        Conn::new(self.opts(USER, PASSWORD)).await.unwrap()
    }

    async fn raw(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }
}

/// The number and the text of an error that the server sent.
fn server_error(error: Error) -> (u16, String) {
    match error {
        Error::Server(error) => (error.code, error.message),
        other => panic!("not from the server: {other}"),
    }
}

async fn packet_of(stream: &mut TcpStream) -> Vec<u8> {
    let mut header = [0; 4];
    stream.read_exact(&mut header).await.unwrap();
    let mut payload = vec![0; usize::from(header[0]) + 256 * usize::from(header[1])];
    stream.read_exact(&mut payload).await.unwrap();
    payload
}

#[tokio::test]
async fn show_nodes_tells_the_role_and_the_reason() {
    let served = Served::start();
    let mut conn = served.connect().await;
    let rows: Vec<Row> = conn.query("show  nodes;").await.unwrap();
    assert_eq!(rows.len(), 2);
    assert_eq!(rows[0].get::<String, _>("Address").unwrap(), DB1);
    assert_eq!(rows[0].get::<String, _>("Name").unwrap(), "db1");
    assert_eq!(rows[0].get::<String, _>("Role").unwrap(), "primary");
    assert_eq!(rows[0].get::<String, _>("State").unwrap(), "synced");
    assert_eq!(rows[0].get::<Option<String>, _>("Reason").unwrap(), None);
    assert_eq!(rows[1].get::<String, _>("Usable").unwrap(), "no");
    assert_eq!(rows[1].get::<String, _>("Reason").unwrap(), "gives state to another node");
}

#[tokio::test]
async fn show_sessions_tells_who_does_what_and_where() {
    let served = Served::start();
    let session = served.state.registry.register("127.0.0.1:40000", RoleName::Writer);
    session.set_user(b"icinga");
    session.set_node(Some(address(DB1)));
    session.begin_command(ido_proxy_protocol::command::Command::Query);
    session.set_in_transaction(true);

    let mut conn = served.connect().await;
    let row: Row = conn.query_first("SHOW SESSIONS").await.unwrap().unwrap();
    assert_eq!(row.get::<String, _>("User").unwrap(), "icinga");
    assert_eq!(row.get::<String, _>("Role").unwrap(), "writer");
    assert_eq!(row.get::<String, _>("Node").unwrap(), DB1);
    assert_eq!(row.get::<String, _>("State").unwrap(), "busy");
    assert_eq!(row.get::<String, _>("Command").unwrap(), "COM_QUERY");
    assert_eq!(row.get::<String, _>("Transaction").unwrap(), "open");
    assert_eq!(row.get::<u64, _>("Commands").unwrap(), 1);
}

#[tokio::test]
async fn every_command_is_taught_and_works() {
    let served = Served::start();
    let mut conn = served.connect().await;
    let taught: Vec<(String, String)> = conn.query("HELP").await.unwrap();
    assert_eq!(taught.len(), show_commands::COMMANDS.len());
    for (words, _) in taught {
        conn.query_drop(words).await.unwrap();
    }
    let version: (String, u64) = conn.query_first("SHOW VERSION").await.unwrap().unwrap();
    assert_eq!(version.0, env!("CARGO_PKG_VERSION"));
}

#[tokio::test]
async fn an_unknown_command_is_an_error_that_names_what_exists() {
    let served = Served::start();
    let mut conn = served.connect().await;
    let error = conn.query_drop("DROP TABLE icinga_hosts").await.unwrap_err();
    let (code, message) = server_error(error);
    assert_eq!(code, 1064);
    assert!(message.contains("'DROP TABLE icinga_hosts'"), "{message}");
    assert!(message.contains("SHOW NODES, SHOW SESSIONS"), "{message}");

    let long = format!("SELECT '{}'", "\u{1f600}".repeat(10_000));
    let (_, message) = server_error(conn.query_drop(long).await.unwrap_err());
    assert!(message.len() < 500, "{message}");
    conn.ping().await.unwrap();
}

#[tokio::test]
async fn what_client_libraries_send_by_themselves_is_no_error() {
    let served = Served::start();
    let mut conn = served.connect().await;
    for text in [
        "SET NAMES utf8mb4",
        "SET AUTOCOMMIT = 0",
        "/* hello */ select @@version_comment limit 1",
        "SELECT DATABASE()",
        "select DATABASE(), USER() limit 1",
        "SELECT @@session.auto_increment_increment AS auto_increment_increment, @@no_such AS n",
        "SHOW SESSION VARIABLES LIKE 'lower_case_table_names'",
        "SHOW WARNINGS",
        "USE information_schema",
        "BEGIN",
        "COMMIT",
        "",
        ";",
    ] {
        let answered = conn.query_drop(text).await;
        assert!(answered.is_ok(), "{text:?}: {answered:?}");
    }
    let row: (u64, String, Option<String>) =
        conn.query_first("SELECT 1, USER(), DATABASE()").await.unwrap().unwrap();
    assert_eq!(row, (1, format!("{USER}@127.0.0.1"), None));
    let row: (String, String) =
        conn.query_first("SHOW VARIABLES LIKE 'version'").await.unwrap().unwrap();
    assert_eq!(row.1, client_queries::SERVER_VERSION);
}

#[tokio::test]
async fn only_the_account_with_its_password_gets_in() {
    let served = Served::start();
    for (user, password) in [(USER, "wrong"), (USER, ""), ("root", PASSWORD), ("", "")] {
        let refused = Conn::new(served.opts(user, password)).await;
        assert!(refused.is_err(), "{user:?} with {password:?}");
    }
    served.connect().await.ping().await.unwrap();
}

#[tokio::test]
async fn a_proof_seen_on_the_wire_does_not_work_twice() {
    let served = Served::start();
    let mut salts = HashSet::new();
    for _ in 0..20 {
        let greeting = packet_of(&mut served.raw().await).await;
        let after_version = greeting.iter().position(|byte| *byte == 0).unwrap() + 1;
        salts.insert(greeting[after_version + 4..after_version + 12].to_vec());
    }
    assert_eq!(salts.len(), 20);
}

#[tokio::test]
async fn changing_the_user_is_refused_not_waved_through() {
    let served = Served::start();
    let mut conn = served.connect().await;
    let error = conn.change_user(Default::default()).await.unwrap_err();
    assert_eq!(server_error(error).0, 1047);
}

#[tokio::test]
async fn a_prepared_statement_gets_a_clear_error() {
    let served = Served::start();
    let mut conn = served.connect().await;
    let error = conn.exec_drop("SHOW NODES", ()).await.unwrap_err();
    assert_eq!(server_error(error).0, 1295);
    conn.ping().await.unwrap();
}

#[tokio::test]
async fn a_text_that_is_not_utf_8_gets_an_error_and_the_connection_lives() {
    let served = Served::start();
    let mut conn = served.connect().await;
    let error = conn.query_drop(&b"SHOW \xff\xfe"[..]).await.unwrap_err();
    assert_eq!(server_error(error).0, 1064);
    conn.ping().await.unwrap();
}

#[tokio::test]
async fn garbage_ends_its_own_connection_only() {
    let served = Served::start();
    let mut bystander = served.connect().await;
    let login = b"\x20\x00\x00\xff\x85\xa6\xff\x20";
    for garbage in [&b"GET / HTTP/1.1\r\n\r\n"[..], &[0xff; 5000], &[0; 5000], login, b"\x01"] {
        let mut stream = served.raw().await;
        packet_of(&mut stream).await;
        // The console may have hung up before it has read everything.
        let _ = stream.write_all(garbage).await;
        let _ = stream.shutdown().await;
        let mut rest = Vec::new();
        let _ = stream.read_to_end(&mut rest).await;
    }
    bystander.ping().await.unwrap();
    served.connect().await.ping().await.unwrap();
}

#[tokio::test]
async fn one_client_too_many_is_told_so_and_a_free_place_is_given_again() {
    let served = Served::start();
    let mut silent = Vec::new();
    for _ in 0..MAX_CONNECTIONS {
        let mut stream = served.raw().await;
        packet_of(&mut stream).await;
        silent.push(stream);
    }
    let refusal = packet_of(&mut served.raw().await).await;
    assert_eq!(refusal, b"\xff\x10\x04Too many connections");

    drop(silent);
    let deadline = Instant::now() + Duration::from_secs(10);
    while Conn::new(served.opts(USER, PASSWORD)).await.is_err() {
        assert!(Instant::now() < deadline, "no place became free");
    }
}

#[tokio::test(start_paused = true)]
async fn who_does_not_log_in_is_sent_away() {
    let served = Served::start();
    let start = Instant::now();
    let mut silent = served.raw().await;
    let mut greeting = Vec::new();
    silent.read_to_end(&mut greeting).await.unwrap();
    assert!(start.elapsed() >= LOGIN_TIMEOUT);
    assert!(start.elapsed() < IDLE);
}

#[tokio::test]
async fn it_ends_when_told_to() {
    let served = Served::start();
    let _conn = served.connect().await;
    served.stop.cancel();
    let ended = tokio::time::timeout(Duration::from_secs(10), served.task).await;
    ended.expect("it ends").unwrap().unwrap();
    assert!(TcpStream::connect(served.address).await.is_err(), "the port is free again");
}

#[test]
fn a_taken_port_names_the_key() {
    let held = bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let error = bind(held.local_addr()).unwrap_err().to_string();
    assert!(error.starts_with("[admin] console: cannot listen on 127.0.0.1:"), "{error}");
}

const USER: &str = "ido_proxy";
const PASSWORD: &str = "correct horse";
