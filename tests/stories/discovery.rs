//! Where the nodes are, told by Consul and by nobody else, and what becomes of clients when it is
//! wrong, silent or gone, or when a node is.

use std::net::SocketAddr;
use std::time::Duration;

use lab::discovery::Discovery;
use lab::part::Part;
use lab::proxy::Proxy;
use lab::wait::{Look, wait_until};
use lab::{Lab, Result, sql};

mod consul;
mod foreign;
mod members;
mod secured;

/// A name server that is down, or a Consul that lost its quorum, must not take the database with it:
/// that is what resolv.conf pointing at Consul did.
#[tokio::test]
async fn clients_are_served_while_consul_is_gone_and_after_a_restart_in_that_time() -> Result<()> {
    let lab = Lab::builder().proxy().start().await?;
    let Discovery::Consul(consul) = &lab.discovery else {
        eprintln!("no Consul on this machine: the stand-in cannot be taken away");
        return lab.end().await;
    };
    let proxy = lab.proxy();
    let primary = proxy.primary().await?;
    for server in consul.servers() {
        server.kill().await?;
    }
    let mut conn = proxy.connect().await?;
    write(&mut conn).await?;
    heard_nothing_of_names(proxy).await?;
    assert_eq!(proxy.primary().await?, primary, "names have no say over traffic");
    write(&mut conn).await?;

    proxy.part().term().await?;
    proxy.launch().await?;
    assert_eq!(proxy.primary().await?, primary, "the nodes are remembered");
    write(&mut proxy.connect().await?).await?;
    lab.end().await
}

/// The next primary must take over by itself, and the old one must not be gone back to: each move
/// costs every session.
#[tokio::test]
async fn a_dead_primary_is_replaced_and_not_gone_back_to() -> Result<()> {
    let lab = Lab::builder().proxy().start().await?;
    let first = lab.proxy().primary().await?.expect("it is ready");
    let index = index_of(&lab, first);
    lab.galera.node(index).kill().await?;
    let second = moved_from(lab.proxy(), first).await?;
    lab.galera.size(2, RECOVERY).await?;
    write(&mut lab.proxy().connect().await?).await?;

    // A donor is left too, with reason. So the third node is to be the donor.
    let third = lab.galera.nodes().iter().find(|node| ![first, second].contains(&node.address()));
    let donor = format!("--wsrep-sst-donor={}", third.expect("three nodes").name());
    lab.galera.node(index).part().launch_with(&[&donor])?;
    lab.galera.size(3, RECOVERY).await?;
    shown_as(lab.proxy(), first, "synced").await?;
    assert_eq!(lab.proxy().primary().await?, Some(second), "no failback");
    lab.end().await
}

/// The kernel of a hung server goes on accepting connections: who only checks that, waits for ever.
#[tokio::test]
async fn a_frozen_primary_is_left() -> Result<()> {
    let lab = Lab::builder().proxy().start().await?;
    let first = lab.proxy().primary().await?.expect("it is ready");
    let frozen = lab.galera.node(index_of(&lab, first));
    frozen.stop()?;
    moved_from(lab.proxy(), first).await?;
    write(&mut lab.proxy().connect().await?).await?;
    frozen.cont()?;
    lab.end().await
}

/// A node outside the primary component takes no writes. Clients wait for one that does, and `/health`
/// says so to whoever asks.
#[tokio::test]
async fn without_a_majority_nobody_is_primary_and_clients_wait() -> Result<()> {
    let lab = Lab::builder().proxy().start().await?;
    for index in [1, 2, 3] {
        lab.isolate(index).await?;
    }
    let what = "503 from /health";
    wait_until(what, RECOVERY, Some(&lab.proxy().part().log()), async || {
        match lab.proxy().get("/health").await {
            Ok(answer) if answer.status == 503 => Look::Done(()),
            Ok(answer) => lab.proxy().part().look(answer.body),
            Err(error) => lab.proxy().part().look(error),
        }
    })
    .await?;
    let mut conn = lab.proxy().connect().await?;
    let (written, healed) = tokio::join!(write(&mut conn), async {
        held(lab.proxy()).await?;
        lab.heal().await
    });
    healed?;
    written?;
    lab.end().await
}

/// A write through the proxy, of the kind a client would lose.
async fn write(conn: &mut mysql_async::Conn) -> Result<()> {
    let statements = "CREATE TABLE IF NOT EXISTS story (id INT PRIMARY KEY AUTO_INCREMENT);
        INSERT INTO story VALUES ()";
    sql::script(conn, "a write", statements, RECOVERY).await
}

/// The node's number in the lab.
fn index_of(lab: &Lab, address: SocketAddr) -> usize {
    let node = lab.galera.nodes().iter().find(|node| node.address() == address);
    usize::from(node.expect("the primary is a node of the lab").index())
}

/// Waits until another node is the primary.
async fn moved_from(proxy: &Proxy, first: SocketAddr) -> Result<SocketAddr> {
    wait_until("another primary", RECOVERY, Some(&proxy.part().log()), async || {
        match proxy.primary().await {
            Ok(Some(primary)) if primary != first => Look::Done(primary),
            Ok(primary) => proxy.part().look(format!("{primary:?}")),
            Err(error) => proxy.part().look(error),
        }
    })
    .await
}

/// The entry of `node` in `/status`, null while there is none.
async fn shown(proxy: &Proxy, node: SocketAddr) -> Result<serde_json::Value> {
    let status = proxy.status().await?;
    let nodes = status["nodes"].as_array().cloned().unwrap_or_default();
    let shown = nodes.into_iter().find(|shown| shown["address"] == node.to_string());
    Ok(shown.unwrap_or_default())
}

/// Waits until `/status` gives `node` this state.
async fn shown_as(proxy: &Proxy, node: SocketAddr, state: &str) -> Result<()> {
    let what = format!("{node} shown as {state}");
    wait_until(&what, RECOVERY, Some(&proxy.part().log()), async || {
        match shown(proxy, node).await {
            Ok(shown) if shown["state"] == state => Look::Done(()),
            Ok(shown) => proxy.part().look(shown),
            Err(error) => proxy.part().look(error),
        }
    })
    .await
}

/// The value of this line of `/metrics`.
async fn counted(proxy: &Proxy, series: &str) -> Result<u64> {
    let page = proxy.get("/metrics").await?.body;
    let line = page.lines().find_map(|line| line.strip_prefix(series));
    Ok(line.and_then(|value| value.trim().parse().ok()).unwrap_or_default())
}

/// Waits until a lookup has failed at every name server.
async fn heard_nothing_of_names(proxy: &Proxy) -> Result<()> {
    log_says(proxy.part(), "does not answer").await
}

/// Waits until a client is held.
async fn held(proxy: &Proxy) -> Result<()> {
    log_says(proxy.part(), "held: no usable primary").await
}

async fn log_says(part: &Part, words: &str) -> Result<()> {
    let what = format!("{} saying {words:?}", part.name());
    wait_until(&what, RECOVERY, Some(&part.log()), async || {
        let log = std::fs::read_to_string(part.log()).unwrap_or_default();
        if log.contains(words) { Look::Done(()) } else { part.look("it does not say so") }
    })
    .await
}

/// Galera needs about 6 s to give a silent node up, on an idle machine.
const RECOVERY: Duration = Duration::from_secs(60);
