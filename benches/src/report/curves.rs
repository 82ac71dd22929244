//! The plot of latency by percentile: each further nine takes as much room as the one before, as in
//! HDR histograms, since it is the rare slow command that hurts.

use super::svg::{Anchor, Svg};
use crate::series::Series;

/// Draws one curve for each way.
pub(super) fn plot(title: &str, series: &[Series]) -> String {
    let mut svg = Svg::new(WIDTH, HEIGHT, title);
    let shown = |series: &Series| {
        let points = series.curve.iter().filter(|(share, _)| *share <= LAST_SHARE);
        points.copied().collect::<Vec<_>>()
    };
    let micros = |nanos: u64| nanos as f64 / 1e3;
    let curves: Vec<_> = series.iter().map(|series| (series.way, shown(series))).collect();
    let values = || curves.iter().flat_map(|(_, points)| points.iter().map(|point| point.1));
    let scale = Scale::holding(values().map(micros));

    for decade in scale.decades() {
        let y = scale.y(decade);
        svg.rule((LEFT, y), (RIGHT, y));
        svg.text(LEFT - 6.0, y + 4.0, Anchor::End, &format!("{decade} µs"));
    }
    for (share, name) in
        [(0.0, "0"), (0.5, "50 %"), (0.9, "90 %"), (0.99, "99 %"), (0.999, "99.9 %")]
    {
        svg.rule((x(share), TOP), (x(share), BOTTOM));
        svg.text(x(share), BOTTOM + 18.0, Anchor::Middle, name);
    }
    for (index, (way, points)) in curves.iter().enumerate() {
        let points = points.iter().map(|(share, nanos)| (x(*share), scale.y(micros(*nanos))));
        svg.curve(points, *way);
        let y = TOP + 14.0 + 18.0 * index as f64;
        svg.curve([(LEFT + 12.0, y - 4.0), (LEFT + 42.0, y - 4.0)], *way);
        svg.text(LEFT + 50.0, y, Anchor::Start, way.label());
    }
    svg.finish()
}

/// A share of all commands, 0 to [`LAST_SHARE`], to the right.
fn x(share: f64) -> f64 {
    let nines = |share: f64| -(1.0 - share).log10();
    LEFT + (RIGHT - LEFT) * nines(share.min(LAST_SHARE)) / nines(LAST_SHARE)
}

/// Upwards: the logarithm of microseconds.
struct Scale {
    low: f64,
    high: f64,
}

impl Scale {
    /// From a bit below the least value to a bit above the greatest.
    fn holding(values: impl Iterator<Item = f64>) -> Self {
        let start = (f64::INFINITY, 0.0_f64);
        let (low, high) =
            values.fold(start, |(low, high), value| (low.min(value), high.max(value)));
        if low.is_infinite() {
            return Self { low: 1.0, high: 10.0 };
        }
        Self { low: low.max(0.1) * 0.8, high: high.max(1.0) * 1.25 }
    }

    fn y(&self, value: f64) -> f64 {
        let share = (value.max(self.low) / self.low).ln() / (self.high / self.low).ln();
        BOTTOM - (BOTTOM - TOP) * share
    }

    /// 1, 2, 5, 10, 20, … as far as they are in it.
    fn decades(&self) -> impl Iterator<Item = f64> {
        let all = (-1..7).flat_map(|power| [1.0, 2.0, 5.0].map(|digit| digit * 10_f64.powi(power)));
        all.filter(|value| (self.low..=self.high).contains(value))
    }
}

const WIDTH: f64 = 760.0;
const HEIGHT: f64 = 420.0;
const LEFT: f64 = 70.0;
const RIGHT: f64 = 740.0;
const TOP: f64 = 40.0;
const BOTTOM: f64 = 380.0;

/// Further right single commands of a shared machine would draw the line.
const LAST_SHARE: f64 = 0.9995;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::series::tests::series;
    use crate::stand::Way;

    #[test]
    fn every_way_has_a_curve_inside_the_axes() {
        let series = [series(Way::Direct, &[10_000, 20_000]), series(Way::Proxy, &[40_000])];
        let plot = plot("title", &series);
        for way in [Way::Direct, Way::Proxy] {
            assert!(plot.contains(way.label()));
        }
        let points =
            plot.lines().filter_map(|line| line.split_once("points=\"")?.1.split('"').next());
        for point in points.flat_map(|points| points.split(' ')) {
            let (x, y) = point.split_once(',').expect("a pair");
            let (x, y): (f64, f64) = (x.parse().expect("a number"), y.parse().expect("a number"));
            assert!((LEFT..=RIGHT).contains(&x) && (TOP..=BOTTOM).contains(&y), "{point}");
        }
    }

    #[test]
    fn each_nine_takes_as_much_room() {
        let (one, two, three) = (x(0.9), x(0.99), x(0.999));
        assert!(((two - one) - (three - two)).abs() < 0.01);
        assert_eq!(x(0.0), LEFT);
        assert!((x(1.0) - RIGHT).abs() < 0.01);
    }

    /// No measurement at all still gives a file.
    #[test]
    fn nothing_is_drawn_of_nothing() {
        assert!(plot("title", &[]).ends_with("</svg>\n"));
    }
}
