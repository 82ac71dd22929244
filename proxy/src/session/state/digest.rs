//! Digests of what a client was told: to see that a replay tells the same.

use ido_proxy_protocol::packet::{HEADER_LEN, Header};
use twox_hash::xxhash3_64::Hasher;

/// A digest of the payloads of a run of packets, whatever their sequence ids, cut anywhere.
pub(crate) struct PayloadDigest {
    hasher: Hasher,
    walk: PacketWalk,
}

impl PayloadDigest {
    /// Digest of nothing yet; the next byte is the first of a packet.
    pub(crate) fn new() -> Self {
        Self { hasher: Hasher::new(), walk: PacketWalk::default() }
    }

    /// Takes in the next bytes.
    pub(crate) fn update(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let (part, len) = self.walk.next(bytes);
            let (taken, rest) = bytes.split_at(len);
            if part == PacketPart::Payload {
                std::hash::Hasher::write(&mut self.hasher, taken);
            }
            bytes = rest;
        }
    }

    /// The digest.
    pub(crate) fn finish(&self) -> u64 {
        std::hash::Hasher::finish(&self.hasher)
    }
}

impl std::fmt::Debug for PayloadDigest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PayloadDigest").finish_non_exhaustive()
    }
}

/// Part of an unfinished reply that a client was given.
pub(crate) struct Delivered {
    bytes: u64,
    hasher: Hasher,
}

impl Delivered {
    /// Nothing.
    pub(crate) fn new() -> Self {
        Self { bytes: 0, hasher: Hasher::new() }
    }

    /// These bytes were given to it.
    pub(crate) fn add(&mut self, bytes: &[u8]) {
        self.bytes += bytes.len() as u64;
        std::hash::Hasher::write(&mut self.hasher, bytes);
    }
}

impl std::fmt::Debug for Delivered {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Delivered").field("bytes", &self.bytes).finish_non_exhaustive()
    }
}

/// A reply told anew, of which the client has the first bytes: those are compared and left out.
#[derive(Debug)]
pub(crate) struct Splice {
    expected: u64,
    left: u64,
    seen: Delivered,
}

impl Splice {
    /// The client has what was `delivered`.
    pub(crate) fn new(delivered: &Delivered) -> Self {
        let expected = std::hash::Hasher::finish(&delivered.hasher);
        Self { expected, left: delivered.bytes, seen: Delivered::new() }
    }

    /// How many of the next `bytes` the client has already; `None` if they are not the same.
    pub(crate) fn skip(&mut self, bytes: &[u8]) -> Option<usize> {
        let len = usize::try_from(self.left).unwrap_or(usize::MAX).min(bytes.len());
        self.seen.add(bytes.get(..len).unwrap_or_default());
        self.left -= len as u64;
        let same = self.left > 0 || self.expected == std::hash::Hasher::finish(&self.seen.hasher);
        same.then_some(len)
    }

    /// Whether all that the client has was seen again.
    pub(crate) fn is_over(&self) -> bool {
        self.left == 0
    }
}

/// Follows packets through a stream that is cut anywhere.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct PacketWalk {
    /// Bytes of the payload at hand still to come.
    left: usize,
    header: [u8; HEADER_LEN],
    /// How many bytes of it are there.
    header_len: usize,
}

/// Kind of the next bytes.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum PacketPart {
    /// One or more bytes of a header, up to this one of the four.
    Header,
    /// Payload.
    Payload,
}

impl PacketWalk {
    /// Kind of the first bytes, and how many of them; at least one if there are any.
    pub(crate) fn next(&mut self, bytes: &[u8]) -> (PacketPart, usize) {
        if self.left > 0 {
            let len = self.left.min(bytes.len());
            self.left -= len;
            return (PacketPart::Payload, len);
        }
        let len = (HEADER_LEN - self.header_len).min(bytes.len());
        self.header[self.header_len..self.header_len + len].copy_from_slice(&bytes[..len]);
        self.header_len += len;
        if self.header_len == HEADER_LEN {
            self.header_len = 0;
            self.left = Header::parse(&self.header).map_or(0, |header| header.payload_len);
        }
        (PacketPart::Header, len)
    }

    /// Adds `offset` to the sequence id of every packet in the next `bytes`.
    pub(crate) fn renumber(&mut self, bytes: &mut [u8], offset: u8) {
        self.each_number(bytes, |sequence| *sequence = sequence.wrapping_add(offset));
    }

    /// Shows the sequence id of every packet in the next `bytes`.
    pub(crate) fn each_number(&mut self, mut bytes: &mut [u8], mut on: impl FnMut(&mut u8)) {
        while !bytes.is_empty() {
            let before = self.header_len;
            let (part, len) = self.next(bytes);
            let (taken, rest) = bytes.split_at_mut(len);
            if part == PacketPart::Header
                && let Some(sequence) = taken.get_mut(HEADER_LEN - 1 - before)
            {
                on(sequence);
            }
            bytes = rest;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packets(first: u8) -> Vec<u8> {
        let mut out = Vec::new();
        let mut sequence = first;
        for payload in [&b"one"[..], b"", b"three", b"4"] {
            sequence = ido_proxy_protocol::packet::frame(payload, sequence, &mut out);
        }
        out
    }

    /// A replay of a batch gives its packets other numbers: the same rows must be taken for the same.
    #[test]
    fn payloads_are_compared_whatever_their_numbers_and_cuts() {
        let digest = |bytes: &[u8], cut: usize| {
            let mut digest = PayloadDigest::new();
            digest.update(&bytes[..cut]);
            digest.update(&bytes[cut..]);
            digest.finish()
        };
        let whole = digest(&packets(1), 0);
        for cut in 0..=packets(1).len() {
            assert_eq!(digest(&packets(200), cut), whole, "cut at {cut}");
        }
        let mut other = packets(1);
        *other.last_mut().unwrap() = b'5';
        assert_ne!(digest(&other, 3), whole);
    }

    /// A client closes the connection over a packet out of order.
    #[test]
    fn packets_are_renumbered_wherever_they_are_cut() {
        for cut in 0..=packets(1).len() {
            let mut bytes = packets(1);
            let mut walk = PacketWalk::default();
            let (before, after) = bytes.split_at_mut(cut);
            walk.renumber(before, 255);
            walk.renumber(after, 255);
            assert_eq!(bytes, packets(0), "cut at {cut}");
        }
    }

    /// A client in the middle of a result would get a row twice, or rows of two results.
    #[test]
    fn a_reply_told_anew_goes_on_where_it_was_cut() {
        let reply = packets(1);
        for cut in 0..=reply.len() {
            let mut delivered = Delivered::new();
            delivered.add(&reply[..cut]);
            for again in 0..=reply.len() {
                let mut splice = Splice::new(&delivered);
                let mut rest = Vec::new();
                for part in [&reply[..again], &reply[again..]] {
                    let skipped = splice.skip(part).expect("the same");
                    rest.extend_from_slice(&part[skipped..]);
                }
                assert!(splice.is_over());
                assert_eq!(rest, &reply[cut..]);
            }
            let other = packets(2);
            assert_eq!(Splice::new(&delivered).skip(&other).is_none(), cut > 3, "cut at {cut}");
        }
    }
}
