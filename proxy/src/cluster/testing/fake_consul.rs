//! A Consul that answers by script, or from books that a test writes: then it waits for news as a real
//! one does.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use serde_json::json;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

use crate::cluster::model::node_addr::NodeAddr;

/// A running Consul; it ends, connections and all, when dropped.
pub(crate) struct FakeConsul {
    /// Where it listens.
    pub(crate) address: SocketAddr,
    shared: Arc<Shared>,
    _tasks: JoinSet<()>,
}

/// A request that the fake received.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Question {
    /// The path, with what follows it.
    pub(crate) target: String,
    /// The index that it named.
    pub(crate) index: Option<u64>,
    /// The head as a whole, in lower case.
    pub(crate) head: String,
}

/// How it answers.
#[derive(Clone, Debug)]
pub(crate) enum Reply {
    /// With what is in the books, as soon as they are newer than the index in the question.
    Books,
    /// With these bytes, and then it closes the connection.
    Bytes(Vec<u8>),
    /// With this body for the health API.
    Says {
        /// `X-Consul-Index`, if any.
        index: Option<u64>,
        /// The JSON.
        body: String,
    },
    /// Without end.
    Endless,
    /// Not at all; the connection stays open.
    Silence,
    /// With an HTTP status, and these words.
    Status(u16, &'static str),
}

/// The fake's knowledge: an index, and the nodes of the service.
type Books = (u64, Vec<NodeAddr>);

type Script = Box<dyn FnMut(&Question) -> Reply + Send>;

struct Shared {
    script: Mutex<Script>,
    questions: watch::Sender<Vec<Question>>,
    books: watch::Sender<Books>,
}

impl FakeConsul {
    /// Starts one that answers from its books, in which there are `nodes`.
    pub(crate) async fn start(nodes: &[NodeAddr]) -> Self {
        Self::start_with(nodes, None).await
    }

    /// Starts a Consul that knows `nodes`, with TLS.
    pub(crate) async fn start_tls(nodes: &[NodeAddr], tls: TlsAcceptor) -> Self {
        Self::start_with(nodes, Some(tls)).await
    }

    async fn start_with(nodes: &[NodeAddr], tls: Option<TlsAcceptor>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(Shared {
            script: Mutex::new(Box::new(|_: &Question| Reply::Books)),
            questions: watch::Sender::default(),
            books: watch::Sender::new((1, nodes.to_vec())),
        });
        let mut tasks = JoinSet::new();
        tasks.spawn(serve(listener, tls, Arc::clone(&shared)));
        Self { address, shared, _tasks: tasks }
    }

    /// Answers by another script from now on.
    pub(crate) fn play(&self, script: impl FnMut(&Question) -> Reply + Send + 'static) {
        *self.shared.script.lock().unwrap() = Box::new(script);
    }

    /// Writes the books anew, as of the next index.
    pub(crate) fn write(&self, nodes: &[NodeAddr]) {
        self.shared.books.send_modify(|(index, known)| {
            *index += 1;
            *known = nodes.to_vec();
        });
    }

    /// Everything it was asked so far, to look at or to wait for.
    pub(crate) fn questions(&self) -> watch::Receiver<Vec<Question>> {
        self.shared.questions.subscribe()
    }
}

/// The health API's answer about these nodes, none of which passes its check.
pub(crate) fn health(nodes: &[NodeAddr]) -> String {
    let instance = |node: &NodeAddr| {
        json!({
            "Node": { "Node": "n", "Address": "192.0.2.99" },
            "Service": { "Address": node.0.ip(), "Port": node.0.port() },
            "Checks": [{ "Status": "critical" }],
        })
    };
    serde_json::Value::from_iter(nodes.iter().map(instance)).to_string()
}

async fn serve(listener: TcpListener, tls: Option<TlsAcceptor>, shared: Arc<Shared>) {
    let mut connections = JoinSet::new();
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        let (tls, shared) = (tls.clone(), Arc::clone(&shared));
        connections.spawn(async move {
            match tls {
                None => answer(stream, &shared).await,
                Some(tls) => {
                    if let Ok(stream) = tls.accept(stream).await {
                        answer(stream, &shared).await;
                    }
                }
            }
        });
    }
}

async fn answer(mut stream: impl AsyncRead + AsyncWrite + Unpin, shared: &Shared) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let Ok(byte) = stream.read_u8().await else { return };
        head.push(byte);
    }
    let question = Question::read(&head);
    let reply = (shared.script.lock().unwrap())(&question);
    let index = question.index;
    shared.questions.send_modify(|questions| questions.push(question));
    let bytes = match reply {
        Reply::Books => {
            let mut books = shared.books.subscribe();
            let news = books.wait_for(|(now, _)| index.is_none_or(|known| *now > known)).await;
            let (index, nodes) = news.unwrap().clone();
            said(200, &format!("X-Consul-Index: {index}\r\n"), &health(&nodes))
        }
        Reply::Bytes(bytes) => bytes,
        Reply::Says { index, body } => {
            let index = index.map(|index| format!("X-Consul-Index: {index}\r\n"));
            said(200, &index.unwrap_or_default(), &body)
        }
        Reply::Endless => {
            let head = "HTTP/1.1 200 OK\r\nX-Consul-Index: 9\r\nTransfer-Encoding: chunked\r\n\r\n";
            let chunk = format!("1000\r\n{}\r\n", " ".repeat(0x1000));
            let mut next = head.to_owned();
            while stream.write_all(next.as_bytes()).await.is_ok() {
                next.clone_from(&chunk);
            }
            return;
        }
        Reply::Silence => std::future::pending().await,
        Reply::Status(code, words) => said(code, "Location: /elsewhere\r\n", words),
    };
    let _ = stream.write_all(&bytes).await;
    let _ = stream.shutdown().await;
}

fn said(code: u16, headers: &str, body: &str) -> Vec<u8> {
    let length = body.len();
    format!("HTTP/1.1 {code} X\r\n{headers}Content-Length: {length}\r\n\r\n{body}").into_bytes()
}

impl Question {
    fn read(head: &[u8]) -> Self {
        let head = String::from_utf8_lossy(head);
        let target = head.split(' ').nth(1).unwrap_or_default().to_owned();
        let index = target.split(['?', '&']).find_map(|part| part.strip_prefix("index="));
        let index = index.map(|index| index.parse().unwrap());
        Self { index, head: head.to_lowercase(), target }
    }
}
