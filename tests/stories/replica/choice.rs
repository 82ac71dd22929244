//! Where readers read.

use std::collections::{BTreeMap, BTreeSet};

use lab::sql;

use super::reader::Reader;
use super::stage::{Stage, Story};

/// Dashboards would slow down the node that Icinga writes to, or all would ask the same other one.
#[tokio::test]
async fn readers_are_spread_over_the_nodes_that_are_not_written_to() -> Story {
    let stage = Stage::set().await?;
    let primary = stage.primary().await?.name().to_owned();
    let mut readers = Vec::new();
    let mut at: BTreeMap<String, usize> = BTreeMap::new();
    for _ in 0..6 {
        readers.push(stage.reader().await?);
    }
    for reader in &mut readers {
        *at.entry(reader.node().await?).or_default() += 1;
    }
    let others: BTreeSet<_> =
        stage.others().await?.iter().map(|node| node.name().to_owned()).collect();
    let even = others.iter().map(|name| (name.clone(), 3)).collect();
    stage.must(at == even, format!("{at:?} with {primary} written to"))?;
    for reader in &mut readers {
        let (before, after) = (reader.node().await?, reader.node().await?);
        stage.must(before == after, format!("from {before} to {after} for no reason"))?;
    }

    let account = stage.proxy().replica_socket_account();
    let mut local = Reader::connect(account, stage.log()).await?;
    let node = local.node().await?;
    stage.must(others.contains(&node), format!("by Unix socket at {node}"))?;
    let node = stage.writer().await?.node().await?;
    stage.must(node == primary, format!("a writer at {node}"))?;

    let status = stage.proxy().status().await?;
    let sessions = status["sessions"].as_array().cloned().unwrap_or_default();
    let reading = sessions.iter().filter(|session| session["role"] == "reader").count();
    stage.must(reading == 7, format!("{sessions:#?}"))?;
    let metrics = stage.proxy().get("/metrics").await?.body;
    let counted = metrics.lines().any(|line| line == "ido_proxy_sessions_reading 7");
    stage.must(counted, metrics)?;
    stage.end().await
}

/// Otherwise a user who saves something and looks at it again finds an empty page after the form.
#[tokio::test]
async fn with_sync_wait_what_was_just_written_is_read_at_once() -> Story {
    let stage =
        Stage::with(|builder| builder.proxy_setting("listen.replica_sync_wait", true)).await?;
    let mut writer = stage.writer().await?;
    let mut readers = [stage.reader().await?, stage.reader().await?];
    for reader in &mut readers {
        let set: u32 = reader.value("SELECT @@wsrep_sync_wait").await?;
        stage.must(set == 1, format!("wsrep_sync_wait={set}"))?;
    }
    for round in 1..=200_u64 {
        // So many rows that a node needs some milliseconds to apply them.
        let first = round * 1000;
        let batch = format!(
            "BEGIN; INSERT INTO story SELECT {first} + seq, REPEAT('x', 200) FROM seq_1_to_300; COMMIT"
        );
        sql::script(&mut writer.conn, "a batch", &batch, super::stage::RECOVERY).await?;
        let reader = &mut readers[(round % 2) as usize];
        let query = format!("SELECT COUNT(*) FROM story WHERE id > {first}");
        let found: u64 = reader.value(&query).await?;
        stage.must(found == 300, format!("{found} of 300 rows in round {round}"))?;
    }
    stage.end().await
}

/// A node that hangs behind would answer with an error after half a minute, though the primary knows it all.
#[tokio::test]
async fn a_read_that_waits_too_long_for_its_node_is_answered_by_the_primary() -> Story {
    let waiting = |builder: lab::whole::Builder| {
        builder
            .provider_option("repl.causal_read_timeout=PT1S")
            .proxy_setting("listen.replica_sync_wait", true)
    };
    let stage = Stage::with(waiting).await?;
    let primary = stage.primary().await?.name().to_owned();
    let mut reader = stage.reader().await?;
    let slow = stage.named(&reader.node().await?);
    let lock = slow.hold("FLUSH TABLES icinga.story WITH READ LOCK").await?;
    stage.writer().await?.tell("INSERT INTO story VALUES (1, 'new')").await?;
    let found: String = reader.value("SELECT text FROM story WHERE id = 1").await?;
    stage.must(found == "new", found)?;
    let node = reader.node().await?;
    stage.must(node == primary, format!("at {node}"))?;
    let lost = stage.proxy().get("/metrics").await?.body;
    let counted = "ido_proxy_links_lost_total{reason=\"node_failed\"} 1";
    stage.must(lost.lines().any(|line| line == counted), lost)?;
    drop(lock);
    stage.reads_at(&mut reader, "a node that is not written to", |name| name != primary).await?;
    stage.end().await
}

/// A connection pool resets its connections. The next user of one would be able to write.
#[tokio::test]
async fn a_session_that_was_reset_still_reads_only_and_still_waits() -> Story {
    let stage =
        Stage::with(|builder| builder.proxy_setting("listen.replica_sync_wait", true)).await?;
    let mut reader = stage.reader().await?;
    let asking = "SELECT CONCAT(@@tx_read_only, ' ', @@wsrep_sync_wait)";
    for way in ["at first", "after a reset", "after a change of user"] {
        let set: String = reader.value(asking).await?;
        stage.must(set == "ON 1", format!("{set} {way}"))?;
        let (code, text) = reader.refused("SELECT story_adds()").await?;
        stage.must(code == 1792, format!("{code}: {text} {way}"))?;
        if way == "at first" {
            stage.must(reader.conn.reset().await.is_ok(), "a reset")?;
        } else {
            let changed = reader.conn.change_user(mysql_async::ChangeUserOpts::default()).await;
            stage.must(changed.is_ok(), "a change of user")?;
        }
    }
    stage.end().await
}
