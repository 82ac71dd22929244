//! Errors of the lab, worded so that the next step is clear.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Shorthand for results of this library.
pub type Result<T, E = LabError> = std::result::Result<T, E>;

/// A failure of the lab itself. Its text names the part, what was last seen, and the log to read.
#[derive(Debug, thiserror::Error)]
pub enum LabError {
    /// A part did not become what it should in time.
    #[error("{what}: not within {after:?}. Last seen: {seen}{log}")]
    Deadline {
        /// The condition waited for, such as "node2 Synced".
        what: String,
        /// How long it was waited for.
        after: Duration,
        /// The finding of the last attempt.
        seen: String,
        /// The end of the log that should tell why.
        log: LogTail,
    },

    /// A part ended, or said that it never will be ready.
    #[error("{what}: {reason}{log}")]
    Failed {
        /// The condition waited for, or the part meant.
        what: String,
        /// The reason why it ended.
        reason: String,
        /// The end of the log that should tell why.
        log: LogTail,
    },

    /// The operating system refused something.
    #[error("{what}: {source}")]
    Io {
        /// The attempt.
        what: String,
        /// Why it was refused.
        source: io::Error,
    },

    /// A program is not installed. `tests/install.sh lab` mends it.
    #[error("{program} is not installed: run tests/install.sh lab")]
    Missing {
        /// The program looked for.
        program: String,
    },

    /// The lab was asked for something that makes no sense, or needs rights that are not there.
    #[error("{0}")]
    Refused(String),

    /// A certificate could not be made.
    #[error("no certificate: {0}")]
    Certificate(#[from] rcgen::Error),

    /// A database answered with an error.
    #[error("{what}: {source}")]
    Sql {
        /// The question, and the server that was asked.
        what: String,
        /// The answer.
        source: Box<mysql_async::Error>,
    },
}

/// Adds what was being attempted to an error of the operating system or of a database.
pub trait Context<T> {
    /// `what` reads as the beginning of a sentence: "reading /proc/1/stat".
    fn context(self, what: impl FnOnce() -> String) -> Result<T>;
}

impl<T> Context<T> for io::Result<T> {
    fn context(self, what: impl FnOnce() -> String) -> Result<T> {
        self.map_err(|source| LabError::Io { what: what(), source })
    }
}

impl<T> Context<T> for mysql_async::Result<T> {
    fn context(self, what: impl FnOnce() -> String) -> Result<T> {
        self.map_err(|source| LabError::Sql { what: what(), source: Box::new(source) })
    }
}

/// The last lines of a log, with its path. Displays as nothing where there is no log.
#[derive(Debug, Default)]
pub struct LogTail(Option<(PathBuf, String)>);

impl LogTail {
    /// Reads the end of `log` now, since it may be gone when the error is printed.
    pub fn of(log: &Path) -> Self {
        let text = std::fs::read(log).unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        let lines: Vec<&str> = text.lines().collect();
        let from = lines.len().saturating_sub(TAIL_LINES);
        let tail = lines.iter().skip(from).map(|line| clipped(line)).collect::<Vec<_>>();
        Self(Some((log.to_owned(), tail.join("\n"))))
    }
}

impl std::fmt::Display for LogTail {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.0 {
            None => Ok(()),
            Some((path, tail)) if tail.is_empty() => {
                write!(f, "\n  its log is empty: {}", path.display())
            }
            Some((path, tail)) => {
                write!(f, "\n  its log: {}", path.display())?;
                tail.lines().try_for_each(|line| write!(f, "\n  | {line}"))
            }
        }
    }
}

/// Logs of databases quote whole batches; the beginning of a line is what helps.
fn clipped(line: &str) -> String {
    line.chars().take(TAIL_COLUMNS).collect()
}

const TAIL_LINES: usize = 15;
const TAIL_COLUMNS: usize = 300;
