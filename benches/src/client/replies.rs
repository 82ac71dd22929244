//! Finds the end of a reply by looking at packet headers and at the few bytes that carry status.
//!
//! Sans-IO, and deliberately no part of the proxy's own code: a measuring client that shared the
//! proxy's reply tracker would share its mistakes.

use std::ops::AddAssign;

use ido_proxy_protocol::packet::{HEADER_LEN, Header};
use ido_proxy_protocol::status::StatusFlags;

/// Counts of a whole reply.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) struct Reply {
    /// Results: one for each statement of a batch.
    pub(crate) results: u32,
    /// Rows of all results.
    pub(crate) rows: u64,
    /// Bytes on the wire, headers included.
    pub(crate) bytes: u64,
}

impl AddAssign for Reply {
    fn add_assign(&mut self, next: Self) {
        self.results += next.results;
        self.rows += next.rows;
        self.bytes += next.bytes;
    }
}

/// Outcome of one call of [`Replies::take`].
#[derive(Debug, Eq, PartialEq)]
pub(crate) enum Taken {
    /// The reply is whole. These many bytes of the input were its last.
    Done(usize, Reply),
    /// These many bytes of the input are used up; the reply goes on.
    More(usize),
    /// The server answered with an error, or with what this client did not ask for.
    Failed(String),
}

/// Follows one reply, however its bytes are cut.
#[derive(Debug)]
pub(crate) struct Replies {
    expect: Expect,
    /// Payload still to be passed over, `0 <= skip <= MAX_PAYLOAD`.
    skip: usize,
    /// Set where `skip` ends the reply.
    last: bool,
    reply: Reply,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Expect {
    /// The first packet of a result.
    Head,
    /// So many column definitions, then an EOF. (DEPRECATE_EOF is never negotiated here.)
    Columns(u64),
    /// Rows, up to an EOF.
    Rows,
}

impl Replies {
    /// At the start of a reply.
    pub(crate) fn new() -> Self {
        Self { expect: Expect::Head, skip: 0, last: false, reply: Reply::default() }
    }

    /// Takes as much of `input` as can be judged. What is not used up must come again, with more.
    pub(crate) fn take(&mut self, input: &[u8]) -> Taken {
        let mut at = 0;
        loop {
            let passed = self.skip.min(input.len() - at);
            at += passed;
            self.skip -= passed;
            if self.skip > 0 {
                return Taken::More(at);
            }
            if self.last {
                return Taken::Done(at, self.reply);
            }
            let Some(header) = Header::parse(&input[at..]) else {
                return Taken::More(at);
            };
            if header.is_continued() {
                return Taken::Failed("a packet of 16 MiB, which no benchmark asks for".into());
            }
            let start = at + HEADER_LEN;
            let Some(head) = input.get(start..start + header.payload_len.min(HEAD)) else {
                return Taken::More(at);
            };
            if let Err(failure) = self.judge(header.payload_len, head) {
                return Taken::Failed(failure);
            }
            self.reply.bytes += (HEADER_LEN + header.payload_len) as u64;
            at = start;
            self.skip = header.payload_len;
        }
    }

    /// Takes a packet of `len` bytes, of which `head` are the first.
    fn judge(&mut self, len: usize, head: &[u8]) -> Result<(), String> {
        let Some(&first) = head.first() else {
            return Err("an empty packet".into());
        };
        if first == ERR {
            // Error code, '#', SQL state, text.
            let text = String::from_utf8_lossy(head.get(9..).unwrap_or_default());
            let code = head.get(1..3).map_or(0, |code| u16::from_le_bytes([code[0], code[1]]));
            return Err(format!("error {code}: {text}"));
        }
        let is_eof = first == EOF && len < EOF_SHORTER_THAN;
        match self.expect {
            Expect::Head if first == OK => {
                let status = ok_status(head).ok_or("an OK packet cut short")?;
                self.end_of_result(status);
            }
            Expect::Head => {
                let (columns, _) = length(head).ok_or("no count of columns")?;
                self.expect = Expect::Columns(columns);
            }
            Expect::Columns(0) if is_eof => self.expect = Expect::Rows,
            Expect::Columns(0) => return Err("more columns than were announced".into()),
            Expect::Columns(left) => self.expect = Expect::Columns(left - 1),
            Expect::Rows if is_eof => {
                let status = head.get(3..5).ok_or("an EOF packet cut short")?;
                self.end_of_result(u16::from_le_bytes([status[0], status[1]]));
            }
            Expect::Rows => self.reply.rows += 1,
        }
        Ok(())
    }

    fn end_of_result(&mut self, status: u16) {
        self.reply.results += 1;
        self.expect = Expect::Head;
        self.last = !StatusFlags::from_bits(status).contains(StatusFlags::MORE_RESULTS);
    }
}

/// The id of a statement, from the first packet of the reply to its preparation, and how many packets
/// follow that one: the parameters and the columns, each list with an EOF.
pub(super) fn prepared(head: &[u8]) -> Result<(u32, u32), String> {
    if head.first() == Some(&ERR) {
        let text = String::from_utf8_lossy(head.get(9..).unwrap_or_default());
        return Err(format!("a statement is not prepared: {text}"));
    }
    let &[OK, a, b, c, d, columns, more_columns, parameters, more_parameters, _, _, _, ..] = head
    else {
        return Err("a reply to a preparation that is cut short".into());
    };
    let list = |low, high| match u32::from(u16::from_le_bytes([low, high])) {
        0 => 0,
        some => some + 1,
    };
    let packets = list(columns, more_columns) + list(parameters, more_parameters);
    Ok((u32::from_le_bytes([a, b, c, d]), packets))
}

/// The status flags of an OK packet: after its header byte and two length-encoded numbers.
fn ok_status(ok: &[u8]) -> Option<u16> {
    let (_affected_rows, rest) = length(ok.get(1..)?)?;
    let (_insert_id, rest) = length(rest)?;
    Some(u16::from_le_bytes([*rest.first()?, *rest.get(1)?]))
}

/// A length-encoded number and what follows it.
fn length(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let (first, rest) = bytes.split_first()?;
    let size = match first {
        0..=0xFA => return Some((u64::from(*first), rest)),
        0xFC => 2,
        0xFD => 3,
        0xFE => 8,
        _ => return None,
    };
    let (digits, rest) = rest.split_at_checked(size)?;
    let value = digits.iter().rev().fold(0, |value, digit| value << 8 | u64::from(*digit));
    Some((value, rest))
}

/// Bytes of a packet that are looked at: enough for any OK, and for the text of an error.
const HEAD: usize = 200;

const OK: u8 = 0x00;
const EOF: u8 = 0xFE;
const ERR: u8 = 0xFF;
/// A longer packet that begins like an EOF is a row with a very long first value.
const EOF_SHORTER_THAN: usize = 9;

#[cfg(test)]
mod tests {
    use ido_proxy_protocol::packet;

    use super::*;

    fn packets(payloads: &[&[u8]]) -> Vec<u8> {
        let mut out = Vec::new();
        for (index, payload) in payloads.iter().enumerate() {
            packet::frame(payload, index as u8 + 1, &mut out);
        }
        out
    }

    /// Feeds `bytes` cut into pieces of `size`, as a socket may deliver them.
    fn fed(bytes: &[u8], size: usize) -> Taken {
        let mut replies = Replies::new();
        let (mut start, mut end) = (0, 0);
        loop {
            match replies.take(&bytes[start..end]) {
                Taken::More(used) if end < bytes.len() => {
                    start += used;
                    end = (end + size).min(bytes.len());
                }
                Taken::Done(used, reply) => return Taken::Done(start + used, reply),
                other => return other,
            }
        }
    }

    const OK_LAST: &[u8] = &[0, 0, 0, 2, 0, 0, 0];
    const OK_MORE: &[u8] = &[0, 0xFC, 0x34, 0x12, 1, 0x0A, 0, 0, 0];
    const EOF_LAST: &[u8] = &[0xFE, 0, 0, 2, 0];

    /// A clock stopped at the wrong packet measures something else.
    #[test]
    fn replies_end_where_the_server_ends_them() {
        let long = [b'x'; 3000];
        let bytes = packets(&[
            OK_MORE,
            &[2],
            b"column",
            b"column",
            EOF_LAST,
            b"\x01a\x01b",
            &long,
            EOF_LAST,
        ]);
        for size in [1, 3, 7, 1000, bytes.len()] {
            let reply = Reply { results: 2, rows: 2, bytes: bytes.len() as u64 };
            assert_eq!(fed(&bytes, size), Taken::Done(bytes.len(), reply), "pieces of {size}");
        }
    }

    /// Bytes after a reply belong to the next one.
    #[test]
    fn the_next_reply_is_left_alone() {
        let one = packets(&[OK_LAST]);
        let two = [one.as_slice(), one.as_slice()].concat();
        let reply = Reply { results: 1, rows: 0, bytes: one.len() as u64 };
        assert_eq!(fed(&two, two.len()), Taken::Done(one.len(), reply));
    }

    /// An id that belongs to another statement, or a packet left over, spoils all that follows.
    #[test]
    fn a_preparation_names_its_statement_and_what_follows() {
        let head = |columns: u8, parameters: u8| {
            [0, 5, 1, 0, 0, columns, 0, parameters, 1, 0, 0, 0].to_vec()
        };
        assert_eq!(prepared(&head(0, 2)), Ok((261, 259)));
        assert_eq!(prepared(&head(3, 0)), Ok((261, 4 + 257)));
        let none = [0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        assert_eq!(prepared(&none), Ok((1, 0)));
        assert!(prepared(&none[..11]).is_err());
        let refused = prepared(b"\xFF\x28\x04#42000You have an error");
        assert_eq!(refused, Err("a statement is not prepared: You have an error".into()));
    }

    /// A benchmark that counts errors as quick answers is worth nothing.
    #[test]
    fn errors_are_failures() {
        let bytes = packets(&[OK_MORE, b"\xFF\x28\x04#42000You have an error"]);
        let Taken::Failed(text) = fed(&bytes, 5) else { panic!("it failed") };
        assert_eq!(text, "error 1064: You have an error");
        let continued = [0xFF, 0xFF, 0xFF, 1, 0];
        assert!(matches!(fed(&continued, 5), Taken::Failed(_)));
    }
}
