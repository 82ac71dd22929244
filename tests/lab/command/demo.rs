//! `lab demo`

use std::ops::RangeInclusive;
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
    /// Brings everything up, watches it, kills the primary, watches on, and checks what Icinga's log says
    /// against the tables.
    pub(super) async fn execute(self) -> Result<ExitCode> {
        let resolver = Resolver::now();
        let lab = self.size.start(true, true).await?;
        print_addresses(&lab);
        let half = self.seconds / 2;
        println!(
            "  {:>4}  {:26}  {:>6}  {:14}  added latency",
            "", "clients are sent to", "rows/s", "written on"
        );
        let mut added = watch(&lab, 1..=half).await;
        let one_writer = findings::writes(&lab)?;
        let killed = kill_primary(&lab).await?;
        added.extend(watch(&lab, half + 1..=self.seconds).await);

        lab.icinga().end().await?;
        println!("\nAfter {} s:", self.seconds);
        if let Some(added) = median(added) {
            println!("        added latency (p50 of DO 1 by TCP): {added:+.0} µs");
        }
        print_failover(&lab).await;
        let mut findings = vec![one_writer];
        let left = lab.galera.nodes().iter().find(|node| Some(node.index()) != killed);
        if let Some(left) = left {
            findings.extend(findings::all_after_a_loss(&lab, left, &resolver).await?);
        }
        for finding in &findings {
            println!("  {}  {}", if finding.holds { "ok  " } else { "FAIL" }, finding.text);
        }
        let all = findings.iter().all(|finding| finding.holds);
        lab.end().await?;
        Ok(if all { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }
}

/// Kills the node that clients are sent to, as a power cut would. Returns its number.
async fn kill_primary(lab: &Lab) -> Result<Option<u8>> {
    let primary = lab.proxy().primary().await?;
    let Some(node) = lab.galera.nodes().iter().find(|node| Some(node.address()) == primary) else {
        return Ok(None);
    };
    node.kill().await?;
    println!("        kill -9 of {}, to which all is written", node.name());
    Ok(Some(node.index()))
}

/// Prints what the proxy says of the last failover.
async fn print_failover(lab: &Lab) {
    let Ok(status) = lab.proxy().status().await else { return };
    let Some(last) = status["failovers"].as_array().and_then(|all| all.last()) else { return };
    let phases = last["phases_ms"].as_object().into_iter().flatten();
    let phases = phases.map(|(phase, ms)| format!("{phase} {:.0}", ms.as_f64().unwrap_or(0.0)));
    println!(
        "        longest pause of a command: {:.0} ms ({}); of it, the surviving nodes themselves need",
        last["pause_ms"].as_f64().unwrap_or(0.0),
        phases.collect::<Vec<_>>().join(", "),
    );
    println!("        about 6 s to be sure that the third one is gone (evs.suspect_timeout)");
}

/// Prints one line a second, and returns what the proxy added to a round trip in each, in µs.
async fn watch(lab: &Lab, seconds: RangeInclusive<u32>) -> Vec<f64> {
    let mut ticks = interval(Duration::from_secs(1));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let (mut traffic, mut latency, mut all_added) = (Traffic::default(), None, Vec::new());
    traffic.look(&lab.galera).await;
    ticks.tick().await;
    for second in seconds {
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
