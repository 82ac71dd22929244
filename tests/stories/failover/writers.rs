//! Writers of every kind, and a fault while they write.

use lab::Result;
use lab::galera::Node;
use lab::ledger::Writer;
use lab::whole::Builder;

use super::stage::{RECOVERY, Stage, Story};

/// Power lost, out of memory, a crash.
#[tokio::test]
async fn nothing_is_lost_when_the_primary_is_killed() -> Story {
    let stage = Stage::set().await?;
    let writers = under_way(&stage).await?;
    let primary = stage.primary().await?;
    primary.kill().await?;
    go_on(&stage, primary, &writers).await?;
    stage.balance(writers).await?;
    stage.end().await
}

/// An administrator restarts the database: every client is told that it shuts down, in the middle of
/// whatever it does.
#[tokio::test]
async fn nothing_is_lost_when_the_primary_is_shut_down() -> Story {
    let stage = Stage::set().await?;
    let writers = under_way(&stage).await?;
    let primary = stage.primary().await?;
    primary.term().await?;
    go_on(&stage, primary, &writers).await?;
    stage.balance(writers).await?;
    stage.end().await
}

/// A machine that swaps or waits for its disk: its kernel accepts connections, and nobody answers. What
/// it had in hand when it froze must not come true when it wakes up.
#[tokio::test]
async fn nothing_is_lost_and_nothing_comes_back_when_the_primary_freezes() -> Story {
    let stage = Stage::set().await?;
    let writers = under_way(&stage).await?;
    let primary = stage.primary().await?;
    primary.stop()?;
    go_on(&stage, primary, &writers).await?;
    primary.cont()?;
    stage.lab.galera.all_synced(RECOVERY).await?;
    for writer in &writers {
        writer.writes(3, RECOVERY).await?;
    }
    stage.balance(writers).await?;
    stage.end().await
}

/// A hiccup that is over before anybody gave the node up costs its own length, and no move.
#[tokio::test]
async fn a_short_freeze_moves_nobody() -> Story {
    // Nodes of a busy machine are heard late, and must not give it up for that.
    let patient = |builder: Builder| {
        builder
            .proxy_setting("failover.path_timeout", "10s")
            .provider_option("evs.suspect_timeout=PT12S")
    };
    let stage = Stage::with(patient).await?;
    let writers = under_way(&stage).await?;
    let primary = stage.primary().await?;
    primary.stop()?;
    tokio::time::sleep(HICCUP).await;
    primary.cont()?;
    for writer in &writers {
        writer.writes(3, RECOVERY).await?;
    }
    assert_eq!(stage.primary().await?.index(), primary.index(), "it is back");
    stage.balance(writers).await?;
    stage.end().await
}

/// Writers of every kind that have written a little.
async fn under_way(stage: &Stage) -> Result<Vec<Writer>> {
    let writers = stage.writers().await?;
    for writer in &writers {
        writer.writes(5, RECOVERY).await?;
    }
    Ok(writers)
}

/// Waits until another node is the primary and all writers write again.
async fn go_on(stage: &Stage, lost: &Node, writers: &[Writer]) -> Result<()> {
    stage.moved_from(lost).await?;
    for writer in writers {
        writer.writes(5, RECOVERY).await?;
    }
    Ok(())
}

/// Longer than a probe waits, and far shorter than Galera does here.
const HICCUP: std::time::Duration = std::time::Duration::from_secs(3);
