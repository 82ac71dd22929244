//! Servers and clients as people have them: what a default server never shows.

use lab::Result;
use mysql_async::prelude::Queryable;

use super::client::Client;
use super::stage::{Stage, Story};

/// Sites with point-in-time recovery keep the binary log. Its server reports `last_gtid`, which nobody can set:
/// every session that had written would end at each failover.
#[tokio::test]
async fn a_session_moves_between_servers_with_a_binary_log() -> Story {
    let with_binary_log = |builder: lab::whole::Builder| {
        ["--log-bin", "--log-slave-updates", "--wsrep-gtid-mode=ON"]
            .into_iter()
            .fold(builder, |builder, argument| builder.node_argument(argument))
    };
    let stage = Stage::with(with_binary_log).await?;
    let mut writing = stage.client().await?;
    let mut idle = stage.client().await?;
    writing.tell("SET SESSION time_zone = '+03:00'").await?;
    let first = writing.insert(1).await?;
    let second = idle.insert(2).await?;
    writing.tell("BEGIN").await?;
    let third = writing.insert(3).await?;
    stage.primary().await?.kill().await?;
    let fourth = writing.insert(4).await?;
    writing.tell("COMMIT").await?;
    let fifth = idle.insert(5).await?;
    assert_eq!(writing.value::<String>("SELECT @@time_zone").await?, "+03:00");
    let expected = [(1, first), (2, second), (3, third), (4, fourth), (5, fifth)];
    assert_eq!(stage.rows().await?, expected.into());
    stage.end().await
}

/// With `innodb_snapshot_isolation`, the default from MariaDB 11.6 on, error 1020 rolls a transaction back. A session
/// that missed it would end at its next transactions, or lose what it commits.
#[tokio::test]
async fn a_transaction_that_the_server_rolled_back_is_over() -> Story {
    let stage = Stage::with(|b| b.node_argument("--innodb-snapshot-isolation=ON")).await?;
    let primary = stage.primary().await?;
    let mut client = stage.client().await?;
    client.tell("BEGIN").await?;
    client.insert(1).await?;
    client.value::<i64>("SELECT value FROM story_value WHERE id = 1").await?;
    primary.hold("UPDATE icinga.story_value SET value = 7 WHERE id = 1").await?;
    let (code, text) = client.refused(&super::client::counting(1)).await?;
    stage.must(code == 1020, format!("{code}: {text}"))?;
    client.tell("BEGIN").await?;
    let second = client.insert(2).await?;
    client.tell("COMMIT").await?;
    assert_eq!(stage.rows().await?, [(2, second)].into());
    stage.end().await
}

/// Anybody can raise any error. One client that raises those of a dying node would move everybody's writes.
#[tokio::test]
async fn an_error_that_a_client_raises_itself_moves_nobody() -> Story {
    let stage = Stage::set().await?;
    let before = epoch(&stage).await?;
    let mut client = stage.client().await?;
    for (code, state) in [(1053, "08S01"), (1927, "70100"), (1047, "08S01"), (1836, "HY000")] {
        let text = "WSREP has not yet prepared node for application use";
        let signal =
            format!("SIGNAL SQLSTATE '{state}' SET MYSQL_ERRNO = {code}, MESSAGE_TEXT = '{text}'");
        for before in ["DO 1", "BEGIN", "INSERT INTO story (token) VALUES (9)"] {
            client.tell(before).await?;
            let (told, text) = client.refused(&signal).await?;
            stage.must(told == code, format!("{before}; {signal}: {told}: {text}"))?;
        }
        client.tell("ROLLBACK").await?;
    }
    let id = client.insert(1).await?;
    assert_eq!(epoch(&stage).await?, before, "the primary has changed");
    assert_eq!(stage.rows().await?, [(1, id)].into());
    stage.end().await
}

async fn epoch(stage: &Stage) -> Result<(Option<std::net::SocketAddr>, String)> {
    let status = stage.proxy().status().await?;
    Ok((stage.proxy().primary().await?, status["epoch"].to_string()))
}

/// A statement belongs to the database in which it was prepared. Prepared anew in the present one, it would write its
/// rows there.
#[tokio::test]
async fn a_prepared_statement_keeps_its_database() -> Story {
    let stage = Stage::set().await?;
    let mut client = stage.client().await?;
    let root = "CREATE DATABASE IF NOT EXISTS icinga_b; CREATE TABLE IF NOT EXISTS icinga_b.story
        LIKE icinga.story; GRANT ALL ON icinga_b.* TO icinga@'%'";
    stage.lab.galera.node(1).hold(root).await?;
    let adding = stage.heard(client.conn.prep("INSERT INTO story (token) VALUES (?)").await)?;
    client.tell("USE icinga_b").await?;
    stage.heard(client.conn.exec_drop(&adding, (1,)).await)?;
    stage.primary().await?.kill().await?;
    stage.heard(client.conn.exec_drop(&adding, (2,)).await)?;
    assert_eq!(client.value::<String>("SELECT DATABASE()").await?, "icinga_b");
    let other: Vec<u64> = client.rows("SELECT token FROM icinga_b.story").await?;
    assert_eq!(other, [0; 0], "rows in another database");
    assert_eq!(Vec::from_iter(stage.rows().await?.into_keys()), [1, 2]);
    stage.end().await
}

/// `completion_type` changes what COMMIT means, also that of the proxy. A write that was told OK would be rolled back
/// with the session.
#[tokio::test]
async fn a_write_is_committed_whatever_a_commit_means() -> Story {
    let stage = Stage::set().await?;
    for (token, kind) in [(1, "CHAIN"), (2, "'RELEASE'"), (3, "NO_CHAIN")] {
        let mut client = stage.client().await?;
        client.tell(&format!("SET SESSION completion_type = {kind}")).await?;
        client.insert(token).await?;
        client
            .tell(&format!("INSERT INTO story (token) VALUES ({}); SELECT 1", token + 10))
            .await?;
        stage.must(
            client.value::<u8>("SELECT @@in_transaction").await? == 0,
            format!("{kind}: a transaction is open that the client has not begun"),
        )?;
        drop::<Client>(client);
    }
    assert_eq!(Vec::from_iter(stage.rows().await?.into_keys()), [1, 2, 3, 11, 12, 13]);
    stage.end().await
}

/// No report tells the collation of SET NAMES, nor the role. Without them a session that moved compares texts otherwise
/// than before, or is denied what it was allowed.
#[tokio::test]
async fn a_session_keeps_its_collation_and_its_role() -> Story {
    let stage = Stage::set().await?;
    let roles = "CREATE ROLE story_role; GRANT story_role TO icinga@'%'";
    stage.lab.galera.node(1).hold(roles).await?;
    let mut client = stage.client().await?;
    client.tell("SET NAMES utf8mb4 COLLATE utf8mb4_unicode_520_ci").await?;
    client.tell("SET ROLE story_role").await?;
    let mut plain = stage.client().await?;
    plain.tell("SET NAMES utf8mb4 COLLATE utf8mb4_unicode_520_ci; SET NAMES latin1").await?;
    let asking = "SELECT CONCAT_WS(' ', @@collation_connection, CURRENT_ROLE())";
    let before: (String, String) = (client.value(asking).await?, plain.value(asking).await?);
    stage.primary().await?.kill().await?;
    let after = (client.value(asking).await?, plain.value(asking).await?);
    assert_eq!(after, before);
    assert_eq!(before.0, "utf8mb4_unicode_520_ci story_role");
    stage.end().await
}

/// A driver prepares its statements once, in the mode and by the role that it has chosen at its login. Prepared anew in
/// another mode, a column is a string; without the role, the statement is refused.
#[tokio::test]
async fn a_prepared_statement_means_behind_a_failover_what_it_meant() -> Story {
    let stage = Stage::set().await?;
    let roles = "CREATE ROLE story_reader; GRANT SELECT ON mysql.help_topic TO story_reader; \
                 GRANT story_reader TO icinga@'%'";
    stage.lab.galera.node(1).hold(roles).await?;
    let mut client = stage.client().await?;
    client.insert(7).await?;
    client.tell("SET sql_mode = 'ANSI_QUOTES'").await?;
    client.tell("SET ROLE story_reader").await?;
    let conn = &mut client.conn;
    let by_mode = stage.heard(conn.prep("SELECT MAX(\"token\") FROM story").await)?;
    let by_role = stage.heard(conn.prep("SELECT COUNT(*) FROM mysql.help_topic").await)?;
    stage.primary().await?.kill().await?;
    let token: Option<u64> = stage.heard(conn.exec_first(&by_mode, ()).await)?;
    assert_eq!(token, Some(7));
    let topics: Option<u64> = stage.heard(conn.exec_first(&by_role, ()).await)?;
    assert!(topics.is_some());
    stage.end().await
}
