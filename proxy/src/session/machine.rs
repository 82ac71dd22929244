//! Which bytes go where, and when a command is over. No sockets, no clock: slices in, verdicts out.
//!
//! ```text
//!              begin                    last byte sent and reply complete
//!   Idle ───────────────► Busy(command) ───────────────────────────────► Idle
//!     │                      │  ▲
//!     │                      ▼  │ LOCAL INFILE: the node asks, the client's file follows
//!     │                   (more bytes from the client)
//!     └──────────────► Answering ── last byte dropped: the answer is ours ─► Idle
//!         answer
//! ```
//!
//! One command is in hand at a time. A client that sends the next one early is read no further until
//! the reply to this one is complete, so that every byte of a reply is known to belong to a command.

use std::ops::Range;

use ido_proxy_protocol::Violation;
use ido_proxy_protocol::capabilities::Capabilities;
use ido_proxy_protocol::command::{Command, CommandStep, CommandStream};
use ido_proxy_protocol::ok::{self, OkPacket};
use ido_proxy_protocol::packet::{self, HEADER_LEN};
use ido_proxy_protocol::reply::{ReplyStep, ReplyTracker};
use ido_proxy_protocol::session_state::{self, Change};

use super::transaction::Transaction;

/// One session's protocol state between its login and its end.
#[derive(Debug)]
pub(crate) struct Machine {
    commands: CommandStream,
    state: State,
    /// In force on the link, and so the layout of what it sends.
    link_capabilities: Capabilities,
    /// In force towards the client.
    client_capabilities: Capabilities,
    transaction: Transaction,
    /// The default database, when the last reply changed it.
    new_schema: Option<Vec<u8>>,
}

#[derive(Debug)]
enum State {
    /// Between two commands.
    Idle,
    /// The command's bytes are dropped as they come; `payload`, if any, is the answer when the last
    /// one is gone.
    Answering { payload: Option<Vec<u8>> },
    /// A command is with the node.
    Busy(Busy),
}

#[derive(Debug)]
struct Busy {
    command: Command,
    tracker: ReplyTracker,
    /// The node has every byte that the client owes it.
    sent: bool,
    /// The client has, or needs, no more of the reply.
    replied: bool,
    /// Something of the reply has been passed on, so an error of our own can no longer be inserted.
    begun: bool,
}

/// What to do with bytes from the client.
#[derive(Debug, Eq, PartialEq)]
pub(crate) enum Upward {
    /// A command begins. Nothing is consumed; [`Machine::begin`] or [`Machine::answer`] comes next.
    Begin {
        /// The command.
        command: Command,
        /// The sequence id of its first packet.
        sequence: u8,
    },
    /// The first `len` bytes belong to a command that is not for the node. With the last of them
    /// comes what the client is to be told.
    Drop {
        /// Bytes to drop.
        len: usize,
        /// The framed answer.
        answer: Option<Vec<u8>>,
    },
    /// The first bytes, this many, go to the link.
    Forward(usize),
    /// Nothing, before more bytes come or the reply in hand is complete.
    Wait,
}

/// What to do with bytes from the link.
#[derive(Debug, Default, Eq, PartialEq)]
pub(crate) struct Downward {
    /// This many of them are dealt with.
    pub(crate) taken: usize,
    /// What the client gets in their place; `None` when it gets just those bytes.
    pub(crate) edited: Option<Vec<u8>>,
    /// The reply is complete with them.
    pub(crate) done: Option<Command>,
    /// They end with an OK that announces another result.
    pub(crate) continues: bool,
}

impl Machine {
    /// The machine of a client that has just logged in.
    pub(crate) fn new(client_capabilities: Capabilities) -> Self {
        Self {
            commands: CommandStream::default(),
            state: State::Idle,
            link_capabilities: client_capabilities,
            client_capabilities,
            transaction: Transaction::default(),
            new_schema: None,
        }
    }

    /// Says that a new link is there, in the state that a login leaves.
    pub(crate) fn link_up(&mut self, capabilities: Capabilities) {
        self.link_capabilities = capabilities;
        self.transaction = Transaction::default();
    }

    /// What to do with `input`, the bytes from the client not yet dealt with.
    pub(crate) fn upward(&mut self, input: &[u8]) -> Upward {
        if matches!(&self.state, State::Busy(busy) if busy.sent) {
            return Upward::Wait;
        }
        match self.commands.step(input) {
            CommandStep::Incomplete => Upward::Wait,
            CommandStep::Start { command, sequence } => Upward::Begin { command, sequence },
            CommandStep::Pass { len, end } => self.pass_up(len, end),
        }
    }

    /// Takes the command that [`Self::upward`] announced to the node.
    pub(crate) fn begin(&mut self, command: Command) {
        self.state = State::Busy(Busy {
            command,
            tracker: ReplyTracker::new(command, self.link_capabilities),
            sent: false,
            replied: !command.has_reply(),
            begun: false,
        });
    }

    /// Keeps the command that [`Self::upward`] announced from the node; the client gets `payload`,
    /// one packet, in reply.
    pub(crate) fn answer(&mut self, payload: Vec<u8>) {
        self.state = State::Answering { payload: Some(payload) };
    }

    /// Keeps the command that [`Self::upward`] announced from the node, and says nothing: for those
    /// that have no reply.
    pub(crate) fn drop_command(&mut self) {
        self.state = State::Answering { payload: None };
    }

    /// What to do with `input`, the bytes from the link not yet dealt with.
    ///
    /// # Errors
    /// What the node sends cannot be followed, or nobody asked it.
    pub(crate) fn downward(&mut self, input: &[u8]) -> Result<Downward, Violation> {
        let State::Busy(busy) = &mut self.state else { return Err(Violation::Unsolicited) };
        let strip = !self.client_capabilities.contains(Capabilities::SESSION_TRACK);
        let mut edits = Edits::default();
        let mut taken = 0;
        let mut done = None;
        let mut continues = false;
        while !busy.replied {
            let rest = input.get(taken..).unwrap_or_default();
            let step = busy.tracker.step(rest)?;
            let (len, last) = match step {
                ReplyStep::Incomplete => break,
                ReplyStep::Pass(len) => (len, false),
                ReplyStep::Ok { len, status, state_changed, last } => {
                    self.transaction.learn_status(status);
                    if state_changed && let Some(payload) = rest.get(HEADER_LEN..len) {
                        let packet = OkPacket::decode(payload, self.link_capabilities)?;
                        for change in session_state::changes(packet.session_state) {
                            match change? {
                                Change::TransactionState(state) => {
                                    self.transaction.learn_state(state);
                                }
                                Change::Schema(name) => {
                                    self.new_schema = Some(name.to_vec());
                                }
                                _ => {}
                            }
                        }
                        if strip {
                            let plain = ok::without_session_state(
                                payload,
                                self.link_capabilities,
                                self.client_capabilities,
                            )?;
                            edits.replace(input, taken..taken + len, &plain);
                        }
                    }
                    (len, last)
                }
                ReplyStep::Eof { len, status, last } => {
                    self.transaction.learn_rows(status);
                    (len, last)
                }
                ReplyStep::Err { len, last, .. } | ReplyStep::Raw { len, last } => (len, last),
                ReplyStep::Progress { len } | ReplyStep::AuthExchange { len } => (len, false),
                ReplyStep::LocalInfile { .. } if !busy.sent => {
                    let expected = "a reply to a command that is not yet there";
                    return Err(Violation::Unexpected { expected, got: LOCAL_INFILE });
                }
                ReplyStep::LocalInfile { len } => {
                    self.commands.expect_file();
                    busy.sent = false;
                    (len, false)
                }
            };
            continues = matches!(step, ReplyStep::Ok { last: false, .. });
            taken += len;
            busy.begun = true;
            busy.replied = last;
        }
        if busy.replied && busy.sent {
            done = Some(busy.command);
            self.state = State::Idle;
        }
        Ok(Downward { taken, edited: edits.finish(input, taken), done, continues })
    }

    /// Whether no command is in hand.
    pub(crate) fn is_idle(&self) -> bool {
        matches!(self.state, State::Idle)
    }

    /// Whether a command is with the node, so that what comes from there is its reply.
    pub(crate) fn is_busy(&self) -> bool {
        matches!(self.state, State::Busy(_))
    }

    /// Whether bytes that come from the client now would have to wait for a reply.
    pub(crate) fn awaits_reply(&self) -> bool {
        matches!(&self.state, State::Busy(busy) if busy.sent)
    }

    /// The sequence id that an error of our own would bear as the reply to the command in hand;
    /// `None` when no command waits, or when a part of its reply is with the client already.
    pub(crate) fn error_sequence(&self) -> Option<u8> {
        match &self.state {
            State::Busy(busy) if !busy.begun && !busy.replied => {
                Some(self.commands.last_sequence().wrapping_add(1))
            }
            _ => None,
        }
    }

    /// Whether the session could end here without losing anything the client was told is done.
    pub(crate) fn at_boundary(&self) -> bool {
        self.is_idle() && self.transaction.is_clean()
    }

    /// Whether a transaction is open, be it still empty.
    pub(crate) fn in_transaction(&self) -> bool {
        self.transaction.is_open()
    }

    /// The default database, once after each change of it.
    pub(crate) fn take_new_schema(&mut self) -> Option<Vec<u8>> {
        self.new_schema.take()
    }

    fn pass_up(&mut self, len: usize, end: bool) -> Upward {
        match &mut self.state {
            State::Busy(busy) => {
                busy.sent = end;
                if busy.sent && busy.replied {
                    self.state = State::Idle;
                }
                Upward::Forward(len)
            }
            State::Answering { payload } if end => {
                let answer = payload.take().map(|payload| {
                    let mut framed = Vec::with_capacity(HEADER_LEN + payload.len());
                    let sequence = self.commands.last_sequence().wrapping_add(1);
                    packet::frame(&payload, sequence, &mut framed);
                    framed
                });
                self.state = State::Idle;
                Upward::Drop { len, answer: Some(answer.unwrap_or_default()) }
            }
            State::Answering { .. } | State::Idle => Upward::Drop { len, answer: None },
        }
    }
}

/// A reply with some of its packets replaced, copied only from the first replacement on.
#[derive(Debug, Default)]
struct Edits {
    out: Option<Vec<u8>>,
    /// `input[..copied]` is in `out`, or stands replaced there.
    copied: usize,
}

impl Edits {
    /// Puts `payload` in place of the packet at `range` of `input`; the sequence id stays.
    fn replace(&mut self, input: &[u8], range: Range<usize>, payload: &[u8]) {
        let sequence = input.get(range.start + HEADER_LEN - 1).copied().unwrap_or_default();
        let out = self.out.get_or_insert_default();
        out.extend_from_slice(input.get(self.copied..range.start).unwrap_or_default());
        packet::frame(payload, sequence, out);
        self.copied = range.end;
    }

    fn finish(self, input: &[u8], taken: usize) -> Option<Vec<u8>> {
        let mut out = self.out?;
        out.extend_from_slice(input.get(self.copied..taken).unwrap_or_default());
        Some(out)
    }
}

/// The first byte of a packet by which the node asks for a file.
const LOCAL_INFILE: u8 = 0xFB;

#[cfg(test)]
mod tests;
