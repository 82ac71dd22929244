//! The state that a session has set up on its link, so that another link can be set up alike: variables,
//! default database, prepared statements, and the reasons why it cannot be done.
//!
//! All but the statements comes from the server's own reports (session tracking), not from reading
//! SQL. A transaction that is to be done again must begin in the state that it began in, not in the one
//! that it led to; so that state is kept beside the present one.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, PoisonError, RwLock};

use ido_proxy_protocol::capabilities::Capabilities;
use ido_proxy_protocol::session_state::Change;
use ido_proxy_protocol::statement::{Charset, Dialect, Holding, ServerVersion, SqlMode};
use ido_proxy_protocol::status::StatusFlags;

pub(crate) use self::prepared::{LAST_STATEMENT, NO_STATEMENT, Prepared, statement_id};
use self::setup::RESULTS;
pub(crate) use self::setup::{Setup, State, assignment};
use crate::session::plan::blocker::{Blocker, Blockers};
use crate::session::plan::{DEFAULT, Untold, contains};
use crate::session::state::diagnostics::{BlockGrammar, Diagnostics};
use crate::session::state::holdings::Holdings;
use crate::session::state::reports::Reports;
use crate::session::state::text_rows::text_rows;
use crate::session::state::write_ids::WriteIds;

mod prepared;
mod setup;

/// The state of one session.
#[derive(Debug)]
pub(crate) struct SessionSettings {
    /// The state as of the last report.
    now: State,
    /// The state as of the beginning of the open transaction.
    begun: Option<State>,
    /// By the number that the client knows.
    statements: BTreeMap<u32, Prepared>,
    /// Closed by the client within the open transaction, which may have used them.
    closed: BTreeMap<u32, Prepared>,
    /// Statements on the link, by its numbers, that nobody needs any more.
    litter: Vec<u32>,
    /// Statements with an open cursor, by the numbers that the client knows.
    cursors: Vec<u32>,
    /// Why it cannot be set up elsewhere.
    holdings: Holdings,
    /// The flags of the last reply that had any.
    status: StatusFlags,
    login_charset: Charset,
    server: ServerVersion,
    /// Whether several statements may be in one text: negotiated, or set by COM_SET_OPTION.
    multi: bool,
    /// Row count and warnings of the client's last statement.
    diagnostics: Diagnostics,
    /// The reports of its link to a client that asks for nothing else.
    usual_reports: Option<Arc<Reports>>,
    /// The reports that the client has chosen.
    reports: Option<Arc<Reports>>,
    /// The client looks at what it is told, or changes it.
    shows_reports: bool,
    /// The statement that was prepared last, by the number that the client knows.
    last_statement: Option<u32>,
    /// Knowledge of the ids that writes tell.
    write_ids: WriteIds,
    /// Statements were prepared anew, so that the link's last one is not the client's.
    restored: bool,
    /// Variables that the server reports, and that nobody can set.
    readings: Arc<Readings>,
}

/// Variables that servers report as if a client had set them, and refuse to have set. `last_gtid` is one.
#[derive(Debug, Default)]
pub(crate) struct Readings(RwLock<BTreeSet<Vec<u8>>>);

impl Readings {
    fn contains(&self, name: &[u8]) -> bool {
        self.0.read().unwrap_or_else(PoisonError::into_inner).contains(name)
    }

    fn insert(&self, name: &[u8]) {
        self.0.write().unwrap_or_else(PoisonError::into_inner).insert(name.to_vec());
    }
}

impl SessionSettings {
    /// The book of a client that has just logged in.
    pub(crate) fn new(capabilities: Capabilities, collation: u8, schema: Option<Vec<u8>>) -> Self {
        Self {
            now: State::of_login(schema),
            begun: None,
            statements: BTreeMap::new(),
            closed: BTreeMap::new(),
            litter: Vec::new(),
            cursors: Vec::new(),
            holdings: Holdings::default(),
            status: StatusFlags::AUTOCOMMIT,
            login_charset: Charset::from_collation(collation.into()),
            server: ServerVersion::default(),
            multi: capabilities.contains(Capabilities::MULTI_STATEMENTS),
            diagnostics: Diagnostics::default(),
            usual_reports: None,
            reports: None,
            shows_reports: false,
            last_statement: None,
            write_ids: WriteIds::default(),
            restored: false,
            readings: Arc::default(),
        }
    }

    /// Gives the session the variables that servers report and refuse to have set.
    pub(crate) fn knowing(self, readings: Arc<Readings>) -> Self {
        Self { readings, ..self }
    }

    /// Takes in what a first link is like: the server's version, the flags of its welcome, and whether
    /// it reports at all.
    pub(crate) fn meet(&mut self, version: &[u8], tracks: bool) {
        self.server = ServerVersion::from_greeting(version);
        self.litter.clear();
        if tracks {
            self.holdings.reasons_mut().remove(Blocker::Untracked);
        } else {
            self.holdings.reasons_mut().insert(Blocker::Untracked);
        }
    }

    /// Takes in the flags of a reply.
    pub(crate) fn learn_status(&mut self, status: StatusFlags) {
        self.status = status;
        let on = status.contains(StatusFlags::AUTOCOMMIT);
        if on != self.now.autocommit && self.server.confuses_settings() {
            // The server may have reported it by the name of another.
            let value: &[u8] = if on { b"ON" } else { b"OFF" };
            self.now.setup_mut().variables.insert(b"autocommit".to_vec(), value.to_vec());
        }
        self.now.autocommit = on;
    }

    /// Puts `LAST_INSERT_ID()` back to this value: the statements since then have been undone.
    pub(crate) fn put_insert_id_back(&mut self, id: u64) {
        self.now.last_insert_id = id;
    }

    /// A row was given this id, unless it is 0. One that the client itself has chosen is told in the same way,
    /// and is not what `LAST_INSERT_ID()` says: who asks for that has let the server choose.
    pub(crate) fn learn_insert_id(&mut self, id: u64) {
        if id != 0 {
            self.now.last_insert_id = id;
            self.now.insert_id_is_hidden = false;
        }
    }

    /// `LAST_INSERT_ID()` may have been changed, and no reply tells to what.
    pub(crate) fn hide_insert_id(&mut self) {
        self.now.insert_id_is_hidden = true;
        self.write_ids.disturb();
    }

    /// Knowledge of the ids that writes tell.
    pub(crate) fn write_ids(&self) -> &WriteIds {
        &self.write_ids
    }

    /// Knowledge of the ids that writes tell, to be added to.
    pub(crate) fn write_ids_mut(&mut self) -> &mut WriteIds {
        &mut self.write_ids
    }

    /// Takes in one reported change.
    pub(crate) fn learn(&mut self, change: Change<'_>) {
        match change {
            Change::Schema(name) => {
                // Names of tables mean others from here on.
                self.write_ids.forget_tables();
                let schema = Some(name.to_vec()).filter(|name| !name.is_empty());
                self.now.setup_mut().schema = schema;
            }
            Change::SystemVariable(name, value) => self.learn_variable(name, value),
            Change::TransactionCharacteristics(sql) => {
                let sql = if sql.starts_with(b"SET TRANSACTION") { sql } else { b"" };
                if self.now.characteristics != sql {
                    self.now.setup_mut().characteristics = sql.to_vec();
                }
            }
            _ => {}
        }
    }

    /// Takes in the answer to what no report tells: the collation, and the role.
    pub(crate) fn learn_untold(&mut self, packets: &[u8]) {
        let bits = self.confused();
        let row = text_rows(packets, 2 + bits.len()).next().unwrap_or_default();
        let [collation, role, values @ ..] = &row[..] else { return };
        let (collation, role) = (*collation, *role);
        let told = bits.iter().zip(values).filter_map(|(name, value)| Some((*name, (*value)?)));
        for (name, value) in told {
            self.now.setup_mut().variables.insert(name.to_vec(), value.to_vec());
        }
        let setup = self.now.setup_mut();
        if let Some(collation) = collation {
            setup.variables.insert(b"collation_connection".to_vec(), collation.to_vec());
        }
        setup.role = Some(role.unwrap_or_default().to_vec());
    }

    /// Takes in what a statement that was done has set, by its words. The server's own answer comes later, and by then its
    /// link may be lost.
    pub(crate) fn guess_untold(&mut self, untold: Untold) {
        let Untold { collation, role } = untold;
        if let Some(collation) = collation {
            let setup = self.now.setup_mut();
            if collation == DEFAULT {
                // The server's, which need not be the one that it gives to the character set's name.
                setup.variables.remove(&b"character_set_connection"[..]);
                setup.variables.remove(&b"collation_connection"[..]);
            } else {
                setup.variables.insert(b"collation_connection".to_vec(), collation.clone());
            }
            setup.results_collation = Some(collation);
        }
        if role.is_some() {
            self.now.setup_mut().role = role;
        }
    }

    /// Undoes what a result told of the variables that its statement has set for itself alone, or for the next transaction,
    /// by the words `sets`: the server tells their values, and not that they are gone.
    pub(crate) fn put_back(&mut self, sets: &[u8], before: (State, StatusFlags)) {
        let (before, status) = before;
        let changed = self.now.variables.iter().filter(|(name, value)| {
            contains(sets, name) && before.variables.get(*name) != Some(*value)
        });
        for name in Vec::from_iter(changed.map(|(name, _)| name.clone())) {
            let variables = &mut self.now.setup_mut().variables;
            match before.variables.get(&name) {
                Some(value) => variables.insert(name, value.clone()),
                None => variables.remove(&name),
            };
        }
        if !contains(sets, b"sql_mode") {
            return;
        }
        let modes = [StatusFlags::NO_BACKSLASH_ESCAPES, StatusFlags::ANSI_QUOTES];
        for mode in modes {
            self.status.remove(mode);
            if status.contains(mode) {
                self.status = self.status | mode;
            }
        }
    }

    /// The variables of which the server reports one for another.
    ///
    /// MariaDB 11.8 keeps them in one word, and reports whichever of them it finds there first. Tried with each variable
    /// that is a truth value; 10.11 reports each by its name. Those that take a privilege to be set are left out.
    pub(crate) fn confused(&self) -> &'static [&'static [u8]] {
        if self.server.confuses_settings() { &BITS } else { &[] }
    }

    fn learn_variable(&mut self, name: &[u8], value: &[u8]) {
        if name == b"character_set_connection" {
            // The default collation of the character set, unless another one is told or asked for.
            self.now.setup_mut().variables.remove(&b"collation_connection"[..]);
        }
        if name == RESULTS && self.now.results_collation.is_some() {
            self.now.setup_mut().results_collation = None;
        }
        if name.starts_with(b"session_track_") && self.shows_reports {
            return;
        }
        if name.starts_with(b"session_track_") {
            // Ours were turned over: from here on nothing is sure to be told.
            return self.holdings.reasons_mut().insert(Blocker::Untracked);
        }
        if matches!(name, b"last_insert_id" | b"identity") {
            let id = std::str::from_utf8(value).ok().and_then(|id| id.parse().ok());
            self.now.last_insert_id = id.unwrap_or_default();
            self.now.insert_id_is_hidden = false;
        }
        if name == b"timestamp" {
            return self.holdings.reasons_mut().insert(Blocker::Timestamp);
        }
        if !MOMENTARY.contains(&name) && !self.readings.contains(name) {
            self.now.setup_mut().variables.insert(name.to_vec(), value.to_vec());
        }
    }

    /// Whether the session's time can be set (not with `secure_timestamp`).
    pub(crate) fn sets_timestamp(&self) -> bool {
        !self.readings.contains(b"timestamp")
    }

    /// A server refuses to have this variable set: it is a reading, and no setting.
    pub(crate) fn forget_variable(&mut self, name: &[u8]) {
        self.readings.insert(name);
        let closed = self.closed.values_mut().chain(self.statements.values_mut());
        let setups = closed.map(|statement| &mut statement.setup);
        setups
            .chain(&mut self.begun)
            .chain([&mut self.now])
            .for_each(|state| state.forget_variable(name));
    }

    /// Takes in what a link reports to a client that asks for nothing else.
    pub(crate) fn meet_reports(&mut self, reports: Option<Arc<Reports>>) {
        self.usual_reports = reports;
    }

    /// The client has chosen what it is told.
    pub(crate) fn choose_reports(&mut self, reports: Reports) {
        self.reports = Some(Arc::new(reports));
    }

    /// The reports that the client gets, where that is known.
    pub(crate) fn reports(&self) -> Option<&Reports> {
        self.reports.as_deref().or(self.usual_reports.as_deref())
    }

    /// The client looks at what it is told, or changes it, or has done.
    pub(crate) fn show_reports(&mut self, shows: bool) {
        self.shows_reports = shows;
    }

    /// Row count and warnings of the client's last statement.
    pub(crate) fn diagnostics(&mut self) -> &mut Diagnostics {
        &mut self.diagnostics
    }

    /// Whether the next transaction, and only that one, may not write.
    pub(crate) fn next_is_read_only(&self) -> bool {
        let sql = &self.now.characteristics;
        sql.windows(b"READ ONLY".len()).any(|words| words == b"READ ONLY")
    }

    /// Whether the client wants its reads to wait for what other nodes have committed.
    pub(crate) fn reads_causally(&self) -> bool {
        let value = self.now.variables.get(&b"wsrep_sync_wait"[..]);
        value.is_some_and(|value| value != b"0")
    }

    /// How the server reads a text now.
    pub(crate) fn dialect(&self) -> Dialect {
        let mut mode = SqlMode::from_status(self.status);
        if let Some(value) = self.now.variables.get(&b"sql_mode"[..]) {
            mode.brackets = SqlMode::from_variable(value).brackets;
        }
        let charset = match self.now.variables.get(&b"character_set_client"[..]) {
            Some(name) => Charset::from_name(name),
            None => self.login_charset,
        };
        Dialect { charset, mode, server: self.server }
    }

    /// How the server wants a block of statements to begin: `sql_mode=ORACLE` has a grammar of its own.
    pub(crate) fn block_grammar(&self) -> BlockGrammar {
        let mode = self.now.variables.get(&b"sql_mode"[..]);
        let is_oracle =
            |mode: &Vec<u8>| mode.split(|byte| *byte == b',').any(|one| one == b"ORACLE");
        if mode.is_some_and(is_oracle) { BlockGrammar::Oracle } else { BlockGrammar::MariaDb }
    }

    /// Whether each statement is a transaction of its own.
    pub(crate) fn autocommit(&self) -> bool {
        self.now.autocommit
    }

    /// Whether each COMMIT and ROLLBACK does more than its text says: `completion_type`.
    pub(crate) fn chains(&self) -> bool {
        let value = self.now.variables.get(&b"completion_type"[..]);
        value.is_some_and(|value| !matches!(&value[..], b"NO_CHAIN" | b"0"))
    }

    /// Whether each COMMIT and ROLLBACK closes the connection, unless it says otherwise.
    pub(crate) fn releases(&self) -> bool {
        let value = self.now.variables.get(&b"completion_type"[..]);
        value.is_some_and(|value| matches!(&value[..], b"RELEASE" | b"2"))
    }

    /// Whether the client sees which statements ran on its connection: in the list that `profiling` keeps, or in the
    /// counters of the session, which it has read once.
    ///
    /// Source: MariaDB documentation, "SHOW PROFILE", "SHOW STATUS".
    pub(crate) fn lists_statements(&self) -> bool {
        let value = self.now.variables.get(&b"profiling"[..]);
        value.is_some_and(|value| !matches!(&value[..], b"OFF" | b"0"))
            || self.diagnostics.are_counted()
    }

    /// Whether several statements may be in one text.
    pub(crate) fn multi(&self) -> bool {
        self.multi
    }

    /// The client turned that on or off.
    pub(crate) fn set_multi(&mut self, multi: bool) {
        self.multi = multi;
    }

    /// The last flags.
    pub(crate) fn status(&self) -> StatusFlags {
        self.status
    }

    /// The reasons that were seen why the session cannot be set up elsewhere.
    pub(crate) fn reasons_mut(&mut self) -> &mut Blockers {
        self.holdings.reasons_mut()
    }

    /// Adds what the session takes at its node with a command that it sends.
    pub(crate) fn take(&mut self, reasons: Blockers, holding: Option<&Holding>, renames: bool) {
        self.holdings.take(reasons, holding, renames);
    }

    /// The default database.
    pub(crate) fn schema(&self) -> Option<&[u8]> {
        self.now.schema.as_deref()
    }

    /// A command was done that does this.
    pub(crate) fn give(&mut self, holding: &Holding) {
        // With a limit of no rows, a SELECT calls no function.
        if !self.now.variables.contains_key(&b"sql_select_limit"[..]) {
            self.holdings.give(holding);
        }
    }

    /// Why the session cannot move, if so.
    pub(crate) fn unmovable(&self) -> Option<Blocker> {
        self.holdings.reasons().first()
    }

    /// The present state, to be given to [`Self::begin`] should what is done next open a transaction.
    pub(crate) fn now(&self) -> State {
        self.now.clone()
    }

    /// A transaction is open that began in this state.
    pub(crate) fn begin(&mut self, state: State) {
        self.begun = Some(state);
    }

    /// No transaction is open any more. What was set for that one alone is gone with it.
    pub(crate) fn end(&mut self) {
        self.begun = None;
        self.forget_closed();
        if !self.now.characteristics.is_empty() {
            self.now.setup_mut().characteristics.clear();
        }
    }

    /// The state in which the open transaction began; `None`: nothing of one is kept.
    pub(crate) fn begun(&self) -> Option<&State> {
        self.begun.as_ref()
    }

    /// Goes back to a state into which a link is brought back: later statements are undone.
    pub(crate) fn go_back(&mut self, state: State) {
        self.now = state;
    }

    /// COM_RESET_CONNECTION: as after the login, but for the default database.
    pub(crate) fn reset(&mut self) {
        let schema = self.now.schema.clone();
        let untracked = self.holdings.reasons().contains(Blocker::Untracked);
        // The flags of the reply to the command: the server knows its defaults.
        let (status, autocommit) = (self.status, self.now.autocommit);
        *self = Self {
            now: State { autocommit, ..State::of_login(schema) },
            begun: None,
            statements: BTreeMap::new(),
            closed: BTreeMap::new(),
            litter: Vec::new(),
            cursors: Vec::new(),
            holdings: Holdings::default(),
            status,
            login_charset: self.login_charset,
            server: self.server,
            multi: self.multi,
            diagnostics: Diagnostics::default(),
            usual_reports: self.usual_reports.clone(),
            reports: None,
            shows_reports: false,
            last_statement: None,
            write_ids: WriteIds::default(),
            restored: false,
            readings: Arc::clone(&self.readings),
        };
        if untracked {
            self.holdings.reasons_mut().insert(Blocker::Untracked);
        }
    }
}

/// Variables that are not a state: they hold for one statement, or say what happened.
const MOMENTARY: [&[u8]; 7] = [
    b"gtid_seq_no",
    b"identity",
    b"insert_id",
    b"last_insert_id",
    b"pseudo_thread_id",
    b"rand_seed1",
    b"rand_seed2",
];

/// See [`SessionSettings::confused`]. Not `autocommit`, which each reply tells by a flag.
const BITS: [&[u8]; 13] = [
    b"check_constraint_checks",
    b"explicit_defaults_for_timestamp",
    b"foreign_key_checks",
    b"sql_auto_is_null",
    b"sql_big_selects",
    b"sql_buffer_result",
    b"sql_if_exists",
    b"sql_notes",
    b"sql_quote_show_create",
    b"sql_safe_updates",
    b"sql_warnings",
    b"system_versioning_insert_history",
    b"unique_checks",
];

#[cfg(test)]
mod tests;
