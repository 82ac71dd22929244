//! Purpose of a listener's clients: to write, or to read only.

use std::fmt;

use serde::Serialize;

/// Purpose of a session. Its listener says so, and it stays so.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) enum Role {
    /// Reads, from a node other than the primary where there is one (`listen.replica_addresses`).
    Reader {
        /// Which of the nodes it takes: sessions have consecutive numbers, so that they spread evenly.
        ticket: u32,
        /// Whether a read waits until its node has applied what was committed before.
        sync_wait: bool,
    },
    /// Reads and writes, at the primary (`listen.addresses`).
    #[default]
    Writer,
}

impl Role {
    /// A reader. The first tickets of two daemons differ: of few sessions each, not all go to one node.
    pub(crate) fn reader(sync_wait: bool) -> Self {
        Self::Reader { ticket: rand::random(), sync_wait }
    }

    /// The role of the session after the one that has this role.
    pub(crate) fn next(self) -> Self {
        match self {
            Self::Reader { ticket, sync_wait } => {
                Self::Reader { ticket: ticket.wrapping_add(1), sync_wait }
            }
            Self::Writer => Self::Writer,
        }
    }

    /// Name of the role.
    pub(crate) fn name(self) -> RoleName {
        match self {
            Self::Reader { .. } => RoleName::Reader,
            Self::Writer => RoleName::Writer,
        }
    }
}

/// A role as it is shown.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum RoleName {
    /// Reads only.
    Reader,
    /// May write.
    Writer,
}

/// One word, the same as in `/status`.
impl fmt::Display for RoleName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.serialize(f)
    }
}
