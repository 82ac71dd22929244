use ido_proxy_protocol::capabilities::Capabilities;
use ido_proxy_protocol::eof::EofPacket;
use ido_proxy_protocol::err::ErrPacket;
use ido_proxy_protocol::ok::OkPacket;
use ido_proxy_protocol::status::StatusFlags;
use tokio::time::timeout;

use super::*;
use crate::session::shared::directives::Phase;
use crate::session::shared::registry::SessionPhase;
use crate::session::testing::{COLUMN, DEADLINE, Peer, Stage, nowhere, ok};

const QUERY: &[u8] = b"\x03SELECT 1";

fn icinga() -> Capabilities {
    Capabilities::PROTOCOL_41 | Capabilities::MULTI_STATEMENTS | Capabilities::SESSION_TRACK
}

fn in_transaction() -> Vec<u8> {
    ok(StatusFlags::AUTOCOMMIT | StatusFlags::IN_TRANS)
}

/// Icinga would lose the statement, and with it whatever it had not committed.
#[tokio::test]
async fn a_statement_whose_link_is_lost_is_answered_by_the_next_primary() {
    let stage = Stage::new(DEADLINE).await;
    let (mut client, mut node, _session) = stage.begin(icinga()).await;
    client.send(QUERY, 0).await;
    assert_eq!(node.read().await.payload, QUERY);
    stage.set_primary(Some(stage.next_node()));
    drop(node);
    let mut node = stage.accept_next_link().await;
    assert_eq!(node.read().await.payload, QUERY, "once more");
    node.send(&in_transaction(), 1).await;
    let packet = client.read().await;
    assert_eq!((packet.sequence, packet.payload), (1, in_transaction()));
    timeout(DEADLINE, stage.suspected.notified()).await.expect("the node is probed at once");
}

/// A donor that waits for a transaction, which waits for the donor: Icinga would wait with them, until it is told
/// that it waited too long.
#[tokio::test]
async fn a_statement_that_waits_at_a_donor_is_done_at_the_next_primary() {
    let stage = Stage::new(DEADLINE).await;
    let (mut client, mut node, _session) = stage.begin(icinga()).await;
    client.send(QUERY, 0).await;
    assert_eq!(node.read().await.payload, QUERY);
    stage.leave_donor();
    let mut next = stage.accept_next_link().await;
    assert_eq!(next.read().await.payload, QUERY, "once more");
    next.send(&in_transaction(), 1).await;
    client.read().await;
}

/// All that was written since the last COMMIT would be lost: Icinga does not send it again.
#[tokio::test]
async fn an_open_transaction_is_done_again_at_the_next_primary() {
    let stage = Stage::new(DEADLINE).await;
    let (mut client, mut node, _session) = stage.begin(icinga()).await;
    stage.set_in_transaction(&mut client, &mut node).await;
    client.send(b"\x03INSERT INTO t VALUES (1)", 0).await;
    node.read().await;
    node.send(&in_transaction(), 1).await;
    client.read().await;
    stage.set_primary(Some(stage.next_node()));
    drop(node);
    client.send(QUERY, 0).await;
    let mut node = stage.accept_next_link().await;
    assert_eq!(node.read().await.payload, b"\x03SET autocommit=0");
    node.send(&ok(StatusFlags::empty()), 1).await;
    for statement in ["BEGIN", "INSERT INTO t VALUES (1)"] {
        let payload = node.read().await.payload;
        let text = String::from_utf8(payload[1..].to_vec()).unwrap();
        let (time, again) = text.split_once(';').expect("its time comes first");
        assert!(time.starts_with("SET timestamp="), "{text}");
        assert_eq!(again, statement);
        let more = StatusFlags::AUTOCOMMIT | StatusFlags::IN_TRANS | StatusFlags::MORE_RESULTS;
        node.send(&ok(more), 1).await;
        node.send(&in_transaction(), 2).await;
    }
    assert_eq!(node.read().await.payload, b"\x03SET timestamp=DEFAULT, insert_id=0");
    node.send(&in_transaction(), 1).await;
    assert_eq!(node.read().await.payload, QUERY);
    node.send_rows(StatusFlags::AUTOCOMMIT | StatusFlags::IN_TRANS).await;
    assert_eq!(client.read().await.payload, b"\x01", "nothing but the reply to its own statement");
}

/// The next primary does not know the ids that were told, and those who are there first would be given them:
/// a transaction whose link is lost a moment later could not be done again.
#[tokio::test]
async fn ids_that_were_told_are_kept_from_others_as_soon_as_the_primary_is_another_node() {
    let stage = Stage::new(DEADLINE).await;
    let (mut client, mut node, _session) = stage.begin(icinga()).await;
    stage.set_in_transaction(&mut client, &mut node).await;
    client.send(b"\x03INSERT INTO t VALUES (NULL)", 0).await;
    node.read().await;
    let status = StatusFlags::AUTOCOMMIT | StatusFlags::IN_TRANS;
    let told = OkPacket { status, affected_rows: 1, last_insert_id: 7, ..OkPacket::default() };
    node.send(&told.encode(Capabilities::SESSION_TRACK), 1).await;
    client.read().await;
    assert!(!stage.is_reserved(7), "it is there, where everybody writes");
    stage.set_primary(Some(stage.next_node()));
    reserved(&stage, true).await;
    client.send(b"\x03ROLLBACK", 0).await;
    node.read().await;
    node.send(&ok(StatusFlags::AUTOCOMMIT), 1).await;
    client.read().await;
    reserved(&stage, false).await;
}

async fn reserved(stage: &Stage, reserved: bool) {
    let becomes = async {
        while stage.is_reserved(7) != reserved {
            task::yield_now().await;
        }
    };
    timeout(DEADLINE, becomes).await.expect("in time");
}

/// With a row twice, or one left out, a dump or a report would be wrong and nobody would know.
#[tokio::test]
async fn a_reply_that_has_begun_goes_on_where_it_was_cut() {
    let stage = Stage::new(DEADLINE).await;
    let (mut client, mut node, _session) = stage.begin(icinga()).await;
    client.send(QUERY, 0).await;
    node.read().await;
    node.send(b"\x01", 1).await;
    node.send(COLUMN, 2).await;
    for payload in [b"\x01", COLUMN] {
        assert_eq!(client.read().await.payload, payload);
    }
    stage.set_primary(Some(stage.next_node()));
    drop(node);
    let mut node = stage.accept_next_link().await;
    assert_eq!(node.read().await.payload, QUERY);
    node.send_rows(StatusFlags::AUTOCOMMIT).await;
    let eof = b"\xfe\0\0\x02\0";
    for (payload, sequence) in [&eof[..], b"\x011", eof].into_iter().zip(3..) {
        let packet = client.read().await;
        assert_eq!((packet.sequence, packet.payload.as_slice()), (sequence, payload));
    }
}

/// Bytes of ours in the middle of a reply would be read as a row.
#[tokio::test]
async fn a_reply_that_would_go_on_differently_is_cut_off_and_nothing_is_added_to_it() {
    let stage = Stage::new(DEADLINE).await;
    let (mut client, mut node, _session) = stage.begin(icinga()).await;
    client.send(QUERY, 0).await;
    node.read().await;
    node.send(b"\x02", 1).await;
    assert_eq!(client.read().await.payload, b"\x02");
    stage.set_primary(Some(stage.next_node()));
    drop(node);
    let mut node = stage.accept_next_link().await;
    node.read().await;
    node.send_rows(StatusFlags::AUTOCOMMIT).await;
    client.closed().await;
}

/// A client that hears nothing waits for ever: Icinga has no timeout.
#[tokio::test]
async fn a_client_whose_session_cannot_move_is_told_why() {
    let stage = Stage::new(DEADLINE).await;
    let (mut client, mut node, session) = stage.begin(icinga()).await;
    client.send(b"\x03SELECT @a", 0).await;
    node.read().await;
    drop(node);
    let packet = client.read().await;
    assert_eq!(packet.sequence, 1);
    let error = ErrPacket::decode(&packet.payload).unwrap();
    let message = String::from_utf8_lossy(&error.message).into_owned();
    assert!(error.code == 1927 && message.contains("user variables"), "{error}");
    client.closed().await;
    session.await.unwrap();
    timeout(DEADLINE, stage.suspected.notified()).await.expect("the node is probed at once");
}

/// A server says "Server shutdown" or "Connection was killed" before it closes. To a client between
/// two statements that is nothing, or it would have to log in again for every restart of a node.
#[tokio::test]
async fn the_last_words_of_a_node_do_not_end_an_idle_session() {
    let stage = Stage::new(DEADLINE).await;
    let (mut client, mut node, _session) = stage.begin(icinga()).await;
    stage.set_primary(Some(stage.next_node()));
    node.send(&ErrPacket::new(1053, *b"08S01", "Server shutdown in progress").encode(), 0).await;
    drop(node);
    client.send(QUERY, 0).await;
    let mut node = stage.accept_next_link().await;
    assert_eq!(node.read().await.payload, QUERY);
    node.send(&in_transaction(), 1).await;
    assert_eq!(client.read().await.payload, in_transaction());
}

/// Otherwise a statement that was killed on purpose would be done again.
#[tokio::test]
async fn a_connection_that_was_killed_at_its_node_is_not_opened_again() {
    let stage = Stage::new(DEADLINE).await;
    let (mut client, mut node, session) = stage.begin(icinga()).await;
    stage.set_kills(7);
    client.send(QUERY, 0).await;
    assert_eq!(node.read().await.payload, QUERY);
    drop(node);
    let mut node = stage.accept_link().await;
    count_kills(&mut node, b"8").await;
    assert_eq!(node.read().await.payload, b"\x01", "it only looked whether somebody killed");
    assert_eq!(client.read_error().await.code, 1927);
    client.closed().await;
    session.await.unwrap();
}

/// The next command may be on its way to the node before that has closed. Otherwise it would be served on another
/// link as if nothing had happened.
#[tokio::test]
async fn who_is_told_that_its_connection_was_killed_finds_it_closed() {
    let stage = Stage::new(DEADLINE).await;
    let (mut client, mut node, session) = stage.begin(icinga()).await;
    let kill = b"\x03KILL CONNECTION_ID()";
    client.send(kill, 0).await;
    assert_eq!(node.read().await.payload, kill);
    let killed = ErrPacket::new(1927, *b"70100", "Connection was killed").encode();
    node.send(&killed, 1).await;
    // Anybody can raise that error: only a node that closes the connection has meant it.
    assert!(node.read().await.payload.ends_with(b"DO 0"));
    drop(node);
    assert_eq!(client.read().await.payload, killed);
    client.closed().await;
    session.await.unwrap();
}

/// A firewall that starts again resets all connections at once, and each session that is back kills what its old
/// link may have left: no KILL of an operator. A write that is told of the reset takes that from the read.
#[tokio::test]
async fn a_connection_that_was_reset_under_a_write_was_not_killed() {
    let stage = Stage::new(DEADLINE).await;
    let (mut client, node, _session) = stage.begin(icinga()).await;
    stage.set_kills(7);
    node.wire.reset();
    client.send(QUERY, 0).await;
    let mut node = stage.accept_link().await;
    node.answer_barrier().await;
    assert_eq!(node.read().await.payload, QUERY);
    node.send(&in_transaction(), 1).await;
    assert_eq!(client.read().await.payload, in_transaction());
}

/// A connection may be closed by much that has nothing against it: a time limit, a firewall.
#[tokio::test]
async fn a_connection_that_was_closed_and_not_killed_is_opened_again() {
    let stage = Stage::new(DEADLINE).await;
    let (mut client, mut node, _session) = stage.begin(icinga()).await;
    stage.set_kills(7);
    client.send(QUERY, 0).await;
    assert_eq!(node.read().await.payload, QUERY);
    drop(node);
    let mut node = stage.accept_link().await;
    count_kills(&mut node, b"7").await;
    node.answer_barrier().await;
    assert_eq!(node.read().await.payload, QUERY);
    node.send(&in_transaction(), 1).await;
    assert_eq!(client.read().await.payload, in_transaction());
}

/// The node is asked how often somebody has killed, and answers.
async fn count_kills(node: &mut Peer, kills: &[u8]) {
    assert_eq!(node.read().await.payload, b"\x03SHOW GLOBAL STATUS LIKE 'Com_kill'");
    let row = [b"\x08Com_kill\x01", kills].concat();
    let eof = b"\xfe\0\0\x02\0";
    for (place, payload) in
        [&b"\x02"[..], b"\x03def", b"\x03def", eof, &row, eof].iter().enumerate()
    {
        node.send(payload, place as u8 + 1).await;
    }
}

/// A node that will not read on (a packet is too large for it) says so, closes, and resets.
#[tokio::test]
async fn the_answer_of_a_node_that_stopped_reading_is_still_heard() {
    let stage = Stage::new(DEADLINE).await;
    let (mut client, mut node, _session) = stage.begin(icinga()).await;
    let size = (1 << 24) - 2;
    let upload = tokio::spawn(async move {
        let mut packet = vec![b' '; size + 4];
        packet[..3].copy_from_slice(&(size as u32).to_le_bytes()[..3]);
        packet[3..5].copy_from_slice(&[0, 3]);
        client.wire.push(&packet);
        let _ = client.wire.flush().await;
        client
    });
    node.wire.fill().await.unwrap();
    node.send(&ErrPacket::new(1153, *b"08S01", "Got a packet bigger").encode(), 1).await;
    // The node reads no more, and closes after a while, as a server does; meanwhile all of it is drained.
    let drained = tokio::spawn(async move {
        while node.wire.fill().await.is_ok_and(|len| len > 0) {
            let len = node.wire.input.len();
            node.wire.consume(len);
        }
    });
    let mut client = timeout(DEADLINE, upload).await.expect("the client can send").unwrap();
    assert_eq!(client.read_error().await.code, 1153);
    drop(client);
    drained.await.unwrap();
}

/// A slow reader must not make the proxy swallow the whole result.
#[tokio::test]
async fn a_client_that_does_not_read_stops_the_node() {
    let stage = Stage::new(DEADLINE).await;
    let (mut client, mut node, _session) = stage.begin(icinga()).await;
    client.send(QUERY, 0).await;
    node.read().await;
    // One column and rows without end: written until nobody takes any more.
    let row = [&[0, 0, 1, 0][..], &[b'x'; 1 << 16]].concat();
    node.send(b"\x01", 1).await;
    node.send(COLUMN, 2).await;
    node.send(b"\xfe\0\0\x02\0", 3).await;
    let mut taken = 0;
    loop {
        node.wire.push(&row);
        // Nothing can be waited for but that nothing happens: the sockets' buffers are full.
        if timeout(Duration::from_millis(500), node.wire.flush()).await.is_err() {
            break;
        }
        taken += row.len();
        assert!(taken < MOST_IN_FLIGHT, "taken without a reader: {taken} bytes");
    }
    assert_eq!(client.read().await.payload, b"\x01");
    let more = timeout(DEADLINE, client.wire.fill()).await.expect("it goes on once it is read");
    assert!(more.unwrap() > 0);
}

/// A client that shows results as they come must not wait for a slow statement behind them.
#[tokio::test]
async fn the_result_of_a_statement_is_told_before_a_slow_one_behind_it_ends() {
    let stage = Stage::new(DEADLINE).await;
    let (mut client, mut node, _session) = stage.begin(icinga()).await;
    client.send(b"\x03SET time_zone='+00:00'; SELECT SLEEP(60)", 0).await;
    node.read().await;
    let first = ok(StatusFlags::AUTOCOMMIT | StatusFlags::MORE_RESULTS);
    node.send(&first, 1).await;
    assert_eq!(client.read().await.payload, first);
    node.send(&ok(StatusFlags::AUTOCOMMIT), 2).await;
    let last = client.read().await;
    assert_eq!((last.sequence, last.payload), (2, ok(StatusFlags::AUTOCOMMIT)));
}

/// While many replies are due the session is not woken for a few bytes; but an error is the last of them.
#[tokio::test]
async fn an_error_at_the_beginning_of_a_long_batch_is_told() {
    let stage = Stage::new(DEADLINE).await;
    let (mut client, mut node, _session) = stage.begin(icinga()).await;
    stage.set_in_transaction(&mut client, &mut node).await;
    let batch = format!("\x03{}", ["UPDATE t SET a = 1"; 100].join(";"));
    for told in [0, 1, 5] {
        client.send(batch.as_bytes(), 0).await;
        if told == 0 {
            assert_eq!(node.read().await.payload, b"\x03SET autocommit=0");
            node.send(&ok(StatusFlags::IN_TRANS), 1).await;
        }
        assert_eq!(node.read().await.payload, batch.as_bytes());
        for sequence in 1..=told {
            node.send(&ok(StatusFlags::IN_TRANS | StatusFlags::MORE_RESULTS), sequence).await;
        }
        node.send(&ErrPacket::new(1048, *b"23000", "may not be null").encode(), told + 1).await;
        // An error does not tell whether the transaction is still there.
        assert_eq!(node.read().await.payload, b"\x1b\0\0");
        node.send(&EofPacket { warnings: 0, status: StatusFlags::IN_TRANS }.encode(), 1).await;
        for sequence in 1..=told {
            assert_eq!(client.read().await.sequence, sequence);
        }
        assert_eq!(client.read_error().await.code, 1048);
    }
}

/// Socket buffers of both connections (tcp(7): at most 6 MB each way by default) and our own.
const MOST_IN_FLIGHT: usize = 32 << 20;

#[tokio::test]
async fn a_node_that_speaks_nonsense_ends_this_session_only() {
    let stage = Stage::new(DEADLINE).await;
    let (mut client, mut node, _one) = stage.begin(icinga()).await;
    let (mut other, mut other_node, _other) = stage.begin(icinga()).await;
    client.send(QUERY, 0).await;
    node.read().await;
    node.send(b"\x00", 1).await;
    assert_eq!(client.read_error().await.code, 1835);
    client.closed().await;
    other.send(QUERY, 0).await;
    other_node.read().await;
    other_node.send(&in_transaction(), 1).await;
    assert_eq!(other.read().await.payload, in_transaction());
}

/// Moved in the middle, the transaction would be done twice although the old primary could still end
/// it.
#[tokio::test]
async fn a_session_follows_a_new_primary_after_its_transaction_and_not_before() {
    let stage = Stage::new(DEADLINE).await;
    let (mut client, mut node, _session) = stage.begin(icinga()).await;
    stage.set_in_transaction(&mut client, &mut node).await;
    stage.set_primary(Some(stage.next_node()));
    client.send(b"\x03COMMIT", 0).await;
    assert_eq!(node.read().await.payload, b"\x03COMMIT");
    node.send(&ok(StatusFlags::AUTOCOMMIT), 1).await;
    assert_eq!(client.read().await.payload, ok(StatusFlags::AUTOCOMMIT));
    assert_eq!(node.read().await.payload, b"\x01", "COM_QUIT: no aborted connection to count");
    client.send(QUERY, 0).await;
    let mut node = stage.accept_next_link().await;
    assert_eq!(node.read().await.payload, QUERY);
    node.send_rows(StatusFlags::AUTOCOMMIT).await;
    assert_eq!(client.read().await.payload, b"\x01");
}

/// A frozen server's kernel keeps the link open: nothing but the cluster's verdict ends the wait.
#[tokio::test]
async fn a_client_that_waits_for_a_frozen_node_is_served_by_the_one_that_takes_its_place() {
    let stage = Stage::new(DEADLINE).await;
    let (mut client, mut node, _session) = stage.begin(icinga()).await;
    client.send(QUERY, 0).await;
    assert_eq!(node.read().await.payload, QUERY);
    stage.leave_silent(stage.next_node());
    let mut next = stage.accept_next_link().await;
    assert_eq!(next.read().await.payload, QUERY);
    next.send_rows(StatusFlags::AUTOCOMMIT).await;
    assert_eq!(client.read().await.payload, b"\x01");
    node.closed().await;
}

/// The order to leave was about the link that the change has closed.
#[tokio::test]
async fn a_session_that_was_to_leave_stays_once_it_has_changed_its_user() {
    let stage = Stage::new(DEADLINE).await;
    let (mut client, mut node, _session) = stage.begin(icinga()).await;
    stage.set_in_transaction(&mut client, &mut node).await;
    stage.set_primary(Some(nowhere()));
    stage.set_in_transaction(&mut client, &mut node).await;
    client.change_user(|| stage.set_primary(Some(stage.node()))).await;
    assert_eq!(node.read().await.payload, b"\x01", "a fresh link for a fresh session");
    let mut node = stage.accept_link().await;
    assert_eq!(client.read().await.payload[0], 0, "changed");
    client.send(QUERY, 0).await;
    // Another client may know of what was committed elsewhere.
    node.answer_barrier().await;
    assert_eq!(node.read().await.payload, QUERY, "it is still served");
}

/// Pings need no node, so only the client's own reading can stop them.
#[tokio::test]
async fn a_client_that_pings_without_end_and_reads_nothing_is_read_no_further() {
    let stage = Stage::new(DEADLINE).await;
    stage.set_primary(None);
    let (mut client, _session) = stage.connect();
    client.log_in(icinga()).await;
    let pings = b"\x01\0\0\0\x0e".repeat(10_000);
    let mut taken = 0;
    loop {
        client.wire.push(&pings);
        // Nothing can be waited for but that nothing happens.
        if timeout(Duration::from_millis(500), client.wire.flush()).await.is_err() {
            break;
        }
        taken += pings.len();
        assert!(taken < MOST_IN_FLIGHT / 4, "taken without a reader: {taken} bytes");
    }
    for _ in 0..taken / 5 {
        assert_eq!(client.read().await.payload[0], 0, "it goes on once it is read");
    }
}

#[tokio::test]
async fn an_idle_session_leaves_at_once_and_a_stuck_one_when_time_is_up() {
    let stage = Stage::new(DEADLINE).await;
    let (mut idle, _idle_node, _one) = stage.begin(icinga()).await;
    let (mut stuck, mut node, session) = stage.begin(icinga()).await;
    stuck.send(QUERY, 0).await;
    node.read().await;
    stage.set_phase(Phase::Draining);
    idle.closed().await;
    stage.set_phase(Phase::Closing);
    assert_eq!(stuck.read_error().await.code, 1053);
    stuck.closed().await;
    session.await.unwrap();
}

/// Waits that are too short to sleep must not hide orders. Otherwise two nodes would be written to for as long as the
/// client is busy, and the daemon would not end.
#[tokio::test]
async fn a_session_that_never_sleeps_hears_of_orders_all_the_same() {
    const GOODBYE: &[u8] = b"\x01";
    // Where a wait happens to be long it hears in any case, so once would say little.
    for _ in 0..20 {
        let stage = Stage::new(DEADLINE).await;
        let (mut client, mut node, _session) = stage.begin(icinga()).await;
        for commands in 0.. {
            assert!(commands < 103, "it stays at a node that was left");
            if commands == 100 {
                stage.set_primary(Some(stage.next_node()));
            }
            client.send(QUERY, 0).await;
            if node.read().await.payload == GOODBYE {
                break;
            }
            node.send(&ok(StatusFlags::AUTOCOMMIT), 1).await;
            client.read().await;
        }
    }
}

#[tokio::test]
async fn a_client_gets_in_without_a_primary_is_answered_pings_and_its_statement_waits() {
    let stage = Stage::new(DEADLINE).await;
    stage.set_primary(None);
    let (mut client, _session) = stage.connect();
    let welcome = client.log_in(icinga()).await;
    assert_eq!(welcome[0], 0, "an OK of ours");
    client.send(b"\x0e", 0).await;
    assert_eq!(client.read().await.payload[0], 0, "a ping needs no primary");
    client.send(QUERY, 0).await;
    let held = async {
        while stage.states() != [SessionPhase::Held] {
            task::yield_now().await;
        }
    };
    timeout(DEADLINE, held).await.expect("its statement is held");
    stage.set_primary(Some(stage.node()));
    let mut node = stage.accept_link().await;
    assert_eq!(node.read().await.payload, QUERY, "whole, and once");
    node.send(&in_transaction(), 1).await;
    assert_eq!(client.read().await.payload, in_transaction());
}

/// Two nodes written to at once is what the proxy is there to prevent.
#[tokio::test]
async fn a_statement_that_waited_does_not_go_to_a_node_that_ceased_to_be_the_primary() {
    let stage = Stage::new(DEADLINE).await;
    stage.set_primary(None);
    let (mut client, _session) = stage.connect();
    client.log_in(icinga()).await;
    client.send(QUERY, 0).await;
    stage.set_primary(Some(stage.node()));
    let mut node = stage.accept().await;
    node.ask_to_log_in().await;
    stage.set_primary(None);
    node.closed().await;
    stage.set_primary(Some(stage.node()));
    assert_eq!(stage.accept_link().await.read().await.payload, QUERY);
}

#[tokio::test]
async fn a_hold_ends_with_a_clear_error() {
    let stage = Stage::new(Duration::from_millis(50)).await;
    stage.set_primary(None);
    let (mut client, session) = stage.connect();
    client.log_in(icinga()).await;
    client.send(QUERY, 0).await;
    let error = client.read_error().await;
    assert_eq!((error.code, error.sql_state), (1047, *b"08S01"));
    client.closed().await;
    session.await.unwrap();
}

/// Nobody waits for it any more: its seat and its hold must be free again.
#[tokio::test]
async fn a_held_client_that_goes_away_is_let_go() {
    let stage = Stage::new(DEADLINE).await;
    stage.set_primary(None);
    let (mut client, session) = stage.connect();
    client.log_in(icinga()).await;
    client.send(QUERY, 0).await;
    drop(client);
    timeout(DEADLINE, session).await.expect("well before the hold ends").unwrap();
}

/// "Unknown database" must be the answer to the login, as it is without a proxy.
#[tokio::test]
async fn the_refusal_of_a_node_is_the_answer_to_the_login() {
    let stage = Stage::new(DEADLINE).await;
    let (mut client, _session) = stage.connect();
    let refusal = ErrPacket::new(1049, *b"42000", "Unknown database 'x'");
    let (answer, ()) = tokio::join!(client.log_in(icinga()), async {
        stage.accept().await.send(&refusal.encode_without_state(), 0).await;
    });
    assert_eq!(ErrPacket::decode(&answer).unwrap().code, 1049);
    client.closed().await;
}

/// Otherwise the client would misread every reply: rows end otherwise than it was promised.
#[tokio::test]
async fn a_client_is_sent_away_that_was_promised_more_than_the_node_can_do() {
    let stage = Stage::new(DEADLINE).await;
    let (mut client, _session) = stage.connect();
    let wanted = icinga() | Capabilities::DEPRECATE_EOF;
    let (answer, _node) =
        tokio::join!(client.log_in(wanted), stage.accept_login(Capabilities::DEPRECATE_EOF));
    assert_eq!(ErrPacket::decode(&answer).unwrap().code, 1043);
    client.closed().await;
}

/// The server forgets what it was told to report; without it no boundary is known any more.
#[tokio::test]
async fn after_a_reset_of_the_connection_the_node_is_told_to_report_again() {
    let stage = Stage::new(DEADLINE).await;
    let (mut client, mut node, _session) = stage.begin(icinga()).await;
    client.send(b"\x1f", 0).await;
    assert_eq!(node.read().await.payload, b"\x1f");
    node.send(&ok(StatusFlags::AUTOCOMMIT), 1).await;
    assert_eq!(client.read().await.payload, ok(StatusFlags::AUTOCOMMIT));
    node.reports_all().await;
    client.send(QUERY, 0).await;
    assert_eq!(node.read().await.payload, QUERY);
    node.send(&in_transaction(), 1).await;
    assert_eq!(client.read().await.payload, in_transaction(), "our own statement left no trace");
}

#[tokio::test]
async fn replication_is_refused_and_the_session_goes_on() {
    let stage = Stage::new(DEADLINE).await;
    let (mut client, mut node, _session) = stage.begin(icinga()).await;
    client.send(b"\x12\x04\0\0\0\0\0\x01\0\0\0", 0).await;
    assert_eq!(client.read_error().await.code, 1235);
    client.send(QUERY, 0).await;
    assert_eq!(node.read().await.payload, QUERY, "the node saw nothing of it");
}
