//! Commands that are there as a whole, and those that are sent with other words.

use ido_proxy_protocol::packet::{HEADER_LEN, Header};

use super::MOST_KEPT;
use super::words::COM_QUERY;

/// Whether a command can be begun: it is there as a whole, or is so long that it is not kept.
pub(super) fn is_ready(input: &[u8]) -> bool {
    let mut at = 0;
    loop {
        if at > MOST_KEPT {
            return true;
        }
        let Some(header) = input.get(at..).and_then(Header::parse) else { return false };
        at += HEADER_LEN + header.payload_len;
        if !header.is_continued() {
            return input.len() >= at.min(MOST_KEPT);
        }
    }
}

/// The payload of the command at the start of `input`, if it is there as a whole.
pub(super) fn whole_payload(input: &[u8]) -> Option<Vec<u8>> {
    let mut payload = Vec::new();
    let mut at = 0;
    loop {
        let header = Header::parse(input.get(at..)?)?;
        let start = at + HEADER_LEN;
        at = start + header.payload_len;
        payload.extend_from_slice(input.get(start..at)?);
        if !header.is_continued() {
            return Some(payload).filter(|payload| !payload.is_empty());
        }
    }
}

/// A KILL of the thread `greeted`, as one of the thread that its link has.
pub(super) fn renamed(request: &[u8], (greeted, thread): (u32, u32)) -> Option<Vec<u8>> {
    if request.first() != Some(&COM_QUERY) {
        // COM_PROCESS_KILL.
        return Some([request.get(..1)?, &thread.to_le_bytes()].concat());
    }
    let digits = greeted.to_string();
    let place = request.windows(digits.len()).rposition(|word| word == digits.as_bytes())?;
    let (before, behind) = (request.get(..place)?, request.get(place + digits.len()..)?);
    Some([before, thread.to_string().as_bytes(), behind].concat())
}

/// The question for the longest packet, as Icinga asks it, with an answer that is at most `limit`.
pub(super) fn limited(request: &[u8], limit: u64) -> Option<Vec<u8>> {
    let sql = request.strip_prefix(&[COM_QUERY])?;
    if !(PACKET_QUESTION.len()..2 * PACKET_QUESTION.len()).contains(&sql.len()) {
        return None;
    }
    let words = sql.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty());
    words.map(<[u8]>::to_ascii_lowercase).eq(PACKET_QUESTION.split(|byte| *byte == b' ')).then(
        || {
            let text = "SELECT LEAST(@@global.max_allowed_packet";
            format!("\x03{text}, {limit}) AS max_allowed_packet").into_bytes()
        },
    )
}

/// Source: Icinga 2, `IdoMysqlConnection::Reconnect`. It makes its batches that long.
const PACKET_QUESTION: &[u8] = b"select @@global.max_allowed_packet as max_allowed_packet";
