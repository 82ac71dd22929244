//! How often a command was tried, and why it had to be tried again.

use ido_proxy_protocol::err::ErrPacket;
use ido_proxy_protocol::error_code::DEADLOCK;

use super::fault::Fault;
use super::words::OURS;

/// Tries of the command in hand, the first one among them.
#[derive(Debug, Default)]
pub(super) struct Attempt {
    /// How often it was sent again for the server's own reasons.
    pub(super) tries: u32,
    /// How often it was sent again for an error that condemned a node, wrongly.
    pub(super) hearsay: u32,
    /// The link was lost during the command, maybe several times.
    pub(super) lost: bool,
    /// Whether a link was left for it.
    pub(super) departure: Departure,
    /// Something may be set on the link that nobody was told: the server gave the transaction up at it.
    pub(super) set_untold: bool,
    /// The pending steps could not be done again as they were: they are sent anew.
    pub(super) anew: bool,
    /// The message of a duplicate for which another id was chosen. One that comes again is of an id that the client computes.
    pub(super) taken: Option<Vec<u8>>,
    /// The conflict for which the transaction was replayed first.
    pub(super) conflict: Option<ErrPacket>,
    /// The error with which the node refused the COMMIT last, and how often in a row.
    refused: Option<(ErrPacket, u32)>,
}

/// Whether a link is left although it works, since something set on it cannot be undone there.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) enum Departure {
    /// None was left.
    #[default]
    Never,
    /// The link that is there is to be left.
    Due,
    /// The link before was left.
    Done,
}

impl Attempt {
    /// Whether the link is another one than that which the command began with.
    pub(super) fn has_moved(&self) -> bool {
        self.lost || self.departure != Departure::Never
    }

    /// The link is gone, or was left.
    pub(super) fn link_gone(&mut self) {
        self.set_untold = false;
        match self.departure {
            Departure::Due => self.departure = Departure::Done,
            Departure::Never | Departure::Done => self.lost = true,
        }
    }

    /// Counts how often the node refused a COMMIT with this error, for no conflict.
    pub(super) fn count_refusal(&mut self, error: &ErrPacket) {
        let before = self.refused.take().filter(|(before, _)| before.code == error.code);
        self.refused = Some((error.clone(), before.map_or(1, |(_, times)| times + 1)));
    }

    /// The error with which a COMMIT fails each time: the client's to hear, where the fence says that it was not done.
    pub(super) fn lasting_refusal(&self) -> Option<&ErrPacket> {
        let (error, times) = self.refused.as_ref()?;
        let lasts = *times >= MOST_REFUSALS && Fault::of(error) != Fault::Conflict;
        (lasts && !self.lost).then_some(error)
    }

    /// The error with which the node refused the COMMIT on the link that is there.
    pub(super) fn refusal_of_commit(&self) -> Option<&ErrPacket> {
        self.refused.as_ref().filter(|_| !self.lost).map(|(error, _)| error)
    }
}

/// How often the same error, for no conflict, refuses a COMMIT before the client hears it.
const MOST_REFUSALS: u32 = 2;

/// The error that the server would have told, had it told any.
pub(super) fn given_up() -> ErrPacket {
    let message = "Deadlock found when trying to get lock; try restarting transaction";
    ErrPacket::new(DEADLOCK, *b"40001", message)
}

pub(super) fn reserved() -> ErrPacket {
    ErrPacket::new(OURS, *b"HY000", "an id that belongs to a row of another session")
}

/// How often a transaction that the server rolled back is done again before the client is told.
pub(super) const MOST_TRIES: u32 = 10;

/// How often where the link was lost under it: many sessions do their transactions again at the same time,
/// and meet each other's locks. With the pauses between them this is some seconds.
pub(super) const MOST_TRIES_AFTER_A_LOSS: u32 = 100;
