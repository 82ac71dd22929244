//! Texts of several statements, which the server may give up in the middle without a word (see
//! [`crate::session::state::guard`]).

use super::losses::packets;
use super::run::{Cut, Run, direct};
use super::*;
use crate::session::state::reports::Reports;

const INSERTS: &str = "INSERT INTO t VALUES (1);INSERT INTO t VALUES (2)";

/// A client in a transaction whose link is guarded, since it has sent such a text.
fn guarded() -> Play {
    guarded_after(Play::new(icinga()))
}

fn guarded_after(mut play: Play) -> Play {
    play.client_sends(&query("BEGIN")).node_sends(&ok(1, in_transaction(), EMPTY));
    play.client_sends(&query(INSERTS));
    assert_eq!(play.requests(), ["BEGIN", "SET autocommit=0"]);
    play.node_sends(&ok(1, StatusFlags::IN_TRANS, b""));
    assert_eq!(play.requests(), [INSERTS]);
    play.node_sends(&both(StatusFlags::IN_TRANS, WROTE));
    play.to_client.clear();
    play
}

/// Replies to two statements, the second one with these flags.
fn both(second: StatusFlags, state: &[u8]) -> Vec<u8> {
    let more = StatusFlags::IN_TRANS | StatusFlags::MORE_RESULTS;
    [ok(1, more, state), ok(2, second, b"")].concat()
}

fn last_error(play: &Play) -> u16 {
    ErrPacket::decode(&play.to_client[HEADER_LEN..]).expect("an error").code
}

/// The client is told error 1213 when nothing is left of its transaction at the server.
#[track_caller]
fn assert_rolled_back(play: &mut Play) {
    let mut sent = play.requests();
    while !play.machine.is_idle() {
        assert_eq!(play.to_client, [0; 0], "not before");
        assert!(sent.len() < 9, "{sent:?}");
        play.node_sends(&ok(1, StatusFlags::empty(), NONE));
        sent.extend(play.requests());
    }
    assert!(sent.contains(&"ROLLBACK".to_owned()), "{sent:?}");
    assert_eq!(last_error(play), 1213);
    assert!(!play.machine.in_transaction());
}

/// A client that is told another mode than its own may set it, or open a transaction less.
#[test]
fn the_client_is_told_its_own_mode() {
    let mut play = guarded();
    play.client_sends(&query("INSERT INTO t VALUES (3)"));
    play.node_sends(&ok(1, StatusFlags::IN_TRANS, b""));
    assert_eq!(play.to_client, ok(1, in_transaction(), b""));
}

/// Under it, the statement would open a transaction that nobody commits.
#[test]
fn the_guard_is_off_before_anything_is_done_outside_of_a_transaction() {
    let mut play = guarded();
    play.client_sends(&query("ROLLBACK")).node_sends(&ok(1, StatusFlags::empty(), NONE));
    play.client_sends(&query("BEGIN")).node_sends(&ok(1, StatusFlags::IN_TRANS, EMPTY));
    play.client_sends(&query("ROLLBACK")).node_sends(&ok(1, StatusFlags::empty(), NONE));
    assert_eq!(play.requests(), ["ROLLBACK", "BEGIN", "ROLLBACK"], "it may stay on till then");
    play.client_sends(&query("SELECT 1"));
    assert_eq!(play.requests(), ["SET autocommit=1"]);
    play.node_sends(&ok(1, StatusFlags::AUTOCOMMIT, b""));
    assert_eq!(play.requests(), ["SELECT 1"]);
}

/// Under the guard it would commit what is open, where without it nothing would happen.
#[test]
fn autocommit_cannot_be_set_in_a_guarded_transaction_that_cannot_be_done_again() {
    let mut play = guarded();
    play.machine.session.cannot_replay(Blocker::Call);
    play.client_sends(&query("SET autocommit=1-@@autocommit"));
    assert_eq!(last_error(&play), 1192);
    assert_eq!(play.requests(), [""; 0]);
    play.client_sends(&query("ROLLBACK")).node_sends(&ok(1, StatusFlags::empty(), NONE));
    play.client_sends(&query("SET autocommit=1"));
    assert_eq!(play.requests(), ["ROLLBACK", "SET autocommit=1"], "and then the client's");
}

/// Otherwise a transaction whose ids no reply has told would come out otherwise when it is done again, and its client be
/// told an error for a word that every driver says.
#[test]
fn the_mode_is_set_and_read_under_the_guard_without_doing_anything_again() {
    let returning = "INSERT INTO t VALUES ('c') RETURNING id";
    let both = "INSERT INTO t VALUES ('a');INSERT INTO t VALUES ('b')";
    // A procedure might show the guard.
    for said in ["SET autocommit=1", "SET autocommit=0", "SELECT @@autocommit", "CALL add(12)"] {
        let program = ["BEGIN", both, returning, said, "INSERT INTO t VALUES ('d')", "ROLLBACK"];
        let program = program.map(query);
        let (told, _) = direct(&program, without_tracking());
        let mut run = Run::new(without_tracking(), []);
        run.cluster.counts_on = true;
        run.all(&program).expect("nothing is lost");
        assert_eq!(packets(&run.to_client), packets(&told), "{said}: {:#?}", run.cluster.log);
        let rollbacks = run.cluster.log.iter().filter(|sql| *sql == "ROLLBACK").count();
        assert_eq!(rollbacks, 1, "{said}: {:#?}", run.cluster.log);
    }
}

/// Otherwise a driver that sets the mode among other things would be refused, or commit a transaction that goes on.
#[test]
fn the_mode_is_set_in_a_list_under_the_guard() {
    for (said, sent) in [
        ("SET sql_mode='', autocommit=1", "SET sql_mode='', autocommit=0"),
        (
            "SET SESSION autocommit = ON, time_zone='SYSTEM'",
            "SET SESSION autocommit = OFF, time_zone='SYSTEM'",
        ),
        ("SET @@autocommit='on', sql_mode=''", "SET @@autocommit='OFF', sql_mode=''"),
        ("SET sql_mode='', autocommit=0", "SET sql_mode='', autocommit=0"),
    ] {
        let mut play = guarded();
        play.client_sends(&query(said));
        assert_eq!(play.requests(), [sent]);
    }
}

/// Otherwise a transaction that has read its counts would end in an error for a statement that looks at the mode: done again,
/// it has others.
#[test]
fn a_transaction_that_has_read_what_passes_is_not_done_again_for_a_look() {
    for read in ["SELECT ROW_COUNT()", "SELECT FOUND_ROWS()", "SHOW WARNINGS"] {
        let mut play = guarded();
        play.client_sends(&query(read)).node_sends(&rows_with(1, StatusFlags::IN_TRANS));
        play.requests();
        play.client_sends(&query("SHOW VARIABLES LIKE 'autocommit'"));
        assert_eq!(play.requests(), ["SHOW VARIABLES LIKE 'autocommit'"], "{read}");
    }
    let mut play = guarded();
    play.client_sends(&query("SHOW VARIABLES LIKE 'autocommit'"));
    assert_ne!(play.requests(), ["SHOW VARIABLES LIKE 'autocommit'"]);
}

/// Otherwise a procedure that sets the mode would commit a transaction that its client rolls back later.
#[test]
fn a_procedure_in_a_transaction_is_called_without_the_guard() {
    let both = "INSERT INTO t VALUES ('a');INSERT INTO t VALUES ('b')";
    for call in ["CALL add(12)", "DO 0;CALL add(12)"] {
        let mut run = Run::new(without_tracking(), []);
        run.all(&["BEGIN", both, call, "COMMIT"].map(query)).expect("nothing is lost");
        let log = &run.cluster.log;
        let at = |sql: &str| log.iter().rposition(|other| other == sql);
        assert!(at("SET autocommit=0") < at("SET autocommit=1"), "{log:#?}");
        assert!(at("SET autocommit=1") < at("CALL add(12)"), "{log:#?}");
        assert_eq!(run.cluster.tokens().len(), 2, "{log:#?}");
    }
}

/// Otherwise the transaction of a client that has read what changes would end in an error for a CALL.
#[test]
fn a_transaction_that_has_told_rows_is_not_done_again_for_a_procedure() {
    let both = "INSERT INTO t VALUES ('a');INSERT INTO t VALUES ('b')";
    let program = ["BEGIN", both, "SELECT token FROM t", "CALL add(12)"].map(query);
    let mut run = Run::new(without_tracking(), []);
    run.all(&program).expect("nothing is lost");
    assert!(!run.cluster.log.iter().any(|sql| sql == "ROLLBACK"), "{:#?}", run.cluster.log);
}

/// Otherwise a driver that reads the reports would take its mode for another one.
#[test]
fn a_client_that_sets_its_mode_under_the_guard_is_told_that_mode() {
    let mut play = guarded();
    play.client_sends(&query("SET autocommit=1"));
    assert_eq!(play.requests(), ["SET autocommit=0"]);
    let report = |value: &[u8]| {
        let len = value.len() as u8 + 11;
        [&[0, len, 10], &b"autocommit"[..], value].concat()
    };
    play.node_sends(&ok(1, StatusFlags::IN_TRANS, &report(b"\x03OFF")));
    assert_eq!(play.to_client, ok(1, in_transaction(), &report(b"\x02ON")));
}

/// Otherwise the client's next BEGIN would commit what is behind the abort, and is open at the server.
#[test]
fn what_cannot_be_done_again_is_rolled_back_before_the_client_is_told_more() {
    let mut play = guarded();
    play.machine.session.cannot_replay(Blocker::Call);
    play.client_sends(&query(INSERTS));
    let deadlock = framed(&ErrPacket::new(1213, *b"40001", "Deadlock").encode(), 2);
    play.node_sends(&[ok(1, StatusFlags::MORE_RESULTS, NONE), deadlock].concat());
    assert_rolled_back(&mut play);
}

/// Otherwise an abort that comes without an error, by flags alone, would go unnoticed.
#[test]
fn flags_alone_tell_that_a_transaction_was_given_up() {
    let mut play = guarded();
    play.machine.session.cannot_replay(Blocker::Call);
    play.client_sends(&query(INSERTS));
    play.node_sends(&both(StatusFlags::empty(), b""));
    assert_rolled_back(&mut play);
}

/// Without the guard it would be committed; with it, the client that takes it for that would lose it.
#[test]
fn what_a_procedure_does_behind_a_commit_of_its_own_is_committed() {
    let mut play = guarded();
    // A client whose transaction cannot be done again without the guard, as this is another way out.
    play.machine.session.cannot_replay(Blocker::SharedInsert);
    play.client_sends(&query("CALL p()"));
    play.node_sends(&ok(1, StatusFlags::IN_TRANS, IMPLICIT));
    assert_eq!(play.requests(), ["CALL p()", "COMMIT"]);
    play.node_sends(&ok(1, StatusFlags::empty(), NONE));
    assert!(play.machine.is_idle() && !play.machine.in_transaction());
}

/// A lone server cannot give a transaction up, and two more requests would be for nothing.
#[test]
fn a_server_that_stands_alone_needs_no_guard() {
    let mut play = Play::new(icinga());
    play.machine.link_up(LinkFacts { galera: false, ..facts(icinga()) });
    play.machine.session.transaction.learn_status(in_transaction());
    play.client_sends(&query(INSERTS));
    assert!(!play.requests().contains(&"SET autocommit=0".to_owned()));
}

/// Nobody can send something before it, since it is passed on as it comes; left open, it would be lost with the
/// link.
#[test]
fn what_is_too_long_to_be_kept_is_committed_before_the_client_is_told() {
    let mut play = guarded();
    play.client_sends(&query("ROLLBACK")).node_sends(&ok(1, StatusFlags::empty(), NONE));
    play.to_client.clear();
    let long = very_long();
    let (start, rest) = long.split_at(MOST_KEPT);
    play.client_sends(start).client_sends(rest);
    play.to_node.clear();
    play.node_sends(&ok(3, StatusFlags::IN_TRANS, b""));
    assert_eq!(play.requests(), ["COMMIT"]);
    assert_eq!(play.to_client, [0; 0], "it is not done yet");
    play.node_sends(&ok(1, StatusFlags::empty(), NONE));
    assert!(play.machine.is_idle() && !play.to_client.is_empty());
}

/// Many drivers set the mode they are in already. What sets the session up again sets that, too: the next text
/// would count as guarded, and not be.
#[test]
fn a_link_that_is_set_up_again_is_guarded_again() {
    let mut play = Play::new(icinga());
    let on = b"\x00\x0e\x0aautocommit\x02ON";
    play.client_sends(&query("SET autocommit=1")).node_sends(&ok(1, StatusFlags::AUTOCOMMIT, on));
    play.requests();
    let mut play = guarded_after(play);
    play.machine.session.cannot_replay(Blocker::Call);
    play.client_sends(&query(INSERTS)).node_sends(&both(StatusFlags::empty(), b""));
    assert_rolled_back(&mut play);
    guarded_after(play);
}

/// Otherwise a driver that looks would find a mode that nobody has set.
#[test]
fn a_client_that_looks_finds_its_own_mode_and_its_transaction_as_it_was() {
    let both = "INSERT INTO t VALUES ('a');INSERT INTO t VALUES ('b')";
    let programs = [
        vec!["BEGIN", both, "SELECT @@autocommit", both, "COMMIT", "SELECT @@autocommit"],
        vec![
            "BEGIN;INSERT INTO t VALUES ('a');INSERT INTO t VALUES ('b');SELECT @@autocommit",
            "COMMIT",
        ],
        vec!["BEGIN", both, "SELECT @@autocommit", "ROLLBACK", "BEGIN", both, "COMMIT"],
        vec![
            "BEGIN",
            both,
            "SET autocommit=0",
            "INSERT INTO t VALUES ('c')",
            "COMMIT",
            both,
            "COMMIT",
        ],
    ];
    for program in programs {
        let program: Vec<Vec<u8>> = program.into_iter().map(query).collect();
        let (told, tokens) = direct(&program, without_tracking());
        let mut run = Run::new(without_tracking(), []);
        run.all(&program).expect("nothing is lost");
        assert_eq!(packets(&run.to_client), packets(&told), "{:#?}", run.cluster.log);
        assert_eq!(run.cluster.tokens(), tokens, "{:#?}", run.cluster.log);
        // Wherever the link is lost.
        for cut in (0..run.down).map(Cut::Down) {
            let mut run = Run::new(without_tracking(), [cut]);
            run.all(&program).expect("it goes on");
            assert_eq!(packets(&run.to_client), packets(&told), "{cut:?}: {:#?}", run.cluster.log);
            assert_eq!(run.cluster.tokens(), tokens, "{cut:?}: {:#?}", run.cluster.log);
        }
    }
}

/// The link reports as the client asks for meanwhile, and not that a table without transactions was written: refused by Galera,
/// the COMMIT of a frame would be tried again and again, and the write with it.
#[test]
fn a_write_beside_what_is_tracked_is_not_framed() {
    let text = "UPDATE t SET a=a+1;SET session_track_system_variables=''";
    let mut play = Play::new(icinga());
    play.client_sends(&query(text));
    let requests = play.requests();
    let frames = |requests: &[String]| requests.iter().any(|sql| sql.contains("`fence`"));
    assert!(frames(&requests), "the client hears of nothing: {requests:?}");
    let mut play = told_of_changes();
    play.client_sends(&query(text));
    let requests = play.requests();
    assert!(!frames(&requests), "{requests:?}");
}

/// A client that is told of changes, as its server's settings say.
fn told_of_changes() -> Play {
    let mut machine = machine(icinga());
    let columns: [&[u8]; 4] = [b"*", b"1", b"1", b"OFF"];
    let row: Vec<u8> =
        columns.iter().flat_map(|column| [&[column.len() as u8], *column].concat()).collect();
    let packets: Vec<u8> = [&b"\x04"[..], b"d", b"d", b"d", b"d", b"\xfe", &row]
        .iter()
        .zip(1..)
        .flat_map(|(payload, sequence)| framed(payload, sequence))
        .collect();
    let reports = Reports::read(&packets, 0).expect("it is a row").0;
    machine.link_up(LinkFacts { reports: Some(reports.into()), ..facts(icinga()) });
    Play { machine, ..Play::new(icinga()) }
}

/// Otherwise the client would read, with its next look, what it had chosen before.
#[test]
fn a_name_that_is_no_variable_hides_nothing_of_what_the_client_chose() {
    let mut play = told_of_changes();
    play.client_sends(&query("SET session_track_schema=0;SET nope=1"));
    let done = ok(1, StatusFlags::AUTOCOMMIT, b"");
    play.node_sends(&done);
    let more = StatusFlags::AUTOCOMMIT | StatusFlags::MORE_RESULTS;
    let unknown = || ErrPacket::new(1193, *b"HY000", "Unknown system variable 'nope'").encode();
    play.node_sends(&[ok(1, more, b""), framed(&unknown(), 2)].concat());
    let asked = |play: &mut Play| play.requests().pop().unwrap_or_default();
    assert!(asked(&mut play).contains("@@session_track_schema"), "what it has set is read");
    play.node_sends(&framed(&unknown(), 1));
    let again = asked(&mut play);
    assert!(again.contains("@@session_track_schema") && !again.contains("nope"), "{again}");
}

/// Otherwise a COMMIT whose reply is lost would be told as done, since the procedure has committed what was before it: the row
/// says so, and means another transaction.
#[test]
fn a_procedure_that_may_have_committed_takes_the_fence_with_it() {
    let mut run = Run::new(icinga(), []);
    let refused = ErrPacket::new(1062, *b"23000", "Duplicate entry");
    run.cluster.refusals = [("INSERT INTO t VALUES ('b')", refused)].into();
    let batch = "BEGIN;INSERT INTO t VALUES ('a');INSERT INTO t VALUES ('b');COMMIT";
    run.all(&[batch, "CALL p()", "COMMIT"].map(query)).expect("nothing is lost");
    let fences: Vec<_> = run.cluster.log.iter().filter(|sql| sql.contains("`fence`")).collect();
    assert_eq!(fences.len(), 2, "{fences:?}");
    assert!(fences[1].contains("2, ~0+1") && fences[1].contains("BETWEEN 0 AND 1"), "{fences:?}");
}
