//! A write that commits by itself, in one round trip: one text, or a prepared statement and what is around it in one
//! flight.

use super::losses::{ids, packets};
use super::run::{Cut, Run, direct};
use super::*;

/// A statement that is prepared on the first link.
fn prepared(sql: &str) -> Vec<Vec<u8>> {
    vec![prepare(sql), execute(11)]
}

/// Statements that the node was sent, but for the long ones of ours.
fn short_log(run: &Run) -> Vec<&str> {
    let ours = |sql: &&str| sql.contains("ido_proxy") || *sql == "SHOW WARNINGS";
    run.cluster.log.iter().map(String::as_str).filter(|sql| !ours(sql)).collect()
}

const INSERT: &str = "INSERT INTO t VALUES ('a')";

fn refusal(code: u16, message: &str) -> ErrPacket {
    ErrPacket::new(code, *b"HY000", message)
}

/// Each further one costs a client at a distance as much as its statement.
#[test]
fn a_write_takes_one_round_trip_as_a_text_and_prepared() {
    for (program, commands) in [(vec![query(INSERT)], 1), (prepared(INSERT), 2)] {
        let mut run = Run::new(icinga(), []);
        run.all(&program).expect("nothing is lost");
        assert_eq!(run.requests.len(), commands, "writes to the node");
        assert_eq!(short_log(&run), ["BEGIN", INSERT, "COMMIT"]);
        assert_eq!(run.to_client, direct(&program, icinga()).0);
    }
}

/// Otherwise the statement would be done by itself, and then once more.
#[test]
fn a_begin_that_fails_in_front_of_a_write_in_flight_is_no_reason_to_do_that_twice() {
    let mut run = Run::new(icinga(), []);
    run.cluster.refusals = [("BEGIN", refusal(1317, "Query execution was interrupted"))].into();
    let program = prepared(INSERT);
    run.all(&program).expect("nothing is lost");
    assert_eq!(run.cluster.tokens().len(), 1, "{:?}", run.cluster.log);
    assert_eq!(run.to_client, direct(&program, icinga()).0);
    // A later write finds its fence as it was left.
    run.all(&[query("INSERT INTO t VALUES ('b')")]).expect("nothing is lost");
    assert_eq!(run.cluster.tokens().len(), 2);
}

/// A node that leaves refuses all of a flight.
#[test]
fn a_flight_that_is_refused_from_its_begin_on_is_done_on_the_next_link() {
    let unready = || refusal(1047, "WSREP has not yet prepared node for application use");
    let mut run = Run::new(icinga(), []);
    run.cluster.refusals = [("BEGIN", unready()), ("INSERT INTO t", unready())].into();
    let program = prepared(INSERT);
    run.all(&program).expect("the next node does it");
    assert_eq!(run.links, 2);
    assert_eq!(run.to_client, direct(&program, icinga()).0);
    assert_eq!(run.cluster.tokens().len(), 1, "{:?}", run.cluster.log);
}

/// Otherwise a client would read an error of ours in the list.
#[test]
fn an_error_that_the_check_behind_it_has_hidden_is_raised_again_for_who_reads_it() {
    let mut run = Run::new(icinga(), []);
    run.cluster.refusals = [("INSERT INTO t", refusal(1048, "no"))].into();
    run.all(&prepared(INSERT)).expect("nothing is lost");
    let told = packets(&run.to_client);
    assert!(told[1].ends_with("no"), "{told:?} {:?}", run.cluster.log);
    run.all(&[query("SHOW WARNINGS")]).expect("nothing is lost");
    let raised = "SIGNAL SQLSTATE 'HY000' SET MYSQL_ERRNO=1048, MESSAGE_TEXT=0x6e6f";
    let log = &run.cluster.log;
    assert_eq!(log[log.len() - 2..], [raised, "SHOW WARNINGS"], "{log:?}");
    assert!(run.cluster.tokens().is_empty());
}

/// The conflict of another node's write must not leave a fence that says "committed".
#[test]
fn a_transaction_that_is_given_up_behind_its_write_is_done_again() {
    for at in 1..=4 {
        let mut run = Run::new(icinga(), []);
        run.cluster.gives_up = [at].into();
        run.all(&[query(INSERT)]).expect("nothing is lost");
        assert_eq!(run.cluster.tokens().len(), 1, "given up at {at}: {:?}", run.cluster.log);
        assert_eq!(run.to_client, direct(&[query(INSERT)], icinga()).0);
    }
}

/// The table of an installation that has not run `ido-proxy setup` again.
#[test]
fn without_a_column_for_replies_a_write_goes_in_two_texts() {
    let missing = refusal(1054, "Unknown column 'reply' in 'field list'");
    let mut run = Run::new(icinga(), []);
    run.cluster.refusals = [("INSERT INTO `ido_proxy`", missing)].into();
    let program = [query(INSERT), query("INSERT INTO t VALUES ('b')")];
    run.all(&program).expect("nothing is lost");
    assert_eq!(run.cluster.tokens().len(), 2, "{:?}", run.cluster.log);
    let replies = run.cluster.log.iter().filter(|sql| sql.contains("seq, reply"));
    assert_eq!(replies.count(), 1, "{:?}", run.cluster.log);
    assert_eq!(run.to_client, direct(&program, icinga()).0);
}

/// The reply that is told in place of a lost one has the same counts and flags.
#[test]
fn a_lost_reply_in_the_middle_of_a_text_is_told_from_the_fence() {
    let texts = "SELECT 1;INSERT INTO t VALUES ('a');INSERT INTO t VALUES ('b');SELECT 1";
    let told = direct(&[query(texts)], icinga()).0;
    let whole = {
        let mut run = Run::new(icinga(), []);
        run.all(&[query(texts)]).expect("nothing is lost");
        run.requests.clone()
    };
    for cut in whole {
        let mut run = Run::new(icinga(), [Cut::Up(cut)]);
        run.all(&[query(texts)]).expect("it goes on");
        assert_eq!(packets(&run.to_client), packets(&told), "cut at {cut}: {:?}", run.cluster.log);
        assert_eq!(run.cluster.tokens().len(), 2, "cut at {cut}");
    }
}

/// A client that may send one statement a text, on links that take several.
fn one_at_a_time(cuts: impl IntoIterator<Item = Cut>) -> Run {
    let single = Capabilities::PROTOCOL_41 | Capabilities::SESSION_TRACK;
    let mut run = Run::new(single, cuts);
    run.beyond = Capabilities::MULTI_STATEMENTS;
    run
}

/// Otherwise a write would be told OK that is not there: what is sent on the way is a part of its frame.
#[test]
fn wherever_a_link_that_is_told_to_take_one_statement_is_lost_all_is_done_once() {
    // A string that could hide a second statement.
    let odd = "INSERT INTO t VALUES ('\\a;')";
    let program = [query("INSERT INTO t VALUES ('a')"), query(odd), query("COMMIT")];
    let mut whole = one_at_a_time([]);
    whole.all(&program).expect("nothing is lost");
    for cut in (1..=whole.up).map(Cut::Up).chain((0..whole.down).map(Cut::Down)) {
        let mut run = one_at_a_time([cut]);
        run.all(&program).expect("it goes on");
        let tokens = run.cluster.tokens();
        assert_eq!(tokens, whole.cluster.tokens(), "{cut:?}: {:#?}", run.cluster.log);
        assert_eq!(run.cluster.unfenced(), 0, "{cut:?}: {:#?}", run.cluster.log);
    }
    assert_eq!(whole.cluster.tokens().len(), 2, "{:#?}", whole.cluster.log);
}

/// Otherwise the end of the flight is a syntax error, and the write done twice: its row has another id, and a number is
/// lost.
#[test]
fn a_prepared_write_behind_a_text_that_the_link_was_to_refuse_is_done_once() {
    let mut run = one_at_a_time([]);
    run.all(&[query("SELECT 1;SELECT 1")]).expect("nothing is lost");
    run.all(&prepared(INSERT)).expect("nothing is lost");
    let inserts = run.cluster.log.iter().filter(|sql| *sql == INSERT).count();
    assert_eq!(inserts, 1, "{:#?}", run.cluster.log);
    assert_eq!(run.cluster.tokens().len(), 1);
}

/// Otherwise two statements of a text that the server is to refuse would be done.
#[test]
fn a_question_about_an_error_leaves_a_link_that_takes_one_statement_so() {
    let single = Capabilities::PROTOCOL_41 | Capabilities::SESSION_TRACK;
    let mut play = Play::linked(single, icinga());
    play.client_sends(&query("BEGIN")).node_sends(&ok(1, in_transaction(), EMPTY));
    play.requests();
    let eof = EofPacket { warnings: 0, status: in_transaction() };
    let eof = framed(&eof.encode(), 1);
    play.client_sends(&query("SELECT 1;SELECT 2"));
    assert_eq!(play.to_node, framed(&[0x1B, 1, 0], 0));
    play.node_sends(&eof);
    play.requests();
    play.node_sends(&error(1));
    assert_eq!(play.to_node, framed(&[0x1B, 1, 0], 0), "the question sets what is set already");
    play.node_sends(&eof);
    assert_eq!(play.to_client[play.to_client.len() - error(1).len()..], error(1));
}

/// Otherwise the next write finds a fence that is not as it was left, and is done twice: its row has another id, be it one
/// of another client who is lent the fence.
#[test]
fn a_transaction_that_is_rolled_back_unseen_leaves_its_fence_as_it_was() {
    let first = "INSERT INTO t VALUES ('0')";
    let failing = "INSERT INTO t VALUES ('a');SELECT nothing;COMMIT";
    for end in [framed(b"\x1F", 0), query("CALL undo()")] {
        let mut run = Run::new(without_tracking(), []);
        run.all(&[first, "BEGIN", failing].map(query)).expect("nothing is lost");
        run.machine.session.cannot_replay(Blocker::SharedInsert);
        run.all(&[end, query(INSERT)]).expect("nothing is lost");
        let inserts = run.cluster.log.iter().filter(|sql| *sql == INSERT).count();
        // One was rolled back.
        assert_eq!(inserts, 2, "{:#?}", run.cluster.log);
        assert_eq!(run.cluster.tokens().len(), 2, "{:#?}", run.cluster.log);
    }
}

/// Otherwise the fence would commit by itself, be taken for aborted, and the write be done ten times.
#[test]
fn a_write_behind_a_procedure_that_has_ended_the_transaction_is_done_once() {
    let program =
        ["BEGIN", "INSERT INTO t VALUES ('a');CALL end();INSERT INTO t VALUES ('b');COMMIT;BEGIN"];
    let program = program.map(query);
    let mut run = Run::new(icinga(), []);
    run.all(&program).expect("nothing is lost");
    let (told, tokens) = direct(&program, icinga());
    assert_eq!(run.cluster.tokens(), tokens, "{:#?}", run.cluster.log);
    assert_eq!(packets(&run.to_client), packets(&told));
}

/// A client would take the id of an earlier row for that of a statement which has none.
#[test]
fn a_write_without_an_id_whose_reply_is_lost_is_told_without_one() {
    let without = "INSERT INTO s VALUES ('b')";
    for write in [vec![query(without)], prepared(without)] {
        let program = [vec![query(INSERT)], write].concat();
        let mut whole = Run::new(icinga(), []);
        whole.all(&program).expect("nothing is lost");
        let mut run = Run::new(icinga(), [Cut::Up(whole.up)]);
        run.all(&program).expect("the fence keeps the reply");
        assert_eq!((run.links, run.cluster.tokens().len()), (2, 2));
        assert_eq!(ids(&run.to_client, icinga()), ids(&whole.to_client, icinga()));
        assert_eq!(ids(&run.to_client, icinga()).len(), 1);
    }
}

/// A client would take an id for that of its UPDATE, which comes from a statement whose reply had none.
#[test]
fn an_update_whose_reply_is_lost_is_told_without_an_id_that_nobody_was_told() {
    let update = "UPDATE u SET a=1";
    for write in [vec![query(update)], prepared(update)] {
        let program = [vec![query("SELECT LAST_INSERT_ID(12)")], write].concat();
        let mut whole = Run::new(icinga(), []);
        whole.all(&program).expect("nothing is lost");
        let mut run = Run::new(icinga(), [Cut::Up(whole.up)]);
        run.all(&program).expect("the fence keeps the reply");
        assert_eq!((run.links, ids(&run.to_client, icinga())), (2, vec![]));
    }
}
