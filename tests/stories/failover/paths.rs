//! The node is well, only the way to it is not.

use lab::Result;
use lab::galera::Node;

use super::client::counting;
use super::stage::{RECOVERY, Stage, Story};

/// A reset proves nothing about the node: to leave it would move everybody for one connection's sake.
#[tokio::test]
async fn a_reset_connection_is_made_again_to_the_same_node() -> Story {
    let stage = Stage::set().await?;
    let mut client = stage.client().await?;
    client.tell("BEGIN").await?;
    let first = client.insert(1).await?;
    client.tell(&counting(1)).await?;
    let writers = stage.writers().await?;
    let primary = stage.primary().await?;
    for _ in 0..5 {
        for writer in &writers {
            writer.writes(2, RECOVERY).await?;
        }
        reset_all(&stage, primary).await?;
    }
    for writer in &writers {
        writer.writes(2, RECOVERY).await?;
    }
    let second = client.insert(2).await?;
    client.tell(&format!("{};COMMIT", counting(1))).await?;
    assert_eq!(stage.rows().await?, [(1, first), (2, second)].into());
    assert_eq!(stage.value(1).await?, 2);
    stage.balance(writers).await?;
    assert_eq!(stage.primary().await?.index(), primary.index(), "the node was well");
    stage.end().await
}

/// The node was not told of the reset: it keeps the lost transaction, and the locks on every row that it
/// wrote. The client must not wait for the locks of its own past.
#[tokio::test]
async fn a_connection_that_only_the_node_still_believes_in_blocks_nobody() -> Story {
    let stage = Stage::set().await?;
    let mut client = stage.client().await?;
    client.tell("BEGIN").await?;
    let first = client.insert(1).await?;
    client.tell(&counting(1)).await?;
    let primary = stage.primary().await?;
    for thread in primary.threads().await? {
        stage.lab.faults.forget(thread.peer, primary.address()).await?;
    }
    let begun = std::time::Instant::now();
    let second = client.insert(2).await?;
    client.tell(&format!("{};COMMIT", counting(1))).await?;
    // The server's own lock wait ends after 50 s.
    let took = begun.elapsed();
    stage.must(took < RECOVERY / 3, format!("the client waited {took:?}"))?;
    assert_eq!(stage.rows().await?, [(1, first), (2, second)].into());
    assert_eq!(stage.value(1).await?, 2);
    stage.end().await
}

/// A firewall that drops without a word: the node is in the cluster and well, but this machine will hear
/// nothing from it any more. Once left it is not gone back to.
#[tokio::test]
async fn a_silent_path_is_left_within_its_time() -> Story {
    let stage = Stage::set().await?;
    let writers = stage.writers().await?;
    for writer in &writers {
        writer.writes(3, RECOVERY).await?;
    }
    let primary = stage.primary().await?;
    stage.lab.faults.silence(primary.address()).await?;
    let second = stage.moved_from(primary).await?;
    for writer in &writers {
        writer.writes(5, RECOVERY).await?;
    }
    stage.lab.heal().await?;
    stage.sees_synced(primary).await?;
    for writer in &writers {
        writer.writes(5, RECOVERY).await?;
    }
    assert_eq!(stage.primary().await?.index(), second.index(), "no failback");
    for record in stage.balance(writers).await? {
        let (writer, pause) = (record.writer, record.longest_pause);
        stage.must(pause < RECOVERY / 3, format!("writer {writer} waited {pause:?}"))?;
    }
    stage.end().await
}

/// The primary is cut off from the other nodes, but not from its clients: what it takes from them it
/// cannot keep.
#[tokio::test]
async fn a_primary_that_lost_its_cluster_is_left() -> Story {
    let stage = Stage::set().await?;
    let writers = stage.writers().await?;
    for writer in &writers {
        writer.writes(3, RECOVERY).await?;
    }
    let primary = stage.primary().await?;
    stage.lab.isolate(primary.index()).await?;
    stage.moved_from(primary).await?;
    for writer in &writers {
        writer.writes(5, RECOVERY).await?;
    }
    stage.lab.heal().await?;
    stage.lab.galera.all_synced(RECOVERY).await?;
    stage.balance(writers).await?;
    stage.end().await
}

/// Resets every connection of a client at `node`.
async fn reset_all(stage: &Stage, node: &Node) -> Result<()> {
    for thread in node.threads().await? {
        stage.lab.faults.reset(thread.peer, node.address()).await?;
    }
    Ok(())
}
