//! `[failover]`: how long things may take when the primary changes.

use std::time::Duration;

use serde::Deserialize;

use crate::keys::{Key, key};
use crate::report::Report;

/// `[failover]`
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Failover {
    /// How long a client waits while there is no primary, before it gets an error; up to 24 h, not 0.
    /// Default: 5 min.
    #[serde(with = "humantime_serde")]
    pub hold: Duration,
    /// How long a primary may be silent to this proxy while the other nodes still see it, up to
    /// 10 min, not 0. Default: 3 s.
    #[serde(with = "humantime_serde")]
    pub path_timeout: Duration,
    /// How long sessions may take to reach a transaction boundary when the proxy ends, up to 1 h;
    /// 0 ends them at once. Default: 10 s.
    #[serde(with = "humantime_serde")]
    pub drain: Duration,
    /// Which nodes are cut off from their cluster at once, which otherwise blocks every write until it suspects them.
    /// Default: none.
    pub evict: Evict,
}

/// Which nodes are cut off from their cluster at once.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq)]
#[serde(rename_all = "lowercase")]
pub enum Evict {
    /// A node whose process is certainly dead, where the procedure that does it is there (`ido-proxy setup`).
    Dead,
    /// None.
    #[default]
    Off,
}

impl Default for Failover {
    fn default() -> Self {
        Self {
            hold: Duration::from_secs(300),
            path_timeout: Duration::from_secs(3),
            drain: Duration::from_secs(10),
            evict: Evict::Off,
        }
    }
}

impl Failover {
    pub(crate) fn check(&self, report: &mut Report<'_>) {
        let least = Duration::from_millis(1);
        let hour = Duration::from_secs(3600);
        report.duration("failover.hold", self.hold, least..=24 * hour);
        report.duration("failover.path_timeout", self.path_timeout, least..=hour / 6);
        report.duration("failover.drain", self.drain, Duration::ZERO..=hour);
    }
}

pub(crate) const KEYS: &[Key] = &[
    key("failover.hold", "a time from \"1ms\" to \"24h\", as in \"5m\""),
    key("failover.path_timeout", "a time from \"1ms\" to \"10m\", as in \"3s\""),
    key("failover.drain", "a time from \"0s\" to \"1h\", as in \"10s\""),
    key("failover.evict", "\"dead\" or \"off\""),
];
