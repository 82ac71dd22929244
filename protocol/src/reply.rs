//! Follows the reply to one command, and finds the few packets in it that carry status.
//!
//! Most of a large reply is rows, of which only the headers are looked at: five bytes a packet, and
//! whatever lies between two of them is passed in one piece. Nothing is copied and nothing is
//! allocated. Sequence ids are not looked at at all.
//!
//! Sources: MariaDB documentation, "Result Set Packets", "COM_STMT_PREPARE", "COM_STMT_EXECUTE",
//! "COM_STMT_FETCH", "COM_CHANGE_USER", "LOCAL_INFILE Packet"; MySQL source documentation,
//! "COM_QUERY Response".

use crate::capabilities::Capabilities;
use crate::command::Command;
use crate::eof::{EOF, EofPacket};
use crate::err::{ERR, ErrPacket, PROGRESS_REPORT};
use crate::ok::{OK, OkPacket};
use crate::packet::{self, HEADER_LEN, Header, MAX_PAYLOAD};
use crate::prepare::PrepareOk;
use crate::status::StatusFlags;
use crate::violation::Violation;
use crate::wire::Reader;

/// A cursor over the reply to one command.
///
/// The cursor is given the bytes not yet passed, from the first of them on; the caller forwards or keeps
/// what a step covers, drops it from its buffer and calls again. The steps that carry status, and
/// the bytes passed between them, are the same however the stream is cut.
///
/// ```text
///                                   ┌──────────────── more results ────────────────┐
///            column count           ▼   EOF¹                    OK / EOF           │
///   First ─────────────► Definitions ───────► DefinitionsEnd ──► Rows ─────────────┤
///    │ ▲                     └────────────────────────────────────▲                │
///    │ │ file asked for                   ¹ not with DEPRECATE_EOF                 ▼
///    ├─┘                                                                         Done
///    └── OK, ERR, and ERR from anywhere ───────────────────────────────────────────▲
/// ```
///
/// `COM_STMT_FETCH` and `COM_FIELD_LIST` begin at `Rows`; `COM_STMT_PREPARE` ends with
/// `Definitions`.
#[derive(Clone, Debug)]
pub struct ReplyTracker {
    capabilities: Capabilities,
    state: State,
    /// Bytes of the current packet that were not passed yet.
    left: usize,
    /// Whether the next packet continues the payload of the current one.
    continued: bool,
    /// Whether the command may open a cursor in place of sending rows.
    may_open_cursor: bool,
    status: Option<StatusFlags>,
    results: u64,
}

/// Meaning of the bytes at hand. Every `len` counts whole packets with their headers, from the start of the
/// buffer, and all these packets are there. Only [`Self::Pass`] covers parts of packets.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum ReplyStep {
    /// The server asks something that the client must answer before the reply goes on
    /// (COM_CHANGE_USER).
    AuthExchange {
        /// Bytes of the packet.
        len: usize,
    },
    /// An EOF packet: column definitions or rows ended.
    Eof {
        /// Bytes of the packet.
        len: usize,
        /// The session so far.
        status: StatusFlags,
        /// Whether the reply is complete.
        last: bool,
    },
    /// An error, with which every reply is complete.
    Err {
        /// Bytes of the packet.
        len: usize,
        /// The number of the error.
        code: u16,
        /// Whether the reply is complete: always.
        last: bool,
    },
    /// Too few bytes to say anything.
    Incomplete,
    /// The server asks for a file. The client sends it (possibly an empty one), then the reply goes
    /// on.
    LocalInfile {
        /// Bytes of the packet.
        len: usize,
    },
    /// An OK packet: a statement without rows succeeded, or rows ended.
    Ok {
        /// Bytes of the packet.
        len: usize,
        /// The session after the statement.
        status: StatusFlags,
        /// Whether the packet reports changes of the session's state.
        state_changed: bool,
        /// Whether the reply is complete.
        last: bool,
    },
    /// The first so many bytes carry no status and may be forwarded, at least one.
    Pass(usize),
    /// MariaDB reports how far a long statement has come. Not part of any result.
    Progress {
        /// Bytes of the packet.
        len: usize,
    },
    /// A packet of another form that the reply begins or ends with: the text of COM_STATISTICS, the
    /// first and possibly the last packet of the answer to COM_STMT_PREPARE.
    Raw {
        /// Bytes of the packet.
        len: usize,
        /// Whether the reply is complete.
        last: bool,
    },
}

impl ReplyStep {
    /// The bytes that the step covers; 0 for [`Self::Incomplete`].
    pub const fn covered(&self) -> usize {
        match self {
            Self::AuthExchange { len }
            | Self::Eof { len, .. }
            | Self::Err { len, .. }
            | Self::LocalInfile { len }
            | Self::Ok { len, .. }
            | Self::Pass(len)
            | Self::Progress { len }
            | Self::Raw { len, .. } => *len,
            Self::Incomplete => 0,
        }
    }
}

impl ReplyTracker {
    /// A tracker of the reply to `command` on a link with these capabilities. It is done at once if
    /// the command has no reply.
    pub const fn new(command: Command, capabilities: Capabilities) -> Self {
        let state = match command {
            Command::ChangeUser => State::First(Answer::Login),
            Command::FieldList | Command::StmtFetch => State::Rows,
            Command::Statistics => State::First(Answer::Text),
            Command::StmtPrepare => State::First(Answer::Prepare),
            command if command.has_reply() => State::First(Answer::Result),
            _ => State::Done,
        };
        Self {
            capabilities,
            state,
            left: 0,
            continued: false,
            may_open_cursor: matches!(command, Command::StmtExecute),
            status: None,
            results: 0,
        }
    }

    /// Says what the bytes in `buf` are; `buf` begins with the first byte not yet passed.
    ///
    /// # Errors
    /// [`Violation::Unsolicited`] if there are bytes after the end of the reply. After a violation
    /// the place in the stream is lost.
    pub fn step(&mut self, buf: &[u8]) -> Result<ReplyStep, Violation> {
        let mut passed = 0;
        loop {
            let taken = self.left.min(buf.len() - passed);
            self.left -= taken;
            passed += taken;
            let rest = &buf[passed..];
            if rest.is_empty() {
                break;
            }
            match self.look(rest) {
                Ok(Look::Carry(header)) => {
                    self.enter(header);
                    passed += HEADER_LEN;
                }
                Ok(Look::Incomplete) => break,
                // Whatever is not to be passed is told from the start of the buffer.
                _ if passed > 0 => break,
                Ok(Look::Status(len, payload)) => return self.status_packet(len, payload),
                Err(violation) => return Err(violation),
            }
        }
        match passed {
            0 => Ok(ReplyStep::Incomplete),
            passed => Ok(ReplyStep::Pass(passed)),
        }
    }

    /// The flags of the last packet that had any.
    pub const fn status_flags(&self) -> Option<StatusFlags> {
        self.status
    }

    /// How many results of the reply have ended, an error not counted.
    pub const fn results(&self) -> u64 {
        self.results
    }

    /// Whether a result has begun and not ended.
    pub const fn is_within_result(&self) -> bool {
        !matches!(self.state, State::First(_) | State::Done)
    }

    /// Whether the reply is complete.
    pub const fn is_done(&self) -> bool {
        matches!(self.state, State::Done)
    }

    /// Finds out what the packet at the start of `rest` is, as far as that can be said.
    #[inline]
    fn look<'a>(&self, rest: &'a [u8]) -> Result<Look<'a>, Violation> {
        if self.is_done() {
            return Err(Violation::Unsolicited);
        }
        let Some(header) = Header::parse(rest) else {
            return Ok(Look::Incomplete);
        };
        if self.continued {
            return Ok(Look::Carry(header));
        }
        if header.payload_len == 0 {
            return Err(Violation::Empty { expected: self.state.expected() });
        }
        let Some(&first) = rest.get(HEADER_LEN) else {
            return Ok(Look::Incomplete);
        };
        let carries_no_status = match self.state {
            State::Definitions { left: 1, after: After::End } => self.has_eof() && first != ERR,
            State::Definitions { .. } => first != ERR,
            State::Rows => first < EOF || (first == EOF && !self.ends_rows(header)),
            State::First(_) | State::DefinitionsEnd(_) | State::Done => false,
        };
        if carries_no_status {
            return Ok(Look::Carry(header));
        }
        let limit = match (self.state, first) {
            (_, OK | ERR | EOF | LOCAL_INFILE) => MAX_PAYLOAD,
            (State::First(Answer::Result), _) => MAX_COLUMN_COUNT,
            _ => MAX_PAYLOAD,
        };
        Look::whole(rest, limit)
    }

    /// Moves past the header of a packet that carries no status.
    #[inline]
    fn enter(&mut self, header: Header) {
        self.left = header.payload_len;
        let continues = std::mem::replace(&mut self.continued, header.is_continued());
        if let (false, State::Definitions { left, after }) = (continues, self.state) {
            self.state = match left - 1 {
                0 => self.after_definitions(after),
                left => State::Definitions { left, after },
            };
        }
    }
}

// The packets that carry status, each complete.
impl ReplyTracker {
    fn status_packet(&mut self, len: usize, payload: &[u8]) -> Result<ReplyStep, Violation> {
        let first = payload.first().copied().unwrap_or_default();
        match (self.state, first) {
            (_, ERR) => self.err(len, payload),
            (State::First(Answer::Login), OK) => self.ok(len, payload),
            (State::First(Answer::Login), _) => Ok(ReplyStep::AuthExchange { len }),
            (State::First(Answer::Prepare), _) => self.prepared(len, payload),
            (State::First(Answer::Text), _) => {
                self.state = State::Done;
                Ok(ReplyStep::Raw { len, last: true })
            }
            (State::First(Answer::Result), OK) => self.ok(len, payload),
            (State::First(Answer::Result), LOCAL_INFILE) => Ok(ReplyStep::LocalInfile { len }),
            (State::First(Answer::Result) | State::Rows, EOF) => self.end(len, payload),
            (State::First(Answer::Result), _) => self.column_count(len, payload),
            (State::Definitions { .. }, _) => {
                self.state = State::Done;
                Ok(ReplyStep::Raw { len, last: true })
            }
            (State::DefinitionsEnd(after), EOF) => self.definitions_end(after, len, payload),
            (state, got) => Err(Violation::Unexpected { expected: state.expected(), got }),
        }
    }

    fn err(&mut self, len: usize, payload: &[u8]) -> Result<ReplyStep, Violation> {
        let code = ErrPacket::decode(payload)?.code;
        let reports = Capabilities::PROGRESS | Capabilities::PROGRESS_OBSOLETE;
        if code == PROGRESS_REPORT && self.capabilities.intersects(reports) {
            return Ok(ReplyStep::Progress { len });
        }
        self.state = State::Done;
        Ok(ReplyStep::Err { len, code, last: true })
    }

    fn ok(&mut self, len: usize, payload: &[u8]) -> Result<ReplyStep, Violation> {
        let (OkPacket { status, .. }, _) = OkPacket::decode_fixed(payload)?;
        let state_changed = self.capabilities.contains(Capabilities::SESSION_TRACK)
            && status.contains(StatusFlags::SESSION_STATE_CHANGED);
        let last = self.result_ended(status);
        Ok(ReplyStep::Ok { len, status, state_changed, last })
    }

    /// The end of rows, in either form.
    fn end(&mut self, len: usize, payload: &[u8]) -> Result<ReplyStep, Violation> {
        if !self.has_eof() && payload.len() > EofPacket::LEN {
            return self.ok(len, payload);
        }
        let EofPacket { status, .. } = EofPacket::decode(payload)?;
        let last = self.result_ended(status);
        Ok(ReplyStep::Eof { len, status, last })
    }

    fn result_ended(&mut self, status: StatusFlags) -> bool {
        let last = !status.contains(StatusFlags::MORE_RESULTS);
        self.status = Some(status);
        self.results += 1;
        self.state = if last { State::Done } else { State::First(Answer::Result) };
        last
    }

    fn column_count(&mut self, len: usize, payload: &[u8]) -> Result<ReplyStep, Violation> {
        let mut reader = Reader::new(payload, "column count");
        let count = reader.lenenc()?;
        let may_leave_out =
            Capabilities::CACHE_METADATA | Capabilities::OPTIONAL_RESULTSET_METADATA;
        let left_out =
            self.capabilities.intersects(may_leave_out) && !reader.is_empty() && reader.u8()? == 0;
        self.state = match if left_out { 0 } else { count } {
            0 => self.after_definitions(After::Rows),
            left => State::Definitions { left, after: After::Rows },
        };
        Ok(ReplyStep::Pass(len))
    }

    fn prepared(&mut self, len: usize, payload: &[u8]) -> Result<ReplyStep, Violation> {
        let ok = PrepareOk::decode(payload, self.capabilities)?;
        let (parameters, columns) =
            if ok.definitions_follow { (ok.parameters, ok.columns) } else { (0, 0) };
        self.state = match (parameters, columns) {
            (0, columns) => State::columns(columns),
            (left, 0) => State::Definitions { left: left.into(), after: After::End },
            (left, columns) => {
                State::Definitions { left: left.into(), after: After::Columns(columns) }
            }
        };
        Ok(ReplyStep::Raw { len, last: self.is_done() })
    }

    fn definitions_end(
        &mut self,
        after: After,
        len: usize,
        payload: &[u8],
    ) -> Result<ReplyStep, Violation> {
        let EofPacket { status, .. } = EofPacket::decode(payload)?;
        self.status = Some(status);
        let last = match after {
            After::Rows if self.may_open_cursor && status.contains(StatusFlags::CURSOR_EXISTS) => {
                self.result_ended(status)
            }
            after => {
                self.state = after.state();
                self.is_done()
            }
        };
        Ok(ReplyStep::Eof { len, status, last })
    }
}

// Consequences of the capabilities.
impl ReplyTracker {
    /// Whether definitions and rows end with EOF packets.
    const fn has_eof(&self) -> bool {
        !self.capabilities.contains(Capabilities::DEPRECATE_EOF)
    }

    /// Whether a packet that begins with 0xFE ends rows. If not it is a row whose first value is
    /// longer than 16 MiB, so that its packet is full.
    const fn ends_rows(&self, header: Header) -> bool {
        let limit = if self.has_eof() { MAX_EOF_LEN + 1 } else { MAX_PAYLOAD };
        header.payload_len < limit
    }

    const fn after_definitions(&self, after: After) -> State {
        if self.has_eof() { State::DefinitionsEnd(after) } else { after.state() }
    }
}

/// The next part of the reply.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum State {
    /// So many definitions are to come, at least one.
    Definitions { left: u64, after: After },
    /// The EOF packet after definitions.
    DefinitionsEnd(After),
    /// Nothing.
    Done,
    /// The first packet of the answer or of a result.
    First(Answer),
    /// Rows, or their end. COM_FIELD_LIST has definitions in the place of rows.
    Rows,
}

/// The form of an answer.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Answer {
    Login,
    Prepare,
    Result,
    Text,
}

/// The part that follows definitions.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum After {
    /// So many definitions of columns, after those of the parameters of a prepared statement.
    Columns(u16),
    /// Nothing.
    End,
    Rows,
}

impl State {
    const fn columns(count: u16) -> Self {
        match count {
            0 => Self::Done,
            left => Self::Definitions { left: left as u64, after: After::End },
        }
    }

    const fn expected(self) -> &'static str {
        match self {
            Self::Definitions { .. } => "a definition",
            Self::DefinitionsEnd(_) => "the end of the definitions",
            Self::Done => "nothing",
            Self::First(_) => "an answer",
            Self::Rows => "a row or the end of the rows",
        }
    }
}

impl After {
    const fn state(self) -> State {
        match self {
            Self::Columns(count) => State::columns(count),
            Self::End => State::Done,
            Self::Rows => State::Rows,
        }
    }
}

/// The packet at the start of the buffer.
enum Look<'a> {
    /// The packet carries no status and may be passed in parts.
    Carry(Header),
    /// Too little of it is there.
    Incomplete,
    /// The packet is complete and must be read: its bytes with the header, and its payload.
    Status(usize, &'a [u8]),
}

impl<'a> Look<'a> {
    fn whole(rest: &'a [u8], limit: usize) -> Result<Self, Violation> {
        Ok(match packet::whole(rest, limit)? {
            Some((_, payload)) => Self::Status(HEADER_LEN + payload.len(), payload),
            None => Self::Incomplete,
        })
    }
}

/// The first byte of a packet by which the server asks for a file.
const LOCAL_INFILE: u8 = 0xFB;

/// An integer of at most nine bytes, and the flag of [`Capabilities::CACHE_METADATA`].
const MAX_COLUMN_COUNT: usize = 10;

/// A packet that begins with 0xFE and is no longer than this is an EOF packet.
const MAX_EOF_LEN: usize = 8;

#[cfg(test)]
mod tests;
