//! Resources of all sessions, and of the rest of the daemon.
//!
//! - [`accounts`] — who may log in; [`greeting`] — what clients are greeted with; [`role`] — whether they write.
//! - [`directives`] — where sessions belong now, and whether the daemon ends.
//! - [`registry`] — each session as the console shows it; [`failover_stats`] — how long each failover took.

pub(crate) mod accounts;
pub(crate) mod directives;
pub(crate) mod failover_stats;
pub(crate) mod greeting;
pub(crate) mod registry;
pub(crate) mod role;
