//! One request on the link whose reply is being followed.

use ido_proxy_protocol::capabilities::Capabilities;
use ido_proxy_protocol::command::Command;
use ido_proxy_protocol::reply::ReplyTracker;

use super::reply_buffer::Mark;
use super::task::Task;
use crate::session::plan::{Step, What};
use crate::session::state::digest::{PacketWalk, PayloadDigest};
use crate::session::state::journal::record::Told;

/// The request in hand.
#[derive(Debug)]
pub(super) struct Running {
    /// Finds the ends of its results.
    pub(super) tracker: ReplyTracker,
    /// Purpose of the request.
    pub(super) job: Job,
    /// Results that have ended.
    pub(super) result: usize,
    /// Results that were told, from `cut` on: the client's results, or all that a replay brings.
    pub(super) told: Vec<Told>,
    /// One of these results was that of a statement that generated several ids.
    pub(super) shared: bool,
    /// One of these results has an id that another session must have.
    pub(super) reserved: bool,
    /// The server gave the transaction up after one of these results, and said OK.
    pub(super) given_up: bool,
    /// Digest of the rows at hand, where they are to be compared some day.
    pub(super) digest: Option<Box<PayloadDigest>>,
    /// The first statement of the step that belongs to the transaction that is open now: what stands
    /// before it was committed or rolled back by this very step.
    pub(super) cut: usize,
    /// How much of what is held, and which sequence id, stood before the first result behind `cut`.
    pub(super) mark: Mark,
    /// Gives the client's packets the numbers that it expects.
    pub(super) renumber: Option<(PacketWalk, u8)>,
}

/// The request behind the one on the link.
#[derive(Debug, Default)]
pub(super) enum Behind {
    /// Nothing was sent behind it.
    #[default]
    Nothing,
    /// Requests of so many of the next steps, sent before the reply to this one.
    Sent(usize),
    /// Request that was not to be done, as the one before it failed, and is done all the same: its reply is dropped.
    Unwanted(ReplyTracker),
}

/// Purpose of a request.
#[derive(Debug)]
pub(super) enum Job {
    /// A step of the client's command.
    Step(Layout),
    /// A question about an error that nobody was told yet.
    Ask,
    /// A part of the way back after a loss.
    Task(Task),
}

/// Whose the results of a step are, in their order.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Layout {
    /// The client's, and that of the fence behind so many of them, if there is one.
    Client {
        /// How many come before that of the fence.
        fence_at: Option<usize>,
    },
    /// Ours alone, of the fence or of another statement.
    Ours {
        /// The statement is the fence.
        fence: bool,
    },
    /// BEGIN and the fence, and the client's.
    Wrapped,
    /// All but the first two of [`Self::Framed`].
    Close,
    /// BEGIN, one of the client's, the check, the warnings, the fence and COMMIT.
    Framed,
}

/// Whose a result is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Owner {
    /// The client's.
    Client,
    /// Ours, of the fence.
    Fence,
    /// Ours.
    Proxy,
}

impl Running {
    /// A request with this command byte, whose reply will have this layout.
    pub(super) fn new(command: Command, link: Capabilities, job: Job, mark: Mark) -> Self {
        Self {
            tracker: ReplyTracker::new(command, link),
            job,
            result: 0,
            told: Vec::new(),
            shared: false,
            reserved: false,
            given_up: false,
            digest: None,
            cut: 0,
            mark,
            renumber: None,
        }
    }

    /// The first statement that is sent again, should the rest be lost, is the one at `place`, before
    /// which this much is held.
    pub(super) fn cut_at(&mut self, place: usize, mark: Mark) {
        self.cut = place;
        self.mark = mark;
        self.told.clear();
        self.shared = false;
        self.reserved = false;
        self.given_up = false;
    }

    /// Whose the result at hand is.
    pub(super) fn owner(&self) -> Owner {
        match &self.job {
            Job::Ask | Job::Task(_) => Owner::Proxy,
            Job::Step(layout) => match (layout, self.result) {
                (Layout::Ours { fence: true }, _) => Owner::Fence,
                (Layout::Ours { fence: false }, _) => Owner::Proxy,
                (Layout::Client { fence_at }, result) if *fence_at == Some(result) => Owner::Fence,
                (Layout::Wrapped, 0) => Owner::Proxy,
                (Layout::Wrapped, 1) => Owner::Fence,
                (Layout::Client { .. } | Layout::Wrapped, _) => Owner::Client,
                (Layout::Framed | Layout::Close, _) => match self.framed() {
                    Some(Framed::Body) => Owner::Client,
                    Some(Framed::Fence) => Owner::Fence,
                    _ => Owner::Proxy,
                },
            },
        }
    }

    /// The place of the result at hand among the client's.
    pub(super) fn piece(&self) -> usize {
        match self.job {
            Job::Step(Layout::Client { fence_at }) => {
                self.result - usize::from(fence_at.is_some_and(|at| self.result > at))
            }
            Job::Step(Layout::Wrapped) => self.result.saturating_sub(2),
            Job::Step(Layout::Framed) => self.result.saturating_sub(1),
            Job::Step(Layout::Close | Layout::Ours { .. }) => self.result,
            Job::Ask | Job::Task(_) => self.result,
        }
    }

    /// Whether it is a step of the client's command.
    pub(super) fn is_step(&self) -> bool {
        matches!(self.job, Job::Step(_))
    }

    /// The statement of a frame of one text, or of its end, that has the result at hand.
    pub(super) fn framed(&self) -> Option<Framed> {
        let before = match &self.job {
            Job::Step(Layout::Framed) => 0,
            Job::Step(Layout::Close) => Framed::Check as usize,
            _ => return None,
        };
        Some(match before + self.result {
            0 => Framed::Begin,
            1 => Framed::Body,
            2 => Framed::Check,
            3 => Framed::Warnings,
            4 => Framed::Fence,
            _ => Framed::Commit,
        })
    }
}

impl Job {
    /// The job of a step.
    pub(super) fn of_step(step: &Step) -> Self {
        Self::Step(match step.what {
            What::Wrapped(_) => Layout::Wrapped,
            What::Framed(_) => Layout::Framed,
            What::Close => Layout::Close,
            _ if step.is_ours() => Layout::Ours { fence: step.what == What::Fence },
            _ => Layout::Client { fence_at: step.fence_at },
        })
    }
}

/// A statement of a frame that is one text.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(super) enum Framed {
    /// START TRANSACTION.
    Begin,
    /// The client's.
    Body,
    /// Stops the text where the transaction is gone.
    Check,
    /// Reads the warnings of the client's.
    Warnings,
    /// The fence, with the counts of the client's reply.
    Fence,
    /// COMMIT.
    Commit,
}
