//! More than one node is lost, one after the other.

use lab::galera::Node;
use lab::{LabError, Result};
use mysql_async::Conn;

use super::client::{Client, adding, counting, locking};
use super::stage::{RECOVERY, SOON, Stage, Story};

/// The Tuesday on which all three nodes get a new kernel.
#[tokio::test]
async fn a_rolling_restart_of_all_nodes_is_not_noticed() -> Story {
    let stage = Stage::set().await?;
    let writers = stage.writers().await?;
    for node in stage.lab.galera.nodes() {
        for writer in &writers {
            writer.writes(3, RECOVERY).await?;
        }
        node.term().await?;
        for writer in &writers {
            writer.writes(3, RECOVERY).await?;
        }
        node.start().await?;
        stage.lab.galera.all_synced(RECOVERY).await?;
    }
    stage.balance(writers).await?;
    stage.end().await
}

/// The next node dies over what the first one left to it, at whichever statement. What the client was told
/// is still what the first one said.
#[tokio::test]
async fn a_successor_may_die_at_every_step_of_taking_over() -> Story {
    let four = |builder: lab::whole::Builder| {
        // Two losses a step, and what Galera takes to notice is not the point.
        builder.nodes(4).provider_option("evs.suspect_timeout=PT3S")
    };
    let stage = Stage::with(four).await?;
    let mut failures = Vec::new();
    for (number, step) in STEPS.into_iter().enumerate() {
        if let Err(error) = fall_twice(&stage, step, number as u64).await {
            failures.push(format!("{step:?}: {error}"));
        }
        for node in stage.lab.galera.nodes() {
            if node.part().runs() { node.cont()? } else { node.launch(false)? }
        }
        stage.lab.galera.all_synced(RECOVERY).await?;
    }
    stage.must(failures.is_empty(), failures.join("\n"))?;
    stage.end().await
}

/// Where the successor dies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    /// At this statement of the transaction, counted by the row that it locks.
    Statement(u32),
    /// When all was done again, and only COMMIT is left.
    Commit,
}

const STEPS: [Step; 4] = [Step::Statement(1), Step::Statement(2), Step::Statement(3), Step::Commit];

/// Loses the primary, and then the node that takes over.
async fn fall_twice(stage: &Stage, step: Step, number: u64) -> Result<()> {
    let before = [stage.value(1).await?, stage.value(2).await?, stage.value(3).await?];
    let primary = stage.primary().await?;
    let mut client = stage.client().await?;
    let tokens = [number * 10 + 1, number * 10 + 2];
    client.tell("BEGIN").await?;
    client.tell(&counting(1)).await?;
    let first = client.insert(tokens[0]).await?;
    client.tell(&counting(2)).await?;
    let second = client.insert(tokens[1]).await?;
    client.tell(&counting(3)).await?;

    let locked = match step {
        Step::Statement(row) => row,
        Step::Commit => 3,
    };
    let mut locks = Vec::new();
    for node in stage.others(primary) {
        locks.push((node, node.hold(&locking(locked)).await?));
    }
    primary.kill().await?;
    let done = async { client.tell("COMMIT").await };
    tokio::try_join!(done, lose_next(stage, locks, step))?;
    let stands = stage.rows().await?;
    let told = [(tokens[0], first), (tokens[1], second)];
    for (token, id) in told {
        let has = stands.get(&token);
        stage.must(has == Some(&id), format!("{token} has the id {has:?}, told was {id}"))?;
    }
    for (row, before) in (1..).zip(before) {
        let now = stage.value(row).await?;
        stage.must(now == before + 1, format!("value {row} went from {before} to {now}"))?;
    }
    Ok(())
}

/// Loses the node that does the transaction again.
async fn lose_next(stage: &Stage, locks: Vec<(&Node, Conn)>, step: Step) -> Result<()> {
    let nodes: Vec<_> = locks.iter().map(|(node, _)| *node).collect();
    let successor = first_busy(&nodes).await?;
    // The cluster has to have a majority when the second one goes.
    stage.lab.galera.size(3, RECOVERY).await?;
    let rest: Vec<_> = nodes.into_iter().filter(|node| node.index() != successor.index()).collect();
    if step == Step::Commit {
        for node in &rest {
            node.stop()?;
        }
        drop(locks);
        successor.commits(SOON).await?;
        successor.kill().await?;
        return rest.iter().try_for_each(|node| node.cont());
    }
    successor.kill().await?;
    drop(locks);
    Ok(())
}

/// Waits until one of `nodes` is asked to count.
async fn first_busy<'n>(nodes: &[&'n Node]) -> Result<&'n Node> {
    let [one, two, three] = nodes else {
        return Err(LabError::Refused(format!("{} nodes are left", nodes.len())));
    };
    let counts = "UPDATE story_value";
    tokio::select! {
        Ok(_) = one.busy_with(counts, RECOVERY) => Ok(one),
        Ok(_) = two.busy_with(counts, RECOVERY) => Ok(two),
        Ok(_) = three.busy_with(counts, RECOVERY) => Ok(three),
        else => Err(LabError::Refused("nobody does the transaction again".into())),
    }
}

/// Two of three nodes are gone and nobody may write. Clients wait, old and new ones, and go on when there is
/// a cluster again.
#[tokio::test]
async fn without_a_majority_sessions_wait_and_then_go_on() -> Story {
    let stage = Stage::set().await?;
    let mut client = stage.client().await?;
    client.tell("BEGIN").await?;
    let first = client.insert(1).await?;
    let primary = stage.primary().await?;
    let [other, last] = stage.others(primary)[..] else { unreachable!("three nodes") };
    other.kill().await?;
    primary.kill().await?;
    let outage = async {
        let mut late = stage.client().await?;
        let waiting = async {
            let second = late.insert(2).await?;
            Ok::<_, LabError>(second)
        };
        let (second, restored) = tokio::join!(waiting, restore(&stage, last, [primary, other]));
        restored?;
        second
    };
    let waiting = async {
        let batch = [&adding(3), "COMMIT"].join(";");
        client.tell(&batch).await
    };
    let (third, second) = tokio::join!(waiting, outage);
    let (second, third) = (second?, third?[0].id.unwrap_or(0));
    assert_eq!(stage.rows().await?, [(1, first), (2, second), (3, third)].into());
    stage.end().await
}

/// Makes `last` a cluster of its own, as an administrator does, and lets the others join.
async fn restore(stage: &Stage, last: &Node, others: [&Node; 2]) -> Result<()> {
    let what = format!("{} outside the primary component", last.name());
    lab::wait::wait_until(&what, RECOVERY, Some(&last.log()), async || {
        match last.standing().await {
            Ok(standing) if !standing.synced() => lab::wait::Look::Done(()),
            Ok(standing) => last.part().look(standing),
            Err(error) => last.part().look(error),
        }
    })
    .await?;
    last.provider_option("pc.bootstrap", "ON").await?;
    last.ready(RECOVERY).await?;
    for node in others {
        node.launch(false)?;
    }
    stage.lab.galera.all_synced(RECOVERY).await
}

/// A pause that is longer than the longest allowed one ends with an error that says why; nothing of the
/// transaction stands.
#[tokio::test]
async fn a_wait_that_is_too_long_ends_with_a_reason() -> Story {
    let stage = Stage::with(|builder| builder.proxy_setting("failover.hold", "3s")).await?;
    let mut client: Client = stage.client().await?;
    client.tell("BEGIN").await?;
    client.insert(1).await?;
    for node in stage.lab.galera.nodes() {
        node.kill().await?;
    }
    let (code, text) = client.refused(&[&adding(2), "COMMIT"].join(";")).await?;
    stage.must(code == 1047 && text.contains("primary"), format!("{code}: {text}"))?;
    stage.lab.galera.bootstrap().await?;
    assert_eq!(stage.rows().await?, [].into());
    stage.end().await
}

/// Every connection of the node that takes over is in use. The link that lay ready there is one of them.
#[tokio::test]
async fn a_successor_that_lets_nobody_in_has_let_us_in_before() -> Story {
    let stage = Stage::set().await?;
    let mut client = stage.client().await?;
    client.tell("BEGIN").await?;
    let first = client.insert(1).await?;
    stage.lies_ready(1).await?;
    let primary = stage.primary().await?;
    let mut crowds = Vec::new();
    for node in stage.others(primary) {
        crowds.push(node.fill(20).await?);
    }
    primary.kill().await?;
    let second = client.insert(2).await?;
    client.tell("COMMIT").await?;
    for crowd in crowds {
        crowd.leave().await?;
    }
    assert_eq!(stage.rows().await?, [(1, first), (2, second)].into());
    stage.end().await
}
