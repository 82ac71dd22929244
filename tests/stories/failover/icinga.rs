//! Icinga itself, with 1,200 objects, over five losses of the primary.

use std::time::Duration;

use lab::galera::Node;
use lab::wait::{Look, wait_until};
use lab::whole::Builder;
use lab::{Result, findings};

use crate::stage::{RECOVERY, Stage, Story};

/// What it is all for: its history is whole, its log is clean, and it never connected again.
#[tokio::test]
async fn icinga_notices_nothing_of_five_lost_primaries() -> Story {
    let watched = |builder: Builder| builder.icinga(200, 1_000, Duration::from_secs(10));
    let stage = Stage::with(watched).await?;
    for loss in [Loss::Kill, Loss::Freeze, Loss::Term, Loss::Kill, Loss::Freeze] {
        history_grows(&stage).await?;
        let primary = stage.primary().await?;
        loss.strike(primary).await?;
        stage.moved_from(primary).await?;
        history_grows(&stage).await?;
        loss.undo(primary)?;
        stage.lab.galera.all_synced(RECOVERY).await?;
    }
    history_grows(&stage).await?;
    stage.lab.icinga().end().await?;
    let survivor = stage.survivor().await?;
    for finding in [
        findings::history_at(&stage.lab, survivor).await?,
        findings::errors(&stage.lab)?,
        findings::one_connection(&stage.lab)?,
        findings::no_duplicates(survivor).await?,
    ] {
        let logs = stage.lab.run.logs().display();
        stage.must(finding.holds, format!("{}; all logs are in {logs}", finding.text))?;
    }
    stage.end().await
}

/// How the primary is lost.
#[derive(Clone, Copy, Debug)]
enum Loss {
    Kill,
    Term,
    Freeze,
}

impl Loss {
    async fn strike(self, node: &Node) -> Result<()> {
        match self {
            Self::Kill => node.kill().await,
            Self::Term => node.term().await,
            Self::Freeze => node.stop(),
        }
    }

    fn undo(self, node: &Node) -> Result<()> {
        match self {
            Self::Kill | Self::Term => node.launch(false),
            Self::Freeze => node.cont(),
        }
    }
}

/// Waits until a hundred more state changes are history.
async fn history_grows(stage: &Stage) -> Result<()> {
    let mut goal = None;
    let log = stage.lab.icinga().part().log();
    wait_until("a hundred more rows of history", RECOVERY, Some(&log), async || {
        let rows = stage.causal::<u64>("SELECT COUNT(*) FROM icinga.icinga_statehistory").await;
        let errors = stage.lab.icinga().ido_errors().unwrap_or_default();
        match (rows, errors.first()) {
            (_, Some(error)) => Look::Never(format!("Icinga got an error: {error}")),
            (Ok(rows), None) => match rows.first() {
                Some(rows) if *rows >= *goal.get_or_insert(rows + 100) => Look::Done(()),
                rows => stage.lab.icinga().part().look(format!("{rows:?}")),
            },
            (Err(error), None) => stage.lab.icinga().part().look(error),
        }
    })
    .await
}
