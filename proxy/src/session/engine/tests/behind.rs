//! Statements that are sent behind others, before anybody knows whether those succeed.

use super::losses::{check, packets};
use super::run::{Cut, Run, direct};
use super::*;

const BATCH: &str = "INSERT INTO t VALUES ('b');COMMIT;BEGIN";

fn program() -> Vec<Vec<u8>> {
    ["BEGIN", "INSERT INTO t VALUES ('a')", BATCH, "INSERT INTO t VALUES ('c')", "COMMIT"]
        .map(query)
        .into()
}

fn refused(code: u16) -> ErrPacket {
    ErrPacket::new(code, *b"HY000", "not now")
}

/// Icinga waits for each of its batches: one trip to the node less is time that it has for something else.
#[test]
fn commit_and_begin_are_sent_together() {
    let mut play = up_to_its_commit(BATCH);
    assert_eq!(play.requests(), ["COMMIT", "BEGIN"]);
    play.node_sends(&ok(1, StatusFlags::empty(), NONE));
    assert!(!play.machine.is_idle() && play.requests().is_empty(), "the other reply is to come");
    play.node_sends(&ok(1, StatusFlags::IN_TRANS, EMPTY));
    assert!(play.machine.is_idle() && play.machine.in_transaction());
}

/// The transaction that was refused is done again, and the one that began behind it must not be in the way.
#[test]
fn a_commit_that_is_refused_is_done_again() {
    for (code, times) in [(1213, 1), (1213, 3), (1180, 1), (1205, 2), (1047, 1)] {
        let mut run = Run::new(icinga(), []);
        let refused = ("COMMIT", refused(code));
        run.cluster.refusals.extend(std::iter::repeat_n(refused, times));
        check(&program(), &mut run, &format!("error {code}, {times} times"));
        assert_eq!(run.links, 1, "error {code}");
    }
}

/// A link that is lost has no reply to come: the next one would wait for it for ever.
#[test]
fn a_link_that_is_lost_at_the_refusal_leaves_nothing_behind() {
    for at in 0..400 {
        let mut run = Run::new(icinga(), [Cut::Down(at)]);
        run.cluster.refusals.push_back(("COMMIT", refused(1213)));
        check(&program(), &mut run, &format!("cut at {at}"));
    }
}

/// Otherwise the client would get the rows twice, and take the second ones for the reply to its next command.
#[test]
fn rows_in_one_piece_with_the_end_of_a_transaction_that_was_given_up_are_told_once() {
    let text = "SELECT token FROM t;INSERT INTO t VALUES ('b');INSERT INTO t VALUES ('c')";
    for after in 1..4 {
        let texts = ["BEGIN", "INSERT INTO t VALUES ('a')", "SELECT 1;SELECT 1", text, "COMMIT"];
        let mut run = Run::new(icinga(), []);
        run.all(&Vec::from_iter(texts[..3].iter().map(|sql| query(sql)))).expect("no fault");
        let before = run.to_client.len();
        run.cluster.gives_up.push_back(after);
        run.command(&query(text)).expect("it is done again");
        let (told, _) = direct(&Vec::from_iter(texts[..4].iter().map(|sql| query(sql))), icinga());
        assert_eq!(packets(&run.to_client[before..]), packets(&told[before..]), "{after}");
        assert!(run.cluster.gives_up.is_empty() && run.links == 1, "{:#?}", run.cluster.log);
    }
}

/// Otherwise a part of a batch would be committed, and the client be told fewer results than it has statements.
#[test]
fn a_reply_that_ends_before_its_text_is_that_of_a_node_that_stops() {
    const INSERTS: &str = "INSERT INTO t VALUES ('a');INSERT INTO t VALUES ('b');COMMIT;BEGIN";
    let mut play = Play::new(icinga());
    play.client_sends(&query("BEGIN")).node_sends(&ok(1, StatusFlags::IN_TRANS, EMPTY));
    play.client_sends(&query(INSERTS));
    let mut sent = play.requests();
    while sent.last().is_some_and(|sql| sql.starts_with("SET ")) {
        play.node_sends(&ok(1, StatusFlags::IN_TRANS, b""));
        sent = play.requests();
    }
    assert!(sent.last().is_some_and(|sql| sql.contains("fence")), "{sent:?}");
    let more = StatusFlags::IN_TRANS | StatusFlags::MORE_RESULTS;
    // The fence, the first INSERT, and no more.
    let reply = [ok(1, more, WROTE), ok(2, StatusFlags::IN_TRANS, b"")].concat();
    let down = play.machine.downward(&reply).expect("a reply that can be followed");
    assert!(down.lost.is_none() && down.done.is_none() && down.stuck.is_none(), "{down:?}");
    let mut sent = Vec::new();
    assert!(matches!(play.machine.poll_send(&mut sent), Sending::Pause(1)), "no COMMIT");
    assert!(down.edited == Some(Vec::new()) && sent.is_empty(), "all of it is done again");
}
