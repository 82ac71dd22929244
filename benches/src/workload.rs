//! What is measured: one workload a file.

pub(crate) mod latency;
