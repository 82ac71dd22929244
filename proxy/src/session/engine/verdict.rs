//! Decisions of the machine.

use std::fmt;

use ido_proxy_protocol::command::Command;
use ido_proxy_protocol::err::ErrPacket;

use crate::session::plan::Doubt;
use crate::session::plan::blocker::Blocker;
use crate::session::state::journal::store::Cursor;

/// Decision about bytes from the client.
#[derive(Debug, Eq, PartialEq)]
pub(crate) enum Upward {
    /// A command begins. Nothing is consumed; [`super::Machine::begin`] or [`super::Machine::answer`] comes next.
    Begin {
        /// The command.
        command: Command,
        /// The sequence id of its first packet.
        sequence: u8,
    },
    /// The first `len` bytes belong to a command that is not for the node, or is sent otherwise. With
    /// the last of them comes what the client is to be told.
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

/// Decision about bytes from the link.
#[derive(Debug, Default)]
pub(crate) struct Downward {
    /// Number of bytes dealt with.
    pub(crate) taken: usize,
    /// Bytes for the client in their place; `None` when it gets just those bytes.
    pub(crate) edited: Option<Vec<u8>>,
    /// The reply is complete with them.
    pub(crate) done: Option<Command>,
    /// The bytes end with an OK that announces another result.
    pub(crate) continues: bool,
    /// The node says that it cannot be worked with; or we do, with the code [`super::words::OURS`]. [`super::Machine::link_lost`] comes
    /// next.
    pub(crate) lost: Option<ErrPacket>,
    /// The session cannot go on.
    pub(crate) stuck: Option<Stuck>,
}

/// Outcome of asking for the next request to the link.
#[derive(Debug)]
pub(crate) enum Sending {
    /// The command is over without another request: the client gets this.
    Finished(Vec<u8>, Command),
    /// A part of the journal must be brought into memory first.
    Journal(Cursor),
    /// Nothing.
    Nothing,
    /// Nothing yet: the way back is at its end, and what comes next is new to the node.
    Replayed,
    /// After a short pause, the longer the greater the number.
    Pause(u32),
    /// The bytes that were appended.
    Request,
    /// Nothing more: the session cannot go on.
    Stuck(Stuck),
}

/// Why a session does not get past the loss of its link.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Stuck {
    /// A statement may have been committed, and it cannot be found out.
    Doubt(Doubt),
    /// The session has state that cannot be set up elsewhere.
    Blocker(Blocker),
    /// The next node refuses what the one before accepted.
    Refused(ErrPacket),
    /// The client's COMMIT or ROLLBACK closed its connection (RELEASE). That is no failure.
    Released,
    /// The client has a part of a reply that comes out differently now.
    Told,
}

/// Completes the sentence "the node was lost, and …".
impl fmt::Display for Stuck {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Doubt(Doubt::Disturbed) => f.write_str(
                "it is not known whether the transaction was committed, since somebody else has \
                 changed the rows that would tell: look before you do it again",
            ),
            Self::Doubt(Doubt::Statement) => f.write_str(
                "it is not known whether the statement that was under way was done: look before you \
                 do it again",
            ),
            Self::Doubt(Doubt::Unfenced) => f.write_str(
                "it is not known whether the transaction was committed, since there is no fence \
                 (see ido-proxy setup): look before you do it again",
            ),
            Self::Blocker(reason) => write!(f, "the session cannot move: {reason}"),
            Self::Refused(error) => write!(f, "the session cannot be set up elsewhere: {error}"),
            Self::Released => f.write_str("the client has released its connection"),
            Self::Told => f.write_str("a part of the reply was already sent"),
        }
    }
}
