use ido_proxy_protocol::command::Command;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::*;
use crate::admin::testing::{DB1, address, state};
use crate::cluster::Topology;
use crate::session::shared::role::RoleName;

/// A server on a port of its own.
struct Served {
    address: SocketAddr,
    state: AdminState,
    topology: watch::Sender<Arc<Topology>>,
    stop: CancellationToken,
    task: JoinHandle<std::io::Result<()>>,
}

impl Served {
    fn start() -> Self {
        let http = bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let address = http.local_addr();
        let (state, topology) = state();
        let stop = CancellationToken::new();
        let task = tokio::spawn(http.serve(state.clone(), stop.clone()));
        Self { address, state, topology, stop, task }
    }

    /// Status line and headers, then the body.
    async fn get(&self, path: &str) -> (String, String) {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        let request =
            format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        (head.to_owned(), body.to_owned())
    }

    fn lose_the_primary(&self) {
        self.topology.send_modify(|topology| {
            let topology = Arc::make_mut(topology);
            topology.primary = None;
            topology.nodes[0].usable = false;
            topology.nodes[0].reason = Some("no answer for 1s".into());
        });
    }
}

#[tokio::test]
async fn status_names_the_primary_the_nodes_and_the_sessions() {
    let served = Served::start();
    let session = served.state.registry.register("127.0.0.1:40000", RoleName::Reader);
    session.set_user(b"icinga");
    session.set_node(Some(address(DB1)));
    session.begin_command(Command::Query);

    let (head, body) = served.get("/status").await;
    assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
    let status: Value = serde_json::from_str(&body).unwrap();
    assert_eq!(status["primary"], DB1);
    assert_eq!(status["listen"], json!(["127.0.0.1:3306"]));
    assert_eq!(status["replica_listen"], json!(["127.0.0.1:3307"]));
    assert_eq!(status["failovers"], json!([]));
    assert_eq!(status["version"], env!("CARGO_PKG_VERSION"));
    let donor = &status["nodes"][1];
    assert_eq!(donor["address"], "192.0.2.12:3306");
    assert_eq!(donor["name"], "db2");
    assert_eq!(donor["state"], "donor");
    assert_eq!(donor["usable"], false);
    assert_eq!(donor["reason"], "gives state to another node");
    let listed = &status["sessions"][0];
    assert_eq!(listed["user"], "icinga");
    assert_eq!(listed["role"], "reader");
    assert_eq!(listed["client"], "127.0.0.1:40000");
    assert_eq!(listed["state"], "busy");
    assert_eq!(listed["command"], "COM_QUERY");
    assert_eq!(listed["node"], DB1);
    assert_eq!(listed["in_transaction"], false);

    drop(session);
    let (_, body) = served.get("/status").await;
    let status: Value = serde_json::from_str(&body).unwrap();
    assert_eq!(status["sessions"], json!([]), "an ended session is not shown");
}

#[tokio::test]
async fn status_answers_without_a_primary_too() {
    let served = Served::start();
    served.lose_the_primary();
    let (head, body) = served.get("/status").await;
    assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
    let status: Value = serde_json::from_str(&body).unwrap();
    assert_eq!(status["primary"], Value::Null);
}

#[tokio::test]
async fn health_is_503_with_the_reason_while_nobody_can_write() {
    let served = Served::start();
    let (head, body) = served.get("/health").await;
    assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
    assert_eq!(body, "ok\n");

    served.lose_the_primary();
    let (head, body) = served.get("/health").await;
    assert!(head.starts_with("HTTP/1.1 503 "), "{head}");
    assert_eq!(
        body,
        "no primary: db1 192.0.2.11:3306 synced (no answer for 1s); \
         db2 192.0.2.12:3306 donor (gives state to another node)\n"
    );

    served.topology.send_replace(Arc::default());
    let (head, body) = served.get("/health").await;
    assert!(head.starts_with("HTTP/1.1 503 "), "{head}");
    assert_eq!(body, "no primary: discovery has found no node yet\n");
}

#[tokio::test]
async fn metrics_are_what_prometheus_reads() {
    let served = Served::start();
    let (head, body) = served.get("/metrics").await;
    assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
    assert!(head.contains("text/plain; version=0.0.4"), "{head}");
    assert!(body.contains("# TYPE ido_proxy_build_info gauge"), "{body}");
}

#[tokio::test]
async fn the_page_needs_nothing_from_elsewhere_and_writes_names_as_text() {
    let served = Served::start();
    let (head, body) = served.get("/").await;
    assert!(head.contains("content-security-policy: default-src 'none'"), "{head}");
    assert!(
        !body.contains("http://") && !body.contains("https://"),
        "an operator's network may be closed"
    );
    assert!(!body.contains("innerHTML"), "a client's name must not become HTML");
}

#[tokio::test]
async fn a_wrong_path_says_what_exists() {
    let served = Served::start();
    let (head, body) = served.get("/stauts").await;
    assert!(head.starts_with("HTTP/1.1 404 "), "{head}");
    assert!(body.contains("/status"), "{body}");
}

#[tokio::test]
async fn it_ends_when_told_to_although_somebody_stays_connected() {
    let served = Served::start();
    let _idle = TcpStream::connect(served.address).await.unwrap();
    served.get("/health").await;
    served.stop.cancel();
    let ended = tokio::time::timeout(Duration::from_secs(10), served.task).await;
    ended.expect("it ends").unwrap().unwrap();
    assert!(TcpStream::connect(served.address).await.is_err(), "the port is free again");
}

#[tokio::test]
async fn a_taken_port_names_the_key_and_the_holder() {
    let held = bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let error = bind(held.local_addr()).unwrap_err().to_string();
    assert!(error.starts_with("[admin] http: cannot listen on 127.0.0.1:"), "{error}");
    assert!(error.contains(&format!("pid {}", std::process::id())), "{error}");
}

#[tokio::test]
async fn who_comes_when_all_places_are_taken_is_served_as_soon_as_one_is_free() {
    let served = Served::start();
    let mut silent = Vec::new();
    for _ in 0..MAX_CONNECTIONS {
        silent.push(TcpStream::connect(served.address).await.unwrap());
    }
    let (answer, ()) = tokio::join!(served.get("/health"), async { drop(silent.pop()) });
    let (head, _) = answer;
    assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
}
