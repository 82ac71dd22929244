//! One client, one fault, at a moment that is chosen.

use super::client::{adding, counting, locking};
use super::stage::{SOON, Stage, Story};

/// An administrator's session, or Icinga between two batches: a transaction is open and nothing runs.
#[tokio::test]
async fn an_open_transaction_goes_on_where_its_node_died() -> Story {
    let stage = Stage::set().await?;
    let mut client = stage.client().await?;
    client.tell("BEGIN").await?;
    let first = client.insert(1).await?;
    client.tell(&counting(1)).await?;
    let second = client.insert(2).await?;
    stage.primary().await?.kill().await?;

    let third = client.insert(3).await?;
    client.tell(&format!("{};COMMIT", counting(1))).await?;
    assert_eq!(stage.rows().await?, [(1, first), (2, second), (3, third)].into());
    assert_eq!(stage.value(1).await?, 2);
    stage.end().await
}

/// Icinga's dump: the batch is half done. Its caller must not get results twice, nor too few.
#[tokio::test]
async fn a_batch_goes_on_in_its_middle() -> Story {
    let stage = Stage::set().await?;
    let primary = stage.primary().await?;
    let _lock = primary.hold(&locking(5)).await?;
    let mut client = stage.client().await?;
    client.tell("BEGIN").await?;
    let statement = |token| if token == 100 { counting(5) } else { adding(token) };
    let batch: Vec<_> = (1..=200).map(statement).collect();
    let batch = format!("{};COMMIT;BEGIN", batch.join(";"));
    let (replies, killed) = tokio::join!(client.tell(&batch), async {
        primary.busy_with("UPDATE story_value", SOON).await?;
        primary.kill().await
    });
    killed?;
    let replies = replies?;
    stage.must(replies.len() == 202, format!("{} results to 202 statements", replies.len()))?;
    let told = (1..=200).zip(&replies).filter(|(token, _)| *token != 100);
    let told = told.map(|(token, reply)| (token, reply.id.unwrap_or(0))).collect();
    assert_eq!(stage.rows().await?, told);
    assert_eq!((replies[99].affected, stage.value(5).await?), (1, 1));

    // The transaction that the batch opened is open.
    let last = client.insert(201).await?;
    client.tell("ROLLBACK").await?;
    stage.must(!stage.rows().await?.contains_key(&201), format!("{last} was rolled back"))?;
    stage.end().await
}

/// The one statement of the transaction so far is BEGIN: forgotten, every statement after it would
/// commit alone, and a ROLLBACK would undo nothing.
#[tokio::test]
async fn a_transaction_that_only_began_is_still_one() -> Story {
    let stage = Stage::set().await?;
    let mut rolled_back = stage.client().await?;
    let mut committed = stage.client().await?;
    rolled_back.tell("BEGIN").await?;
    committed.tell("START TRANSACTION").await?;
    stage.primary().await?.kill().await?;

    rolled_back.insert(1).await?;
    let id = committed.insert(2).await?;
    assert_eq!(stage.rows().await?, [].into(), "nothing is committed yet");
    rolled_back.tell("ROLLBACK").await?;
    committed.tell("COMMIT").await?;
    assert_eq!(stage.rows().await?, [(2, id)].into());
    stage.end().await
}

/// Nobody was in a transaction, and nothing was asked: the next statement is answered all the same, with
/// the session's own settings. A row that is to refer to the last one finds its id.
#[tokio::test]
async fn an_idle_session_keeps_its_settings() -> Story {
    let stage = Stage::set().await?;
    let mut client = stage.client().await?;
    let id = client.insert(1).await?;
    let settings = "SET SESSION time_zone = '+03:00', sql_mode = 'NO_AUTO_VALUE_ON_ZERO';
        SET NAMES latin1; USE information_schema";
    client.tell(settings).await?;
    let asking =
        "SELECT CONCAT_WS(' ', @@time_zone, @@sql_mode, @@character_set_client, DATABASE(),
        LAST_INSERT_ID())";
    let before: String = client.value(asking).await?;
    let primary = stage.primary().await?;
    primary.kill().await?;
    stage.moved_from(primary).await?;
    let after: String = client.value(asking).await?;
    assert_eq!(after, before);
    let expected = "+03:00 NO_AUTO_VALUE_ON_ZERO latin1 information_schema";
    assert_eq!(after, format!("{expected} {id}"));
    stage.end().await
}
