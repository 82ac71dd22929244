//! Nodes that nobody names but Galera.

use super::*;

/// Whoever writes one address into the configuration has the whole cluster behind it, and keeps it when
/// that one dies, over a restart too.
#[tokio::test]
async fn a_proxy_that_is_told_of_one_node_survives_its_loss() -> Result<()> {
    let mut lab = Lab::builder().fixed_nodes().start().await?;
    let told = lab.galera.node(1).address();
    let spec =
        lab::proxy::ProxySpec::new(Vec::new()).set("discovery.nodes", vec![told.to_string()]);
    lab.proxies.push(Proxy::start(&lab.run, &lab.galera, &spec).await?);
    let proxy = lab.proxy();
    assert_eq!(proxy.primary().await?, Some(told));
    for index in [2, 3] {
        shown_as(proxy, lab.galera.node(index).address(), "synced").await?;
    }
    let mut conn = proxy.connect().await?;
    write(&mut conn).await?;
    lab.galera.node(1).kill().await?;
    let second = moved_from(proxy, told).await?;
    write(&mut conn).await?;

    proxy.part().term().await?;
    proxy.launch().await?;
    let primary = proxy.primary().await?;
    assert!(primary.is_some_and(|node| node != told), "{primary:?} after {second}");
    write(&mut proxy.connect().await?).await?;
    lab.end().await
}

/// DNS has lost a node: one name server lags, one check fails. It is still there when it is needed.
#[tokio::test]
async fn a_node_that_no_name_server_knows_is_found_and_takes_over() -> Result<()> {
    let mut lab = Lab::builder().start().await?;
    let Discovery::Consul(consul) = &lab.discovery else {
        eprintln!("no Consul on this machine: the stand-in names all nodes");
        return lab.end().await;
    };
    for host in [2, 3] {
        consul.deregister(host, lab::consul::OWN_INSTANCE).await?;
    }
    lab::consul::names_nodes(&consul.nameservers(), 1, RECOVERY).await?;
    let spec = lab::proxy::ProxySpec::new(lab.discovery.nameservers());
    lab.proxies.push(Proxy::start(&lab.run, &lab.galera, &spec).await?);
    let proxy = lab.proxy();
    let first = proxy.primary().await?.expect("it is ready");
    assert_eq!(first, lab.galera.node(1).address(), "the one that is named");
    for index in [2, 3] {
        shown_as(proxy, lab.galera.node(index).address(), "synced").await?;
    }
    lab.galera.node(1).kill().await?;
    moved_from(proxy, first).await?;
    write(&mut proxy.connect().await?).await?;
    lab.end().await
}
