//! Towards the client: at once, or when the rest is there.

use ido_proxy_protocol::packet::{self, HEADER_LEN};
use ido_proxy_protocol::status::StatusFlags;
use smallvec::SmallVec;

use super::Replies;
use crate::session::engine::exchange::Opens;
use crate::session::state::digest::PacketWalk;

impl Replies<'_> {
    /// The first packet of a request for the client tells how far its numbers are from those expected.
    pub(super) fn find_offset(&mut self, bytes: &[u8]) {
        let sequence = self.exchange.reply.sequence();
        let Some(running) = &mut self.exchange.running else { return };
        if running.renumber.is_none() {
            let got = bytes.get(HEADER_LEN - 1).copied().unwrap_or_default();
            running.renumber = Some((PacketWalk::default(), sequence.wrapping_sub(got)));
        }
    }

    /// A packet of ours stands between two of the client's: the numbers behind it are one too high.
    pub(super) fn leave_out_packet(&mut self) {
        if let Some(running) = &mut self.exchange.running
            && let Some((_, offset)) = &mut running.renumber
        {
            *offset = offset.wrapping_sub(1);
        }
    }

    pub(super) fn offset(&self) -> u8 {
        let running = self.exchange.running.as_ref();
        running.and_then(|running| running.renumber.as_ref()).map_or(0, |(_, offset)| *offset)
    }

    /// Rows. Those of one statement among several wait for the rest, if they are few: a client that has some has to
    /// get the very same again, and none before them.
    pub(super) fn rows(&mut self, bytes: &[u8], told: &[u8]) {
        let exchange = &mut *self.exchange;
        let several =
            exchange.script.len() > 1 || exchange.step().is_some_and(|step| step.pieces.len() > 1);
        let waits = exchange.reply.holds() && several;
        if !waits || exchange.reply.len() + told.len() > MOST_ROWS {
            return self.stream_as(bytes, told);
        }
        let Some(running) = &mut exchange.running else { return };
        let (walk, offset) = running.renumber.get_or_insert_default();
        exchange.reply.push_rows(told, walk, *offset);
        self.swallow(bytes.len());
    }

    /// Bytes that cannot wait: many rows, or a question to the client.
    pub(super) fn stream(&mut self, bytes: &[u8]) {
        self.stream_as(bytes, bytes);
    }

    /// Streams `told` in place of `bytes`.
    pub(super) fn stream_as(&mut self, bytes: &[u8], told: &[u8]) {
        let held = self.exchange.reply.release();
        self.exchange.reply.begin();
        let Some(running) = &mut self.exchange.running else { return };
        let (walk, offset) = running.renumber.get_or_insert_default();
        if *offset == 0 && std::ptr::eq(bytes, told) {
            if !held.is_empty() {
                self.edits.replace(self.input, self.taken..self.taken, &held);
            }
            return;
        }
        let mut out = held;
        let start = out.len();
        out.extend_from_slice(told);
        walk.renumber(&mut out[start..], *offset);
        self.edits.replace(self.input, self.taken..self.taken + bytes.len(), &out);
    }

    /// A whole packet with which a result ends.
    pub(super) fn tell(&mut self, bytes: &[u8]) {
        self.hold_if_wrapped();
        let offset = self.offset();
        if offset == 0 && !self.exchange.reply.holds() {
            let sequence = bytes.get(HEADER_LEN - 1).copied().unwrap_or_default();
            self.exchange.reply.passed_on(sequence.wrapping_add(1));
            return;
        }
        self.tell_payload(bytes, bytes.get(HEADER_LEN..).unwrap_or_default());
    }

    /// A wrapped statement is not done before our COMMIT is.
    pub(super) fn hold_if_wrapped(&mut self) {
        if self.exchange.step().is_some_and(|step| step.frame.is_some())
            || self.exchange.opens == Opens::ForUs
        {
            self.exchange.reply.hold();
        }
    }

    /// A packet with which a result ends, and which came before what is at hand.
    pub(super) fn tell_kept(&mut self, packet: &[u8]) {
        self.exchange.reply.hold();
        let got = packet.get(HEADER_LEN - 1).copied().unwrap_or_default();
        let sequence = got.wrapping_add(self.offset());
        let payload = packet.get(HEADER_LEN..).unwrap_or_default();
        self.exchange.reply.push_as(payload, sequence);
    }

    /// Tells the packet `bytes` with another payload.
    pub(super) fn tell_payload(&mut self, bytes: &[u8], payload: &[u8]) {
        self.hold_if_wrapped();
        let got = bytes.get(HEADER_LEN - 1).copied().unwrap_or_default();
        let sequence = got.wrapping_add(self.offset());
        let range = self.taken..self.taken + bytes.len();
        if self.exchange.reply.holds() {
            self.edits.replace(self.input, range, &[]);
            self.exchange.reply.push_as(payload, sequence);
        } else {
            let mut framed = Vec::with_capacity(HEADER_LEN + payload.len());
            let next = packet::frame(payload, sequence, &mut framed);
            self.edits.replace(self.input, range, &framed);
            self.exchange.reply.passed_on(next);
        }
    }

    /// Tells the packet `bytes` with other status flags, which begin at offset `at` of the payload.
    pub(super) fn tell_with(&mut self, bytes: &[u8], at: usize, status: StatusFlags) {
        let payload = bytes.get(HEADER_LEN..).unwrap_or_default();
        let mut payload = SmallVec::<[u8; 64]>::from_slice(payload);
        put_status(&mut payload, at, status);
        self.tell_payload(bytes, &payload);
    }

    pub(super) fn release(&mut self) {
        let held = self.exchange.reply.release();
        self.edits.replace(self.input, self.taken..self.taken, &held);
    }

    /// Bytes that are not the client's.
    pub(in crate::session::engine) fn swallow(&mut self, len: usize) {
        self.edits.replace(self.input, self.taken..self.taken + len, &[]);
    }
}

/// Bytes of a reply with rows that wait for its end.
const MOST_ROWS: usize = 64 << 10;

pub(super) fn put_status(packet: &mut [u8], at: usize, status: StatusFlags) {
    if let Some(place) = packet.get_mut(at..at + 2) {
        place.copy_from_slice(&status.bits().to_le_bytes());
    }
}
