//! Uses of a database by a Rust program, through mysql_async.

use std::fmt::Write;

use lab::{Result, sql};
use mysql_async::prelude::Queryable;
use mysql_async::{
    BinaryProtocol, ChangeUserOpts, Conn, Error, OptsBuilder, Params, QueryResult, Row,
    TextProtocol, Value, WhiteListFsHandler,
};

use super::{DATABASE, Place, Way};

/// Plays it all, and returns the transcript.
pub(crate) async fn play(place: Place) -> Result<String> {
    let mut player = Player { conn: sql::connect(place.options()).await?, said: String::new() };
    player.prepared().await;
    player.many_results().await;
    player.errors(&place).await;
    player.loads(&place).await;
    player.large().await;
    player.other_commands().await;
    player.ends().await;
    player.said.push_str("done\n");
    Ok(player.said)
}

struct Player {
    conn: Conn,
    said: String,
}

impl Player {
    async fn prepared(&mut self) {
        self.chapter("prepared");
        self.text("DROP TABLE IF EXISTS t").await;
        self.text(
            "CREATE TABLE t (id INT PRIMARY KEY AUTO_INCREMENT, name VARCHAR(60),
             amount DECIMAL(12,4), d DOUBLE, at DATETIME(6), data BLOB) CHARACTER SET utf8mb4",
        )
        .await;
        let every_byte: Vec<u8> = (0..=255).collect();
        for name in ["ünïcödé 🐘 \\ ' \" \0 ;", ""] {
            let values = (name, "12345678.9012", 0.1, "2026-02-28 23:59:59.123456", &every_byte);
            let insert = "INSERT INTO t (name, amount, d, at, data) VALUES (?, ?, ?, ?, ?)";
            self.binary(insert, values.into()).await;
        }
        self.binary("SELECT * FROM t WHERE id > ? ORDER BY id", (0,).into()).await;
        self.binary("SELECT id FROM t WHERE id > ?", (1000,).into()).await;
        self.binary("UPDATE t SET name = ?", (Value::NULL,).into()).await;
        self.binary("SELECT seq, ? FROM seq_1_to_3000", ("x".repeat(3000),).into()).await;
    }

    async fn many_results(&mut self) {
        self.chapter("many results");
        self.text("DROP PROCEDURE IF EXISTS p").await;
        self.text(
            "CREATE PROCEDURE p(IN n INT, OUT o INT) BEGIN SELECT id FROM t WHERE id <= n ORDER BY id;
             UPDATE t SET amount = n; SET o = n * 2; SELECT 'last' AS name; END",
        )
        .await;
        self.text("CALL p(2, @o); SELECT @o").await;
        self.binary("CALL p(?, ?)", (1, 5).into()).await;
        let batch: Vec<_> = (0..250).map(|n| format!("INSERT INTO t (d) VALUES ({n})")).collect();
        self.text(&format!("BEGIN; {}; COMMIT; BEGIN", batch.join("; "))).await;
        self.text("ROLLBACK; SELECT COUNT(*), @@in_transaction FROM t").await;
    }

    async fn errors(&mut self, place: &Place) {
        self.chapter("errors");
        for refused in [
            "SELECT * FROM absent",
            "SELEKT 1",
            "INSERT INTO t (id) VALUES (1)",
            "SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'ünser Fehler', MYSQL_ERRNO = 1644",
        ] {
            self.text(refused).await;
            self.binary(refused, Params::Empty).await;
        }
        let wrong = [("icinga", "wrong"), ("icinga", ""), ("absent", "x")];
        for (user, password) in wrong {
            let options = place.options().user(Some(user)).pass(Some(password));
            let refused = Conn::new(options).await.expect_err("nobody by that password");
            self.say(format_args!("  error: {refused}"));
        }
        let nowhere = Conn::new(place.options().db_name(Some("absent"))).await;
        self.say(format_args!("  error: {}", nowhere.expect_err("no such database")));
        self.chapter("an error in the middle");
        self.text(
            "SELECT 1; INSERT INTO t (name) VALUES ('first'); SELECT * FROM absent; SELECT 3",
        )
        .await;
        self.text("SELECT COUNT(*) FROM t WHERE name = 'first'").await;
    }

    async fn loads(&mut self, place: &Place) {
        self.chapter("LOAD DATA LOCAL");
        let infile = place.infile.display();
        self.text("DROP TABLE IF EXISTS loaded").await;
        self.text("CREATE TABLE loaded (id INT, name VARCHAR(60), size INT)").await;
        self.text(&format!("LOAD DATA LOCAL INFILE '{infile}' INTO TABLE loaded; SELECT 'then'"))
            .await;
        self.text(&format!("LOAD DATA LOCAL INFILE '{infile}' INTO TABLE absent")).await;
        self.text("SELECT * FROM loaded").await;
    }

    async fn large(&mut self) {
        self.chapter("large packets");
        let bytes: Vec<u8> = (0..40_000_000_u32).map(|n| (n % 251) as u8).collect();
        self.text("CREATE OR REPLACE TABLE blobs (data LONGBLOB)").await;
        self.binary("INSERT INTO blobs VALUES (?)", (&bytes,).into()).await;
        let back: Option<Vec<u8>> = self.conn.query_first("SELECT data FROM blobs").await.unwrap();
        assert!(back.is_some_and(|back| back == bytes), "40 MB come back as they were, as text");
        let back: Option<Vec<u8>> =
            self.conn.exec_first("SELECT data FROM blobs", ()).await.unwrap();
        assert!(back.is_some_and(|back| back == bytes), "and in the binary protocol");
        // A payload that is a multiple of 2^24 - 1 bytes ends with an empty packet.
        for length in [(1 << 24) - 2, (1 << 24) - 1, 1 << 24, 2 * ((1 << 24) - 1)] {
            let text = "a".repeat(length - 18);
            self.text(&format!("SELECT LENGTH('{text}')")).await;
        }
    }

    async fn other_commands(&mut self) {
        self.chapter("other commands");
        self.text("SET @mine = 1, SESSION sql_mode = 'ANSI_QUOTES'; USE information_schema").await;
        self.conn.ping().await.unwrap();
        self.conn.reset().await.unwrap();
        self.text("SELECT DATABASE(), @mine, @@sql_mode = @@global.sql_mode").await;
        self.text(
            "USE story; BEGIN; INSERT INTO t (name) VALUES ('lost'); SELECT @@in_transaction",
        )
        .await;
        let reader = ChangeUserOpts::new()
            .with_user(Some("reader".into()))
            .with_pass(Some("reader-password".into()))
            .with_db_name(Some(DATABASE.into()));
        self.conn.change_user(reader).await.unwrap();
        self.text("SELECT CURRENT_USER(), DATABASE(), @mine, COUNT(*) FROM t WHERE name = 'lost'")
            .await;
        let icinga = ChangeUserOpts::new()
            .with_user(Some("icinga".into()))
            .with_pass(Some("icinga".into()))
            .with_db_name(Some(DATABASE.into()));
        self.conn.change_user(icinga).await.unwrap();
        self.text("SELECT CURRENT_USER(), DATABASE()").await;
    }

    async fn ends(&mut self) {
        self.chapter("an end from the server's side");
        self.text("KILL CONNECTION_ID()").await;
        assert!(self.conn.query_drop("SELECT 1").await.is_err(), "the server has closed");
    }

    async fn text(&mut self, query: &str) {
        self.say(format_args!("> {}", query.chars().take(200).collect::<String>()));
        let mut told = String::new();
        if let Err(error) = match self.conn.query_iter(query).await {
            Ok(result) => tell_text(result, &mut told).await,
            Err(error) => Err(error),
        } {
            self.said.push_str(&told);
            return self.say(format_args!("  error: {error}"));
        }
        self.said.push_str(&told);
        let (warnings, info) = (self.conn.get_warnings(), self.conn.info().into_owned());
        self.say(format_args!("  warnings: {warnings}, info: {info:?}"));
    }

    async fn binary(&mut self, query: &str, values: Params) {
        self.say(format_args!("> {query}, prepared"));
        let mut told = String::new();
        if let Err(error) = match self.conn.exec_iter(query, values).await {
            Ok(result) => tell_binary(result, &mut told).await,
            Err(error) => Err(error),
        } {
            self.said.push_str(&told);
            return self.say(format_args!("  error: {error}"));
        }
        self.said.push_str(&told);
    }

    fn chapter(&mut self, title: &str) {
        self.say(format_args!("# {title}"));
    }

    fn say(&mut self, words: std::fmt::Arguments<'_>) {
        writeln!(self.said, "{words}").expect("a String takes all");
    }
}

async fn tell_text(
    mut result: QueryResult<'_, 'static, TextProtocol>,
    told: &mut String,
) -> std::result::Result<(), Error> {
    while !result.is_empty() {
        if result.columns_ref().is_empty() {
            tell_done(result.affected_rows(), result.last_insert_id(), told);
        }
        tell_columns(result.columns_ref(), told);
        for row in result.collect::<Row>().await? {
            tell_row(row, told);
        }
    }
    Ok(())
}

async fn tell_binary(
    mut result: QueryResult<'_, 'static, BinaryProtocol>,
    told: &mut String,
) -> std::result::Result<(), Error> {
    while !result.is_empty() {
        if result.columns_ref().is_empty() {
            tell_done(result.affected_rows(), result.last_insert_id(), told);
        }
        tell_columns(result.columns_ref(), told);
        for row in result.collect::<Row>().await? {
            tell_row(row, told);
        }
    }
    Ok(())
}

fn tell_done(rows: u64, id: Option<u64>, told: &mut String) {
    let _ = writeln!(told, "  ok: rows {rows}, id {id:?}");
}

fn tell_columns(columns: &[mysql_async::Column], told: &mut String) {
    for column in columns {
        let _ = writeln!(
            told,
            "  column: {} {:?} {:?} {} {}",
            column.name_str(),
            column.column_type(),
            column.flags(),
            column.character_set(),
            column.column_length()
        );
    }
}

fn tell_row(row: Row, told: &mut String) {
    let values: Vec<_> = row.unwrap().iter().map(|value| value.as_sql(false)).collect();
    let values = values.join(", ");
    let _ = writeln!(told, "  row: {}", values.chars().take(300).collect::<String>());
}

impl Place {
    fn options(&self) -> OptsBuilder {
        let options = match &self.way {
            Way::Tcp(address) => sql::account(*address, "icinga", "icinga"),
            Way::Socket(path) => sql::socket_account(path, "icinga", "icinga"),
        };
        options
            .db_name(Some(DATABASE))
            .local_infile_handler(Some(WhiteListFsHandler::new([self.infile.clone()])))
    }
}
