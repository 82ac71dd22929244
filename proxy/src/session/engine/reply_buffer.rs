//! Bytes that are owed to the client: those that wait, those that it has, and the numbers of its packets.

use ido_proxy_protocol::packet;

use crate::session::state::digest::{Delivered, PacketWalk, Splice};

/// A place in the reply.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) struct Mark {
    /// Bytes that wait before it.
    held: usize,
    /// The sequence id of the packet behind it.
    sequence: u8,
}

/// Packets that were taken out of a reply, and may come back.
#[derive(Debug)]
pub(super) struct Tail {
    bytes: Vec<u8>,
    /// The sequence id behind them.
    sequence: u8,
}

/// The reply to the command in hand.
#[derive(Debug)]
pub(super) struct ReplyBuffer {
    /// Packets that wait for the rest.
    held: Vec<u8>,
    /// The sequence id of the next packet.
    sequence: u8,
    /// The sequence id of the first packet.
    origin: u8,
    /// Whether packets without rows wait.
    holds: bool,
    /// Something has been passed on.
    begun: bool,
    /// The client has, or needs, no more of it.
    complete: bool,
    /// End of the packets that tell of something committed.
    settled: Option<Mark>,
    /// Beginning of the frame in hand.
    frame: Mark,
    /// Part of an unfinished reply that was passed on.
    delivered: Option<Box<Delivered>>,
    /// Part of a reply told anew that the client has already.
    splice: Option<Box<Splice>>,
    /// When the reply is told anew, should it be.
    anew: Anew,
}

/// When a reply is told anew.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Anew {
    /// With the next bytes: the client has all that was told.
    Now,
    /// Behind the bytes at hand, of which a part is being told.
    BehindThese,
    /// Behind the bytes at hand, since it has to be.
    Due,
}

impl ReplyBuffer {
    /// Nothing yet. The first packet has this sequence id.
    pub(super) fn new(sequence: u8, holds: bool, complete: bool) -> Self {
        Self {
            held: Vec::new(),
            sequence,
            origin: sequence,
            holds,
            begun: false,
            complete,
            settled: None,
            frame: Mark { held: 0, sequence },
            delivered: None,
            splice: None,
            anew: Anew::Now,
        }
    }

    /// Begins with this sequence id, if it has not begun. Returns whether that is so.
    pub(super) fn counts_from(&mut self, sequence: u8) -> bool {
        let untouched = self.is_untouched();
        if untouched {
            self.sequence = sequence;
            self.origin = sequence;
            self.frame = self.mark();
        }
        untouched
    }

    /// Whether nothing was told, and nothing waits.
    pub(super) fn is_untouched(&self) -> bool {
        !self.begun && self.held.is_empty()
    }

    /// Whether the client has something of it.
    pub(super) fn has_begun(&self) -> bool {
        self.begun
    }

    /// Whether the client has, or needs, no more of it.
    pub(super) fn is_complete(&self) -> bool {
        self.complete
    }

    /// Says that the client has, or needs, no more of it.
    pub(super) fn complete(&mut self) {
        self.complete = true;
    }

    /// Whether packets without rows wait.
    pub(super) fn holds(&self) -> bool {
        self.holds
    }

    /// Lets packets wait from here on.
    pub(super) fn hold(&mut self) {
        self.holds = true;
    }

    /// Bytes that wait.
    pub(super) fn len(&self) -> usize {
        self.held.len()
    }

    /// The sequence id of the next packet.
    pub(super) fn sequence(&self) -> u8 {
        self.sequence
    }

    /// The place behind the last packet.
    pub(super) fn mark(&self) -> Mark {
        Mark { held: self.held.len(), sequence: self.sequence }
    }

    /// Forgets what waits behind `mark`.
    pub(super) fn roll_back(&mut self, mark: Mark) {
        self.held.truncate(mark.held);
        self.sequence = mark.sequence;
    }

    /// A frame begins here.
    pub(super) fn begin_frame(&mut self) {
        self.frame = self.mark();
    }

    /// Forgets what waits of the frame in hand.
    pub(super) fn roll_back_frame(&mut self) {
        self.roll_back(self.frame);
    }

    /// Takes out what waits of the frame in hand. The numbers go on behind it, up to a rollback.
    pub(super) fn cut_frame(&mut self) -> Tail {
        self.cut(self.frame)
    }

    /// Takes out what waits behind `mark`. The numbers go on behind it, up to a rollback.
    pub(super) fn cut(&mut self, mark: Mark) -> Tail {
        let bytes = self.held.split_off(mark.held.min(self.held.len()));
        Tail { bytes, sequence: self.sequence }
    }

    /// Puts packets back.
    pub(super) fn append(&mut self, tail: Tail) {
        self.held.extend(tail.bytes);
        self.sequence = tail.sequence;
    }

    /// A link is gone, and with it what was at hand.
    pub(super) fn expects_nothing(&mut self) {
        self.anew = Anew::Now;
    }

    /// Says that what waits tells of something committed.
    pub(super) fn settle(&mut self) {
        self.settled = Some(self.mark());
    }

    /// Forgets what waits, but that which tells of something committed: a client that is told nothing of that would do
    /// it again. Returns the sequence id of what comes behind it.
    pub(super) fn keep_settled(&mut self) -> Option<u8> {
        self.held.truncate(self.settled.map_or(0, |mark| mark.held));
        self.settled.map(|mark| mark.sequence)
    }

    /// Adds a packet to those that wait.
    pub(super) fn push(&mut self, payload: &[u8]) {
        self.push_as(payload, self.sequence);
    }

    /// Adds a packet to those that wait, with this sequence id.
    pub(super) fn push_as(&mut self, payload: &[u8], sequence: u8) {
        self.sequence = packet::frame(payload, sequence, &mut self.held);
    }

    /// Adds packets of rows to those that wait, with other numbers.
    pub(super) fn push_rows(&mut self, packets: &[u8], walk: &mut PacketWalk, offset: u8) {
        let start = self.held.len();
        self.held.extend_from_slice(packets);
        walk.renumber(&mut self.held[start..], offset);
    }

    /// Ends the reply with this error.
    pub(super) fn fail(&mut self, error: &[u8]) {
        let sequence = self.keep_settled().unwrap_or(self.origin);
        packet::frame(error, sequence, &mut self.held);
    }

    /// Takes out what waits.
    pub(super) fn take(&mut self) -> Vec<u8> {
        // The mark is a place in these bytes.
        self.settled = None;
        std::mem::take(&mut self.held)
    }

    /// Takes out what waits, and lets nothing wait from here on.
    pub(super) fn release(&mut self) -> Vec<u8> {
        self.holds = false;
        self.take()
    }

    /// A packet was passed on; the next one has this sequence id.
    pub(super) fn passed_on(&mut self, next: u8) {
        self.begun = true;
        self.sequence = next;
    }

    /// Bytes are passed on whose packets are not counted.
    pub(super) fn begin(&mut self) {
        self.begun = true;
    }

    /// Goes back to `mark`, since what was told is told anew. The client keeps what it has of it, and gets the rest.
    pub(super) fn tell_anew(&mut self, mark: Mark) {
        if !self.begun {
            return self.roll_back(mark);
        }
        self.sequence = mark.sequence;
        match self.anew {
            Anew::Now => self.skip_delivered(),
            Anew::BehindThese | Anew::Due => self.anew = Anew::Due,
        }
    }

    /// Bytes are at hand of which a part is told. Should the reply be told anew, [`Self::deliver`] gets them first.
    pub(super) fn expects_delivery(&mut self) {
        self.anew = Anew::BehindThese;
    }

    /// Leaves out all that the client has, from whichever link.
    fn skip_delivered(&mut self) {
        self.splice = self.delivered.as_deref().map(|had| Box::new(Splice::new(had)));
    }

    /// Bytes for the client, without those that it has already. `None`: they differ from what it has, and nothing may
    /// follow that.
    pub(super) fn deliver<'a>(&mut self, told: &'a [u8]) -> Option<&'a [u8]> {
        let mut new = Some(told);
        if let Some(splice) = &mut self.splice {
            new = splice.skip(told).map(|known| told.get(known..).unwrap_or_default());
            if splice.is_over() {
                self.splice = None;
            }
        }
        if self.begun && !self.complete {
            let delivered = self.delivered.get_or_insert_with(|| Box::new(Delivered::new()));
            delivered.add(new.unwrap_or_default());
        }
        if std::mem::replace(&mut self.anew, Anew::Now) == Anew::Due {
            self.skip_delivered();
        }
        new
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Otherwise a client would be told of a write that is rolled back: it waits where one that was committed has waited.
    #[test]
    fn what_tells_of_something_committed_is_forgotten_when_it_is_passed_on() {
        let mut reply = ReplyBuffer::new(1, true, false);
        reply.push(b"committed");
        reply.settle();
        assert_eq!(reply.release().len(), 13);
        reply.hold();
        reply.push(b"in a frame");
        assert_eq!(reply.keep_settled(), None);
        assert!(reply.take().is_empty());
    }

    /// Otherwise a client would be told the same twice: what goes out now is told anew behind it.
    #[test]
    fn bytes_at_hand_are_left_out_of_what_is_told_anew() {
        let mut reply = ReplyBuffer::new(1, false, false);
        reply.expects_delivery();
        reply.begin();
        reply.tell_anew(Mark::default());
        assert_eq!(reply.deliver(b"rows"), Some(&b"rows"[..]));
        reply.expects_delivery();
        assert_eq!(reply.deliver(b"rows and more"), Some(&b" and more"[..]));
    }
}
