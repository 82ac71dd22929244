//! A connected socket, whichever kind it is.

use std::io;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use socket2::{SockRef, TcpKeepalive};
use tokio::io::{AsyncRead, AsyncWrite as _, Interest, ReadBuf};
use tokio::net::TcpStream;

use super::unix_stream::UnixStream;

/// A TCP or Unix stream socket. Both kinds are served by the same code; only the setting of
/// options differs.
#[derive(Debug)]
pub(crate) enum Stream {
    /// TCP.
    Tcp(TcpStream),
    /// Unix domain.
    Unix(UnixStream),
}

impl Stream {
    /// Connects to a node and sets the options every link has.
    ///
    /// # Errors
    /// Whatever the kernel answers; there is no deadline here, the caller sets one.
    pub(crate) async fn connect(address: SocketAddr) -> io::Result<Self> {
        let stream = TcpStream::connect(address).await?;
        set_tcp_options(&stream)?;
        Ok(Self::Tcp(stream))
    }

    /// Takes an accepted TCP socket into this thread's reactor and sets its options.
    pub(crate) fn from_accepted_tcp(stream: std::net::TcpStream) -> io::Result<Self> {
        let stream = TcpStream::from_std(stream)?;
        set_tcp_options(&stream)?;
        Ok(Self::Tcp(stream))
    }

    /// Whether the peer has closed its side, be it behind bytes that nobody has read yet.
    pub(crate) fn peer_has_closed(&self) -> bool {
        match self {
            Self::Tcp(stream) => {
                let mut cx = Context::from_waker(Waker::noop());
                let ready = pin!(stream.ready(Interest::READABLE)).poll(&mut cx);
                matches!(ready, Poll::Ready(Ok(ready)) if ready.is_read_closed())
            }
            Self::Unix(stream) => stream.peer_has_closed(),
        }
    }

    /// Whether a read is likely to bring something, or the end.
    pub(crate) fn poll_read_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Tcp(stream) => stream.poll_read_ready(cx),
            Self::Unix(stream) => stream.poll_read_ready(cx),
        }
    }

    /// Writes once.
    pub(crate) fn poll_write(
        &mut self,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match self {
            Self::Tcp(stream) => Pin::new(stream).poll_write(cx, bytes),
            Self::Unix(stream) => stream.poll_write(cx, bytes),
        }
    }

    /// Takes an accepted Unix socket into this thread's reactor.
    pub(crate) fn from_accepted_unix(stream: std::os::unix::net::UnixStream) -> io::Result<Self> {
        Ok(Self::Unix(UnixStream::from_std(stream)?))
    }
}

impl AsyncRead for Stream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_read(cx, buf),
            Self::Unix(stream) => stream.poll_read(cx, buf),
        }
    }
}

/// No Nagle delay (each write is a whole message), and keepalive so that a peer that vanished
/// without a word is noticed within a minute.
fn set_tcp_options(stream: &TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let keepalive = TcpKeepalive::new()
        .with_time(KEEPALIVE_IDLE)
        .with_interval(KEEPALIVE_INTERVAL)
        .with_retries(KEEPALIVE_RETRIES);
    SockRef::from(stream).set_tcp_keepalive(&keepalive)
}

const KEEPALIVE_IDLE: Duration = Duration::from_secs(30);
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(10);
const KEEPALIVE_RETRIES: u32 = 3;
