//! Consul by its HTTP interface (`discovery.consul`), real and in trouble.

use std::time::Instant;

use lab::consul::{Consul, OWN_INSTANCE};
use lab::proxy::ProxySpec;

use super::*;

/// A lab with Consul and no proxy, or `None` where Consul is not installed.
async fn stage(nodes: u8) -> Result<Option<Lab>> {
    if !Consul::available() {
        eprintln!("no Consul on this machine: nothing to ask over HTTP");
        return Ok(None);
    }
    Lab::builder().nodes(nodes).start().await.map(Some)
}

fn consul_of(lab: &Lab) -> &Consul {
    match &lab.discovery {
        Discovery::Consul(consul) => consul,
        _ => unreachable!("it is installed"),
    }
}

/// A proxy that asks server `host` over HTTP, and no name server at all.
async fn asking(lab: &Lab, host: u8) -> Result<Proxy> {
    let spec = ProxySpec::new(Vec::new())
        .set("discovery.service", lab::dns::SERVICE)
        .set("discovery.consul", consul_of(lab).url(host));
    Proxy::start(&lab.run, &lab.galera, &spec).await
}

/// How long it takes until `/status` names `node`.
async fn named(proxy: &Proxy, node: SocketAddr, since: Instant) -> Result<Duration> {
    loop {
        if !shown(proxy, node).await?.is_null() {
            return Ok(since.elapsed());
        }
        assert!(since.elapsed() < RECOVERY, "{node} is not named");
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

/// A node that joins must be known before the next failover asks for it, and not at some later look-up.
#[tokio::test]
async fn what_is_registered_is_known_within_a_tenth_of_a_second() -> Result<()> {
    let Some(lab) = stage(3).await? else { return Ok(()) };
    let proxy = asking(&lab, 1).await?;
    let primary = proxy.primary().await?;
    let mut times = Vec::new();
    for host in 50..59 {
        // Nobody is there: that is for the probes to find, and no reason not to know it.
        let node = lab.run.socket(host, 3306);
        let since = Instant::now();
        // At another server than the one that is asked.
        consul_of(&lab).register(2, &format!("new-{host}"), node).await?;
        times.push(named(&proxy, node, since).await?);
    }
    times.sort();
    eprintln!("from the registration to /status naming the node: {times:?}");
    assert!(times[times.len() / 2] < Duration::from_millis(100), "{times:?}");
    assert_eq!(proxy.primary().await?, primary);
    write(&mut proxy.connect().await?).await?;
    proxy.part().term().await?;
    lab.end().await
}

/// While Consul elects a leader it answers nobody, and that is when nodes die too.
#[tokio::test]
async fn a_lost_leader_costs_clients_nothing_and_the_next_one_is_heard() -> Result<()> {
    let Some(lab) = stage(3).await? else { return Ok(()) };
    let consul = consul_of(&lab);
    let leader = consul.leader().await?;
    let other = leader % 3 + 1;
    let proxy = asking(&lab, other).await?;
    let primary = proxy.primary().await?;
    let mut conn = proxy.connect().await?;
    consul.server(leader).kill().await?;
    write(&mut conn).await?;
    let node = lab.run.socket(60, 3306);
    let what = "a registration at the next leader";
    wait_until(what, RECOVERY, Some(&consul.server(other).log()), async || {
        match consul.register(other, "new", node).await {
            Ok(()) => Look::Done(()),
            Err(error) => Look::NotYet(error.to_string()),
        }
    })
    .await?;
    named(&proxy, node, Instant::now()).await?;
    assert_eq!(proxy.primary().await?, primary);
    write(&mut conn).await?;
    proxy.part().term().await?;
    lab.end().await
}

/// The log of a night without Consul must say so once, and clients must not notice.
#[tokio::test]
async fn the_loss_of_every_server_is_told_once_and_costs_clients_nothing() -> Result<()> {
    let Some(lab) = stage(3).await? else { return Ok(()) };
    let consul = consul_of(&lab);
    let proxy = asking(&lab, 1).await?;
    let primary = proxy.primary().await?;
    let mut conn = proxy.connect().await?;
    for server in consul.servers() {
        server.kill().await?;
    }
    proxy.part().says("Consul names no nodes", 1, RECOVERY).await?;
    write(&mut conn).await?;
    let refused = "ido_proxy_consul_lookups_total{result=\"failed\"}";
    let before = counted(&proxy, refused).await?;
    wait_until("more questions in vain", RECOVERY, Some(&proxy.part().log()), async || {
        match counted(&proxy, refused).await {
            Ok(now) if now >= before + 3 => Look::Done(()),
            Ok(now) => proxy.part().look(now),
            Err(error) => proxy.part().look(error),
        }
    })
    .await?;
    proxy.part().term().await?;
    proxy.launch().await?;
    assert_eq!(proxy.primary().await?, primary, "the nodes are remembered");
    write(&mut proxy.connect().await?).await?;
    for server in consul.servers() {
        server.launch()?;
    }
    proxy.part().says("Consul names the nodes again", 1, RECOVERY).await?;
    let said = proxy.part().said("Consul names no nodes");
    assert!(
        (2..=3).contains(&said),
        "once in each life, and perhaps while a leader was elected: {said}"
    );
    proxy.part().term().await?;
    lab.end().await
}

/// Somebody takes the service out of Consul, all of it: the database is still there.
#[tokio::test]
async fn a_service_that_is_deregistered_is_served_on_and_fails_over() -> Result<()> {
    let Some(mut lab) = stage(3).await? else { return Ok(()) };
    let spec =
        ProxySpec::new(lab.discovery.nameservers()).set("discovery.consul", consul_of(&lab).url(1));
    lab.proxies.push(Proxy::start(&lab.run, &lab.galera, &spec).await?);
    let proxy = lab.proxy();
    let first = proxy.primary().await?.expect("it is ready");
    for host in [1, 2, 3] {
        consul_of(&lab).deregister(host, OWN_INSTANCE).await?;
    }
    proxy.part().says("Consul names no nodes", 1, RECOVERY).await?;
    proxy.part().says("DNS names no nodes", 1, RECOVERY).await?;
    assert_eq!(proxy.primary().await?, Some(first));
    let mut conn = proxy.connect().await?;
    write(&mut conn).await?;
    lab.galera.node(index_of(&lab, first)).kill().await?;
    moved_from(proxy, first).await?;
    write(&mut conn).await?;
    lab.end().await
}

/// A database host is replaced: the new one has the old one's name in Consul and in Galera, and another
/// address. Who held on to addresses would lose the cluster host by host.
#[tokio::test]
async fn a_node_registered_anew_at_another_address_takes_over() -> Result<()> {
    let Some(mut lab) = stage(4).await? else { return Ok(()) };
    // The machine that is to come.
    lab.galera.node(4).term().await?;
    consul_of(&lab).deregister(4, OWN_INSTANCE).await?;
    lab.galera.size(3, RECOVERY).await?;
    let proxy = asking(&lab, 1).await?;
    lab.proxies.push(proxy);
    let proxy = lab.proxy();
    let first = proxy.primary().await?.expect("it is ready");
    let new = lab.galera.node(4).address();
    assert!(shown(proxy, new).await?.is_null(), "nobody knows it yet");

    let mut others = lab.galera.nodes()[..3].iter().filter(|node| node.address() != first);
    let (Some(other), Some(old)) = (others.next(), others.next()) else {
        unreachable!("two of three")
    };
    old.term().await?;
    consul_of(&lab).register(old.index(), OWN_INSTANCE, new).await?;
    let name = format!("--wsrep-node-name={}", old.name());
    // The primary would be left if it had to give its state.
    let donor = format!("--wsrep-sst-donor={}", other.name());
    lab.galera.node(4).part().launch_with(&[&name, &donor])?;
    lab.galera.size(3, RECOVERY).await?;
    shown_as(proxy, new, "synced").await?;
    assert_eq!(shown(proxy, new).await?["name"], old.name());

    let mut conn = proxy.connect().await?;
    write(&mut conn).await?;
    // So that it is the best there is.
    other.hold("SET GLOBAL wsrep_desync = ON").await?;
    shown_as(proxy, other.address(), "donor").await?;
    lab.galera.node(index_of(&lab, first)).kill().await?;
    assert_eq!(moved_from(proxy, first).await?, new);
    lab.end().await
}
