use ido_proxy_protocol::capabilities::Capabilities;
use ido_proxy_protocol::ok::OkPacket;
use ido_proxy_protocol::status::StatusFlags;

use super::*;
use crate::session::shared::directives::Phase;
use crate::session::testing::{DEADLINE, Peer, Stage, ok};

const QUERY: &[u8] = b"\x03SELECT 1";

fn icinga() -> Capabilities {
    Capabilities::PROTOCOL_41 | Capabilities::MULTI_STATEMENTS | Capabilities::SESSION_TRACK
}

/// With a connection and a login in front of every replay, each client of a failover would wait longer.
#[tokio::test]
async fn a_session_goes_on_with_the_link_that_lay_ready() {
    let stage = Stage::new(DEADLINE).await;
    let (mut client, node, _session) = stage.begin(icinga()).await;
    let _keeper = stage.heat(true);
    let mut next = stage.accept_warm_link().await;
    lose(&stage, &mut client, node).await;
    next.answer_barrier().await;
    assert_eq!(next.read().await.payload, QUERY);
    next.send(&ok(StatusFlags::AUTOCOMMIT), 1).await;
    client.read().await;
}

/// Statements would run in the database of the login instead of the one the client chose since.
#[tokio::test]
async fn a_link_that_lay_ready_is_given_the_database_of_now() {
    let stage = Stage::new(DEADLINE).await;
    let (mut client, mut node, _session) = stage.begin(icinga()).await;
    let _keeper = stage.heat(true);
    let mut next = stage.accept_warm_link().await;
    client.send(b"\x02other", 0).await;
    node.read().await;
    let status = StatusFlags::AUTOCOMMIT | StatusFlags::SESSION_STATE_CHANGED;
    let changed = OkPacket { status, session_state: b"\x01\x06\x05other", ..OkPacket::default() };
    node.send(&changed.encode(Capabilities::SESSION_TRACK), 1).await;
    client.read().await;
    lose(&stage, &mut client, node).await;
    next.answer_barrier().await;
    assert_eq!(next.read().await.payload, b"\x02other");
}

/// The node would count an aborted connection, and log it, for each client that leaves.
#[tokio::test]
async fn the_link_of_a_session_that_ends_is_closed_in_order() {
    let stage = Stage::new(DEADLINE).await;
    let (mut client, _node, session) = stage.begin(icinga()).await;
    let _keeper = stage.heat(true);
    let mut next = stage.accept_warm_link().await;
    client.send(b"\x01", 0).await;
    session.await.unwrap();
    assert_eq!(next.read().await.payload, [COM_QUIT]);
    next.closed().await;
}

/// Otherwise the end of the daemon would leave links that the nodes count as aborted.
#[tokio::test]
async fn all_are_closed_in_order_when_the_daemon_ends() {
    let stage = Stage::new(DEADLINE).await;
    let (_client, _node, _session) = stage.begin(icinga()).await;
    let keeper = stage.heat(true);
    let mut next = stage.accept_warm_link().await;
    stage.set_phase(Phase::Draining);
    assert_eq!(next.read().await.payload, [COM_QUIT]);
    keeper.await.unwrap();
}

/// Those who need a connection would find that none is left.
#[tokio::test]
async fn a_node_without_room_is_left_alone() {
    let stage = Stage::new(DEADLINE).await;
    let (_client, _node, _session) = stage.begin(icinga()).await;
    let _keeper = stage.heat(false);
    assert!(!stage.is_next_called(LOOK * 3).await);
}

/// A link that its node has closed would be lost with the first command.
#[tokio::test]
async fn one_that_its_node_has_closed_is_replaced() {
    let stage = Stage::new(DEADLINE).await;
    let (mut client, node, _session) = stage.begin(icinga()).await;
    let _keeper = stage.heat(true);
    drop(stage.accept_warm_link().await);
    let mut next = stage.accept_warm_link().await;
    lose(&stage, &mut client, node).await;
    next.answer_barrier().await;
}

/// The rights of the former user would go on.
#[tokio::test]
async fn another_user_does_not_get_the_link_of_the_one_before() {
    let stage = Stage::new(DEADLINE).await;
    let (mut client, node, _session) = stage.begin(icinga()).await;
    let _keeper = stage.heat(true);
    let mut next = stage.accept_warm_link().await;
    let (_, mut again) = tokio::join!(client.change_user(|| ()), stage.accept_link());
    client.read().await;
    drop(node);
    assert_eq!(next.read().await.payload, [COM_QUIT]);
    stage.set_primary(Some(stage.next_node()));
    client.send(QUERY, 0).await;
    drop(again.read().await);
}

/// The client asks something, and its node dies over it.
async fn lose(stage: &Stage, client: &mut Peer, mut node: Peer) {
    client.send(QUERY, 0).await;
    node.read().await;
    stage.set_primary(Some(stage.next_node()));
}

const COM_QUIT: u8 = 0x01;
