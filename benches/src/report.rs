//! The results folder: raw numbers as JSON, one file a benchmark; plots; and `RESULTS.md`, which is
//! made anew from all the JSON there is.

mod bars;
mod commit;
mod curves;
mod everything;
mod failover;
mod markdown;
mod promises;
mod svg;
mod table;
mod verdict;

use std::fs;
use std::path::{Path, PathBuf};

use serde::Serialize;
use serde::de::DeserializeOwned;

pub(crate) use self::everything::{Part, Throughput};

use self::everything::Everything;
use crate::error::{BenchError, Context, Result};

/// The folder.
pub(crate) struct Folder(PathBuf);

impl Folder {
    /// Makes the folder if need be.
    ///
    /// # Errors
    /// The folder cannot be made.
    pub(crate) fn open(path: &Path) -> Result<Self> {
        fs::create_dir_all(path).context(|| format!("making {}", path.display()))?;
        Ok(Self(path.to_owned()))
    }

    /// Keeps one benchmark, in place of an older one of the name.
    ///
    /// # Errors
    /// The file cannot be written.
    pub(crate) fn keep<T: Serialize>(&self, name: &str, part: &Part<T>) -> Result<()> {
        let text = serde_json::to_string(part);
        let text = text.map_err(|error| BenchError::Refused(format!("{name}: {error}")))?;
        self.write(&format!("{name}.json"), &text)
    }

    /// Makes tables and plots of all that is kept, and returns the text of `RESULTS.md`.
    ///
    /// # Errors
    /// When a file cannot be read or written.
    pub(crate) fn render(&self) -> Result<String> {
        let everything = Everything {
            latency: self.kept("latency")?,
            throughput: self.kept("throughput")?,
            sessions: self.kept("sessions")?,
            commit: self.kept("commit")?,
            icinga: self.kept("icinga")?,
            failover: self.kept("failover")?,
        };
        if let Some(latency) = &everything.latency {
            let numbers = &latency.numbers;
            self.write("do-1.svg", &curves::plot("DO 1: latency by percentile", &numbers.do_1))?;
            let title = "SELECT of one row: latency by percentile";
            self.write("one-row.svg", &curves::plot(title, &numbers.one_row))?;
            self.write("added.svg", &bars::added(numbers))?;
        }
        if let Some(throughput) = &everything.throughput {
            self.write("throughput.svg", &bars::throughput(&throughput.numbers))?;
        }
        if let Some(failover) = &everything.failover {
            self.write("failover.svg", &failover::plot(&failover.numbers))?;
        }
        let text = markdown::page(&everything);
        self.write("RESULTS.md", &text)?;
        Ok(text)
    }

    fn kept<T: DeserializeOwned>(&self, name: &str) -> Result<Option<T>> {
        let path = self.0.join(format!("{name}.json"));
        if !path.exists() {
            return Ok(None);
        }
        let text = fs::read(&path).context(|| format!("reading {}", path.display()))?;
        let part = serde_json::from_slice(&text);
        part.map(Some).map_err(|error| BenchError::Refused(format!("{}: {error}", path.display())))
    }

    fn write(&self, name: &str, text: &str) -> Result<()> {
        let path = self.0.join(name);
        fs::write(&path, text).context(|| format!("writing {}", path.display()))
    }
}
