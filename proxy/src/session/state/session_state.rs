//! State that a session carries from link to link: its variables, its open transaction and its fence.

use std::sync::Arc;

use ido_proxy_protocol::Violation;
use ido_proxy_protocol::capabilities::Capabilities;
use ido_proxy_protocol::ok::{self, OkPacket};
use ido_proxy_protocol::session_state::{self, Change};
use ido_proxy_protocol::status::StatusFlags;

use crate::session::plan::blocker::Blocker;
use crate::session::plan::{Current, FenceUse, GuardUse, Scene, Texts, Unguarding};
use crate::session::state::fence::Fence;
use crate::session::state::guard::Guard;
use crate::session::state::journal::record::Record;
use crate::session::state::journal::store::Store;
use crate::session::state::reserved_ids::ReservedIds;
use crate::session::state::settings::{SessionSettings, State};
use crate::session::state::several::Several;
use crate::session::state::transaction::Transaction;

/// All of it.
#[derive(Debug)]
pub(crate) struct SessionState {
    /// Variables, default database, prepared statements.
    pub(crate) settings: SessionSettings,
    /// The open transaction, as the client knows it.
    pub(crate) transaction: Transaction,
    /// Records of the statements done in the open transaction.
    pub(crate) journal: Store,
    /// How many records there are.
    pub(crate) records: u64,
    /// How many transactions have ended.
    pub(crate) ended: u64,
    /// The ids that were generated in it, and told.
    told_ids: Vec<u64>,
    /// Ids that are not to be had now.
    pub(crate) reserved: Arc<ReservedIds>,
    /// The proof of its COMMIT.
    pub(crate) fence: Fence,
    /// Guard against a transaction that is done in part.
    pub(crate) guard: Guard,
    /// Whether the link takes several statements in one text.
    pub(crate) several: Several,
    /// Counts of events on ways back.
    pub(crate) tally: Tally,
    /// The session only reads.
    reads: bool,
    /// The guard would be seen in the open transaction, or in what the client does now.
    pub(crate) unguarded: bool,
    /// Reads on the link may wait too long: its node may be behind the primary.
    pub(crate) may_lag: bool,
    /// Effects of the open transaction that would show a replay.
    pub(crate) telltale: Telltale,
    /// Why the transaction cannot be done again, if so.
    unreplayable: Option<Blocker>,
}

/// Effects of a transaction that would show a replay which nobody has asked for.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Telltale {
    /// A statement may have been given an id that no reply has told: a replay would use up another one.
    untold_id: bool,
    /// Rows were told: a replay may find others.
    pub(crate) rows: bool,
    /// Rows were told of what passes: counts and warnings of the last statement, counters and reports of the session.
    pub(crate) passing: bool,
}

/// Counts of events on ways back.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) struct Tally {
    /// Transactions done again.
    pub(crate) replays: u64,
    /// Replays that came out differently.
    pub(crate) mismatches: u64,
    /// COMMITs in doubt that had been done.
    pub(crate) committed: u64,
    /// COMMITs in doubt that had not.
    pub(crate) undone: u64,
    /// COMMITs in doubt of which nothing is known.
    pub(crate) unknown: u64,
    /// Transactions that cannot be done again, should their node fail.
    pub(crate) unreplayable: u64,
}

impl SessionState {
    /// State of a client that has just logged in.
    pub(crate) fn new(settings: SessionSettings, journal: Store, fence: Fence) -> Self {
        Self {
            settings,
            transaction: Transaction::default(),
            journal,
            records: 0,
            ended: 0,
            told_ids: Vec::new(),
            reserved: Arc::default(),
            fence,
            guard: Guard::default(),
            several: Several::default(),
            tally: Tally::default(),
            reads: false,
            unguarded: false,
            may_lag: false,
            telltale: Telltale::default(),
            unreplayable: None,
        }
    }

    /// Turns it into the state of a client that only reads: nothing of ours is ever written for it.
    pub(crate) fn reading(self) -> Self {
        Self { reads: true, fence: Fence::none(), ..self }
    }

    /// State that the plan of the next command depends on.
    pub(crate) fn scene(&self) -> Scene {
        Scene {
            dialect: self.settings.dialect(),
            texts: match self.takes_several() {
                _ if self.settings.multi() => Texts::Several,
                true => Texts::Joined,
                false => Texts::Single,
            },
            autocommit: self.settings.autocommit(),
            chains: self.settings.chains(),
            transaction: match self.transaction.is_open() {
                false => Current::Nothing,
                true if self.transaction.is_dirty() && !self.reads => Current::Written,
                true => Current::Clean,
            },
            fence: match self.fence.is_available() {
                false => FenceUse::Missing,
                // Statements of ours would be in the list.
                true if self.settings.lists_statements() => FenceUse::InTheWay,
                true if self.settings.unmovable().is_some() => FenceUse::InTheWay,
                true if self.settings.next_is_read_only() => FenceUse::InTheWay,
                true => FenceUse::Usable,
            },
            guard: match self.guard.is_available() && self.settings.autocommit() {
                false => GuardUse::Never,
                true if self.unguarded => GuardUse::Seen,
                true => GuardUse::Free,
            },
        }
    }

    /// Whether the link takes several statements in one text now.
    pub(crate) fn takes_several_now(&self) -> bool {
        self.several.is_on_for(self.settings.multi())
    }

    /// Whether the link takes several statements in one text, unless it was told otherwise for a while.
    pub(crate) fn takes_several(&self) -> bool {
        self.several.is_usual() || self.settings.multi()
    }

    /// Takes in the flags of an OK packet, and its report, if it has one. Returns the default database
    /// if that has changed.
    ///
    /// # Errors
    /// It cannot be read.
    pub(crate) fn learn_ok(
        &mut self,
        payload: &[u8],
        status: StatusFlags,
        reports: bool,
        link: Capabilities,
    ) -> Result<Option<Vec<u8>>, Violation> {
        self.transaction.learn_status(status);
        self.settings.learn_status(self.guard.unguarded(status));
        self.settings.learn_insert_id(ok::last_insert_id(payload)?);
        let mut schema = None;
        if reports {
            let packet = OkPacket::decode(payload, link)?;
            for change in session_state::changes(packet.session_state) {
                let change = change?;
                match change {
                    Change::TransactionState(state) => {
                        self.transaction.learn_state(state);
                        let reasons = self.settings.reasons_mut();
                        if state.locked_tables() {
                            reasons.insert(Blocker::LockedTables);
                        } else {
                            reasons.remove(Blocker::LockedTables);
                        }
                        if state.is_open() && state.wrote_unsafe() {
                            self.cannot_replay(Blocker::UnsafeWrite);
                        }
                    }
                    Change::Schema(name) => schema = Some(name.to_vec()),
                    _ => {}
                }
                self.learn_change(change);
            }
        }
        Ok(schema)
    }

    /// Takes in the report of an OK packet behind the end of a transaction that nobody was told: what was set is
    /// set, though all is done again.
    ///
    /// # Errors
    /// It cannot be read.
    pub(crate) fn learn_settings(
        &mut self,
        payload: &[u8],
        link: Capabilities,
    ) -> Result<(), Violation> {
        let packet = OkPacket::decode(payload, link)?;
        self.settings.learn_insert_id(packet.last_insert_id);
        for change in session_state::changes(packet.session_state) {
            if let change @ (Change::SystemVariable(..) | Change::Schema(_)) = change? {
                self.learn_change(change);
            }
        }
        Ok(())
    }

    /// Takes in the value of a variable that was asked for.
    pub(crate) fn learn_variable(&mut self, name: &[u8], value: &[u8]) {
        self.learn_change(Change::SystemVariable(name, value));
    }

    fn learn_change(&mut self, change: Change<'_>) {
        match change {
            // A change made by a function is not set on the next link.
            Change::SystemVariable(b"tx_read_only" | b"transaction_read_only", _) if self.reads => {
            }
            // The guard changed autocommit: the client sets its own only where the link is not guarded.
            Change::SystemVariable(b"autocommit", _) if self.guard.is_on() => {}
            change => self.settings.learn(change),
        }
    }

    /// Takes in the flags at the end of rows.
    pub(crate) fn learn_rows(&mut self, status: StatusFlags) {
        self.transaction.learn_rows(status);
        self.settings.learn_status(self.guard.unguarded(status));
    }

    /// The open transaction cannot be done again. The first reason is kept.
    /// Returns whether this is the first.
    pub(crate) fn cannot_replay(&mut self, reason: Blocker) -> bool {
        let first = self.unreplayable.is_none();
        if first {
            tracing::info!(%reason, "the open transaction is not replayable, should its node fail");
            self.unreplayable = Some(reason);
            self.tally.unreplayable += 1;
        }
        first
    }

    /// No transaction is open: the next one can be done again.
    pub(crate) fn forget_unreplayable(&mut self) {
        self.unreplayable = None;
    }

    /// Why the session cannot go on at another node, if so.
    pub(crate) fn stuck(&self) -> Option<Blocker> {
        self.settings.unmovable().or_else(|| self.unreplayable())
    }

    /// `LAST_INSERT_ID()` may have been changed, and no reply tells to what.
    pub(crate) fn hide_insert_id(&mut self) {
        self.settings.hide_insert_id();
        self.untold_id();
    }

    /// Nothing was told in the transaction that may begin now.
    pub(crate) fn forget_untold(&mut self) {
        self.telltale = Telltale::default();
    }

    /// A statement of the open transaction may have been given an id that no reply has told.
    pub(crate) fn untold_id(&mut self) {
        self.telltale.untold_id = true;
    }

    /// Whether the open transaction can be done again without the guard, on the same link, for nothing but to hide that: an
    /// id that no reply has told would be another one, and what was set for the first time stays set.
    ///
    /// Rows may be others by now. Only who looks at the mode would surely see the guard, and not who calls a procedure.
    pub(crate) fn may_unguard(&self, why: Unguarding) -> bool {
        let now = self.settings.now();
        let begun = self.settings.begun().unwrap_or(&now);
        let Telltale { untold_id, rows, passing } = self.telltale;
        let alike = match why {
            Unguarding::Looks => !passing,
            Unguarding::Works => !rows,
        };
        self.stuck().is_none() && alike && !untold_id && begun.can_follow(&now)
    }

    /// Why the open transaction cannot be done again, if so.
    pub(crate) fn unreplayable(&self) -> Option<Blocker> {
        self.unreplayable.filter(|_| self.transaction.is_open())
    }

    /// Keeps a command of the open transaction, which began in `state` if this is its first.
    pub(crate) fn record(&mut self, record: &Record<'_>, state: &State) {
        if self.records == 0 {
            self.settings.begin(state.clone());
        }
        self.records += 1;
        self.told_ids.extend(record.told.iter().filter_map(|told| told.generated_id()));
        if self.unreplayable.is_some() {
            return;
        }
        if let Err(overflow) = self.journal.append(&[&record.encode_head(), record.payload]) {
            tracing::warn!(%overflow, "the journal cannot take more of a transaction");
            self.cannot_replay(Blocker::JournalFull);
        }
    }

    /// Whether there is an open transaction to be done again, should the link be lost.
    pub(crate) fn has_journal(&self) -> bool {
        self.records > 0 && self.transaction.is_open()
    }

    /// The ids that the open transaction must be given again, should it be done again.
    pub(crate) fn told_ids(&self) -> &[u64] {
        &self.told_ids
    }

    /// Sets the ids that sessions of this daemon owe.
    pub(crate) fn beside(self, reserved: Arc<ReservedIds>) -> Self {
        Self { reserved, ..self }
    }

    /// The transaction was committed.
    pub(crate) fn committed(&mut self) {
        self.fence.committed();
        self.end();
    }

    /// A transaction is open behind a statement that might have committed it. Without autocommit, that may be the next
    /// one already, as behind LOCK TABLES.
    pub(crate) fn outlived(&mut self) {
        if self.settings.autocommit() {
            self.fence.was_not_reached();
        } else {
            self.fence.renew();
        }
    }

    /// The transaction has ended in what nobody looks into, a procedure for one: by a COMMIT or by a ROLLBACK.
    pub(crate) fn ended_unseen(&mut self) {
        self.fence.ended_unseen();
        self.end();
    }

    /// The transaction was rolled back.
    pub(crate) fn rolled_back(&mut self) {
        self.fence.rolled_back();
        self.end();
    }

    fn end(&mut self) {
        self.ended += 1;
        if self.records > 0 {
            self.journal.clear();
        }
        self.records = 0;
        self.told_ids = Vec::new();
        self.unreplayable = None;
        self.unguarded = false;
        self.forget_untold();
        self.transaction.end();
        self.settings.end();
    }
}
