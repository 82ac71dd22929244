//! The fence: one row of a session in the cluster, which tells whether its last transaction was
//! committed, and keeps a ghost from committing it too.
//!
//! A transaction that wrote also sets `seq` of its session from N-1 to N, before its COMMIT. If the
//! reply to the COMMIT is lost, `seq` tells the outcome: N, it was committed; N-1, it was not, or not
//! yet. In the second case it is done again, with the same change of the same row, so that Galera's
//! certification lets one of the two commit and never both.
//!
//! A session borrows its row, a [`Slot`], from the [`FencePool`] of the daemon, and has it from its
//! beginning: a row that another session changed after the snapshot of a transaction is refused to it
//! (error 1020, where `innodb_snapshot_isolation` is on). One that is needed in place of it is new. A
//! slot goes back only when the outcome of all that was sent with it is known: else a ghost could commit
//! in another session's name. Rows are named anew at each start of the daemon, for the same reason.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Where fences are kept and lent out.
#[derive(Debug)]
pub(crate) struct FencePool {
    /// `schema`.`fence`, quoted.
    table: String,
    /// Identifier of this run of the daemon, in hexadecimal.
    instance: String,
    next: AtomicU64,
    free: Mutex<Vec<Slot>>,
    /// All times count from here.
    start: Instant,
    /// By name: each has rights of its own.
    accounts: Mutex<HashMap<Vec<u8>, Arc<Account>>>,
    /// When the table had no column for replies, as [`Account::missed`] counts it.
    replies_missed: AtomicU64,
}

/// One row, and what is known of it.
#[derive(Debug)]
struct Slot {
    name: String,
    /// The number of transactions committed under it; 0: there is no row yet.
    seq: u64,
    /// Numbers above `seq` that may have been committed unseen, by a procedure for one.
    unseen: u64,
    /// How often the transaction was sent anew with other contents, while a COMMIT was in doubt. Each has another number.
    anew: u64,
}

impl Slot {
    /// The number that the transaction sets as it was sent first.
    fn first(&self) -> u64 {
        self.seq + self.unseen + 1
    }

    /// The number that the next transaction sets.
    fn next(&self) -> u64 {
        self.first() + self.anew
    }

    /// Whether there is no row yet.
    fn is_new(&self) -> bool {
        self.seq == 0 && self.unseen == 0
    }

    /// The condition that the row is as it was left.
    fn is_left(&self) -> String {
        let Self { seq, unseen, .. } = self;
        match unseen {
            0 => format!("seq={seq}"),
            _ => format!("seq BETWEEN {seq} AND {}", seq + unseen),
        }
    }

    /// The condition that the row is as it was left, or has the next number.
    fn is_left_or_set(&self) -> String {
        let Self { seq, unseen, .. } = self;
        match unseen {
            _ if self.anew > 0 => format!("({} OR seq={})", self.is_left(), self.next()),
            0 => format!("seq IN ({seq}, {})", self.next()),
            _ => format!("seq BETWEEN {seq} AND {}", self.next()),
        }
    }
}

/// Whether an account can write fences.
#[derive(Debug, Default)]
struct Account {
    /// When it could not, in milliseconds since the start of the pool; 0: never.
    missed: AtomicU64,
}

impl FencePool {
    /// The pool of the table `fence` in `schema`, which is a plain name. No other process may have the same `instance`:
    /// a random number.
    pub(crate) fn new(schema: &str, instance: u64) -> Self {
        Self {
            table: format!("`{schema}`.`fence`"),
            instance: format!("{instance:016x}"),
            next: AtomicU64::new(1),
            free: Mutex::default(),
            start: Instant::now(),
            accounts: Mutex::default(),
            replies_missed: AtomicU64::new(0),
        }
    }

    /// Whether something that was missing at `moment` is to be tried now.
    fn is_worth_a_try(&self, moment: &AtomicU64) -> bool {
        let missed = moment.load(Ordering::Relaxed);
        missed == 0 || self.now().saturating_sub(missed) > TRIED_AGAIN.as_millis() as u64
    }

    fn account(&self, name: &[u8]) -> Arc<Account> {
        let mut accounts = self.accounts.lock().unwrap_or_else(PoisonError::into_inner);
        match accounts.get(name) {
            Some(account) => Arc::clone(account),
            None => Arc::clone(accounts.entry(name.to_vec()).or_default()),
        }
    }

    fn now(&self) -> u64 {
        self.start.elapsed().as_millis() as u64
    }

    fn take(&self) -> Slot {
        let free = self.free.lock().unwrap_or_else(PoisonError::into_inner).pop();
        free.unwrap_or_else(|| self.new_slot())
    }

    /// A slot that nobody has had.
    fn new_slot(&self) -> Slot {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        Slot { name: format!("{}-{number}", self.instance), seq: 0, unseen: 0, anew: 0 }
    }

    fn give(&self, slot: Slot) {
        self.free.lock().unwrap_or_else(PoisonError::into_inner).push(slot);
    }
}

/// A value that cannot be had: error 1690 where it is needed, in every `sql_mode`, and nothing where it is not. Seen on
/// MariaDB 10.11.
const FAILS: &str = "~0+1";

/// Carries the counts of the client's write to the fence, which is another statement.
const COUNTS: &str = "@ido_proxy";

/// After how long an account that had no fence tries again.
const TRIED_AGAIN: Duration = Duration::from_secs(10);

/// The fence of one session.
#[derive(Debug)]
pub(crate) struct Fence {
    pool: Arc<FencePool>,
    /// Whose session it is; none of one that never writes.
    account: Option<Arc<Account>>,
    slot: Option<Slot>,
    /// Whether a statement has named the row: none has to be read before.
    named: bool,
    state: FenceState,
    /// Whether a COMMIT was sent whose outcome is not known yet.
    commit: CommitState,
    /// A link was lost since the last COMMIT: its transaction may still come.
    haunted: bool,
}

/// State of the fence within the open transaction.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
enum FenceState {
    /// Nothing.
    #[default]
    Unset,
    /// The transaction has set the fence.
    Set,
    /// The transaction has set the fence, and may have undone that since (`ROLLBACK TO SAVEPOINT`).
    Unsure,
}

/// Whether a COMMIT is on its way.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
enum CommitState {
    /// The outcome of each is known.
    #[default]
    NotSent,
    /// The row tells the outcome.
    Sent,
    /// The row tells the outcome, and the counts of the reply to the write before it.
    SentWithReply,
}

/// Counts of the reply to a write, as the fence has kept them.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct KeptReply {
    /// Rows that were changed.
    pub(crate) affected_rows: u64,
    /// Number of warnings.
    pub(crate) warnings: u16,
    /// Value of `LAST_INSERT_ID()` behind the write.
    pub(crate) last_insert_id: u64,
}

/// Outcome of a COMMIT in doubt, as the row tells it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Outcome {
    /// The transaction was committed.
    Committed,
    /// The transaction was committed as it was before it was sent anew, for the time of this number: 0 is the first.
    CommittedBefore(usize),
    /// The transaction was not committed, and no longer can be once the same is done again.
    NotCommitted,
    /// Somebody else changed or removed the row: nothing can be said.
    Unclear,
}

impl Fence {
    /// The fence of a session of `account` that has not written yet.
    pub(crate) fn new(pool: Arc<FencePool>, account: &[u8]) -> Self {
        let account = Some(pool.account(account));
        let (state, commit, haunted) = (FenceState::Unset, CommitState::NotSent, false);
        // Taken now, the row is not changed by others once a transaction of the session has a snapshot.
        let slot = Some(pool.take());
        Self { pool, account, slot, named: false, state, commit, haunted }
    }

    /// The fence of a session that never writes: it cannot be used.
    pub(crate) fn none() -> Self {
        let mut fence = Self::new(Arc::new(FencePool::new("", 0)), b"");
        fence.account = None;
        fence.slot = None;
        fence
    }

    /// Whether it can be used, as far as is known. An account that could not write it tries again after a while:
    /// somebody may have run `ido-proxy setup`.
    pub(crate) fn is_available(&self) -> bool {
        let Some(account) = &self.account else { return false };
        self.pool.is_worth_a_try(&account.missed)
    }

    /// Whether a frame of one text may be used: the outcome of all before is known, and the table keeps replies.
    pub(crate) fn may_frame(&self) -> bool {
        self.is_available()
            && self.is_ours_alone()
            && self.state == FenceState::Unset
            && self.pool.is_worth_a_try(&self.pool.replies_missed)
    }

    /// The table has no column for replies: it was made by an older version.
    pub(crate) fn mark_replies_missing(&mut self) {
        self.state = FenceState::Unset;
        self.pool.replies_missed.store(self.pool.now().max(1), Ordering::Relaxed);
    }

    /// Whether the open transaction has set it already.
    pub(crate) fn is_set(&self) -> bool {
        self.state == FenceState::Set
    }

    /// Whether a COMMIT was sent whose outcome is not known yet.
    pub(crate) fn is_in_doubt(&self) -> bool {
        self.commit != CommitState::NotSent
    }

    /// The statement that sets it. [`Self::matches`] says of its reply whether the transaction may be committed.
    pub(crate) fn statement(&mut self) -> String {
        let sets_again = self.sets_again();
        let table = &self.pool.table;
        self.named = true;
        let slot = self.slot.get_or_insert_with(|| self.pool.new_slot());
        let (name, next) = (&slot.name, slot.next());
        let insert = format!("INSERT INTO {table} (session, seq) VALUES ('{name}', {next})");
        if sets_again {
            // Whether the row has the old number or the new one, this transaction made it so. Any other is an error.
            let fits = slot.is_left_or_set();
            return format!("{insert} ON DUPLICATE KEY UPDATE seq=IF({fits}, {next}, {FAILS})");
        }
        let left = slot.is_left();
        match slot.seq {
            0 if slot.is_new() => insert,
            0 => format!("{insert} ON DUPLICATE KEY UPDATE seq=IF({left}, {next}, {FAILS})"),
            _ => format!("UPDATE {table} SET seq={next} WHERE session='{name}' AND {left}"),
        }
    }

    /// The statement that sets it in one text with the COMMIT. It fails, and so stops the text, where the row is not as it
    /// was left or no transaction is open: one that Galera has aborted must not leave a fence that says it was committed.
    pub(crate) fn checked_statement(&mut self) -> String {
        let sets_again = self.sets_again();
        let table = &self.pool.table;
        self.named = true;
        let slot = self.slot.get_or_insert_with(|| self.pool.new_slot());
        let (name, next) = (&slot.name, slot.next());
        let insert = format!(
            "INSERT INTO {table} (session, seq) VALUES ('{name}', IF(@@in_transaction, {next}, {FAILS}))"
        );
        // A ROLLBACK TO SAVEPOINT may have undone it: the row has the old number or the new one.
        let fits = if sets_again { slot.is_left_or_set() } else { slot.is_left() };
        if slot.is_new() && !sets_again {
            return insert;
        }
        format!(
            "{insert} ON DUPLICATE KEY UPDATE seq=IF(@@in_transaction AND {fits}, {next}, {FAILS})"
        )
    }

    /// The statement that sets it in a frame of one text, where it also keeps the counts of the client's reply. It fails,
    /// and so stops the text, where [`Self::checked_statement`] does.
    pub(crate) fn framed_statement(&mut self) -> String {
        let table = &self.pool.table;
        self.named = true;
        let slot = self.slot.get_or_insert_with(|| self.pool.new_slot());
        let (name, next, left) = (&slot.name, slot.next(), slot.is_left());
        let insert = format!(
            "INSERT INTO {table} (session, seq, reply) VALUES ('{name}', IF(@@in_transaction, {next}, {FAILS}), \
             CONCAT_WS(' ', {next}, {COUNTS}, LAST_INSERT_ID()))"
        );
        if slot.is_new() {
            return insert;
        }
        format!(
            "{insert} ON DUPLICATE KEY UPDATE seq=IF(@@in_transaction AND {left}, {next}, {FAILS}), \
             reply=VALUES(reply)"
        )
    }

    /// The statements between the client's write and [`Self::framed_statement`]. The first one fails where the
    /// transaction is gone, or where the write has failed and was sent in one flight with this. The second one reads the list of warnings, which the first has left, since it touches no
    /// table, and the fence will clear.
    pub(crate) fn check() -> String {
        format!(
            "SET {COUNTS}=IF(@@in_transaction AND @@error_count=0, \
             CONCAT_WS(' ', ROW_COUNT(), @@warning_count), {FAILS});SHOW WARNINGS"
        )
    }

    /// A COMMIT goes out in one text with the statement that sets it.
    pub(crate) fn setting_and_committing(&mut self, keeps_reply: bool) {
        self.commit = if keeps_reply { CommitState::SentWithReply } else { CommitState::Sent };
    }

    /// The text stopped in front of its COMMIT.
    pub(crate) fn was_not_reached(&mut self) {
        if !self.haunted {
            self.commit = CommitState::NotSent;
        }
    }

    /// A statement may have committed the transaction, and begun another one. The reply came, so no ghost can: another
    /// row is as good a proof.
    pub(crate) fn renew(&mut self) {
        if self.is_in_doubt() && !self.haunted {
            self.discard();
            self.commit = CommitState::NotSent;
        }
    }

    /// Whether it is set by an OK reply to [`Self::statement`] with so many affected rows.
    pub(crate) fn matches(&self, affected: u64) -> bool {
        affected >= 1 || self.sets_again()
    }

    /// Whether the open transaction may have set it before, and nobody else can have.
    fn sets_again(&self) -> bool {
        self.state != FenceState::Unset && !self.haunted
    }

    /// Whether no COMMIT was sent that might still change it.
    pub(crate) fn is_ours_alone(&self) -> bool {
        !self.haunted && !self.is_in_doubt()
    }

    /// The row, if a statement has named it.
    fn row(&self) -> Option<&Slot> {
        self.slot.as_ref().filter(|_| self.named)
    }

    /// The statement that reads it, if there is anything to be read.
    pub(crate) fn query(&self) -> Option<String> {
        let Slot { name, .. } = self.row()?;
        let columns = match self.commit {
            CommitState::SentWithReply => "seq, reply",
            CommitState::NotSent | CommitState::Sent => "seq",
        };
        Some(format!("SELECT {columns} FROM {} WHERE session='{name}'", self.pool.table))
    }

    /// Notes that the open transaction has set the fence.
    pub(crate) fn was_set(&mut self) {
        self.state = FenceState::Set;
    }

    /// The open transaction may have undone a part of what it did.
    pub(crate) fn unsettle(&mut self) {
        if self.state == FenceState::Set {
            self.state = FenceState::Unsure;
        }
    }

    /// A COMMIT is about to be sent.
    pub(crate) fn committing(&mut self) {
        if self.is_set() && !self.is_in_doubt() {
            self.commit = CommitState::Sent;
        }
    }

    /// The transaction was committed.
    pub(crate) fn committed(&mut self) {
        if (self.state != FenceState::Unset || self.is_in_doubt())
            && let Some(slot) = &mut self.slot
        {
            (slot.seq, slot.unseen, slot.anew) = (slot.next(), 0, 0);
        }
        self.haunted = false;
        self.rolled_back();
    }

    /// The transaction will be sent anew, with other contents, while a COMMIT of it is in doubt: the number that is read
    /// tells which of them was committed.
    pub(crate) fn sent_anew(&mut self) {
        if let Some(slot) = &mut self.slot {
            slot.anew += 1;
        }
    }

    /// The transaction was committed as [`Outcome::CommittedBefore`] says.
    pub(crate) fn committed_before(&mut self, number: usize) {
        if let Some(slot) = &mut self.slot {
            slot.anew = number as u64;
        }
        self.committed();
    }

    /// The transaction was committed or rolled back, and nobody knows which. If it may have set the fence, another row is as
    /// good a proof.
    pub(crate) fn ended_unseen(&mut self) {
        if self.haunted {
            return self.committed();
        }
        if self.state != FenceState::Unset || self.is_in_doubt() {
            self.discard();
        }
        self.rolled_back();
    }

    /// A statement that nobody looks into was done in the open transaction. It may have committed that, and begun the one
    /// that is open now: what was set is no proof of this one, which is to set another number.
    pub(crate) fn may_be_committed(&mut self) {
        if self.state == FenceState::Unset {
            return;
        }
        if self.is_in_doubt() || self.haunted {
            return self.discard();
        }
        if let Some(slot) = &mut self.slot {
            slot.unseen += 1;
        }
        self.state = FenceState::Unset;
    }

    /// The transaction was rolled back, and nothing of it can come back.
    pub(crate) fn rolled_back(&mut self) {
        self.state = FenceState::Unset;
        self.commit = CommitState::NotSent;
        if let Some(slot) = self.slot.as_mut().filter(|_| !self.haunted) {
            slot.anew = 0;
        }
    }

    /// The transaction is to be done again, and will set it again.
    pub(crate) fn undone(&mut self) {
        self.state = FenceState::Unset;
    }

    /// The link is lost: what was sent there may still be committed.
    pub(crate) fn haunt(&mut self) {
        self.haunted |= self.is_in_doubt();
    }

    /// Outcome of the transaction in doubt, by the number that was read; `None`: there is no row.
    pub(crate) fn outcome(&self, read: Option<u64>) -> Outcome {
        let Some(slot) = self.row() else { return Outcome::NotCommitted };
        match read.unwrap_or_default() {
            read if read == slot.next() => Outcome::Committed,
            read if (slot.seq..slot.first()).contains(&read) => Outcome::NotCommitted,
            read if (slot.first()..slot.next()).contains(&read) => {
                Outcome::CommittedBefore((read - slot.first()) as usize)
            }
            _ => Outcome::Unclear,
        }
    }

    /// The reply that the row has kept of the transaction in doubt, if it is that transaction's.
    pub(crate) fn kept_reply(&self, kept: &[u8]) -> Option<KeptReply> {
        let next = self.row()?.next();
        let mut numbers = std::str::from_utf8(kept).ok()?.split(' ').map(str::parse::<u64>);
        let mut number = || numbers.next()?.ok();
        (number()? == next).then_some(())?;
        let (affected_rows, warnings) = (number()?, number()?.try_into().ok()?);
        Some(KeptReply { affected_rows, warnings, last_insert_id: number()? })
    }

    /// Gives its row up: somebody else has changed it.
    pub(crate) fn discard(&mut self) {
        self.slot = None;
        self.named = false;
        self.state = FenceState::Unset;
    }

    /// The table is missing, or the account may not write it. Returns whether that is news.
    pub(crate) fn mark_missing(&mut self) -> bool {
        self.state = FenceState::Unset;
        let now = self.pool.now().max(1);
        self.account.as_ref().is_some_and(|own| own.missed.swap(now, Ordering::Relaxed) == 0)
    }
}

impl Drop for Fence {
    fn drop(&mut self) {
        if let Some(slot) = self.slot.take()
            && self.is_ours_alone()
            && self.state == FenceState::Unset
        {
            self.pool.give(slot);
        }
    }
}

#[cfg(test)]
mod tests;
