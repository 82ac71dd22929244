//! How much is to have come from a link before its session is woken.
//!
//! A node sends the OK of each statement of a batch by itself: 250 segments for Icinga's, each of which would wake
//! this worker, at the cost of both sides. Nobody needs them one by one. While several replies are due, the kernel
//! is told to wake us from as many bytes on as are sure to come (`SO_RCVLOWAT`, socket(7)). An error ends a batch
//! early, and then less comes: after [`LONGEST`] any byte wakes us. So it does where the bytes lie in a TLS record
//! that is not complete.
//!
//! Who reads nothing acknowledges nothing, and each reply is a segment: a node that may send ten before it hears of
//! one (RFC 6928) would wait for us, and we for it. So no more pile up than twice those that came the last time,
//! which is how the node's window grows too.

use std::task::Context;
use std::time::Duration;

use crate::session::transport::timer::{Alarm, Clock};
use crate::session::transport::wire::Wire;

/// When the link of one session wakes it.
#[derive(Debug)]
pub(in crate::session) struct LowWater {
    alarm: Alarm,
    /// Replies that were due when it was decided last.
    due: usize,
    /// Bytes that have come since.
    arrived: usize,
    /// Bytes of a reply, as they came last.
    length: usize,
    /// How many replies may pile up.
    most: usize,
    /// Not all that was waited for has come in time.
    late: bool,
}

impl LowWater {
    /// Any byte wakes; `clock` ends what is waited for in vain.
    pub(in crate::session) fn new(clock: Clock) -> Self {
        let alarm = Alarm::new(clock);
        Self { alarm, due: 0, arrived: 0, length: SHORTEST_REPLY, most: FIRST, late: false }
    }

    /// So many bytes have come from the link.
    pub(in crate::session) fn arrive(&mut self, bytes: usize) {
        self.arrived += bytes;
    }

    /// Decides anew, with so many replies due of which nothing was used yet. Returns whether a single one will wake
    /// nobody.
    pub(in crate::session) fn decide(&mut self, due: usize, link: &mut Wire) -> bool {
        let news = self.learn(due);
        let sure = (due * SHORTEST_REPLY).saturating_sub(link.input.len());
        if due < FEWEST || sure < FEWEST * SHORTEST_REPLY {
            link.set_low_water(1);
            return false;
        }
        if news || link.low_water() == 1 {
            self.alarm.set(LONGEST);
        }
        link.set_low_water(sure.min(self.most * self.length).min(MOST));
        link.low_water() > 1
    }

    /// Finds out how long replies are, and how many come at a time. Returns whether there is anything new.
    fn learn(&mut self, due: usize) -> bool {
        match self.due.checked_sub(due) {
            Some(0) => return false,
            Some(ended) => {
                let most = if self.late { ended } else { 2 * ended };
                self.most = most.max(FIRST);
                self.length = (self.arrived / ended).max(SHORTEST_REPLY);
            }
            None => {
                // Another batch begins.
                self.length = SHORTEST_REPLY;
                self.most = FIRST;
            }
        }
        self.late = false;
        self.due = due;
        self.arrived = 0;
        true
    }

    /// Lets any byte wake us if it has been waited for long enough, or leaves a waker for when it has.
    pub(in crate::session) fn poll(&mut self, cx: &mut Context<'_>, link: &mut Wire) {
        if link.low_water() > 1 && self.alarm.poll(cx).is_ready() {
            // The kernel tells at once of what is there.
            link.set_low_water(1);
            self.late = true;
        }
    }
}

/// How late the error may be noticed that ends a batch.
const LONGEST: Duration = Duration::from_millis(3);

/// How many replies must be due: texts of two statements are rather polled for.
const FEWEST: usize = 3;

/// How many replies may pile up in the kernel at the beginning of a batch. Their length is a guess, so it is well below
/// ten.
const FIRST: usize = 6;

/// How many bytes may pile up, so that there is room for more.
const MOST: usize = 4 * 1024;

/// The packet of an OK without a word: header, five fields of a byte, and two of two bytes
/// (MariaDB documentation, "OK_Packet").
const SHORTEST_REPLY: usize = 11;

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::io;
    use std::sync::Arc;
    use std::task::Poll;

    use tokio::net::{TcpListener, TcpStream};
    use tokio::time::timeout;

    use super::*;
    use crate::session::transport::stream::Stream;
    use crate::session::transport::wire::Buffers;

    /// A node, and our link to it.
    async fn pair() -> (Wire, Wire) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (link, node) =
            tokio::join!(TcpStream::connect(listener.local_addr().unwrap()), listener.accept());
        let wire = |stream| Wire::new(Stream::Tcp(stream), Arc::new(Buffers::default()));
        (wire(node.unwrap().0), wire(link.unwrap()))
    }

    /// Each in a segment of its own, as a node does.
    async fn send(node: &mut Wire, replies: usize) {
        for _ in 0..replies {
            node.push(&[0; SHORTEST_REPLY]);
            node.flush().await.unwrap();
        }
    }

    /// Waits for bytes from the link as a session does.
    async fn fill(low_water: &mut LowWater, link: &mut Wire) -> usize {
        in_time(poll_fn(|cx| {
            low_water.poll(cx, link);
            link.poll_fill(cx)
        }))
        .await
    }

    /// Waits for as many as the mark says, without an alarm.
    async fn fill_to_mark(link: &mut Wire) -> usize {
        in_time(poll_fn(|cx| link.poll_fill(cx))).await
    }

    async fn in_time(filled: impl Future<Output = io::Result<usize>>) -> usize {
        timeout(DEADLINE, filled).await.expect("it is woken").unwrap()
    }

    /// Otherwise each of Icinga's statements would cost a wake.
    #[tokio::test]
    async fn a_reply_of_several_wakes_nobody() {
        let ((mut node, mut link), (mut other, mut witness)) = (pair().await, pair().await);
        let mut low_water = LowWater::new(Clock::current());
        assert!(low_water.decide(FIRST, &mut link));
        send(&mut node, FIRST - 1).await;
        send(&mut other, 1).await;
        witness.fill().await.unwrap();
        // Bytes that came before that would be known by now.
        let filled = poll_fn(|cx| Poll::Ready(link.poll_fill(cx))).await;
        assert!(filled.is_pending(), "{filled:?}");
        send(&mut node, 1).await;
        assert_eq!(fill_to_mark(&mut link).await, FIRST * SHORTEST_REPLY, "all are there");
        assert!(!low_water.decide(0, &mut link));
        send(&mut node, 1).await;
        assert_eq!(fill_to_mark(&mut link).await, SHORTEST_REPLY);
    }

    /// With more than the node may send at a time, both would wait for the alarm; with less, for each reply.
    #[tokio::test]
    async fn no_more_replies_pile_up_than_a_node_may_send_unheard() {
        let (_node, mut link) = pair().await;
        let mut low_water = LowWater::new(Clock::current());
        for (due, bytes, late, mark) in [
            (250, 0, false, 6 * 11),
            // A few long ones: they say little of how many may come.
            (248, 72, false, 6 * 36),
            (248, 10, false, 6 * 36),
            (240, 254, false, 16 * 33),
            (220, 660, false, 40 * 33),
            (210, 330, true, 10 * 33),
            (110, 15_000, false, 110 * 11),
            (900, 0, false, 6 * 11),
            (800, 10_000, false, 4_096),
            (799, 11, true, 6 * 11),
        ] {
            low_water.arrive(bytes);
            low_water.late = late;
            assert!(low_water.decide(due, &mut link));
            assert_eq!(link.low_water(), mark, "{due} due, after {bytes} bytes");
        }
    }

    /// The client of a batch that failed would wait for ever; and what has been read counts.
    #[tokio::test]
    async fn less_than_was_due_is_noticed_all_the_same() {
        let (mut node, mut link) = pair().await;
        let mut low_water = LowWater::new(Clock::current());
        for _ in 0..3 {
            low_water.decide(0, &mut link);
            assert!(low_water.decide(5, &mut link));
            send(&mut node, 2).await;
            while link.input.len() < 2 * SHORTEST_REPLY {
                fill(&mut low_water, &mut link).await;
            }
            assert!(low_water.decide(5, &mut link), "three are still to come");
            assert_eq!(link.low_water(), 3 * SHORTEST_REPLY);
            send(&mut node, 1).await;
            assert_eq!(fill(&mut low_water, &mut link).await, SHORTEST_REPLY);
            link.consume(3 * SHORTEST_REPLY);
        }
    }

    /// A node whose statements are slow has not more under way because it was waited for.
    #[tokio::test]
    async fn no_more_is_waited_for_than_comes_in_time() {
        let (mut node, mut link) = pair().await;
        let mut low_water = LowWater::new(Clock::current());
        assert!(low_water.decide(100, &mut link));
        send(&mut node, 5).await;
        while link.input.len() < 5 * SHORTEST_REPLY {
            let bytes = fill(&mut low_water, &mut link).await;
            low_water.arrive(bytes);
        }
        link.consume(5 * SHORTEST_REPLY);
        assert!(low_water.decide(95, &mut link));
        assert_eq!(link.low_water(), FIRST * SHORTEST_REPLY);
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
            assert_eq!(fill_to_mark(&mut link).await, expected);
        }
    }

    /// Whoever asks and waits for the answer (a login, a reset) has no alarm.
    #[tokio::test]
    async fn who_waits_for_any_byte_gets_it() {
        let (mut node, mut link) = pair().await;
        assert!(LowWater::new(Clock::current()).decide(100, &mut link));
        send(&mut node, 1).await;
        assert_eq!(in_time(link.fill()).await, SHORTEST_REPLY);
    }

    const DEADLINE: Duration = Duration::from_secs(10);
}
