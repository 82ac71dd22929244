//! How much of the world a search looks at.

use super::laws::Broken;

/// Assumptions about the world. Within them, a search leaves nothing out.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Scope {
    /// How many transactions the client has.
    pub(crate) tokens: u8,
    /// How many faults there may be. Repairs do not count.
    pub(crate) faults: u8,
    /// The table of tokens has a unique key, so that a replay of what is committed fails with 1062.
    pub(crate) unique_tokens: bool,
    /// A node finds out by itself that a link was given up. Without keepalive, one whose path is dead does
    /// not for hours.
    pub(crate) lost_links_noticed: bool,
    /// A law that is not looked at.
    pub(crate) without: Option<Broken>,
}

impl Scope {
    /// A client with so many tokens, and so many faults.
    pub(crate) const fn of(tokens: u8, faults: u8) -> Self {
        Self { tokens, faults, unique_tokens: false, lost_links_noticed: true, without: None }
    }
}
