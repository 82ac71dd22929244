//! `lab demo`

use std::process::ExitCode;
use std::time::Duration;

use lab::{Lab, Result, sql};
use tokio::time::{MissedTickBehavior, interval};

use super::latency::{Latency, median};
use super::traffic::Traffic;
use super::{Size, print_addresses};

/// The options of `lab demo`.
#[derive(clap::Args, Debug)]
pub(super) struct Demo {
    #[command(flatten)]
    size: Size,
    /// How long to watch
    #[arg(long, default_value_t = 60)]
    seconds: u32,
}

impl Demo {
    /// Brings everything up, watches it, and checks what Icinga's log says against the tables.
    pub(super) async fn execute(self) -> Result<ExitCode> {
        let resolver = resolver();
        let lab = self.size.start(true, true).await?;
        print_addresses(&lab);
        let added = watch(&lab, self.seconds).await;

        // It writes what it still has before it ends; only then do rows and log agree.
        lab.icinga().end().await?;
        println!("\nAfter {} s:", self.seconds);
        if let Some(added) = median(added) {
            println!("        added latency (p50 of DO 1 by TCP): {added:+.0} µs");
        }
        let findings = [
            history(&lab).await?,
            errors(&lab)?,
            writes(&lab)?,
            Finding::new(resolver == self::resolver(), "/etc/resolv.conf is as it was".into()),
        ];
        for finding in &findings {
            println!("  {}  {}", if finding.holds { "ok  " } else { "FAIL" }, finding.text);
        }
        let all = findings.iter().all(|finding| finding.holds);
        lab.end().await?;
        Ok(if all { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }
}

/// One line of the summary.
struct Finding {
    holds: bool,
    text: String,
}

impl Finding {
    fn new(holds: bool, text: String) -> Self {
        Self { holds, text }
    }
}

/// Prints one line a second, and returns what the proxy added to a round trip in each, in µs.
async fn watch(lab: &Lab, seconds: u32) -> Vec<f64> {
    let mut ticks = interval(Duration::from_secs(1));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let (mut traffic, mut latency, mut all_added) = (Traffic::default(), None, Vec::new());
    traffic.look(&lab.galera).await;
    ticks.tick().await;
    println!(
        "  {:>4}  {:26}  {:>6}  {:14}  added latency",
        "", "clients are sent to", "rows/s", "written on"
    );
    for second in 1..=seconds {
        ticks.tick().await;
        let primary = lab.proxy().primary().await.ok().flatten();
        let node = lab.galera.nodes().iter().find(|node| Some(node.address()) == primary);
        let target = match (node, primary) {
            (Some(node), _) => format!("{} {}", node.name(), node.address()),
            (None, Some(primary)) => primary.to_string(),
            (None, None) => "nobody: clients are held".to_owned(),
        };
        let flow = traffic.look(&lab.galera).await;
        let writers = flow.writers.join(", ");

        // After a change of primary, or a lost connection, the next second measures again.
        let lasting = latency.take().filter(|latency: &Latency| Some(latency.node()) == primary);
        latency = match (lasting, primary) {
            (Some(latency), _) => Some(latency),
            (None, Some(primary)) => Latency::to(lab.proxy(), primary).await.ok(),
            (None, None) => None,
        };
        let medians = match &mut latency {
            Some(latency) => latency.measure().await,
            None => None,
        };
        let added = match medians {
            Some(medians) => {
                all_added.push(medians.added_micros());
                let direct = medians.direct.as_secs_f64() * 1e6;
                format!("{:+.0} µs (direct {direct:.0} µs)", medians.added_micros())
            }
            None => {
                latency = None;
                "?".to_owned()
            }
        };
        println!("  {second:>3}s  {target:26}  {:>6.0}  {writers:14}  {added}", flow.rows);
    }
    all_added
}

/// Every state change in Icinga's log is one row of history.
async fn history(lab: &Lab) -> Result<Finding> {
    let changes = lab.icinga().state_changes()?;
    let mut conn = lab.galera.node(1).connect().await?;
    let rows: usize =
        sql::value(&mut conn, "SELECT COUNT(*) FROM icinga.icinga_statehistory").await?;
    let text = format!("{changes} state changes in Icinga's log, {rows} rows of history");
    Ok(Finding::new(changes == rows && changes > 0, text))
}

fn errors(lab: &Lab) -> Result<Finding> {
    let errors = lab.icinga().ido_errors()?;
    let text = match errors.first() {
        None => "no error of its database connection in Icinga's log".to_owned(),
        Some(first) => format!("{} errors in Icinga's log, the first: {first}", errors.len()),
    };
    Ok(Finding::new(errors.is_empty(), text))
}

/// Every write went to one node, as the nodes' own general logs say.
fn writes(lab: &Lab) -> Result<Finding> {
    let mut counts = Vec::new();
    for node in lab.galera.nodes() {
        counts.push((node.name(), node.recorded_writes()?));
    }
    let written = counts.iter().filter(|(_, writes)| *writes > 0).count();
    let counts = counts.iter().map(|(node, writes)| format!("{writes} on {node}"));
    let text = format!("statements that write: {}", counts.collect::<Vec<_>>().join(", "));
    Ok(Finding::new(written == 1, text))
}

fn resolver() -> Vec<u8> {
    std::fs::read("/etc/resolv.conf").unwrap_or_default()
}
