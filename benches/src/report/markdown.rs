//! `RESULTS.md`: verdicts first, then the tables, each with the conditions it was made under.

use std::fmt::Write as _;

use super::everything::{Everything, Part};
use super::promises::{dump_ratio, verdicts};
use super::table::Table;
use super::{commit, failover};
use crate::conditions::Conditions;
use crate::series::{Paired, Series, find};
use crate::stand::Way;
use crate::workload::dump::{Dump, Dumps, WAYS};
use crate::workload::sessions::Sessions;

/// The whole page.
pub(super) fn page(everything: &Everything) -> String {
    let mut page = String::from("# Results\n\n");
    page.push_str(INTRODUCTION);
    page.push_str("\n## What is promised\n\n");
    let mut table = Table::new(&["what", "goal", "measured", "outcome"]);
    for verdict in verdicts(everything) {
        table.row(vec![verdict.what, verdict.goal, verdict.measured, verdict.outcome]);
    }
    page.push_str(&table.finish());
    if let Some(latency) = &everything.latency {
        let numbers = &latency.numbers;
        page.push_str("\n## Latency of one command\n\n");
        page.push_str("![What each way adds to the median of a small command](added.svg)\n");
        section(
            &mut page,
            "DO 1",
            "![DO 1 by percentile](do-1.svg)\n\n",
            &latencies(&numbers.do_1),
        );
        let one_core = &numbers.do_1_on_one_core;
        section(&mut page, "DO 1, everything on one core", ONE_CORE, &latencies(one_core));
        section(
            &mut page,
            "SELECT of one row",
            "![One row by percentile](one-row.svg)\n\n",
            &latencies(&numbers.one_row),
        );
        page.push_str(&conditions(latency));
    }
    if let Some(throughput) = &everything.throughput {
        let numbers = &throughput.numbers;
        page.push_str("\n## Throughput\n\n![Throughput of each way](throughput.svg)\n");
        section(&mut page, "Icinga's batch", BATCH, &batches(&numbers.batch));
        let results = &numbers.results;
        section(
            &mut page,
            "10 MB result",
            "10,000 rows of 1 KB from a table in memory.\n\n",
            &carried(&results.ten),
        );
        section(
            &mut page,
            "100 MB result",
            "100,000 rows of 1 KB from a table in memory.\n\n",
            &carried(&results.hundred),
        );
        section(&mut page, "100 MB in short rows", SHORT_ROWS, &carried(&results.short_rows));
        section(&mut page, "100 MB of a constant", CONSTANT, &carried(&results.constant));
        page.push_str(&conditions(throughput));
    }
    if let Some(sessions) = &everything.sessions {
        page.push_str("\n## Memory of 1,000 idle sessions\n\n");
        page.push_str(IDLE);
        page.push_str(&idle(&sessions.numbers));
        page.push_str(&conditions(sessions));
    }
    if let Some(commit) = &everything.commit {
        page.push_str(&commit::section(&commit.numbers));
        page.push_str(&conditions(commit));
    }
    if let Some(icinga) = &everything.icinga {
        page.push_str(&dumps(&icinga.numbers));
        page.push_str(&conditions(icinga));
    }
    if let Some(failover) = &everything.failover {
        page.push_str(&failover::section(&failover.numbers));
        page.push_str(&conditions(failover));
    }
    page
}

fn section(page: &mut String, title: &str, about: &str, table: &str) {
    let _ = write!(page, "\n### {title}\n\n{about}{table}");
}

fn latencies(series: &[Series]) -> String {
    let mut table = Table::new(&[
        "µs",
        "p50",
        "p90",
        "p99",
        "p99.9",
        "max",
        "added p50",
        "(quartiles)",
        "CPU a command",
    ]);
    let direct = find(series, Way::Direct);
    for series in series {
        let micros = |nanos: u64| format!("{:.1}", nanos as f64 / 1e3);
        let percentiles = series.percentiles;
        let mut row = vec![series.way.label().to_owned()];
        row.extend(
            [percentiles.p50, percentiles.p90, percentiles.p99, percentiles.p999, percentiles.max]
                .map(micros),
        );
        let added = direct.filter(|_| series.way != Way::Direct).map(|direct| series.added(direct));
        row.extend(paired(added, 1e-3, 1));
        row.push(program_only(series, format!("{:.1}", series.cpu_micros_per_command())));
        table.row(row);
    }
    table.finish()
}

fn batches(series: &[Series]) -> String {
    let mut table = Table::new(&[
        "",
        "p50, ms",
        "p99, ms",
        "time to direct",
        "(quartiles)",
        "CPU a batch, ms",
        "peak memory, MB",
    ]);
    let direct = find(series, Way::Direct);
    for series in series {
        let millis = |nanos: u64| format!("{:.2}", nanos as f64 / 1e6);
        let (p50, p99) = (series.percentiles.p50, series.percentiles.p99);
        let mut row = vec![series.way.label().to_owned(), millis(p50), millis(p99)];
        let ratio = direct.filter(|_| series.way != Way::Direct).map(|direct| series.ratio(direct));
        row.extend(paired(ratio, 1.0, 3));
        let cpu = format!("{:.3}", series.cpu_micros_per_command() / 1e3);
        row.push(program_only(series, cpu));
        row.push(program_only(series, megabytes(series.peak_memory)));
        table.row(row);
    }
    table.finish()
}

fn carried(series: &[Series]) -> String {
    let mut table = Table::new(&[
        "",
        "p50, ms",
        "MB/s",
        "throughput to direct",
        "(quartiles)",
        "CPU a result, ms",
        "peak memory, MB",
    ]);
    let direct = find(series, Way::Direct);
    for series in series {
        let p50 = series.percentiles.p50 as f64;
        let mut row = vec![
            series.way.label().to_owned(),
            format!("{:.1}", p50 / 1e6),
            format!("{:.0}", series.reply_bytes as f64 / p50 * 1e3),
        ];
        // The other way round: of times, the way's own comes first.
        let base = direct.filter(|_| series.way != Way::Direct);
        row.extend(paired(base.map(|direct| direct.ratio(series)), 1.0, 3));
        let cpu = format!("{:.1}", series.cpu_micros_per_command() / 1e3);
        row.push(program_only(series, cpu));
        row.push(program_only(series, megabytes(series.peak_memory)));
        table.row(row);
    }
    table.finish()
}

fn idle(sessions: &[Sessions]) -> String {
    let heads = ["MB", "before", "1,000 idle", "KB a session", "peak while they worked"];
    let mut table = Table::new(&heads);
    for sessions in sessions {
        let each = sessions.idle.saturating_sub(sessions.before) / sessions.sessions.max(1);
        table.row(vec![
            sessions.way.label().to_owned(),
            megabytes(sessions.before),
            megabytes(sessions.idle),
            format!("{:.1}", each as f64 / 1e3),
            megabytes(sessions.peak),
        ]);
    }
    table.finish()
}

fn dumps(dumps: &Dumps) -> String {
    let size = dumps.size;
    let mut text = format!(
        "\n## Icinga's first dump: {} hosts, {} services\n\n{DUMP}",
        size.hosts, size.services
    );
    let mut table = Table::new(&[
        "seconds",
        "each dump",
        "median",
        "time to direct",
        "CPU in between",
        "CPU of the server",
        "peak memory, MB",
    ]);
    for way in WAYS {
        let of_way: Vec<_> = dumps.dumps.iter().filter(|dump| dump.way == way).collect();
        let each: Vec<_> = of_way.iter().map(|dump| format!("{:.2}", dump.seconds)).collect();
        let median = |value: fn(&Dump) -> f64| {
            Paired::over(of_way.iter().map(|dump| value(dump)).collect()).median
        };
        let ratio = dump_ratio(dumps, way).filter(|_| way != Way::Direct);
        let peak = of_way.iter().map(|dump| dump.peak_memory).max().unwrap_or_default();
        let in_between = |cell: String| if way.program().is_some() { cell } else { String::new() };
        table.row(vec![
            way.label().to_owned(),
            each.join(" · "),
            format!("{:.2}", median(|dump| dump.seconds)),
            ratio.map_or_else(String::new, |ratio| format!("{:.3}", ratio.median)),
            in_between(format!("{:.2}", median(|dump| dump.cpu_seconds))),
            format!("{:.2}", median(|dump| dump.server_cpu_seconds)),
            in_between(megabytes(peak)),
        ]);
    }
    text.push_str(&table.finish());
    if let Some(commands) = dumps.dumps.iter().map(|dump| dump.commands).max() {
        let _ = write!(
            text,
            "\nIcinga sent {commands} commands, each after the answer to the one before: each µs that \
             a way adds to a command is {:.2} s of the dump.\n",
            commands as f64 / 1e6
        );
    }
    text
}

/// The median, and the quartiles in brackets; empty cells for the way that is compared with.
fn paired(paired: Option<Paired>, scale: f64, digits: usize) -> [String; 2] {
    let Some(Paired { median, low, high }) = paired else {
        return [String::new(), String::new()];
    };
    let number = |value: f64| format!("{:.digits$}", value * scale);
    // A ratio turned over has its quartiles the other way round.
    [number(median), format!("{} … {}", number(low), number(high))]
}

/// A cell that has a meaning only where a program is in between.
fn program_only(series: &Series, cell: String) -> String {
    if series.way.program().is_some() { cell } else { String::new() }
}

fn megabytes(bytes: u64) -> String {
    format!("{:.1}", bytes as f64 / 1e6)
}

fn conditions<T>(part: &Part<T>) -> String {
    let Conditions { command, begun, cores, kernel, versions, .. } = &part.conditions;
    let cores_of_others = part.conditions.cores_of_others;
    let idle = part.conditions.guest_halt_poll_ns;
    let idle = idle.map_or_else(String::new, |nanos| format!("guest_halt_poll_ns {nanos}; "));
    let versions: Vec<_> =
        versions.iter().map(|(name, version)| format!("{name} {version}")).collect();
    format!(
        "\nMade by `{command}`, {begun}; Linux {kernel}; {cores} cores, of which other programs kept \
         {cores_of_others:.1} busy on average; {idle}{}.\n",
        versions.join(", ")
    )
}

const INTRODUCTION: &str = "\
Made by `make bench`; how is in [README.md](../README.md). In short: one MariaDB server; every way to
it is visited in turn, in balanced order, again and again in one run; *added* and *to direct* are
medians over rounds of the comparison of two medians of the same round, so that a machine that is
slow for a while is slow for both. The quartiles over rounds stand beside them. Percentiles are over
all commands. \"Direct\" without more is direct TCP: what the Unix socket adds is stated against that
too, and the row \"direct, Unix socket\" says what a client next to the server would have instead.
MB are millions of bytes. CPU is that of the program in between, user and system.
";

const ONE_CORE: &str = "\
Client, server and the program in between kept to one core: no process is woken on another core,
which costs more than any proxy's work and is the scheduler's choice, so this shows the work alone.

";

const BATCH: &str = "\
250 statements in 250 KB, as Icinga 2 sends them once a second: 124 check results, each a full UPDATE
of a status row and one row of history, then COMMIT and BEGIN.

";

const SHORT_ROWS: &str = "\
2,000,000 rows of about 50 bytes, as Icinga reads its objects when it connects.

";

const CONSTANT: &str = "\
100,000 rows of one constant of 1 KB, which no real query asks for: it costs the server next to nothing,
so this is the limit of what is in between. With two cores, server, client and proxy compete for them.

";

const IDLE: &str = "\
Resident memory of the program in between. Each session has logged in and has sent and received 64 KB.

";

const DUMP: &str = "\
A real Icinga 2 writes all its objects to an empty database; server, proxy and database are new for
each dump. The time is the one in Icinga's log, from the start of connecting until the last object is
written; afterwards every host and service was counted in the database.

";
