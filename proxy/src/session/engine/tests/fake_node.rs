//! Nodes of a cluster that know just enough SQL to keep tokens: a table `t`, a fence, transactions.
//!
//! What is committed anywhere is certified against all that was committed before, as Galera does it,
//! and is seen by another node only after a causal read there, unless that node is `eager`.

use std::collections::{BTreeSet, VecDeque};

use ido_proxy_protocol::capabilities::Capabilities;
use ido_proxy_protocol::command::Command;
use ido_proxy_protocol::eof::EofPacket;
use ido_proxy_protocol::err::ErrPacket;
use ido_proxy_protocol::ok::OkPacket;
use ido_proxy_protocol::packet::{self, HEADER_LEN};
use ido_proxy_protocol::prepare::PrepareOk;
use ido_proxy_protocol::status::StatusFlags;

use super::{COLUMN, EMPTY, IMPLICIT, NONE, WROTE};

/// A row of `t`, and its id.
pub(super) type Token = (u64, String);

/// State that all nodes have in common.
#[derive(Debug, Default)]
pub(super) struct Cluster {
    commits: Vec<Work>,
    /// No table of fences exists.
    pub(super) fenceless: bool,
    /// Every statement that a node was sent, in order.
    pub(super) log: Vec<String>,
    /// The next statement that begins so is refused with this, once. The transaction goes on, but for
    /// errors that say otherwise.
    pub(super) refusals: VecDeque<(&'static str, ErrPacket)>,
    /// Every fence is removed when this statement is done.
    pub(super) forgets_fences_after: Option<&'static str>,
    /// The error for which the server rolls back, beside those that are known for it.
    pub(super) rolls_back_for: Option<u16>,
    /// Ids that were rolled back are not given again, as on a real node.
    pub(super) counts_on: bool,
    /// A connection of the node was killed.
    pub(super) killed: bool,
    /// After so many statements more in transactions that wrote, the one at hand is given up for the sake
    /// of another node's; then the next one, after so many.
    pub(super) gives_up: VecDeque<usize>,
}

/// A client of a node.
#[derive(Debug)]
pub(super) struct Connection {
    capabilities: Capabilities,
    /// Heard, and not worked at.
    inbox: Vec<u8>,
    open: Option<Work>,
    /// The open transaction as it was at its savepoint.
    savepoint: Option<Work>,
    /// So many of the commits are applied.
    applied: usize,
    /// All of them are, at every statement.
    eager: bool,
    /// Added to every id that is generated.
    pub(super) skew: u64,
    insert_id: Option<u64>,
    /// Places of prepared statements that were closed.
    closed: BTreeSet<u32>,
    last_insert_id: u64,
    /// A variable, of one digit.
    mode: u8,
    reports_mode: bool,
    reports_autocommit: bool,
    /// The isolation level of the next transaction alone, if it was set.
    next_level: Level,
    /// Level of the next transaction as last told.
    told_level: (Level, bool),
    reported: &'static [u8],
    statements: Vec<String>,
    /// The number of the first prepared statement.
    first_statement: u32,
    /// Commands that were answered.
    pub(super) answered: usize,
    autocommit: bool,
    /// A transaction was given up in the text at hand, and nobody was told.
    owes_error: bool,
    /// The last statement failed.
    failed: bool,
    /// The node is not ready: SET, and a SELECT without a table, are all that it does.
    pub(super) unready: bool,
    /// A text of several statements is a syntax error.
    single: bool,
}

/// An isolation level.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
enum Level {
    #[default]
    Usual,
    Serializable,
}

/// A transaction.
#[derive(Clone, Debug, Default)]
struct Work {
    level: Level,
    tokens: Vec<Token>,
    /// Session, and its number before and after.
    fence: Option<(String, u64, u64)>,
    /// No BEGIN began it.
    implicit: bool,
    /// The reply that the fence keeps.
    reply: Option<String>,
}

impl Cluster {
    /// The tokens and their ids, in the order in which they were committed.
    pub(super) fn tokens(&self) -> Vec<Token> {
        self.seen(self.commits.len()).0
    }

    /// How many transactions wrote and were committed.
    pub(super) fn commits(&self) -> usize {
        self.commits.len()
    }

    /// How many transactions were committed without a fence.
    pub(super) fn unfenced(&self) -> usize {
        self.commits.iter().filter(|work| work.fence.is_none()).count()
    }

    /// Somebody else commits a token.
    pub(super) fn insert(&mut self, id: u64, token: &str) {
        self.commits.push(Work { tokens: vec![(id, token.to_owned())], ..Work::default() });
    }

    /// Somebody removes every fence.
    pub(super) fn forget_fences(&mut self) {
        self.commits.iter_mut().for_each(|commit| commit.fence = None);
    }

    /// Tokens and fences.
    fn seen(&self, commits: usize) -> (Vec<Token>, Vec<(String, u64)>) {
        let commits = &self.commits[..commits];
        let tokens = commits.iter().flat_map(|commit| commit.tokens.clone());
        let fences = commits.iter().filter_map(|commit| commit.fence.clone());
        (tokens.collect(), fences.map(|(name, _, seq)| (name, seq)).collect())
    }

    /// The reply that a fence keeps, after so many commits.
    fn reply(&self, commits: usize, name: &str) -> Option<String> {
        let of_name = |work: &&Work| work.fence.as_ref().is_some_and(|(other, ..)| other == name);
        let mut commits = self.commits[..commits].iter().rev().filter(of_name);
        commits.find_map(|work| work.reply.clone())
    }

    /// Whether something else was committed that the transaction must not be committed after.
    fn certifies(&self, work: &Work) -> bool {
        let (tokens, fences) = self.seen(self.commits.len());
        let taken = |id: &u64| tokens.iter().any(|(other, _)| other == id);
        let fence = work.fence.as_ref();
        let same = fence.is_none_or(|(name, before, _)| number(&fences, name) == *before);
        same && !work.tokens.iter().any(|(id, _)| taken(id))
    }
}

/// Error of Galera for a conflict.
pub(super) fn deadlock() -> ErrPacket {
    ErrPacket::new(1213, *b"40001", "Deadlock found when trying to get lock")
}

fn number(fences: &[(String, u64)], name: &str) -> u64 {
    fences.iter().rfind(|(other, _)| other == name).map_or(0, |(_, seq)| *seq)
}

/// The numbers that a fence may have before it is set by an INSERT, and the one that it gets.
fn fits(sql: &str) -> (Vec<u64>, u64) {
    let (_, condition) = sql.split_once("UPDATE seq=IF(").unwrap_or_else(|| {
        let (values, _) = sql.split_once(", CONCAT_WS").unwrap_or((sql, ""));
        values.split_once("', ").expect("values")
    });
    let (condition, _) = condition.split_once(", ~").unwrap_or((condition, ""));
    let numbers = condition.split(|letter: char| !letter.is_ascii_digit());
    let mut numbers = Vec::from_iter(numbers.filter_map(|number| number.parse().ok()));
    let next = numbers.pop().expect("the number that it gets");
    if numbers.is_empty() {
        numbers.push(0);
    }
    (numbers, next)
}

/// Our own words for what clients say in a word.
pub(super) fn short(sql: &str) -> &str {
    let sql = sql.trim_end();
    let sql = sql.strip_suffix(" AND NO CHAIN NO RELEASE").unwrap_or(sql);
    if sql == "START TRANSACTION" { "BEGIN" } else { sql }
}

/// The statements of a text.
fn statements(text: &str) -> Vec<&str> {
    let (mut all, mut start, mut quoted) = (Vec::new(), 0, false);
    for (at, letter) in text.char_indices() {
        quoted ^= letter == '\'';
        if letter == ';' && !quoted {
            all.push(&text[start..at]);
            start = at + 1;
        }
    }
    all.push(&text[start..]);
    all
}

/// How a statement was answered.
enum Answer {
    Ok {
        affected: u64,
        id: u64,
    },
    Rows(Vec<String>),
    /// Fence and reply.
    Fence(u64, Option<String>),
}

const DONE: Answer = Answer::Ok { affected: 0, id: 0 };

impl Connection {
    /// A new one, to a node on which all but the last commit is applied; the `nth` of the session.
    pub(super) fn new(cluster: &Cluster, capabilities: Capabilities, nth: u32) -> Self {
        Self {
            capabilities,
            inbox: Vec::new(),
            open: None,
            savepoint: None,
            applied: cluster.commits.len().saturating_sub(1),
            eager: false,
            skew: 0,
            insert_id: None,
            closed: BTreeSet::new(),
            last_insert_id: 0,
            mode: b'0',
            reports_mode: false,
            reports_autocommit: false,
            next_level: Level::Usual,
            told_level: (Level::Usual, false),
            reported: NONE,
            statements: Vec::new(),
            first_statement: 10 * nth + 1,
            answered: 0,
            autocommit: true,
            owes_error: false,
            failed: false,
            unready: false,
            single: !capabilities.contains(Capabilities::MULTI_STATEMENTS),
        }
    }

    /// Makes it a node that never lags behind.
    pub(super) fn eager(mut self) -> Self {
        self.eager = true;
        self
    }

    /// Gets bytes.
    pub(super) fn hear(&mut self, bytes: &[u8]) {
        self.inbox.extend_from_slice(bytes);
    }

    /// Does what the commands say that it has heard, and answers.
    pub(super) fn work(&mut self, cluster: &mut Cluster) -> Vec<u8> {
        let mut out = Vec::new();
        while let Some((header, payload)) = packet::whole(&self.inbox, 1 << 20).expect("packets") {
            let (len, payload) = (HEADER_LEN + header.payload_len, payload.to_vec());
            self.inbox.drain(..len);
            self.answered += 1;
            self.command(cluster, &payload, &mut out);
        }
        out
    }

    fn command(&mut self, cluster: &mut Cluster, payload: &[u8], out: &mut Vec<u8>) {
        let text = String::from_utf8_lossy(&payload[1..]).into_owned();
        let id = || u32::from_le_bytes(payload[1..5].try_into().expect("a statement's number"));
        let text = match Command::from_byte(payload[0]) {
            Command::Query => text,
            Command::SetOption => {
                self.single = payload[1] == 1;
                let eof = EofPacket { warnings: 0, status: self.status() };
                packet::frame(&eof.encode(), 1, out);
                return;
            }
            Command::StmtPrepare => {
                // Mode of the session that reads a text: `"a"` is a string in one, and a name in another.
                let mode = format!("('{}')", char::from(self.mode));
                self.statements.push(text.replace("(@@mode_of_text)", &mode));
                let number = self.first_statement + self.statements.len() as u32 - 1;
                let ok = PrepareOk {
                    statement_id: number,
                    columns: 0,
                    parameters: 0,
                    warnings: 0,
                    definitions_follow: true,
                };
                packet::frame(&ok.encode(), 1, out);
                return;
            }
            Command::StmtExecute => {
                let place = id().checked_sub(self.first_statement).expect("one of this link");
                if self.closed.contains(&place) {
                    let error = ErrPacket::new(1243, *b"HY000", "Unknown prepared statement");
                    packet::frame(&error.encode(), 1, out);
                    return;
                }
                self.statements[place as usize].clone()
            }
            Command::StmtClose => {
                let place = id().checked_sub(self.first_statement).expect("one of this link");
                assert!(self.closed.insert(place), "closed twice");
                return;
            }
            Command::ResetConnection => {
                self.open = None;
                (self.autocommit, self.reports_autocommit) = (true, false);
                self.tell(DONE, false, 1, out);
                return;
            }
            command => panic!("not known here: {command}"),
        };
        if self.single && statements(&text).len() > 1 {
            cluster.log.push(text);
            let error = ErrPacket::new(1064, *b"42000", "You have an error in your SQL syntax");
            packet::frame(&error.encode(), 1, out);
            return;
        }
        let (mut sequence, mut rest) = (1, statements(&text).into_iter().peekable());
        while let Some(sql) = rest.next() {
            let more = rest.peek().is_some();
            let sql = short(sql);
            cluster.log.push(sql.to_owned());
            let answer = self.statement(cluster, sql);
            self.failed = false;
            if cluster.forgets_fences_after == Some(sql) {
                cluster.forget_fences();
            }
            match answer {
                Ok(_) if self.must_tell_error(cluster, more) => {
                    // The mode is set, and nobody is told.
                    self.reports_mode = false;
                    packet::frame(&deadlock().encode(), sequence, out);
                    return;
                }
                Ok(answer) => sequence = self.tell(answer, more, sequence, out),
                Err(error) => {
                    self.failed = true;
                    packet::frame(&error.encode(), sequence, out);
                    return;
                }
            }
        }
    }

    /// Gives the open transaction up, if it is to be now. As MariaDB does it: in the middle of a text, the
    /// statement at hand is answered as if nothing had been; the last one is answered with an error, but
    /// in autocommit mode only if it was that one.
    fn must_tell_error(&mut self, cluster: &mut Cluster, more: bool) -> bool {
        if let Some(left) = cluster.gives_up.front_mut()
            && self.open.as_ref().is_some_and(|work| !work.tokens.is_empty())
        {
            *left = left.saturating_sub(1);
            if *left == 0 {
                cluster.gives_up.pop_front();
                self.open = None;
                self.owes_error = !self.autocommit || !more;
            }
        }
        !more && std::mem::take(&mut self.owes_error)
    }

    fn statement(&mut self, cluster: &mut Cluster, sql: &str) -> Result<Answer, ErrPacket> {
        let refused = !sql.starts_with("SELECT @@") && !sql.starts_with("SET ");
        if self.unready && refused {
            let message = "WSREP has not yet prepared node for application use";
            return Err(ErrPacket::new(1047, *b"08S01", message));
        }
        if self.open.as_ref().is_some_and(|work| !cluster.certifies(work)) {
            return Err(self.conflict(cluster));
        }
        if self.eager {
            self.applied = cluster.commits.len();
        }
        if let Some((start, error)) = cluster.refusals.front()
            && sql.starts_with(start)
        {
            let error = error.clone();
            cluster.refusals.pop_front();
            let code = error.code;
            if [1020, 1180, 1213].contains(&code) || cluster.rolls_back_for == Some(code) {
                self.open = None;
                self.reported = NONE;
            }
            return Err(error);
        }
        if let Some(read) = sql.strip_prefix("SET STATEMENT wsrep_sync_wait=15 FOR ") {
            self.applied = cluster.commits.len();
            return self.statement(cluster, read);
        }
        match sql {
            "BEGIN" => {
                if self.open.is_some() {
                    self.commit(cluster)?;
                }
                self.open = Some(Work { implicit: false, ..self.implicit_work() });
                return Ok(DONE);
            }
            "COMMIT" => return self.commit(cluster).map(|()| DONE),
            "ROLLBACK" => {
                self.next_level = Level::Usual;
                let undone = self.open.take().map_or(0, |work| work.tokens.len() as u64);
                self.skew += if cluster.counts_on { undone } else { 0 };
                return Ok(DONE);
            }
            "SAVEPOINT a" => {
                self.savepoint = self.open.clone();
                return Ok(DONE);
            }
            "ROLLBACK TO SAVEPOINT a" => {
                self.open = self.savepoint.clone();
                return Ok(DONE);
            }
            "SET ROLE NONE" => return Ok(DONE),
            "SELECT @@collation_connection, CURRENT_ROLE()" => {
                return Ok(Answer::Rows(vec!["utf8mb4_general_ci".to_owned()]));
            }
            "SET TRANSACTION ISOLATION LEVEL SERIALIZABLE" => {
                if self.open.is_some() {
                    let message = "can't be changed while a transaction is in progress";
                    return Err(ErrPacket::new(1568, *b"25001", message));
                }
                self.next_level = Level::Serializable;
                return Ok(DONE);
            }
            "CALL undo()" => {
                self.open = None;
                return Ok(DONE);
            }
            "CALL end()" => return self.commit(cluster).map(|()| DONE),
            // A procedure's effects are not told.
            "CALL add(12)" => {
                self.last_insert_id = 12;
                return Ok(DONE);
            }
            "SELECT LAST_INSERT_ID(12)" => {
                self.last_insert_id = 12;
                return Ok(Answer::Rows(vec!["12".to_owned()]));
            }
            "SELECT LAST_INSERT_ID()" => {
                return Ok(Answer::Rows(vec![self.last_insert_id.to_string()]));
            }
            "SELECT 1" => return Ok(Answer::Rows(vec!["1".to_owned()])),
            // The node works.
            "SELECT @@global.read_only" => {
                return Ok(Answer::Rows(vec!["0".to_owned()]));
            }
            "DO 0" => return Ok(DONE),
            "SELECT @@autocommit" => {
                return Ok(Answer::Rows(vec![u8::from(self.autocommit).to_string()]));
            }
            "SELECT @@global.wsrep_on AS `@@autocommit`" => {
                return Ok(Answer::Rows(vec!["1".to_owned()]));
            }
            "SHOW WARNINGS" => return Ok(Answer::Rows(Vec::new())),
            "UPDATE u SET a=1" => {
                self.write(cluster, |_| {})?;
                return Ok(Answer::Ok { affected: 1, id: 0 });
            }
            // Tells an id that it did not generate.
            "UPDATE u SET a=LAST_INSERT_ID(99)" => {
                self.write(cluster, |_| {})?;
                self.last_insert_id = 99;
                return Ok(Answer::Ok { affected: 1, id: 99 });
            }
            _ => {}
        }
        let (mut tokens, mut fences) = cluster.seen(self.applied);
        let own = self.open.iter();
        tokens.extend(own.clone().flat_map(|work| work.tokens.clone()));
        fences.extend(own.filter_map(|work| work.fence.clone()).map(|(name, _, seq)| (name, seq)));
        let last = self.last_insert_id.to_string();
        let mut quoted: Vec<&str> = sql.split('\'').skip(1).step_by(2).collect();
        let mode = char::from(self.mode).to_string();
        let level = self.open.as_ref().map_or(self.next_level, |work| work.level);
        let level = format!("{level:?}");
        if sql.contains("(LAST_INSERT_ID())") {
            quoted = vec![&last];
        } else if sql.contains("(@@mode)") {
            quoted = vec![&mode];
        } else if sql.contains("(@@level)") {
            quoted = vec![&level];
        }
        if sql.starts_with("SELECT ") && self.open.is_none() {
            let work = self.implicit_work();
            self.open = Some(work).filter(|_| !self.autocommit);
        }
        if sql == "SELECT token FROM t" {
            Ok(Answer::Rows(tokens.into_iter().map(|(_, token)| token).collect()))
        } else if sql.starts_with("SELECT seq FROM `ido_proxy`.`fence`") {
            self.fence_exists(cluster)?;
            let seq = number(&fences, quoted[0]);
            Ok(Answer::Rows(Vec::from_iter((seq > 0).then(|| seq.to_string()))))
        } else if sql.starts_with("SELECT seq, reply FROM `ido_proxy`.`fence`") {
            self.fence_exists(cluster)?;
            let seq = number(&fences, quoted[0]);
            let reply = cluster.reply(self.applied, quoted[0]);
            Ok(if seq > 0 { Answer::Fence(seq, reply) } else { Answer::Rows(Vec::new()) })
        } else if sql.starts_with("INSERT INTO t VALUES") || sql.starts_with("INSERT INTO s ") {
            let generated = self.skew + tokens.len() as u64 + 1;
            let id = self.insert_id.take().unwrap_or(generated);
            if tokens.iter().any(|(other, _)| *other == id) {
                return Err(ErrPacket::new(1062, *b"23000", "Duplicate entry"));
            }
            self.write(cluster, |work| work.tokens.push((id, quoted[0].to_owned())))?;
            // A trigger's row is that of another table: its id is not told.
            let id = if sql.starts_with("INSERT INTO t") { id } else { 0 };
            if id != 0 {
                self.last_insert_id = id;
            }
            if sql.ends_with(" RETURNING id") {
                return Ok(Answer::Rows(vec![id.to_string()]));
            }
            Ok(Answer::Ok { affected: 1, id })
        } else if sql.starts_with("INSERT INTO `ido_proxy`.`fence`")
            && sql.contains("@@in_transaction")
        {
            // In one text with the COMMIT.
            self.fence_exists(cluster)?;
            let stands = number(&fences, quoted[0]);
            let (allowed, next) = fits(sql);
            let before = allowed[0];
            if self.open.is_none() || (!allowed.contains(&stands) && stands > 0 && before > 0) {
                return Err(ErrPacket::new(1690, *b"22003", "value is out of range"));
            }
            if !allowed.contains(&stands) && before == 0 {
                return Err(ErrPacket::new(1062, *b"23000", "Duplicate entry"));
            }
            // Others do not see a number that the transaction itself has set.
            let own = self.open.as_ref().and_then(|work| work.fence.as_ref());
            let own = own.map(|(_, others, _)| *others);
            let stands = own.unwrap_or(if stands == next { before } else { stands });
            let fence = Some((quoted[0].to_owned(), stands, next));
            let reply = format!("{next} 1 0 {last}");
            let reply = sql.contains("seq, reply").then_some(reply);
            self.write(cluster, |work| (work.fence, work.reply) = (fence, reply))?;
            Ok(Answer::Ok { affected: 2, id: 0 })
        } else if sql.starts_with("INSERT INTO `ido_proxy`.`fence`")
            && sql.contains(" ON DUPLICATE")
        {
            // Set again, by the transaction that has set it before.
            self.fence_exists(cluster)?;
            let (allowed, next) = fits(sql);
            if !allowed.contains(&number(&fences, quoted[0])) {
                return Err(ErrPacket::new(1690, *b"22003", "value is out of range"));
            }
            let fence = Some((quoted[0].to_owned(), allowed[0], next));
            self.write(cluster, |work| work.fence = fence)?;
            Ok(Answer::Ok { affected: 0, id: 0 })
        } else if sql.starts_with("INSERT INTO `ido_proxy`.`fence`") {
            self.fence_exists(cluster)?;
            if number(&fences, quoted[0]) > 0 {
                return Err(ErrPacket::new(1062, *b"23000", "Duplicate entry"));
            }
            let (_, next) = fits(sql);
            self.write(cluster, |work| work.fence = Some((quoted[0].to_owned(), 0, next)))?;
            Ok(Answer::Ok { affected: 1, id: 0 })
        } else if sql.starts_with("UPDATE `ido_proxy`.`fence`") {
            self.fence_exists(cluster)?;
            let (_, before) = sql.rsplit_once('=').expect("AND seq=");
            let before = before.parse().expect("a number");
            let found = number(&fences, quoted[0]) == before;
            if found {
                let (_, rest) = sql.split_once("SET seq=").expect("the number to set");
                let next = rest.split_once(' ').expect("the number to set").0.parse();
                let fence = Some((quoted[0].to_owned(), before, next.expect("a number")));
                self.write(cluster, |work| work.fence = fence)?;
            }
            Ok(Answer::Ok { affected: found.into(), id: 0 })
        } else if sql.starts_with("SET @ido_proxy=") {
            match self.open {
                Some(_) if !self.failed => Ok(DONE),
                _ => Err(ErrPacket::new(1690, *b"22003", "value is out of range")),
            }
        } else if let Some(assignments) = sql.strip_prefix("SET ") {
            for assignment in assignments.split(", ") {
                let (name, value) = assignment.split_once('=').expect("a value");
                self.set(cluster, name, value.trim_matches('\''))?;
            }
            Ok(DONE)
        } else if sql.starts_with("KILL QUERY ") {
            // MariaDB commits before it looks for the thread.
            self.commit(cluster)?;
            Err(ErrPacket::new(1094, *b"HY000", "Unknown thread id"))
        } else if sql.starts_with("KILL ") {
            cluster.killed = true;
            Ok(DONE)
        } else {
            Err(ErrPacket::new(1064, *b"42000", "no such statement here"))
        }
    }

    fn set(&mut self, cluster: &mut Cluster, name: &str, value: &str) -> Result<(), ErrPacket> {
        match name {
            "autocommit" => {
                let before = self.autocommit;
                self.autocommit = match value {
                    "1-@@autocommit" => !before,
                    value => matches!(value, "1" | "ON"),
                };
                self.reports_autocommit = true;
                if self.autocommit && !before {
                    self.commit(cluster)?;
                }
            }
            "insert_id" => {
                self.insert_id = Some(value.parse().expect("a number")).filter(|id| *id != 0);
            }
            "last_insert_id" => self.last_insert_id = value.parse().expect("a number"),
            "mode" => {
                self.mode = value.as_bytes()[0];
                self.reports_mode = true;
            }
            _ => {}
        }
        Ok(())
    }

    /// Work that the next statement begins, where no BEGIN did.
    fn implicit_work(&mut self) -> Work {
        Work { level: std::mem::take(&mut self.next_level), implicit: true, ..Work::default() }
    }

    fn fence_exists(&self, cluster: &Cluster) -> Result<(), ErrPacket> {
        let missing = ErrPacket::new(1146, *b"42S02", "no such table");
        if cluster.fenceless { Err(missing) } else { Ok(()) }
    }

    /// Writes in the open transaction, or in one of its own.
    fn write(
        &mut self,
        cluster: &mut Cluster,
        change: impl FnOnce(&mut Work),
    ) -> Result<(), ErrPacket> {
        match &mut self.open {
            Some(work) => change(work),
            None => {
                let mut work = self.implicit_work();
                change(&mut work);
                self.open = Some(work);
                if self.autocommit {
                    self.commit(cluster)?;
                }
            }
        }
        Ok(())
    }

    fn commit(&mut self, cluster: &mut Cluster) -> Result<(), ErrPacket> {
        self.next_level = Level::Usual;
        let Some(work) = self.open.take() else { return Ok(()) };
        if !cluster.certifies(&work) {
            return Err(self.conflict(cluster));
        }
        if !work.tokens.is_empty() || work.fence.is_some() {
            cluster.commits.push(work);
            self.applied = cluster.commits.len();
        }
        Ok(())
    }

    fn conflict(&mut self, cluster: &Cluster) -> ErrPacket {
        self.open = None;
        self.reported = NONE;
        self.applied = cluster.commits.len();
        deadlock()
    }

    fn status(&self) -> StatusFlags {
        let open = if self.open.is_some() { StatusFlags::IN_TRANS } else { StatusFlags::default() };
        if self.autocommit { StatusFlags::AUTOCOMMIT | open } else { open }
    }

    fn tell(&mut self, answer: Answer, more: bool, sequence: u8, out: &mut Vec<u8>) -> u8 {
        let mut status = self.status();
        if more {
            status = status | StatusFlags::MORE_RESULTS;
        }
        match answer {
            Answer::Ok { affected, id } => {
                let state = match &self.open {
                    None => NONE,
                    Some(work) if work.implicit => IMPLICIT,
                    Some(work) if work.tokens.is_empty() && work.fence.is_none() => EMPTY,
                    Some(_) => WROTE,
                };
                let mut ok = OkPacket { status, ..OkPacket::default() };
                (ok.affected_rows, ok.last_insert_id) = (affected, id);
                let mut changes = Vec::new();
                if std::mem::take(&mut self.reports_mode) {
                    changes.extend_from_slice(b"\0\x07\x04mode\x01");
                    changes.push(self.mode);
                }
                if std::mem::take(&mut self.reports_autocommit) {
                    let value = if self.autocommit { "\x02ON" } else { "\x03OFF" };
                    changes.extend_from_slice(&[0, value.len() as u8 + 11, 10]);
                    changes.extend_from_slice(format!("autocommit{value}").as_bytes());
                }
                let begun = self.open.as_ref().is_some_and(|work| !work.implicit);
                let level = self.open.as_ref().map_or(self.next_level, |work| work.level);
                let level = (level, begun && level != Level::Usual);
                if level != self.told_level {
                    self.told_level = level;
                    let sql = match level {
                        (Level::Usual, _) => "",
                        (Level::Serializable, false) => SERIALIZABLE,
                        (Level::Serializable, true) => BEGUN_SERIALIZABLE,
                    };
                    changes.extend_from_slice(&[4, sql.len() as u8 + 1, sql.len() as u8]);
                    changes.extend_from_slice(sql.as_bytes());
                }
                if state != self.reported {
                    self.reported = state;
                    changes.extend_from_slice(state);
                }
                if !changes.is_empty() && self.capabilities.contains(TRACKS) {
                    ok.status = ok.status | StatusFlags::SESSION_STATE_CHANGED;
                    ok.session_state = &changes;
                }
                packet::frame(&ok.encode(self.capabilities), sequence, out)
            }
            Answer::Fence(..) | Answer::Rows(_) => {
                let eof = EofPacket { warnings: 0, status }.encode();
                let text = |text: String| [&[text.len() as u8], text.as_bytes()].concat();
                let (columns, rows) = match answer {
                    Answer::Fence(number, reply) => {
                        let reply = reply.map_or_else(|| vec![0xFB], text);
                        (2, vec![[text(number.to_string()), reply].concat()])
                    }
                    Answer::Rows(rows) => (1, rows.into_iter().map(text).collect()),
                    Answer::Ok { .. } => unreachable!("is told above"),
                };
                let mut payloads = vec![vec![columns]];
                payloads.resize(1 + usize::from(columns), COLUMN.to_vec());
                if self.capabilities.contains(Capabilities::DEPRECATE_EOF) {
                    payloads.extend(rows);
                    let end = OkPacket { ends_rows: true, status, ..OkPacket::default() };
                    payloads.push(end.encode(self.capabilities));
                } else {
                    payloads.push(eof.to_vec());
                    payloads.extend(rows);
                    payloads.push(eof.to_vec());
                }
                let frame = |id, payload: Vec<u8>| packet::frame(&payload, id, out);
                payloads.into_iter().fold(sequence, frame)
            }
        }
    }
}

const SERIALIZABLE: &str = "SET TRANSACTION ISOLATION LEVEL SERIALIZABLE;";
const BEGUN_SERIALIZABLE: &str = "SET TRANSACTION ISOLATION LEVEL SERIALIZABLE; START TRANSACTION;";

const TRACKS: Capabilities = Capabilities::SESSION_TRACK;
