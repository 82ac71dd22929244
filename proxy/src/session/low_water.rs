//! How much is to have come from a link before its session is woken.
//!
//! A node sends the OK of each statement of a batch by itself: 250 segments for Icinga's, each of which would wake
//! this worker, at the cost of both sides. Nobody needs them one by one. While several replies are due, the kernel
//! is told to wake us from as many bytes on as are sure to come (`SO_RCVLOWAT`, socket(7)): a dozen times for
//! Icinga's batch, and once for each object of its first dump. An error ends a batch early, and then less comes:
//! after [`LONGEST`] any byte wakes us.

use std::task::Context;
use std::time::Duration;

use super::clock::{Alarm, Clock};
use super::wire::Wire;

/// When the link of one session wakes it.
#[derive(Debug)]
pub(super) struct LowWater {
    alarm: Alarm,
}

impl LowWater {
    /// Any byte wakes; `clock` ends what is waited for in vain.
    pub(super) fn new(clock: Clock) -> Self {
        Self { alarm: Alarm::new(clock) }
    }

    /// Decides anew, with so many replies due. Returns whether a single reply will wake nobody.
    pub(super) fn decide(&mut self, due: usize, link: &mut Wire) -> bool {
        let sure = (due * SHORTEST_REPLY).saturating_sub(link.input.len());
        if due < FEWEST || sure < FEWEST * SHORTEST_REPLY {
            link.set_low_water(1);
            return false;
        }
        if link.low_water() == 1 {
            self.alarm.set(LONGEST);
        }
        link.set_low_water(sure.min(MOST));
        true
    }

    /// Lets any byte wake us if it has been waited for long enough, or leaves a waker for when it has.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>, link: &mut Wire) {
        if link.low_water() > 1 && self.alarm.poll(cx).is_ready() {
            // The kernel tells at once of what is there.
            link.set_low_water(1);
        }
    }
}

/// How late the error may be noticed that ends a batch.
const LONGEST: Duration = Duration::from_millis(5);

/// How many replies must be due.
const FEWEST: usize = 2;

/// How many bytes may pile up in the kernel, so that the node need not wait for room.
const MOST: usize = 4 * 1024;

/// The packet of an OK without a word: header, five fields of a byte, and two of two bytes
/// (MariaDB documentation, "OK_Packet").
const SHORTEST_REPLY: usize = 11;

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::sync::Arc;
    use std::task::Poll;

    use tokio::net::{TcpListener, TcpStream};
    use tokio::time::timeout;

    use super::super::stream::Stream;
    use super::super::wire::Buffers;
    use super::*;

    /// A node, and our link to it.
    async fn pair() -> (Wire, Wire) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (link, node) =
            tokio::join!(TcpStream::connect(listener.local_addr().unwrap()), listener.accept());
        let wire = |stream| Wire::new(Stream::Tcp(stream), Arc::new(Buffers::default()));
        (wire(node.unwrap().0), wire(link.unwrap()))
    }

    async fn send(node: &mut Wire, replies: usize) {
        node.push(&vec![0; replies * SHORTEST_REPLY]);
        node.flush().await.unwrap();
    }

    /// Waits for bytes from the link as a session does.
    async fn fill(low_water: &mut LowWater, link: &mut Wire) -> usize {
        let filled = poll_fn(|cx| {
            low_water.poll(cx, link);
            link.poll_fill(cx)
        });
        timeout(DEADLINE, filled).await.expect("it is woken").unwrap()
    }

    /// This is what it is for: else each of Icinga's statements would cost a wake.
    #[tokio::test]
    async fn a_reply_of_many_wakes_nobody() {
        let ((mut node, mut link), (mut other, mut witness)) = (pair().await, pair().await);
        let mut low_water = LowWater::new(Clock::current());
        assert!(low_water.decide(100, &mut link));
        send(&mut node, 99).await;
        send(&mut other, 1).await;
        witness.fill().await.unwrap();
        // What came before that would be known by now.
        let filled = poll_fn(|cx| Poll::Ready(link.poll_fill(cx))).await;
        assert!(filled.is_pending(), "{filled:?}");
        send(&mut node, 1).await;
        let filled = timeout(DEADLINE, poll_fn(|cx| link.poll_fill(cx))).await;
        assert_eq!(filled.expect("all are there").unwrap(), 100 * SHORTEST_REPLY);
        assert!(!low_water.decide(0, &mut link));
        send(&mut node, 1).await;
        assert_eq!(timeout(DEADLINE, poll_fn(|cx| link.poll_fill(cx))).await.unwrap().unwrap(), 11);
    }

    /// The client of a batch that failed would wait for ever; and what has been read counts.
    #[tokio::test]
    async fn less_than_was_due_is_noticed_all_the_same() {
        let (mut node, mut link) = pair().await;
        let mut low_water = LowWater::new(Clock::current());
        for _ in 0..3 {
            assert!(low_water.decide(100, &mut link));
            send(&mut node, 50).await;
            assert_eq!(fill(&mut low_water, &mut link).await, 50 * SHORTEST_REPLY);
            assert!(low_water.decide(100, &mut link), "50 are still to come");
            assert_eq!(link.low_water(), 50 * SHORTEST_REPLY);
            send(&mut node, 1).await;
            assert_eq!(fill(&mut low_water, &mut link).await, SHORTEST_REPLY);
            link.consume(51 * SHORTEST_REPLY);
        }
    }

    /// A node that dies would not be noticed.
    #[tokio::test]
    async fn the_end_of_a_link_is_noticed_at_once() {
        let (mut node, mut link) = pair().await;
        let mut low_water = LowWater::new(Clock::current());
        assert!(low_water.decide(100, &mut link));
        send(&mut node, 1).await;
        drop(node);
        for expected in [SHORTEST_REPLY, 0] {
            let filled = timeout(DEADLINE, poll_fn(|cx| link.poll_fill(cx))).await;
            assert_eq!(filled.expect("it is woken").unwrap(), expected);
        }
    }

    /// Whoever asks and waits for the answer (a login, a reset) has no alarm.
    #[tokio::test]
    async fn who_waits_for_any_byte_gets_it() {
        let (mut node, mut link) = pair().await;
        assert!(LowWater::new(Clock::current()).decide(100, &mut link));
        send(&mut node, 1).await;
        let filled = timeout(DEADLINE, link.fill()).await;
        assert_eq!(filled.expect("it is woken").unwrap(), SHORTEST_REPLY);
    }

    const DEADLINE: Duration = Duration::from_secs(10);
}
