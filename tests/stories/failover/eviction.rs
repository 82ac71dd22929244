//! A dead primary is cut off from its cluster, which would block every write until it suspects it. Whoever lives is not.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use lab::galera::Node;
use lab::{LabError, Result};

use super::stage::{RECOVERY, SOON, Stage, Story};

/// Galera takes 6 s to suspect a node, and Icinga's history waits for it.
#[tokio::test]
async fn a_cluster_goes_on_at_once_without_a_dead_primary() -> Story {
    let stage = evicting().await?;
    let writers = stage.writers().await?;
    for writer in &writers {
        writer.writes(3, RECOVERY).await?;
    }
    let primary = stage.primary().await?;
    primary.kill().await?;
    let died = Instant::now();
    for writer in &writers {
        writer.writes(1, RECOVERY).await?;
    }
    let took = died.elapsed();
    stage.must(took < GALERA_ALONE, format!("the writers waited for {took:?}"))?;
    stage.balance(writers).await?;
    // Whoever was cut off comes back, and nothing of it is left.
    primary.start().await?;
    stage.lab.galera.all_synced(RECOVERY).await?;
    for node in stage.others(primary) {
        stage.proxy().part().says("the list of evicted nodes is cleared", 2, SOON).await?;
        let listed = node.standing().await?.value("wsrep_evs_evict_list").to_owned();
        stage.must(listed.is_empty(), format!("{} keeps out {listed}", node.name()))?;
        let period = period(node).await?;
        stage.must(period == "PT1S", format!("{} says it again after {period}", node.name()))?;
    }
    stage.end().await
}

/// A firewall that was told to refuse looks like a dead process. The node lives, and would stay out of its cluster until
/// somebody starts it again.
#[tokio::test]
async fn a_primary_that_a_firewall_hides_stays_a_member() -> Story {
    let stage = evicting().await?;
    let (primary, group) = (stage.primary().await?, stage.proxy().group());
    let of_group = SocketAddr::new(primary.address().ip(), 4567);
    stage.lab.faults.refuse(group, primary.address()).await?;
    stage.proxy().part().says("why=\"its port for the group answers\"", 1, SOON).await?;
    stage.lab.faults.refuse(group, of_group).await?;
    stage.proxy().part().says("why=\"its cluster commits\"", 1, SOON).await?;
    stage.lab.faults.heal().await?;
    stage.lab.galera.all_synced(RECOVERY).await?;
    let told = stage.proxy().part().said("told to go on without it");
    stage.must(told == 0, "a node that lives was cut off")?;
    stage.end().await
}

/// A proxy that cuts dead nodes off.
async fn evicting() -> Result<Stage> {
    Stage::with(|builder| builder.proxy_setting("failover.evict", "dead")).await
}

/// How often a node says again what it sees while a view forms.
async fn period(node: &Node) -> Result<String> {
    let mut root = node.connect().await?;
    let options: String = lab::sql::value(&mut root, "SELECT @@wsrep_provider_options").await?;
    let mut pairs = options.split(';').filter_map(|option| option.split_once('='));
    let found = pairs.find(|(name, _)| name.trim() == "evs.join_retrans_period");
    let found = found.map(|(_, value)| value.trim().to_owned());
    found.ok_or_else(|| LabError::Refused(format!("{}: {options}", node.name())))
}

/// Less than Galera alone takes, and more than a busy machine does.
const GALERA_ALONE: Duration = Duration::from_secs(4);
