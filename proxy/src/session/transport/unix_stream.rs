//! A Unix stream socket that is only woken for what it waits for.
//!
//! Tokio's own asks the kernel to tell of room for writing as well as of bytes to read. On a Unix
//! socket there is news of room whenever the peer has read something, so that each reply would wake
//! its session twice: once more when the client takes it. This one asks for news of room only while a
//! write is blocked.

use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream as StdUnixStream;
use std::task::{Context, Poll, Waker, ready};

use tokio::io::unix::AsyncFd;
use tokio::io::{Interest, ReadBuf};

/// A connected Unix stream socket in this thread's reactor.
#[derive(Debug)]
pub(crate) struct UnixStream {
    socket: AsyncFd<StdUnixStream>,
    /// Duplicate of the socket, for as long as a write is blocked.
    blocked: Option<AsyncFd<StdUnixStream>>,
    /// How much to read at a time. Room for reading is cleared first, which costs more than to read a
    /// small command into it.
    portion: usize,
}

impl UnixStream {
    /// Takes a socket into this thread's reactor.
    ///
    /// # Errors
    /// The reactor has no room for it.
    pub(crate) fn from_std(socket: StdUnixStream) -> io::Result<Self> {
        socket.set_nonblocking(true)?;
        Ok(Self { socket: watch(socket, Interest::READABLE)?, blocked: None, portion: SMALL })
    }

    /// Whether a read is likely to bring something, or the end.
    pub(crate) fn poll_read_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.socket.poll_read_ready(cx).map_ok(drop)
    }

    /// Reads once into the free part of `buf`; nothing read is the end of the stream.
    pub(crate) fn poll_read(
        &mut self,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        loop {
            let mut readable = ready!(self.socket.poll_read_ready(cx))?;
            let portion = self.portion.min(buf.remaining());
            let room = buf.initialize_unfilled_to(portion);
            match readable.get_inner().read(room) {
                Ok(read) => {
                    if read < portion && read > 0 {
                        // No more bytes were there: saves the read that would say so (epoll(7)).
                        readable.clear_ready();
                    }
                    self.portion = if read < portion { SMALL } else { LARGE };
                    buf.advance(read);
                    return Poll::Ready(Ok(()));
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => readable.clear_ready(),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
    }

    /// Writes once.
    pub(crate) fn poll_write(
        &mut self,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        loop {
            let mut room = match &self.blocked {
                Some(blocked) => Some(ready!(blocked.poll_write_ready(cx))?),
                None => None,
            };
            match self.socket.get_ref().write(bytes) {
                Ok(written) => {
                    self.blocked = None;
                    return Poll::Ready(Ok(written));
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => match &mut room {
                    Some(room) => room.clear_ready(),
                    None => {
                        let again = self.socket.get_ref().try_clone()?;
                        self.blocked = Some(watch(again, Interest::WRITABLE)?);
                    }
                },
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
    }

    /// Whether the peer has closed its side, be it behind bytes that nobody has read yet.
    pub(crate) fn peer_has_closed(&self) -> bool {
        let mut cx = Context::from_waker(Waker::noop());
        match self.socket.poll_read_ready(&mut cx) {
            Poll::Ready(Ok(readable)) => readable.ready().is_read_closed(),
            Poll::Ready(Err(_)) | Poll::Pending => false,
        }
    }
}

/// Puts `socket` into this thread's reactor, to tell of this and nothing else.
#[expect(deprecated, reason = "for types that do not own their socket; this one does")]
fn watch(socket: StdUnixStream, interest: Interest) -> io::Result<AsyncFd<StdUnixStream>> {
    AsyncFd::with_interest(socket, interest)
}

/// Enough for most commands.
const SMALL: usize = 8 * 1024;

/// Enough for Icinga's batches, and all that a socket holds by default.
const LARGE: usize = 256 * 1024;

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::time::Duration;

    use tokio::time::timeout;

    use super::*;

    fn pair() -> (UnixStream, UnixStream) {
        let (one, other) = StdUnixStream::pair().unwrap();
        (UnixStream::from_std(one).unwrap(), UnixStream::from_std(other).unwrap())
    }

    async fn read(stream: &mut UnixStream, most: usize) -> Vec<u8> {
        let mut bytes = vec![0; most];
        let mut buf = ReadBuf::new(&mut bytes);
        poll_fn(|cx| stream.poll_read(cx, &mut buf)).await.unwrap();
        buf.filled().to_vec()
    }

    async fn write_all(stream: &mut UnixStream, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let written = poll_fn(|cx| stream.poll_write(cx, bytes)).await.unwrap();
            bytes = &bytes[written..];
        }
    }

    /// More than the kernel holds: both sides must block, wake up again and lose nothing.
    #[tokio::test]
    async fn everything_arrives_in_order_though_writes_block() {
        let (mut one, mut other) = pair();
        let sent: Vec<u8> = (0..5_000_000_u32).map(|at| (at % 251) as u8).collect();
        let writing = async {
            write_all(&mut one, &sent).await;
            assert!(one.blocked.is_none(), "news of room is not wanted any more");
            drop(one);
        };
        let reading = async {
            let mut got = Vec::new();
            loop {
                let part = read(&mut other, 300_000).await;
                if part.is_empty() {
                    break got;
                }
                got.extend(part);
            }
        };
        let both = async { tokio::join!(writing, reading).1 };
        let got = timeout(DEADLINE, both).await.expect("nobody waits for ever");
        assert!(got == sent);
    }

    /// A wake-up for each reply that the client takes would cost as much as a command.
    #[tokio::test]
    async fn a_peer_that_reads_wakes_nobody() {
        let (mut one, mut other) = pair();
        for _ in 0..3 {
            write_all(&mut one, b"reply").await;
            assert_eq!(read(&mut other, 100).await, b"reply");
        }
        assert!(one.blocked.is_none());
        write_all(&mut other, b"command").await;
        assert_eq!(read(&mut one, 100).await, b"command");
    }

    /// A held client that gave up is noticed by this, whatever it had sent.
    #[tokio::test]
    async fn the_end_of_the_peer_is_seen_behind_unread_bytes() {
        let (one, mut other) = pair();
        write_all(&mut other, b"unread").await;
        assert!(!one.peer_has_closed());
        drop(other);
        let closed = async {
            while !one.peer_has_closed() {
                tokio::task::yield_now().await;
            }
        };
        timeout(DEADLINE, closed).await.expect("it is seen");
    }

    const DEADLINE: Duration = Duration::from_secs(20);
}
