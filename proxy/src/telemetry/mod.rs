//! Telemetry of the daemon: logs for reading, metrics for watching.
//!
//! Layout:
//! - [`logs`] — `tracing` to standard error, as text or JSON.
//! - [`metrics`] — for Prometheus: handles to count with, and the text of `/metrics`.

pub(crate) mod logs;
pub(crate) mod metrics;
