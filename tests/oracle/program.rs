//! A program: what clients say, as a value that can be kept, shown and made smaller.

use std::collections::BTreeSet;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::grammar::family;

/// Steps of one or two clients, in one order.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub(crate) struct Program {
    /// The number that the generator made it from.
    #[serde(default)]
    pub(crate) seed: u64,
    /// How each client logs in.
    pub(crate) logins: Vec<Login>,
    /// The steps.
    pub(crate) steps: Vec<Step>,
}

/// How a client logs in.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub(crate) struct Login {
    /// Capabilities beside those that every client here has.
    #[serde(default)]
    pub(crate) flags: BTreeSet<Flag>,
    /// The collation byte.
    pub(crate) collation: u8,
    /// Whether a database is named.
    pub(crate) database: bool,
}

/// A capability that changes what a client sees.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Flag {
    Bulk,
    CacheMetadata,
    DeprecateEof,
    ExtendedMetadata,
    FoundRows,
    IgnoreSpace,
    MultiStatements,
    NoSchema,
    SessionTrack,
}

impl Flag {
    /// Every flag.
    pub(crate) const ALL: [Self; 9] = [
        Self::Bulk,
        Self::CacheMetadata,
        Self::DeprecateEof,
        Self::ExtendedMetadata,
        Self::FoundRows,
        Self::IgnoreSpace,
        Self::MultiStatements,
        Self::NoSchema,
        Self::SessionTrack,
    ];
}

impl Flag {
    /// The flag's name in JSON.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Bulk => "bulk",
            Self::CacheMetadata => "cache-metadata",
            Self::DeprecateEof => "deprecate-eof",
            Self::ExtendedMetadata => "extended-metadata",
            Self::FoundRows => "found-rows",
            Self::IgnoreSpace => "ignore-space",
            Self::MultiStatements => "multi-statements",
            Self::NoSchema => "no-schema",
            Self::SessionTrack => "session-track",
        }
    }
}

/// One thing that one client does.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub(crate) struct Step {
    /// Which client.
    #[serde(default)]
    pub(crate) session: usize,
    /// Whether the next step begins before the answer is there.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) background: bool,
    /// The command or commands.
    pub(crate) action: Action,
}

/// A statement and the name of its kind.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub(crate) struct Statement {
    pub(crate) tag: String,
    pub(crate) sql: String,
}

impl Statement {
    /// How many answers it has, if it does not call a procedure: one entry of the grammar is two statements.
    fn answers(&self) -> usize {
        if self.tag == "commit begin" { 2 } else { 1 }
    }
}

/// One command, or several in one flight.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Action {
    /// COM_STMT_BULK_EXECUTE, a value for each row.
    Bulk { slot: Slot, rows: Vec<Param> },
    /// COM_CHANGE_USER to the same account.
    ChangeUser { database: bool, collation: u8 },
    /// COM_STMT_CLOSE.
    Close { slot: Slot },
    /// COM_STMT_EXECUTE.
    Execute { slot: Slot, params: Vec<Param>, types: bool, cursor: bool },
    /// COM_STMT_FETCH.
    Fetch { slot: Slot, rows: u32 },
    /// COM_FIELD_LIST.
    FieldList { table: String },
    /// Several commands, sent before the first answer is read.
    Flight(Vec<Self>),
    /// COM_INIT_DB.
    InitDb { database: String },
    /// COM_STMT_SEND_LONG_DATA.
    LongData { slot: Slot, param: u16, data: String },
    /// COM_PING.
    Ping,
    /// COM_STMT_PREPARE.
    Prepare { slot: Slot, statement: Statement },
    /// COM_QUERY.
    Query(Vec<Statement>),
    /// COM_QUIT, and a login as the first one.
    Reconnect,
    /// COM_STMT_RESET.
    Reset { slot: Slot },
    /// COM_RESET_CONNECTION.
    ResetConnection,
    /// COM_SET_OPTION: MULTI_STATEMENTS.
    SetOption { on: bool },
    /// COM_STATISTICS, whose answer is not compared.
    Statistics,
}

/// A prepared statement of a session: its number here, or the one that was prepared last (-1).
pub(crate) type Slot = i8;

/// The statement that was prepared last.
pub(crate) const LAST: Slot = -1;

/// The value of a parameter.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Param {
    Int(i64),
    /// Sent before, as long data.
    Long,
    Null,
    Text(String),
}

impl Action {
    /// The action's name in a signature: the command, or the statement that answers as number `index`.
    pub(crate) fn tag(&self, index: usize) -> String {
        match self {
            Self::Query(text) => {
                let each = text.iter().flat_map(|one| std::iter::repeat_n(one, one.answers()));
                let each: Vec<_> = each.collect();
                let one = each.get(index.min(each.len().saturating_sub(1)));
                one.map_or_else(String::new, |one| family(&one.tag).to_owned())
            }
            Self::Flight(all) => format!("flight {}", all.get(index).map_or("", Self::name)),
            Self::Prepare { statement, .. } => format!("prepare {}", family(&statement.tag)),
            other => other.name().to_owned(),
        }
    }

    /// Tags of everything in it.
    pub(crate) fn tags(&self) -> Vec<String> {
        match self {
            Self::Query(text) => text.iter().map(|one| one.tag.clone()).collect(),
            Self::Flight(all) => all.iter().flat_map(Self::tags).collect(),
            Self::Prepare { statement, .. } => vec![self.tag(0), statement.tag.clone()],
            other => vec![other.tag(0)],
        }
    }

    fn name(&self) -> &'static str {
        match self {
            Self::Bulk { .. } => "bulk",
            Self::ChangeUser { .. } => "change user",
            Self::Close { .. } => "close",
            Self::Execute { cursor: true, .. } => "execute with cursor",
            Self::Execute { slot: LAST, .. } => "execute last",
            Self::Execute { .. } => "execute",
            Self::Fetch { .. } => "fetch",
            Self::FieldList { .. } => "field list",
            Self::Flight(_) => "flight",
            Self::InitDb { .. } => "init db",
            Self::LongData { .. } => "long data",
            Self::Ping => "ping",
            Self::Prepare { .. } => "prepare",
            Self::Query(_) => "query",
            Self::Reconnect => "reconnect",
            Self::Reset { .. } => "reset",
            Self::ResetConnection => "reset connection",
            Self::SetOption { .. } => "set option",
            Self::Statistics => "statistics",
        }
    }
}

impl Program {
    /// Tags of everything that is said.
    pub(crate) fn tags(&self) -> Vec<String> {
        self.steps.iter().flat_map(|step| step.action.tags()).collect()
    }

    /// How large it is, for the choice of the smallest.
    pub(crate) fn size(&self) -> usize {
        let said: usize = self.tags().len();
        let flags: usize = self.logins.iter().map(|login| login.flags.len()).sum();
        said * 100 + self.steps.len() * 10 + flags
    }
}

impl fmt::Display for Program {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, login) in self.logins.iter().enumerate() {
            let flags: Vec<_> = login.flags.iter().map(|flag| format!("{flag:?}")).collect();
            let database = if login.database { "with" } else { "without" };
            writeln!(
                f,
                "  {}: login {database} database, collation {}, {}",
                session_name(number),
                login.collation,
                if flags.is_empty() { "no flags".to_owned() } else { flags.join(" ") }
            )?;
        }
        for (index, step) in self.steps.iter().enumerate() {
            let wait = if step.background { " (in the background)" } else { "" };
            writeln!(f, "  {index:>2} {}: {}{wait}", session_name(step.session), step.action)?;
        }
        Ok(())
    }
}

fn session_name(number: usize) -> char {
    if number == 0 { 'A' } else { 'B' }
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Query(text) => f.write_str(&joined(text)),
            Self::Prepare { slot, statement } => write!(f, "prepare {slot}: {}", statement.sql),
            Self::Flight(all) => {
                f.write_str("in one flight:")?;
                all.iter().try_for_each(|one| write!(f, " [{one}]"))
            }
            other => {
                let value = serde_json::to_string(other).unwrap_or_default();
                write!(f, "{}: {value}", other.name())
            }
        }
    }
}

/// The text of a COM_QUERY.
pub(crate) fn joined(text: &[Statement]) -> String {
    text.iter().map(|one| one.sql.as_str()).collect::<Vec<_>>().join("; ")
}
