//! The command line.

use crate::error::{Context, Result};
use crate::progress::Progress;
use crate::series::{Series, find};
use crate::stand::{Stand, Way};
use crate::workload;

/// thin
#[derive(Debug, clap::Parser)]
pub(crate) struct Arguments {
    /// thin
    #[arg(long)]
    quick: bool,
}

impl Arguments {
    pub(crate) fn run(&self) -> Result<()> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .context(|| "making a runtime".into())?;
        let progress = Progress::new();
        let step = progress.step_of_unknown_length("servers");
        let stand = runtime.block_on(Stand::start())?;
        step.finish();
        let targets = stand.targets();
        let latency = workload::latency::measure(&targets, self.quick, &progress)?;
        for (name, series) in [("DO 1", &latency.do_1), ("one row", &latency.one_row)] {
            println!("{name}");
            let direct = find(series, Way::Direct).unwrap();
            for s in series {
                let p = s.percentiles;
                let added = s.added(direct);
                println!(
                    "{:24} p50 {:7.1} p90 {:7.1} p99 {:7.1} p99.9 {:7.1} max {:9.1} us | added p50, median of rounds {:6.1} [{:6.1} .. {:6.1}] | cpu/cmd {:5.1} us | peak {:5.1} MB",
                    s.way.label(),
                    us(p.p50), us(p.p90), us(p.p99), us(p.p999), us(p.max),
                    added.median / 1e3, added.low / 1e3, added.high / 1e3,
                    s.cpu_micros_per_command(),
                    s.peak_memory as f64 / 1e6,
                );
            }
        }
        let _: &Vec<Series> = &latency.do_1;
        let _ = stand.server();
        Ok(())
    }
}

fn us(ns: u64) -> f64 {
    ns as f64 / 1e3
}
