//! Section of `RESULTS.md` about the loss of a primary, and its plot.
//!
//! A handful of runs has a middle, a least and a greatest; it has no percentiles.

use std::fmt::Write as _;

use super::bars::{self, Bar, Group};
use super::table::Table;
use crate::stand::Way;
use crate::workload::failover::runs::{Carried, Failovers, Fault, Run, Seen, Who};

/// The section, without conditions.
pub(super) fn section(failovers: &Failovers) -> String {
    let mut text = String::from("\n## The primary is lost\n\n");
    text.push_str("![How long clients stand still](failover.svg)\n\n");
    text.push_str(ABOUT);
    let _ = write!(text, "\n### ido-proxy's share\n\n{SHARE}{}", shares(failovers));
    let _ = write!(text, "\n### What its pause is spent on\n\n{PHASES}{}", phases(failovers));
    let hung = format!(
        "*Hung* is a client that heard nothing for {} s after the fault; it was ended then.\n\n",
        failovers.hangs_after_seconds
    );
    let _ = write!(text, "\n### What clients saw\n\n{SEEN}{hung}{}", seen(failovers));
    text
}

/// The median pause of each client, fault by fault.
pub(super) fn plot(failovers: &Failovers) -> String {
    let hangs = failovers.hangs_after_seconds as f64;
    let bar = |fault: Fault, who: Who| {
        let pause = median(pauses(failovers, fault, who))? / 1e3;
        let (value, text) = if pause.is_finite() {
            (pause, format!("{pause:.2} s"))
        } else {
            (hangs, "hung".to_owned())
        };
        Some(Bar { label: who.label(), way: colour(who), value, text })
    };
    let group = |fault: Fault| Group {
        name: fault.label().to_owned(),
        bars: Who::ALL.into_iter().filter_map(|who| bar(fault, who)).collect(),
    };
    let groups = Fault::ALL.map(group);
    let title = "Pause of a client when its node is lost: median";
    bars::draw(&format!("{title} (hung: {hangs:.0} s and more)"), &groups)
}

fn shares(failovers: &Failovers) -> String {
    let mut table = Table::new(&[
        "ms",
        "survivors' blackout, p50",
        "ido-proxy's pause, p50",
        "its share: each run",
        "p50",
        "worst",
    ]);
    for fault in Fault::ALL {
        let shares: Vec<f64> = failovers.of(fault).filter_map(Run::share_ms).collect();
        let each: Vec<_> = shares.iter().map(|share| format!("{share:.0}")).collect();
        let pause = |who| median(pauses(failovers, fault, who));
        table.row(vec![
            fault.label().to_owned(),
            millis(pause(Who::Survivor)),
            millis(pause(Who::Proxy)),
            each.join(" · "),
            millis(median(shares.clone())),
            millis(shares.into_iter().max_by(f64::total_cmp)),
        ]);
    }
    table.finish()
}

fn phases(failovers: &Failovers) -> String {
    let mut table = Table::new(&[
        "p50, ms", "detect", "link", "wait", "restore", "replay", "commit", "whole", "runs",
        "replays",
    ]);
    for fault in Fault::ALL {
        let carried: Vec<&Carried> =
            failovers.of(fault).filter_map(|run| run.carried.as_ref()).collect();
        let middle = |part: fn(&Carried) -> f64| {
            let middle = median(carried.iter().map(|carried| part(carried)).collect());
            middle.map_or_else(String::new, |middle| format!("{middle:.1}"))
        };
        let mut row = vec![
            fault.label().to_owned(),
            middle(|carried| carried.phases_ms.detect),
            middle(|carried| carried.phases_ms.link),
            middle(|carried| carried.phases_ms.wait),
            middle(|carried| carried.phases_ms.restore),
            middle(|carried| carried.phases_ms.replay),
            middle(|carried| carried.phases_ms.commit),
            middle(|carried| carried.pause_ms),
        ];
        row.push(format!("{} of {}", carried.len(), failovers.of(fault).count()));
        row.push(carried.iter().map(|carried| carried.replays).sum::<u64>().to_string());
        table.row(row);
    }
    table.finish()
}

fn seen(failovers: &Failovers) -> String {
    let mut table = Table::new(&[
        "all runs",
        "pause, p50, s",
        "worst, s",
        "hung",
        "errors",
        "acknowledged and lost",
        "twice",
        "rows sent",
        "rows lost",
    ]);
    for fault in Fault::ALL {
        for who in Who::ALL {
            let seen: Vec<&Seen> = failovers.of(fault).filter_map(|run| run.seen(who)).collect();
            let sum = |count: fn(&Seen) -> u64| {
                seen.iter().map(|seen| count(seen)).sum::<u64>().to_string()
            };
            let pauses = pauses(failovers, fault, who);
            let hung = pauses.iter().filter(|pause| pause.is_infinite()).count();
            table.row(vec![
                format!("{}: {}", fault.label(), who.label()),
                seconds(median(pauses.clone())),
                seconds(pauses.into_iter().max_by(f64::total_cmp)),
                format!("{hung} of {}", seen.len()),
                sum(|seen| seen.errors),
                sum(|seen| seen.lost),
                sum(|seen| seen.doubled),
                sum(|seen| seen.rows_sent),
                sum(|seen| seen.rows_lost),
            ]);
        }
    }
    table.finish()
}

/// How long a client stood still in each run, in milliseconds; for ever where it hung.
fn pauses(failovers: &Failovers, fault: Fault, who: Who) -> Vec<f64> {
    let seen = failovers.of(fault).filter_map(|run| run.seen(who));
    seen.map(|seen| seen.pause_ms.unwrap_or(f64::INFINITY)).collect()
}

/// The middle of `values`, or the mean of the two in the middle.
fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    let last = values.len().checked_sub(1)?;
    Some((values[last / 2] + values[last.div_ceil(2)]) / 2.0)
}

fn millis(value: Option<f64>) -> String {
    value.map_or_else(String::new, |value| shown(value, 0))
}

fn seconds(value: Option<f64>) -> String {
    value.map_or_else(String::new, |value| shown(value / 1e3, 2))
}

fn shown(value: f64, digits: usize) -> String {
    if value.is_finite() { format!("{value:.digits$}") } else { "hung".to_owned() }
}

/// The colour of the way that a client takes.
fn colour(who: Who) -> Way {
    match who {
        Who::Haproxy | Who::HaproxyClosing => Way::Haproxy,
        Who::Proxy => Way::Proxy,
        Who::Survivor => Way::Direct,
    }
}

const ABOUT: &str = "\
Three Galera nodes. Clients write as fast as they can, to the same primary through ido-proxy and
HAProxy: one command a transaction, 20 rows, `INSERT;…;COMMIT;BEGIN`, as Icinga does. Another writes
transactions of one row directly on a node that survives. Then the primary is struck. A pause is
the longest time from one acknowledgement to the next around the fault. There are few runs, so
there are only their middle (p50) and their worst.
";

const SHARE: &str = "\
A cluster that loses a node stands still until the others agree that it is gone. The client on a
survivor sees that much, in the same run; what ido-proxy's client waits longer is the proxy's share.
It is below zero where the survivor's client waited longer.

";

const PHASES: &str = "\
By the proxy's own account, of the runs in which it kept a command waiting. It counts from the loss
of the link on: while a node is silent and not yet given up, the command is under way as any other.
*Wait* is for the new node to have applied all that the lost one had committed. The blackout is spent
there, or in *commit*, wherever it finds the command. Each column has a middle of its own, so they
do not add up.

";

const SEEN: &str = "\
What a client had sent when it met an error, it does not send again, as Icinga does not: these are
its rows lost. It connects anew 100 ms after an error, where Icinga takes up to 10 s. HAProxy checks
MySQL each 2 s, with one active server and two backups, and by default leaves connections to a
server that is down as they are; *closing* is the same with `on-marked-down shutdown-sessions`.
";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workload::failover::runs::Phases;
    use crate::workload::failover::runs::tests::run;

    fn failovers() -> Failovers {
        let stop = |survivor, proxy| {
            run(Fault::Stop, [Some(survivor), Some(proxy), None, Some(survivor + 2_000.0)])
        };
        let mut runs = vec![stop(6_000.0, 6_040.0), stop(6_100.0, 6_090.0), stop(6_500.0, 6_620.0)];
        runs.push(run(Fault::Kill, [Some(6_200.0), Some(6_230.4), Some(6_900.0), Some(7_000.0)]));
        runs[0].carried = Some(Carried {
            reason: "node_failed".into(),
            replays: 1,
            pause_ms: 6_030.0,
            phases_ms: Phases {
                detect: 6_000.0,
                link: 5.0,
                wait: 10.0,
                restore: 1.0,
                replay: 12.0,
                commit: 2.0,
            },
        });
        Failovers { hangs_after_seconds: 30, runs }
    }

    /// The cells of the row of `table` that begins with `name`.
    fn cells<'a>(table: &'a str, name: &str) -> Vec<&'a str> {
        let rows = table.lines().map(|line| line.trim_matches('|'));
        let mut rows = rows.map(|row| row.split('|').map(str::trim).collect::<Vec<_>>());
        rows.find(|row| row[0] == name).expect("there is such a row")
    }

    /// The share is a median of differences, not a difference of medians.
    #[test]
    fn shares_are_compared_within_their_run() {
        let table = shares(&failovers());
        let expected = ["SIGSTOP", "6100", "6090", "40 · -10 · 120", "40", "120"];
        assert_eq!(cells(&table, "SIGSTOP"), expected);
        assert_eq!(cells(&table, "kill -9"), ["kill -9", "6200", "6230", "30", "30", "30"]);
        // No runs, no numbers.
        assert_eq!(cells(&table, "SIGTERM")[1..], ["", "", "", "", ""]);
    }

    /// A client that hangs must not look like one that was quick.
    #[test]
    fn who_hangs_is_said_to_hang() {
        let failovers = failovers();
        let table = seen(&failovers);
        assert_eq!(cells(&table, "SIGSTOP: HAProxy")[1..4], ["hung", "hung", "3 of 3"]);
        assert_eq!(cells(&table, "SIGSTOP: HAProxy, closing")[1..4], ["8.10", "8.50", "0 of 3"]);
        let plot = plot(&failovers);
        assert_eq!(plot.matches(">hung<").count(), 1, "{plot}");
        assert!(plot.contains(">8.10 s<"), "{plot}");
    }

    #[test]
    fn phases_are_those_of_the_runs_that_have_them() {
        let table = phases(&failovers());
        let expected =
            ["SIGSTOP", "6000.0", "5.0", "10.0", "1.0", "12.0", "2.0", "6030.0", "1 of 3", "1"];
        assert_eq!(cells(&table, "SIGSTOP"), expected);
        assert_eq!(cells(&table, "kill -9")[7..], ["", "0 of 1", "0"]);
    }

    #[test]
    fn a_median_needs_a_value() {
        assert_eq!(median(vec![]), None);
        assert_eq!(median(vec![3.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(median(vec![4.0, 1.0, 3.0, 2.0]), Some(2.5));
        let hung = f64::INFINITY;
        assert_eq!(median(vec![1.0, hung]), Some(hung));
    }
}
