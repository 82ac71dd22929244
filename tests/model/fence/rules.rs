//! The rules a session keeps, each of which a test can take away.

/// How a session makes a transaction survive its node.
///
/// [`Rules::SOUND`] is what the proxy does. A test takes away one rule or changes one field, and shows what
/// breaks.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rules {
    /// Rules that are not kept, a bit for each.
    pub(crate) broken: u8,
    /// Where the fence is written.
    pub(crate) fence: Fence,
    /// When COMMIT is sent.
    pub(crate) commit: Commit,
    /// How body and fence are put on the wire.
    pub(crate) framing: Framing,
    /// Reaction to a transaction in doubt that cannot be replayed.
    pub(crate) giving_up: GivingUp,
}

/// A rule that is kept or not.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Rule {
    /// On a new link, wait until the node applied everything that is ordered so far.
    CausalWait,
    /// Read the fence before a replay, to learn whether one is needed.
    ReadBeforeReplay,
    /// A replay writes the fence too, not only the first attempt.
    FenceInReplay,
    /// No COMMIT unless the fence matched its one row.
    MatchedRowsChecked,
    /// A fence that matched no row says only that this attempt is over: read it to learn why.
    /// Otherwise it is taken for "an earlier attempt committed".
    ZeroRowsProveNothing,
    /// An error for a COMMIT is answered by reading the fence. Otherwise it is passed on to the client.
    ErrorsProveNothing,
    /// A replay whose body is answered differently is followed by a read of the fence, since the difference may
    /// be the work of a ghost. Otherwise the client is told "rolled back".
    DifferencesProveNothing,
    /// A fence that waits in vain for its row's lock, error 1205, makes the session try another node.
    MovesOnAtLockTimeout,
}

impl Rules {
    /// The rules that hold in every interleaving.
    pub(crate) const SOUND: Self = Self {
        broken: 0,
        fence: Fence::Inside,
        commit: Commit::AfterReply,
        framing: Framing::Batch,
        giving_up: GivingUp::BurnFirst,
    };

    /// All of these rules but one.
    pub(crate) const fn without(self, rule: Rule) -> Self {
        Self { broken: self.broken | 1 << rule as u8, ..self }
    }

    /// Whether the session keeps `rule`.
    pub(crate) const fn keep(self, rule: Rule) -> bool {
        self.broken & 1 << rule as u8 == 0
    }
}

/// Where the fence is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fence {
    /// In the client's transaction: both commit, or neither does.
    Inside,
    /// In a transaction of its own, before the client's.
    Before,
    /// In a transaction of its own, after the client's.
    After,
}

/// When COMMIT is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Commit {
    /// Once the reply to body and fence is here.
    AfterReply,
    /// Right behind body and fence. Whatever the fence matched, the node commits.
    Behind,
    /// Right behind them and in the same batch, with a fence that fails where it matches no row: the
    /// error ends the batch, and the node itself refuses to commit.
    BehindFailingFence,
}

/// How body and fence are put on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Framing {
    /// One batch: an error in the body ends it.
    Batch,
    /// Commands sent without waiting, after BEGIN. If the body fails with 1213, the transaction is gone
    /// and the fence behind it runs in autocommit mode.
    Commands,
    /// Commands sent without waiting, after `SET autocommit=0` instead of BEGIN. Such a fence opens a transaction,
    /// which is rolled back before anything else is sent. (A BEGIN instead of the ROLLBACK would commit it.)
    CommandsWithoutAutocommit,
}

/// Reaction to a transaction in doubt that is not replayed: its journal is too big, its replies differ,
/// or its client has gone and the slot shall serve another one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum GivingUp {
    /// The fence is moved two ahead, past what a ghost could write; only when this has committed is the client
    /// told "rolled back" and the slot used for something else.
    BurnFirst,
    /// A fence that still has its old value is taken for the proof that nothing was committed: the
    /// client is told "rolled back" at once.
    TellAtOnce,
    /// Nobody is told, since the client has gone; the next session takes the slot over at once.
    ReuseAtOnce,
}
