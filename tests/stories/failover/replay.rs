//! A transaction is done again: with the ids and times that the client was told, or not at all.

use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use lab::Result;
use lab::galera::Node;
use lab::wait::{Look, wait_until};
use mysql_async::prelude::Queryable as _;
use tokio::time::sleep;

use super::client::{Client, adding, counting, locking};
use super::stage::{RECOVERY, SOON, Stage, Story};

/// Nothing is left to be done again. What the client wanted is what a dead node does anyway.
#[tokio::test]
async fn a_rollback_that_its_node_did_not_hear_is_done() -> Story {
    let stage = Stage::set().await?;
    let mut client = stage.client().await?;
    client.tell("BEGIN").await?;
    client.insert(1).await?;
    let primary = stage.primary().await?;
    primary.stop()?;
    let (told, killed) = tokio::join!(client.tell("ROLLBACK"), async {
        stage.busy().await?;
        primary.kill().await
    });
    killed?;
    told?;
    // The client is out of the transaction, too.
    let id = client.insert(2).await?;
    assert_eq!(stage.rows().await?, [(2, id)].into());
    stage.end().await
}

/// A script on another node wrote a row that Icinga is about to write: Galera lets the first committer
/// win, and Icinga would lose a batch for it.
#[tokio::test]
async fn a_conflict_with_another_node_is_tried_again() -> Story {
    let stage = Stage::set().await?;
    let mut client = stage.client().await?;
    let primary = stage.primary().await?;
    for (number, ending) in [(1, "COMMIT"), (2, "INSERT INTO story (token) VALUES (99);COMMIT")] {
        client.tell("BEGIN").await?;
        client.insert(number * 10).await?;
        client.tell(&counting(1)).await?;
        conflict(&stage, primary, 10 * number).await?;
        client.tell(ending).await?;
    }
    let tokens: Vec<_> = stage.rows().await?.into_keys().collect();
    assert_eq!(tokens, [10, 20, 99]);
    assert_eq!(stage.value(1).await?, 32, "10 and 20 by the script, 1 and 1 by the client");
    assert_eq!(stage.primary().await?.index(), primary.index(), "the node is well");
    stage.end().await
}

/// The link is the same, and what the transaction has set on it is still set: its first rows would be written
/// under the settings of its last ones.
#[tokio::test]
async fn a_conflict_is_tried_again_in_the_state_that_it_began_in() -> Story {
    let stage = Stage::set().await?;
    let mut client = stage.client().await?;
    let primary = stage.primary().await?;
    let limit: u64 = client.value("SELECT @@lock_wait_timeout").await?;
    assert_ne!(limit, 7);
    let id = client.insert(1).await?;
    client.tell("BEGIN").await?;
    let writing = "INSERT INTO story (token, text) \
        VALUES (2, CONCAT_WS(' ', @@lock_wait_timeout, LAST_INSERT_ID()))";
    client.tell(writing).await?;
    client.tell("SET SESSION lock_wait_timeout = 7").await?;
    client.tell(&counting(1)).await?;
    conflict(&stage, primary, 10).await?;
    client.tell("COMMIT").await?;
    assert_eq!(stage.value(1).await?, 11, "it was done again");
    let text: String = client.value("SELECT text FROM story WHERE token = 2").await?;
    assert_eq!(text, format!("{limit} {id}"));
    assert_eq!(client.value::<u64>("SELECT @@lock_wait_timeout").await?, 7);
    stage.end().await
}

/// Galera gives a transaction up between two statements of one text, and MariaDB says OK to all of them: the
/// first part of a batch would be missing, and its second one stand. So it is where the clients of two proxies
/// write to two nodes for a moment.
#[tokio::test]
async fn a_batch_that_the_server_gives_up_without_a_word_is_done_whole() -> Story {
    const BATCHES: u64 = 300;
    const ROWS: u64 = 100;
    let stage = Stage::set().await?;
    let mut client = stage.client().await?;
    let primary = stage.primary().await?;
    let mut other = stage.others(primary)[0].connect().await?;
    let done = AtomicBool::new(false);
    let (told, theirs) = tokio::join!(
        async {
            client.tell("BEGIN").await?;
            for batch in 0..BATCHES {
                let rows = (batch * ROWS..(batch + 1) * ROWS).map(adding);
                let text = [counting(1)].into_iter().chain(rows).collect::<Vec<_>>().join(";");
                let told = client.tell(&format!("{text};COMMIT;BEGIN")).await;
                told.inspect_err(|_| done.store(true, Relaxed))?;
            }
            done.store(true, Relaxed);
            client.tell("ROLLBACK").await
        },
        async {
            let mut committed = 0;
            while !done.load(Relaxed) {
                let count = "UPDATE icinga.story_value SET value = value + 1 WHERE id = 1";
                // The other client's statement may be the one that has to give way.
                committed += i64::from(other.query_drop(count).await.is_ok());
                // Never the same, or a batch that takes longer than that would have to give way for ever.
                sleep(Duration::from_millis(rand::random_range(1..100))).await;
            }
            committed
        },
    );
    told?;
    assert_eq!(stage.rows().await?.len() as u64, BATCHES * ROWS);
    assert_eq!(stage.value(1).await?, BATCHES as i64 + theirs);
    let given_up = primary.counter("wsrep_local_bf_aborts").await?;
    stage.must(given_up > 10, format!("only {given_up} transactions had to give way"))?;
    stage.end().await
}

/// Where the client has read what is another value now, it is refused. Whatever it decided by it is wrong: it
/// must be told, as by the server.
#[tokio::test]
async fn a_transaction_that_read_what_changed_is_refused() -> Story {
    let stage = Stage::set().await?;
    let mut client = stage.client().await?;
    let primary = stage.primary().await?;
    client.tell("BEGIN").await?;
    client.tell(&counting(1)).await?;
    let read: i64 = client.value("SELECT value FROM story_value WHERE id = 1").await?;
    client.insert(1).await?;
    conflict(&stage, primary, 10).await?;
    let (code, text) = client.refused("COMMIT").await?;
    stage.must(code == 1213, format!("{code}: {text}"))?;
    assert_eq!((read, stage.rows().await?), (1, [].into()));
    assert_eq!(stage.value(1).await?, 10);
    stage.end().await
}

/// A lock wait that timed out undoes one statement. The client was told, and goes on with the rest: so
/// does the successor, without the statement.
#[tokio::test]
async fn a_statement_that_failed_stays_undone() -> Story {
    let stage = Stage::set().await?;
    let mut client = stage.client().await?;
    client.tell("SET SESSION innodb_lock_wait_timeout = 1").await?;
    let primary = stage.primary().await?;
    let lock = primary.hold(&locking(1)).await?;
    client.tell("BEGIN").await?;
    let first = client.insert(1).await?;
    let (code, text) = client.refused(&counting(1)).await?;
    stage.must(code == 1205, format!("{code}: {text}"))?;
    drop(lock);
    let second = client.insert(2).await?;
    primary.kill().await?;
    client.tell("COMMIT").await?;
    // With `innodb_rollback_on_timeout` the transaction was over, for the server and for the client.
    let all: u8 = client.value("SELECT @@innodb_rollback_on_timeout").await?;
    let before = (all == 0).then_some((1, first));
    assert_eq!(stage.rows().await?, before.into_iter().chain([(2, second)]).collect());
    assert_eq!(stage.value(1).await?, 0, "the client was told that it failed");
    stage.end().await
}

/// Ids are handed out by each node in its own steps. A row that points to another one by an id that the
/// client was told would point to nothing.
#[tokio::test]
async fn ids_that_were_told_are_the_ids_that_stand() -> Story {
    let stage = Stage::set().await?;
    let mut client = stage.client().await?;
    client.tell("BEGIN").await?;
    let parent = client.insert(1).await?;
    let pointing = format!("INSERT INTO story (token, text) VALUES (2, '{parent}')");
    let child = client.tell(&pointing).await?[0].id.unwrap_or(0);
    stage.primary().await?.kill().await?;

    assert_eq!(client.value::<u64>("SELECT LAST_INSERT_ID()").await?, child);
    let seen: Vec<(u64, u64)> = client.rows("SELECT token, id FROM story ORDER BY token").await?;
    assert_eq!(seen, [(1, parent), (2, child)]);
    let third = client.insert(3).await?;
    client.tell("COMMIT").await?;
    // Whoever comes next gets an id of its own.
    let mut next = stage.client().await?;
    let fourth = next.insert(4).await?;
    let fifth = client.insert(5).await?;
    let told = [(1, parent), (2, child), (3, third), (4, fourth), (5, fifth)];
    assert_eq!(stage.rows().await?, told.into());
    let to: String = client.value("SELECT text FROM story WHERE token = 2").await?;
    assert_eq!(to, parent.to_string());
    stage.end().await
}

/// Somebody else took the id in between. Another id would be a lie: the client must get an error.
#[tokio::test]
async fn an_id_that_was_taken_is_an_error() -> Story {
    let stage = Stage::set().await?;
    let mut client = stage.client().await?;
    client.tell("BEGIN").await?;
    let id = client.insert(1).await?;
    let primary = stage.primary().await?;
    // Else the transaction would be done again first, and its rows locked.
    stage.proxy().part().stop()?;
    primary.kill().await?;
    let thief = format!("INSERT INTO icinga.story (id, token) VALUES ({id}, 77)");
    let survivor = stage.others(primary)[0];
    wait_until("the id taken", RECOVERY, Some(&survivor.log()), async || {
        match survivor.hold(&thief).await {
            Ok(_) => Look::Done(()),
            Err(error) => survivor.part().look(error),
        }
    })
    .await?;
    stage.proxy().part().cont()?;
    let (code, text) = client.refused(&[&adding(2), "COMMIT"].join(";")).await?;
    stage.must(code != 0, format!("{code}: {text}"))?;
    assert_eq!(stage.rows().await?, [(77, id)].into());
    stage.end().await
}

/// An INSERT of several rows tells its first id alone. Galera has each node count differently, so another
/// node would give the rest of the rows other ids than those that a client may reckon with: it is told, and
/// nothing stands.
#[tokio::test]
async fn rows_that_share_an_insert_never_get_other_ids() -> Story {
    let stage = Stage::set().await?;
    let mut client = stage.client().await?;
    client.tell("BEGIN").await?;
    client.tell("INSERT INTO story (token) VALUES (1), (2), (3)").await?;
    stage.primary().await?.kill().await?;
    let Err(error) = client.tell("COMMIT").await else { panic!("it was told of three ids") };
    assert!(error.to_string().contains("one statement generated several ids"), "{error}");
    assert_eq!(stage.rows().await?.len(), 0);
    stage.end().await
}

/// A row that is added or changed, whichever: what was counted the first time is counted again.
#[tokio::test]
async fn rows_that_are_added_or_changed_are_the_same_again() -> Story {
    let stage = Stage::set().await?;
    let mut client = stage.client().await?;
    client.tell("BEGIN").await?;
    let upsert = "INSERT INTO story_value VALUES (1, 5), (100, 5)
        ON DUPLICATE KEY UPDATE value = value + 1";
    let before = client.tell(upsert).await?[0].affected;
    stage.primary().await?.kill().await?;
    client.tell("COMMIT").await?;
    let values = (stage.value(1).await?, stage.value(100).await?);
    assert_eq!((before, values), (3, (1, 5)));
    stage.end().await
}

/// The time of a statement is when the client sent it, not when it was done again.
#[tokio::test]
async fn the_time_of_a_row_is_when_the_client_sent_it() -> Story {
    let stage = Stage::set().await?;
    let mut client = stage.client().await?;
    client.tell("BEGIN").await?;
    let sent = now();
    client.tell("INSERT INTO story (token, text) VALUES (1, UNIX_TIMESTAMP(NOW(6)))").await?;
    stage.primary().await?.kill().await?;
    client.tell("COMMIT").await?;
    let committed = now();
    let stands: f64 =
        client.value("SELECT CAST(text AS DOUBLE) FROM story WHERE token = 1").await?;
    let clock: f64 = client.value("SELECT CAST(UNIX_TIMESTAMP(NOW(6)) AS DOUBLE)").await?;
    stage.must(committed - sent > 3.0, "the cluster stood still for no time")?;
    stage.must((stands - sent).abs() < 1.0, format!("sent at {sent}, it says {stands}"))?;
    stage.must((clock - now()).abs() < 3.0, format!("the clock stands still: {clock}"))?;
    stage.end().await
}

/// Seconds since 1970.
fn now() -> f64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    now.unwrap_or_default().as_secs_f64()
}

/// A random value that the client has seen cannot be made again: it stands as it was seen, or the client is
/// told and nothing stands.
#[tokio::test]
async fn a_random_value_that_was_told_is_never_another_one() -> Story {
    let stage = Stage::set().await?;
    let mut client = stage.client().await?;
    client.tell("BEGIN").await?;
    client.tell("INSERT INTO story (token, text) VALUES (1, CONCAT(UUID(), NOW(6)))").await?;
    let told: String = client.value("SELECT text FROM story WHERE token = 1").await?;
    stage.primary().await?.kill().await?;
    let committed = client.tell("COMMIT").await;
    let asking = "SELECT text FROM icinga.story WHERE token = 1";
    let stands: Vec<String> = stage.causal(asking).await?;
    match committed {
        Ok(_) => assert_eq!(stands, [told]),
        Err(_) => assert_eq!(stands, [""; 0]),
    }
    stage.end().await
}

/// Icinga asks for matched rows, and writes a row again if there was none. A session that lost that wish
/// would make it write everything twice; a session that never had it must not get it.
#[tokio::test]
async fn matched_rows_stay_matched_rows_and_changed_rows_changed_rows() -> Story {
    let stage = Stage::set().await?;
    let mut matched = stage.client().await?;
    let mut changed = stage.client_as(stage.proxy().tcp_account()).await?;
    let same = "UPDATE story_value SET value = value WHERE id = ";
    let (three, four) = (format!("{same} 3"), format!("{same} 4"));
    matched.tell("BEGIN").await?;
    changed.tell("BEGIN").await?;
    assert_eq!(affected(&mut matched, &three).await?, 1);
    assert_eq!(affected(&mut changed, &four).await?, 0);
    stage.primary().await?.kill().await?;
    for ending in ["COMMIT", "BEGIN"] {
        assert_eq!(affected(&mut matched, &three).await?, 1);
        assert_eq!(affected(&mut changed, &four).await?, 0);
        matched.tell(ending).await?;
        changed.tell(ending).await?;
    }
    stage.end().await
}

async fn affected(client: &mut Client, statement: &str) -> Result<u64> {
    Ok(client.tell(statement).await?[0].affected)
}

/// The next node has not yet applied what the dead one acknowledged. A client that goes on there must not
/// miss its own rows.
#[tokio::test]
async fn a_client_finds_its_own_rows_on_a_node_that_lags() -> Story {
    let stage = Stage::set().await?;
    let mut client = stage.client().await?;
    let primary = stage.primary().await?;
    // Without a key each changed row is searched for on every other node, from the last one on. In this
    // order that is always a whole round, and takes seconds.
    let heap = "USE icinga; CREATE TABLE icinga.story_heap (a INT) ENGINE=InnoDB;
        INSERT INTO icinga.story_heap SELECT seq FROM seq_1_to_3000";
    primary.hold(heap).await?;
    let id = client.insert(1).await?;
    primary.hold("UPDATE icinga.story_heap SET a = a + 1 ORDER BY a DESC").await?;
    let mine = "UPDATE story SET text = 'mine' WHERE token = 1";
    client.tell(&[&adding(2), mine, &counting(1)].join(";")).await?;
    for node in stage.others(primary) {
        let value: u64 = lab::sql::value(&mut node.connect().await?, COUNTED).await?;
        stage.must(value == 0, format!("{} does not lag", node.name()))?;
    }
    primary.kill().await?;
    assert_eq!(
        affected(&mut client, "UPDATE story SET text = 'still' WHERE text = 'mine'").await?,
        1
    );
    client.tell(&counting(1)).await?;
    assert_eq!(stage.value(1).await?, 2);
    assert_eq!(stage.rows().await?.get(&1), Some(&id));
    stage.end().await
}

const COUNTED: &str = "SELECT value FROM icinga.story_value WHERE id = 1";

/// Another node adds `more` to value 1, and `primary` has heard of it.
async fn conflict(stage: &Stage, primary: &Node, more: u64) -> Result<()> {
    let other = stage.others(primary)[0];
    let script = format!("UPDATE icinga.story_value SET value = value + {more} WHERE id = 1");
    // Rows that the client committed a moment ago may not have reached the other node yet.
    let mut writer = other.hold("SET SESSION wsrep_sync_wait = 7").await?;
    let before: u64 = lab::sql::value(&mut writer, COUNTED).await?;
    lab::sql::script(&mut writer, "the other client's write", &script, SOON).await?;
    let mut root = primary.connect().await?;
    let what = format!("the other client's value on {}", primary.name());
    wait_until(&what, SOON, Some(&primary.log()), async || {
        match lab::sql::value::<u64>(&mut root, COUNTED).await {
            Ok(value) if value == before + more => Look::Done(()),
            Ok(value) => primary.part().look(value),
            Err(error) => primary.part().look(error),
        }
    })
    .await
}
