//! Nothing of ours is ever written for a client that only reads, whatever the node says of it.

use super::*;

fn reader() -> Play {
    let mut play = Play::new(icinga());
    let settings = SessionSettings::new(icinga(), 8, None);
    let journal = Store::new(Arc::new(Budget::new(1 << 30, 0, None)));
    let fence = Fence::new(Arc::new(FencePool::new("ido_proxy", 7)), b"icinga");
    play.machine = Machine::new(icinga(), SessionState::new(settings, journal, fence).reading());
    play.machine.link_up(facts_of_a_reader());
    play
}

fn facts_of_a_reader() -> LinkFacts {
    LinkFacts { galera: false, ..facts(icinga()) }
}

/// A fence would be a write at a node that is not written to; at its best it would be refused, and the
/// reader with it.
#[test]
fn a_reader_has_no_fence() {
    let mut play = reader();
    // Statements that the driver refuses before, should they come here all the same.
    for sql in ["INSERT INTO t VALUES (1)", "DO f(1)", "DROP TABLE t"] {
        play.client_sends(&query(sql)).node_sends(&ok(1, StatusFlags::AUTOCOMMIT, WROTE));
        assert_eq!(play.requests(), [sql]);
    }
    let text = "BEGIN;INSERT INTO t VALUES (1)";
    play.client_sends(&query(text));
    play.node_sends(&ok(1, in_transaction() | StatusFlags::MORE_RESULTS, EMPTY));
    play.node_sends(&ok(2, in_transaction(), WROTE));
    play.client_sends(&query("DO f(1)")).node_sends(&ok(1, in_transaction(), WROTE));
    play.client_sends(&query("COMMIT;BEGIN"));
    play.node_sends(&ok(1, StatusFlags::AUTOCOMMIT | StatusFlags::MORE_RESULTS, NONE));
    play.node_sends(&ok(2, in_transaction(), EMPTY));
    assert_eq!(play.requests(), [text, "DO f(1)", "COMMIT;BEGIN"]);
}

/// The end of a transaction that only read is never in doubt: it is not to end its session.
#[test]
fn a_reader_whose_commit_is_lost_does_it_again() {
    let mut play = reader();
    play.client_sends(&query("BEGIN")).node_sends(&ok(1, in_transaction(), EMPTY));
    play.client_sends(&query("DO f(1)")).node_sends(&ok(1, in_transaction(), WROTE));
    play.client_sends(&query("COMMIT"));
    play.requests();
    assert_eq!(play.machine.link_lost(), Ok(()));
    play.machine.link_up(facts_of_a_reader());
    play.client_sends(b"");
    let mut sent = Vec::new();
    while !play.machine.is_idle() {
        let requests = play.requests();
        let last = requests.last().expect("a request").clone();
        for (sequence, _) in (1..).zip(last.split(';')) {
            let more = usize::from(sequence) < last.split(';').count();
            let more = if more { StatusFlags::MORE_RESULTS } else { StatusFlags::default() };
            let ended = last == "COMMIT";
            let status = if ended { StatusFlags::AUTOCOMMIT } else { in_transaction() | more };
            play.node_sends(&ok(sequence, status, NONE));
        }
        sent.extend(requests);
    }
    assert!(sent[0].ends_with(";BEGIN"), "{sent:?}");
    assert!(sent[1].ends_with(";DO f(1)"), "{sent:?}");
    assert_eq!(sent.last().map(String::as_str), Some("COMMIT"));
    assert!(!sent.iter().any(|sql| sql.contains("fence") || sql.contains("wsrep")), "{sent:?}");
}

/// A function that has made the session writable would make it writable everywhere.
#[test]
fn what_a_function_did_to_the_access_mode_does_not_go_along() {
    let mut play = reader();
    let changed = b"\x00\x11\x0ctx_read_only\x03OFF\x00\x14\x0dlc_time_names\x05de_DE";
    play.client_sends(&query("DO f(1)"));
    play.node_sends(&ok(1, StatusFlags::AUTOCOMMIT, changed));
    play.requests();
    assert_eq!(play.machine.link_lost(), Ok(()));
    play.machine.link_up(facts_of_a_reader());
    play.client_sends(&query("SELECT 1"));
    assert_eq!(play.requests(), ["SET lc_time_names='de_DE'"]);
}
