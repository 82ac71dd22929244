use std::collections::BTreeSet;

use metrics::Unit;

use super::label::Label;
use super::metric::Kind;
use super::*;

/// A gauge that only grows would sound an alarm for sessions that are long gone.
#[test]
fn a_session_that_panics_is_counted_no_longer() {
    let (recorder, handle) = recorder();
    let gauge = metrics::with_local_recorder(&recorder, || catalog::SESSIONS.gauge());
    let shown = || handle.render().contains("\nido_proxy_sessions 1\n");
    let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        let _present = Present::enter(&gauge);
        assert!(!shown(), "this one panics while it is counted");
    }));
    assert!(panicked.is_err() && !shown());
}

/// The table of `docs/metrics.md` as the catalog would have it.
fn documentation() -> String {
    let mut table = String::from("| Metric | Kind | Label | Meaning |\n|---|---|---|---|\n");
    for metric in catalog::ALL {
        let kind = match metric.kind {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
            Kind::Histogram => "histogram",
        };
        let label = match (metric.label.key, metric.label.values) {
            ("", _) => "-".to_owned(),
            (key, []) => format!("`{key}`"),
            (key, values) => format!("`{key}`: {}", values.join(", ")),
        };
        let name = metric.name;
        let help = metric.help;
        table += &format!("| `{name}` | {kind} | {label} | {help} |\n");
    }
    table
}

#[test]
fn the_documentation_lists_exactly_what_exists() {
    let page = include_str!("../../../../docs/metrics.md");
    let start = page.find("| Metric |").expect("the page has the table");
    let end = page[start..].find("\n\n").map_or(page.len(), |at| start + at + 1);
    let table = &page[start..end];
    assert_eq!(table, documentation(), "put this table there:\n{}", documentation());
}

#[test]
fn every_metric_is_rendered_with_its_meaning_once_its_handles_exist() {
    let (recorder, handle) = recorder();
    metrics::with_local_recorder(&recorder, || {
        let sessions = SessionMetrics::new();
        sessions.login_seconds.record(0.002);
        sessions.link_seconds.record(0.002);
        let cluster = ClusterMetrics::new();
        cluster.probes("192.0.2.11:3306").seconds.record(0.002);
        let _ = cluster.gauges("192.0.2.11:3306");
    });

    let text = handle.render();
    let helped: BTreeSet<_> = names(&text, "# HELP ");
    let declared: BTreeSet<_> = catalog::ALL.iter().map(|metric| metric.name).collect();
    assert_eq!(helped, declared, "{text}");
    assert_eq!(names(&text, "# TYPE "), declared, "{text}");
}

#[test]
fn names_follow_the_conventions_of_prometheus() {
    for metric in catalog::ALL {
        let name = metric.name;
        assert!(name.starts_with("ido_proxy_"), "{name}");
        assert_eq!(metric.kind == Kind::Counter, name.ends_with("_total"), "{name}");
        let base = name.trim_end_matches("_total");
        match metric.unit {
            Unit::Seconds => assert!(base.ends_with("_seconds"), "{name}"),
            Unit::Bytes => assert!(base.ends_with("_bytes"), "{name}"),
            Unit::Count => assert!(!base.ends_with("_seconds"), "{name}"),
            ref other => panic!("{name}: {other:?} is no base unit in use here"),
        }
    }
}

#[test]
fn every_value_of_a_label_is_there_at_zero_from_the_start() {
    let (recorder, handle) = recorder();
    let sessions = metrics::with_local_recorder(&recorder, SessionMetrics::new);
    let text = handle.render();
    for reason in LinkLoss::NAMES {
        let line = format!("ido_proxy_links_lost_total{{reason=\"{reason}\"}} 0");
        assert!(text.contains(&line), "{line} in\n{text}");
    }

    sessions.links_lost.of(LinkLoss::Closed).increment(1);
    let line = format!("ido_proxy_links_lost_total{{reason=\"{}\"}} 1", LinkLoss::Closed);
    assert!(handle.render().contains(&line), "{}", handle.render());
}

fn names<'a>(text: &'a str, prefix: &str) -> BTreeSet<&'a str> {
    text.lines().filter_map(|line| line.strip_prefix(prefix)?.split(' ').next()).collect()
}
