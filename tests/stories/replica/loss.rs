//! Nodes are lost under readers, and beside them.

use std::time::{Duration, Instant};

use lab::sql;

use super::reader::Reader;
use super::stage::{RECOVERY, Stage, Story};

/// A dashboard would show an error whenever a database server is restarted, though others are there.
#[tokio::test]
async fn a_reader_goes_on_when_its_node_is_killed() -> Story {
    let stage = Stage::set().await?;
    let mut idle = stage.reader().await?;
    let victim = idle.node().await?;
    let mut busy = on(&stage, &victim).await?;
    let mut reading = on(&stage, &victim).await?;
    reading.tell("BEGIN").await?;
    let before: String = reading.value("SELECT text FROM story").await?;
    idle.tell("SET SESSION time_zone = '+03:00'").await?;

    let node = stage.named(&victim);
    let begun = Instant::now();
    let (answered, killed) = tokio::join!(busy.value::<u64>("SELECT SLEEP(3)"), async {
        node.busy_with("SELECT SLEEP", RECOVERY).await?;
        node.kill().await
    });
    killed?;
    stage.must(answered? == 0, "it slept to its end")?;
    let took = begun.elapsed();
    // The survivors commit nothing for 6 s. Reads need not wait for that.
    stage.must(took < Duration::from_secs(6), format!("{took:?} for a read of 3 s"))?;

    let after: String = reading.value("SELECT text FROM story").await?;
    stage.must(before == after, format!("{before} and {after} in one transaction"))?;
    let zone: String = idle.value("SELECT @@time_zone").await?;
    stage.must(zone == "+03:00", format!("its time zone is {zone}"))?;
    let primary = stage.primary().await?.name().to_owned();
    reading.tell("COMMIT").await?;
    for reader in [&mut idle, &mut busy, &mut reading] {
        let now = reader.node().await?;
        stage.must(now != victim && now != primary, format!("at {now} after {victim}"))?;
    }
    stage.end().await
}

/// The kernel of a frozen server keeps its connections open: a reader would wait for ever.
#[tokio::test]
async fn a_reader_goes_on_when_its_node_freezes() -> Story {
    let stage = Stage::set().await?;
    let mut reader = stage.reader().await?;
    let victim = reader.node().await?;
    let node = stage.named(&victim);
    let (answered, stopped) = tokio::join!(reader.value::<u64>("SELECT SLEEP(1)"), async {
        node.busy_with("SELECT SLEEP", RECOVERY).await?;
        node.stop()
    });
    stopped?;
    stage.must(answered? == 0, "it slept to its end")?;
    let now = reader.node().await?;
    stage.must(now != victim, "it is still there")?;
    node.cont()?;
    stage.end().await
}

/// Reads of one transaction must be of one moment. Otherwise a report adds up wrongly.
#[tokio::test]
async fn a_transaction_that_would_read_something_else_elsewhere_ends_with_an_error() -> Story {
    let stage = Stage::set().await?;
    let mut reader = stage.reader().await?;
    let victim = reader.node().await?;
    reader.tell("START TRANSACTION READ ONLY").await?;
    let before: String = reader.value("SELECT text FROM story").await?;
    stage.must(before == "first", before)?;
    stage.writer().await?.tell("UPDATE story SET text = 'second'").await?;
    for node in stage.lab.galera.nodes() {
        let mut root = node.hold("SET SESSION wsrep_sync_wait = 7").await?;
        sql::value::<u32>(&mut root, "SELECT COUNT(*) FROM icinga.story").await?;
    }
    stage.named(&victim).kill().await?;
    let (code, text) = reader.refused("SELECT text FROM story").await?;
    stage.must(code == 1213, format!("{code}: {text}"))?;
    let after: String = reader.value("SELECT text FROM story").await?;
    stage.must(after == "second", after)?;
    stage.end().await
}

/// Readers would be without a database although one node is left; or stay at the cost of the writers for ever.
#[tokio::test]
async fn the_last_node_serves_readers_and_gives_them_back() -> Story {
    let stage = Stage::set().await?;
    let mut idle = stage.reader().await?;
    let mut reader = stage.reader().await?;
    let (primary, others) = stage.leave_one(&mut reader).await?;
    reader.tell("BEGIN").await?;
    reader.value::<u64>("SELECT COUNT(*) FROM story").await?;
    others[0].start().await?;
    stage.sees([primary, others[0]]).await?;
    let back = |name: &str| name == others[0].name();
    stage.reads_at(&mut idle, "another node", back).await?;
    let node = reader.node().await?;
    stage.must(node == primary.name(), format!("a transaction was moved to {node}"))?;
    reader.tell("COMMIT").await?;
    stage.reads_at(&mut reader, "another node", back).await?;
    stage.end().await
}

/// Whenever Icinga's node dies, every dashboard would show an error too.
#[tokio::test]
async fn readers_elsewhere_see_nothing_of_the_loss_of_the_primary() -> Story {
    let stage = Stage::set().await?;
    let primary = stage.primary().await?;
    let mut first = stage.reader().await?;
    let names = [first.node().await?];
    let mut second = stage.reader().await?;
    let names = [names[0].clone(), second.node().await?];
    stage.must(names[0] != names[1], format!("both at {names:?}"))?;
    let mut threads = Vec::new();
    for reader in [&mut first, &mut second] {
        threads.push(reader.value::<u64>("SELECT CONNECTION_ID()").await?);
    }

    let mut writer = stage.writer().await?;
    writer.tell("INSERT INTO story VALUES (1, 'before')").await?;
    primary.kill().await?;
    let mut longest = Duration::ZERO;
    let writing = async { writer.tell("INSERT INTO story VALUES (2, 'after')").await };
    let reading = async {
        let begun = Instant::now();
        while begun.elapsed() < Duration::from_secs(10) {
            for reader in [&mut first, &mut second] {
                let asked = Instant::now();
                reader.value::<u64>("SELECT COUNT(*) FROM story").await?;
                longest = longest.max(asked.elapsed());
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        Ok::<_, lab::LabError>(())
    };
    let (written, read) = tokio::join!(writing, reading);
    written?;
    read?;
    stage.must(longest < Duration::from_secs(2), format!("a read took {longest:?}"))?;

    let primary = stage.primary().await?.name().to_owned();
    let stays = names.iter().position(|name| *name != primary).unwrap_or_default();
    for (index, reader) in [&mut first, &mut second].into_iter().enumerate() {
        let node = stage.reads_at(reader, "the other node", |name| name != primary).await?;
        let thread: u64 = reader.value("SELECT CONNECTION_ID()").await?;
        if index == stays {
            let same = node == names[index] && thread == threads[index];
            stage.must(same, format!("{node}, thread {thread}: it was moved for nothing"))?;
        }
    }
    stage.end().await
}

/// An administrator who ends a query that burns a node wants it to end, and not to begin anew elsewhere.
#[tokio::test]
async fn a_kill_ends_a_reader() -> Story {
    let stage = Stage::set().await?;
    let mut reader = stage.reader().await?;
    let node = stage.named(&reader.node().await?);
    let thread: u64 = reader.value("SELECT CONNECTION_ID()").await?;
    let (refused, killed) = tokio::join!(reader.refused("SELECT SLEEP(30)"), async {
        node.busy_with("SELECT SLEEP", RECOVERY).await?;
        node.hold(&format!("KILL {thread}")).await
    });
    killed?;
    let (code, text) = refused?;
    stage.must(code == 1927, format!("{code}: {text}"))?;
    stage.end().await
}

/// A reader at this node.
async fn on(stage: &Stage, node: &str) -> lab::Result<Reader> {
    for _ in 0..10 {
        let mut reader = stage.reader().await?;
        if reader.node().await? == node {
            return Ok(reader);
        }
    }
    Err(stage.failure("a reader", format!("none of ten comes to {node}")))
}
