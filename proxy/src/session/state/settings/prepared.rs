//! Prepared statements of a session, and the numbers by which its client and its link know them.

use ido_proxy_protocol::command::Command;
use ido_proxy_protocol::statement::Kind;
use ido_proxy_protocol::status::StatusFlags;

use super::{SessionSettings, State};
use crate::session::plan::Leavings;
use crate::session::plan::blocker::Blocker;

/// A prepared statement.
#[derive(Clone, Debug)]
pub(crate) struct Prepared {
    /// The text.
    pub(crate) sql: Vec<u8>,
    /// The kind of its text.
    pub(crate) kind: Kind,
    /// Whether it may read `autocommit`.
    pub(crate) reads_autocommit: bool,
    /// Leavings of the statement, each time that it is done.
    pub(crate) leavings: Leavings,
    /// Whether only the server knows.
    pub(crate) open_ended: bool,
    /// The number that the link knows it by.
    pub(crate) link_id: u32,
    /// How many parameters it takes.
    pub(crate) parameters: usize,
    /// The types of the parameters as last sent; none on a new link, until they are sent there.
    types: Vec<u8>,
    types_known_to_link: bool,
    /// The one whose close it waits for on the link.
    owner: Owner,
    /// The state of the session when it was prepared: its names and its text are read by that.
    pub(crate) setup: State,
}

/// The one that has prepared a statement on the link.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Owner {
    /// The client, or the proxy on its behalf: the client closes it.
    Client,
    /// The proxy, for a replay: the client has closed it before.
    Proxy,
}

impl SessionSettings {
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

    /// The text of the statement that a COM_STMT_EXECUTE is about.
    pub(crate) fn statement_text(&self, payload: &[u8]) -> Option<&[u8]> {
        self.statement(statement_id(payload)?).map(|statement| statement.sql.as_slice())
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

    /// The end of rows of the statement `id` says whether its cursor is open: they are at this node alone.
    pub(crate) fn learn_cursor(&mut self, id: u32, status: StatusFlags) {
        self.close_cursor(id);
        if status.contains(StatusFlags::CURSOR_EXISTS)
            && !status.contains(StatusFlags::LAST_ROW_SENT)
        {
            self.cursors.push(id);
            self.reasons_mut().insert(Blocker::OpenCursor);
        }
    }

    /// The statement `id` has no open cursor.
    pub(crate) fn close_cursor(&mut self, id: u32) {
        self.cursors.retain(|other| *other != id);
        if self.cursors.is_empty() {
            self.reasons_mut().remove(Blocker::OpenCursor);
        }
    }

    /// Every number that a new link must be taught.
    pub(crate) fn statement_ids(&self) -> Vec<u32> {
        self.statements.keys().chain(self.closed.keys()).copied().collect()
    }

    /// Every number that the client has closed within the open transaction, and so on the link.
    pub(crate) fn closed_ids(&self) -> Vec<u32> {
        let gone = self.closed.iter().filter(|(_, statement)| statement.owner == Owner::Client);
        gone.map(|(id, _)| *id).collect()
    }

    /// Takes out the numbers of statements that the link still has, and nobody needs.
    pub(crate) fn take_litter(&mut self) -> Vec<u32> {
        std::mem::take(&mut self.litter)
    }

    /// The client needs no statement any more that it has closed. Those that the link was taught anew are still there.
    pub(super) fn forget_closed(&mut self) {
        let closed = std::mem::take(&mut self.closed);
        let ours = closed.into_values().filter(|statement| statement.owner == Owner::Proxy);
        self.litter.extend(ours.map(|statement| statement.link_id));
    }

    /// A new link knows the statement by this number.
    pub(crate) fn learn_link_id(&mut self, id: u32, link_id: u32) {
        let is_closed = self.closed.contains_key(&id) && link_id != NO_STATEMENT;
        let statements = self.statements.get_mut(&id).or_else(|| self.closed.get_mut(&id));
        if let Some(statement) = statements {
            statement.link_id = link_id;
            statement.types_known_to_link = false;
            statement.owner = if is_closed { Owner::Proxy } else { Owner::Client };
        }
        self.restored = true;
    }

    /// Whether an execute of the statement that was prepared last comes without types: the server refuses it, although
    /// it knows them, and takes it by that statement's own number.
    ///
    /// Seen on MariaDB 10.11: error 1835.
    pub(crate) fn lacks_types(&self, command: Command, payload: &[u8]) -> bool {
        let last = self.last_statement().and_then(|id| self.statement(id));
        command == Command::StmtExecute
            && last.is_some_and(|last| last.comes_without_types(payload))
    }

    /// Whether the link must get other bytes than the client sent: another number of the statement, or types besides.
    pub(crate) fn is_other_on_link(&self, command: Command, payload: &[u8]) -> bool {
        let Some((id, statement)) =
            statement_id(payload).and_then(|id| Some((id, self.statement(id)?)))
        else {
            return false;
        };
        let executes = command == Command::StmtExecute;
        statement.link_id != id
            || (executes && statement.lacks_on_link() && statement.comes_without_types(payload))
    }

    /// Keeps the types of the parameters that a COM_STMT_EXECUTE tells, for the next link.
    pub(crate) fn learn_types(&mut self, payload: &[u8]) {
        if let Some(statement) = statement_id(payload).and_then(|id| self.statement_mut(id)) {
            statement.learn_types(payload);
        }
    }

    /// A COM_STMT_EXECUTE as the link must get it: with its own number of the statement, and with the
    /// types of the parameters if it was not told them yet. `payload` is the whole of it.
    pub(crate) fn translate_execute(&mut self, payload: &mut Vec<u8>) {
        let statement = statement_id(payload).and_then(|id| self.statement_mut(id));
        let Some(statement) = statement else { return };
        payload[1..5].copy_from_slice(&statement.link_id.to_le_bytes());
        statement.learn_types(payload);
        if statement.lacks_on_link() && statement.comes_without_types(payload) {
            let flag = statement.types_flag();
            payload[flag] = 1;
            payload.splice(flag + 1..flag + 1, statement.types.iter().copied());
            statement.types_known_to_link = true;
        }
    }

    fn statement_mut(&mut self, id: u32) -> Option<&mut Prepared> {
        self.statements.get_mut(&id).or_else(|| self.closed.get_mut(&id))
    }
}

/// The number of the statement that a COM_STMT_* is about.
pub(crate) fn statement_id(payload: &[u8]) -> Option<u32> {
    payload.get(1..5)?.try_into().ok().map(u32::from_le_bytes)
}

impl Prepared {
    /// Place in a COM_STMT_EXECUTE of the flag that says whether types follow: behind the number, flags, the iteration count
    /// and one bit for each parameter.
    fn types_flag(&self) -> usize {
        10 + self.parameters.div_ceil(8)
    }

    /// Whether an execute of it has parameters, and does not tell their types.
    fn comes_without_types(&self, payload: &[u8]) -> bool {
        self.parameters > 0 && payload.get(self.types_flag()) == Some(&0)
    }

    /// Whether there are types that the link does not know yet.
    fn lacks_on_link(&self) -> bool {
        !self.types_known_to_link && !self.types.is_empty()
    }

    fn learn_types(&mut self, payload: &[u8]) {
        let types = self.types_flag() + 1;
        if self.parameters > 0 && payload.get(types - 1) == Some(&1) {
            self.types =
                payload.get(types..types + 2 * self.parameters).unwrap_or_default().to_vec();
            self.types_known_to_link = true;
        }
    }

    /// A statement that the link knows as `link_id`.
    pub(crate) fn new(sql: Vec<u8>, kind: Kind, open_ended: bool, link_id: u32) -> Self {
        let (types, parameters, setup) = (Vec::new(), 0, State::default());
        Self {
            sql,
            kind,
            reads_autocommit: false,
            leavings: Leavings::default(),
            open_ended,
            link_id,
            parameters,
            types,
            types_known_to_link: false,
            owner: Owner::Client,
            setup,
        }
    }
}

/// The number by which a client names the statement that it prepared last.
///
/// Source: MariaDB documentation, "COM_STMT_EXECUTE".
pub(crate) const LAST_STATEMENT: u32 = u32::MAX;

/// The number of no statement: to use it is error 1243.
pub(crate) const NO_STATEMENT: u32 = 0;
