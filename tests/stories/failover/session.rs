//! Session state besides the transaction, which goes with the session.

use lab::Result;
use mysql_async::ChangeUserOpts;

use super::client::Client;
use super::stage::{Stage, Story};

/// Settings are what they were at each statement, not what they were in the end: a time written in one time
/// zone is another time in the next.
#[tokio::test]
async fn a_statement_is_done_again_with_the_settings_it_had() -> Story {
    let stage = Stage::set().await?;
    let mut client = stage.client().await?;
    client.tell("SET SESSION time_zone = '+01:00'").await?;
    client.tell("BEGIN").await?;
    let writing =
        |token| format!("INSERT INTO story (token, text) VALUES ({token}, FROM_UNIXTIME(1))");
    client.tell(&writing(1)).await?;
    client.tell("SET SESSION time_zone = '+05:00'").await?;
    client.tell(&writing(2)).await?;
    client.tell("USE information_schema").await?;
    client.tell("INSERT INTO icinga.story (token, text) VALUES (3, DATABASE())").await?;
    client.tell("SET SESSION time_zone = '+09:00'; USE icinga").await?;
    stage.primary().await?.kill().await?;

    client.tell(&writing(4)).await?;
    client.tell("COMMIT").await?;
    let stands: Vec<String> = client.rows("SELECT text FROM story ORDER BY token").await?;
    let expected = ["1970-01-01 01:00:01", "1970-01-01 05:00:01", "information_schema"];
    assert_eq!(stands[..3], expected);
    assert_eq!(stands[3], "1970-01-01 09:00:01");
    stage.end().await
}

/// A connection pool cleans its connections between two users. What was cleaned away must not come back.
#[tokio::test]
async fn a_session_that_was_reset_stays_reset() -> Story {
    let stage = Stage::set().await?;
    let mut reset = stage.client().await?;
    let mut changed = stage.client().await?;
    let mut moved = stage.client().await?;
    let fresh = state(&mut stage.client().await?).await?;
    let settings = "SET SESSION time_zone = '+03:00', sql_mode = '', lock_wait_timeout = 7;
        SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED; SET autocommit = 0";
    for client in [&mut reset, &mut changed, &mut moved] {
        client.tell(settings).await?;
    }
    let set = state(&mut moved).await?;
    assert_ne!(set, fresh);
    stage.heard(reset.conn.reset().await)?;
    stage.heard(changed.conn.change_user(ChangeUserOpts::default()).await)?;
    stage.primary().await?.kill().await?;
    assert_eq!(state(&mut reset).await?, fresh, "after a reset");
    assert_eq!(state(&mut changed).await?, fresh, "after a change of user");
    assert_eq!(state(&mut moved).await?, set, "nothing was reset");

    // With autocommit off a transaction begins by itself, and ends with the session.
    moved.insert(1).await?;
    drop(moved);
    let id = reset.insert(2).await?;
    // A reset leads back to the server's default, which may be autocommit=0.
    reset.tell("COMMIT").await?;
    assert_eq!(stage.rows().await?, [(2, id)].into());
    stage.end().await
}

/// Icinga Web prepares its statements once. Their numbers are the dead node's.
#[tokio::test]
async fn prepared_statements_go_on() -> Story {
    use mysql_async::prelude::Queryable;
    let stage = Stage::set().await?;
    let mut client = stage.client().await?;
    let conn = &mut client.conn;
    let adding = stage.heard(conn.prep("INSERT INTO story (token) VALUES (?)").await)?;
    let asking = stage.heard(conn.prep("SELECT COUNT(*) FROM story WHERE token < ?").await)?;
    stage.heard(conn.query_drop("BEGIN").await)?;
    stage.heard(conn.exec_drop(&adding, (1,)).await)?;
    let first = conn.last_insert_id().unwrap_or(0);
    stage.primary().await?.kill().await?;
    stage.heard(conn.exec_drop(&adding, (2,)).await)?;
    let second = conn.last_insert_id().unwrap_or(0);
    let seen: Option<u64> = stage.heard(conn.exec_first(&asking, (10,)).await)?;
    assert_eq!(seen, Some(2));
    stage.heard(conn.close(adding).await)?;
    stage.heard(conn.query_drop("COMMIT").await)?;
    let seen: Option<u64> = stage.heard(conn.exec_first(&asking, (2,)).await)?;
    assert_eq!(seen, Some(1));
    assert_eq!(stage.rows().await?, [(1, first), (2, second)].into());
    stage.end().await
}

/// READ ONLY, an isolation level for one transaction, savepoints: all are part of the transaction.
#[tokio::test]
async fn a_transaction_keeps_its_character() -> Story {
    let stage = Stage::set().await?;
    let mut reading = stage.client().await?;
    let mut saving = stage.client().await?;
    reading.tell("START TRANSACTION READ ONLY").await?;
    reading.value::<u64>("SELECT COUNT(*) FROM story").await?;
    saving.tell("SET TRANSACTION ISOLATION LEVEL READ COMMITTED; BEGIN").await?;
    let first = saving.insert(1).await?;
    saving.tell("SAVEPOINT here").await?;
    saving.insert(2).await?;
    saving.tell("ROLLBACK TO SAVEPOINT here").await?;
    saving.tell("SAVEPOINT there").await?;
    saving.insert(3).await?;
    stage.primary().await?.kill().await?;

    let (code, text) = reading.refused("INSERT INTO story (token) VALUES (9)").await?;
    stage.must(code == 1792, format!("{code}: {text}"))?;
    saving.tell("ROLLBACK TO SAVEPOINT there").await?;
    let fourth = saving.insert(4).await?;
    saving.tell("COMMIT").await?;
    assert_eq!(stage.rows().await?, [(1, first), (4, fourth)].into());
    stage.end().await
}

async fn state(client: &mut Client) -> Result<String> {
    let asking = "SELECT CONCAT_WS(' ', @@time_zone, @@sql_mode, @@lock_wait_timeout,
        @@tx_isolation, @@autocommit, @@character_set_client, DATABASE())";
    client.value(asking).await
}
