//! A metric: its description, and its handles.

use metrics::{Counter, Gauge, Histogram, SharedString, Unit};

/// One metric, or one family of series that differ in their label.
#[derive(Debug)]
pub(crate) struct Metric {
    /// The name as Prometheus sees it, unit and `_total` included.
    pub(crate) name: &'static str,
    /// Counter, gauge or histogram.
    pub(crate) kind: Kind,
    /// The unit of its values; `Unit::Count` for a plain number.
    pub(crate) unit: Unit,
    /// The label by which its series differ; [`NO_LABEL`] for a single series.
    pub(crate) label: LabelOf,
    /// The meaning, for the `# HELP` line and the documentation.
    pub(crate) help: &'static str,
}

/// The three kinds of metric.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Kind {
    /// Only ever grows.
    Counter,
    /// Goes up and down.
    Gauge,
    /// Counts observations in buckets.
    Histogram,
}

/// The label of a family.
#[derive(Debug)]
pub(crate) struct LabelOf {
    /// The key; empty if there is no label.
    pub(crate) key: &'static str,
    /// The values where they are known beforehand; empty for a node's address and the like.
    pub(crate) values: &'static [&'static str],
}

impl Metric {
    /// Tells the recorder the unit and the help text.
    pub(super) fn describe(&self) {
        match self.kind {
            Kind::Counter => metrics::describe_counter!(self.name, self.unit, self.help),
            Kind::Gauge => metrics::describe_gauge!(self.name, self.unit, self.help),
            Kind::Histogram => metrics::describe_histogram!(self.name, self.unit, self.help),
        }
    }

    /// The handle of a counter without a label.
    pub(super) fn counter(&self) -> Counter {
        metrics::counter!(self.name)
    }

    /// The handle of the counter whose label has this value.
    pub(super) fn counter_of(&self, value: impl Into<SharedString>) -> Counter {
        metrics::counter!(self.name, self.label.key => value.into())
    }

    /// The handle of a gauge without a label.
    pub(super) fn gauge(&self) -> Gauge {
        metrics::gauge!(self.name)
    }

    /// The handle of the gauge whose label has this value.
    pub(super) fn gauge_of(&self, value: impl Into<SharedString>) -> Gauge {
        metrics::gauge!(self.name, self.label.key => value.into())
    }

    /// The handle of a histogram without a label.
    pub(super) fn histogram(&self) -> Histogram {
        metrics::histogram!(self.name)
    }

    /// The handle of the histogram whose label has this value.
    pub(super) fn histogram_of(&self, value: impl Into<SharedString>) -> Histogram {
        metrics::histogram!(self.name, self.label.key => value.into())
    }
}

/// The label of a metric that is one series.
pub(super) const NO_LABEL: LabelOf = LabelOf { key: "", values: &[] };
