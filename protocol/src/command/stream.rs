//! Follows the bytes of a client from command to command.

use super::kind::Command;
use crate::packet::{HEADER_LEN, Header};

/// A cursor over all that a client sends after its login.
///
/// The cursor is given the bytes not yet passed, from the first of them on; the caller forwards what a
/// [`CommandStep::Pass`] covers, drops it from its buffer and calls again. A command may come in
/// any number of pieces and in any number of packets, and is never held as a whole.
///
/// ```text
///           Start              Pass, end: false
///   Idle ───────────► Inside ◄─────┐
///    ▲                  │ └────────┘
///    └──────────────────┘ Pass, end: true
/// ```
#[derive(Clone, Debug, Default)]
pub struct CommandStream {
    state: State,
    /// The sequence id of the last header seen.
    sequence: u8,
}

/// Meaning of the bytes at hand.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum CommandStep {
    /// Too few bytes to say anything.
    Incomplete,
    /// The first `len` bytes belong to the command in hand and may be forwarded, `len >= 1`.
    Pass {
        /// Bytes from the start of the buffer.
        len: usize,
        /// Whether the command is complete with them.
        end: bool,
    },
    /// A command begins at the start of the buffer. Told once for each, and nothing is passed.
    Start {
        /// The kind of command.
        command: Command,
        /// The sequence id of its first packet: 0, if the client keeps the rules.
        sequence: u8,
    },
}

impl CommandStream {
    /// Says what the bytes in `buf` are; `buf` begins with the first byte not yet passed.
    pub fn step(&mut self, buf: &[u8]) -> CommandStep {
        match self.state {
            State::Idle => self.start(buf),
            State::Inside(part) => self.pass(part, Until::ShortPacket, buf),
            State::File(part) => self.pass(part, Until::EmptyPacket, buf),
        }
    }

    /// Makes all packets up to and including an empty one a single command without a
    /// [`CommandStep::Start`]: the file that the server asked for (LOAD DATA LOCAL INFILE).
    ///
    /// To be called between commands; in the middle of one it would lose its place.
    pub fn expect_file(&mut self) {
        debug_assert!(self.is_idle());
        self.state = State::File(Part::default());
    }

    /// Makes the next packet a command of its own without a [`CommandStep::Start`]: what the client
    /// answers in the middle of a COM_CHANGE_USER.
    ///
    /// To be called between commands; in the middle of one it would lose its place.
    pub fn expect_packet(&mut self) {
        debug_assert!(self.is_idle());
        self.state = State::Inside(Part::default());
    }

    /// Whether the last command is complete and no other has begun.
    pub const fn is_idle(&self) -> bool {
        matches!(self.state, State::Idle)
    }

    /// The sequence id of the latest packet of the client: the reply to it bears the next one.
    pub const fn last_sequence(&self) -> u8 {
        self.sequence
    }

    fn start(&mut self, buf: &[u8]) -> CommandStep {
        let Some(header) = Header::parse(buf) else {
            return CommandStep::Incomplete;
        };
        let command = match buf.get(HEADER_LEN) {
            _ if header.payload_len == 0 => Command::Empty,
            Some(byte) => Command::from_byte(*byte),
            None => return CommandStep::Incomplete,
        };
        self.state = State::Inside(Part::default());
        self.sequence = header.sequence;
        CommandStep::Start { command, sequence: header.sequence }
    }

    fn pass(&mut self, mut part: Part, until: Until, buf: &[u8]) -> CommandStep {
        let mut len = 0;
        loop {
            let available = buf.len() - len;
            let taken = part.left.min(available);
            part.left -= taken;
            len += taken;
            if part.left > 0 {
                break;
            }
            if part.ends(until) {
                self.state = State::Idle;
                return CommandStep::Pass { len, end: true };
            }
            let Some(header) = Header::parse(&buf[len..]) else {
                break;
            };
            part = part.next(header);
            self.sequence = header.sequence;
            len += HEADER_LEN;
        }
        self.state = match until {
            Until::ShortPacket => State::Inside(part),
            Until::EmptyPacket => State::File(part),
        };
        match len {
            0 => CommandStep::Incomplete,
            len => CommandStep::Pass { len, end: false },
        }
    }
}

#[derive(Clone, Copy, Debug, Default)]
enum State {
    #[default]
    Idle,
    /// In a command, up to the end of its last packet.
    Inside(Part),
    /// In a file, up to its empty packet.
    File(Part),
}

#[derive(Clone, Copy)]
enum Until {
    ShortPacket,
    EmptyPacket,
}

/// Where the cursor stands in the packets of one payload.
#[derive(Clone, Copy, Debug, Default)]
struct Part {
    /// Bytes of the current packet that were not passed yet.
    left: usize,
    kind: PartKind,
}

#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
enum PartKind {
    /// No packet was seen yet.
    #[default]
    None,
    /// Another packet continues the payload.
    Continued,
    /// The payload ends with this packet.
    Last,
    /// The packet is a payload of its own, and empty.
    Empty,
}

impl Part {
    fn next(self, header: Header) -> Self {
        let kind = if header.is_continued() {
            PartKind::Continued
        } else if header.payload_len == 0 && self.kind != PartKind::Continued {
            PartKind::Empty
        } else {
            PartKind::Last
        };
        Self { left: header.payload_len, kind }
    }

    /// Whether the packet that was just passed is the last.
    fn ends(self, until: Until) -> bool {
        match until {
            Until::ShortPacket => matches!(self.kind, PartKind::Last | PartKind::Empty),
            Until::EmptyPacket => self.kind == PartKind::Empty,
        }
    }
}

#[cfg(test)]
mod tests;
