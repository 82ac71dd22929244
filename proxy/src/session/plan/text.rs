//! Questions that the words of a statement answer, beyond its kind.

use std::ops::Range;

use ido_proxy_protocol::statement::{Dialect, Kind, SetTargets, Statement, Statements};

use super::LONG;

/// Whether a text reads how often statements of each kind ran in the session. SHOW GLOBAL STATUS does not, nor does one of
/// other names.
///
/// Source: MariaDB documentation, "SHOW STATUS", "Information Schema SESSION_STATUS Table".
pub(crate) fn reads_counters(sql: &[u8], dialect: Dialect) -> bool {
    // Tables of Icinga's have "status" in their names, and few texts have "show" in them.
    let shows = |sql| may_name(sql, *b"how", b"SHOW") && may_name(sql, *b"tat", b"STATUS");
    if sql.len() >= LONG || !(shows(sql) || may_name(sql, *b"n_s", b"SESSION_STATUS")) {
        return false;
    }
    Statements::new(sql, dialect).any(|statement| {
        let lists = match begins_with(statement.sql, b"SHOW") {
            true => statement.mentions(b"STATUS") && !statement.mentions(b"GLOBAL"),
            false => statement.mentions(b"SESSION_STATUS"),
        };
        let all = !statement.mentions(b"LIKE") && !statement.mentions(b"WHERE");
        lists && (all || contains(statement.sql, b"com") || contains(statement.sql, b"uestions"))
    })
}

/// Whether a SET changes what transactions are: `SET TRANSACTION`, `tx_read_only` and its like.
pub(super) fn may_change_frames(statement: &Statement<'_>) -> bool {
    let Kind::Set(targets) = statement.kind else { return locks_tables(statement) };
    targets.contains(SetTargets::TRANSACTION)
        || may_name(statement.sql, *b"tx_", b"TX_")
        || may_name(statement.sql, *b"tra", b"TRANSACTION")
        || sets_completion(statement)
        || (targets.contains(SetTargets::AUTOCOMMIT) && autocommit_set_to(statement).is_none())
}

/// Whether a SET changes what a COMMIT does besides.
///
/// Source: MariaDB documentation, "Server System Variables" (`completion_type`).
pub(super) fn sets_completion(statement: &Statement<'_>) -> bool {
    matches!(statement.kind, Kind::Set(_)) && may_name(statement.sql, *b"com", b"COMPLETION_TYPE")
}

/// Whether a statement refuses writes to those behind it: LOCK TABLES, BACKUP LOCK.
pub(super) fn locks_tables(statement: &Statement<'_>) -> bool {
    statement.kind == Kind::LockTables || begins_with(statement.sql, b"BACKUP")
}

/// Whether a text sets what no report tells: a collation by SET NAMES, or a role.
pub(crate) fn sets_untold(sql: &[u8]) -> bool {
    let is_set = begins_with(sql, b"SET");
    match is_set && sql.len() < SHORT_TEXT {
        true => contains(sql, b"COLLAT") || contains(sql, b"ROLE"),
        false => {
            let first = may_name(sql, *b"nam", b"SET NAMES") && may_name(sql, *b"oll", b"COLLATE");
            first || may_name(sql, *b"rol", b"SET ROLE")
        }
    }
}

/// State that a SET has set and no report tells, as far as its words tell.
#[derive(Debug, Default, Eq, PartialEq)]
pub(crate) struct Untold {
    /// Collation of SET NAMES, or [`DEFAULT`].
    pub(crate) collation: Option<Vec<u8>>,
    /// Role of SET ROLE; empty: none.
    pub(crate) role: Option<Vec<u8>>,
}

/// The word for character set and collation of the server.
pub(crate) const DEFAULT: &[u8] = b"DEFAULT";

/// Reads from its words the state that a statement sets and no report tells.
///
/// Source: MariaDB documentation, "SET NAMES", "SET ROLE".
pub(crate) fn untold_in(sql: &[u8]) -> Untold {
    let mut words = sql.trim_ascii_start();
    let mut untold = Untold::default();
    if !next_word(&mut words).is_some_and(|word| word.eq_ignore_ascii_case(b"SET")) {
        return untold;
    }
    let named = next_word(&mut words).unwrap_or_default();
    if named.eq_ignore_ascii_case(b"ROLE") {
        let is_none = |role: &&[u8]| role.eq_ignore_ascii_case(b"NONE");
        let role = next_word(&mut words);
        untold.role = role.map(|role| if is_none(&role) { Vec::new() } else { role.to_vec() });
    } else if named.eq_ignore_ascii_case(b"NAMES")
        && let Some(charset) = next_word(&mut words)
    {
        if charset.eq_ignore_ascii_case(DEFAULT) {
            untold.collation = Some(DEFAULT.to_vec());
            return untold;
        }
        let collates =
            next_word(&mut words).is_some_and(|word| word.eq_ignore_ascii_case(b"COLLATE"));
        let named = |name: &&[u8]| collates && !name.eq_ignore_ascii_case(DEFAULT);
        untold.collation = next_word(&mut words).filter(named).map(<[u8]>::to_vec);
    }
    untold
}

/// Effects of a text on its session, as far as its words tell, where the server reports none of them.
#[derive(Debug, Default, Eq, PartialEq)]
pub(crate) struct Unreported {
    /// Variables that it sets, but for those that say what is reported.
    pub(crate) variables: Vec<Vec<u8>>,
    /// Whether it may change more than these.
    pub(crate) other: bool,
}

impl Unreported {
    /// Reads a text.
    pub(crate) fn of(sql: &[u8], dialect: Dialect) -> Self {
        let mut all = Self::default();
        for statement in Statements::new(sql, dialect) {
            match statement.kind {
                Kind::Set(_) => all.set(&statement),
                Kind::Begin | Kind::Commit(_) | Kind::Rollback(_) | Kind::Savepoint => {}
                Kind::Empty | Kind::Select | Kind::Show => {}
                _ => all.other = true,
            }
        }
        all
    }

    /// Adds what a SET sets: each name in front of a sign of equality. A name in a string is one too much, and is asked for
    /// in vain.
    fn set(&mut self, statement: &Statement<'_>) {
        const CHARSETS: [&[u8]; 4] = [
            b"character_set_client",
            b"character_set_results",
            b"character_set_connection",
            b"collation_connection",
        ];
        let sql = statement.sql;
        let is_word = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'_';
        // No variable tells what holds for the next transaction alone.
        self.other |= statement.mentions(b"TRANSACTION") || !sets_for_next(sql).is_empty();
        if [&b"NAMES"[..], b"CHARSET", b"CHARACTER"].iter().any(|word| statement.mentions(word)) {
            self.variables.extend(CHARSETS.map(<[u8]>::to_vec));
        }
        let words = sql.split(|byte| !is_word(byte)).filter(|word| !word.is_empty());
        for word in words {
            let start = word.as_ptr() as usize - sql.as_ptr() as usize;
            let (before, behind) = (&sql[..start], sql[start + word.len()..].trim_ascii_start());
            let sets = behind.starts_with(b"=") || behind.starts_with(b":=");
            let of_user = before.ends_with(b"@") && !before.ends_with(b"@@");
            let name = word.to_ascii_lowercase();
            if sets && !of_user && !name.starts_with(b"session_track_") {
                self.variables.push(name);
            }
        }
    }
}

/// The part of a statement that sets variables for itself alone; empty where there is none.
///
/// Source: MariaDB documentation, "SET STATEMENT".
pub(crate) fn sets_for_itself(sql: &[u8]) -> &[u8] {
    let mut words = sql;
    let begins = [&b"SET"[..], b"STATEMENT"]
        .into_iter()
        .all(|word| next_word(&mut words).is_some_and(|next| next.eq_ignore_ascii_case(word)));
    let end = |window: &[u8]| window.eq_ignore_ascii_case(b"FOR");
    match begins {
        true => words.windows(3).rposition(end).map_or(words, |end| &words[..end]),
        false => &[],
    }
}

/// Words with the names of variables that a statement sets, and not for its session; empty where there are none.
pub(crate) fn sets_in_passing(sql: &[u8]) -> Vec<u8> {
    match begins_with(sql.trim_ascii_start(), b"SET") {
        true => [sets_for_itself(sql), sets_for_next(sql)].concat(),
        false => Vec::new(),
    }
}

/// Names of the variables that a SET sets for the next transaction alone: without a word of scope, `@@` does that for these.
/// Either name of each is given, as servers of one version report the one and those of another the other.
///
/// Source: MariaDB documentation, "SET TRANSACTION".
fn sets_for_next(sql: &[u8]) -> &'static [u8] {
    let names = |all: [&[u8]; 2]| all.into_iter().any(|name| contains(sql, name));
    let read_only = names([b"@@tx_read_only", b"@@transaction_read_only"]);
    let isolation = names([b"@@tx_isolation", b"@@transaction_isolation"]);
    match (read_only, isolation) {
        (false, false) => b"",
        (true, false) => b"tx_read_only,transaction_read_only",
        (false, true) => b"tx_isolation,transaction_isolation",
        (true, true) => b"tx_read_only,transaction_read_only,tx_isolation,transaction_isolation",
    }
}

/// Takes the next word off a text, or what is in quotes there. `None`: neither is there.
fn next_word<'a>(sql: &mut &'a [u8]) -> Option<&'a [u8]> {
    let text = sql.trim_ascii_start();
    let is_word = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'_';
    let (word, rest) = match text.first()? {
        quote @ (b'\'' | b'"' | b'`') => {
            let inner = &text[1..];
            let end = inner.iter().position(|byte| byte == quote)?;
            (&inner[..end], &inner[end + 1..])
        }
        _ => text.split_at(text.iter().position(|byte| !is_word(byte)).unwrap_or(text.len())),
    };
    *sql = rest;
    Some(word).filter(|word| !word.is_empty())
}

/// Whether a text has a SET, and the name of one of these variables.
pub(crate) fn sets_one_of(sql: &[u8], names: &[&[u8]]) -> bool {
    // Each name has one of these in it, which is found faster.
    let parts: [([u8; 3], &[u8]); 4] = [
        (*b"_ch", b"_CHECKS"),
        (*b"ql_", b"SQL_"),
        (*b"_ve", b"_VERSIONING_"),
        (*b"_de", b"_DEFAULTS_"),
    ];
    !names.is_empty()
        && sql.len() < LONG
        && parts.into_iter().any(|(three, part)| may_name(sql, three, part))
        && contains(sql, b"SET")
        && names.iter().any(|name| contains(sql, name))
}

/// Bytes of a text that is searched byte by byte.
const SHORT_TEXT: usize = 1024;

/// Whether a text names the variables that say what is reported.
pub(crate) fn names_reports(sql: &[u8]) -> bool {
    sql.len() < LONG && may_name(sql, *b"n_t", b"SESSION_TRACK")
}

/// Whether a text reads what a statement before it has left besides its reply: its count of rows, or its warnings.
pub(crate) fn reads_diagnostics(sql: &[u8]) -> bool {
    may_name(sql, *b"w_c", b"ROW_COUNT") || reads_warnings(sql)
}

/// Whether a statement reads what the one before it has left besides its reply, of whichever kind.
pub(crate) fn reads_last_statement(sql: &[u8]) -> bool {
    reads_diagnostics(sql) || may_name(sql, *b"d_r", b"FOUND_ROWS") || reads_next_id(sql)
}

/// Whether a statement reads the id that the next row is to have: a replay sets it.
///
/// Source: MariaDB documentation, "Server System Variables" (`insert_id`).
fn reads_next_id(sql: &[u8]) -> bool {
    const NAME: &[u8] = b"INSERT_ID";
    let is_whole = |at: usize| !sql[..at].ends_with(b"_");
    let here = |(at, word): (usize, &[u8])| word.eq_ignore_ascii_case(NAME) && is_whole(at);
    may_name(sql, *b"t_i", NAME) && sql.windows(NAME.len()).enumerate().any(here)
}

/// Whether a statement that returns rows leaves the list of warnings as it finds it: it touches no table.
///
/// Source: MariaDB documentation, "SHOW WARNINGS".
pub(crate) fn reads_no_table(sql: &[u8]) -> bool {
    (begins_with(sql, b"SELECT") && !may_name(sql, *b"fro", b"FROM"))
        || (begins_with(sql, b"SHOW") && reads_warnings(sql))
}

/// Whether a statement without rows leaves the list of warnings as it finds it: it touches no table.
///
/// Source: MariaDB documentation, "SHOW WARNINGS".
pub(crate) fn works_on_no_table(sql: &[u8], dialect: Dialect) -> bool {
    let reads = || may_name(sql, *b"fro", b"FROM");
    begins_with(sql, b"USE ")
        || (begins_with(sql, b"SET ") && sets_for_itself(sql).is_empty() && !reads())
        || (begins_with(sql, b"DO ")
            && !reads()
            && !Statement::single(sql, dialect).may_call_stored())
}

/// Whether a write may have used up an id that its reply does not tell: that of a row that was there already.
///
/// Source: MariaDB documentation, "INSERT IGNORE", "INSERT ON DUPLICATE KEY UPDATE".
pub(crate) fn wastes_ids(sql: &[u8], told: u64) -> bool {
    begins_with(sql, b"INSERT")
        && (may_name(sql, *b"upl", b"DUPLICATE")
            || (told == 0 && may_name(sql, *b"gno", b"IGNORE")))
}

/// Whether a statement reads the list of warnings.
pub(crate) fn reads_warnings(sql: &[u8]) -> bool {
    let names: [([u8; 3], &[u8]); 3] =
        [(*b"gno", b"DIAGNOSTICS"), (*b"rni", b"WARNING"), (*b"rro", b"ERROR")];
    names.into_iter().any(|(three, name)| may_name(sql, three, name))
}

/// Whether the reply to a write has counts and no rows, as far as its words tell: so that it can be told anew from the
/// fence, should it be lost.
///
/// Source: MariaDB documentation, "INSERT...RETURNING".
pub(super) fn has_counts_alone(sql: &[u8]) -> bool {
    sql.get(..4).is_some_and(is_common) && !may_name(sql, *b"ret", b"RETURNING")
}

/// Whether a text has a semicolon before its end, beside what makes it hard to say whether that ends a statement.
///
/// A client that may send one statement is safe from those that others smuggle into its text. A server that takes
/// several would do them, should we ever read a string or a comment otherwise than it does.
pub(super) fn may_hide_statement(sql: &[u8]) -> bool {
    let end = |byte: &u8| *byte == b';' || byte.is_ascii_whitespace();
    let len = sql.iter().rposition(|byte| !end(byte)).map_or(0, |last| last + 1);
    let text = &sql[..len];
    text.contains(&b';') && (text.contains(&b'\\') || text.windows(2).any(|two| two == b"/*"))
}

/// Whether a statement may read `autocommit`, by its name or in a list of variables.
///
/// Source: MariaDB documentation, "SHOW VARIABLES", "Information Schema SYSTEM_VARIABLES Table".
pub(crate) fn reads_autocommit(statement: &Statement<'_>) -> bool {
    let lists: [&[u8]; 3] = [b"VARIABLES", b"SESSION_VARIABLES", b"SYSTEM_VARIABLES"];
    let sql = statement.sql;
    (may_name(sql, *b"oco", b"AUTOCOMMIT") && statement.mentions_system_variable(b"AUTOCOMMIT"))
        || (may_name(sql, *b"iab", b"VARIABLES")
            && lists.iter().any(|list| statement.mentions(list)))
}

/// Whether a statement does what no words tell, and may find the guard by it: it sets `autocommit`, or goes on behind the
/// end of the transaction.
pub(crate) fn works_unseen(kind: Kind, open_ended: bool) -> bool {
    open_ended || matches!(kind, Kind::Call | Kind::Execute | Kind::LockTables)
}

/// Form of a statement under the guard, where other words, or none, keep that from being seen.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum UnderGuard {
    /// Turns on what is on for the client: in these words it stays off for the server.
    On(Vec<u8>),
    /// Turns `autocommit` off: the mode that the guard has made is the client's own from here on.
    Off,
    /// Reads `autocommit`: in these words the server says what it is for the client.
    Reads(Vec<u8>),
}

/// Form of a statement under the guard, if that is known.
pub(crate) fn under_guard(statement: &Statement<'_>) -> Option<UnderGuard> {
    let sql = statement.sql;
    if !may_name(sql, *b"oco", b"AUTOCOMMIT") {
        return None;
    }
    if let Some((on, value)) = autocommit_value(statement) {
        let digit = sql.get(value.start).is_some_and(u8::is_ascii_digit);
        let off: &[u8] = if digit { b"0" } else { b"OFF" };
        return Some(match on {
            true => UnderGuard::On([&sql[..value.start], off, &sql[value.end..]].concat()),
            false => UnderGuard::Off,
        });
    }
    let (select, name) = sql.split_at_checked(b"SELECT ".len())?;
    let name = name.trim_ascii();
    let names: [&[u8]; 3] = [b"@@autocommit", b"@@session.autocommit", b"@@local.autocommit"];
    let reads = select.trim_ascii().eq_ignore_ascii_case(b"SELECT")
        && names.iter().any(|one| one.eq_ignore_ascii_case(name));
    // A variable of the same type, which is on wherever there is a guard.
    reads.then(|| UnderGuard::Reads([b"SELECT @@global.wsrep_on AS `", name, b"`"].concat()))
}

/// Whether a statement sets `autocommit`, or may do so unseen.
pub(super) fn may_set_autocommit(statement: &Statement<'_>) -> bool {
    // Nobody looks into a block, nor into what comes behind it.
    let hidden = statement.open_ended && may_name(statement.sql, *b"oco", b"AUTOCOMMIT");
    hidden || sets_autocommit(statement.kind)
}

/// Whether it is a SET of `autocommit`.
pub(super) fn sets_autocommit(kind: Kind) -> bool {
    matches!(kind, Kind::Set(targets) if targets.contains(SetTargets::AUTOCOMMIT))
}

/// The value that a SET gives to `autocommit`, as far as its words tell.
pub(super) fn autocommit_set_to(statement: &Statement<'_>) -> Option<bool> {
    autocommit_value(statement).map(|(on, _)| on)
}

/// The value that a SET gives to `autocommit`, and its place in the text.
fn autocommit_value(statement: &Statement<'_>) -> Option<(bool, Range<usize>)> {
    let Kind::Set(targets) = statement.kind else { return None };
    let [other, global] = [SetTargets::OTHER, SetTargets::GLOBAL].map(|set| targets.contains(set));
    if !targets.contains(SetTargets::AUTOCOMMIT) || other || global {
        return None;
    }
    let is_word = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'_';
    let sql = statement.sql;
    let mut words = sql.split(|byte| !is_word(byte)).filter(|word| !word.is_empty());
    let name = words.find(|word| word.eq_ignore_ascii_case(b"autocommit"))?;
    let value = words.next()?;
    // An expression may be anything.
    let place = |word: &[u8]| word.as_ptr() as usize - sql.as_ptr() as usize;
    let between = sql.get(place(name) + name.len()..place(value))?;
    let behind = sql.get(place(value) + value.len()..)?.trim_ascii_start();
    let quotes =
        |byte: &u8| matches!(byte, b'=' | b':' | b'`' | b'\'' | b'"') || byte.is_ascii_whitespace();
    let plain =
        between.iter().all(quotes) && matches!(behind.first(), None | Some(b',' | b'\'' | b'"'));
    let range = place(value)..place(value) + value.len();
    let value = value.to_ascii_lowercase();
    match &value[..] {
        _ if !plain => None,
        b"1" | b"on" | b"true" => Some((true, range)),
        b"0" | b"off" | b"false" => Some((false, range)),
        _ => None,
    }
}

/// The kind of a statement. A DO without a function does nothing: clients ask with it whether the server lives.
pub(super) fn kind_of(statement: &Statement<'_>) -> Kind {
    let sql = statement.sql;
    let is_do = sql.len() < SHORT && begins_with(sql, b"DO ") && !sql.contains(&b'(');
    if is_do && statement.kind == Kind::Other { Kind::Select } else { statement.kind }
}

/// In bytes, more than a DO that asks whether the server lives has.
const SHORT: usize = 64;

/// Whether the server may ask the client for a file.
pub(super) fn loads_file(statement: &Statement<'_>) -> bool {
    statement.kind == Kind::Dml
        && statement.sql.get(..4).is_none_or(|word| !is_common(word))
        && statement.mentions(b"LOAD")
}

/// Whether a write begins with one of the usual words, and so is no LOAD.
pub(super) fn is_common(word: &[u8]) -> bool {
    [b"INSE", b"UPDA", b"DELE", b"REPL"].iter().any(|common| word.eq_ignore_ascii_case(*common))
}

pub(super) fn is_exotic(sql: &[u8]) -> bool {
    let end = sql.iter().position(|byte| !byte.is_ascii_alphabetic()).unwrap_or(sql.len());
    [&b"XA"[..], b"HANDLER", b"BACKUP"].iter().any(|exotic| sql[..end].eq_ignore_ascii_case(exotic))
}

/// Whether a statement may give `LAST_INSERT_ID()` a value of its own: with an argument, the function does.
///
/// Source: MariaDB documentation, "LAST_INSERT_ID".
pub(crate) fn chooses_insert_id(sql: &[u8]) -> bool {
    const NAME: &[u8] = b"LAST_INSERT_ID";
    let takes_argument = |(at, word): (usize, &[u8])| {
        let mut behind = sql[at + NAME.len()..].iter().filter(|byte| !byte.is_ascii_whitespace());
        word.eq_ignore_ascii_case(NAME)
            && behind.next() == Some(&b'(')
            && behind.next() != Some(&b')')
    };
    may_name(sql, *b"nse", NAME) && sql.windows(NAME.len()).enumerate().any(takes_argument)
}

/// Whether a text begins with these letters.
pub(crate) fn begins_with(sql: &[u8], word: &[u8]) -> bool {
    sql.get(..word.len()).is_some_and(|start| start.eq_ignore_ascii_case(word))
}

/// Whether a text has these letters in it, byte by byte.
pub(crate) fn contains(sql: &[u8], word: &[u8]) -> bool {
    sql.windows(word.len()).any(|here| here.eq_ignore_ascii_case(word))
}

/// A quick look for a name that has these three bytes, in lower case, in it: so that the tokens of a batch are not
/// read a second time for nothing. There is no branch in the first loop: it takes many bytes at once.
pub(crate) fn may_name(sql: &[u8], three: [u8; 3], name: &[u8]) -> bool {
    let end = sql.len().saturating_sub(2);
    let (first, second, third) =
        (&sql[..end], sql.get(1..=end).unwrap_or_default(), sql.get(2..).unwrap_or_default());
    let [one, two, three] = three.map(|byte| byte | 0x20);
    let found = first.iter().zip(second).zip(third).fold(0, |found, ((first, second), third)| {
        let here = (first | 0x20 == one) & (second | 0x20 == two) & (third | 0x20 == three);
        found | u8::from(here)
    });
    found != 0 && contains(sql, name)
}
