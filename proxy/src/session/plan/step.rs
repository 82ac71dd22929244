//! Steps of a command: requests to the node, and what their replies mean.

use std::ops::Range;

use smallvec::SmallVec;

/// One request to the node, and what its reply means.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Step {
    /// Request to send.
    pub(crate) what: What,
    /// Before which of the client's statements the fence goes in the same request, if in any.
    pub(crate) fence_at: Option<usize>,
    /// Meaning of a lost reply.
    pub(crate) risk: Risk,
    /// The statements of the client in it, in order; empty where it is one, or nobody knows.
    pub(crate) pieces: SmallVec<[Piece; 1]>,
    /// The transaction of our own that the step is part of. All of that is done again if it was not committed.
    pub(crate) frame: Option<Frame>,
}

/// A transaction of our own around a statement of the client's, by its number in the command.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Frame(pub(crate) usize);

/// Content of a step's request.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum What {
    /// BEGIN, of our own.
    Begin,
    /// COMMIT, of our own.
    Commit,
    /// Keeps the warnings of the client's last statement, if there are any and a fence would clear them.
    KeepWarnings,
    /// Gives the link back the warnings that were kept.
    PutWarningsBack,
    /// Makes ROW_COUNT() what the client's last statement left.
    PutRowCountBack,
    /// Asks for what a SET has set and no report tells: the collation, the role.
    AskState,
    /// Lets the link report to the client as it has asked for.
    ShowReports,
    /// The end of a frame of one text, alone: check, fence and COMMIT.
    Close,
    /// Reads what the client has asked for.
    AskReports,
    /// Lets the link report all to us.
    ReportAll,
    /// The fence, if the transaction wrote.
    Fence,
    /// Turns the guard on or off.
    Guard(bool),
    /// Lets the link take several statements in one text, or one alone.
    Several(bool),
    /// Given text, for a link that takes one statement alone.
    Single(Range<usize>),
    /// Given part of the text.
    Part(Range<usize>),
    /// ROLLBACK, of our own.
    Rollback,
    /// The command as it came.
    Whole,
    /// BEGIN and the fence, and then this part of the text.
    Wrapped(Range<usize>),
    /// BEGIN, this part of the text, the fence and COMMIT, all in one: it takes one round trip.
    Framed(Range<usize>),
}

/// Meaning of a lost reply to a step.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Risk {
    /// The step may have committed what the transaction wrote. The fence tells. After a commit, the text goes on at
    /// `resume`, the place behind a COMMIT, and the place of any other statement.
    Commit {
        /// An offset into the text.
        resume: usize,
    },
    /// The step may have been done, nobody can tell, and it must not be done twice.
    Doubtful(Doubt),
    /// Nothing outlives the transaction: it may be sent again.
    Repeatable,
    /// The transaction is gone, as it was to be.
    Rollback,
}

/// Why nobody can tell.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Doubt {
    /// The fence is not as it was left, or what must be done again comes out differently while the
    /// outcome of the COMMIT is open.
    Disturbed,
    /// The statement commits by itself, or its effect is not known.
    Statement,
    /// Only a fence could tell the outcome, and there is none.
    Unfenced,
}

/// One statement of a text.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Piece {
    /// Where it begins.
    pub(crate) start: usize,
    /// Where it ends.
    pub(crate) end: usize,
    /// Effect of the statement on the transaction.
    pub(crate) kind: PieceKind,
}

/// Effect of a statement on the transaction.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum PieceKind {
    /// Begins one (and commits an open one).
    Begin,
    /// Ends one, by COMMIT or ROLLBACK.
    End,
    /// Commits an open one in passing.
    Implicit,
    /// None of all.
    Plain,
    /// Sets a savepoint, or goes back to one.
    Savepoint,
    /// Anything may happen, inside.
    Unknown,
    /// May write.
    Write,
}

impl Step {
    pub(super) fn new(what: What) -> Self {
        let (fence_at, risk, frame) = (None, Risk::Repeatable, None);
        Self { what, fence_at, risk, pieces: SmallVec::new(), frame }
    }

    /// Steps before a statement that we commit.
    pub(crate) fn opening(frame: Frame) -> [Self; 2] {
        [What::Begin, What::Fence].map(|what| Self { frame: Some(frame), ..Self::new(what) })
    }

    /// The fence alone.
    pub(crate) fn fence() -> Self {
        Self::new(What::Fence)
    }

    /// Asks for what a SET has set and no report tells.
    pub(crate) fn ask_state() -> Self {
        Self::new(What::AskState)
    }

    /// Lets the link report to the client as it has asked for.
    pub(crate) fn show_reports() -> Self {
        Self::new(What::ShowReports)
    }

    /// Steps after [`Self::show_reports`]: what the client asks for now is read, and all is reported to us again.
    pub(crate) fn hide_reports() -> [Self; 2] {
        [Self::ask_reports(), Self::new(What::ReportAll)]
    }

    /// Asks what the client has chosen to be told of changes.
    pub(crate) fn ask_reports() -> Self {
        Self::new(What::AskReports)
    }

    /// Gives the link back the warnings that were kept.
    pub(crate) fn put_warnings_back() -> Self {
        Self::new(What::PutWarningsBack)
    }

    /// Makes ROW_COUNT() what the client expects.
    pub(crate) fn put_row_count_back() -> Self {
        Self::new(What::PutRowCountBack)
    }

    /// Turns the guard on or off.
    pub(crate) fn guard(on: bool) -> Self {
        Self::new(What::Guard(on))
    }

    /// COMMIT, of our own, of a frame.
    pub(crate) fn commit_of(frame: Option<Frame>, risk: Risk) -> Self {
        Self { risk, frame, ..Self::new(What::Commit) }
    }

    /// Lets the link take several statements in one text, or one alone.
    pub(crate) fn several(on: bool) -> Self {
        Self::new(What::Several(on))
    }

    /// Our COMMIT of what a procedure has left open.
    pub(crate) fn commit() -> Self {
        Self { risk: Risk::Doubtful(Doubt::Statement), ..Self::new(What::Commit) }
    }

    /// A rollback of what our own BEGIN began.
    pub(crate) fn rollback() -> Self {
        Self::new(What::Rollback)
    }

    /// Whether no part of its reply is the client's.
    pub(crate) fn is_ours(&self) -> bool {
        matches!(
            self.what,
            What::Begin
                | What::Close
                | What::Commit
                | What::Fence
                | What::Guard(_)
                | What::KeepWarnings
                | What::PutRowCountBack
                | What::PutWarningsBack
                | What::AskState
                | What::ShowReports
                | What::AskReports
                | What::ReportAll
                | What::Rollback
                | What::Several(_)
        )
    }
}
