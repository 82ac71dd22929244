//! Differences that are known and documented.

use std::path::Path;

use lab::error::{LabError, Result};
use serde::Deserialize;

use crate::compare::Difference;
use crate::grammar::family;
use crate::program::Program;

/// The list.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Known {
    #[serde(default)]
    known: Vec<Entry>,
}

/// One of them. `*` in a pattern stands for anything.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Entry {
    /// A pattern of signatures.
    differs: String,
    /// Patterns of tags or their families, of flags of a login ("flag NoSchema"), of its collation ("collation 63"), of how
    /// many log in ("2 sessions"), or the lab's server ("server 11.8"); each must be in the program.
    #[serde(default)]
    needs: Vec<String>,
    /// Whether what comes behind it in the same program is compared.
    #[serde(default)]
    goes_on: bool,
    /// Whether it comes by chance, on either side: one that is seen each time is another one.
    #[serde(default)]
    once: bool,
    /// Why it is so, and where that is documented.
    pub(crate) reason: String,
}

impl Known {
    /// Reads the file.
    ///
    /// # Errors
    /// The file cannot be read, or is not as it should be.
    pub(crate) fn read(path: &Path) -> Result<Self> {
        let wrong = |error: &dyn std::fmt::Display| {
            LabError::Refused(format!("{}: {error}", path.display()))
        };
        let text = std::fs::read_to_string(path).map_err(|error| wrong(&error))?;
        toml::from_str(&text).map_err(|error| wrong(&error))
    }

    /// The entry that a difference is.
    pub(crate) fn entry(&self, program: &Program, found: &Difference) -> Option<&Entry> {
        self.find(program, found, false)
    }

    /// The entry that a difference is which is not seen each time.
    pub(crate) fn entry_once(&self, program: &Program, found: &Difference) -> Option<&Entry> {
        self.find(program, found, true)
    }

    fn find(&self, program: &Program, found: &Difference, once: bool) -> Option<&Entry> {
        let signature = found.signature();
        let flags = program.logins.iter().flat_map(|login| &login.flags);
        let mut tags = program.tags();
        let families: Vec<_> = tags.iter().map(|tag| family(tag).to_owned()).collect();
        tags.extend(families);
        tags.extend(flags.map(|flag| format!("flag {flag:?}")));
        tags.extend(std::env::var("IDO_PROXY_LAB_SERVER").map(|server| format!("server {server}")));
        tags.extend(program.logins.iter().map(|login| format!("collation {}", login.collation)));
        tags.push(format!("{} sessions", program.logins.len()));
        if program.steps.iter().any(|step| step.background) {
            tags.push("background".to_owned());
        }
        self.known.iter().filter(|entry| entry.once == once).find(|entry| {
            let needed = |pattern: &String| tags.iter().any(|tag| matches(pattern, tag));
            matches(&entry.differs, &signature) && entry.needs.iter().all(needed)
        })
    }

    /// Whether a difference is known, and what comes behind it is to be compared.
    pub(crate) fn passes(&self, program: &Program, found: &Difference) -> bool {
        self.entry(program, found).is_some_and(|entry| entry.goes_on)
    }
}

/// Whether `text` is as the pattern has it.
fn matches(pattern: &str, text: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern == text,
        Some((head, rest)) => {
            let Some(tail) = text.strip_prefix(head) else { return false };
            let mut ends = (0..=tail.len()).filter(|end| tail.is_char_boundary(*end));
            ends.any(|end| matches(rest, &tail[end..]))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_stands_for_anything() {
        assert!(matches("a*c", "abbc") && matches("*", "") && matches("a*", "a"));
        assert!(!matches("a*c", "abbd") && !matches("a", "ab"));
    }
}
