//! A BEGIN that is sent behind a COMMIT, before anybody knows whether that succeeds.

use super::losses::check;
use super::run::{Cut, Run};
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
