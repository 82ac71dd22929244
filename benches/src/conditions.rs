//! Under which conditions numbers were made: without them they mean nothing.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread::available_parallelism;

use serde::{Deserialize, Serialize};

use crate::others::Since;
use crate::wakes;

/// The machine, the versions, and the load. Nothing that names the machine.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct Conditions {
    /// The command that made the numbers.
    pub(crate) command: String,
    /// Start of the benchmark: date and time in UTC.
    pub(crate) begun: String,
    /// Cores that may be used.
    pub(crate) cores: usize,
    /// The kernel's release.
    pub(crate) kernel: String,
    /// Program and version.
    pub(crate) versions: Vec<(String, String)>,
    /// Nanoseconds for which an idle core looks for work before the host gets it back. `None` where the
    /// machine has no such knob.
    #[serde(default)]
    pub(crate) guest_halt_poll_ns: Option<u64>,
    /// Cores that programs not of this benchmark kept busy meanwhile, on average.
    pub(crate) cores_of_others: f64,
}

impl Conditions {
    /// The conditions as of now, before a benchmark in which the ido-proxy `old` may have a part.
    pub(crate) fn now(command: String, old: Option<&Path>) -> Self {
        let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
        let proxy = lab::proxy::binary().unwrap_or_else(|_| "ido-proxy".into());
        let proxy = proxy.to_string_lossy();
        let versions = [
            ("ido-proxy", &*proxy, "--version"),
            ("MariaDB", "mariadbd", "--version"),
            ("HAProxy", "haproxy", "-v"),
            ("nginx", "nginx", "-v"),
            ("Icinga 2", "icinga2", "--version"),
        ];
        let old = old.map(|old| ("old ido-proxy", old.to_string_lossy(), "--version"));
        let old = old.as_ref().map(|(name, program, argument)| (*name, &**program, *argument));
        let versions = versions.into_iter().chain(old).map(|(name, program, argument)| {
            (name.to_owned(), version(&printed(program, argument)).to_owned())
        });
        Self {
            command,
            begun: printed("date", "--utc").trim().to_owned(),
            cores: available_parallelism().map_or(1, usize::from),
            kernel: release(&kernel).to_owned(),
            versions: versions.collect(),
            guest_halt_poll_ns: wakes::now(),
            cores_of_others: 0.0,
        }
    }

    /// The conditions at the end of a benchmark that began at `since`.
    pub(crate) fn ended(mut self, since: &Since) -> Self {
        self.cores_of_others = since.cores();
        self
    }
}

/// Output of a program, on whichever of its two outputs.
fn printed(program: &str, argument: &str) -> String {
    let path = lab::tool::found(program.as_ref()).unwrap_or_else(|_| program.into());
    let output = Command::new(path).arg(argument).stdin(Stdio::null()).output();
    let output = output.map(|output| [output.stdout, output.stderr].concat());
    String::from_utf8_lossy(&output.unwrap_or_default()).into_owned()
}

/// The first word that looks like a version: "10.11.14-MariaDB", "r2.13.6-1", "nginx/1.22.1".
fn version(text: &str) -> &str {
    let words = text.split(|letter: char| letter.is_whitespace() || "/(),:".contains(letter));
    let is_version = |word: &&str| {
        let word = word.strip_prefix('r').unwrap_or(word);
        word.contains('.') && word.starts_with(|letter: char| letter.is_ascii_digit())
    };
    words.into_iter().find(is_version).unwrap_or("not installed")
}

/// A kernel's version without what its builder appended, which may name a machine.
fn release(text: &str) -> &str {
    text.split(['-', '\n']).next().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_found_in_what_programs_print() {
        for (text, expected) in [
            ("mariadbd  Ver 10.11.19-MariaDB-0+deb12u1 for debian", "10.11.19-MariaDB-0+deb12u1"),
            ("HAProxy version 2.6.12-1+deb12u4 2026/10/17", "2.6.12-1+deb12u4"),
            ("nginx version: nginx/1.22.1", "1.22.1"),
            ("icinga2 - The daemon (version: r2.13.6-1)", "r2.13.6-1"),
            ("ido-proxy 0.1.0", "0.1.0"),
            ("", "not installed"),
        ] {
            assert_eq!(version(text), expected);
        }
    }

    #[test]
    fn the_kernel_is_named_without_its_builder() {
        assert_eq!(release("6.18.44-someone-669\n"), "6.18.44");
    }
}
