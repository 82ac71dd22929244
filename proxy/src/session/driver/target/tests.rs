use ido_proxy_protocol::capabilities::Capabilities;
use ido_proxy_protocol::eof::EofPacket;
use ido_proxy_protocol::err::ErrPacket;
use ido_proxy_protocol::status::StatusFlags;

use crate::session::testing::{DEADLINE, Peer, Stage, nowhere, ok};

const QUERY: &[u8] = b"\x03SELECT 1";

fn client_of_any_kind() -> Capabilities {
    Capabilities::PROTOCOL_41 | Capabilities::MULTI_STATEMENTS | Capabilities::SESSION_TRACK
}

/// The node is the primary, and there is another one.
async fn stage() -> Stage {
    let stage = Stage::new(DEADLINE).await;
    stage.set_nodes(Some(stage.node()), &[stage.node(), stage.next_node()]);
    stage
}

/// A query and its answer. Nothing else passes.
async fn ask(client: &mut Peer, node: &mut Peer) {
    client.send(QUERY, 0).await;
    assert_eq!(node.read().await.payload, QUERY);
    answer(client, node).await;
}

async fn answer(client: &mut Peer, node: &mut Peer) {
    node.send_rows(StatusFlags::AUTOCOMMIT).await;
    for _ in 0..5 {
        client.read().await;
    }
}

/// Whatever is written through the read listener would be written at two nodes at once, and without a fence.
#[tokio::test]
async fn a_reader_reads_at_another_node_and_writes_nowhere() {
    let mut stage = stage().await;
    let (mut client, mut node, _session) = stage.begin_reading(false, client_of_any_kind()).await;
    ask(&mut client, &mut node).await;
    for write in [&b"\x03SELECT 1; DELETE FROM t"[..], b"\x16INSERT INTO t VALUES (?)", b"\x08"] {
        client.send(write, 0).await;
        let reply = client.read().await;
        let error = ErrPacket::decode(&reply.payload).expect("an error");
        assert_eq!((reply.sequence, error.code), (1, 1792), "{error}");
    }
    ask(&mut client, &mut node).await;
}

/// A reset puts every variable of the session back, that which keeps it from writing too.
#[tokio::test]
async fn a_reader_that_resets_its_session_still_cannot_write() {
    let mut stage = stage().await;
    let (mut client, mut node, _session) = stage.begin_reading(true, client_of_any_kind()).await;
    client.send(b"\x1f", 0).await;
    assert_eq!(node.read().await.payload, b"\x1f");
    node.send(&ok(StatusFlags::AUTOCOMMIT), 1).await;
    node.reports_all().await;
    node.be_bound(true).await;
    client.read().await;
    ask(&mut client, &mut node).await;
}

/// A node that takes what was to make the link read-only for an error must not be used.
#[tokio::test]
async fn a_link_that_cannot_be_made_read_only_is_not_used() {
    let mut stage = stage().await;
    stage.role = crate::session::shared::role::Role::Reader { ticket: 0, sync_wait: false };
    let (mut client, session) = stage.connect();
    let link = async {
        let mut node = stage.accept_at_next().await;
        node.let_in().await;
        node.read().await;
        node.send(&ErrPacket::new(1193, *b"HY000", "no such variable").encode(), 1).await;
        node
    };
    let (welcome, _node) = tokio::join!(client.log_in(client_of_any_kind()), link);
    let error = ErrPacket::decode(&welcome).expect("an error in reply to the login");
    assert_eq!(error.code, 1193);
    session.await.expect("it ends");
}

/// Readers would be cut off whenever the primary changes, which does not concern them.
#[tokio::test]
async fn a_change_of_the_primary_does_not_disturb_a_reader_elsewhere() {
    let mut stage = stage().await;
    let (mut client, mut node, _session) = stage.begin_reading(false, client_of_any_kind()).await;
    client.send(QUERY, 0).await;
    assert_eq!(node.read().await.payload, QUERY);
    stage.set_nodes(None, &[stage.next_node()]);
    stage.set_nodes(Some(nowhere()), &[stage.next_node(), nowhere()]);
    answer(&mut client, &mut node).await;
    ask(&mut client, &mut node).await;
}

/// Otherwise the reader would go on at the cost of the writers, or a transaction would be cut in two.
#[tokio::test]
async fn a_reader_leaves_a_node_that_becomes_the_primary_between_two_transactions() {
    let mut stage = stage().await;
    let (mut client, mut node, _session) = stage.begin_reading(false, client_of_any_kind()).await;
    stage.set_in_transaction(&mut client, &mut node).await;
    stage.set_nodes(Some(stage.next_node()), &[stage.node(), stage.next_node()]);
    client.send(QUERY, 0).await;
    assert_eq!(node.read().await.payload, QUERY);
    node.send_rows(StatusFlags::AUTOCOMMIT | StatusFlags::IN_TRANS).await;
    for _ in 0..5 {
        client.read().await;
    }
    client.send(b"\x03COMMIT", 0).await;
    assert_eq!(node.read().await.payload, b"\x03COMMIT");
    node.send(&ok(StatusFlags::AUTOCOMMIT), 1).await;
    client.read().await;
    assert_eq!(node.read().await.payload, b"\x01", "the link ends in order");
    client.send(QUERY, 0).await;
    let mut node = stage.accept_reader_link(stage.node(), false).await;
    assert_eq!(node.read().await.payload, QUERY, "no causal read comes first");
    answer(&mut client, &mut node).await;
}

/// The reader would get an error, or wait until the cluster has formed anew, though another node could answer.
#[tokio::test]
async fn a_read_whose_node_is_lost_is_answered_by_another_one_at_once() {
    let mut stage = stage().await;
    let (mut client, mut node, _session) = stage.begin_reading(false, client_of_any_kind()).await;
    client.send(QUERY, 0).await;
    assert_eq!(node.read().await.payload, QUERY);
    stage.set_nodes(Some(stage.node()), &[stage.node()]);
    drop(node);
    let mut node = stage.accept_reader_link(stage.node(), false).await;
    assert_eq!(node.read().await.payload, QUERY, "neither a causal read nor a fence comes first");
    answer(&mut client, &mut node).await;
    client.send(b"\x03UPDATE t SET a=1", 0).await;
    assert_eq!(client.read_error().await.code, 1792, "at the primary it is as read-only");
}

/// Nobody knows the state of a node that died. What was read before must not be mixed with what is there now.
#[tokio::test]
async fn a_transaction_that_reads_something_else_at_the_next_node_ends_with_an_error() {
    let mut stage = stage().await;
    let (mut client, mut node, _session) = stage.begin_reading(false, client_of_any_kind()).await;
    stage.set_in_transaction(&mut client, &mut node).await;
    client.send(QUERY, 0).await;
    node.read().await;
    node.send_rows(StatusFlags::AUTOCOMMIT | StatusFlags::IN_TRANS).await;
    for _ in 0..5 {
        client.read().await;
    }
    stage.set_nodes(Some(stage.node()), &[stage.node()]);
    drop(node);
    client.send(QUERY, 0).await;
    let mut node = stage.accept_reader_link(stage.node(), false).await;
    let open = StatusFlags::AUTOCOMMIT | StatusFlags::IN_TRANS;
    // The second one had rows.
    for sql in [";BEGIN", ";SELECT 1"] {
        let text = String::from_utf8(node.read().await.payload).expect("text");
        assert!(text.ends_with(sql), "{text}");
        node.send(&ok(open | StatusFlags::MORE_RESULTS), 1).await;
        node.send(&ok(open), 2).await;
    }
    assert_eq!(node.read().await.payload, b"\x03SET timestamp=DEFAULT, insert_id=0");
    node.send(&ok(open), 1).await;
    assert_eq!(node.read().await.payload, b"\x03ROLLBACK AND NO CHAIN NO RELEASE");
    node.send(&ok(StatusFlags::AUTOCOMMIT), 1).await;
    assert_eq!(node.read().await.payload, b"\x1b\0\0", "several statements, as before");
    node.send(&EofPacket { warnings: 0, status: StatusFlags::AUTOCOMMIT }.encode(), 1).await;
    assert_eq!(client.read_error().await.code, 1213);
    ask(&mut client, &mut node).await;
}

/// Otherwise a client that asked to see what was just written would get an error in place of a page.
#[tokio::test]
async fn a_read_that_waited_too_long_is_answered_by_the_primary() {
    let mut stage = stage().await;
    let (mut client, mut node, _session) = stage.begin_reading(true, client_of_any_kind()).await;
    client.send(QUERY, 0).await;
    node.read().await;
    let late = ErrPacket::new(1205, *b"HY000", "Lock wait timeout exceeded");
    node.send(&late.encode(), 1).await;
    let mut node = stage.accept_reader_link(stage.node(), true).await;
    assert_eq!(node.read().await.payload, QUERY);
    node.send(&late.encode(), 1).await;
    assert_eq!(client.read_error().await.code, 1205, "the primary's own word is passed on");
}
