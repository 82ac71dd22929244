//! The client goes away in the middle of something. Nothing of it may stand, and nothing of it stay.

use lab::Result;
use lab::galera::Node;
use lab::raw::Raw;
use lab::wait::{Look, wait_until};

use super::client::{adding, counting, locking};
use super::stage::{SOON, Stage, Story};

/// Icinga is killed in the middle of a batch. Its locks would make the Icinga that is started next wait.
#[tokio::test]
async fn a_client_that_is_killed_leaves_no_locks() -> Story {
    let stage = Stage::set().await?;
    let primary = stage.primary().await?;
    let lock = primary.hold(&locking(2)).await?;
    let raw = begin(&stage).await?;
    primary.busy_with("UPDATE story_value SET value = value + 1 WHERE id = 2", SOON).await?;
    raw.vanish()?;
    // The batch goes on at the node until it waits no more; then there is nobody to commit for.
    drop(lock);
    no_links(&stage, primary).await?;
    let mut next = stage.client().await?;
    next.tell(&counting(1)).await?;
    assert_eq!((stage.value(1).await?, stage.rows().await?), (1, [].into()));
    stage.end().await
}

/// The client is killed while it waits for another primary. Otherwise its work is done again for nobody.
#[tokio::test]
async fn a_client_that_is_killed_while_it_waits_is_forgotten() -> Story {
    let stage = Stage::set().await?;
    let primary = stage.primary().await?;
    let mut raw = begin(&stage).await?;
    for _ in 0..4 {
        raw.hear().await?;
    }
    primary.stop()?;
    raw.command(&[b"\x03", adding(3).as_bytes(), b";COMMIT"].concat()).await?;
    stage.busy().await?;
    primary.kill().await?;
    raw.vanish()?;
    let second = stage.moved_from(primary).await?;
    stage.lab.galera.size(2, super::stage::RECOVERY).await?;
    no_links(&stage, second).await?;
    let mut next = stage.client().await?;
    next.tell(&counting(1)).await?;
    let (counted, stands) = (stage.value(1).await?, stage.rows().await?);
    // The client had said COMMIT: all of its transaction or nothing, but not a part.
    let whole = matches!((counted, stands.len()), (1, 0) | (2, 2));
    stage.must(whole, format!("{stands:?} stands, and was counted {counted} times"))?;
    stage.end().await
}

/// A client with a transaction that counts 1 and adds token 1; if value 2 is locked, its batch is stuck.
async fn begin(stage: &Stage) -> Result<Raw> {
    let mut raw = Raw::log_in(stage.proxy().tcp(), "icinga", "icinga").await?;
    raw.command(b"\x03USE icinga").await?;
    raw.hear().await?;
    let batch = ["BEGIN", &counting(1), &adding(1), &counting(2)].join(";");
    raw.command(&[b"\x03", batch.as_bytes()].concat()).await?;
    Ok(raw)
}

/// Waits until no client's connection is left at `node`.
async fn no_links(stage: &Stage, node: &Node) -> Result<()> {
    let what = format!("no connection of a client at {}", node.name());
    wait_until(&what, SOON, Some(&stage.log()), async || match node.threads().await {
        Ok(threads) if threads.is_empty() => Look::Done(()),
        Ok(threads) => node.part().look(format!("{threads:?}")),
        Err(error) => node.part().look(error),
    })
    .await
}

/// An administrator who ends a connection does not want its transaction done again behind his back.
#[tokio::test]
async fn a_connection_that_an_administrator_kills_ends() -> Story {
    let stage = Stage::set().await?;
    let mut client = stage.client().await?;
    client.tell("BEGIN").await?;
    client.insert(1).await?;
    let primary = stage.primary().await?;
    let threads = primary.threads().await?;
    let [thread] = &threads[..] else { panic!("one client: {threads:?}") };
    primary.hold(&format!("KILL {}", thread.id)).await?;
    stage.must(client.tell("COMMIT").await.is_err(), "it was killed, and committed")?;
    assert_eq!(stage.rows().await?.len(), 0);
    stage.end().await
}
