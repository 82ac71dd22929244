//! A socket with what was read from it and not yet used, and what the kernel has not yet taken.
//!
//! Buffers belong to the worker thread, not to the session: a wire takes one when bytes arrive
//! and gives it back when they are gone. So an idle session costs no buffer memory, a thousand
//! idle sessions cost as little, and the few buffers in use stay warm in the cache.

use std::future::poll_fn;
use std::io;
use std::mem;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes, BytesMut};
use tokio_util::io::poll_read_buf;

use crate::session::transport::stream::Stream;

/// One side of a session. Invariant: while `output` is not empty nobody appends to it from the
/// other side's `input`, but for the few bytes that the driver withholds; that is the back-pressure
/// that bounds a session's memory.
#[derive(Debug)]
pub(crate) struct Wire {
    stream: Stream,
    /// Read and not yet used.
    pub(crate) input: BytesMut,
    /// To be written.
    pub(crate) output: BytesMut,
    low_water: usize,
    buffers: Arc<Buffers>,
}

impl Wire {
    /// Wraps a connected socket.
    pub(crate) fn new(stream: Stream, buffers: Arc<Buffers>) -> Self {
        Self { stream, input: BytesMut::new(), output: BytesMut::new(), low_water: 1, buffers }
    }

    /// The socket alone, if nothing is under way.
    pub(crate) fn into_stream(self) -> Option<Stream> {
        (self.input.is_empty() && self.output.is_empty()).then_some(self.stream)
    }

    /// Reads once, appending to `input`. `Ok(0)` is the peer's end of stream.
    pub(crate) fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        if self.input.capacity() == 0 {
            // Most polls find nothing, and need no buffer for that.
            ready!(self.stream.poll_read_ready(cx))?;
            self.input = self.buffers.take();
        } else if self.input.capacity() - self.input.len() < LEAST_READ {
            self.input.reserve(BUFFER_SIZE);
        }
        let read = poll_read_buf(Pin::new(&mut self.stream), cx, &mut self.input);
        if self.input.is_empty() {
            self.give_back_input();
        }
        read
    }

    /// Writes `output` until it is empty or the kernel takes no more.
    pub(crate) fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.output.is_empty() {
            let written = ready!(self.stream.poll_write(cx, &self.output))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.output.advance(written);
        }
        if self.output.capacity() != 0 {
            self.buffers.give(mem::take(&mut self.output));
        }
        Poll::Ready(Ok(()))
    }

    /// [`Self::poll_fill`] as a future, for the phases that are strictly request and response.
    pub(crate) async fn fill(&mut self) -> io::Result<usize> {
        self.set_low_water(1);
        poll_fn(|cx| self.poll_fill(cx)).await
    }

    /// [`Self::poll_flush`] as a future.
    pub(crate) async fn flush(&mut self) -> io::Result<()> {
        poll_fn(|cx| self.poll_flush(cx)).await
    }

    /// How many bytes must have come before whoever waits for them is woken: 1 at most times.
    pub(in crate::session) fn low_water(&self) -> usize {
        self.low_water
    }

    /// Changes that. Where the kernel does not want to, it stays as it is.
    pub(in crate::session) fn set_low_water(&mut self, bytes: usize) {
        if bytes != self.low_water && self.stream.set_low_water(bytes).is_ok() {
            self.low_water = bytes;
        }
    }

    /// Whether the peer has closed its side, be it behind bytes not yet read.
    pub(crate) fn peer_has_closed(&self) -> bool {
        self.stream.peer_has_closed()
    }

    /// Ends the connection by a reset.
    #[cfg(test)]
    pub(crate) fn reset(self) {
        let Stream::Tcp(stream) = self.stream else { panic!("TCP alone has a reset") };
        socket2::SockRef::from(&stream).set_linger(Some(std::time::Duration::ZERO)).unwrap();
    }

    /// Drops the first `len` bytes of `input`, and the buffer with the last of them.
    pub(crate) fn consume(&mut self, len: usize) {
        self.input.advance(len);
        if self.input.is_empty() {
            self.give_back_input();
        }
    }

    /// Moves the first `len` bytes of `input` to the end of `to.output`. When that is all of it and
    /// `to` has nothing pending, the buffer itself changes hands and no byte is copied; else the
    /// smaller part is, so that many small commands in one buffer cost no more than their bytes.
    pub(crate) fn hand_over(&mut self, len: usize, to: &mut Self) {
        if !to.output.is_empty() || len < self.input.len() - len {
            to.push(&self.input[..len]);
            return self.consume(len);
        }
        mem::swap(&mut self.input, &mut to.output);
        self.give_back_input();
        if to.output.len() > len {
            // The rest is the start of the next packet, a few bytes at most times.
            self.input = self.buffers.take();
            self.input.extend_from_slice(&to.output[len..]);
            to.output.truncate(len);
        }
    }

    /// Appends as [`Self::push`] does. Many bytes are not copied where there is nothing before them.
    pub(crate) fn push_all(&mut self, bytes: Vec<u8>) {
        if bytes.len() < LEAST_KEPT || !self.output.is_empty() {
            return self.push(&bytes);
        }
        self.output = Bytes::from(bytes).into();
    }

    /// Appends bytes of our own to `output`.
    pub(crate) fn push(&mut self, bytes: &[u8]) {
        if bytes.is_empty() {
            return;
        }
        if self.output.capacity() == 0 {
            self.output = self.buffers.take();
        }
        self.output.extend_from_slice(bytes);
    }

    fn give_back_input(&mut self) {
        if self.input.capacity() != 0 {
            self.buffers.give(mem::take(&mut self.input));
        }
    }
}

/// The free buffers of one worker thread. The lock is never contended: one thread uses it.
#[derive(Debug, Default)]
pub(crate) struct Buffers {
    free: Mutex<Vec<BytesMut>>,
}

impl Buffers {
    fn take(&self) -> BytesMut {
        self.lock().pop().unwrap_or_else(|| BytesMut::with_capacity(BUFFER_SIZE))
    }

    fn give(&self, mut buffer: BytesMut) {
        let mut free = self.lock();
        if free.len() >= MOST_FREE {
            return;
        }
        buffer.clear();
        // After partial writes the start of the buffer has moved on; this moves it back, without an
        // allocation. A buffer that had to grow is let go.
        buffer.reserve(BUFFER_SIZE);
        if buffer.capacity() <= 2 * BUFFER_SIZE {
            free.push(buffer);
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<BytesMut>> {
        self.free.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Large enough that a big result costs few system calls, small enough that two of them stay in a
/// core's second-level cache.
const BUFFER_SIZE: usize = 256 * 1024;

/// Below this much room a read would be too small to be worth its system call.
const LEAST_READ: usize = 4 * 1024;

/// From how many bytes on it is cheaper to keep a buffer than to copy it into one that lies ready.
const LEAST_KEPT: usize = 16 * 1024;

/// How many free buffers a worker keeps; what is more is given back to the allocator.
const MOST_FREE: usize = 8;

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixStream;

    use super::*;

    fn wires() -> [Wire; 2] {
        let (one, other) = UnixStream::pair().unwrap();
        let buffers = Arc::new(Buffers::default());
        [one, other].map(|socket| {
            let stream = Stream::from_accepted_unix(socket).unwrap();
            Wire::new(stream, Arc::clone(&buffers))
        })
    }

    /// However much is handed over at a time, and whether or not something is pending already.
    #[tokio::test]
    async fn bytes_change_hands_in_order_and_once() {
        let [mut from, mut to] = wires();
        let sent: Vec<u8> = (0..=u8::MAX).collect();
        for size in 1..=sent.len() {
            for flushed in [true, false] {
                from.input.extend_from_slice(&sent);
                let mut got = Vec::new();
                while !from.input.is_empty() {
                    from.hand_over(size.min(from.input.len()), &mut to);
                    if flushed {
                        got.extend(to.output.split());
                    }
                }
                got.extend(to.output.split());
                assert_eq!(got, sent, "{size} at a time");
            }
        }
    }
}
