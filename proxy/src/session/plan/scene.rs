//! State of the session that the plan of a command depends on.

use ido_proxy_protocol::statement::Dialect;

use super::Doubt;

/// State of the session before a command.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Scene {
    /// How the server reads a text now.
    pub(crate) dialect: Dialect,
    /// How many statements one text may have.
    pub(crate) texts: Texts,
    /// The transaction that is open, if one is.
    pub(crate) transaction: Current,
    /// Whether writes can be fenced.
    pub(crate) fence: FenceUse,
    /// Whether the guard may be used.
    pub(crate) guard: GuardUse,
    /// Whether each statement is a transaction of its own unless one is open.
    pub(crate) autocommit: bool,
    /// Whether a COMMIT or ROLLBACK does more than its text says.
    pub(crate) chains: bool,
}

/// How many statements a text may have.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) enum Texts {
    /// One.
    #[default]
    Single,
    /// One of the client's, and ours beside it: the link takes several.
    Joined,
    /// Several, as the client has asked for.
    Several,
}

/// The transaction before a command.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) enum Current {
    /// None is open.
    #[default]
    Nothing,
    /// One in which nothing was written.
    Clean,
    /// One that may have written.
    Written,
}

/// Whether writes can be fenced.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) enum FenceUse {
    /// Missing for this account.
    Missing,
    /// Hindered by the state of the session.
    #[default]
    InTheWay,
    /// Yes.
    Usable,
}

/// Whether the guard may be used (see [`crate::session::state::guard`]). Then whatever ends a transaction, and what comes
/// behind it, are requests of their own.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) enum GuardUse {
    /// No.
    #[default]
    Never,
    /// Yes.
    Free,
    /// Visible in the open transaction, if it were on.
    Seen,
}

/// Why the guard is not to be seen, the least reason first.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) enum Unguarding {
    /// A statement does what nobody knows, and may find the guard by it.
    Works,
    /// The client looks at the mode, or sets it.
    Looks,
}

impl Scene {
    /// Whether the client may send several statements in one text.
    pub(crate) fn takes_several(&self) -> bool {
        self.texts == Texts::Several
    }

    /// Whether a text may have statements of ours beside the client's.
    pub(crate) fn joins(&self) -> bool {
        self.texts != Texts::Single
    }

    /// Whether a transaction is open.
    pub(crate) fn is_open(&self) -> bool {
        self.transaction != Current::Nothing
    }

    /// Whether what comes next is part of a transaction that it does not end itself.
    pub(crate) fn is_within(&self) -> bool {
        self.is_open() || !self.autocommit
    }

    /// Whether the open transaction may have written.
    pub(crate) fn is_dirty(&self) -> bool {
        self.transaction == Current::Written
    }

    /// Whether writes are fenced.
    pub(crate) fn fences(&self) -> bool {
        self.fence == FenceUse::Usable
    }

    /// Whether the link may be guarded.
    pub(crate) fn guards(&self) -> bool {
        self.guard != GuardUse::Never
    }

    /// Why nobody can tell what became of a write that is not fenced.
    pub(super) fn doubt(&self) -> Doubt {
        match self.fence {
            FenceUse::Missing => Doubt::Unfenced,
            FenceUse::InTheWay | FenceUse::Usable => Doubt::Statement,
        }
    }
}
