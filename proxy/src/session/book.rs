//! The state that a session has set up on its link, so that another link can be set up alike: variables,
//! default database, prepared statements, and the reasons why it cannot be done.
//!
//! All but the statements comes from the server's own reports (session tracking), not from reading
//! SQL. A transaction that is to be done again must begin in the state that it began in, not in the one
//! that it led to; so that state is kept beside the present one.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Deref;
use std::sync::{Arc, PoisonError, RwLock};

use ido_proxy_protocol::capabilities::Capabilities;
use ido_proxy_protocol::session_state::Change;
use ido_proxy_protocol::statement::{Charset, Dialect, Kind, ServerVersion, SqlMode};
use ido_proxy_protocol::status::StatusFlags;

use super::diagnostics::Diagnostics;
use super::reason::{Reason, Reasons};
use super::reports::Reports;
use super::text_rows::text_rows;

/// The state of one session.
#[derive(Debug)]
pub(crate) struct Book {
    /// The state as of the last report.
    now: State,
    /// The state as of the beginning of the open transaction.
    begun: Option<State>,
    /// By the number that the client knows.
    statements: BTreeMap<u32, Prepared>,
    /// Closed by the client within the open transaction, which may have used them.
    closed: BTreeMap<u32, Prepared>,
    reasons: Reasons,
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
    /// Fingerprint of the table in which a row was given the last id that was told.
    id_target: Option<u64>,
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

/// The state that the next statement depends on. Cheap to clone.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(crate) struct State {
    setup: Arc<Setup>,
    /// Whether each statement is a transaction of its own.
    autocommit: bool,
    /// The value of `LAST_INSERT_ID()`; 0: no row was given an id yet.
    pub(crate) last_insert_id: u64,
    /// The link alone knows the value: no reply has told it.
    pub(crate) insert_id_is_hidden: bool,
}

/// The part of the state that a login does not bring about.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(crate) struct Setup {
    /// Name and value, as reported.
    variables: BTreeMap<Vec<u8>, Vec<u8>>,
    /// Default database.
    pub(crate) schema: Option<Vec<u8>>,
    /// `SET TRANSACTION …`, for the next transaction alone.
    characteristics: Vec<u8>,
    /// The role, once it was set; empty: none.
    role: Option<Vec<u8>>,
}

/// A prepared statement.
#[derive(Clone, Debug)]
pub(crate) struct Prepared {
    /// The text.
    pub(crate) sql: Vec<u8>,
    /// The kind of its text.
    pub(crate) kind: Kind,
    /// Whether only the server knows.
    pub(crate) open_ended: bool,
    /// The number that the link knows it by.
    pub(crate) link_id: u32,
    /// How many parameters it takes.
    pub(crate) parameters: usize,
    /// The types of the parameters as last sent; none on a new link, until they are sent there.
    types: Vec<u8>,
    types_known_to_link: bool,
    /// The state of the session when it was prepared: its names and its text are read by that.
    pub(crate) setup: State,
}

impl Book {
    /// The book of a client that has just logged in.
    pub(crate) fn new(capabilities: Capabilities, collation: u8, schema: Option<Vec<u8>>) -> Self {
        Self {
            now: State::of_login(schema),
            begun: None,
            statements: BTreeMap::new(),
            closed: BTreeMap::new(),
            reasons: Reasons::default(),
            status: StatusFlags::AUTOCOMMIT,
            login_charset: Charset::from_collation(collation.into()),
            server: ServerVersion::default(),
            multi: capabilities.contains(Capabilities::MULTI_STATEMENTS),
            diagnostics: Diagnostics::default(),
            usual_reports: None,
            reports: None,
            shows_reports: false,
            last_statement: None,
            id_target: None,
            restored: false,
            readings: Arc::default(),
        }
    }

    /// Gives the book the variables that servers report and refuse to have set.
    pub(crate) fn knowing(self, readings: Arc<Readings>) -> Self {
        Self { readings, ..self }
    }

    /// Takes in what a first link is like: the server's version, the flags of its welcome, and whether
    /// it reports at all.
    pub(crate) fn meet(&mut self, version: &[u8], tracks: bool) {
        self.server = ServerVersion::from_greeting(version);
        if tracks {
            self.reasons.remove(Reason::Untracked);
        } else {
            self.reasons.insert(Reason::Untracked);
        }
    }

    /// Takes in the flags of a reply.
    pub(crate) fn learn_status(&mut self, status: StatusFlags) {
        self.status = status;
        self.now.autocommit = status.contains(StatusFlags::AUTOCOMMIT);
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

    /// Fingerprint of the table in which a row was given the last id that was told.
    pub(crate) fn id_target(&self) -> Option<u64> {
        self.id_target
    }

    /// A row in the table of this fingerprint was given the id that was told last.
    pub(crate) fn set_id_target(&mut self, target: u64) {
        self.id_target = Some(target);
    }

    /// `LAST_INSERT_ID()` may have been changed, and no reply tells to what.
    pub(crate) fn hide_insert_id(&mut self) {
        self.now.insert_id_is_hidden = true;
    }

    /// Takes in one reported change.
    pub(crate) fn learn(&mut self, change: Change<'_>) {
        match change {
            Change::Schema(name) => {
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
        let Some([collation, role]) =
            text_rows(packets, 2).next().and_then(|row| <[_; 2]>::try_from(row).ok())
        else {
            return;
        };
        let setup = self.now.setup_mut();
        if let Some(collation) = collation {
            setup.variables.insert(b"collation_connection".to_vec(), collation.to_vec());
        }
        setup.role = Some(role.unwrap_or_default().to_vec());
    }

    fn learn_variable(&mut self, name: &[u8], value: &[u8]) {
        if name == b"character_set_connection" {
            // The default collation of the character set, unless another one is told or asked for.
            self.now.setup_mut().variables.remove(&b"collation_connection"[..]);
        }
        if name.starts_with(b"session_track_") && self.shows_reports {
            return;
        }
        if name.starts_with(b"session_track_") {
            // Ours were turned over: from here on nothing is sure to be told.
            return self.reasons.insert(Reason::Untracked);
        }
        if matches!(name, b"last_insert_id" | b"identity") {
            let id = std::str::from_utf8(value).ok().and_then(|id| id.parse().ok());
            self.now.last_insert_id = id.unwrap_or_default();
            self.now.insert_id_is_hidden = false;
        }
        if name == b"timestamp" {
            return self.reasons.insert(Reason::Timestamp);
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

    /// Whether the server keeps a list of the session's statements for the client: `profiling`.
    ///
    /// Source: MariaDB documentation, "SHOW PROFILE".
    pub(crate) fn lists_statements(&self) -> bool {
        let value = self.now.variables.get(&b"profiling"[..]);
        value.is_some_and(|value| !matches!(&value[..], b"OFF" | b"0"))
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
    pub(crate) fn reasons_mut(&mut self) -> &mut Reasons {
        &mut self.reasons
    }

    /// Why the session cannot move, if so.
    pub(crate) fn unmovable(&self) -> Option<Reason> {
        self.reasons.first()
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
        self.closed.clear();
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
        let untracked = self.reasons;
        // The flags of the reply to the command: the server knows its defaults.
        let (status, autocommit) = (self.status, self.now.autocommit);
        *self = Self {
            now: State { autocommit, ..State::of_login(schema) },
            begun: None,
            statements: BTreeMap::new(),
            closed: BTreeMap::new(),
            reasons: Reasons::default(),
            status,
            login_charset: self.login_charset,
            server: self.server,
            multi: self.multi,
            diagnostics: Diagnostics::default(),
            usual_reports: self.usual_reports.clone(),
            reports: None,
            shows_reports: false,
            last_statement: None,
            id_target: None,
            restored: false,
            readings: Arc::clone(&self.readings),
        };
        if untracked.first() == Some(Reason::Untracked) {
            self.reasons.insert(Reason::Untracked);
        }
    }
}

// Prepared statements.
impl Book {
    /// The client prepared a statement and was told its number on the link.
    pub(crate) fn prepared(&mut self, id: u32, statement: Prepared) {
        self.statements.insert(id, statement);
        self.last_statement = Some(id);
    }

    /// The client prepares another statement: should that fail, there is no last one.
    pub(crate) fn forget_last(&mut self) {
        self.last_statement = None;
    }

    /// The number of the statement that a client names by [`LAST_STATEMENT`]. `None`: the link knows what it is.
    pub(crate) fn last_statement(&self) -> Option<u32> {
        self.last_statement.or_else(|| self.restored.then_some(NO_STATEMENT))
    }

    /// A number that no other statement has for the client: the link's own, if possible.
    pub(crate) fn free_statement_id(&self, link_id: u32) -> u32 {
        let last = self.statements.keys().chain(self.closed.keys()).copied().max();
        match self.statement(link_id) {
            None => link_id,
            Some(_) => last.unwrap_or_default().wrapping_add(1),
        }
    }

    /// The statement of this number, also one that was closed within the open transaction.
    pub(crate) fn statement(&self, id: u32) -> Option<&Prepared> {
        self.statements.get(&id).or_else(|| self.closed.get(&id))
    }

    /// The client closed it; `keep` it, if the open transaction may have used it.
    pub(crate) fn close(&mut self, id: u32, keep: bool) {
        if self.last_statement == Some(id) {
            self.last_statement = None;
        }
        if let Some(statement) = self.statements.remove(&id)
            && keep
        {
            self.closed.insert(id, statement);
        }
    }

    /// Every number that a new link must be taught.
    pub(crate) fn statement_ids(&self) -> Vec<u32> {
        self.statements.keys().chain(self.closed.keys()).copied().collect()
    }

    /// A new link knows the statement by this number.
    pub(crate) fn learn_link_id(&mut self, id: u32, link_id: u32) {
        let statements = self.statements.get_mut(&id).or_else(|| self.closed.get_mut(&id));
        if let Some(statement) = statements {
            statement.link_id = link_id;
            statement.types_known_to_link = false;
        }
        self.restored = true;
    }

    /// A COM_STMT_EXECUTE as the link must get it: with its own number of the statement, and with the
    /// types of the parameters if it was not told them yet. `payload` is the whole of it.
    pub(crate) fn translate_execute(&mut self, payload: &mut Vec<u8>) {
        let Some(id) = statement_id(payload) else { return };
        let statements = self.statements.get_mut(&id).or_else(|| self.closed.get_mut(&id));
        let Some(statement) = statements else { return };
        payload[1..5].copy_from_slice(&statement.link_id.to_le_bytes());
        let count = statement.parameters;
        if count == 0 {
            return;
        }
        // Number, flags and iteration count, then one bit for each parameter, then the flag.
        let flag = 10 + count.div_ceil(8);
        match payload.get(flag) {
            Some(1) => {
                let types = payload.get(flag + 1..flag + 1 + 2 * count).unwrap_or_default();
                statement.types = types.to_vec();
                statement.types_known_to_link = true;
            }
            Some(0) if !statement.types_known_to_link && !statement.types.is_empty() => {
                payload[flag] = 1;
                payload.splice(flag + 1..flag + 1, statement.types.iter().copied());
                statement.types_known_to_link = true;
            }
            _ => {}
        }
    }
}

/// The number of the statement that a COM_STMT_* is about.
pub(crate) fn statement_id(payload: &[u8]) -> Option<u32> {
    payload.get(1..5)?.try_into().ok().map(u32::from_le_bytes)
}

impl Prepared {
    /// A statement that the link knows as `link_id`.
    pub(crate) fn new(sql: Vec<u8>, kind: Kind, open_ended: bool, link_id: u32) -> Self {
        let (types, parameters, setup) = (Vec::new(), 0, State::default());
        Self {
            sql,
            kind,
            open_ended,
            link_id,
            parameters,
            types,
            types_known_to_link: false,
            setup,
        }
    }
}

impl State {
    fn of_login(schema: Option<Vec<u8>>) -> Self {
        let setup = Arc::new(Setup { schema, ..Setup::default() });
        Self { setup, autocommit: true, last_insert_id: 0, insert_id_is_hidden: false }
    }

    /// The variable of this name is none that is set.
    pub(crate) fn forget_variable(&mut self, name: &[u8]) {
        if self.variables.contains_key(name) {
            self.setup_mut().variables.remove(name);
        }
    }

    fn setup_mut(&mut self) -> &mut Setup {
        Arc::make_mut(&mut self.setup)
    }
}

impl Deref for State {
    type Target = Setup;

    fn deref(&self) -> &Setup {
        &self.setup
    }
}

impl Setup {
    /// The other name of a variable, between versions of the server.
    pub(crate) fn alias(name: &[u8]) -> Option<Vec<u8>> {
        match name {
            b"tx_isolation" => Some(b"transaction_isolation".to_vec()),
            b"tx_read_only" => Some(b"transaction_read_only".to_vec()),
            b"transaction_isolation" => Some(b"tx_isolation".to_vec()),
            b"transaction_read_only" => Some(b"tx_read_only".to_vec()),
            _ => None,
        }
    }

    /// The value of a variable that was set.
    pub(crate) fn value(&self, name: &[u8]) -> Option<&[u8]> {
        self.variables.get(name).map(Vec::as_slice)
    }

    /// Whether statements bring a link into this state that is in the state `now`. What was never set before has no
    /// value to be set to: that of the login is known to the server alone.
    pub(crate) fn can_follow(&self, now: &Self) -> bool {
        let knows = |name: &Vec<u8>| self.variables.contains_key(name);
        (self.schema.is_some() || now.schema.is_none()) && now.variables.keys().all(knows)
    }

    /// Whether something is set for the next transaction alone.
    pub(crate) fn is_for_one_transaction(&self) -> bool {
        !self.characteristics.is_empty()
    }

    /// Whether the client has turned `autocommit` off.
    pub(crate) fn turns_autocommit_off(&self) -> bool {
        self.variables.get(&b"autocommit"[..]).is_some_and(|value| value == b"OFF")
    }

    /// Whether the client has ever set `autocommit`.
    pub(crate) fn sets_autocommit(&self) -> bool {
        self.variables.contains_key(&b"autocommit"[..])
    }

    /// The statement that gives a new link the values of all variables, if there are any. `backslashes` says that the
    /// link takes a backslash in a string for an escape.
    pub(crate) fn set_variables(&self, backslashes: bool) -> Option<Vec<u8>> {
        let mut set = b"SET ".to_vec();
        for (index, (name, value)) in self.variables.iter().enumerate() {
            if index > 0 {
                set.extend_from_slice(b", ");
            }
            put_assignment(&mut set, name, value, backslashes);
        }
        (!self.variables.is_empty()).then_some(set)
    }

    /// The statements that set one variable each, with its name.
    pub(crate) fn set_each(&self, backslashes: bool) -> impl Iterator<Item = (Vec<u8>, Vec<u8>)> {
        self.variables.iter().map(move |(name, value)| {
            let mut set = b"SET ".to_vec();
            put_assignment(&mut set, name, value, backslashes);
            (name.clone(), set)
        })
    }

    /// The statement that sets the role, if it was ever set.
    pub(crate) fn set_role(&self) -> Option<Vec<u8>> {
        let role = self.role.as_ref()?;
        if role.is_empty() {
            return Some(b"SET ROLE NONE".to_vec());
        }
        let mut sql = b"SET ROLE `".to_vec();
        role.iter().for_each(|byte| {
            sql.extend(std::iter::repeat_n(*byte, 1 + usize::from(*byte == b'`')))
        });
        sql.push(b'`');
        Some(sql)
    }

    /// The statements that hold for the next transaction alone.
    pub(crate) fn set_characteristics(&self) -> impl Iterator<Item = &[u8]> {
        let sql = self.characteristics.split(|&byte| byte == b';');
        sql.filter(|sql| !sql.trim_ascii().is_empty())
    }
}

/// The statement that sets one variable.
pub(crate) fn assignment(name: &[u8], value: &[u8], backslashes: bool) -> Vec<u8> {
    let mut set = b"SET ".to_vec();
    put_assignment(&mut set, name, value, backslashes);
    set
}

fn put_assignment(set: &mut Vec<u8>, name: &[u8], value: &[u8], backslashes: bool) {
    set.extend_from_slice(name);
    set.push(b'=');
    put_value(set, name, value, backslashes);
}

/// A number as a number, since the server takes no string for one; no value as NULL, which only
/// `character_set_results` may have; and anything else as a string.
fn put_value(set: &mut Vec<u8>, name: &[u8], value: &[u8], backslashes: bool) {
    let number = !value.is_empty()
        && value.iter().all(|byte| byte.is_ascii_digit() || matches!(byte, b'.' | b'-'));
    if number {
        return set.extend_from_slice(value);
    }
    if value.is_empty() && name == b"character_set_results" {
        return set.extend_from_slice(b"NULL");
    }
    set.push(b'\'');
    for &byte in value {
        if byte == b'\'' || (byte == b'\\' && backslashes) {
            set.push(byte);
        }
        set.push(byte);
    }
    set.push(b'\'');
}

/// The number by which a client names the statement that it prepared last.
///
/// Source: MariaDB documentation, "COM_STMT_EXECUTE".
pub(crate) const LAST_STATEMENT: u32 = u32::MAX;

/// The number of no statement: to use it is error 1243.
pub(crate) const NO_STATEMENT: u32 = 0;

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

#[cfg(test)]
mod tests {
    use super::*;

    fn book() -> Book {
        Book::new(Capabilities::MULTI_STATEMENTS, 8, Some(b"icinga".to_vec()))
    }

    fn set(book: &Book, again: bool) -> Vec<String> {
        let state = state(book, again);
        let characteristics = state.set_characteristics().map(<[u8]>::to_vec);
        texts(state.set_variables(true).into_iter().chain(characteristics).collect())
    }

    fn state(book: &Book, again: bool) -> State {
        book.begun().filter(|_| again).cloned().unwrap_or_else(|| book.now())
    }

    fn texts(statements: Vec<Vec<u8>>) -> Vec<String> {
        statements.into_iter().map(|sql| String::from_utf8(sql).unwrap()).collect()
    }

    /// Icinga's own settings; otherwise its times would be wrong by hours after a failover.
    #[test]
    fn variables_are_set_again_as_they_were_reported() {
        let mut book = book();
        for (name, value) in [
            ("time_zone", "+00:00"),
            ("sql_mode", "NO_AUTO_VALUE_ON_ZERO"),
            ("wait_timeout", "100"),
            ("max_statement_time", "5.000000"),
            ("character_set_results", ""),
            ("init_connect", "it's a \\"),
            ("insert_id", "5"),
        ] {
            book.learn(Change::SystemVariable(name.as_bytes(), value.as_bytes()));
        }
        let expected = "SET character_set_results=NULL, init_connect='it''s a \\\\', \
            max_statement_time=5.000000, sql_mode='NO_AUTO_VALUE_ON_ZERO', time_zone='+00:00', \
            wait_timeout=100";
        assert_eq!(set(&book, false), [expected]);
        assert_eq!(book.unmovable(), None);
    }

    /// Otherwise a replay would run under settings that the transaction changed later.
    #[test]
    fn a_link_on_which_a_transaction_has_set_something_first_cannot_be_brought_back() {
        let mut book = book();
        book.learn(Change::SystemVariable(b"sql_mode", b"ANSI"));
        let begun = book.now();
        book.learn(Change::SystemVariable(b"sql_mode", b""));
        book.learn(Change::Schema(b"other"));
        assert!(begun.can_follow(&book.now()), "both had a value, set again");
        book.learn(Change::SystemVariable(b"time_zone", b"+00:00"));
        assert!(!begun.can_follow(&book.now()));
        let mut homeless = Book::new(Capabilities::MULTI_STATEMENTS, 8, None);
        let begun = homeless.now();
        homeless.learn(Change::Schema(b"other"));
        assert!(!begun.can_follow(&homeless.now()), "no statement leaves a database");
    }

    /// The first statements of the transaction would be done again under what its last ones set.
    #[test]
    fn a_transaction_begins_again_in_the_state_it_began_in() {
        let mut book = book();
        book.learn(Change::SystemVariable(b"sql_mode", b"ANSI"));
        book.begin(book.now());
        book.learn(Change::SystemVariable(b"sql_mode", b""));
        book.learn(Change::Schema(b"other"));
        assert_eq!(set(&book, true), ["SET sql_mode='ANSI'"]);
        assert_eq!(state(&book, true).schema.as_deref(), Some(&b"icinga"[..]));
        assert_eq!(set(&book, false), ["SET sql_mode=''"]);
        book.end();
        assert_eq!(state(&book, true).schema.as_deref(), Some(&b"other"[..]));
    }

    #[test]
    fn what_holds_for_the_next_transaction_is_set_again_until_it_has_begun() {
        let mut book = book();
        let sql = b"SET TRANSACTION ISOLATION LEVEL SERIALIZABLE;";
        book.learn(Change::TransactionCharacteristics(sql));
        assert_eq!(set(&book, false), ["SET TRANSACTION ISOLATION LEVEL SERIALIZABLE"]);
        book.learn(Change::TransactionCharacteristics(b"START TRANSACTION;"));
        assert_eq!(set(&book, false), [""; 0]);
    }

    /// A client that only sends its parameters' types once would be misread by a new link.
    #[test]
    fn an_execute_is_told_the_number_and_the_types_that_the_link_lacks() {
        let mut book = book();
        let mut statement = Prepared::new(b"SELECT ?".to_vec(), Kind::Select, false, 3);
        statement.parameters = 1;
        book.prepared(3, statement);
        let first = b"\x17\x03\0\0\0\0\x01\0\0\0\0\x01\x08\0value".to_vec();
        let later = b"\x17\x03\0\0\0\0\x01\0\0\0\0\0value".to_vec();
        for unchanged in [&first, &later] {
            let mut payload = unchanged.clone();
            book.translate_execute(&mut payload);
            assert_eq!(&payload, unchanged);
        }
        book.learn_link_id(3, 1);
        let mut payload = later.clone();
        book.translate_execute(&mut payload);
        assert_eq!(payload, b"\x17\x01\0\0\0\0\x01\0\0\0\0\x01\x08\0value");
        let mut payload = later;
        book.translate_execute(&mut payload);
        assert_eq!(payload, b"\x17\x01\0\0\0\0\x01\0\0\0\0\0value", "told once");
    }

    #[test]
    fn a_statement_closed_in_a_transaction_is_kept_for_its_replay() {
        let mut book = book();
        book.prepared(1, Prepared::new(b"SELECT 1".to_vec(), Kind::Select, false, 1));
        book.close(1, true);
        assert_eq!(book.statement_ids(), [1]);
        book.end();
        assert_eq!(book.statement_ids(), [0; 0]);
    }
}
