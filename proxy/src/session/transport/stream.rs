//! A connected socket, whichever kind it is.

use std::io;
use std::mem;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use nix::sys::socket::setsockopt;
use nix::sys::socket::sockopt::SetUsize;
use nix::{libc, setsockopt_impl};
use socket2::{SockRef, TcpKeepalive};
use tokio::io::{AsyncRead, AsyncWrite as _, Interest, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

use crate::cluster::NodeAddr;
use crate::cluster::tls::NodeTls;
use crate::session::transport::unix_stream::UnixStream;

/// A TCP or Unix stream socket, or TLS on one. All kinds are served by the same code; only the setting
/// of options differs.
#[derive(Debug)]
pub(crate) enum Stream {
    /// TCP.
    Tcp(TcpStream),
    /// TLS on TCP.
    Tls(Box<Tls>),
    /// Unix domain.
    Unix(UnixStream),
}

/// A node by TLS.
#[derive(Debug)]
pub(crate) struct Tls {
    stream: TlsStream<TcpStream>,
    /// Bytes that are encrypted, and of which the kernel has not taken all yet.
    accepted: usize,
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

    /// TLS with `node` from here on.
    ///
    /// # Errors
    /// The connection's, or why the node is not trusted.
    pub(crate) async fn secure(self, tls: &NodeTls, node: NodeAddr) -> io::Result<Self> {
        let Self::Tcp(stream) = self else { return Err(io::ErrorKind::Unsupported.into()) };
        let stream = tls.connect(node, stream).await?;
        Ok(Self::Tls(Box::new(Tls { stream, accepted: 0 })))
    }

    /// Whether the peer has closed its side, be it behind bytes that nobody has read yet.
    pub(crate) fn peer_has_closed(&self) -> bool {
        let closed = |stream: &TcpStream| {
            let mut cx = Context::from_waker(Waker::noop());
            let ready = pin!(stream.ready(Interest::READABLE)).poll(&mut cx);
            matches!(ready, Poll::Ready(Ok(ready)) if ready.is_read_closed())
        };
        match self {
            Self::Tcp(stream) => closed(stream),
            Self::Tls(tls) => closed(tls.stream.get_ref().0),
            Self::Unix(stream) => stream.peer_has_closed(),
        }
    }

    /// From how many bytes on, or the end, a socket counts as readable (`SO_RCVLOWAT`).
    ///
    /// # Errors
    /// It is a Unix socket, for which Linux has no such thing; or the kernel's.
    pub(in crate::session) fn set_low_water(&self, bytes: usize) -> io::Result<()> {
        let stream = match self {
            Self::Tcp(stream) => stream,
            Self::Tls(tls) => tls.stream.get_ref().0,
            Self::Unix(_) => return Err(io::ErrorKind::Unsupported.into()),
        };
        Ok(setsockopt(stream, LowWaterMark, &bytes)?)
    }

    /// Whether a read is likely to bring something, or the end.
    pub(crate) fn poll_read_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Tcp(stream) => stream.poll_read_ready(cx),
            // TLS may hold bytes of which the socket knows nothing any more.
            Self::Tls(_) => Poll::Ready(Ok(())),
            Self::Unix(stream) => stream.poll_read_ready(cx),
        }
    }

    /// Writes once. If it is pending, the same bytes are to be given to it again.
    pub(crate) fn poll_write(
        &mut self,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match self {
            Self::Tcp(stream) => Pin::new(stream).poll_write(cx, bytes),
            Self::Tls(tls) => tls.poll_write(cx, bytes),
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
            Self::Tls(tls) => tls.poll_read(cx, buf),
            Self::Unix(stream) => stream.poll_read(cx, buf),
        }
    }
}

impl Tls {
    /// Bytes count as written once the kernel has them: whoever waits for that would otherwise never see
    /// to it that they leave.
    fn poll_write(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        if self.accepted == 0 {
            self.accepted = ready!(Pin::new(&mut self.stream).poll_write(cx, bytes))?;
        }
        let flushed = ready!(Pin::new(&mut self.stream).poll_flush(cx));
        let accepted = mem::take(&mut self.accepted);
        Poll::Ready(flushed.map(|()| accepted))
    }

    /// A server that dies says no goodbye, as TLS would have it. To us that is an end like any other:
    /// what was cut off is told by the packets.
    fn poll_read(&mut self, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match ready!(Pin::new(&mut self.stream).poll_read(cx, buf)) {
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Poll::Ready(Ok(())),
            read => Poll::Ready(read),
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

/// `SO_RCVLOWAT`, socket(7).
#[derive(Clone, Copy, Debug)]
struct LowWaterMark;

setsockopt_impl!(LowWaterMark, libc::SOL_SOCKET, libc::SO_RCVLOWAT, usize, SetUsize);

const KEEPALIVE_IDLE: Duration = Duration::from_secs(30);
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(10);
const KEEPALIVE_RETRIES: u32 = 3;
