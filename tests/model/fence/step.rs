//! One thing that can happen next.

use std::fmt;

use super::world::{Name, Which, World};

/// One thing that can happen, with what a reader of a counterexample needs to know of it. How it is shown says
/// what it means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    // Faults. There are only so many.
    Kill(Name),
    Freeze(Name),
    Cut(Name),
    BodyFails(Place),
    PathDies(Name),
    GivesUp,

    // Repairs. Nothing may depend on them.
    Thaw(Name),
    Heal(Name),
    Rejoin(Name),
    Restart(Name),

    // The group.
    Evict(Name),
    Learns(Name),
    Applies(Name),
    Orders(Place),
    FailsCertification(Place),

    // A node, on a link.
    Executes(Place, bool),
    ExecutesFenceAlone(Place, bool),
    RefusesBody(Place),
    SaysDuplicate(Place),
    SaysLockTimeout(Place),
    SendsWriteSet(Place),
    CannotCommit(Place),
    SaysCommitted(Place),
    SaysError(Place),
    StartsCausalWait(Place),
    SaysFence(Place, u8),
    Notices(Place),

    // The session.
    Sends(u8),
    Commits,
    MovesOn,
    Acknowledges(u8),
    Refuses(u8),
    Rereads,
    Replays(u8),
    Burns,
    Loses(Name),
    Connects(Name),
    Restored,
}

/// A link in a list of steps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    node: Name,
    ghost: bool,
}

impl Place {
    pub(crate) fn of(node: usize, which: Which) -> Self {
        Self { node: Name::of(node), ghost: which != Which::Own }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.node, if self.ghost { ", for a ghost," } else { "" })
    }
}

impl Step {
    /// Whether it happens by itself once faults have stopped, and nobody repairs anything.
    pub(crate) fn is_work(self) -> bool {
        use Step::{BodyFails, Cut, Freeze, GivesUp, Heal, Kill, PathDies, Rejoin, Restart, Thaw};
        !matches!(
            self,
            Kill(_)
                | Freeze(_)
                | Cut(_)
                | BodyFails(_)
                | PathDies(_)
                | GivesUp
                | Thaw(_)
                | Heal(_)
                | Rejoin(_)
                | Restart(_)
        )
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rows = |matched: &bool| if *matched { "one row" } else { "no row" };
        match self {
            Self::Kill(node) => write!(f, "FAULT  {node} is killed"),
            Self::Freeze(node) => write!(f, "FAULT  {node} freezes"),
            Self::Cut(node) => write!(f, "FAULT  {node} is cut off from the other nodes"),
            Self::BodyFails(at) => write!(f, "FAULT  {at} fails the body with error 1213"),
            Self::PathDies(node) => {
                write!(f, "FAULT  the proxy's path to {node} dies; its link is given up")
            }
            Self::GivesUp => write!(f, "FAULT  the transaction cannot be replayed"),
            Self::Thaw(node) => write!(f, "repair {node} thaws"),
            Self::Heal(node) => write!(f, "repair {node} reaches the other nodes again"),
            Self::Rejoin(node) => write!(f, "repair {node} rejoins and catches up"),
            Self::Restart(node) => write!(f, "repair {node} is started again"),
            Self::Evict(node) => write!(f, "group  goes on without {node}"),
            Self::Learns(node) => write!(f, "node   {node} learns that it is not in the group"),
            Self::Applies(node) => write!(f, "node   {node} applies one more write set"),
            Self::Orders(at) => write!(f, "group  orders the write set of {at} and certifies it"),
            Self::FailsCertification(at) => {
                write!(f, "group  orders the write set of {at} and rejects it")
            }
            Self::Executes(at, matched) => {
                write!(f, "node   {at} executes its work; the fence matches {}", rows(matched))
            }
            Self::ExecutesFenceAlone(at, matched) => write!(
                f,
                "node   {at} executes the fence outside the transaction; it matches {}",
                rows(matched)
            ),
            Self::RefusesBody(at) => write!(f, "node   {at} refuses its work"),
            Self::SaysDuplicate(at) => {
                write!(f, "node   {at} says that the token is there already")
            }
            Self::SaysLockTimeout(at) => write!(f, "node   {at} waits in vain to lock the fence"),
            Self::SendsWriteSet(at) => write!(f, "node   {at} executes COMMIT: sends a write set"),
            Self::CannotCommit(at) => write!(f, "node   {at} executes COMMIT: cannot"),
            Self::SaysCommitted(at) => write!(f, "node   {at} says OK to COMMIT"),
            Self::SaysError(at) => write!(f, "node   {at} says error"),
            Self::StartsCausalWait(at) => write!(f, "node   {at} starts a causal wait"),
            Self::SaysFence(at, fence) => write!(f, "node   {at} says that the fence is {fence}"),
            Self::Notices(at) => write!(f, "node   {at} notices the lost link and rolls back"),
            Self::Sends(token) => write!(f, "proxy  sends the client's token {token}"),
            Self::Commits => write!(f, "proxy  sends COMMIT"),
            Self::MovesOn => write!(f, "proxy  starts its second transaction"),
            Self::Acknowledges(token) => {
                write!(f, "proxy  tells the client that token {token} is committed")
            }
            Self::Refuses(token) => {
                write!(f, "proxy  tells the client that token {token} is rolled back")
            }
            Self::Rereads => write!(f, "proxy  asks for the fence"),
            Self::Replays(token) => write!(f, "proxy  replays token {token}"),
            Self::Burns => write!(f, "proxy  moves the fence out of reach of ghosts"),
            Self::Loses(node) => write!(f, "proxy  loses its link to {node}"),
            Self::Connects(node) => write!(f, "proxy  opens a link to {node}"),
            Self::Restored => write!(f, "proxy  takes the new link in use"),
        }
    }
}

/// Collects the successors of a state.
pub(crate) struct Successors {
    found: Vec<(Step, World)>,
}

impl Successors {
    pub(crate) fn new() -> Self {
        Self { found: Vec::with_capacity(32) }
    }

    /// `world`, after `change`, is one.
    pub(crate) fn add(&mut self, step: Step, world: &World, change: impl FnOnce(&mut World)) {
        let mut next = *world;
        change(&mut next);
        self.found.push((step, next));
    }

    /// Like [`Self::add`], for a fault, as long as there may be one more.
    pub(crate) fn add_fault(&mut self, step: Step, world: &World, change: impl FnOnce(&mut World)) {
        let Some(faults) = world.faults.checked_sub(1) else { return };
        self.add(step, world, |next| {
            next.faults = faults;
            change(next);
        });
    }

    pub(crate) fn drain(&mut self) -> impl Iterator<Item = (Step, World)> {
        self.found.drain(..)
    }
}
