//! Several proxies, as several Icinga masters have them: all write to one node, and move together.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use lab::agreement::Watch;
use lab::galera::Node;
use lab::icinga::{Database, IcingaSpec, Masters};
use lab::ledger::{Ledger, Pattern};
use lab::proxy::Proxy;
use lab::wait::{Look, wait_until};
use lab::{Lab, Result, findings, sql};

/// Two masters that write to two nodes fail in certification, one of them with every batch.
#[tokio::test]
async fn proxies_go_to_the_same_node_before_during_and_after_its_loss() -> Result<()> {
    let lab = Lab::builder().fixed_nodes().proxies(2).start().await?;
    let first = agreed(&lab, 1).await?;
    let lost = lab.galera.nodes().iter().find(|node| node.address() == first).expect("a node");
    lost.kill().await?;
    let second = agreed(&lab, 2).await?;
    assert_ne!(second, first);

    // A proxy that starts again joins the others, whatever it would choose alone.
    lab.proxies[1].part().term().await?;
    lab.proxies[1].launch().await?;
    assert_eq!(agreed(&lab, 2).await?, second);

    // An old primary that returns changes nothing. Its donor is the third node: a donor is left, with reason.
    let others = lab.galera.nodes().iter().filter(|node| node.address() != first);
    let third = others.filter(|node| node.address() != second).last().expect("three nodes");
    lost.part().launch_with(&[&format!("--wsrep-sst-donor={}", third.name())])?;
    lab.galera.size(3, RECOVERY).await?;
    assert_eq!(agreed(&lab, 2).await?, second);
    let rows: Vec<(String, u64)> =
        sql::rows(&mut third.connect().await?, "SELECT node, epoch FROM ido_proxy.pin").await?;
    assert_eq!(rows, [(second.to_string(), 2)], "one row, changed once");
    lab.end().await
}

/// Otherwise an operator who takes a node down for its update causes a pause, or transactions done again.
#[tokio::test]
async fn a_switchover_moves_everybody_between_two_transactions() -> Result<()> {
    let lab = Lab::builder().fixed_nodes().proxies(2).start().await?;
    let first = agreed(&lab, 1).await?;
    let mut root = lab.galera.node(1).connect().await?;
    sql::script(&mut root, "a table", "CREATE TABLE icinga.story (id INT PRIMARY KEY)", SOON)
        .await?;
    let mut clients = Vec::new();
    for (id, proxy) in lab.proxies.iter().enumerate() {
        let mut conn = proxy.connect().await?;
        let begun =
            format!("SET wsrep_sync_wait = 7; BEGIN; INSERT INTO icinga.story VALUES ({id})");
        sql::script(&mut conn, "a transaction", &begun, SOON).await?;
        clients.push(conn);
    }
    let next = lab.galera.nodes().iter().rfind(|node| node.address() != first).expect("three");
    let said = lab.proxies[1].tool(&["switchover", next.name(), "--wait", "300ms"]).await?;
    assert!(said.contains(&next.address().to_string()), "{said}");
    assert!(said.contains("1 of the sessions of this host have still to follow"), "{said}");
    assert_eq!(agreed(&lab, 2).await?, next.address());
    for conn in &mut clients {
        let at: String = sql::value(conn, "SELECT @@wsrep_node_name").await?;
        assert_ne!(at, next.name(), "its transaction is still open");
        sql::script(conn, "the end of it", "COMMIT", SOON).await?;
        let at: String = sql::value(conn, "SELECT @@wsrep_node_name").await?;
        assert_eq!(at, next.name());
    }
    for proxy in &lab.proxies {
        let metrics = proxy.get("/metrics").await?.body;
        assert!(metrics.lines().any(|line| line == "ido_proxy_replays_total 0"), "{metrics}");
    }
    let said = lab.proxies[1].tool(&["switchover", next.name()]).await?;
    assert!(said.contains("the sessions of this host have followed"), "{said}");
    let refused = lab.proxies[0].tool(&["switchover", "node9"]).await;
    assert!(refused.is_err_and(|error| error.to_string().contains("no node is called node9")));
    lab.end().await
}

/// Until the last proxy knows of it, clients write to two nodes.
#[tokio::test]
async fn a_switchover_is_heard_of_before_the_next_probe() -> Result<()> {
    let lab = Lab::builder().fixed_nodes().proxies(2).proxy_setting("monitor.interval", "1m");
    let lab = lab.start().await?;
    let first = agreed(&lab, 1).await?;
    let next = lab.galera.nodes().iter().rfind(|node| node.address() != first).expect("three");
    let begun = Instant::now();
    lab.proxies[1].tool(&["switchover", next.name()]).await?;
    assert_eq!(agreed(&lab, 2).await?, next.address());
    assert!(begun.elapsed() < Duration::from_secs(30), "after {:?}", begun.elapsed());
    lab.end().await
}

/// The weekly updates of a cluster that Icinga writes to all the time, while it writes.
#[tokio::test]
async fn icinga_notices_nothing_of_switchovers() -> Result<()> {
    let lab = Lab::builder().fixed_nodes().proxies(2).default_socket();
    let lab = lab.icinga(200, 1_000, Duration::from_secs(10)).start().await?;
    let root = lab.galera.node(1).connect().await?;
    let ledger = Ledger::create(root, lab.proxy().part().log()).await?;
    // Icinga's statements, but one batch after the other: each move meets the client in the middle of its work.
    let busy = Pattern::Batch { statements: 124 };
    let busy = ledger.writer(busy, lab.proxy().socket_account()).await?;
    for epoch in 2..=5 {
        busy.writes(20, RECOVERY).await?;
        let first = agreed(&lab, epoch - 1).await?;
        let next = lab.galera.nodes().iter().find(|node| node.address() != first).expect("three");
        lab.proxies[epoch as usize % 2].tool(&["switchover", next.name()]).await?;
        assert_eq!(agreed(&lab, epoch).await?, next.address());
    }
    busy.writes(20, RECOVERY).await?;
    let record = busy.end(RECOVERY).await?;
    eprintln!("the longest pause of a batch writer: {:?}", record.longest_pause);
    lab.icinga().end().await?;
    let metrics = lab.proxy().get("/metrics").await?.body;
    assert!(metrics.lines().any(|line| line == "ido_proxy_replays_total 0"), "{metrics}");
    let node = lab.galera.node(1);
    let history = findings::history_at(&lab, node).await?;
    for finding in [history, findings::errors(&lab)?, findings::one_connection(&lab)?] {
        assert!(finding.holds, "{}", finding.text);
    }
    ledger.must_balance(node.connect().await?, &[record]).await?;
    lab.end().await
}

/// The setup that the proxy is made for: two masters, each with its own proxy, and a cluster. One of the masters
/// writes. Masters and nodes may be lost in any order.
#[tokio::test]
async fn two_masters_go_on_whichever_of_masters_and_nodes_is_lost() -> Result<()> {
    let lab = Lab::builder().fixed_nodes().proxies(2).start().await?;
    let spec = IcingaSpec { hosts: 50, services: 200, ..IcingaSpec::new(Database::Localhost) };
    let databases = [0, 1].map(|proxy| Database::Tcp(lab.proxies[proxy].tcp()));
    let masters = Masters::launch(&lab.run, &spec, databases).await?;
    let watch = Watch::begin(&lab.proxies);
    grows(&lab, &masters).await?;
    let active = active(&lab).await?;

    // The primary, under the one that writes.
    let node = primary(&lab).await?;
    node.kill().await?;
    grows(&lab, &masters).await?;
    node.launch(false)?;
    lab.galera.size(3, RECOVERY).await?;

    // The master that writes.
    let [dead, other] = [active, 1 - active].map(|master| &masters.both()[master]);
    dead.part().kill().await?;
    grows(&lab, &masters).await?;
    assert_eq!(self::active(&lab).await?, 1 - active, "the other one writes");

    // The dead master comes back. The primary and the master that writes by then are lost together.
    dead.part().launch()?;
    grows(&lab, &masters).await?;
    let active = self::active(&lab).await?;
    let node = primary(&lab).await?;
    node.kill().await?;
    masters.both()[active].part().kill().await?;
    grows(&lab, &masters).await?;

    for master in [dead, other] {
        let errors = master.ido_errors()?;
        assert!(errors.is_empty(), "{errors:?}");
    }
    let survivor = primary(&lab).await?;
    let finding = findings::no_duplicates(survivor).await?;
    assert!(finding.holds, "{}", finding.text);
    let seen = watch.end().await?;
    eprintln!("{seen}");
    lab.end().await
}

/// Waits until a hundred more state changes are history.
async fn grows(lab: &Lab, masters: &Masters) -> Result<()> {
    let mut goal = None;
    let begun = Instant::now();
    wait_until("a hundred more rows of history", Masters::TAKES_OVER, None, async || {
        let rows = async {
            let mut root = primary(lab).await?.connect().await?;
            sql::value::<u64>(&mut root, "SELECT COUNT(*) FROM icinga.icinga_statehistory").await
        };
        match rows.await {
            Ok(rows) if rows >= *goal.get_or_insert(rows + 100) => Look::Done(()),
            Ok(rows) => Look::NotYet(format!("{rows}")),
            Err(error) => Look::NotYet(error.to_string()),
        }
    })
    .await?;
    for master in masters.both().iter().filter(|master| master.part().runs()) {
        let errors = master.ido_errors()?;
        assert!(errors.is_empty(), "{errors:?}");
    }
    eprintln!("a hundred more after {:.1?}", begun.elapsed());
    Ok(())
}

/// Which master writes: the only one that has a session.
async fn active(lab: &Lab) -> Result<usize> {
    wait_until("one master that writes", RECOVERY, None, async || {
        let mut connected = Vec::new();
        for (number, proxy) in lab.proxies.iter().enumerate() {
            let status = proxy.status().await.unwrap_or_default();
            let sessions = status["sessions"].as_array().cloned().unwrap_or_default();
            connected.extend(sessions.iter().any(|s| s["user"] == "icinga").then_some(number));
        }
        match connected[..] {
            [one] => Look::Done(one),
            _ => Look::NotYet(format!("{connected:?}")),
        }
    })
    .await
}

async fn primary(lab: &Lab) -> Result<&Node> {
    wait_until("a primary", RECOVERY, None, async || {
        let primary = lab.proxy().primary().await.ok().flatten();
        let node = primary.and_then(|primary| lab.galera.node_at(primary));
        node.map_or_else(|| Look::NotYet(format!("{primary:?}")), Look::Done)
    })
    .await
}

/// The control tables are not there yet, or are in the way of somebody: the database must be.
#[tokio::test]
async fn a_cluster_without_control_tables_is_served_and_joins_when_they_come() -> Result<()> {
    let lab = Lab::builder().fixed_nodes().proxies(2).start().await?;
    let first = agreed(&lab, 1).await?;
    let mut root = lab.galera.node(1).connect().await?;
    for proxy in &lab.proxies {
        proxy.part().term().await?;
    }
    sql::script(&mut root, "dropping the pin", "DROP TABLE ido_proxy.pin", SOON).await?;
    for proxy in &lab.proxies {
        proxy.launch().await?;
        assert_eq!(proxy.primary().await?, Some(first));
        assert_eq!(proxy.status().await?["agreed"], false);
    }
    lab.proxies[0].set_up(&lab.galera).await?;
    assert_eq!(agreed(&lab, 1).await?, first);
    lab.end().await
}

/// Waits until every proxy goes by the pin of this epoch, and returns its node. At no time may two proxies
/// name different nodes for one epoch.
async fn agreed(lab: &Lab, epoch: u64) -> Result<SocketAddr> {
    let mut seen: Vec<(u64, SocketAddr)> = Vec::new();
    let log = lab.proxy().part().log();
    let begun = Instant::now();
    let node = wait_until("proxies that agree", RECOVERY, Some(&log), async || {
        let mut named = Vec::new();
        for proxy in &lab.proxies {
            match pinned(proxy).await {
                Ok(Some(pin)) => named.push(pin),
                Ok(None) => return Look::NotYet("a proxy has no primary".into()),
                Err(error) => return proxy.part().look(error),
            }
        }
        seen.extend(&named);
        for (epoch, node) in &seen {
            if let Some((_, other)) = seen.iter().find(|(e, n)| e == epoch && n != node) {
                return Look::Never(format!("{node} and {other} in epoch {epoch}"));
            }
        }
        match named.iter().all(|pin| *pin == named[0]) && named[0].0 == epoch {
            true => Look::Done(named[0].1),
            false => Look::NotYet(format!("{named:?}")),
        }
    })
    .await?;
    eprintln!("epoch {epoch}: {node}, after {:?}", begun.elapsed());
    Ok(node)
}

/// Epoch and primary of a proxy that goes by the pin.
async fn pinned(proxy: &Proxy) -> Result<Option<(u64, SocketAddr)>> {
    let status = proxy.status().await?;
    let epoch = status["epoch"].as_u64().filter(|_| status["agreed"] == true);
    let primary = status["primary"].as_str().and_then(|address| address.parse().ok());
    Ok(epoch.zip(primary))
}

/// Galera needs about 6 s to give a silent node up, on an idle machine.
const RECOVERY: Duration = Duration::from_secs(60);

/// How long something that needs milliseconds may take on a busy machine.
const SOON: Duration = Duration::from_secs(20);
