//! The plots with bars: what each way adds to a command, how much it carries, and how long a client
//! stands still.

use super::everything::Throughput;
use super::svg::{Anchor, Svg};
use crate::series::{Series, find};
use crate::stand::Way;
use crate::workload::latency::Latency;

/// Time that each way adds to the median of a small command over direct TCP.
pub(super) fn added(latency: &Latency) -> String {
    let group = |name: &str, series: &[Series]| {
        let direct = find(series, Way::Direct);
        let others = series.iter().filter(|series| series.way != Way::Direct);
        let added = |series: &Series| Some(series.added(direct?).median / 1e3);
        let bar = |series: &Series| Some(Bar::of(series.way, added(series)?, "µs"));
        Group { name: name.to_owned(), bars: others.filter_map(bar).collect() }
    };
    draw(
        "Added to the median, over direct TCP",
        &[
            group("DO 1", &latency.do_1),
            group("DO 1, everything on one core", &latency.do_1_on_one_core),
            group("SELECT of one row", &latency.one_row),
        ],
    )
}

/// Throughput of each way, direct TCP being 100.
pub(super) fn throughput(throughput: &Throughput) -> String {
    let group = |name: &str, series: &[Series]| {
        let direct = find(series, Way::Direct);
        let share = |series: &Series| Some(100.0 / series.ratio(direct?).median);
        let bar = |series: &Series| Some(Bar::of(series.way, share(series)?, "%"));
        Group { name: name.to_owned(), bars: series.iter().filter_map(bar).collect() }
    };
    let results = &throughput.results;
    draw(
        "Throughput, direct TCP being 100 %",
        &[
            group("Icinga's batch", &throughput.batch),
            group("10 MB result", &results.ten),
            group("100 MB result", &results.hundred),
            group("100 MB in short rows", &results.short_rows),
            group("100 MB of a constant", &results.constant),
        ],
    )
}

/// Bars with a common heading.
pub(super) struct Group {
    /// The heading.
    pub(super) name: String,
    /// The bars, the first on top.
    pub(super) bars: Vec<Bar>,
}

/// One bar.
pub(super) struct Bar {
    /// The text to the left of the bar.
    pub(super) label: &'static str,
    /// Whose colour it has.
    pub(super) way: Way,
    /// How long it is, in any unit that all of a plot share.
    pub(super) value: f64,
    /// The text to the right of the bar.
    pub(super) text: String,
}

impl Bar {
    /// The bar of a way, with its value and unit beside it.
    fn of(way: Way, value: f64, unit: &str) -> Self {
        Self { label: way.label(), way, value, text: format!("{value:.1} {unit}") }
    }
}

/// The plot of these groups, one below the other, with one scale.
pub(super) fn draw(title: &str, groups: &[Group]) -> String {
    let rows: usize = groups.iter().map(|group| group.bars.len() + 2).sum();
    let mut svg = Svg::new(WIDTH, TOP + ROW * rows as f64, title);
    let values = || groups.iter().flat_map(|group| group.bars.iter().map(|bar| bar.value));
    let most = values().fold(0.0, f64::max);
    let least = values().fold(0.0, f64::min);
    let zoom = (RIGHT - LEFT) / (most - least).max(f64::MIN_POSITIVE);
    let zero = LEFT - least * zoom;

    let mut y = TOP;
    for group in groups {
        svg.text(12.0, y + ROW - 6.0, Anchor::Start, &group.name);
        y += ROW;
        for Bar { label, way, value, text } in &group.bars {
            svg.text(LEFT - 8.0, y + ROW - 6.0, Anchor::End, label);
            svg.bar((zero, y + 2.0), value * zoom, ROW - 4.0, *way);
            let end = zero + (value * zoom).max(0.0) + 6.0;
            svg.text(end, y + ROW - 6.0, Anchor::Start, text);
            y += ROW;
        }
        y += ROW;
    }
    svg.rule((zero, TOP), (zero, y - ROW));
    svg.finish()
}

const WIDTH: f64 = 760.0;
const TOP: f64 = 36.0;
const ROW: f64 = 22.0;
/// Left of it are names, right of it bars.
const LEFT: f64 = 190.0;
/// Right of it is room for a number.
const RIGHT: f64 = 680.0;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::series::tests::series;

    /// The picture people look at must say what the table says.
    #[test]
    fn bars_are_differences_to_direct_tcp() {
        let numbers = || {
            vec![
                series(Way::Direct, &[20_000, 30_000]),
                series(Way::DirectUnix, &[16_000, 26_000]),
                series(Way::Proxy, &[45_000, 55_000]),
            ]
        };
        let latency = Latency { do_1: numbers(), do_1_on_one_core: numbers(), one_row: numbers() };
        let plot = added(&latency);
        assert_eq!(plot.matches(">25.0 µs<").count(), 3, "{plot}");
        assert_eq!(plot.matches(">-4.0 µs<").count(), 3);
        assert!(!plot.contains(Way::Direct.label()));
    }
}
