//! A long way to a server: a relay that hands on what it reads after a while, both ways.
//!
//! Kernels without netem cannot delay packets, and tokio's timers count whole milliseconds. One thread
//! waits for bytes and, by the nanosecond, for the next piece that is due. Pieces travel side by side: the
//! second does not wait for the first.

use std::collections::VecDeque;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, ppoll};
use nix::sys::prctl::set_timerslack;
use nix::sys::time::TimeSpec;

use crate::error::{Context, Result};

/// A relay before one server. Dropping it ends its connections.
#[derive(Debug)]
pub(crate) struct Relay {
    /// End of a pair: closing it wakes and ends the thread.
    stop: Option<UnixStream>,
    thread: Option<JoinHandle<()>>,
}

impl Relay {
    /// Listens at `at`. Bytes go on to `to`, and come back, `each_way` later.
    ///
    /// # Errors
    /// When somebody listens there already.
    pub(crate) fn start(at: SocketAddr, to: SocketAddr, each_way: Duration) -> Result<Self> {
        let listening = || -> io::Result<_> {
            let listener = TcpListener::bind(at)?;
            listener.set_nonblocking(true)?;
            Ok((listener, UnixStream::pair()?))
        };
        let (listener, (stop, stopped)) =
            listening().context(|| format!("listening at {at} as a relay"))?;
        let mut serving = Serving { listener, stopped, to, each_way, links: Vec::new() };
        let thread = std::thread::spawn(move || {
            // Timers are up to 50 µs late where this is refused.
            let _ = set_timerslack(1);
            while serving.turn().is_ok() {}
        });
        Ok(Self { stop: Some(stop), thread: Some(thread) })
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

struct Serving {
    listener: TcpListener,
    stopped: UnixStream,
    to: SocketAddr,
    each_way: Duration,
    links: Vec<Link>,
}

impl Serving {
    /// Waits for something to do, and does it.
    ///
    /// # Errors
    /// When the relay is to end.
    fn turn(&mut self) -> Result<(), End> {
        let ready = self.wait()?;
        if ready[0] {
            return Err(End);
        }
        for (link, readable) in self.links.iter_mut().zip(ready[2..].chunks(2)) {
            link.read(readable[0], readable[1], self.each_way);
        }
        if ready[1] {
            while let Ok((near, _)) = self.listener.accept() {
                // Connections that the server refuses are closed.
                self.links.extend(Link::open(near, self.to).ok());
            }
        }
        let now = Instant::now();
        self.links.retain_mut(|link| link.write(now));
        Ok(())
    }

    /// Tells which descriptors are ready: the stop, the listener, then both ends of every link.
    fn wait(&self) -> Result<Vec<bool>, End> {
        let mut polled = vec![
            PollFd::new(self.stopped.as_fd(), PollFlags::POLLIN),
            PollFd::new(self.listener.as_fd(), PollFlags::POLLIN),
        ];
        for link in &self.links {
            polled.push(PollFd::new(link.near.as_fd(), interest(&link.there, &link.back)));
            polled.push(PollFd::new(link.far.as_fd(), interest(&link.back, &link.there)));
        }
        let due = self.links.iter().flat_map(|link| [link.there.due(), link.back.due()]);
        let left = due.flatten().min().map(|due| due.saturating_duration_since(Instant::now()));
        match ppoll(&mut polled, left.map(TimeSpec::from_duration), None) {
            Ok(_) | Err(Errno::EINTR) => {}
            Err(_) => return Err(End),
        }
        let readable = PollFlags::POLLIN | PollFlags::POLLHUP | PollFlags::POLLERR;
        let found = polled.iter().map(|polled| polled.revents().unwrap_or(PollFlags::empty()));
        Ok(found.map(|found| found.intersects(readable)).collect())
    }
}

/// The relay is to end.
#[derive(Debug)]
struct End;

/// Events to wait for at an end from which `from` comes and to which `to` goes.
fn interest(from: &Line, to: &Line) -> PollFlags {
    let mut interest = PollFlags::empty();
    interest.set(PollFlags::POLLIN, !from.ended && from.held < MOST_UNDER_WAY);
    interest.set(PollFlags::POLLOUT, to.blocked);
    interest
}

/// One connection: its two ends, and the bytes under way between them.
struct Link {
    near: TcpStream,
    far: TcpStream,
    there: Line,
    back: Line,
    failed: bool,
}

impl Link {
    fn open(near: TcpStream, to: SocketAddr) -> io::Result<Self> {
        let far = TcpStream::connect(to)?;
        for end in [&near, &far] {
            end.set_nodelay(true)?;
            end.set_nonblocking(true)?;
        }
        Ok(Self { near, far, there: Line::default(), back: Line::default(), failed: false })
    }

    fn read(&mut self, near: bool, far: bool, each_way: Duration) {
        let near = !near || self.there.read(&self.near, each_way).is_ok();
        let far = !far || self.back.read(&self.far, each_way).is_ok();
        self.failed |= !near || !far;
    }

    /// Writes all that is due, and says whether the link goes on.
    fn write(&mut self, now: Instant) -> bool {
        let written = [(&mut self.there, &self.far), (&mut self.back, &self.near)]
            .into_iter()
            .all(|(line, to)| line.write(to, now).is_ok());
        written && !self.failed && !(self.there.is_over() && self.back.is_over())
    }
}

/// Bytes under way in one direction.
#[derive(Default)]
struct Line {
    pieces: VecDeque<Piece>,
    /// Bytes of all pieces.
    held: usize,
    /// Set once the end was read. The end is a piece without bytes.
    ended: bool,
    /// Set while the other end takes no more.
    blocked: bool,
}

struct Piece {
    due: Instant,
    bytes: Vec<u8>,
    /// Bytes written so far.
    sent: usize,
}

impl Line {
    /// Time of the next write.
    fn due(&self) -> Option<Instant> {
        self.pieces.front().filter(|_| !self.blocked).map(|piece| piece.due)
    }

    fn is_over(&self) -> bool {
        self.ended && self.pieces.is_empty()
    }

    /// Takes the bytes that have come.
    fn read(&mut self, mut from: impl Read, delay: Duration) -> io::Result<()> {
        let mut buffer = [0; 64 << 10];
        match from.read(&mut buffer) {
            Ok(_) if self.ended => {}
            Ok(len) => {
                let (due, bytes) = (Instant::now() + delay, buffer[..len].to_vec());
                self.pieces.push_back(Piece { due, bytes, sent: 0 });
                self.held += len;
                self.ended = len == 0;
            }
            Err(error) if is_later(&error) => {}
            Err(error) => return Err(error),
        }
        Ok(())
    }

    /// Hands on the pieces that are due by `now`.
    fn write(&mut self, mut to: &TcpStream, now: Instant) -> io::Result<()> {
        self.blocked = false;
        while let Some(piece) = self.pieces.front_mut().filter(|piece| piece.due <= now) {
            if piece.bytes.is_empty() {
                to.shutdown(Shutdown::Write)?;
                self.pieces.pop_front();
                continue;
            }
            match to.write(&piece.bytes[piece.sent..]) {
                Ok(len) => piece.sent += len,
                Err(error) if is_later(&error) => {
                    self.blocked = true;
                    return Ok(());
                }
                Err(error) => return Err(error),
            }
            if piece.sent == piece.bytes.len() {
                self.held -= piece.sent;
                self.pieces.pop_front();
            }
        }
        Ok(())
    }
}

fn is_later(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted)
}

/// Bytes under way at which a sender has to wait.
const MOST_UNDER_WAY: usize = 64 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    const EACH_WAY: Duration = Duration::from_millis(20);

    /// A server that says back what it hears, with a relay before it, and a client of that.
    fn client_of_an_echo() -> (TcpStream, Relay) {
        let echo = TcpListener::bind("127.0.0.1:0").expect("a port is free");
        let to = echo.local_addr().expect("it is bound");
        std::thread::spawn(move || {
            let (stream, _) = echo.accept().expect("somebody came");
            let _ = io::copy(&mut &stream, &mut &stream);
        });
        // The port of a listener that is gone is free for a while.
        let at = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr());
        let at = at.expect("a port is free");
        let relay = Relay::start(at, to, EACH_WAY).expect("it listens");
        let client = TcpStream::connect(at).expect("the relay listens");
        client.set_nodelay(true).expect("a socket");
        (client, relay)
    }

    /// A way that is shorter than it claims makes a round trip more look cheap.
    #[test]
    fn a_round_trip_takes_both_ways() {
        let (mut client, _relay) = client_of_an_echo();
        for _ in 0..3 {
            let begun = Instant::now();
            client.write_all(b"x").expect("sent");
            client.read_exact(&mut [0]).expect("said back");
            assert!(begun.elapsed() >= 2 * EACH_WAY, "{:?}", begun.elapsed());
        }
    }

    /// A relay that keeps the next piece waiting makes a batch in several pieces look slow.
    #[test]
    fn pieces_travel_side_by_side() {
        let (mut client, _relay) = client_of_an_echo();
        let begun = Instant::now();
        let mut last = begun;
        for number in 0..100 {
            while last.elapsed() < Duration::from_micros(200) {
                std::hint::black_box(last);
            }
            client.write_all(&[number]).expect("sent");
            last = Instant::now();
        }
        let mut heard = [0; 100];
        client.read_exact(&mut heard).expect("said back");
        assert!(heard.iter().copied().eq(0..100), "{heard:?}");
        // Pieces one after the other would take 4 s.
        assert!(begun.elapsed() < Duration::from_secs(2), "{:?}", begun.elapsed());
    }

    /// Large results fill the sockets' buffers: bytes that have to wait must not be lost.
    #[test]
    fn much_arrives_whole_and_so_does_the_end() {
        let (client, _relay) = client_of_an_echo();
        let sent: Vec<u8> = (0..8 << 20).map(|number: u32| (number % 251) as u8).collect();
        let mut heard = Vec::new();
        std::thread::scope(|scope| {
            scope.spawn(|| {
                (&client).write_all(&sent).expect("sent");
                client.shutdown(Shutdown::Write).expect("sent");
            });
            (&client).read_to_end(&mut heard).expect("said back");
        });
        assert!(sent == heard, "{} bytes of {}", heard.len(), sent.len());
    }
}
