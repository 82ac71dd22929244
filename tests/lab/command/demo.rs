//! `lab demo`

use std::process::ExitCode;
use std::time::Duration;

use lab::findings::{self, Resolver};
use lab::{Lab, Result};
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
        let resolver = Resolver::now();
        let lab = self.size.start(true, true).await?;
        print_addresses(&lab);
        let added = watch(&lab, self.seconds).await;

        lab.icinga().end().await?;
        println!("\nAfter {} s:", self.seconds);
        if let Some(added) = median(added) {
            println!("        added latency (p50 of DO 1 by TCP): {added:+.0} µs");
        }
        let findings = findings::all(&lab, &resolver).await?;
        for finding in &findings {
            println!("  {}  {}", if finding.holds { "ok  " } else { "FAIL" }, finding.text);
        }
        let all = findings.iter().all(|finding| finding.holds);
        lab.end().await?;
        Ok(if all { ExitCode::SUCCESS } else { ExitCode::FAILURE })
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
