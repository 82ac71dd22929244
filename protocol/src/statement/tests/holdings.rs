//! Things that a statement takes and gives back.

use super::*;
use crate::statement::Statement;
use crate::statement::holding::{Belonging, Holding};

fn holding(sql: &str) -> Option<Holding> {
    Statement::single(sql.as_bytes(), Dialect::default()).holding()
}

fn takes(kind: Belonging, name: &str) -> Option<Holding> {
    Some(Holding::Takes(kind, name.into()))
}

fn gives(kind: Belonging, names: &[&str]) -> Option<Holding> {
    Some(Holding::Gives(kind, names.iter().map(|name| name.as_bytes().to_vec()).collect()))
}

/// Lost otherwise: a session that has dropped its temporary table ends with its node all the same, or one that has another
/// still moves to a node where that is not.
#[test]
fn what_is_taken_and_given_back_has_a_name() {
    let (table, lock) = (Belonging::TemporaryTable, Belonging::NamedLock);
    for (sql, wanted) in [
        ("CREATE TEMPORARY TABLE t (a INT)", takes(table, "t")),
        ("create or replace temporary table `a b` like t", takes(table, "a b")),
        ("CREATE TEMPORARY TABLE IF NOT EXISTS d . t AS SELECT 1", takes(table, "d.t")),
        ("DROP TEMPORARY TABLE t", gives(table, &["t"])),
        ("DROP TEMPORARY TABLE IF EXISTS t, d.`u`;", gives(table, &["t", "d.u"])),
        ("PREPARE p FROM 'SELECT 1'", takes(Belonging::SqlStatement, "p")),
        ("DEALLOCATE PREPARE `p`", gives(Belonging::SqlStatement, &["p"])),
        ("/* x */ DROP PREPARE p -- y", gives(Belonging::SqlStatement, &["p"])),
        ("SELECT GET_LOCK('a', 10)", takes(lock, "a")),
        ("do get_lock('a', -1)", takes(lock, "a")),
        ("SELECT RELEASE_LOCK('a')", gives(lock, &["a"])),
        ("SELECT RELEASE_LOCK('a') AS done", gives(lock, &["a"])),
        ("DO RELEASE_ALL_LOCKS()", Some(Holding::GivesAll(lock))),
        ("SET timestamp = DEFAULT", Some(Holding::GivesAll(Belonging::Timestamp))),
        ("SET SESSION TIMESTAMP:=default", Some(Holding::GivesAll(Belonging::Timestamp))),
        ("SET @@session.timestamp=DEFAULT", Some(Holding::GivesAll(Belonging::Timestamp))),
    ] {
        assert_eq!(holding(sql), wanted, "{sql}");
    }
}

/// Lost otherwise: a lock that is held still is taken for released, and another node asked to go on without it.
#[test]
fn what_words_do_not_tell_for_sure_gives_nothing_back() {
    for sql in [
        "DROP TEMPORARY TABLE a``b",
        "DROP TEMPORARY TABLE `a``b`",
        "DROP TEMPORARY SEQUENCE s",
        "DROP TABLE t",
        "DEALLOCATE PREPARE",
        "SELECT RELEASE_LOCK('a'), GET_LOCK('b', 1)",
        "SELECT RELEASE_LOCK('a') FROM t WHERE 0",
        "SELECT RELEASE_LOCK(CONCAT('a', 'b'))",
        r"SELECT RELEASE_LOCK('a\'b')",
        "SELECT RELEASE_LOCK(?)",
        "SELECT RELEASE_ALL_LOCKS() WHERE 0",
        "DO 1, RELEASE_ALL_LOCKS()",
        "SET timestamp = 5",
        "SET timestamp = DEFAULT, @a = 1",
        "SET GLOBAL timestamp = DEFAULT",
        "SELECT 1",
        "PREPARE p FROM 'CREATE TEMPORARY TABLE x (a INT)'",
        "PREPARE p FROM 'DO GET_LOCK(''a'', 1)'",
        "PREPARE p FROM @text",
        "PREPARE p FROM CONCAT('SEL', 'ECT 1')",
        r"PREPARE p FROM 'SELECT \x40a'",
        "DO RELEASE_LOCK('\u{e4}')",
    ] {
        assert_eq!(holding(sql), None, "{sql}");
    }
}

/// Lost otherwise: a session is taken for free that holds the table of another database.
#[test]
fn a_table_is_that_of_the_schema_in_which_the_statement_is_done() {
    let within = |sql: &str| holding(sql).map(|holding| holding.within(Some(b"a")));
    let table = Belonging::TemporaryTable;
    assert_eq!(within("CREATE TEMPORARY TABLE t (x INT)"), takes(table, "a.t"));
    assert_eq!(within("DROP TEMPORARY TABLE t, b.t"), gives(table, &["a.t", "b.t"]));
    assert_eq!(within("DO GET_LOCK('l', 1)"), takes(Belonging::NamedLock, "l"));
}

/// Lost otherwise: what EXECUTE IMMEDIATE takes is not seen, as it stands in a string.
#[test]
fn a_text_within_a_text_is_looked_into() {
    let takes =
        |sql: &str| Statement::single(sql.as_bytes(), Dialect::default()).executes_what_takes();
    assert!(takes("EXECUTE IMMEDIATE 'CREATE TEMPORARY TABLE t (a INT)'"));
    assert!(takes("EXECUTE IMMEDIATE CONCAT('x', 'y')"));
    assert!(!takes("EXECUTE IMMEDIATE 'COMMIT'") && !takes("EXECUTE p"));
}

/// Lost otherwise: memory, by names that no server takes.
#[test]
fn a_name_has_a_length() {
    let name = "x".repeat(300);
    assert_eq!(holding(&format!("DO GET_LOCK('{name}', 1)")), None);
}
