//! Numbers that are kept of one way's measurement: in the JSON files, and for tables and plots.

use serde::{Deserialize, Serialize};

use crate::rounds::Measured;
use crate::stand::Way;

/// The numbers of one way in one workload.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct Series {
    /// Which way.
    pub(crate) way: Way,
    /// Percentiles over all commands, in nanoseconds.
    pub(crate) percentiles: Percentiles,
    /// The whole curve: how many of 1 took at most how many nanoseconds.
    pub(crate) curve: Vec<(f64, u64)>,
    /// The median of each round, in nanoseconds, in the order of rounds.
    pub(crate) rounds: Vec<u64>,
    /// Commands sent, those of warm-ups included.
    pub(crate) commands: u64,
    /// CPU seconds that the program in between used for them. 0 where there is none.
    pub(crate) cpu_seconds: f64,
    /// Bytes of one reply.
    pub(crate) reply_bytes: u64,
    /// The most memory of the program in between, in bytes. 0 where there is none.
    pub(crate) peak_memory: u64,
}

/// Percentiles in nanoseconds.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub(crate) struct Percentiles {
    /// Half took no longer.
    pub(crate) p50: u64,
    /// 90 % took no longer.
    pub(crate) p90: u64,
    /// 99 % took no longer.
    pub(crate) p99: u64,
    /// 99.9 % took no longer.
    pub(crate) p999: u64,
    /// None took longer.
    pub(crate) max: u64,
}

/// How a way compares with another, round by round.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Paired {
    /// The median over rounds.
    pub(crate) median: f64,
    /// A quarter of the rounds was below this.
    pub(crate) low: f64,
    /// A quarter of the rounds was above this.
    pub(crate) high: f64,
}

impl Series {
    /// Keeps what matters of a measurement.
    pub(crate) fn of(measured: &Measured) -> Self {
        let times = &measured.times;
        let curve = times
            .iter_quantiles(4)
            .map(|step| (step.quantile_iterated_to(), step.value_iterated_to()))
            .collect();
        let percentiles = Percentiles {
            p50: times.value_at_quantile(0.5),
            p90: times.value_at_quantile(0.9),
            p99: times.value_at_quantile(0.99),
            p999: times.value_at_quantile(0.999),
            max: times.max(),
        };
        Self {
            way: measured.way,
            percentiles,
            curve,
            rounds: measured.turns.clone(),
            commands: measured.commands,
            cpu_seconds: measured.cpu.as_secs_f64(),
            reply_bytes: measured.reply_bytes,
            peak_memory: measured.peak_memory,
        }
    }

    /// Nanoseconds that this way's median is above `base`'s, in the same rounds.
    pub(crate) fn added(&self, base: &Self) -> Paired {
        self.paired(base, |own, base| own - base)
    }

    /// How often `base`'s median fits into this way's, in the same rounds.
    pub(crate) fn ratio(&self, base: &Self) -> Paired {
        self.paired(base, |own, base| own / base)
    }

    /// CPU time of the program in between for one command, in microseconds.
    pub(crate) fn cpu_micros_per_command(&self) -> f64 {
        self.cpu_seconds * 1e6 / self.commands.max(1) as f64
    }

    fn paired(&self, base: &Self, compared: impl Fn(f64, f64) -> f64) -> Paired {
        let pairs = self.rounds.iter().zip(&base.rounds);
        Paired::over(pairs.map(|(own, base)| compared(*own as f64, *base as f64)).collect())
    }
}

impl Paired {
    /// The quartiles of `values`; zeros where there are none.
    pub(crate) fn over(mut values: Vec<f64>) -> Self {
        values.sort_by(f64::total_cmp);
        let at = |share: f64| {
            let last = values.len().saturating_sub(1) as f64;
            let (below, above) = ((last * share).floor(), (last * share).ceil());
            let value = |index: f64| values.get(index as usize).copied().unwrap_or_default();
            value(below) + (value(above) - value(below)) * (last * share - below)
        };
        Self { median: at(0.5), low: at(0.25), high: at(0.75) }
    }
}

/// The series of `way`.
pub(crate) fn find(series: &[Series], way: Way) -> Option<&Series> {
    series.iter().find(|series| series.way == way)
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A series with these medians of rounds, in nanoseconds.
    pub(crate) fn series(way: Way, rounds: &[u64]) -> Series {
        let mut measured = Measured::none(way);
        for nanos in rounds {
            measured.times.record(*nanos).expect("in bounds");
        }
        measured.turns = rounds.to_vec();
        Series::of(&measured)
    }

    /// A machine that slows down half-way must not look like a slow proxy.
    #[test]
    fn drift_does_not_count_as_added() {
        let direct = series(Way::Direct, &[100, 100, 100, 900, 900]);
        let proxied = series(Way::Proxy, &[120, 120, 120, 920, 920]);
        let added = proxied.added(&direct);
        assert_eq!((added.median, added.low, added.high), (20.0, 20.0, 20.0));
        assert_eq!(proxied.ratio(&direct).median, 1.2);
    }

    #[test]
    fn quartiles_lie_between_neighbours() {
        let paired = Paired::over(vec![4.0, 1.0, 3.0, 2.0]);
        assert_eq!((paired.low, paired.median, paired.high), (1.75, 2.5, 3.25));
        assert_eq!(Paired::over(Vec::new()).median, 0.0);
    }

    /// Three significant digits are kept, whatever the size.
    #[test]
    fn percentiles_are_those_of_what_was_recorded() {
        let values: Vec<u64> = (1..=1000).map(|value| value * 1000).collect();
        let series = series(Way::Direct, &values);
        for (share, value) in [(50, series.percentiles.p50), (99, series.percentiles.p99)] {
            let exact = (share * 10_000) as f64;
            assert!((value as f64 / exact - 1.0).abs() < 0.002, "p{share}: {value}");
        }
        assert!(series.curve.is_sorted_by(|one, next| one.0 <= next.0 && one.1 <= next.1));
    }
}
