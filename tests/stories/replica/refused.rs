//! Writes through the read listener, all of which are refused.

use lab::Result;
use lab::galera::Node;
use mysql_async::prelude::Queryable;

use super::stage::{RECOVERY, Stage, Story};

/// Two dashboards that write at two nodes conflict with Icinga; and one that is meant to read only must not be
/// able to empty a table.
#[tokio::test]
async fn every_way_to_write_is_refused_and_nothing_is_written_on_any_node() -> Story {
    let stage = Stage::set().await?;
    for node in stage.lab.galera.nodes() {
        node.record().await?;
    }
    for node in stage.lab.galera.nodes() {
        // Each change of the membership counts as one, too.
        let before = committed(node).await?;
        refuses_all(&stage).await?;
        let after = committed(node).await?;
        stage.must(before == after, format!("{} committed {before}, then {after}", node.name()))?;
    }

    // The last node is the primary, and as read-only for who comes this way.
    let mut reader = stage.reader().await?;
    let (primary, others) = stage.leave_one(&mut reader).await?;
    let before = committed(primary).await?;
    refuses_all(&stage).await?;
    let after = committed(primary).await?;
    stage.must(before == after, format!("committed at the primary: {before}, then {after}"))?;
    let (code, _) = reader.refused("DELETE FROM story").await?;
    stage.must(code == 1792, format!("{code} for a reader that fell back"))?;

    for node in &others {
        node.start().await?;
    }
    stage.lab.galera.all_synced(RECOVERY).await?;
    for node in stage.lab.galera.nodes() {
        let writes = node.recorded_writes()?;
        stage.must(writes == 0, format!("{} was sent {writes} writes", node.name()))?;
        let mut root = node.connect().await?;
        let rows: u64 = lab::sql::value(&mut root, "SELECT COUNT(*) FROM icinga.story").await?;
        stage.must(rows == 1, format!("{rows} rows on {}", node.name()))?;
    }
    stage.end().await
}

/// Tries everything, each in a session of its own kind: as text, with others before it, and prepared.
async fn refuses_all(stage: &Stage) -> Result<()> {
    let mut reader = stage.reader().await?;
    let mut failures = Vec::new();
    for write in WRITES {
        for text in [write.to_owned(), format!("SELECT 1; {write}"), format!("BEGIN; {write}")] {
            let (code, words) = reader.refused(&text).await?;
            if code != 1792 || !words.contains("listen.addresses") {
                failures.push(format!("{text}: {code} {words}"));
            }
            reader.tell("ROLLBACK").await?;
        }
        match reader.conn.prep(write).await {
            Err(mysql_async::Error::Server(error)) if error.code == 1792 => {}
            other => failures.push(format!("{write} prepared: {other:?}")),
        }
    }
    // Writes hidden in these statements are seen by the server alone.
    for hidden in [
        "SELECT story_adds()",
        "DO story_adds()",
        "SELECT NEXTVAL(story_sequence)",
        "SELECT * FROM story FOR UPDATE",
    ] {
        let (code, words) = reader.refused(hidden).await?;
        if code != 1792 {
            failures.push(format!("{hidden}: {code} {words}"));
        }
    }
    let left: String = reader.value("SELECT text FROM story WHERE id = 0").await?;
    stage.must(left == "first", left)?;
    stage.must(failures.is_empty(), failures.join("\n"))
}

/// How much of all that was ever written to the cluster the node has, but for what proxies say of themselves
/// every few seconds.
async fn committed(node: &Node) -> Result<i64> {
    let status = "SELECT CAST(variable_value AS SIGNED) FROM information_schema.global_status
        WHERE variable_name = 'wsrep_last_committed'";
    // A causal read: what the count has is in the sum, and what the sum has is in the next count.
    let beats = "SELECT CAST(COALESCE(SUM(beat), 0) AS SIGNED) FROM ido_proxy.proxy";
    let mut root = node.hold("SET wsrep_sync_wait = 1").await?;
    loop {
        let before: i64 = lab::sql::value(&mut root, status).await?;
        let sum: i64 = lab::sql::value(&mut root, beats).await?;
        let again: i64 = lab::sql::value(&mut root, beats).await?;
        let after: i64 = lab::sql::value(&mut root, status).await?;
        if (before, sum) == (after, again) {
            return Ok(before - sum);
        }
    }
}

const WRITES: [&str; 38] = [
    "INSERT INTO story VALUES (1, 'x')",
    "REPLACE INTO story VALUES (0, 'x')",
    "UPDATE story SET text = 'x'",
    "DELETE FROM story",
    "WITH a AS (SELECT 1) DELETE FROM story",
    "/* a comment */ DELETE FROM story",
    "/*!40000 DELETE FROM story */",
    "SET STATEMENT tx_read_only = 0 FOR DELETE FROM story",
    "LOAD DATA LOCAL INFILE '/etc/hostname' INTO TABLE story",
    "CREATE TABLE other (a INT)",
    "CREATE TEMPORARY TABLE other (a INT)",
    "ALTER TABLE story ADD a INT",
    "DROP TABLE story",
    "TRUNCATE story",
    "CREATE OR REPLACE VIEW v AS SELECT 1",
    "CREATE PROCEDURE p() DELETE FROM story",
    "CREATE USER other",
    "GRANT SELECT ON *.* TO other",
    "SET PASSWORD = PASSWORD('x')",
    "ANALYZE TABLE story",
    "OPTIMIZE TABLE story",
    "FLUSH TABLES",
    "FLUSH TABLES WITH READ LOCK",
    "LOCK TABLES story WRITE",
    "LOCK TABLES story READ",
    "SET GLOBAL max_connections = 150",
    "SET @@global.max_connections = 150",
    "SET SESSION TRANSACTION READ WRITE",
    "SET TRANSACTION READ WRITE",
    "SET SESSION tx_read_only = 0",
    "SET @@session.`tx_read_only` = 0",
    "START TRANSACTION READ WRITE",
    "SELECT 1 INTO OUTFILE '/tmp/ido-proxy-story'",
    "CALL story_unlocks()",
    "PREPARE s FROM 'DELETE FROM story'",
    "EXECUTE IMMEDIATE 'DELETE FROM story'",
    "BEGIN NOT ATOMIC DELETE FROM story; END",
    "SHUTDOWN",
];
