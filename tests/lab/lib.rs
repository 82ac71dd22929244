//! The lab: real servers on this machine's loopback range, and faults.
pub mod counters;
pub mod error;
pub mod faults;
pub mod galera;
pub mod leftovers;
pub mod process;
pub mod run;
pub mod sql;
pub mod wait;
