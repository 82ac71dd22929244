//! Makes a program from a number. The same number makes the same program.

use std::collections::BTreeSet;

use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};

use crate::grammar::{AMBIGUOUS, DIALECT, GROUPS, Group, Template};
use crate::program::{Action, Flag, LAST, Login, Param, Program, Slot, Statement, Step};

/// Limits of programs: names of groups, tags and flags that are left out.
#[derive(Clone, Debug, Default)]
pub(crate) struct Limits {
    pub(crate) without: BTreeSet<String>,
    /// No second session.
    pub(crate) alone: bool,
    /// Always a database at login.
    pub(crate) database: bool,
}

/// The program of this number.
pub(crate) fn program(seed: u64, limits: &Limits) -> Program {
    Generator::new(seed, limits).program(seed)
}

struct Generator<'a> {
    dice: StdRng,
    limits: &'a Limits,
    /// The groups of this program: few at once go deeper than all of them.
    groups: Vec<Group>,
    /// How many of a hundred commands are of the binary protocol.
    binary: u32,
}

impl<'a> Generator<'a> {
    fn new(seed: u64, limits: &'a Limits) -> Self {
        Self { dice: StdRng::seed_from_u64(seed), limits, groups: Vec::new(), binary: 0 }
    }

    fn program(mut self, seed: u64) -> Program {
        let sessions = if !self.limits.alone && self.chance(10) { 2 } else { 1 };
        self.choose_groups(sessions == 2);
        self.binary = *[0, 0, 0, 10, 40, 80].choose(&mut self.dice).unwrap_or(&0);
        let logins: Vec<_> = (0..sessions).map(|_| self.login()).collect();
        let mut steps = Vec::new();
        for (session, login) in logins.iter().enumerate() {
            if !login.database && self.chance(80) {
                let database = "{db}".to_owned();
                steps.push(Step {
                    session,
                    background: false,
                    action: Action::InitDb { database },
                });
            }
        }
        for _ in 0..self.dice.random_range(3..14) {
            let session = if sessions == 2 { self.dice.random_range(0..2) } else { 0 };
            if self.chance(2) && !self.limits.without.contains("dialect") {
                let all = self.prepared_in_a_mode().into_iter();
                steps.extend(all.map(|action| Step { session, background: false, action }));
                continue;
            }
            let action = self.action(&logins[session]);
            let background = sessions == 2 && self.chance(8);
            steps.push(Step { session, background, action });
        }
        Program { seed, logins, steps }
    }

    /// A handful of groups; those that two sessions would fight over in no order are left out for them.
    fn choose_groups(&mut self, two: bool) {
        let allowed: Vec<_> = GROUPS
            .iter()
            .filter(|group| !self.limits.without.contains(group.name))
            .filter(|group| !two || !APART.contains(&group.name))
            .copied()
            .collect();
        let wanted = self.dice.random_range(2..6);
        let mut chosen: Vec<Group> = Vec::new();
        for name in ["write", "transaction"] {
            if self.chance(80) {
                chosen.extend(allowed.iter().find(|group| group.name == name));
            }
        }
        for _ in 0..wanted {
            let group = allowed.choose_weighted(&mut self.dice, |group| group.weight);
            let group = group.ok().filter(|new| !chosen.iter().any(|one| one.name == new.name));
            chosen.extend(group);
        }
        self.groups = chosen;
    }

    fn login(&mut self) -> Login {
        let mut flags = BTreeSet::new();
        for flag in Flag::ALL {
            let percent = match flag {
                Flag::MultiStatements => 75,
                Flag::NoSchema | Flag::IgnoreSpace => 4,
                Flag::FoundRows | Flag::SessionTrack => 25,
                Flag::DeprecateEof => 40,
                Flag::Bulk | Flag::CacheMetadata | Flag::ExtendedMetadata => 20,
            };
            if self.chance(percent) && !self.limits.without.contains(flag.name()) {
                flags.insert(flag);
            }
        }
        let database = self.limits.database || self.chance(92);
        let collation = *COLLATIONS.choose(&mut self.dice).unwrap_or(&45);
        Login { flags, collation, database }
    }

    fn action(&mut self, login: &Login) -> Action {
        if self.dice.random_range(0..100) < self.binary {
            return self.binary_action();
        }
        match self.dice.random_range(0..200) {
            0 => Action::Ping,
            1 => Action::InitDb { database: "{db}".into() },
            2 => Action::InitDb { database: "absent".into() },
            3 | 4 => Action::ResetConnection,
            5 => Action::SetOption { on: self.chance(50) },
            6 => Action::FieldList { table: "t".into() },
            7 => Action::Statistics,
            8 | 9 => {
                let collation = *COLLATIONS.choose(&mut self.dice).unwrap_or(&45);
                Action::ChangeUser { database: self.chance(85), collation }
            }
            10 => Action::Reconnect,
            11..14 => self.flight(),
            _ => self.query(login),
        }
    }

    fn query(&mut self, login: &Login) -> Action {
        let multi = login.flags.contains(&Flag::MultiStatements);
        let several = self.chance(if multi { 35 } else { 3 });
        let count = if several { self.dice.random_range(2..6) } else { 1 };
        Action::Query((0..count).map(|_| self.statement()).collect())
    }

    fn flight(&mut self) -> Action {
        let mut all = Vec::new();
        if self.chance(50) {
            let statement = self.preparable();
            all.push(Action::Prepare { slot: 0, statement });
            for _ in 0..self.dice.random_range(1..3) {
                let params = vec![self.param()];
                all.push(Action::Execute { slot: LAST, params, types: true, cursor: false });
            }
        } else {
            for _ in 0..self.dice.random_range(2..5) {
                let statement = self.statement();
                all.push(Action::Query(vec![statement]));
            }
        }
        Action::Flight(all)
    }

    /// A statement that is prepared in one mode, and executed in this or another one, in a transaction maybe.
    fn prepared_in_a_mode(&mut self) -> Vec<Action> {
        let slot: Slot = self.dice.random_range(0..3);
        let statement = self.one_of(AMBIGUOUS);
        let mut all = vec![Action::Query(vec![self.one_of(DIALECT)])];
        all.push(Action::Prepare { slot, statement });
        if self.chance(40) {
            all.push(Action::Query(vec![self.one_of(DIALECT)]));
        }
        let open = self.chance(40);
        if open {
            all.push(sql("begin", "BEGIN"));
        }
        all.push(Action::Execute { slot, params: vec![], types: true, cursor: false });
        if open {
            if self.chance(50) {
                all.push(Action::Close { slot });
            }
            all.push(Action::Query(vec![self.statement()]));
            all.push(sql("commit", "COMMIT"));
        }
        all
    }

    fn one_of(&mut self, templates: &[Template]) -> Statement {
        let template = templates.choose_weighted(&mut self.dice, |one| one.0);
        template.map_or_else(|_| nothing(), |template| self.filled(template))
    }

    fn binary_action(&mut self) -> Action {
        let slot: Slot = self.dice.random_range(0..3);
        match self.dice.random_range(0..100) {
            0..35 => Action::Prepare { slot, statement: self.preparable() },
            35..72 => {
                let slot = if self.chance(12) { LAST } else { slot };
                let params = vec![self.param(), self.param()];
                let (types, cursor) = (self.chance(40), self.chance(12));
                Action::Execute { slot, params, types, cursor }
            }
            72..78 => Action::Fetch { slot, rows: self.dice.random_range(1..4) },
            78..83 => {
                let rows = (0..self.dice.random_range(1..4)).map(|_| self.param()).collect();
                Action::Bulk { slot, rows }
            }
            83..88 => Action::Close { slot },
            88..92 => Action::Reset { slot },
            92..97 => Action::LongData { slot, param: 1, data: "long".into() },
            _ => Action::Ping,
        }
    }

    fn param(&mut self) -> Param {
        match self.dice.random_range(0..10) {
            0 => Param::Null,
            1 | 2 => Param::Text(format!("{}", self.dice.random_range(60..99))),
            3 => Param::Long,
            _ => Param::Int(self.dice.random_range(1..99)),
        }
    }

    /// A statement for the binary protocol: often one with parameters.
    fn preparable(&mut self) -> Statement {
        if self.chance(45) {
            return self.statement();
        }
        self.one_of(PREPARABLE)
    }

    fn statement(&mut self) -> Statement {
        let group = self.groups.choose_weighted(&mut self.dice, |group| group.weight).copied();
        let Ok(group) = group else { return nothing() };
        let without = &self.limits.without;
        let weight = |one: &Template| if without.contains(one.1) { 0 } else { one.0 };
        match group.templates.choose_weighted(&mut self.dice, weight) {
            Ok(template) => self.filled(template),
            Err(_) => nothing(),
        }
    }

    fn filled(&mut self, template: &Template) -> Statement {
        let (_, tag, text) = template;
        let mut sql = String::new();
        let mut rest = *text;
        while let Some(start) = rest.find('<') {
            let (head, tail) = rest.split_at(start);
            sql.push_str(head);
            let end = tail.find('>').filter(|end| *end < 4);
            let hole = end.and_then(|end| self.hole(&tail[1..end]));
            match (hole, end) {
                (Some(value), Some(end)) => {
                    sql.push_str(&value);
                    rest = &tail[end + 1..];
                }
                _ => {
                    sql.push('<');
                    rest = &tail[1..];
                }
            }
        }
        sql.push_str(rest);
        Statement { tag: (*tag).to_owned(), sql }
    }

    fn hole(&mut self, name: &str) -> Option<String> {
        let mut of = |all: &[&str]| all.choose(&mut self.dice).map(|one| (*one).to_owned());
        match name {
            "i" => Some(self.dice.random_range(1..5).to_string()),
            "n" => Some(self.dice.random_range(1..6).to_string()),
            "v" => Some((self.dice.random_range(1..10) * 10).to_string()),
            "w" => of(&["'one'", "'two;'", "'it''s'", "\"q\"", "''", "NULL"]),
            "nt" => of(&["m", "a", "h"]),
            "sp" => of(&["a", "b"]),
            "ps" => of(&["p1", "p2"]),
            "x" => of(&["x1", "x2"]),
            "uv" => of(&["@x", "@y"]),
            _ => None,
        }
    }

    fn chance(&mut self, percent: u32) -> bool {
        self.dice.random_range(0..100) < percent
    }
}

/// A command of one statement.
fn sql(tag: &str, sql: &str) -> Action {
    Action::Query(vec![Statement { tag: tag.to_owned(), sql: sql.to_owned() }])
}

fn nothing() -> Statement {
    Statement { tag: "do".into(), sql: "DO 0".into() }
}

/// Groups whose locks make the order of two sessions a matter of chance.
const APART: [&str; 4] = ["ddl", "lock", "xa", "misc"];

/// utf8mb4_general_ci, latin1_swedish_ci, gbk_chinese_ci, utf8mb3_general_ci, binary.
const COLLATIONS: [u8; 8] = [45, 45, 45, 45, 8, 28, 33, 63];

const PREPARABLE: &[Template] = &[
    (5, "insert ?", "INSERT INTO t (v) VALUES (?)"),
    (2, "insert ?,?", "INSERT INTO t (v, s) VALUES (?, ?)"),
    (3, "update ?", "UPDATE u SET n = n + ? WHERE id = ?"),
    (3, "select ?", "SELECT id, v FROM t WHERE id > ? ORDER BY id"),
    (2, "select all", "SELECT id, v, s FROM t ORDER BY id"),
    (1, "insert returning ?", "INSERT INTO t (v) VALUES (?) RETURNING id, v"),
    (1, "replace ?", "REPLACE INTO t (v, s) VALUES (?, ?)"),
    (1, "call out ?", "CALL p_out(?, ?, @y)"),
    (1, "call rows", "CALL p_rows()"),
    (1, "upsert ?", "INSERT INTO t (v) VALUES (?) ON DUPLICATE KEY UPDATE s = ?"),
    (1, "insert wide ?", "INSERT INTO wide (k, d) VALUES (?, ?)"),
    (2, "begin", "BEGIN"),
    (2, "commit", "COMMIT"),
    (1, "rollback", "ROLLBACK"),
    (1, "row_count", "SELECT ROW_COUNT()"),
    (1, "last_insert_id", "SELECT LAST_INSERT_ID()"),
    (1, "insert engine ?", "INSERT INTO m (id, v) VALUES (?, 1)"),
    (1, "delete ?", "DELETE FROM t WHERE v = ?"),
    (1, "autocommit 0", "SET autocommit = 0"),
    (1, "autocommit 1", "SET autocommit = 1"),
    (1, "create table", "CREATE TABLE x1 (id INT PRIMARY KEY, v INT)"),
    (1, "two statements", "SELECT 1; SELECT 2"),
    (1, "syntax", "SELEKT ?"),
];

#[cfg(test)]
mod tests {
    use super::*;

    /// A seed that made another program tomorrow would reproduce nothing.
    #[test]
    fn the_same_number_makes_the_same_program_and_json_keeps_it() {
        let limits = Limits::default();
        for seed in 0..300 {
            let one = program(seed, &limits);
            assert_eq!(one, program(seed, &limits));
            let json = serde_json::to_string(&one).expect("a value");
            assert_eq!(one, serde_json::from_str(&json).expect("the same value"));
        }
    }

    #[test]
    fn every_hole_of_the_grammar_is_filled() {
        let limits = Limits::default();
        let mut generator = Generator::new(1, &limits);
        let templates =
            GROUPS.iter().flat_map(|group| group.templates).chain(PREPARABLE).chain(AMBIGUOUS);
        for template in templates {
            let statement = generator.filled(template);
            for hole in ["<i>", "<n>", "<v>", "<w>", "<nt>", "<sp>", "<ps>", "<x>", "<uv>"] {
                assert!(!statement.sql.contains(hole), "{}", statement.sql);
            }
        }
    }

    #[test]
    fn what_is_left_out_is_not_said() {
        let without = ["transaction", "insert", "multi-statements"].map(str::to_owned);
        let limits = Limits { without: without.into(), alone: true, database: true };
        for seed in 0..300 {
            let program = program(seed, &limits);
            assert_eq!(program.logins.len(), 1);
            assert!(!program.logins[0].flags.contains(&Flag::MultiStatements));
            let tags = program.tags();
            assert!(!tags.iter().any(|tag| tag == "insert" || tag == "start snapshot"));
        }
    }
}
