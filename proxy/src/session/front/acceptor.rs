//! Accepts clients and deals them out to the worker threads, up to the limit.
//!
//! Runs beside the data path, not on it: a flood of connections costs the sessions nothing.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use ido_proxy_protocol::err::ErrPacket;
use ido_proxy_protocol::packet;
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use crate::session::front::listener::{Listener, SocketFile};
use crate::session::shared::role::Role;
use crate::telemetry::metrics::{Refusal, SessionMetrics};

/// A client on its way to a worker.
#[derive(Debug)]
pub(crate) struct Accepted {
    /// Socket of the client, without a reactor.
    pub(crate) socket: AcceptedSocket,
    /// Name of the client, for logs and the status page.
    pub(crate) client: String,
    /// The host part of `'user'@'host'` in error messages.
    pub(crate) host: String,
    /// Purpose of the listener.
    pub(crate) role: Role,
    /// Share of the limit on clients.
    pub(crate) permit: OwnedSemaphorePermit,
}

/// A socket that belongs to no reactor.
#[derive(Debug)]
pub(crate) enum AcceptedSocket {
    /// TCP.
    Tcp(std::net::TcpStream),
    /// Unix domain.
    Unix(std::os::unix::net::UnixStream),
}

/// State that all listeners share.
#[derive(Debug)]
pub(crate) struct Acceptor {
    slots: Arc<Semaphore>,
    limit: usize,
    workers: Vec<mpsc::UnboundedSender<Accepted>>,
    metrics: Arc<SessionMetrics>,
}

impl Acceptor {
    /// Deals at most `limit` clients out to `workers` at a time.
    pub(crate) fn new(
        limit: usize,
        workers: Vec<mpsc::UnboundedSender<Accepted>>,
        metrics: Arc<SessionMetrics>,
    ) -> Self {
        Self { slots: Arc::new(Semaphore::new(limit)), limit, workers, metrics }
    }

    /// Accepts on one listener until told to stop; the address is free again when this returns. Its
    /// clients have `role`, and readers the tickets that follow.
    ///
    /// # Errors
    /// The listener cannot become part of this runtime.
    pub(crate) async fn run(
        self: Arc<Self>,
        listener: Listener,
        mut role: Role,
        stop: CancellationToken,
    ) -> io::Result<()> {
        let mut door = Door::open(listener)?;
        let mut turned_away = TurnedAway::default();
        let mut next = 0;
        loop {
            let guest = tokio::select! {
                biased;
                () = stop.cancelled() => return Ok(()),
                guest = door.accept() => guest,
            };
            let guest = match guest {
                Ok(guest) => guest,
                Err(error) => {
                    // Out of files or memory, or the client left at once. The listener lives on; a
                    // pause keeps a lasting trouble from filling the log.
                    tracing::warn!(%error, "cannot accept a client");
                    sleep(ACCEPT_PAUSE).await;
                    continue;
                }
            };
            match Arc::clone(&self.slots).try_acquire_owned() {
                Ok(permit) => {
                    let worker = &self.workers[next % self.workers.len()];
                    next = next.wrapping_add(1);
                    role = role.next();
                    match guest.into_accepted(role, permit) {
                        // A worker ends only with the daemon.
                        Ok(accepted) => drop(worker.send(accepted)),
                        Err(error) => tracing::debug!(%error, "a client left at once"),
                    }
                }
                Err(_full) => {
                    self.metrics.refused.of(Refusal::TooManySessions).increment(1);
                    turned_away.note(&guest.client(), self.limit);
                    guest.turn_away().await;
                }
            }
        }
    }
}

/// A listener in a runtime.
enum Door {
    Tcp(TcpListener),
    /// The file goes when the door closes.
    Unix(UnixListener, #[expect(dead_code, reason = "held for its Drop")] SocketFile),
}

/// An accepted client, before a seat is found for it.
enum Guest {
    Tcp(TcpStream, std::net::SocketAddr),
    Unix(UnixStream),
}

impl Door {
    fn open(listener: Listener) -> io::Result<Self> {
        Ok(match listener {
            Listener::Tcp(listener) => Self::Tcp(TcpListener::from_std(listener)?),
            Listener::Unix(listener, file) => Self::Unix(UnixListener::from_std(listener)?, file),
        })
    }

    async fn accept(&mut self) -> io::Result<Guest> {
        match self {
            Self::Tcp(listener) => {
                listener.accept().await.map(|(stream, from)| Guest::Tcp(stream, from))
            }
            Self::Unix(listener, _) => {
                listener.accept().await.map(|(stream, _)| Guest::Unix(stream))
            }
        }
    }
}

impl Guest {
    fn client(&self) -> String {
        match self {
            Self::Tcp(_, from) => from.to_string(),
            Self::Unix(stream) => match stream.peer_cred() {
                Ok(peer) => match peer.pid() {
                    Some(pid) => format!("unix:uid {} pid {pid}", peer.uid()),
                    None => format!("unix:uid {}", peer.uid()),
                },
                Err(_) => "unix".to_owned(),
            },
        }
    }

    fn into_accepted(self, role: Role, permit: OwnedSemaphorePermit) -> io::Result<Accepted> {
        let client = self.client();
        Ok(match self {
            Self::Tcp(stream, from) => Accepted {
                socket: AcceptedSocket::Tcp(stream.into_std()?),
                client,
                host: from.ip().to_string(),
                role,
                permit,
            },
            Self::Unix(stream) => Accepted {
                socket: AcceptedSocket::Unix(stream.into_std()?),
                client,
                host: "localhost".to_owned(),
                role,
                permit,
            },
        })
    }

    /// Says what a full server says. The packet always fits an empty socket buffer, so this does not
    /// wait for the client.
    async fn turn_away(self) {
        let error = ErrPacket::new(TOO_MANY_CONNECTIONS, *b"08004", "Too many connections");
        let mut bytes = Vec::new();
        // Nothing is negotiated yet, so the packet has the old form, without an SQL state.
        packet::frame(&error.encode_without_state(), 0, &mut bytes);
        drop(match self {
            Self::Tcp(mut stream, _) => stream.write_all(&bytes).await,
            Self::Unix(mut stream) => stream.write_all(&bytes).await,
        });
    }
}

/// Says once a second at most that clients are turned away: a client in a loop must not fill the disk.
#[derive(Default)]
struct TurnedAway {
    last: Option<Instant>,
    unsaid: u64,
}

impl TurnedAway {
    fn note(&mut self, client: &str, limit: usize) {
        self.unsaid += 1;
        if self.last.is_some_and(|last| last.elapsed() < Duration::from_secs(1)) {
            return;
        }
        tracing::warn!(
            client,
            limit,
            refused = self.unsaid,
            "too many connections: listen.max_connections is reached"
        );
        self.unsaid = 0;
        self.last = Some(Instant::now());
    }
}

/// ER_CON_COUNT_ERROR.
const TOO_MANY_CONNECTIONS: u16 = 1040;

/// How long to rest after the kernel refused to hand out a connection.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
