//! State of the world at one moment: nodes, the order of the group, links, and the session.

use std::fmt;

/// How many nodes the cluster has.
pub(crate) const NODES: usize = 3;
/// How many links that were given up can matter at a time.
const GHOSTS: usize = 4;
/// How many write sets can be ordered. More than any run within the bounds needs.
const ORDERED: usize = 10;

/// A whole state of the model.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct World {
    pub(crate) nodes: [Node; NODES],
    pub(crate) history: History,
    pub(crate) session: Session,
    /// The session's link, if it has one.
    pub(crate) link: Option<Link>,
    /// Links that the session gave up, but whose nodes may still do what they were asked.
    pub(crate) ghosts: [Option<Link>; GHOSTS],
    /// How many more faults there may be.
    pub(crate) faults: u8,
}

impl World {
    /// All is well, the session has a link to the first node, and the client has done nothing yet.
    pub(crate) fn at_start(faults: u8) -> Self {
        let node = Node { run: Run::Running, cut: false, standing: Standing::Member, applied: 0 };
        let session = Session {
            token: 1,
            base: 0,
            pending: Pending::Nothing,
            phase: Phase::Ready,
            acknowledged: Tokens(0),
            refused: Tokens(0),
        };
        Self {
            nodes: [node; NODES],
            history: History::default(),
            session,
            link: Some(Link::to(0, Work::NONE, Stage::Over)),
            ghosts: [None; GHOSTS],
            faults,
        }
    }

    /// The session's link and the ghosts.
    pub(crate) fn links(&self) -> impl Iterator<Item = (Which, Link)> + use<> {
        let own = self.link.map(|link| (Which::Own, link));
        let ghosts = self.ghosts.into_iter().enumerate();
        own.into_iter().chain(ghosts.filter_map(|(i, link)| Some((Which::Ghost(i), link?))))
    }

    /// Puts a link back after something has happened to it.
    pub(crate) fn set(&mut self, which: Which, link: Link) {
        match which {
            Which::Own => self.link = Some(link),
            Which::Ghost(i) => self.ghosts[i] = Some(link),
        }
    }

    /// Changes the stage of each link to `node` that `change` has a new one for.
    pub(crate) fn restage(&mut self, node: usize, change: impl Fn(Link) -> Option<Stage>) {
        for (which, link) in self.links().filter(|(_, link)| link.node() == node) {
            if let Some(stage) = change(link) {
                self.set(which, Link { stage, ..link });
            }
        }
    }

    /// The fence as `node` sees it: 0 where there is no row yet.
    pub(crate) fn fence_at(&self, node: usize) -> u8 {
        let applied = &self.history.write_sets()[..usize::from(self.nodes[node].applied)];
        applied.iter().rev().find(|set| set.fence != 0).map_or(0, |set| set.fence)
    }

    /// Turns the session's link into a ghost.
    pub(crate) fn haunt(&mut self) {
        let Some(link) = self.link.take() else { return };
        let ghost = Link { answer: None, ..link };
        let free = self.ghosts.iter().position(Option::is_none);
        self.ghosts[free.expect("the bounds allow for no more ghosts")] = Some(ghost);
    }

    /// Drops the ghosts that `matter` says can do nothing any more, and sorts the rest: which is which makes
    /// no difference.
    pub(crate) fn lay_ghosts(&mut self, matter: impl Fn(Link) -> bool) {
        self.ghosts = self.ghosts.map(|ghost| ghost.filter(|&link| matter(link)));
        self.ghosts.sort_unstable();
    }
}

/// A Galera server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Node {
    pub(crate) run: Run,
    /// Whether the other nodes cannot reach it. The proxy can.
    pub(crate) cut: bool,
    pub(crate) standing: Standing,
    /// How much of the order it has applied.
    pub(crate) applied: u8,
}

impl Node {
    pub(crate) fn running(&self) -> bool {
        self.run == Run::Running
    }

    /// Runs, and hears the others.
    pub(crate) fn present(&self) -> bool {
        self.running() && !self.cut
    }

    pub(crate) fn member(&self) -> bool {
        self.standing == Standing::Member
    }

    pub(crate) fn healthy(&self) -> bool {
        self.present() && self.member()
    }
}

/// Whether a node's process runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Run {
    /// Runs normally.
    Running,
    /// SIGSTOP: does nothing, but keeps its memory and what is in its sockets.
    Frozen,
    /// SIGKILL: its memory and its sockets are gone.
    Dead,
}

/// Whether a node is in the primary component.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Standing {
    /// The node is in it.
    Member,
    /// The others went on without it, and it does not know. Of the order it got no more than `heard`.
    Evicted { heard: u8 },
    /// The node knows that it is outside, and refuses every statement with error 1047.
    NonPrimary,
}

/// The write sets that passed certification, in the order that all members agree on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct History {
    sets: [WriteSet; ORDERED],
    len: u8,
}

impl History {
    pub(crate) fn len(&self) -> u8 {
        self.len
    }

    pub(crate) fn write_sets(&self) -> &[WriteSet] {
        &self.sets[..usize::from(self.len)]
    }

    pub(crate) fn push(&mut self, set: WriteSet) {
        self.sets[usize::from(self.len)] = set;
        self.len += 1;
    }

    /// How often the table of tokens has `token`.
    pub(crate) fn count(&self, token: u8) -> usize {
        self.write_sets().iter().filter(|set| set.token == token).count()
    }
}

/// Writes of a committed transaction.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct WriteSet {
    /// The token that was inserted, or 0.
    pub(crate) token: u8,
    /// The new value of the fence, or 0 if it was not written.
    pub(crate) fence: u8,
}

/// The statements of a transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Work {
    /// The body: INSERT this token. 0 for none.
    pub(crate) token: u8,
    /// The fence: UPDATE … SET seq = `to` WHERE seq = `from`.
    pub(crate) from: u8,
    /// 0 for no fence.
    pub(crate) to: u8,
}

impl Work {
    pub(crate) const NONE: Self = Self { token: 0, from: 0, to: 0 };
}

/// A link, mostly as its node sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Link {
    pub(crate) node: u8,
    pub(crate) work: Work,
    pub(crate) stage: Stage,
    /// The answer that is on its way back to the session.
    pub(crate) answer: Option<Answer>,
}

impl Link {
    pub(crate) fn to(node: usize, work: Work, stage: Stage) -> Self {
        let node = u8::try_from(node).unwrap_or(u8::MAX);
        Self { node, work, stage, answer: None }
    }

    pub(crate) fn node(&self) -> usize {
        usize::from(self.node)
    }

    /// The link after the session has asked for something else.
    pub(crate) fn asks(self, work: Work, stage: Stage) -> Self {
        let stage = if self.stage == Stage::Reset { Stage::Reset } else { stage };
        Self { node: self.node, work, stage, answer: None }
    }

    /// Whether its transaction has the row of the fence locked.
    pub(crate) fn locks_fence(&self) -> bool {
        use Stage::{CommitAsked, Open, Ordered, Sent};
        match self.stage {
            Open { matched, .. } | CommitAsked { matched, .. } | Sent { matched, .. } => {
                matched && self.work.to != 0
            }
            Ordered { .. } => self.work.to != 0,
            _ => false,
        }
    }
}

/// How far a node is with what it was asked on a link. `saw` is how much of the order the node had applied
/// when the fence was written, `matched` whether the fence found its row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Stage {
    /// Body and fence are in the node's socket.
    Asked,
    /// The body has failed and its transaction is gone, but the fence is still in the socket.
    FenceLeft,
    /// Body and fence are executed; the transaction is open.
    Open { saw: u8, matched: bool },
    /// The open transaction was rolled back, because the node applied a write set that conflicts with it.
    Aborted,
    /// COMMIT is in the node's socket.
    CommitAsked { saw: u8, matched: bool },
    /// The write set is on its way to the group.
    Sent { saw: u8, matched: bool },
    /// The write set is committed, as number `at` of the order, but this node has not got there yet.
    Ordered { at: u8 },
    /// The transaction will not be committed, and the node has yet to say so.
    Failed,
    /// A read of the fence is in the node's socket.
    ReadAsked,
    /// The node waits until it has applied `upto` write sets, then reads.
    ReadWaiting { upto: u8 },
    /// Nothing more is asked.
    Over,
    /// The node has died, and the link is reset.
    Reset,
}

/// A node's reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Answer {
    /// Body and fence are done; the fence matched one row, or none.
    Executed { matched: bool },
    /// OK for a COMMIT.
    Committed,
    /// 1047, 1180, 1213.
    Error,
    /// 1062: the token is there already.
    Duplicate,
    /// 1205: somebody else has the row of the fence locked.
    LockTimeout,
    /// The value of the fence.
    Fence(u8),
}

/// One of the links.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Which {
    /// The session's.
    Own,
    /// One that it gave up.
    Ghost(usize),
}

/// The proxy's side.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Session {
    /// The token in hand, or the next one if there is none.
    pub(crate) token: u8,
    /// The value of the fence before the transaction in hand. The transaction makes it one more.
    pub(crate) base: u8,
    pub(crate) pending: Pending,
    pub(crate) phase: Phase,
    /// The tokens of which the client was told "committed".
    pub(crate) acknowledged: Tokens,
    /// The tokens of which the client was told "rolled back".
    pub(crate) refused: Tokens,
}

/// The task that the session still has to bring to an end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Pending {
    /// The session owes nobody an answer.
    Nothing,
    /// The client's transaction.
    Token,
    /// Moving the fence past what a ghost of the client's transaction could write.
    Burn,
}

/// The event that the session waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Phase {
    /// The client.
    Ready,
    /// The reply to body and fence.
    Executing,
    /// The reply to COMMIT.
    Committing,
    /// The value of the fence.
    Reading,
    /// The end of the causal wait on a new link.
    Restoring,
    /// A usable node.
    Lost,
}

/// A set of tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Tokens(u8);

impl Tokens {
    pub(crate) fn insert(&mut self, token: u8) {
        self.0 |= 1 << token;
    }

    pub(crate) fn iter(self) -> impl Iterator<Item = u8> {
        (1..8).filter(move |token| self.0 & (1 << token) != 0)
    }
}

/// A node's name in a list of steps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Name(pub(crate) u8);

impl Name {
    pub(crate) fn of(node: usize) -> Self {
        Self(u8::try_from(node).unwrap_or(u8::MAX))
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", char::from(b'A' + self.0))
    }
}
