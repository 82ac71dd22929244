//! The COMMIT was sent and no reply came. It may have been done or not: the client must be told the
//! truth, and the transaction must stand once.

use std::collections::BTreeMap;

use lab::galera::Node;
use lab::{LabError, Result};
use mysql_async::Conn;

use super::client::{adding, counting, locking};
use super::stage::{RECOVERY, SOON, Stage, Story};

/// The story itself: without a fault all of it holds.
#[tokio::test]
async fn a_commit_that_nothing_happens_to_stands_once() -> Story {
    every_shape(Fate::Unharmed).await
}

/// The other nodes have it, only the reply is missing. Done again, it would stand twice.
#[tokio::test]
async fn a_commit_whose_reply_was_lost_is_not_done_again() -> Story {
    every_shape(Fate::Done).await
}

/// No other node has heard of it. Taken for done, it would be lost.
#[tokio::test]
async fn a_commit_that_nobody_heard_of_is_done_again() -> Story {
    every_shape(Fate::Undone).await
}

/// The COMMIT was on its way when its node died: whether it arrived is known to the other nodes alone.
#[tokio::test]
async fn a_commit_that_was_on_its_way_stands_once() -> Story {
    every_shape(Fate::Open).await
}

/// The COMMIT's node froze over it, and wakes up when the client has long been served by another.
#[tokio::test]
async fn a_commit_that_wakes_up_later_stands_once() -> Story {
    every_shape(Fate::Asleep).await
}

/// In a batch that goes on after its COMMIT, what comes after is another transaction: only that is done
/// again.
#[tokio::test]
async fn what_was_committed_in_the_middle_of_a_batch_is_not_done_again() -> Story {
    let stage = Stage::set().await?;
    let primary = stage.primary().await?;
    let _lock = primary.hold(&locking(7)).await?;
    let mut client = stage.client().await?;
    client.tell("BEGIN").await?;
    let batch = [&counting(6), &adding(1), "COMMIT", "BEGIN", &adding(2), &counting(7), &adding(3)];
    let batch = batch.join(";");
    let (replies, killed) = tokio::join!(client.tell(&batch), async {
        primary.busy_with("UPDATE story_value SET value = value + 1 WHERE id = 7", SOON).await?;
        primary.kill().await
    });
    killed?;
    let replies = replies?;
    stage.must(replies.len() == 7, format!("{} results to 7 statements", replies.len()))?;
    client.tell("COMMIT").await?;
    let told = [(1, 1), (2, 4), (3, 6)].map(|(token, at)| (token, replies[at].id.unwrap_or(0)));
    assert_eq!(stage.rows().await?, told.into());
    assert_eq!((stage.value(6).await?, stage.value(7).await?), (1, 1));
    stage.end().await
}

/// The fate of the COMMIT when its node is lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    Unharmed,
    Done,
    Undone,
    Open,
    Asleep,
}

/// How the COMMIT is sent.
#[derive(Clone, Copy, Debug)]
enum Shape {
    /// A command of its own.
    Alone,
    /// At the end of a batch, as Icinga sends it each second.
    AtTheEnd,
    /// In the middle of a batch.
    InTheMiddle,
    /// Not at all: a statement that commits by itself.
    Autocommit,
}

/// Plays this fate for each shape, one after the other, with the lost node back in between.
async fn every_shape(fate: Fate) -> Story {
    let stage = Stage::set().await?;
    let shapes = [Shape::Alone, Shape::AtTheEnd, Shape::InTheMiddle, Shape::Autocommit];
    let mut failures = Vec::new();
    for (shape, counter) in shapes.into_iter().zip(1..) {
        if let Err(error) = one(&stage, fate, shape, counter).await {
            failures.push(format!("{fate:?}, {shape:?}: {error}"));
        }
    }
    stage.must(failures.is_empty(), failures.join("\n"))?;
    stage.end().await
}

/// Tokens of `counter` are 10 times it and up; the transaction adds one to value `counter`, too.
async fn one(stage: &Stage, fate: Fate, shape: Shape, counter: u32) -> Result<()> {
    let primary = stage.primary().await?;
    let mut client = stage.client().await?;
    let (first, second) = (u64::from(counter) * 10, u64::from(counter) * 10 + 1);
    let mut told = BTreeMap::new();
    // With its first command a new client may wait until the node has caught up.
    client.tell("DO 1").await?;
    if !matches!(shape, Shape::Autocommit) {
        client.tell("BEGIN").await?;
    }
    let batch = match shape {
        Shape::Alone => {
            told.insert(first, client.insert(first).await?);
            client.tell(&counting(counter)).await?;
            "COMMIT".to_owned()
        }
        Shape::AtTheEnd => [&adding(first), &counting(counter), "COMMIT", "BEGIN"].join(";"),
        Shape::InTheMiddle => {
            [&adding(first), &counting(counter), "COMMIT", "BEGIN", &adding(second)].join(";")
        }
        Shape::Autocommit => adding(first),
    };
    hold_commits(stage, primary, fate).await?;
    let sent = async {
        let replies = client.tell(&batch).await?;
        client.tell("COMMIT").await?;
        Ok::<_, LabError>(replies)
    };
    let (sent, lost) = tokio::join!(sent, lose(stage, primary, fate, first));
    lost?;
    back(stage, primary, fate).await?;

    let replies = sent?;
    let expected = batch.split(';').count();
    stage.must(replies.len() == expected, format!("{} results, not {expected}", replies.len()))?;
    for (token, at) in [(first, 0), (second, 4)] {
        let id = replies.get(at).and_then(|reply| reply.id);
        told.extend(id.map(|id| (token, id)));
    }
    let stands = stage.rows().await?.split_off(&first);
    stage.must(stands == told, format!("{stands:?} stands, {told:?} was told"))?;
    let counted = stage.value(counter).await?;
    let expected = i64::from(!matches!(shape, Shape::Autocommit));
    stage.must(counted == expected, format!("counted {counted} times, not {expected}"))
}

/// From now on `primary` cannot commit: that takes an answer from every node of the component.
async fn hold_commits(stage: &Stage, primary: &Node, fate: Fate) -> Result<()> {
    match fate {
        Fate::Unharmed => Ok(()),
        Fate::Undone => stage.lab.isolate(primary.index()).await,
        _ => stage.others(primary).iter().try_for_each(|node| node.stop()),
    }
}

/// Loses `primary` while it commits.
async fn lose(stage: &Stage, primary: &Node, fate: Fate, token: u64) -> Result<()> {
    if fate == Fate::Unharmed {
        return Ok(());
    }
    primary.commits(SOON).await?;
    let others = stage.others(primary);
    match fate {
        Fate::Unharmed => Ok(()),
        Fate::Undone => {
            primary.kill().await?;
            stage.lab.heal().await
        }
        Fate::Open => {
            primary.kill().await?;
            others.iter().try_for_each(|node| node.cont())
        }
        Fate::Asleep => {
            primary.stop()?;
            others.iter().try_for_each(|node| node.cont())
        }
        Fate::Done => {
            stage.lab.faults.silence(primary.address()).await?;
            others.iter().try_for_each(|node| node.cont())?;
            stands(stage, others[0], token).await?;
            primary.kill().await
        }
    }
}

/// Waits until `node` has the row.
async fn stands(stage: &Stage, node: &Node, token: u64) -> Result<()> {
    let mut root: Conn = node.connect().await?;
    let query = format!("SELECT COUNT(*) FROM icinga.story WHERE token = {token}");
    let what = format!("token {token} on {}", node.name());
    lab::wait::wait_until(&what, SOON, Some(&stage.log()), async || {
        match lab::sql::value::<u64>(&mut root, &query).await {
            Ok(0) => node.part().look("it is not there"),
            Ok(_) => lab::wait::Look::Done(()),
            Err(error) => node.part().look(error),
        }
    })
    .await
}

/// Brings the lost node back.
async fn back(stage: &Stage, node: &Node, fate: Fate) -> Result<()> {
    stage.lab.heal().await?;
    match fate {
        Fate::Unharmed => {}
        Fate::Asleep => node.cont()?,
        _ => node.launch(false)?,
    }
    stage.lab.galera.all_synced(RECOVERY).await
}

/// Without the fence some losses end in an error: better to hear of it from a check than from Icinga.
#[tokio::test]
async fn a_check_tells_that_the_fence_is_missing_and_how_to_mend_it() -> Story {
    let stage = Stage::set().await?;
    let said = stage.proxy().tool(&["check", "--live"]).await?;
    for words in ["may log in and write the fence", "is usable"] {
        stage.must(said.contains(words), format!("no {words:?} in {said}"))?;
    }
    stage.must(!said.contains("note"), said)?;
    // The node turns hosts away after some logins that broke off.
    let other = stage.others(stage.primary().await?)[0];
    other.term().await?;
    other.part().launch_with(&["--skip-name-resolve=OFF"])?;
    other.ready(RECOVERY).await?;
    let said = stage.proxy().tool(&["check", "--live"]).await?;
    let note = format!("note  node {} lets this host in no more", other.address());
    stage.must(said.contains(&note) && said.contains("skip_name_resolve = ON"), said)?;
    stage.primary().await?.hold("DROP TABLE ido_proxy.fence").await?;
    let Err(error) = stage.proxy().tool(&["check", "--live"]).await else {
        panic!("the fence is gone")
    };
    let said = error.to_string();
    for words in ["cannot write the fence", "ido-proxy setup | mariadb"] {
        stage.must(said.contains(words), format!("no {words:?} in {said}"))?;
    }
    stage.end().await
}
