//! One request on the link whose reply is being followed.

use ido_proxy_protocol::capabilities::Capabilities;
use ido_proxy_protocol::command::Command;
use ido_proxy_protocol::reply::ReplyTracker;

use super::recovery::Task;
use crate::session::digest::{PacketWalk, PayloadDigest};
use crate::session::journal::record::Told;
use crate::session::plan::{Step, What};

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
    pub(super) owed: bool,
    /// The server gave the transaction up after one of these results, and said OK.
    pub(super) given_up: bool,
    /// Digest of the rows at hand, where they are to be compared some day.
    pub(super) digest: Option<Box<PayloadDigest>>,
    /// The first statement of the step that belongs to the transaction that is open now: what stands
    /// before it was committed or rolled back by this very step.
    pub(super) cut: usize,
    /// How much of what is held, and which sequence id, stood before the first result behind `cut`.
    pub(super) mark: (usize, u8),
    /// Gives the client's packets the numbers that it expects.
    pub(super) renumber: Option<(PacketWalk, u8)>,
}

/// The request behind the one on the link.
#[derive(Debug, Default)]
pub(super) enum Behind {
    /// Nothing was sent behind it.
    #[default]
    Nothing,
    /// Request of the next step, sent before the reply to this one: a BEGIN, behind a COMMIT.
    Sent,
    /// Request that was not to be done, as the one before it failed, and is done all the same: its reply is dropped.
    Unwanted(ReplyTracker),
}

/// Purpose of a request.
#[derive(Debug)]
pub(super) enum Job {
    /// A step of the client's command.
    Step {
        /// How many results of ours come first.
        prefix: usize,
        /// How many of the client's come before that of our fence; `None`: the fence is not in it.
        fence_at: Option<usize>,
        /// None of the results is the client's.
        ours: bool,
    },
    /// A question about an error that nobody was told yet.
    Ask,
    /// A part of the way back after a loss.
    Task(Task),
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
    pub(super) fn new(command: Command, link: Capabilities, job: Job, mark: (usize, u8)) -> Self {
        Self {
            tracker: ReplyTracker::new(command, link),
            job,
            result: 0,
            told: Vec::new(),
            shared: false,
            owed: false,
            given_up: false,
            digest: None,
            cut: 0,
            mark,
            renumber: None,
        }
    }

    /// The first statement that is sent again, should the rest be lost, is the one at `place`, before
    /// which this much is held.
    pub(super) fn cut_at(&mut self, place: usize, mark: (usize, u8)) {
        self.cut = place;
        self.mark = mark;
        self.told.clear();
        self.shared = false;
        self.owed = false;
        self.given_up = false;
    }

    /// Whose the result at hand is.
    pub(super) fn owner(&self) -> Owner {
        match &self.job {
            Job::Ask | Job::Task(_) => Owner::Proxy,
            Job::Step { ours: true, fence_at, .. } => match fence_at {
                Some(_) => Owner::Fence,
                None => Owner::Proxy,
            },
            Job::Step { prefix, fence_at, .. } => {
                if self.result < *prefix {
                    // BEGIN, then the fence.
                    return if self.result == 1 { Owner::Fence } else { Owner::Proxy };
                }
                if *fence_at == Some(self.result - prefix) { Owner::Fence } else { Owner::Client }
            }
        }
    }

    /// The place of the result at hand among the client's.
    pub(super) fn piece(&self) -> usize {
        match self.job {
            Job::Step { prefix, fence_at, ours } => {
                let result = self.result.saturating_sub(prefix);
                let behind = !ours && fence_at.is_some_and(|at| result > at);
                result - usize::from(behind)
            }
            Job::Ask | Job::Task(_) => self.result,
        }
    }

    /// Whether it is a step of the client's command.
    pub(super) fn is_step(&self) -> bool {
        matches!(self.job, Job::Step { .. })
    }
}

impl Job {
    /// The job of a step.
    pub(super) fn of_step(step: &Step) -> Self {
        Self::Step {
            prefix: if matches!(step.what, What::Wrapped(_)) { 2 } else { 0 },
            fence_at: match step.what {
                What::Fence => Some(0),
                _ => step.fence_at,
            },
            ours: step.is_ours(),
        }
    }
}
