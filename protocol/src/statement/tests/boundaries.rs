//! Where one statement ends and the next begins. Every row, but those for MySQL, was sent to
//! MariaDB 10.11, whole and in these pieces, alone and with another statement behind.

use super::Piece::One;
use super::*;
use crate::statement::ServerVersion;

/// Lost otherwise: the body of Icinga's batch is not told from its COMMIT, so a failover writes it
/// twice or not at all.
#[test]
fn icingas_batch_is_cut_before_its_commit() {
    check(
        Dialect::default(),
        &[
            (
                b"UPDATE icinga_hoststatus SET output = 'OK; rta 3ms' WHERE host_object_id = 7;\
                  INSERT INTO icinga_statehistory (output) VALUES ('disk \\'/\\';COMMIT');\
                  COMMIT;BEGIN",
                &[
                    One(b"UPDATE icinga_hoststatus SET output = 'OK; rta 3ms' \
                          WHERE host_object_id = 7"),
                    One(b"INSERT INTO icinga_statehistory (output) \
                          VALUES ('disk \\'/\\';COMMIT')"),
                    One(b"COMMIT"),
                    One(b"BEGIN"),
                ],
            ),
            (
                b"BEGIN WORK;COMMIT WORK AND CHAIN;ROLLBACK AND NO CHAIN",
                &[One(b"BEGIN WORK"), One(b"COMMIT WORK AND CHAIN"), One(b"ROLLBACK AND NO CHAIN")],
            ),
            (
                b"XA START 'a;b';XA END 'a;b';XA ROLLBACK 'a;b'",
                &[One(b"XA START 'a;b'"), One(b"XA END 'a;b'"), One(b"XA ROLLBACK 'a;b'")],
            ),
        ],
    );
}

/// Lost otherwise: a check whose output has quotes and semicolons makes the proxy wait for a
/// reply that never comes.
#[test]
fn a_string_ends_at_its_own_quote() {
    check(
        Dialect::default(),
        &[
            (b"SELECT 'it''s;';SELECT 2", &[One(b"SELECT 'it''s;'"), One(b"SELECT 2")]),
            (b"SELECT '''';SELECT 2", &[One(b"SELECT ''''"), One(b"SELECT 2")]),
            (b"SELECT '' ';';SELECT 2", &[One(b"SELECT '' ';'"), One(b"SELECT 2")]),
            (b"SELECT '\\';';SELECT 2", &[One(b"SELECT '\\';'"), One(b"SELECT 2")]),
            (b"SELECT '\\\\';SELECT 2", &[One(b"SELECT '\\\\'"), One(b"SELECT 2")]),
            (b"SELECT \"a';\";SELECT 2", &[One(b"SELECT \"a';\""), One(b"SELECT 2")]),
            (b"SELECT \"a\"\";\";SELECT 2", &[One(b"SELECT \"a\"\";\""), One(b"SELECT 2")]),
            (b"SELECT '/*;--;#;';SELECT 2", &[One(b"SELECT '/*;--;#;'"), One(b"SELECT 2")]),
            (b"SELECT 'a\0;';SELECT 2", &[One(b"SELECT 'a\0;'"), One(b"SELECT 2")]),
            (b"SELECT N'a;b';SELECT 2", &[One(b"SELECT N'a;b'"), One(b"SELECT 2")]),
            (b"SELECT _latin1'a;b';SELECT 2", &[One(b"SELECT _latin1'a;b'"), One(b"SELECT 2")]),
            (b"SELECT @'a;b';SELECT 2", &[One(b"SELECT @'a;b'"), One(b"SELECT 2")]),
            (b"SELECT \\N';';SELECT 2", &[One(b"SELECT \\N';'"), One(b"SELECT 2")]),
        ],
    );
    check(
        with_mode(no_backslash_escapes()),
        &[
            (b"SELECT '\\';SELECT 2", &[One(b"SELECT '\\'"), One(b"SELECT 2")]),
            (b"SELECT '\\'';';SELECT 2", &[One(b"SELECT '\\'';'"), One(b"SELECT 2")]),
        ],
    );
}

/// Lost otherwise: a query of a column with an odd name is torn apart.
#[test]
fn a_quoted_name_stays_whole() {
    check(
        Dialect::default(),
        &[
            (b"SELECT 1 AS `a;b`;SELECT 2", &[One(b"SELECT 1 AS `a;b`"), One(b"SELECT 2")]),
            (b"SELECT 1 AS `a``;`;SELECT 2", &[One(b"SELECT 1 AS `a``;`"), One(b"SELECT 2")]),
            (b"SELECT 1 AS `a\\`;SELECT 2", &[One(b"SELECT 1 AS `a\\`"), One(b"SELECT 2")]),
            (b"SELECT @`a;b`;SELECT 2", &[One(b"SELECT @`a;b`"), One(b"SELECT 2")]),
        ],
    );
    check(
        with_mode(ansi_quotes()),
        &[
            (b"SELECT 1 AS \"a\\\";SELECT 2", &[One(b"SELECT 1 AS \"a\\\""), One(b"SELECT 2")]),
            (
                b"SELECT 1 AS \"a\"\";\";SELECT 2",
                &[One(b"SELECT 1 AS \"a\"\";\""), One(b"SELECT 2")],
            ),
        ],
    );
    check(
        with_mode(SqlMode { brackets: true, ..ansi_quotes() }),
        &[
            (b"SELECT 1 AS [a;b];SELECT 2", &[One(b"SELECT 1 AS [a;b]"), One(b"SELECT 2")]),
            (b"SELECT 1 AS [a]];'];SELECT 2", &[One(b"SELECT 1 AS [a]];']"), One(b"SELECT 2")]),
        ],
    );
}

/// Lost otherwise: a comment's semicolon is taken for the end of a statement, or a statement for a
/// part of a comment.
#[test]
fn comments_hide_what_they_hide_on_the_server() {
    check(
        Dialect::default(),
        &[
            (b"SELECT 1 /* ; */;SELECT 2", &[One(b"SELECT 1"), One(b"SELECT 2")]),
            (b"/*;*/SELECT 1;SELECT 2", &[One(b"/*;*/SELECT 1"), One(b"SELECT 2")]),
            (b"/*/;*/SELECT 1;SELECT 2", &[One(b"/*/;*/SELECT 1"), One(b"SELECT 2")]),
            (b"SELECT/* ' */1;SELECT 2", &[One(b"SELECT/* ' */1"), One(b"SELECT 2")]),
            (b"SELECT /* /* ; */ 1;SELECT 2", &[One(b"SELECT /* /* ; */ 1"), One(b"SELECT 2")]),
            (b"SELECT 1 -- ;\n;SELECT 2", &[One(b"SELECT 1"), One(b"SELECT 2")]),
            (b"SELECT 1 --\t;\n;SELECT 2", &[One(b"SELECT 1"), One(b"SELECT 2")]),
            (b"SELECT 1 --\x01;\n;SELECT 2", &[One(b"SELECT 1"), One(b"SELECT 2")]),
            (b"SELECT 1 --\n;SELECT 2", &[One(b"SELECT 1"), One(b"SELECT 2")]),
            (b"SELECT 1 --\r;\n;SELECT 2", &[One(b"SELECT 1"), One(b"SELECT 2")]),
            (b"SELECT 1--1;SELECT 2", &[One(b"SELECT 1--1"), One(b"SELECT 2")]),
            (b"SELECT 1 # ' ;\n;SELECT 2", &[One(b"SELECT 1"), One(b"SELECT 2")]),
            (b"SELECT#;\n1;SELECT 2", &[One(b"SELECT#;\n1"), One(b"SELECT 2")]),
            (b"SELECT 4/2*/**/2;SELECT 2", &[One(b"SELECT 4/2*/**/2"), One(b"SELECT 2")]),
            (b"SELECT 2*/*;*/3;SELECT 2", &[One(b"SELECT 2*/*;*/3"), One(b"SELECT 2")]),
        ],
    );
}

/// Lost otherwise: a dump is loaded, and what stands in its `/*! … */` is not seen.
#[test]
fn executable_comments_are_code_where_the_server_runs_them() {
    check(
        Dialect::default(),
        &[
            (
                b"/*!40101 SET @a=1 */;/*!40000 SELECT ';' */;SELECT 2",
                &[One(b"/*!40101 SET @a=1 */"), One(b"/*!40000 SELECT ';' */"), One(b"SELECT 2")],
            ),
            (
                b"SELECT /*! 1 /* ; */ */;SELECT 2",
                &[One(b"SELECT /*! 1 /* ; */ */"), One(b"SELECT 2")],
            ),
            (
                b"SELECT /*!999999 ; */ 2;SELECT 3",
                &[One(b"SELECT /*!999999 ; */ 2"), One(b"SELECT 3")],
            ),
            (
                b"SELECT /*!999999 /* ; */ ; */ 2;SELECT 3",
                &[One(b"SELECT /*!999999 /* ; */ ; */ 2"), One(b"SELECT 3")],
            ),
            // For MySQL 5.7 and later, which MariaDB is not.
            (b"SELECT/*!50700 ;*/2;SELECT 3", &[One(b"SELECT/*!50700 ;*/2"), One(b"SELECT 3")]),
            (
                b"SELECT/*!050699 '*/;',*/2;SELECT 3",
                &[One(b"SELECT/*!050699 '*/;',*/2"), One(b"SELECT 3")],
            ),
            (
                b"SELECT/*M!50700 '*/;',*/2;SELECT 3",
                &[One(b"SELECT/*M!50700 '*/;',*/2"), One(b"SELECT 3")],
            ),
            // Six digits are the version, the seventh is code.
            (
                b"SELECT/*!1011001'*/;',*/2;SELECT 3",
                &[One(b"SELECT/*!1011001'*/;',*/2"), One(b"SELECT 3")],
            ),
            // The very version of the server.
            (
                b"SELECT/*!101100 '*/;',*/2;SELECT 3",
                &[One(b"SELECT/*!101100 '*/;',*/2"), One(b"SELECT 3")],
            ),
            (
                b"SELECT /*!999999 /* /*/ ; */ 2;SELECT 3",
                &[One(b"SELECT /*!999999 /* /*/ ; */ 2"), One(b"SELECT 3")],
            ),
            (b"SELECT/*M!999999 ;*/2;SELECT 3", &[One(b"SELECT/*M!999999 ;*/2"), One(b"SELECT 3")]),
            (
                b"REPLACE /*!99997*/ INTO t VALUES (1);SELECT 2",
                &[One(b"REPLACE /*!99997*/ INTO t VALUES (1)"), One(b"SELECT 2")],
            ),
        ],
    );
    let mysql = ServerVersion::from_greeting(b"8.0.36");
    check(
        Dialect { server: mysql, ..Dialect::default() },
        &[
            (
                b"SELECT/*!80000 '*/;',*/2;SELECT 3",
                &[One(b"SELECT/*!80000 '*/;',*/2"), One(b"SELECT 3")],
            ),
            (b"SELECT/*!80037 ;*/2;SELECT 3", &[One(b"SELECT/*!80037 ;*/2"), One(b"SELECT 3")]),
            (b"SELECT/*M! ;*/2;SELECT 3", &[One(b"SELECT/*M! ;*/2"), One(b"SELECT 3")]),
        ],
    );
}

/// Lost otherwise: the proxy waits for one reply too many, or passes one too few, at the end.
#[test]
fn what_stands_behind_the_last_statement_counts_as_on_the_server() {
    check(
        Dialect::default(),
        &[
            (b"SELECT 1;", &[One(b"SELECT 1")]),
            (b" \t\r\n\x0b\x0cSELECT 1 ; ;; \n", &[One(b"SELECT 1")]),
            (b"SELECT 1 -- x", &[One(b"SELECT 1")]),
            (b"SELECT 1; -- x", &[One(b"SELECT 1"), One(b"-- x")]),
            (b"SELECT 1;#x;", &[One(b"SELECT 1"), One(b"#x")]),
            (b"SELECT 1;/*x*/ ;", &[One(b"SELECT 1"), One(b"/*x*/")]),
            (b"SELECT 1;/*! */", &[One(b"SELECT 1"), One(b"/*! */")]),
            (b"SELECT 1;/*!999999 x*/", &[One(b"SELECT 1"), One(b"/*!999999 x*/")]),
            (b"-- x", &[One(b"-- x")]),
            (b"/*x*/;", &[One(b"/*x*/")]),
            (b"", &[One(b"")]),
            (b" ;; ", &[One(b"")]),
        ],
    );
}

/// Lost otherwise: a client's brackets, its WITH or its SET STATEMENT make one statement two.
#[test]
fn every_form_of_a_statement_is_one() {
    check(
        Dialect::default(),
        &[
            (
                b"(SELECT 1);((SELECT 2) UNION (SELECT 3))",
                &[One(b"(SELECT 1)"), One(b"((SELECT 2) UNION (SELECT 3))")],
            ),
            (
                b"WITH a AS (SELECT ';') SELECT * FROM a;SELECT 2",
                &[One(b"WITH a AS (SELECT ';') SELECT * FROM a"), One(b"SELECT 2")],
            ),
            (
                b"SET STATEMENT max_statement_time=5 FOR SELECT 1;SELECT 2",
                &[One(b"SET STATEMENT max_statement_time=5 FOR SELECT 1"), One(b"SELECT 2")],
            ),
            (
                b"PREPARE s FROM 'SELECT ?';DEALLOCATE PREPARE s",
                &[One(b"PREPARE s FROM 'SELECT ?'"), One(b"DEALLOCATE PREPARE s")],
            ),
            // A client's own command, which the server does not know.
            (b"DELIMITER //;SELECT 1", &[One(b"DELIMITER //"), One(b"SELECT 1")]),
            // No label begins a block outside a routine.
            (b"a: LOOP LEAVE a; END LOOP", &[One(b"a: LOOP LEAVE a"), One(b"END LOOP")]),
        ],
    );
}

/// Lost otherwise: a client that may send one statement only is made to send two, and injected
/// SQL runs.
#[test]
fn a_client_without_multi_statements_is_not_split() {
    let sql = b" SELECT 1; DROP TABLE icinga_hosts;";
    let single = crate::statement::Statement::single(sql, Dialect::default());
    assert_eq!((single.sql, single.range, single.open_ended), (&sql[..], 0..sql.len(), false));
}
