//! OK packets: a statement succeeded, or rows ended
//! ([`DEPRECATE_EOF`](Capabilities::DEPRECATE_EOF)).
//!
//! Sources: MariaDB documentation, "OK_Packet"; MySQL source documentation, "OK_Packet". MariaDB
//! and MySQL send `info` with its length whether or not
//! [`SESSION_TRACK`](Capabilities::SESSION_TRACK) is in force, and leave it out when it is empty
//! and nothing follows.

use crate::capabilities::Capabilities;
use crate::eof::EOF;
use crate::status::StatusFlags;
use crate::violation::Violation;
use crate::wire::{Reader, put_lenenc, put_lenenc_bytes};

/// The first byte of an OK packet that does not end rows.
pub const OK: u8 = 0x00;

/// Effects of a statement, and the state of the session after it.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct OkPacket<'a> {
    /// Whether it ends rows (header 0xFE) instead of standing for a whole result (header 0x00).
    pub ends_rows: bool,
    /// Rows changed, or found with [`FOUND_ROWS`](Capabilities::FOUND_ROWS).
    pub affected_rows: u64,
    /// The first generated AUTO_INCREMENT id of the statement, 0 if none.
    pub last_insert_id: u64,
    /// The session after it.
    pub status: StatusFlags,
    /// How many warnings the statement has.
    pub warnings: u16,
    /// Text for people, such as `Rows matched: 1  Changed: 0  Warnings: 0`.
    pub info: &'a [u8],
    /// The block that [`session_state`](crate::session_state) reads, empty unless both
    /// [`SESSION_TRACK`](Capabilities::SESSION_TRACK) and the status flag say that it is there.
    pub session_state: &'a [u8],
}

impl<'a> OkPacket<'a> {
    /// Reads the payload of an OK packet from a connection with these capabilities.
    pub fn decode(payload: &'a [u8], capabilities: Capabilities) -> Result<Self, Violation> {
        let (mut ok, mut reader) = Self::decode_fixed(payload)?;
        if !reader.is_empty() {
            ok.info = reader.lenenc_bytes()?;
        }
        if ok.reports_state(capabilities) && !reader.is_empty() {
            ok.session_state = reader.lenenc_bytes()?;
        }
        Ok(ok)
    }

    /// The fields up to the warnings, which is all that a reply tracker needs.
    pub(crate) fn decode_fixed(payload: &'a [u8]) -> Result<(Self, Reader<'a>), Violation> {
        let mut reader = Reader::new(payload, "OK packet");
        let ends_rows = match reader.u8()? {
            OK => false,
            EOF => true,
            got => return Err(Violation::Unexpected { expected: "an OK packet", got }),
        };
        let ok = Self {
            ends_rows,
            affected_rows: reader.lenenc()?,
            last_insert_id: reader.lenenc()?,
            status: StatusFlags::from_bits(reader.u16()?),
            warnings: reader.u16()?,
            ..Self::default()
        };
        Ok((ok, reader))
    }

    /// The payload for a connection with these capabilities: without
    /// [`SESSION_TRACK`](Capabilities::SESSION_TRACK) neither the block nor its flag is sent.
    pub fn encode(&self, capabilities: Capabilities) -> Vec<u8> {
        let mut status = self.status;
        if !capabilities.contains(Capabilities::SESSION_TRACK) {
            status.remove(StatusFlags::SESSION_STATE_CHANGED);
        }
        let mut out = Vec::with_capacity(32 + self.info.len() + self.session_state.len());
        out.push(if self.ends_rows { EOF } else { OK });
        put_lenenc(&mut out, self.affected_rows);
        put_lenenc(&mut out, self.last_insert_id);
        out.extend_from_slice(&status.bits().to_le_bytes());
        out.extend_from_slice(&self.warnings.to_le_bytes());
        let reports_state = self.reports_state(capabilities);
        if reports_state || !self.info.is_empty() {
            put_lenenc_bytes(&mut out, self.info);
        }
        if reports_state {
            put_lenenc_bytes(&mut out, self.session_state);
        }
        out
    }

    fn reports_state(&self, capabilities: Capabilities) -> bool {
        capabilities.contains(Capabilities::SESSION_TRACK)
            && self.status.contains(StatusFlags::SESSION_STATE_CHANGED)
    }
}

/// Where the flags begin in the payload of an OK packet: they may be changed there, without reading the
/// rest.
pub fn status_at(payload: &[u8]) -> Result<usize, Violation> {
    let (_, mut reader) = OkPacket::decode_fixed(payload)?;
    // Flags and warnings are two bytes each.
    Ok(payload.len() - reader.rest().len() - 4)
}

/// The id in the payload of an OK packet: that of a row that was added, or what `LAST_INSERT_ID(…)` was given;
/// 0: none.
///
/// # Errors
/// The payload ends before it, or is no OK packet.
pub fn last_insert_id(payload: &[u8]) -> Result<u64, Violation> {
    Ok(OkPacket::decode_fixed(payload)?.0.last_insert_id)
}

/// The OK packet of a link as a client with other capabilities gets it: a client that did not
/// negotiate [`SESSION_TRACK`](Capabilities::SESSION_TRACK) would take the reported changes for
/// something else.
pub fn without_session_state(
    payload: &[u8],
    link: Capabilities,
    client: Capabilities,
) -> Result<Vec<u8>, Violation> {
    Ok(OkPacket::decode(payload, link)?.encode(client))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const TRACKING: Capabilities = Capabilities::SESSION_TRACK;

    #[test]
    fn the_ok_of_an_update_tells_rows_and_status() {
        let payload = b"\x00\x01\x00\x03\x00\x00\x00\x28Rows matched: 1  Changed: 1  Warnings: 0";
        let ok = OkPacket::decode(payload, TRACKING).expect("an OK");
        assert_eq!((ok.affected_rows, ok.last_insert_id), (1, 0));
        assert_eq!(ok.status, StatusFlags::IN_TRANS | StatusFlags::AUTOCOMMIT);
        assert_eq!(ok.info, b"Rows matched: 1  Changed: 1  Warnings: 0");
        assert_eq!(ok.encode(TRACKING), payload);
        assert_eq!(status_at(payload), Ok(3));
        let long = OkPacket { last_insert_id: 70_000, ..ok }.encode(TRACKING);
        assert_eq!(status_at(&long), Ok(6));
    }

    #[test]
    fn a_client_without_session_tracking_gets_an_ok_without_it() {
        // Answer to `USE a` with session tracking.
        let payload = b"\x00\x00\x00\x02\x40\x00\x00\x00\x04\x01\x02\x01a";
        let ok = OkPacket::decode(payload, TRACKING).expect("an OK");
        assert_eq!(ok.session_state, b"\x01\x02\x01a");
        let plain = without_session_state(payload, TRACKING, Capabilities::empty());
        assert_eq!(plain.as_deref(), Ok(b"\x00\x00\x00\x02\x00\x00\x00".as_slice()));
        assert_eq!(without_session_state(payload, TRACKING, TRACKING).as_deref(), Ok(&payload[..]));
    }

    #[test]
    fn the_flag_without_the_capability_announces_no_block() {
        let payload = b"\x00\x00\x00\x02\x40\x00\x00\x02hi";
        let ok = OkPacket::decode(payload, Capabilities::empty()).expect("an OK");
        assert_eq!((ok.info, ok.session_state), (&b"hi"[..], &b""[..]));
    }

    proptest! {
        #[test]
        fn they_round_trip_and_never_panic(
            ends_rows: bool,
            affected_rows: u64,
            last_insert_id: u64,
            status: u16,
            warnings: u16,
            info: Vec<u8>,
            state: Vec<u8>,
            tracking: bool,
        ) {
            let mut status = StatusFlags::from_bits(status);
            let capabilities = if tracking { TRACKING } else { Capabilities::empty() };
            if !tracking {
                status.remove(StatusFlags::SESSION_STATE_CHANGED);
            }
            let session_state: &[u8] =
                if status.contains(StatusFlags::SESSION_STATE_CHANGED) { &state } else { &[] };
            let ok = OkPacket {
                ends_rows, affected_rows, last_insert_id, status, warnings, info: &info, session_state,
            };
            let payload = ok.encode(capabilities);
            prop_assert_eq!(OkPacket::decode(&payload, capabilities), Ok(ok));
            for end in 0..payload.len() {
                let _ = OkPacket::decode(&payload[..end], capabilities);
            }
            let plain = without_session_state(&payload, capabilities, Capabilities::empty());
            let plain = plain.expect("it was decoded before");
            let plain = OkPacket::decode(&plain, Capabilities::empty()).expect("still an OK");
            prop_assert_eq!((plain.info, plain.affected_rows), (ok.info, ok.affected_rows));
            prop_assert!(!plain.status.contains(StatusFlags::SESSION_STATE_CHANGED));
        }
    }
}
