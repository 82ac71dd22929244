//! Packets: a header of four bytes, then up to 16 MiB - 1 bytes of payload.
//!
//! A payload of [`MAX_PAYLOAD`] bytes or more is sent as several packets; the last one, which may
//! be empty, is the first that is shorter than [`MAX_PAYLOAD`].
//!
//! Source: MariaDB documentation, "0 - Packet".

use crate::violation::Violation;

/// The most bytes of payload in one packet.
pub const MAX_PAYLOAD: usize = 0xFF_FFFF;

/// The bytes of a header.
pub const HEADER_LEN: usize = 4;

/// The header of each packet.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Header {
    /// Bytes of payload that follow, `0 <= payload_len <= MAX_PAYLOAD`.
    pub payload_len: usize,
    /// Counts the packets of one command and its reply, from 0, modulo 256.
    pub sequence: u8,
}

impl Header {
    /// The header at the start of `buf`, or `None` while it is not complete.
    pub const fn parse(buf: &[u8]) -> Option<Self> {
        match buf {
            [a, b, c, sequence, ..] => Some(Self {
                payload_len: u32::from_le_bytes([*a, *b, *c, 0]) as usize,
                sequence: *sequence,
            }),
            _ => None,
        }
    }

    /// The four bytes. `payload_len` must not exceed [`MAX_PAYLOAD`].
    pub const fn encode(self) -> [u8; HEADER_LEN] {
        debug_assert!(self.payload_len <= MAX_PAYLOAD);
        let [a, b, c, _] = (self.payload_len as u32).to_le_bytes();
        [a, b, c, self.sequence]
    }

    /// Whether another packet continues this payload.
    pub const fn is_continued(self) -> bool {
        self.payload_len == MAX_PAYLOAD
    }
}

/// Appends `payload` to `out` in as many packets as it takes, the first with `sequence`. Returns
/// the sequence id of the next packet.
pub fn frame(payload: &[u8], sequence: u8, out: &mut Vec<u8>) -> u8 {
    let mut sequence = sequence;
    let mut rest = payload;
    loop {
        let (part, after) = rest.split_at(rest.len().min(MAX_PAYLOAD));
        let header = Header { payload_len: part.len(), sequence };
        out.extend_from_slice(&header.encode());
        out.extend_from_slice(part);
        sequence = sequence.wrapping_add(1);
        if !header.is_continued() {
            return sequence;
        }
        rest = after;
    }
}

/// Frames a payload as [`frame`] does, where it stands at the end of `out` already. [`HEADER_LEN`] bytes of room
/// at `start` precede the payload. Nothing is copied, unless the payload takes several packets.
pub fn frame_in_place(out: &mut Vec<u8>, start: usize, sequence: u8) -> u8 {
    let payload_len = out.len().saturating_sub(start + HEADER_LEN);
    let header = Header { payload_len, sequence };
    match out.get_mut(start..start + HEADER_LEN) {
        Some(room) if payload_len < MAX_PAYLOAD => {
            room.copy_from_slice(&header.encode());
            sequence.wrapping_add(1)
        }
        _ => {
            let payload = out.split_off((start + HEADER_LEN).min(out.len()));
            out.truncate(start);
            frame(&payload, sequence, out)
        }
    }
}

/// The single packet at the start of `buf`, or `None` while it is not complete. For the phases in
/// which every packet is small, such as login: one with more than `limit` bytes of payload is
/// [`Violation::TooLong`] as soon as its header is there.
pub fn whole(buf: &[u8], limit: usize) -> Result<Option<(Header, &[u8])>, Violation> {
    let Some(header) = Header::parse(buf) else {
        return Ok(None);
    };
    // A continued payload is never small, whatever the limit says.
    let limit = limit.min(MAX_PAYLOAD - 1);
    if header.payload_len > limit {
        return Err(Violation::TooLong { limit, got: header.payload_len });
    }
    let payload = buf.get(HEADER_LEN..HEADER_LEN + header.payload_len);
    Ok(payload.map(|payload| (header, payload)))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn headers_round_trip(payload_len in 0..=MAX_PAYLOAD, sequence: u8) {
            let header = Header { payload_len, sequence };
            prop_assert_eq!(Header::parse(&header.encode()), Some(header));
        }

        #[test]
        fn a_packet_is_whole_only_with_its_last_byte(payload: Vec<u8>, sequence: u8) {
            let mut out = Vec::new();
            prop_assert_eq!(frame(&payload, sequence, &mut out), sequence.wrapping_add(1));
            for end in 0..out.len() {
                prop_assert_eq!(whole(&out[..end], MAX_PAYLOAD), Ok(None));
            }
            let header = Header { payload_len: payload.len(), sequence };
            prop_assert_eq!(whole(&out, MAX_PAYLOAD), Ok(Some((header, payload.as_slice()))));
        }
    }

    #[test]
    fn large_payloads_are_split_and_always_end_with_a_short_packet() {
        for (len, parts) in [
            (MAX_PAYLOAD - 1, vec![MAX_PAYLOAD - 1]),
            (MAX_PAYLOAD, vec![MAX_PAYLOAD, 0]),
            (2 * MAX_PAYLOAD + 5, vec![MAX_PAYLOAD, MAX_PAYLOAD, 5]),
        ] {
            let mut out = Vec::new();
            let next = frame(&vec![7; len], 254, &mut out);
            assert_eq!(next, 254_u8.wrapping_add(parts.len() as u8));

            let mut rest = out.as_slice();
            for (index, part) in parts.iter().enumerate() {
                let header = Header::parse(rest).expect("a header for each part");
                assert_eq!(header.payload_len, *part);
                assert_eq!(header.sequence, 254_u8.wrapping_add(index as u8));
                rest = &rest[HEADER_LEN + part..];
            }
            assert!(rest.is_empty());
        }
    }

    #[test]
    fn an_oversized_packet_is_refused_by_its_header_alone() {
        let header = Header { payload_len: 5000, sequence: 1 }.encode();
        assert_eq!(whole(&header, 4096), Err(Violation::TooLong { limit: 4096, got: 5000 }));
        assert_eq!(whole(&header, 5000), Ok(None));
        let continued = Header { payload_len: MAX_PAYLOAD, sequence: 1 }.encode();
        assert!(whole(&continued, usize::MAX).is_err());
    }
}
