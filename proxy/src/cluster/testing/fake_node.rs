//! A node that answers probes by script: with rows, with an error, too late, or not at all. It
//! speaks the protocol of a real server, for the probe's own client to talk to.

use std::collections::HashMap;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicU32, Ordering};

use async_trait::async_trait;
use opensrv_mysql::{
    AsyncMysqlIntermediary, AsyncMysqlShim, Column, ColumnFlags, ColumnType, ErrorKind, InitWriter,
    OkResponse, ParamParser, QueryResultWriter, StatementMetaWriter,
};
use tokio::io::{AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::cluster::topology::NodeAddr;

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
    /// Gives these rows to every statement.
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

/// What it has seen.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) struct Seen {
    /// Connections, ever.
    pub(crate) connections: u32,
    /// Connections, now.
    pub(crate) open: u32,
    /// Statements, ever.
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

    /// What it has seen, to look at or to wait for.
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
            let (reader, writer) = stream.into_split();
            let _ = AsyncMysqlIntermediary::run_on(Shim { script, open }, reader, writer).await;
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

struct Shim {
    script: watch::Receiver<Script>,
    open: Open,
}

#[async_trait]
impl<W: AsyncWrite + Send + Unpin> AsyncMysqlShim<W> for Shim {
    type Error = io::Error;

    async fn authenticate(&self, _: &str, _: &[u8], _: &[u8], _: &[u8]) -> bool {
        !matches!(*self.script.borrow(), Script::Denies)
    }

    async fn on_query<'a>(
        &'a mut self,
        _: &'a str,
        results: QueryResultWriter<'a, W>,
    ) -> io::Result<()> {
        self.open.0.send_modify(|seen| seen.statements += 1);
        let awake = self.script.wait_for(|script| !matches!(script, Script::Hangs)).await;
        let script = awake.map_err(io::Error::other)?.clone();
        match script {
            Script::Answers(rows) => {
                let columns = ["Variable_name", "Value"].map(column);
                let mut writer = results.start(&columns).await?;
                // A server names each variable once.
                let rows: HashMap<_, _> = rows.into_iter().collect();
                for (name, value) in rows {
                    writer.write_row([name, value]).await?;
                }
                writer.finish().await
            }
            Script::Rejects(code) => results.error(ErrorKind::from(code), b"by script").await,
            _ => Err(io::ErrorKind::ConnectionReset.into()),
        }
    }

    async fn on_prepare<'a>(
        &'a mut self,
        _: &'a str,
        info: StatementMetaWriter<'a, W>,
    ) -> io::Result<()> {
        info.error(ErrorKind::ER_UNKNOWN_COM_ERROR, b"not what a probe does").await
    }

    async fn on_execute<'a>(
        &'a mut self,
        _: u32,
        _: ParamParser<'a>,
        results: QueryResultWriter<'a, W>,
    ) -> io::Result<()> {
        results.completed(OkResponse::default()).await
    }

    async fn on_close<'a>(&'a mut self, _: u32)
    where
        W: 'async_trait,
    {
    }

    async fn on_init<'a>(&'a mut self, _: &'a str, writer: InitWriter<'a, W>) -> io::Result<()> {
        writer.error(ErrorKind::ER_UNKNOWN_COM_ERROR, b"not what a probe does").await
    }
}

fn column(name: &str) -> Column {
    Column {
        table: String::new(),
        column: name.into(),
        coltype: ColumnType::MYSQL_TYPE_VAR_STRING,
        colflags: ColumnFlags::empty(),
    }
}
