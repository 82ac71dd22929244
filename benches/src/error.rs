//! Why a benchmark could not be run.

use std::io;

/// Shorthand for results of this program.
pub(crate) type Result<T, E = BenchError> = std::result::Result<T, E>;

/// A failure of a benchmark. No number that was measured so far is used then.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BenchError {
    /// The operating system or a connection failed.
    #[error("{what}: {source}")]
    Io {
        /// The attempt, and its place.
        what: String,
        /// Why it failed.
        source: io::Error,
    },
    /// A server or a proxy could not be brought up. Its text names the log to read.
    #[error(transparent)]
    Lab(#[from] lab::LabError),
    /// A server answered with something that cannot be measured.
    #[error("{0}")]
    Refused(String),
}

/// Adds what was being attempted to an error of the operating system.
pub(crate) trait Context<T> {
    /// `what` reads as the beginning of a sentence: "reading /proc/1/stat".
    fn context(self, what: impl FnOnce() -> String) -> Result<T>;
}

impl<T> Context<T> for io::Result<T> {
    fn context(self, what: impl FnOnce() -> String) -> Result<T> {
        self.map_err(|source| BenchError::Io { what: what(), source })
    }
}
