//! Behaviour of servers and clients that a default server and Icinga never show.

use ido_proxy_protocol::session_state::Change;

use super::fake_node::deadlock;
use super::losses::packets;
use super::run::{Cut, Run};
use super::*;
use crate::session::state::settings::LAST_STATEMENT;

fn refusal(code: u16, message: &str) -> ErrPacket {
    ErrPacket::new(code, *b"HY000", message)
}

/// The codes of the errors that the client was told.
fn errors(run: &Run) -> Vec<u16> {
    let (mut codes, mut rest) = (Vec::new(), &run.to_client[..]);
    while let Some((header, payload)) = packet::whole(rest, 1 << 20).expect("packets") {
        if payload.first() == Some(&0xFF) {
            codes.push(ErrPacket::decode(payload).expect("an error").code);
        }
        rest = &rest[HEADER_LEN + header.payload_len..];
    }
    codes
}

/// The tokens that are committed.
fn tokens(run: &Run) -> Vec<String> {
    run.cluster.tokens().into_iter().map(|(_, token)| token).collect()
}

/// Otherwise an error that SQL raises would cost everybody the primary.
#[test]
fn an_error_that_condemns_a_node_that_works_is_told_after_a_few_tries() {
    let unready = "WSREP has not yet prepared node for application use";
    for (code, message) in [(1053, "Server shutdown"), (1047, unready), (1836, "read-only")] {
        let mut run = Run::new(icinga(), []);
        run.most_links = 2;
        let refusals = [(); 3].map(|()| ("SELECT token", refusal(code, message)));
        run.cluster.refusals = refusals.into();
        let program = ["BEGIN", "INSERT INTO t VALUES ('a')", "SELECT token FROM t", "COMMIT"];
        run.all(&program.map(query)).expect("nothing is lost");
        assert_eq!(errors(&run), [code], "{:?}", packets(&run.to_client));
        assert_eq!(tokens(&run), ["a"]);
    }
}

/// Otherwise the write behind it would be done, although the client has said READ ONLY: a SIGNAL is no transaction.
#[test]
fn a_signal_leaves_a_pending_set_transaction() {
    let mut play = Play::new(icinga());
    let words = b"SET TRANSACTION READ ONLY;";
    let report = [&[4, words.len() as u8 + 1, words.len() as u8], &words[..]].concat();
    let changed = StatusFlags::AUTOCOMMIT;
    play.client_sends(&query("SET TRANSACTION READ ONLY")).node_sends(&ok(1, changed, &report));
    let error = refusal(1180, "as if").encode();
    play.client_sends(&query("SIGNAL SQLSTATE 'HY000'")).node_sends(&framed(&error, 1));
    // Asked by a COM_SET_OPTION, the node says that no transaction is open.
    play.node_sends(&framed(b"\xFE\0\0\x02\0", 1));
    play.requests();
    play.client_sends(&query("DELETE FROM t"));
    assert_eq!(play.requests(), ["DELETE FROM t"], "a BEGIN of ours would be the transaction");
}

/// Otherwise the error would hide what was done before it, in one text with the BEGIN of its transaction.
#[test]
fn an_error_that_condemns_a_node_is_told_behind_what_was_done_before_it() {
    let mut run = Run::new(icinga(), []);
    run.most_links = 2;
    let refusals = [(); 3].map(|()| ("SIGNAL", refusal(1053, "Server shutdown")));
    run.cluster.refusals = refusals.into();
    run.all(&["BEGIN;SIGNAL", "ROLLBACK"].map(query)).expect("nothing is lost");
    assert_eq!(errors(&run), [1053], "{:?}", run.cluster.log);
}

/// A text that set something for the first time is tried on a new link each time.
#[test]
fn an_error_that_condemns_a_node_is_told_on_whichever_link() {
    let mut run = Run::new(icinga(), []);
    let refusals = [(); 3].map(|()| ("SIGNAL", refusal(1053, "Server shutdown")));
    run.cluster.refusals = refusals.into();
    run.all(&["BEGIN;SET mode=1;SIGNAL", "ROLLBACK"].map(query)).expect("nothing is lost");
    assert_eq!(errors(&run), [1053], "{:?} {:?}", run.cluster.log, packets(&run.to_client));
}

/// A node that is not ready goes on answering what names no table. Its clients would be told that, although others work.
#[test]
fn a_node_that_is_not_ready_is_left() {
    for between in ["SELECT token FROM t", "BEGIN", "INSERT INTO t VALUES ('b')"] {
        let mut run = Run::new(icinga(), []);
        run.all(&["INSERT INTO t VALUES ('a')"].map(query)).expect("nothing is lost");
        run.link.as_mut().expect("a link").unready = true;
        run.all(&[between].map(query)).expect("another node works");
        eprintln!("{between} {:?} links {} err {:?}", run.cluster.log, run.links, errors(&run));
        assert_eq!((errors(&run), run.links), (vec![], 2), "{:?}", run.cluster.log);
    }
}

/// Otherwise the client would go on in a transaction that is gone, and end with its next COMMIT.
#[test]
fn a_transaction_is_over_when_the_server_says_so_whatever_the_error() {
    let mut run = Run::new(icinga(), []);
    let program = ["BEGIN", "INSERT INTO t VALUES ('a')", "SELECT nothing", "COMMIT"].map(query);
    run.all(&program[..2]).expect("nothing is lost");
    // The server rolls back for an error that nobody knows.
    run.cluster.refusals = [("SELECT nothing", refusal(1206, "too many locks"))].into();
    run.cluster.rolls_back_for = Some(1206);
    run.all(&program[2..]).expect("nothing is lost");
    assert_eq!(errors(&run), [1206]);
    assert_eq!(tokens(&run), [""; 0]);
    run.all(&["BEGIN", "INSERT INTO t VALUES ('b')", "COMMIT"].map(query)).expect("it goes on");
    assert_eq!((errors(&run).len(), tokens(&run)), (1, vec!["b".to_owned()]));
}

/// Error 1020 at the fence rolls everything back. A COMMIT behind it would be told OK, and what it was to commit be
/// lost.
#[test]
fn no_commit_follows_a_fence_that_failed() {
    for code in [1020, 1213, 1206, 1105] {
        let mut run = Run::new(icinga(), []);
        run.cluster.refusals = [("UPDATE `ido_proxy`", refusal(code, "no"))].into();
        run.cluster.rolls_back_for = Some(code);
        let program =
            ["INSERT INTO t VALUES ('a')", "BEGIN", "INSERT INTO t VALUES ('b')", "COMMIT"];
        run.all(&program.map(query)).expect("nothing is lost");
        assert_eq!(errors(&run), [0; 0], "{code}");
        assert_eq!(tokens(&run), ["a", "b"], "{code}");
    }
}

/// SHOW PROFILES would list statements that the client has not sent.
#[test]
fn a_session_whose_statements_are_listed_has_none_of_ours() {
    let mut run = Run::new(icinga(), []);
    let listed = |on: &'static [u8]| Change::SystemVariable(b"profiling", on);
    run.machine.session.settings.learn(listed(b"ON"));
    let program = ["INSERT INTO t VALUES ('a')", "BEGIN", "INSERT INTO t VALUES ('b')", "COMMIT"];
    run.all(&program.map(query)).expect("nothing is lost");
    assert_eq!(run.cluster.log, program);
    run.machine.session.settings.learn(listed(b"OFF"));
    run.all(&[query("INSERT INTO t VALUES ('c')")]).expect("nothing is lost");
    let log = &run.cluster.log[program.len()..];
    assert!(log.iter().any(|sql| sql.contains("`fence`")), "{log:?}");
}

/// Without the fence that was planned nobody can tell what became of a COMMIT. Replayed, it would be doubled.
#[test]
fn a_commit_whose_fence_went_missing_meanwhile_is_not_replayed() {
    let mut run = Run::new(icinga(), []);
    run.all(&["BEGIN", "INSERT INTO t VALUES ('a')"].map(query)).expect("nothing is lost");
    // Found out by another command of the same account, between the plan and the request.
    run.machine.session.fence.mark_missing();
    let commit = query("INSERT INTO t VALUES ('b');COMMIT");
    run.cluster.fenceless = true;
    run.lose_reply_to("COMMIT");
    let stuck = run.command(&commit).expect_err("the outcome is not known");
    assert!(matches!(stuck, Stuck::Doubt(Doubt::Unfenced)), "{stuck:?}");
    assert_eq!(tokens(&run), ["a", "b"]);
}

/// Drivers prepare and execute in one flight. On the next node the last statement is whichever was prepared anew last;
/// the number -1 would run that.
#[test]
fn the_last_statement_stays_the_clients_last() {
    let program = [
        prepare("INSERT INTO t VALUES ('first')"),
        prepare("INSERT INTO t VALUES ('last')"),
        execute(LAST_STATEMENT),
        query("BEGIN"),
        execute(LAST_STATEMENT),
        query("COMMIT"),
    ];
    let mut whole = Run::new(icinga(), []);
    whole.all(&program).expect("nothing is lost");
    assert_eq!(tokens(&whole), ["last", "last"]);
    for at in 1..whole.up {
        let mut run = Run::new(icinga(), [Cut::Up(at)]);
        run.all(&program).expect("it goes on");
        assert_eq!(tokens(&run), ["last", "last"], "cut at {at}");
    }
}

/// Otherwise time-outs and Ctrl-C, which kill by the number of the greeting, would kill nobody.
#[test]
fn a_kill_by_the_number_of_the_greeting_hits_the_link() {
    let mut play = Play::new(icinga());
    for (command, sent) in [
        (query("KILL QUERY 2147483650"), query("KILL QUERY 17")),
        (query("kill 2147483650;"), query("kill 17;")),
        (framed(b"\x0c\x02\0\0\x80", 0), framed(b"\x0c\x11\0\0\0", 0)),
    ] {
        play.machine.kills(Some((0x8000_0002, 17)));
        play.client_sends(&command);
        assert_eq!(std::mem::take(&mut play.to_node), sent);
        play.node_sends(&ok(1, StatusFlags::AUTOCOMMIT, b""));
    }
}

/// A conflict is the server's to tell where no node has failed: in its own words.
#[test]
fn a_conflict_whose_replay_reads_other_rows_is_told_as_the_conflict_it_was() {
    let mut run = Run::new(icinga(), []);
    run.eager = true;
    let program = ["BEGIN", "SELECT token FROM t", "INSERT INTO t VALUES ('a')"].map(query);
    run.all(&program[..2]).expect("nothing is lost");
    run.cluster.insert(77, "of somebody else");
    run.cluster.refusals = [("INSERT INTO t", refusal(1020, "Record has changed"))].into();
    run.all(&program[2..]).expect("nothing is lost");
    assert_eq!(errors(&run), [1020]);
    run.cluster.refusals = [("INSERT INTO t", deadlock())].into();
    run.all(&["BEGIN", "INSERT INTO t VALUES ('b')", "COMMIT"].map(query)).expect("it goes on");
    assert_eq!(tokens(&run), ["of somebody else", "b"]);
}

/// A link that takes several statements, of a client that may send one.
fn one_at_a_time() -> Play {
    let single = Capabilities::PROTOCOL_41 | Capabilities::SESSION_TRACK;
    Play::linked(single, icinga())
}

/// Otherwise a second statement that somebody has smuggled into a text would be done.
#[test]
fn a_client_of_one_statement_never_has_two_of_its_own_done() {
    let mut play = one_at_a_time();
    play.client_sends(&query("SELECT 1;SELECT 2"));
    assert_eq!(play.to_node, framed(&[0x1B, 1, 0], 0), "one alone from here on");
    play.requests();
    let eof = EofPacket { warnings: 0, status: StatusFlags::AUTOCOMMIT };
    play.node_sends(&framed(&eof.encode(), 1));
    assert_eq!(play.requests(), ["SELECT 1;SELECT 2"]);
    play.node_sends(&error(1));
    assert_eq!(play.to_client, error(1), "in the server's own words");
    play.client_sends(&query("INSERT INTO t VALUES ('a')"));
    assert_eq!(play.to_node, framed(&[0x1B, 0, 0], 0), "before a text of ours");
    play.requests();
    play.node_sends(&framed(&eof.encode(), 1));
    let text = play.requests().concat();
    assert!(text.starts_with("BEGIN;INSERT INTO t") && text.contains("`fence`"), "{text}");
}

/// Otherwise the next frame of ours would be a syntax error.
#[test]
fn a_client_that_forbids_itself_several_statements_forbids_the_link_nothing() {
    let mut play = Play::new(icinga());
    play.client_sends(&framed(&[0x1B, 1, 0], 0));
    assert_eq!(play.to_node, framed(&[0x1B, 0, 0], 0));
    play.requests();
    let eof = EofPacket { warnings: 0, status: StatusFlags::AUTOCOMMIT };
    let eof = framed(&eof.encode(), 1);
    play.node_sends(&eof);
    assert_eq!(play.to_client, eof);
    play.client_sends(&query("SELECT 1;SELECT 2"));
    assert_eq!(play.to_node, framed(&[0x1B, 1, 0], 0));
}

/// A write that commits by itself must not be done again as part of a transaction, for one whose mode is known late.
#[test]
fn a_write_behind_an_expression_that_turns_autocommit_on_is_done_once() {
    let text = "SET autocommit=1-@@autocommit;INSERT INTO t VALUES ('b')";
    let program = ["SET autocommit=0", "INSERT INTO t VALUES ('a')", text].map(query);
    let mut whole = Run::new(icinga(), []);
    whole.all(&program).expect("nothing is lost");
    for cut in 0..300 {
        let mut run = Run::new(icinga(), [Cut::Up(whole.up.saturating_sub(cut))]);
        // Where nobody knows, the client is told so.
        let _ = run.all(&program);
        let tokens = tokens(&run);
        let doubled = |token: &&str| tokens.iter().filter(|other| other == token).count() > 1;
        assert!(!["a", "b"].iter().any(doubled), "{cut}: {tokens:?} {:#?}", run.cluster.log);
    }
}

/// Otherwise the text would go on behind the BEGIN of a transaction that is gone, and each of its rows be committed by itself.
#[test]
fn a_text_that_begins_with_a_rollback_stays_whole_without_a_fence() {
    let text = "ROLLBACK;BEGIN;INSERT INTO t VALUES ('a');INSERT INTO t VALUES ('b');COMMIT";
    let whole = without_a_fence(text, []);
    assert_eq!(tokens(&whole), ["a", "b"], "{:#?}", whole.cluster.log);
    for up in 0..=whole.up {
        let run = without_a_fence(text, [Cut::Up(up)]);
        let times = |sql: &str| run.cluster.log.iter().filter(|said| *said == sql).count();
        let inserts = times("INSERT INTO t VALUES ('a')");
        assert!(inserts <= times("BEGIN"), "{up}: {:#?}", run.cluster.log);
        assert!(matches!(tokens(&run).len(), 0 | 2), "{up}: {:#?}", run.cluster.log);
    }
}

/// Plays a text of an account that has no fence. Where nobody knows whether it was done, the client is told so.
fn without_a_fence(text: &str, cuts: impl IntoIterator<Item = Cut>) -> Run {
    let mut run = Run::new(icinga(), cuts);
    run.cluster.fenceless = true;
    let _ = run.all(&[query(text)]);
    run
}
