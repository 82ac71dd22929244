//! A promise held against what was measured.

use crate::stand::Way;

/// One promise.
#[derive(Debug, PartialEq)]
pub(super) struct Verdict {
    /// The quantity that is measured.
    pub(super) what: String,
    /// The value that is promised.
    pub(super) goal: String,
    /// The value that was measured.
    pub(super) measured: String,
    /// "met", or "missed by" how much.
    pub(super) outcome: String,
}

pub(super) fn at_most(what: String, unit: &str, digits: usize, goal: f64, value: f64) -> Verdict {
    let outcome = if value <= goal { MET.into() } else { missed(value - goal, unit, digits) };
    let goal = format!("at most {}", number(goal, unit, digits));
    Verdict { what, goal, measured: number(value, unit, digits), outcome }
}

pub(super) fn below(what: String, unit: &str, digits: usize, goal: f64, value: f64) -> Verdict {
    let outcome = if value < goal { MET.into() } else { missed(value - goal, unit, digits) };
    let goal = format!("below {}", number(goal, unit, digits));
    Verdict { what, goal, measured: number(value, unit, digits), outcome }
}

pub(super) fn missed(by: f64, unit: &str, digits: usize) -> String {
    format!("**missed by {}**", number(by, unit, digits))
}

fn number(value: f64, unit: &str, digits: usize) -> String {
    let space = if unit.is_empty() { "" } else { " " };
    format!("{value:.digits$}{space}{unit}")
}

/// The ways that promises are about.
pub(super) const PROXY: [Way; 2] = [Way::Proxy, Way::ProxyUnix];
pub(super) const MET: &str = "met";
