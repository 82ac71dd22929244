use ido_proxy_protocol::command::Command;
use ido_proxy_protocol::packet;
use ido_proxy_protocol::statement::Kind;

use super::*;
use crate::session::plan::{sets_in_passing, sets_one_of, untold_in};

fn settings() -> SessionSettings {
    SessionSettings::new(Capabilities::MULTI_STATEMENTS, 8, Some(b"icinga".to_vec()))
}

fn set(settings: &SessionSettings, again: bool) -> Vec<String> {
    let state = state(settings, again);
    let characteristics = state.set_characteristics().map(<[u8]>::to_vec);
    texts(state.set_variables(true).into_iter().chain(characteristics).collect())
}

fn state(settings: &SessionSettings, again: bool) -> State {
    settings.begun().filter(|_| again).cloned().unwrap_or_else(|| settings.now())
}

fn texts(statements: Vec<Vec<u8>>) -> Vec<String> {
    statements.into_iter().map(|sql| String::from_utf8(sql).unwrap()).collect()
}

/// Icinga's own settings; otherwise its times would be wrong by hours after a failover.
#[test]
fn variables_are_set_again_as_they_were_reported() {
    let mut settings = settings();
    for (name, value) in [
        ("time_zone", "+00:00"),
        ("sql_mode", "NO_AUTO_VALUE_ON_ZERO"),
        ("wait_timeout", "100"),
        ("max_statement_time", "5.000000"),
        ("character_set_results", ""),
        ("init_connect", "it's a \\"),
        ("insert_id", "5"),
    ] {
        settings.learn(Change::SystemVariable(name.as_bytes(), value.as_bytes()));
    }
    let expected = "SET character_set_results=NULL, init_connect='it''s a \\\\', \
        max_statement_time=5.000000, sql_mode='NO_AUTO_VALUE_ON_ZERO', time_zone='+00:00', \
        wait_timeout=100";
    assert_eq!(set(&settings, false), [expected]);
    assert_eq!(settings.unmovable(), None);
}

/// Otherwise a replay would run under settings that the transaction changed later.
#[test]
fn a_link_on_which_a_transaction_has_set_something_first_cannot_be_brought_back() {
    let mut settings = settings();
    settings.learn(Change::SystemVariable(b"sql_mode", b"ANSI"));
    let begun = settings.now();
    settings.learn(Change::SystemVariable(b"sql_mode", b""));
    settings.learn(Change::Schema(b"other"));
    assert!(begun.can_follow(&settings.now()), "both had a value, set again");
    settings.learn(Change::SystemVariable(b"time_zone", b"+00:00"));
    assert!(!begun.can_follow(&settings.now()));
    let mut homeless = SessionSettings::new(Capabilities::MULTI_STATEMENTS, 8, None);
    let begun = homeless.now();
    homeless.learn(Change::Schema(b"other"));
    assert!(!begun.can_follow(&homeless.now()), "no statement leaves a database");
}

/// The first statements of the transaction would be done again under what its last ones set.
#[test]
fn a_transaction_begins_again_in_the_state_it_began_in() {
    let mut settings = settings();
    settings.learn(Change::SystemVariable(b"sql_mode", b"ANSI"));
    settings.begin(settings.now());
    settings.learn(Change::SystemVariable(b"sql_mode", b""));
    settings.learn(Change::Schema(b"other"));
    assert_eq!(set(&settings, true), ["SET sql_mode='ANSI'"]);
    assert_eq!(state(&settings, true).schema.as_deref(), Some(&b"icinga"[..]));
    assert_eq!(set(&settings, false), ["SET sql_mode=''"]);
    settings.end();
    assert_eq!(state(&settings, true).schema.as_deref(), Some(&b"other"[..]));
}

#[test]
fn what_holds_for_the_next_transaction_is_set_again_until_it_has_begun() {
    let mut settings = settings();
    let sql = b"SET TRANSACTION ISOLATION LEVEL SERIALIZABLE;";
    settings.learn(Change::TransactionCharacteristics(sql));
    assert_eq!(set(&settings, false), ["SET TRANSACTION ISOLATION LEVEL SERIALIZABLE"]);
    settings.learn(Change::TransactionCharacteristics(b"START TRANSACTION;"));
    assert_eq!(set(&settings, false), [""; 0]);
}

/// A client that only sends its parameters' types once would be misread by a new link.
#[test]
fn an_execute_is_told_the_number_and_the_types_that_the_link_lacks() {
    let mut settings = settings();
    let mut statement = Prepared::new(b"SELECT ?".to_vec(), Kind::Select, false, 3);
    statement.parameters = 1;
    settings.prepared(3, statement);
    let first = b"\x17\x03\0\0\0\0\x01\0\0\0\0\x01\x08\0value".to_vec();
    let later = b"\x17\x03\0\0\0\0\x01\0\0\0\0\0value".to_vec();
    for unchanged in [&first, &later] {
        let mut payload = unchanged.clone();
        settings.translate_execute(&mut payload);
        assert_eq!(&payload, unchanged);
        assert!(!settings.is_other_on_link(Command::StmtExecute, unchanged));
    }
    settings.learn_link_id(3, 1);
    // To ask is not to tell: the link still lacks the types.
    assert!(settings.is_other_on_link(Command::StmtExecute, &later));
    let mut payload = later.clone();
    settings.translate_execute(&mut payload);
    assert_eq!(payload, b"\x17\x01\0\0\0\0\x01\0\0\0\0\x01\x08\0value");
    let mut payload = later;
    settings.translate_execute(&mut payload);
    assert_eq!(payload, b"\x17\x01\0\0\0\0\x01\0\0\0\0\0value", "told once");
}

/// Otherwise the client would get a row that a server refuses it.
#[test]
fn an_execute_of_the_last_statement_without_types_is_one_for_the_server_to_refuse() {
    let mut settings = settings();
    let mut statement = Prepared::new(b"SELECT ?".to_vec(), Kind::Select, false, 3);
    statement.parameters = 1;
    settings.prepared(3, statement);
    let execute = |flag| [&b"\x17\xFF\xFF\xFF\xFF\0\x01\0\0\0\0"[..], &[flag]].concat();
    assert!(settings.lacks_types(Command::StmtExecute, &execute(0)));
    assert!(!settings.lacks_types(Command::StmtExecute, &execute(1)));
    assert!(!settings.lacks_types(Command::StmtReset, &execute(0)));
}

#[test]
fn a_statement_closed_in_a_transaction_is_kept_for_its_replay() {
    let mut settings = settings();
    settings.prepared(1, Prepared::new(b"SELECT 1".to_vec(), Kind::Select, false, 1));
    settings.close(1, true);
    assert_eq!(settings.statement_ids(), [1]);
    settings.end();
    assert_eq!(settings.statement_ids(), [0; 0]);
}

/// Otherwise the next node would check what an import has turned off. MariaDB 11.8 reports another name.
#[test]
fn what_is_reported_by_another_name_is_asked_for_and_set_again() {
    let mut settings = settings();
    settings.meet(b"5.5.5-10.11.19-MariaDB", true);
    assert!(settings.confused().is_empty());
    settings.meet(b"11.8.9-MariaDB", true);
    let names = settings.confused();
    for name in names {
        let set = [b"SET ", *name, b"=0"].concat();
        assert!(sets_one_of(&set, names), "{}", String::from_utf8_lossy(name));
    }
    assert!(!sets_one_of(b"SET sql_mode=''", names) && !sets_one_of(b"SET unique_checks=0", &[]));
    let columns = 2 + names.len();
    let row = [&b"\x07utf8mb4\x00"[..], &b"\x010".repeat(names.len())].concat();
    let mut packets = Vec::new();
    packet::frame(&[columns as u8], 1, &mut packets);
    (0..columns).for_each(|_| _ = packet::frame(b"\x03def", 2, &mut packets));
    packet::frame(&row, 3, &mut packets);
    settings.learn_untold(&packets);
    let set = set(&settings, false).concat();
    assert!(set.contains("unique_checks=0") && set.contains("sql_notes=0"), "{set}");
    // The flags of a reply tell.
    settings.learn_status(StatusFlags::default());
    let set = self::set(&settings, false).concat();
    assert!(set.contains("autocommit='OFF'"), "{set}");
}

/// Otherwise the columns of each result would bear another number behind a failover: that of the default collation.
#[test]
fn the_collation_of_set_names_is_that_of_columns_too() {
    let mut settings = settings();
    let names = || untold_in(b"SET NAMES utf8mb4 COLLATE utf8mb4_bin");
    let charset = |settings: &mut SessionSettings, name: &'static str, value: &'static str| {
        settings.learn(Change::SystemVariable(name.as_bytes(), value.as_bytes()));
    };
    for name in ["character_set_client", "character_set_results", "character_set_connection"] {
        charset(&mut settings, name, "utf8mb4");
    }
    settings.guess_untold(names());
    let named = set(&settings, false).concat();
    assert!(named.starts_with("SET NAMES 'utf8mb4' COLLATE 'utf8mb4_bin', "), "{named}");
    assert!(named.contains("collation_connection='utf8mb4_bin'"), "{named}");
    assert!(!named.contains("character_set_results="), "NAMES would be undone: {named}");
    settings.guess_untold(untold_in(b"SET NAMES DEFAULT"));
    let by_default = set(&settings, false).concat();
    assert!(by_default.starts_with("SET NAMES DEFAULT, "), "{by_default}");
    assert!(!by_default.contains("connection"), "another collation than by DEFAULT: {by_default}");
    charset(&mut settings, "character_set_results", "utf8mb4");
    let set_anew = set(&settings, false).concat();
    assert!(set_anew.contains("character_set_results='utf8mb4'"), "{set_anew}");
    assert!(!set_anew.contains("NAMES"), "{set_anew}");
}

/// Otherwise a transaction done again behind a prepared statement would be READ ONLY, or have another `sql_mode`.
#[test]
fn a_statement_is_prepared_in_a_state_that_leaves_nothing_behind() {
    let mut settings = settings();
    let begun = settings.now();
    for (name, value) in [("tx_read_only", "ON"), ("autocommit", "OFF"), ("sql_mode", "ANSI")] {
        settings.learn(Change::SystemVariable(name.as_bytes(), value.as_bytes()));
    }
    let shape = settings.now().for_preparing();
    assert_eq!(texts(shape.set_variables(true).into_iter().collect()), ["SET sql_mode='ANSI'"]);
    assert_eq!(texts(shape.unset(&begun).collect()), ["SET sql_mode=DEFAULT"]);
    assert_eq!(shape.unset(&settings.now()).count(), 0);
}

/// Otherwise the next node would have the mode of one statement for all, and the next text be read wrongly.
#[test]
fn a_statement_that_sets_for_itself_leaves_no_setting() {
    let mut settings = settings();
    let change = |name: &'static str, value: &'static str| {
        Change::SystemVariable(name.as_bytes(), value.as_bytes())
    };
    settings.learn(change("sql_mode", "NO_BACKSLASH_ESCAPES"));
    settings.learn_status(StatusFlags::NO_BACKSLASH_ESCAPES);
    let before = (settings.now(), settings.status());
    settings.learn(change("sql_mode", ""));
    settings.learn(change("max_sort_length", "100"));
    settings.learn(change("lc_time_names", "de_DE"));
    settings.learn_status(StatusFlags::AUTOCOMMIT);
    let sql = b"SET STATEMENT SQL_MODE='', max_sort_length=100 FOR CALL p()";
    settings.put_back(&sets_in_passing(sql), before);
    let left = set(&settings, false).concat();
    assert_eq!(left, "SET lc_time_names='de_DE', sql_mode='NO_BACKSLASH_ESCAPES'");
    assert!(settings.dialect().mode.no_backslash_escapes);
    assert!(sets_in_passing(b"SET sql_mode=''").is_empty());
}

/// Otherwise each transaction at the next node would be READ ONLY, where the client has asked for one that is.
#[test]
fn a_variable_set_for_the_next_transaction_is_no_setting() {
    let mut settings = settings();
    let before = (settings.now(), settings.status());
    settings.learn(Change::SystemVariable(b"tx_read_only", b"ON"));
    settings.learn(Change::TransactionCharacteristics(b"SET TRANSACTION READ ONLY;"));
    settings.put_back(&sets_in_passing(b"SET @@tx_read_only = 1"), before);
    assert_eq!(set(&settings, false), ["SET TRANSACTION READ ONLY"]);
    let scopes: [&[u8]; 2] = [b"SET SESSION tx_read_only=1", b"SET @@session.tx_isolation='x'"];
    assert!(scopes.iter().all(|sql| sets_in_passing(sql).is_empty()));
}
