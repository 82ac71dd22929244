//! Icinga itself, with 1,200 objects, over five losses of the primary.

use std::time::Duration;

use lab::galera::Node;
use lab::icinga::{Database, Icinga, IcingaSpec};
use lab::wait::{Look, wait_until};
use lab::whole::Builder;
use lab::{Result, findings};

use super::stage::{RECOVERY, Stage, Story};

/// The purpose of the proxy: Icinga's history is whole, its log is clean, and it never connected again.
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
    stage.must_hold([
        findings::history_at(&stage.lab, survivor).await?,
        findings::errors(&stage.lab)?,
        findings::one_connection(&stage.lab)?,
        findings::no_duplicates(survivor).await?,
    ])?;
    stage.end().await
}

/// Icinga's dump is one transaction of thousands of statements, and most of them tell an id that later ones
/// name. With an error in the dump Icinga begins all over, and a restart under load would never end.
#[tokio::test]
async fn icinga_notices_nothing_of_a_primary_lost_in_the_middle_of_its_first_dump() -> Story {
    let mut stage = Stage::set().await?;
    let (hosts, services) = (2_000, 8_000);
    let interval = Duration::from_secs(300);
    let spec = IcingaSpec { hosts, services, interval, ..IcingaSpec::new(Database::Localhost) };
    stage.lab.launch_icinga(&spec).await?;
    let primary = stage.primary().await?;
    let mut root = primary.hold("SET SESSION TRANSACTION ISOLATION LEVEL READ UNCOMMITTED").await?;
    let log = stage.lab.icinga().part().log();
    wait_until("the middle of the dump", Icinga::PATIENCE, Some(&log), async || {
        match lab::sql::value::<u32>(&mut root, "SELECT COUNT(*) FROM icinga.icinga_objects").await
        {
            Ok(written) if written >= services => Look::Done(()),
            Ok(written) => stage.lab.icinga().part().look(written),
            Err(error) => stage.lab.icinga().part().look(error),
        }
    })
    .await?;
    let begun = stage.lab.icinga().connections()?;
    stage.must(begun == 0, "the dump was over before the primary was lost")?;
    primary.kill().await?;
    stage.lab.icinga().connected(Icinga::PATIENCE).await?;
    stage.lab.icinga().end().await?;
    for (table, expected) in [
        ("hosts", hosts),
        ("hoststatus", hosts),
        ("services", services),
        ("servicestatus", services),
    ] {
        let rows: Vec<u32> =
            stage.causal(&format!("SELECT COUNT(*) FROM icinga.icinga_{table}")).await?;
        assert_eq!(rows, [expected], "icinga_{table}");
    }
    let strays = "SELECT COUNT(*) FROM icinga.icinga_services LEFT JOIN icinga.icinga_objects
        ON object_id = service_object_id AND objecttype_id = 2 WHERE object_id IS NULL";
    assert_eq!(stage.causal::<u32>(strays).await?, [0], "services that name no object");
    let survivor = stage.survivor().await?;
    stage.must_hold([
        findings::errors(&stage.lab)?,
        findings::one_connection(&stage.lab)?,
        findings::no_duplicates(survivor).await?,
    ])?;
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
