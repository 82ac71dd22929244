//! State that the next statement depends on, and the SQL that brings it about on a new link.

use std::collections::BTreeMap;
use std::ops::Deref;
use std::sync::Arc;

use crate::session::plan::DEFAULT;

/// The state that the next statement depends on. Cheap to clone.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(crate) struct State {
    pub(super) setup: Arc<Setup>,
    /// Whether each statement is a transaction of its own.
    pub(super) autocommit: bool,
    /// The value of `LAST_INSERT_ID()`; 0: no row was given an id yet.
    pub(crate) last_insert_id: u64,
    /// The link alone knows the value: no reply has told it.
    pub(crate) insert_id_is_hidden: bool,
}

/// The part of the state that a login does not bring about.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(crate) struct Setup {
    /// Name and value, as reported.
    pub(super) variables: BTreeMap<Vec<u8>, Vec<u8>>,
    /// Default database.
    pub(crate) schema: Option<Vec<u8>>,
    /// `SET TRANSACTION …`, for the next transaction alone.
    pub(super) characteristics: Vec<u8>,
    /// The role, once it was set; empty: none.
    pub(super) role: Option<Vec<u8>>,
    /// Collation of `character_set_results`, or [`DEFAULT`], where SET NAMES has set one: columns bear its number.
    pub(super) results_collation: Option<Vec<u8>>,
}

impl State {
    pub(crate) fn of_login(schema: Option<Vec<u8>>) -> Self {
        let setup = Arc::new(Setup { schema, ..Setup::default() });
        Self { setup, autocommit: true, last_insert_id: 0, insert_id_is_hidden: false }
    }

    /// The variable of this name is none that is set.
    pub(crate) fn forget_variable(&mut self, name: &[u8]) {
        if self.variables.contains_key(name) {
            self.setup_mut().variables.remove(name);
        }
    }

    /// The part of the state that a statement keeps which is prepared in it: nothing of transactions.
    pub(crate) fn for_preparing(&self) -> Self {
        let mut shape = self.clone();
        if self.variables.keys().any(is_of_transactions) {
            shape.setup_mut().variables.retain(|name, _| !is_of_transactions(name));
        }
        shape
    }

    pub(super) fn setup_mut(&mut self) -> &mut Setup {
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

    /// Whether the client has ever set `autocommit`.
    pub(crate) fn sets_autocommit(&self) -> bool {
        self.variables.contains_key(&b"autocommit"[..])
    }

    /// The statement that gives a new link the values of all variables, if there are any. `backslashes` says that the
    /// link takes a backslash in a string for an escape.
    pub(crate) fn set_variables(&self, backslashes: bool) -> Option<Vec<u8>> {
        let each = self.assignments(backslashes).map(|(_, assignment)| assignment);
        let all = Vec::from_iter(each).join(&b", "[..]);
        (!all.is_empty()).then(|| [b"SET ", &all[..]].concat())
    }

    /// The statements that set one variable each, with its name.
    pub(crate) fn set_each(&self, backslashes: bool) -> impl Iterator<Item = (Vec<u8>, Vec<u8>)> {
        self.assignments(backslashes)
            .map(|(name, assignment)| (name.to_vec(), [b"SET ", &assignment[..]].concat()))
    }

    /// The statements that give variables which are set here, and not in `next`, the values of the login: those of the
    /// server. A character set has another one by the login, and is left.
    pub(crate) fn unset(&self, next: &Self) -> impl Iterator<Item = Vec<u8>> {
        let charset =
            |name: &[u8]| name.starts_with(b"character_set") || name.starts_with(b"collation");
        let absent = self.variables.keys().filter(|name| !next.variables.contains_key(*name));
        absent
            .filter(move |name| !charset(name))
            .map(|name| [b"SET ", &name[..], b"=DEFAULT"].concat())
    }

    /// Names of variables, and what sets each of them. NAMES comes first, as it sets others with its own.
    fn assignments(&self, backslashes: bool) -> impl Iterator<Item = (&[u8], Vec<u8>)> {
        let names = self.names(backslashes);
        let named = names.is_some();
        let others = self.variables.iter().filter(move |(name, _)| !(named && *name == RESULTS));
        let others = others.map(move |(name, value)| {
            let mut assignment = Vec::new();
            put_assignment(&mut assignment, name, value, backslashes);
            (&name[..], assignment)
        });
        names.into_iter().map(|names| (RESULTS, names)).chain(others)
    }

    /// SET NAMES, where the client's has set a collation for columns: no variable has that.
    ///
    /// Seen on MariaDB 10.11.
    fn names(&self, backslashes: bool) -> Option<Vec<u8>> {
        let charset = self.value(RESULTS).filter(|charset| !charset.is_empty())?;
        let collation = self.results_collation.as_ref()?;
        if collation == DEFAULT {
            return Some(b"NAMES DEFAULT".to_vec());
        }
        let mut names = b"NAMES ".to_vec();
        put_value(&mut names, RESULTS, charset, backslashes);
        names.extend_from_slice(b" COLLATE ");
        put_value(&mut names, RESULTS, collation, backslashes);
        Some(names)
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

/// Whether a variable says how transactions begin. A statement is prepared alike whatever its value is.
fn is_of_transactions(name: &Vec<u8>) -> bool {
    name.starts_with(b"tx_") || name.starts_with(b"transaction_") || name == b"autocommit"
}

/// The variable of the character set in which results come.
pub(super) const RESULTS: &[u8] = b"character_set_results";

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
    if value.is_empty() && name == RESULTS {
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
