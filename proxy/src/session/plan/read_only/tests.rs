use ido_proxy_protocol::statement::Dialect;

use super::*;
use crate::session::plan::Texts;

fn refused(sql: &str, multi: bool) -> Option<ErrPacket> {
    let scene = Scene {
        texts: if multi { Texts::Several } else { Texts::Single },
        dialect: Dialect::default(),
        ..Scene::default()
    };
    let payload = |byte: u8| [&[byte], sql.as_bytes()].concat();
    let query = refusal(Command::Query, Some(&payload(0x03)), scene);
    if !multi {
        let prepared = refusal(Command::StmtPrepare, Some(&payload(0x16)), scene);
        assert_eq!(query, prepared, "{sql}");
    }
    query
}

/// Something would be written through a listener that promises that nothing is.
#[test]
fn whatever_may_write_is_refused() {
    for sql in [
        "INSERT INTO t VALUES (1)",
        "/* a comment */ UPDATE t SET a=1",
        "/*!40000 DELETE FROM t */",
        "WITH a AS (SELECT 1) DELETE FROM t",
        "ANALYZE UPDATE t SET a=1",
        "LOAD DATA LOCAL INFILE 'x' INTO TABLE t",
        "CREATE TABLE t (a INT)",
        "CREATE TEMPORARY TABLE t (a INT)",
        "DROP TEMPORARY TABLE t",
        "TRUNCATE t",
        "ANALYZE TABLE t",
        "OPTIMIZE TABLE t",
        "FLUSH TABLES WITH READ LOCK",
        "RESET MASTER",
        "GRANT ALL ON *.* TO a",
        "LOCK TABLES t READ",
        "LOCK TABLE t WRITE",
        "SET GLOBAL read_only=0",
        "SET @@global.max_connections=1",
        "SET SESSION wait_timeout=1, GLOBAL wait_timeout=1",
        "SET PASSWORD=''",
        "SET DEFAULT ROLE a",
        "SET SESSION TRANSACTION READ WRITE",
        "SET TRANSACTION ISOLATION LEVEL SERIALIZABLE, READ WRITE",
        "SET tx_read_only=0",
        "SET SESSION `TX_READ_ONLY`=0",
        "SET @@session . tx_read_only = 0",
        "SET @@session.transaction_read_only=DEFAULT",
        "SET STATEMENT tx_read_only=0 FOR SELECT f()",
        "SET STATEMENT `tx_read_only`=0 FOR SHOW TABLES",
        "SET STATEMENT max_statement_time=1 FOR INSERT INTO t VALUES (1)",
        "START TRANSACTION READ WRITE",
        "START TRANSACTION /*!50000 READ WRITE */",
        "SELECT a FROM t INTO OUTFILE '/tmp/x'",
        "SELECT a INTO DUMPFILE '/tmp/x' FROM t",
        "CALL p()",
        "PREPARE s FROM 'INSERT INTO t VALUES (1)'",
        "EXECUTE s",
        "EXECUTE IMMEDIATE CONCAT('DROP ', 'TABLE t')",
        "BEGIN NOT ATOMIC INSERT INTO t VALUES (1); END",
        "IF 1 THEN INSERT INTO t VALUES (1); END IF",
        "CREATE PROCEDURE p() INSERT INTO t VALUES (1)",
        "BINLOG 'x'",
        "CHANGE MASTER TO master_host='x'",
        "PURGE BINARY LOGS TO 'x'",
        "SHUTDOWN",
        "STOP SLAVE",
        "XA START 'a'",
        "no such statement",
    ] {
        for multi in [false, true] {
            let error = refused(sql, multi).unwrap_or_else(|| panic!("not refused: {sql}"));
            assert_eq!((error.code, &error.sql_state), (1792, b"25006"));
            let words = String::from_utf8(error.message).unwrap();
            assert!(words.contains("listen.replica_addresses"), "{words}");
            assert!(words.contains("connect to one of listen.addresses to write"), "{words}");
        }
        assert!(refused(&format!("SELECT 1;{sql}"), true).is_some(), "behind another: {sql}");
    }
}

/// Icinga Web and Grafana would not work, or a prompt could not look around.
#[test]
fn whatever_reads_is_let_through() {
    for sql in [
        "SELECT * FROM t WHERE a = 'OUTFILE'",
        "(SELECT 1) UNION (SELECT 2)",
        "SELECT @@tx_read_only, @@session.transaction_read_only",
        "SELECT 'tx_read_only' AS a",
        "WITH a AS (SELECT 1) SELECT * FROM a",
        "SELECT * FROM t LOCK IN SHARE MODE",
        "SELECT @a := 1",
        "SHOW TABLES",
        "SHOW VARIABLES LIKE 'tx_read_only'",
        "EXPLAIN UPDATE t SET a=1",
        "DESCRIBE t",
        "ANALYZE SELECT 1",
        "BEGIN",
        "START TRANSACTION READ ONLY",
        "START TRANSACTION /*!40100 WITH CONSISTENT SNAPSHOT */",
        "COMMIT",
        "ROLLBACK TO a",
        "SET NAMES utf8mb4",
        "SET SESSION sql_mode='STRICT_ALL_TABLES', time_zone='+00:00'",
        "SET time_zone=DEFAULT",
        "SET autocommit=0",
        "SET ROLE a",
        "SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED",
        "SET SESSION TRANSACTION READ ONLY",
        "SET STATEMENT max_statement_time=1 FOR SELECT 1",
        "SET @a='WRITE'",
        "USE icinga",
        "DO SLEEP(1)",
        "KILL QUERY 5",
        "CHECKSUM TABLE t",
        "HANDLER t OPEN",
        "UNLOCK TABLES",
        "-- nothing",
    ] {
        for multi in [false, true] {
            assert_eq!(refused(sql, multi), None, "{sql}");
        }
    }
    assert_eq!(refused("SET NAMES utf8; SELECT 1; SELECT 2", true), None);
}

/// A server that only a reader can reach could be stopped, or emptied, in the old way.
#[test]
fn commands_that_are_no_text_are_judged_too() {
    let scene = Scene::default();
    for command in [Command::CreateDb, Command::DropDb, Command::Refresh, Command::Shutdown] {
        assert!(refusal(command, Some(&[0, 1]), scene).is_some(), "{command}");
    }
    for command in [
        Command::FieldList,
        Command::InitDb,
        Command::Ping,
        Command::ResetConnection,
        Command::SetOption,
        Command::StmtClose,
        Command::StmtExecute,
        Command::StmtSendLongData,
    ] {
        assert_eq!(refusal(command, Some(&[0, 1]), scene), None, "{command}");
        assert_eq!(refusal(command, None, scene), None, "{command}");
    }
    assert!(refusal(Command::Query, None, scene).is_some(), "nobody has read it");
}
