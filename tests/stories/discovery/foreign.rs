//! Hosts that are named and are not ours.

use std::sync::Arc;

use lab::galera::{Galera, GaleraSpec};
use lab::run::Run;

use super::*;

/// The test cluster is registered under the name of the production one: a write that lands there is
/// lost, and nobody is told.
#[tokio::test]
async fn a_host_of_another_cluster_in_dns_never_becomes_primary() -> Result<()> {
    let lab = Lab::builder().proxy().start().await?;
    let Discovery::Consul(consul) = &lab.discovery else {
        eprintln!("no Consul on this machine: the stand-in names no other hosts");
        return lab.end().await;
    };
    let elsewhere = Arc::new(Run::begin()?);
    let spec = GaleraSpec { nodes: 1, stranger: true, ..GaleraSpec::default() };
    let other = Galera::start(&elsewhere, &spec).await?;
    let stranger = other.node(1);
    let uuid = stranger.standing().await?.value("wsrep_cluster_state_uuid").to_owned();
    let ours = lab.galera.node(1).standing().await?;
    assert_ne!(ours.value("wsrep_cluster_state_uuid"), uuid, "it is another cluster");
    let proxy = lab.proxy();
    // With these accounts the stranger would let the proxy and its clients in.
    proxy.set_up_by(stranger.connect().await?).await?;

    let first = proxy.primary().await?;
    consul.register(1, "stranger", stranger.address()).await?;
    let reason = format!("belongs to another cluster ({uuid})");
    wait_until("the stranger refused", RECOVERY, Some(&proxy.part().log()), async || match shown(
        proxy,
        stranger.address(),
    )
    .await
    {
        Ok(shown) if shown["reason"] == reason => Look::Done(()),
        Ok(shown) => proxy.part().look(shown),
        Err(error) => proxy.part().look(error),
    })
    .await?;
    assert_eq!(proxy.primary().await?, first);
    assert_eq!(shown(proxy, stranger.address()).await?["usable"], false);

    // Now it is the only one that runs, and DNS names it alone.
    for node in lab.galera.nodes() {
        node.kill().await?;
    }
    proxy.part().says("no primary", 1, RECOVERY).await?;
    lab::consul::names_nodes(&consul.nameservers(), 1, RECOVERY).await?;
    let probes = format!("ido_proxy_probe_seconds_count{{node=\"{}\"}}", stranger.address());
    let begin = counted(proxy, &probes).await?;
    wait_until("ten more probes of it", RECOVERY, Some(&proxy.part().log()), async || {
        match (counted(proxy, &probes).await, proxy.primary().await) {
            (Ok(_), Ok(Some(primary))) => Look::Never(format!("{primary} is the primary")),
            (Ok(now), Ok(None)) if now >= begin + 10 => Look::Done(()),
            seen => proxy.part().look(format!("{seen:?}")),
        }
    })
    .await?;
    lab.end().await
}
