//! A node that answers probes by script: with rows, with an error, too late, or not at all. It
//! speaks the protocol of a real server, for the probe's own client to talk to.

use std::collections::HashMap;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicU32, Ordering};

use ido_proxy_protocol::auth::AuthPlugin;
use ido_proxy_protocol::capabilities::Capabilities;
use ido_proxy_protocol::eof::EofPacket;
use ido_proxy_protocol::err::ErrPacket;
use ido_proxy_protocol::greeting::Greeting;
use ido_proxy_protocol::ok::OkPacket;
use ido_proxy_protocol::packet::{self, HEADER_LEN, Header};
use ido_proxy_protocol::status::StatusFlags;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::cluster::model::node_addr::NodeAddr;

/// A running node; it ends, connections and all, when dropped.
pub(crate) struct FakeNode {
    /// Where it listens. No other test uses this IP address.
    pub(crate) address: NodeAddr,
    script: watch::Sender<Script>,
    seen: watch::Sender<Seen>,
    tasks: JoinSet<()>,
}

/// How it behaves.
#[derive(Clone, Debug)]
pub(crate) enum Script {
    /// Gives these rows to every SHOW. There are no tables.
    Answers(Vec<(String, String)>),
    /// Closes every connection, and statements' too.
    Closes,
    /// Denies every login.
    Denies,
    /// Accepts connections, as the kernel of a frozen process does, and says nothing more.
    Hangs,
    /// Takes logins, and turns every statement down with this error.
    Rejects(u16),
    /// Greets with these bytes.
    Says(Vec<u8>),
}

/// Counts of the fake's connections and statements.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) struct Seen {
    /// Connections, ever.
    pub(crate) connections: u32,
    /// Connections, now.
    pub(crate) open: u32,
    /// Texts of statements, ever.
    pub(crate) statements: u32,
}

impl FakeNode {
    /// Starts a node that gives these rows to every statement.
    pub(crate) async fn start(rows: Vec<(String, String)>) -> Self {
        let ip = own_address();
        let mut node = Self {
            address: NodeAddr(SocketAddr::from((ip, 0))),
            script: watch::Sender::new(Script::Answers(rows)),
            seen: watch::Sender::default(),
            tasks: JoinSet::new(),
        };
        node.listen().await;
        node
    }

    /// Behaves otherwise from now on, on open connections too.
    pub(crate) fn play(&self, script: Script) {
        self.script.send_replace(script);
    }

    /// Ends as a killed process does: nobody listens, all connections are reset.
    pub(crate) async fn kill(&mut self) {
        self.tasks.shutdown().await;
    }

    /// Listens again, at the same address.
    pub(crate) async fn listen(&mut self) {
        let listener = TcpListener::bind(self.address.0).await.unwrap();
        self.address = NodeAddr(listener.local_addr().unwrap());
        self.tasks.spawn(serve(listener, self.script.subscribe(), self.seen.clone()));
    }

    /// The counts, to look at or to wait for.
    pub(crate) fn seen(&self) -> watch::Receiver<Seen> {
        self.seen.subscribe()
    }
}

/// A loopback address of its own for each node, so that a port stays free while it is down.
fn own_address() -> Ipv4Addr {
    static NEXT: AtomicU32 = AtomicU32::new(1);
    let [.., high, low] = NEXT.fetch_add(1, Ordering::Relaxed).to_be_bytes();
    let [.., process] = std::process::id().to_be_bytes();
    Ipv4Addr::new(127, 100 + process % 100, high, low)
}

async fn serve(listener: TcpListener, script: watch::Receiver<Script>, seen: watch::Sender<Seen>) {
    let mut connections = JoinSet::new();
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        connections.spawn(converse(stream, script.clone(), Open::new(seen.clone())));
    }
}

async fn converse(mut stream: TcpStream, mut script: watch::Receiver<Script>, open: Open) {
    let now = script.borrow().clone();
    match now {
        Script::Closes => {}
        Script::Hangs => {
            let mut ignored = [0; 256];
            tokio::select! {
                _ = script.wait_for(|script| !matches!(script, Script::Hangs)) => {}
                () = async { while let Ok(1..) = stream.read(&mut ignored).await {} } => {}
            }
        }
        Script::Says(bytes) => {
            let _ = stream.write_all(&bytes).await;
            let _ = stream.shutdown().await;
        }
        Script::Answers(_) | Script::Denies | Script::Rejects(_) => {
            let _ = serve_client(stream, script, open).await;
        }
    }
}

/// Counts a connection for as long as it is there.
struct Open(watch::Sender<Seen>);

impl Open {
    fn new(seen: watch::Sender<Seen>) -> Self {
        seen.send_modify(|seen| {
            seen.connections += 1;
            seen.open += 1;
        });
        Self(seen)
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.send_modify(|seen| seen.open -= 1);
    }
}

/// Greets, logs in and answers until the client is gone.
async fn serve_client(
    mut stream: TcpStream,
    mut script: watch::Receiver<Script>,
    open: Open,
) -> io::Result<()> {
    let greeting = Greeting {
        server_version: b"5.5.5-10.11.6-MariaDB".to_vec(),
        connection_id: 7,
        scramble: Greeting::scramble_from([7; 20]),
        capabilities: Capabilities::PROTOCOL_41
            | Capabilities::SECURE_CONNECTION
            | Capabilities::PLUGIN_AUTH
            | Capabilities::MULTI_STATEMENTS
            | Capabilities::MULTI_RESULTS,
        collation: 8,
        status: StatusFlags::AUTOCOMMIT,
        auth_plugin: AuthPlugin::NativePassword,
    };
    send(&mut stream, [greeting.encode()], 0).await?;
    let (sequence, _login) = receive(&mut stream).await?;
    let answer = match *script.borrow() {
        Script::Denies => ErrPacket::new(1045, *b"28000", "Access denied").encode(),
        _ => ok(),
    };
    send(&mut stream, [answer], sequence + 1).await?;
    loop {
        let (_, command) = receive(&mut stream).await?;
        let Some(text) = command.strip_prefix(b"\x03") else {
            // The client says goodbye, or asks whether the node lives.
            send(&mut stream, [ok()], 1).await?;
            continue;
        };
        open.0.send_modify(|seen| seen.statements += 1);
        let awake = script.wait_for(|script| !matches!(script, Script::Hangs)).await;
        let script = awake.map_err(io::Error::other)?.clone();
        match script {
            Script::Answers(rows) => {
                // A server names each variable once.
                let rows: HashMap<_, _> = rows.into_iter().collect();
                let mut statements = text.split(|byte| *byte == b';').peekable();
                let mut packets = Vec::new();
                while let Some(statement) = statements.next() {
                    if statement.starts_with(b"SHOW") {
                        packets.extend(answer_of(&rows, statements.peek().is_some()));
                    } else {
                        packets.push(ErrPacket::new(1146, *b"42S02", "No such table").encode());
                    }
                }
                send(&mut stream, packets, 1).await?;
            }
            Script::Rejects(code) => {
                let error = ErrPacket::new(code, *b"HY000", "by script").encode();
                send(&mut stream, [error], 1).await?;
            }
            _ => return Ok(()),
        }
    }
}

/// A result of two columns; `more` says that another one follows.
fn answer_of(rows: &HashMap<String, String>, more: bool) -> Vec<Vec<u8>> {
    let more = if more { StatusFlags::MORE_RESULTS } else { StatusFlags::empty() };
    let eof = EofPacket { warnings: 0, status: StatusFlags::AUTOCOMMIT | more }.encode();
    let columns = [b"\x02".to_vec(), COLUMN.to_vec(), COLUMN.to_vec(), eof.to_vec()];
    let text = |text: &str| [&[text.len() as u8], text.as_bytes()].concat();
    let rows = rows.iter().map(|(name, value)| [text(name), text(value)].concat());
    columns.into_iter().chain(rows).chain([eof.to_vec()]).collect()
}

fn ok() -> Vec<u8> {
    let status = StatusFlags::AUTOCOMMIT;
    OkPacket { status, ..OkPacket::default() }.encode(Capabilities::PROTOCOL_41)
}

async fn send(
    stream: &mut TcpStream,
    payloads: impl IntoIterator<Item = Vec<u8>>,
    mut sequence: u8,
) -> io::Result<()> {
    let mut framed = Vec::new();
    for payload in payloads {
        sequence = packet::frame(&payload, sequence, &mut framed);
    }
    stream.write_all(&framed).await
}

/// One packet, which is never long.
async fn receive(stream: &mut TcpStream) -> io::Result<(u8, Vec<u8>)> {
    let mut header = [0; HEADER_LEN];
    stream.read_exact(&mut header).await?;
    let header = Header::parse(&header).ok_or(io::ErrorKind::InvalidData)?;
    let mut payload = vec![0; header.payload_len];
    stream.read_exact(&mut payload).await?;
    Ok((header.sequence, payload))
}

/// The definition of a column of texts.
const COLUMN: &[u8] = b"\x03def\0\0\0\x01a\0\x0c\x21\0\x00\x10\0\0\xfd\0\0\0\0\0";
