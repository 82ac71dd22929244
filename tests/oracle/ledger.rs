//! Findings so far: one entry a signature, with a count and the smallest program.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::Path;

use lab::error::{Context, Result};

use crate::compare::Difference;
use crate::grammar::family;
use crate::program::Program;

/// Everything that was found.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    /// Programs that were run.
    pub(crate) programs: u64,
    /// Answers of the direct server that were errors, and all of them.
    pub(crate) errors: (u64, u64),
    /// Differences that may be, by their reasons.
    known: BTreeMap<String, u64>,
    found: BTreeMap<String, Finding>,
    /// How often each signature was seen before it was made smaller.
    seen: BTreeMap<String, u64>,
}

/// A difference that is not known.
#[derive(Clone, Debug)]
struct Finding {
    count: u64,
    program: Program,
    difference: Difference,
    /// Runs of the smallest program that showed it, and all of them.
    steady: (u32, u32),
}

impl Finding {
    fn told(&self) -> String {
        let Self { count, program, difference, steady: (shown, of) } = self;
        let json = serde_json::to_string(program).unwrap_or_default();
        let seed = program.seed;
        format!(
            "\n- {count} x, seed {seed}, {shown} of {of} runs\n{program}{difference}\n  json: {json}\n"
        )
    }
}

impl Ledger {
    /// Something was seen that may be.
    pub(crate) fn know(&mut self, reason: &str) {
        *self.known.entry(reason.to_owned()).or_default() += 1;
    }

    /// A difference was seen. Whether it is worth to be made smaller: the first times, and seldom then.
    pub(crate) fn see(&mut self, signature: &str) -> bool {
        let seen = self.seen.entry(signature.to_owned()).or_default();
        *seen += 1;
        let worth = *seen <= 3 || (*seen).is_power_of_two();
        if !worth {
            let of_signature = self.found.values_mut();
            let same = of_signature.filter(|one| one.difference.signature() == signature);
            if let Some(most) = same.max_by_key(|one| one.count) {
                most.count += 1;
            }
        }
        worth
    }

    /// A difference was made smaller. Whether it is new.
    pub(crate) fn find(
        &mut self,
        program: Program,
        difference: Difference,
        steady: (u32, u32),
    ) -> bool {
        let tags = program.tags();
        let mut tags: Vec<_> = tags.iter().map(|tag| family(tag)).collect();
        tags.dedup();
        let grave = if difference.is_grave() { " + tables" } else { "" };
        let key = format!("{}{grave} [{}]", difference.signature(), tags.join(", "));
        let new = !self.found.contains_key(&key);
        let finding = Finding { count: 0, program, difference, steady };
        let entry = self.found.entry(key).or_insert_with(|| finding.clone());
        entry.count += 1;
        if finding.program.size() < entry.program.size() {
            *entry = Finding { count: entry.count, ..finding };
        }
        new
    }

    /// Signatures that were not known.
    pub(crate) fn unknown(&self) -> usize {
        self.found.len()
    }

    /// Everything for people.
    pub(crate) fn report(&self) -> String {
        let mut out = String::new();
        let _ = writeln!(
            out,
            "{} programs; {} of {} answers of the direct server were errors",
            self.programs, self.errors.0, self.errors.1
        );
        for (reason, count) in &self.known {
            let _ = writeln!(out, "passed {count:>6}: {reason}");
        }
        let mut groups: BTreeMap<String, Vec<&Finding>> = BTreeMap::new();
        for finding in self.found.values() {
            groups.entry(finding.difference.signature()).or_default().push(finding);
        }
        let mut groups: Vec<_> = groups.into_iter().collect();
        // Lost and doubled rows first.
        groups.sort_by_key(|(signature, findings)| {
            let grave = findings.iter().any(|finding| finding.difference.is_grave());
            (std::cmp::Reverse(grave), std::cmp::Reverse(self.seen.get(signature)))
        });
        for (signature, mut findings) in groups {
            findings
                .sort_by_key(|finding| (!finding.difference.is_grave(), finding.program.size()));
            let seen = self.seen.get(&signature).copied().unwrap_or_default();
            let variants = findings.len();
            let _ = writeln!(out, "\n=== {seen} x {signature} ({variants} smallest programs)");
            for finding in findings.into_iter().take(MOST_SHOWN) {
                out.push_str(&finding.told());
            }
        }
        out
    }

    /// Writes [`Self::report`] to a file.
    ///
    /// # Errors
    /// The file cannot be written.
    pub(crate) fn write(&self, path: &Path) -> Result<()> {
        std::fs::write(path, self.report()).context(|| format!("writing {}", path.display()))
    }
}

/// Smallest programs of one signature that are shown.
const MOST_SHOWN: usize = 4;
