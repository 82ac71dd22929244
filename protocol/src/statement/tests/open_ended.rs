//! Batches that only the server can split: it gets the rest of the batch as it came.

use super::Piece::{One, Rest};
use super::*;

/// Lost otherwise: a dump with routines is cut inside a body, and loads half of it.
#[test]
fn a_body_keeps_its_semicolons() {
    for batch in [
        "BEGIN NOT ATOMIC SELECT 1; SELECT 2; END;SELECT 3",
        "IF 1 THEN SELECT 1; END IF;SELECT 2",
        "CASE 1 WHEN 1 THEN SELECT 1; END CASE;SELECT 2",
        "FOR i IN 1..2 DO SELECT i; END FOR;SELECT 9",
        "LOOP SELECT 1; END LOOP;SELECT 2",
        "REPEAT SELECT 1; UNTIL 1 END REPEAT;SELECT 2",
        "WHILE 0 DO SELECT 1; END WHILE;SELECT 2",
        "SET STATEMENT max_statement_time=5 FOR BEGIN NOT ATOMIC SELECT 1; END;SELECT 2",
        "/*!BEGIN NOT ATOMIC*/ SELECT 1; END;SELECT 2",
        "CREATE PROCEDURE p() BEGIN SELECT 1; END;SELECT 2",
        "CREATE OR REPLACE DEFINER=`a`@`b` FUNCTION f() RETURNS INT RETURN 1;SELECT 2",
        "CREATE AGGREGATE FUNCTION f(a INT) RETURNS INT BEGIN LOOP SELECT 1; END LOOP; END",
        "CREATE DEFINER = table TRIGGER t BEFORE INSERT ON u FOR EACH ROW BEGIN SET @a=1; END",
        "/*!50003 CREATE*/ /*!50017 DEFINER=`a`@`%`*/ /*!50003 TRIGGER t BEFORE INSERT ON u \
         FOR EACH ROW BEGIN SET @a=1; END */;SELECT 2",
        "ALTER DEFINER = view EVENT e DO BEGIN SELECT 1; END;SELECT 2",
        // In sql_mode ORACLE.
        "BEGIN SELECT 1; END;SELECT 2",
        "DECLARE a INT; BEGIN SELECT 1; END;SELECT 2",
        "CREATE PACKAGE BODY p AS PROCEDURE q AS BEGIN SELECT 1; END; END;SELECT 2",
    ] {
        let whole = ["SELECT 0;", batch].concat();
        let found: Vec<_> = Statements::new(whole.as_bytes(), Dialect::default())
            .map(|statement| (statement.sql, statement.open_ended))
            .collect();
        let rest = batch.as_bytes();
        assert_eq!(shown(&found), shown(&[(b"SELECT 0", false), (rest, true)]));
    }
    // The name of an account or a table begins no body.
    check(
        Dialect::default(),
        &[
            (
                b"CREATE DEFINER=event@localhost VIEW v AS SELECT 1;SELECT 2",
                &[One(b"CREATE DEFINER=event@localhost VIEW v AS SELECT 1"), One(b"SELECT 2")],
            ),
            (
                b"CREATE TABLE `procedure` (event INT);SELECT 2",
                &[One(b"CREATE TABLE `procedure` (event INT)"), One(b"SELECT 2")],
            ),
        ],
    );
}

/// Lost otherwise: a mistake that the server would refuse is sent in pieces that run.
#[test]
fn a_mistake_reaches_the_server_as_it_was_made() {
    check(
        Dialect::default(),
        &[
            (b"SELECT 1;SELECT 'a;", &[One(b"SELECT 1"), Rest(b"SELECT 'a")]),
            (b"SELECT 'a\\';SELECT 2", &[Rest(b"SELECT 'a\\';SELECT 2")]),
            (b"SELECT \"a;SELECT 2", &[Rest(b"SELECT \"a;SELECT 2")]),
            (b"SELECT 1 AS `a;SELECT 2", &[Rest(b"SELECT 1 AS `a;SELECT 2")]),
            (b"SELECT 1 AS `a\0`;SELECT 2", &[Rest(b"SELECT 1 AS `a\0`;SELECT 2")]),
            (b"SELECT 1 /* ;SELECT 2", &[Rest(b"SELECT 1 /* ;SELECT 2")]),
            (b"SELECT 1 /*!999999 /* */ ;SELECT 2", &[Rest(b"SELECT 1 /*!999999 /* */ ;SELECT 2")]),
            (b"SELECT 1\0;SELECT 2", &[Rest(b"SELECT 1\0;SELECT 2")]),
            (b"SELECT 1 #\0\n;SELECT 2", &[Rest(b"SELECT 1 #\0\n;SELECT 2")]),
            (b"SELECT 1--;SELECT 2", &[Rest(b"SELECT 1--;SELECT 2")]),
            (b"SELECT 1---- 1;\n;SELECT 2", &[Rest(b"SELECT 1---- 1;\n;SELECT 2")]),
            (b"SELECT 1--/**/;SELECT 2", &[Rest(b"SELECT 1--/**/;SELECT 2")]),
            (b"SELECT 1;;SELECT 2", &[One(b"SELECT 1"), Rest(b";SELECT 2")]),
            (b" ;SELECT 1", &[Rest(b";SELECT 1")]),
            (b"SELECT 1;/*x*/;SELECT 2", &[One(b"SELECT 1"), Rest(b"/*x*/;SELECT 2")]),
            (b"-- x\n;SELECT 2", &[Rest(b"-- x\n;SELECT 2")]),
            // Code on a Galera node, a comment elsewhere.
            (b"SELECT/*!99997 ';',*/2;SELECT 3", &[Rest(b"SELECT/*!99997 ';',*/2;SELECT 3")]),
        ],
    );
}

/// Lost otherwise: a batch that changes `sql_mode` and then uses it is cut inside a string.
#[test]
fn after_a_change_of_dialect_nothing_is_guessed() {
    check(
        Dialect::default(),
        &[
            (
                b"SET sql_mode='ANSI_QUOTES';SELECT \";\"",
                &[One(b"SET sql_mode='ANSI_QUOTES'"), Rest(b"SELECT \";\"")],
            ),
            (
                b"SET sql_mode='';SELECT 1;SELECT '\\';'",
                &[One(b"SET sql_mode=''"), Rest(b"SELECT 1;SELECT '\\';'")],
            ),
            (
                b"SET sql_mode='MSSQL';SELECT 1 AS [a;b]",
                &[One(b"SET sql_mode='MSSQL'"), Rest(b"SELECT 1 AS [a;b]")],
            ),
            (
                b"SET NAMES gbk;SELECT '\x81\x5C'",
                &[One(b"SET NAMES gbk"), Rest(b"SELECT '\x81\x5C'")],
            ),
            (
                b"SET NAMES latin1;\xA0SELECT 1;SELECT 2",
                &[One(b"SET NAMES latin1"), Rest(b"\xA0SELECT 1;SELECT 2")],
            ),
            (b"EXECUTE s;SELECT \";\"", &[One(b"EXECUTE s"), Rest(b"SELECT \";\"")]),
            (b"CALL p();SELECT \";\"", &[One(b"CALL p()"), Rest(b"SELECT \";\"")]),
            // Reads the same in every dialect.
            (
                b"SET NAMES utf8mb4;SELECT ';';SELECT 2",
                &[One(b"SET NAMES utf8mb4"), One(b"SELECT ';'"), One(b"SELECT 2")],
            ),
            // No change of dialect.
            (
                b"SET autocommit=0;SELECT \";\";SELECT 2",
                &[One(b"SET autocommit=0"), One(b"SELECT \";\""), One(b"SELECT 2")],
            ),
        ],
    );
    for change in [
        "SET @a = (SELECT 1), @@session.sql_mode = 4",
        "SET @@SESSION . sql_mode = 4",
        "SET @@`sql_mode` = 4",
        "SET @a = 1, NAMES gbk",
        "SET CHAR SET gbk",
        "SET CHARSET gbk",
        "SET LOCAL Character_Set_Client = gbk",
        "SET SESSION autocommit = 1, sql_mode = 4",
        "SET `sql_mode` = 4",
        "/*!40101 SET NAMES gbk */",
    ] {
        let batch = format!("{change};SELECT \";\"");
        let found: Vec<_> = Statements::new(batch.as_bytes(), Dialect::default())
            .map(|statement| (statement.sql, statement.open_ended))
            .collect();
        let rest = &b"SELECT \";\""[..];
        assert_eq!(shown(&found), shown(&[(change.as_bytes(), false), (rest, true)]));
    }
}
