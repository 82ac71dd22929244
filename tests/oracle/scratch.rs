//! Where programs work: one database for each side, equal in everything but its name.

use std::time::{Duration, Instant};

use lab::error::{LabError, Result};
use tokio::time::timeout;

use crate::packet::{NEW_IDS, Packet};
use crate::program::{Flag, Login};
use crate::wire::{Account, Neutral, Shape, Wire};

/// Names that texts of a program have in them, others on each side.
#[derive(Clone, Debug)]
pub(crate) struct Names {
    /// The database of the side.
    pub(crate) database: String,
    /// Number that no other program has.
    pub(crate) run: String,
    shared: String,
}

impl Names {
    /// Those of side `letter` of worker `worker`.
    fn new(worker: usize, letter: char) -> Self {
        Self {
            database: format!("orc_{letter}{worker:02}"),
            run: "000000".into(),
            shared: "orc_x00".into(),
        }
    }

    /// The text as it is sent.
    pub(crate) fn expanded(&self, text: &str) -> Vec<u8> {
        let text = text.replace("{db}", &self.database).replace("{run}", &self.run);
        let mut out = Vec::new();
        let mut rest = text.as_str();
        while let Some(at) = rest.find(HEX) {
            out.extend_from_slice(&rest.as_bytes()[..at]);
            let tail = &rest[at + HEX.len()..];
            let end = tail.find('}').unwrap_or(tail.len());
            let digits: Vec<_> = tail[..end].chars().filter_map(|c| c.to_digit(16)).collect();
            out.extend(digits.chunks(2).map(|pair| pair.iter().fold(0, |a, b| a << 4 | *b as u8)));
            rest = tail.get(end + 1..).unwrap_or_default();
        }
        out.extend_from_slice(rest.as_bytes());
        out
    }

    /// Rule that makes both sides' names one.
    pub(crate) fn neutral(&self) -> Neutral {
        Neutral {
            own: self.database.clone().into(),
            shared: self.shared.clone().into(),
            run: self.run.clone().into(),
        }
    }
}

/// The database of one side, and root's connection to it.
#[derive(Debug)]
pub(crate) struct Scratch {
    root: Account,
    names: Names,
    wire: Option<Wire>,
    /// Dumps of the tables when they are new.
    fresh: Vec<Vec<Packet>>,
    serial: u64,
    /// Whether clients are at other nodes than root, maybe.
    apart: bool,
}

impl Scratch {
    /// Makes the database anew.
    ///
    /// # Errors
    /// When root is not let in, or a statement fails.
    pub(crate) async fn make(
        root: &Account,
        worker: usize,
        letter: char,
        apart: bool,
    ) -> Result<Self> {
        let (root, names) = (root.clone(), Names::new(worker, letter));
        let mut scratch = Self { root, names, wire: None, fresh: Vec::new(), serial: 0, apart };
        scratch.rebuild().await?;
        Ok(scratch)
    }

    /// The names of the side.
    pub(crate) fn names(&self) -> &Names {
        &self.names
    }

    /// Makes the database anew.
    ///
    /// # Errors
    /// See [`Self::make`].
    pub(crate) async fn rebuild(&mut self) -> Result<()> {
        let database = self.names.database.clone();
        self.run(&format!("DROP DATABASE IF EXISTS {database}; CREATE DATABASE {database}"))
            .await?;
        self.run(&format!("USE {database}")).await?;
        for table in &TABLES {
            self.run(&table.create()).await?;
        }
        for statement in ROUTINES {
            self.run(statement).await?;
        }
        self.fresh.clear();
        for table in &TABLES {
            let content = self.ask(&table.dump()).await?;
            self.fresh.push(told(&content));
        }
        Ok(())
    }

    /// Waits until nobody is at work in the database, nor in the sessions that were greeted with `ids`: a node may still
    /// do what it was asked for when the client is gone. Sessions that stay longer than any lock may be waited for are
    /// ended, and returned as the process list showed them.
    ///
    /// # Errors
    /// When the server does not answer.
    pub(crate) async fn settle(&mut self, ids: &[u32]) -> Result<Vec<String>> {
        if self.apart {
            // Root's node does not list sessions of another one.
            return Ok(Vec::new());
        }
        let until = Instant::now() + SETTLE;
        loop {
            let left = self.others(ids).await?;
            if left.is_empty() {
                return Ok(Vec::new());
            }
            if Instant::now() >= until {
                for (id, _) in &left {
                    self.ask_anyhow(&format!("KILL {id}")).await?;
                }
                return Ok(left.into_iter().map(|(_, row)| row).collect());
            }
            tokio::time::sleep(SETTLE_STEP).await;
        }
    }

    /// Sessions of others in the database, and those of `ids`: each its id, and its row of the process list.
    async fn others(&mut self, ids: &[u32]) -> Result<Vec<(u32, String)>> {
        let own = self.wire.as_ref().map(|wire| wire.id);
        let database = format!(", {}, ", self.names.shared);
        let seen = self.ask("SHOW PROCESSLIST").await?;
        let rows = seen.iter().filter_map(|packet| packet.field("values"));
        let others = rows.filter_map(|row| {
            let id = row.split(", ").next()?.parse().ok()?;
            let is_one = Some(id) != own && (ids.contains(&id) || row.contains(&database));
            is_one.then(|| (id, row.to_owned()))
        });
        Ok(others.collect())
    }

    /// Everything that is in the database now, one answer for each table, and what was created behind them.
    ///
    /// # Errors
    /// When the server does not answer.
    pub(crate) async fn contents(&mut self) -> Result<Contents> {
        let mut text: Vec<_> = TABLES.iter().map(Table::dump).collect();
        text.push("SHOW TABLES".into());
        let all = self.ask(&text.join("; ")).await?;
        let mut tables = Vec::new();
        let mut rest = all.as_slice();
        for table in &TABLES {
            let (own, tail) = split_results(rest, table.results());
            tables.push(told(own));
            rest = tail;
        }
        let own: Vec<_> = TABLES.iter().map(|table| table.name).collect();
        let others = rest.iter().filter(|packet| packet.kind == "row");
        let others = others.filter_map(|packet| packet.field("values"));
        let others: Vec<_> =
            others.filter(|name| !own.contains(name) && *name != VIEW).map(str::to_owned).collect();
        let mut extra = Vec::new();
        for name in &others {
            let show = format!("SHOW CREATE TABLE `{name}`; SELECT * FROM `{name}` ORDER BY 1, 2");
            extra.extend(told(&self.ask_anyhow(&show).await?));
        }
        Ok(Contents { tables, others, extra })
    }

    /// Makes the database as it was when it was new, as cheaply as that can be done.
    ///
    /// # Errors
    /// When a statement fails.
    pub(crate) async fn reset(&mut self, contents: &Contents, exact: bool) -> Result<()> {
        let mut text = Vec::new();
        for ((table, fresh), now) in TABLES.iter().zip(&self.fresh).zip(&contents.tables) {
            text.extend(table.reset(fresh, now, exact));
        }
        text.extend(contents.others.iter().map(|name| format!("DROP TABLE IF EXISTS `{name}`")));
        if text.is_empty() {
            return Ok(());
        }
        if self.run(&text.join("; ")).await.is_ok() {
            return Ok(());
        }
        self.rebuild().await
    }

    /// Rolls back what XA has left prepared, and takes a new number for the next program.
    ///
    /// # Errors
    /// When the server does not answer.
    pub(crate) async fn next(&mut self, serial: u64, xa: bool) -> Result<()> {
        let before = self.names.run.clone();
        self.serial = serial;
        self.names.run = format!("{:06}", serial % 1_000_000);
        if xa {
            self.ask_anyhow(&format!("XA ROLLBACK '{}{before}'", self.names.database)).await?;
        }
        Ok(())
    }

    /// Removes the database.
    ///
    /// # Errors
    /// When the server does not answer.
    pub(crate) async fn remove(&mut self) -> Result<()> {
        self.run(&format!("DROP DATABASE {}", self.names.database)).await
    }

    async fn run(&mut self, text: &str) -> Result<()> {
        self.ask(text).await.map(drop)
    }

    async fn ask(&mut self, text: &str) -> Result<Vec<Packet>> {
        let seen = self.ask_anyhow(text).await?;
        let failed = |packet: &&Packet| matches!(packet.kind, "error" | "closed" | "silence");
        match seen.iter().find(failed) {
            Some(error) => {
                let text: String = text.chars().take(90).collect();
                Err(LabError::Refused(format!("{text}: {error}")))
            }
            None => Ok(seen),
        }
    }

    /// The answer, errors too.
    async fn ask_anyhow(&mut self, text: &str) -> Result<Vec<Packet>> {
        if self.wire.is_none() {
            self.connect().await?;
        }
        let Some(wire) = &mut self.wire else {
            return Err(LabError::Refused("root is not connected".into()));
        };
        wire.send(&[&[0x03], text.as_bytes()].concat()).await;
        let answer = wire.answer(Shape::Results { binary: false });
        match timeout(PATIENCE, answer).await {
            Ok((seen, _)) if seen.last().is_some_and(|last| last.kind != "closed") => Ok(seen),
            _ => {
                self.wire = None;
                Err(LabError::Refused(format!("{}: no answer to root", self.root.server)))
            }
        }
    }

    async fn connect(&mut self) -> Result<()> {
        let flags = [Flag::MultiStatements].into();
        let login = Login { flags, collation: 45, database: false };
        let (wire, seen) = Wire::log_in(&self.root, &login, "", &self.names.neutral()).await;
        let Some(mut wire) = wire else {
            let said = seen.last().map(ToString::to_string).unwrap_or_default();
            return Err(LabError::Refused(format!("root at {}: {said}", self.root.server)));
        };
        let waits = if self.apart { ", wsrep_sync_wait=15" } else { "" };
        let set = format!(
            "SET innodb_lock_wait_timeout=20, lock_wait_timeout=20, foreign_key_checks=0{waits}; USE {}",
            self.names.database
        );
        wire.send(&[&[0x03], set.as_bytes()].concat()).await;
        let _ = wire.answer(Shape::Results { binary: false }).await;
        self.wire = Some(wire);
        Ok(())
    }
}

/// Contents of a database.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(crate) struct Contents {
    /// One for each table that is always there.
    pub(crate) tables: Vec<Vec<Packet>>,
    /// Tables that a program has created.
    pub(crate) others: Vec<String>,
    extra: Vec<Packet>,
}

impl Contents {
    /// With `#` in place of new ids.
    pub(crate) fn masked(&self) -> Self {
        let all = |list: &[Packet]| list.iter().map(Packet::masked).collect();
        let tables = self.tables.iter().map(|table| all(table)).collect();
        Self { tables, others: self.others.clone(), extra: all(&self.extra) }
    }

    /// The rows of each table, sorted, without definitions.
    pub(crate) fn rows(&self) -> Vec<Vec<&str>> {
        let lists = self.tables.iter().chain(std::iter::once(&self.extra));
        let rows = lists.map(|list| {
            let mut rows = Look::of(list).rows;
            rows.sort_unstable();
            rows
        });
        rows.collect()
    }

    /// Each table by its name, with its rows and its next id.
    pub(crate) fn named(&self) -> Vec<(String, &[Packet])> {
        let own = TABLES.iter().zip(&self.tables);
        let mut named: Vec<_> =
            own.map(|(table, now)| (table.name.to_owned(), now.as_slice())).collect();
        named.push((format!("created: {}", self.others.join(", ")), self.extra.as_slice()));
        named
    }
}

/// A table that is always there.
struct Table {
    name: &'static str,
    columns: &'static str,
    rows: &'static str,
    /// Whether it chooses ids.
    counts: bool,
    engine: &'static str,
}

impl Table {
    fn create(&self) -> String {
        let Self { name, columns, engine, .. } = self;
        let insert = self.insert();
        let first = NEW_IDS.start;
        let counter = if self.counts { format!(" AUTO_INCREMENT={first}") } else { String::new() };
        format!("CREATE OR REPLACE TABLE {name} ({columns}) ENGINE={engine}{counter}; {insert}")
    }

    fn insert(&self) -> String {
        let Self { name, rows, .. } = self;
        if rows.is_empty() { "DO 0".into() } else { format!("INSERT INTO {name} VALUES {rows}") }
    }

    fn dump(&self) -> String {
        let name = self.name;
        let show = if self.counts { format!("; SHOW CREATE TABLE {name}") } else { String::new() };
        format!("SELECT * FROM {name} ORDER BY 1, 2{show}")
    }

    fn results(&self) -> usize {
        if self.counts { 2 } else { 1 }
    }

    /// The statements that make it new again.
    fn reset(&self, fresh: &[Packet], now: &[Packet], exact: bool) -> Option<String> {
        let (fresh, now) = (Look::of(fresh), Look::of(now));
        // A TRUNCATE has made it count from one again.
        let far = now.counter > FAR
            || now.counter < fresh.counter
            || exact && now.counter != fresh.counter;
        if fresh.columns != now.columns || fresh.definition != now.definition || far {
            // Made anew, the one with the trigger would have none.
            let triggered = self.name == TRIGGERED;
            let again = format!("TRUNCATE r; ALTER TABLE r AUTO_INCREMENT={}", NEW_IDS.start);
            return Some(if triggered { again } else { self.create() });
        }
        let same = fresh.rows == now.rows;
        (!same).then(|| format!("DELETE FROM {}; {}", self.name, self.insert()))
    }
}

/// Dump of a table, taken apart.
#[derive(Default)]
struct Look<'a> {
    columns: Vec<&'a Packet>,
    rows: Vec<&'a str>,
    /// The table's definition, up to the engine.
    definition: &'a str,
    /// The next id, 0 for none.
    counter: u64,
}

impl<'a> Look<'a> {
    fn of(packets: &'a [Packet]) -> Self {
        let mut look = Self::default();
        for packet in packets {
            match (packet.kind, packet.field("values")) {
                ("row", Some(values)) if values.contains("CREATE TABLE") => {
                    let (definition, options) = values.split_once(") ENGINE").unwrap_or_default();
                    look.definition = definition;
                    let counter = options.split_once("AUTO_INCREMENT=");
                    let digits = counter.and_then(|(_, rest)| rest.split(' ').next());
                    look.counter = digits.and_then(|digits| digits.parse().ok()).unwrap_or(0);
                }
                ("row", Some(values)) => look.rows.push(values),
                _ => look.columns.push(packet),
            }
        }
        look
    }
}

/// Rows, columns and errors; the rest depends on how they were asked for.
fn told(packets: &[Packet]) -> Vec<Packet> {
    let kinds = ["row", "column", "error"];
    packets.iter().filter(|packet| kinds.contains(&packet.kind)).cloned().collect()
}

/// The first `count` results, and the rest.
fn split_results(packets: &[Packet], count: usize) -> (&[Packet], &[Packet]) {
    let ends = packets.iter().enumerate().filter(|(_, packet)| packet.ends);
    let at = ends.map(|(at, _)| at + 1).nth(count.saturating_sub(1)).unwrap_or(packets.len());
    packets.split_at(at)
}

const TABLES: [Table; 11] = [
    Table {
        name: "t",
        columns: "id INT PRIMARY KEY AUTO_INCREMENT, v INT, s VARCHAR(20), UNIQUE KEY v (v)",
        rows: "(1, 10, 'a'), (2, 20, 'b'), (3, 30, 'c')",
        counts: true,
        engine: "InnoDB",
    },
    Table {
        name: "u",
        columns: "id INT PRIMARY KEY, n INT NOT NULL DEFAULT 0, at DATETIME",
        rows: "(1, 0, NULL), (2, 0, NULL), (3, 0, NULL), (4, 0, NULL)",
        counts: false,
        engine: "InnoDB",
    },
    Table {
        name: "c",
        columns: "id INT PRIMARY KEY AUTO_INCREMENT, t_id INT, \
                  CONSTRAINT c_t FOREIGN KEY (t_id) REFERENCES t (id)",
        rows: "(1, 3)",
        counts: true,
        engine: "InnoDB",
    },
    Table {
        name: "w",
        columns: "id INT PRIMARY KEY AUTO_INCREMENT, b TINYINT, a VARBINARY(60)",
        rows: "",
        counts: true,
        engine: "InnoDB",
    },
    Table {
        name: "g",
        columns: "id INT PRIMARY KEY AUTO_INCREMENT, a VARCHAR(30) CHARACTER SET gbk",
        rows: "",
        counts: true,
        engine: "InnoDB",
    },
    Table {
        name: "l",
        columns: "id INT PRIMARY KEY AUTO_INCREMENT, what VARCHAR(20)",
        rows: "(50, 'first')",
        counts: true,
        engine: "InnoDB",
    },
    Table {
        name: TRIGGERED,
        columns: "id INT PRIMARY KEY AUTO_INCREMENT, v INT",
        rows: "",
        counts: true,
        engine: "InnoDB",
    },
    Table {
        name: "m",
        columns: "id INT PRIMARY KEY, v INT",
        rows: "(1, 1), (2, 2)",
        counts: false,
        engine: "MyISAM",
    },
    Table {
        name: "a",
        columns: "id INT PRIMARY KEY, v INT",
        rows: "(1, 1), (2, 2)",
        counts: false,
        engine: "Aria",
    },
    Table {
        name: "h",
        columns: "id INT PRIMARY KEY, v INT",
        rows: "(1, 1), (2, 2)",
        counts: false,
        engine: "MEMORY",
    },
    Table {
        name: "wide",
        columns: "k VARCHAR(10) PRIMARY KEY, d LONGBLOB",
        rows: "('k1', 'one')",
        counts: false,
        engine: "InnoDB",
    },
];

/// The table that has a trigger.
const TRIGGERED: &str = "r";

const VIEW: &str = "vw";

const ROUTINES: [&str; 14] = [
    "CREATE TRIGGER r_l AFTER INSERT ON r FOR EACH ROW INSERT INTO l (what) VALUES ('trigger')",
    "CREATE VIEW vw AS SELECT id, v FROM t",
    "CREATE PROCEDURE p_write(x INT) UPDATE u SET n = n + x WHERE id = 1",
    "CREATE PROCEDURE p_trx(x INT) BEGIN START TRANSACTION; UPDATE u SET n = x WHERE id = 2; COMMIT; END",
    "CREATE PROCEDURE p_open(x INT) BEGIN START TRANSACTION; UPDATE u SET n = x WHERE id = 3; END",
    "CREATE PROCEDURE p_end() BEGIN UPDATE u SET n = n + 100 WHERE id = 4; COMMIT; END",
    "CREATE PROCEDURE p_roll() BEGIN UPDATE u SET n = n + 1000 WHERE id = 4; ROLLBACK; END",
    "CREATE PROCEDURE p_rows() BEGIN SELECT id FROM t ORDER BY id LIMIT 2; \
     INSERT INTO l (what) VALUES ('p_rows'); SELECT COUNT(*) FROM l; END",
    "CREATE PROCEDURE p_out(IN a INT, OUT b INT, INOUT c INT) \
     BEGIN SET b = a * 2; INSERT INTO l (what) VALUES (a); SET c = LAST_INSERT_ID() * 0 + c + 1; END",
    "CREATE PROCEDURE p_fail() BEGIN INSERT INTO l (what) VALUES ('p_fail'); \
     SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'p_fail', MYSQL_ERRNO = 30001; END",
    "CREATE PROCEDURE p_hand() BEGIN DECLARE CONTINUE HANDLER FOR 1062 INSERT INTO l (what) VALUES ('caught'); \
     INSERT INTO t (v) VALUES (10); END",
    "CREATE PROCEDURE p_auto(x INT) SET autocommit = x",
    "CREATE FUNCTION f_write(x VARCHAR(20)) RETURNS INT BEGIN INSERT INTO l (what) VALUES (x); RETURN 7; END",
    "CREATE FUNCTION f_pure(x INT) RETURNS INT DETERMINISTIC RETURN x * 2",
];

const HEX: &str = "{hex:";

/// Beyond, the next program would run out of ids.
const FAR: u64 = 4000;

/// Longer than the node waits for a lock, of either kind.
const SETTLE: Duration = Duration::from_secs(6);

const SETTLE_STEP: Duration = Duration::from_millis(10);

const PATIENCE: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_bytes_are_put_in() {
        let names = Names::new(7, 'p');
        let text = names.expanded("USE {db}; SELECT '{hex:955c}', '{run}'");
        assert_eq!(text, b"USE orc_p07; SELECT '\x95\x5c', '000000'");
    }
}
