//! States that nodes report of themselves.

use std::time::Duration;

use lab::proxy::MONITOR;

use super::pair::{Pair, RECOVERY, Story};

/// A backup desyncs the primary: it would fall behind, and stop the cluster when it catches up.
#[tokio::test]
async fn a_desynced_primary_is_left_between_two_transactions() -> Story {
    let pair = Pair::with_clients_of(&[1]).await?;
    let first = pair.moved(1).await?;
    let _backup = first.hold("SET GLOBAL wsrep_desync = ON").await?;
    pair.moved(2).await?;
    pair.go_on().await?;
    pair.shown(first, "desynced").await?;
    pair.nothing_was_replayed().await?;
    first.hold("SET GLOBAL wsrep_desync = OFF").await?;
    pair.lab.galera.all_synced(RECOVERY).await?;
    pair.go_on().await?;
    pair.moved(2).await?;
    pair.end().await
}

/// An operator closes a node for clients: they would be told error 1047, and lose what they write.
#[tokio::test]
async fn a_primary_that_rejects_queries_is_left() -> Story {
    let pair = Pair::set().await?;
    let first = pair.moved(1).await?;
    let mut root = first.hold("SET GLOBAL wsrep_reject_queries = ALL").await?;
    pair.moved(2).await?;
    pair.go_on().await?;
    pair.shown(first, "rejects queries").await?;
    // Any other statement of root's is rejected, too.
    lab::sql::script(&mut root, "open", "SET GLOBAL wsrep_reject_queries = NONE", RECOVERY).await?;
    pair.go_on().await?;
    pair.moved(2).await?;
    pair.end().await
}

/// An operator closes a node for clients, and every connection is closed at once.
#[tokio::test]
async fn a_primary_that_throws_out_everybody_is_left() -> Story {
    let pair = Pair::set().await?;
    let first = pair.moved(1).await?;
    let root = first.hold("SET GLOBAL wsrep_reject_queries = ALL_KILL").await;
    pair.moved(2).await?;
    pair.go_on().await?;
    drop(root);
    pair.shown(first, "rejects queries").await?;
    pair.moved(2).await?;
    pair.end().await
}

/// A donor that gives everything to a node that comes back lets nobody write until it is done.
#[tokio::test]
async fn a_primary_that_becomes_a_donor_is_left() -> Story {
    let pair = Pair::set().await?;
    let first = pair.moved(1).await?;
    let empty = pair.others(first)[1];
    empty.kill().await?;
    empty.forget_cluster()?;
    empty.part().launch_with(&[&format!("--wsrep-sst-donor={}", first.name())])?;
    let second = pair.moved(2).await?;
    pair.must(second.index() == pair.others(first)[0].index(), "the only one that is well")?;
    pair.go_on().await?;
    pair.lab.galera.all_synced(RECOVERY).await?;
    pair.moved(2).await?;
    pair.go_on().await?;
    pair.end().await
}

/// Error 1290 would end Icinga's batch, and its connection.
#[tokio::test]
async fn a_primary_that_is_set_read_only_is_left() -> Story {
    let pair = Pair::set().await?;
    let first = pair.moved(1).await?;
    let _root = first.hold("SET GLOBAL read_only = 1").await?;
    pair.moved(2).await?;
    pair.go_on().await?;
    pair.shown(first, "read only").await?;
    first.hold("SET GLOBAL read_only = 0").await?;
    pair.go_on().await?;
    pair.moved(2).await?;
    pair.end().await
}

/// A password that was changed on one node by mistake is that node's trouble, and nobody else's.
#[tokio::test]
async fn a_node_that_does_not_let_the_monitor_in_is_left_alone() -> Story {
    let pair = Pair::set().await?;
    let first = pair.moved(1).await?;
    let other = pair.others(first)[0];
    let change = format!(
        "SET SESSION wsrep_on = OFF; SET PASSWORD FOR {MONITOR}@'%' = PASSWORD('x'); KILL USER {MONITOR}"
    );
    other.hold(&change).await?;
    pair.shown(other, "Access denied").await?;
    pair.go_on().await?;
    pair.must(pair.moved(1).await?.index() == first.index(), "there was no reason to move")?;
    // The next one is lost to it, so it is the third that takes over.
    first.kill().await?;
    let second = pair.moved(2).await?;
    pair.must(second.index() != other.index(), "nobody is let in there")?;
    pair.go_on().await?;
    pair.end().await
}

/// A node that is to be taken down for its update: nobody is there any more, and nobody has noticed.
#[tokio::test]
async fn a_drained_node_is_left_by_all_and_used_only_if_there_is_no_other() -> Story {
    let pair = Pair::with_clients_of(&[1]).await?;
    let first = pair.moved(1).await?;
    let said = pair.lab.proxies[1].tool(&["drain", first.name()]).await?;
    pair.must(said.contains("is drained; the primary is"), said)?;
    let second = pair.moved(2).await?;
    pair.must(second.index() != first.index(), "it was drained")?;
    pair.go_on().await?;
    pair.nothing_was_replayed().await?;
    pair.shown(first, "drained by an operator").await?;
    let refused = pair.lab.proxies[0].tool(&["switchover", first.name()]).await;
    let refused = refused.err().map(|error| error.to_string()).unwrap_or_default();
    pair.must(refused.contains("drained by an operator"), refused)?;

    // The next one is the third, not the drained one; and that, when nothing else is left.
    second.term().await?;
    let third = pair.moved(3).await?;
    pair.must(third.index() != first.index(), "a drained node is the last to be used")?;
    third.term().await?;
    pair.must(pair.moved(4).await?.index() == first.index(), "it is the only one")?;
    pair.go_on().await?;
    let said = pair.lab.proxies[0].tool(&["drain", "--undo", first.name()]).await?;
    pair.must(said.contains("may be used again"), said)?;
    pair.must(pair.moved(5).await?.index() == first.index(), "nothing moves for that")?;
    let explained = pair.lab.proxies[0].tool(&["explain", "--decisions", "100"]).await?;
    for words in ["The primary is", "same pin, epoch 5", "an operator drained"] {
        pair.must(explained.contains(words), format!("no {words:?} in {explained}"))?;
    }
    pair.end().await
}

/// A peer that applies nothing stops every writer in the cluster: to move would help nobody.
#[tokio::test]
async fn a_cluster_that_stands_still_for_a_slow_node_is_waited_for() -> Story {
    let pair = Pair::set().await?;
    let first = pair.moved(1).await?;
    let slow = pair.others(first)[1];
    slow.provider_option("gcs.fc_limit", "1").await?;
    let disk = slow.slow_disk(Duration::from_secs(2)).await?;
    // Longer than a silent primary is waited for.
    pair.stands_still(first, Duration::from_secs(6)).await?;
    drop(disk);
    pair.go_on().await?;
    pair.must(pair.moved(1).await?.index() == first.index(), "there was no reason to move")?;
    pair.nothing_was_replayed().await?;
    pair.shows_that_it_stood_still(first).await?;
    pair.end().await
}

/// A disk under a backup, or one that is about to die, takes seconds for what each COMMIT waits for: slow is not
/// dead, and at the next node the client would have to do it again.
#[tokio::test]
async fn a_primary_whose_disk_is_slow_is_waited_for() -> Story {
    let pair = Pair::with_clients_of(&[1]).await?;
    let first = pair.moved(1).await?;
    let slow = first.slow_disk(SLOW).await?;
    // The second one begins on the slow disk. Each has two flushes of its own, and waits for those of the
    // commits before it: 56 s were seen.
    pair.goes_on_within(1, 4 * RECOVERY).await?;
    pair.goes_on_within(1, 4 * RECOVERY).await?;
    drop(slow);
    pair.go_on().await?;
    pair.must(pair.moved(1).await?.index() == first.index(), "there was no reason to move")?;
    pair.nothing_was_replayed().await?;
    let longest = pair.longest_pause().await?;
    assert!(longest >= SLOW, "the disk was not slow: no COMMIT took longer than {longest:?}");
    Ok(())
}

/// Longer than Galera, and a proxy, wait for a silent node.
const SLOW: Duration = Duration::from_secs(8);
