//! Kinds of statement.

use super::*;
use crate::statement::{Completion, Kind, SetTargets, Statement};

/// Lost otherwise: the end of a transaction is not seen, or one is seen that isn't there, so what a
/// failover replays is too much or too little.
#[test]
fn the_statements_that_begin_and_end_transactions_are_known() {
    let chain = Completion { chain: true, release: false };
    let release = Completion { chain: false, release: true };
    let none = Completion::default();
    for (sql, kind) in [
        ("BEGIN", Kind::Begin),
        ("begin work", Kind::Begin),
        ("/* x */ BEGIN -- y", Kind::Begin),
        ("START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY", Kind::Begin),
        ("COMMIT", Kind::Commit(none)),
        ("Commit Work", Kind::Commit(none)),
        ("COMMIT AND CHAIN", Kind::Commit(chain)),
        ("COMMIT WORK AND CHAIN NO RELEASE", Kind::Commit(chain)),
        ("COMMIT AND NO CHAIN RELEASE", Kind::Commit(release)),
        ("COMMIT RELEASE", Kind::Commit(release)),
        ("/*!40000 COMMIT */ /* x */", Kind::Commit(none)),
        ("SET STATEMENT max_statement_time=5 FOR COMMIT", Kind::Commit(none)),
        ("ROLLBACK", Kind::Rollback(none)),
        ("ROLLBACK AND CHAIN", Kind::Rollback(chain)),
        ("ROLLBACK WORK RELEASE", Kind::Rollback(release)),
        ("ROLLBACK TO a", Kind::Savepoint),
        ("ROLLBACK WORK TO SAVEPOINT a", Kind::Savepoint),
        ("SAVEPOINT commit", Kind::Savepoint),
        ("RELEASE SAVEPOINT a", Kind::Savepoint),
        ("XA COMMIT 'a'", Kind::Other),
        ("`COMMIT`", Kind::Other),
        ("@COMMIT", Kind::Other),
        ("COMMITS", Kind::Other),
        ("START SLAVE", Kind::Other),
        ("/*!4000 COMMIT */", Kind::Other),
        ("/*!999999 COMMIT */", Kind::Empty),
        ("-- COMMIT", Kind::Empty),
    ] {
        assert_eq!(kind_of(sql), kind, "{sql}");
    }
}

/// Lost otherwise: a transaction that the server has committed by itself is replayed as if open.
#[test]
fn implicit_commits_are_known() {
    for sql in [
        "ALTER TABLE t ADD a INT",
        "ANALYZE LOCAL TABLE t",
        "ANALYZE TABLE t",
        "BACKUP LOCK t",
        "CHECK TABLE t",
        "CREATE DATABASE d",
        "CREATE OR REPLACE TABLE temporary_t (a INT)",
        "CREATE SEQUENCE s",
        "CREATE UNIQUE INDEX i ON t (a)",
        "CREATE USER a@b",
        "DROP INDEX i ON t",
        "DROP TABLE t",
        "FLUSH STATUS",
        "GRANT a TO b",
        "INSTALL SONAME 'a'",
        "OPTIMIZE TABLE t",
        "RENAME TABLE a TO b",
        "REPAIR TABLE t",
        "RESET QUERY CACHE",
        "REVOKE a FROM b",
        "TRUNCATE t",
        "UNINSTALL SONAME 'a'",
    ] {
        assert_eq!(kind_of(sql), Kind::Ddl, "{sql}");
    }
    for sql in [
        "BINLOG 'x'",
        "CACHE INDEX t IN c",
        "CHANGE MASTER TO master_use_gtid=no",
        "CHECKSUM TABLE t",
        "DO 1",
        "HANDLER t OPEN",
        "KILL 1",
        "LOAD INDEX INTO CACHE t",
        "PURGE BINARY LOGS TO 'x'",
        "SIGNAL SQLSTATE '45000'",
        "STOP SLAVE",
    ] {
        assert_eq!(kind_of(sql), Kind::Other, "{sql}");
    }
}

/// Lost otherwise: a statement that wrote counts as one that read, or a session that can't move is
/// moved.
#[test]
fn reading_writing_and_what_binds_a_session_are_told_apart() {
    for (sql, kind) in [
        ("SELECT 1", Kind::Select),
        ("((SELECT 1) UNION SELECT 2)", Kind::Select),
        ("VALUES (1)", Kind::Select),
        ("WITH a AS (SELECT 1) SELECT * FROM a FOR UPDATE", Kind::Select),
        ("WITH a AS (SELECT 1) UPDATE t SET a = 1", Kind::Dml),
        ("ANALYZE SELECT 1", Kind::Select),
        ("ANALYZE FORMAT=JSON DELETE FROM t", Kind::Dml),
        ("EXPLAIN DELETE FROM t", Kind::Show),
        ("SHOW TABLES", Kind::Show),
        ("desc t", Kind::Show),
        ("INSERT INTO t SELECT 1", Kind::Dml),
        ("REPLACE INTO t VALUES (1)", Kind::Dml),
        ("DELETE FROM t", Kind::Dml),
        ("UPDATE t SET a = 1", Kind::Dml),
        ("LOAD DATA LOCAL INFILE 'x' INTO TABLE t", Kind::Dml),
        ("SET STATEMENT a=1 FOR INSERT INTO t VALUES (1)", Kind::Dml),
        ("CALL p()", Kind::Call),
        ("PREPARE s FROM 'SELECT 1'", Kind::Prepare),
        ("EXECUTE IMMEDIATE 'SELECT 1'", Kind::Execute),
        ("DROP PREPARE s", Kind::Deallocate),
        ("DEALLOCATE PREPARE s", Kind::Deallocate),
        ("CREATE OR REPLACE TEMPORARY TABLE t (a INT)", Kind::TemporaryTable),
        ("DROP TEMPORARY TABLE t", Kind::TemporaryTable),
        ("LOCK TABLES t WRITE", Kind::LockTables),
        ("UNLOCK TABLES", Kind::UnlockTables),
        ("USE icinga", Kind::Use),
        ("", Kind::Empty),
        ("/*! */", Kind::Empty),
    ] {
        assert_eq!(kind_of(sql), kind, "{sql}");
    }
}

/// Lost otherwise: a setting of the client does not survive a failover, or a global one is taken
/// for its own.
#[test]
fn the_targets_of_a_set_are_known() {
    type T = SetTargets;
    for (sql, targets) in [
        ("SET NAMES utf8mb4", T::NAMES | T::SYNTAX),
        ("SET CHARACTER SET latin1", T::NAMES | T::SYNTAX),
        ("SET autocommit = 0", T::SESSION | T::AUTOCOMMIT),
        ("SET @@autocommit = 1", T::SESSION | T::AUTOCOMMIT),
        ("SET sql_mode = ''", T::SESSION | T::SYNTAX),
        ("SET @@SESSION.sql_mode = ''", T::SESSION | T::SYNTAX),
        ("SET `sql_mode` = ''", T::SESSION | T::AUTOCOMMIT | T::SYNTAX),
        ("SET GLOBAL wait_timeout = 1", T::GLOBAL),
        ("SET @@GLOBAL.wait_timeout = 1", T::GLOBAL),
        ("SET GLOBAL a = 1, b = 2", T::GLOBAL),
        ("SET GLOBAL a = 1, SESSION b = f(1, @c)", T::GLOBAL | T::SESSION),
        ("SET @a = 1, @`b` := 2", T::USER),
        ("SET @a = 'sql_mode', wait_timeout = 1", T::USER | T::SESSION),
        ("SET TRANSACTION READ ONLY", T::TRANSACTION),
        ("SET SESSION TRANSACTION READ ONLY", T::SESSION | T::TRANSACTION),
        ("SET GLOBAL TRANSACTION READ ONLY", T::GLOBAL | T::TRANSACTION),
        ("SET PASSWORD = ''", T::OTHER),
        ("SET ROLE NONE", T::OTHER),
        ("SET DEFAULT ROLE NONE", T::OTHER),
    ] {
        assert_eq!(kind_of(sql), Kind::Set(targets), "{sql}");
    }
}

/// Lost otherwise: a session is moved away from the lock or the variable that it holds.
#[test]
fn what_a_statement_mentions_is_found_where_it_is_code() {
    for (sql, mentions) in [
        ("SELECT get_lock('x', 1)", true),
        ("SELECT `GET_LOCK`('x', 1)", true),
        ("SELECT/*! GET_LOCK('x', 1)*/", true),
        ("BEGIN NOT ATOMIC DO GET_LOCK('x', 1); END", true),
        ("SELECT 'GET_LOCK'", false),
        ("SELECT 1 -- GET_LOCK", false),
        ("SELECT get_lock_2('x')", false),
    ] {
        assert_eq!(first(sql).mentions(b"GET_LOCK"), mentions, "{sql}");
    }
    for (sql, mentions) in [
        ("SELECT @a", true),
        ("SELECT 1 INTO @`a`", true),
        ("BEGIN NOT ATOMIC SET @a = 1; END", true),
        ("SELECT @@sql_mode", false),
        ("SELECT 'icinga@localhost'", false),
    ] {
        assert_eq!(first(sql).mentions_user_variable(), mentions, "{sql}");
    }
}

fn kind_of(sql: &str) -> Kind {
    let statement = first(sql);
    assert_eq!(Statement::single(sql.as_bytes(), Dialect::default()).kind, statement.kind, "{sql}");
    statement.kind
}

fn first(sql: &str) -> Statement<'_> {
    let mut statements = Statements::new(sql.as_bytes(), Dialect::default());
    statements.next().expect("a text is one statement at least")
}

/// A statement that only reads is done again where its reply is lost; one that writes must not be.
#[test]
fn a_function_that_no_server_has_built_in_may_write() {
    for (sql, may_write) in [
        ("SELECT f_write(1)", true),
        ("SELECT COUNT(*), f_write (1) FROM t", true),
        ("SELECT 1 + a.b.count(1)", true),
        ("SELECT `f`(1)", true),
        ("DO f(1)", true),
        ("SET @x = f(1)", true),
        (
            "SELECT COUNT(*), MAX(a), IF(a IN (1, 2), NOW(), CAST('1' AS INT)) FROM t WHERE (a = 1)",
            false,
        ),
        ("SELECT UNIX_TIMESTAMP(a.b) FROM a JOIN (SELECT 1) b ON (a.id = b.id)", false),
        ("SELECT 'f(1)', \"g (1)\" /* h(1) */ -- i(1)\n", false),
        ("SHOW VARIABLES LIKE 'f(%'", false),
    ] {
        assert_eq!(first(sql).may_call_stored(), may_write, "{sql}");
    }
}
