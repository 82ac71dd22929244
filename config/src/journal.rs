//! `[journal]`: how much of open transactions is kept for a replay.

use std::str::FromStr;

use bytesize::ByteSize;
use serde::Deserialize;

use crate::keys::{Key, key};
use crate::report::Report;
use crate::text;

/// `[journal]`
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Journal {
    /// Memory for the journals of all sessions, 1 MiB to 64 GiB. Default: 64 MiB.
    #[serde(deserialize_with = "text::one::<_, Size, _>")]
    pub memory: ByteSize,
    /// Disk space in `state_dir` for what is more, 1 MiB to 1 TiB. Default: 2 GiB.
    #[serde(deserialize_with = "text::one::<_, Size, _>")]
    pub disk: ByteSize,
}

impl Default for Journal {
    fn default() -> Self {
        Self { memory: ByteSize::mib(64), disk: ByteSize::gib(2) }
    }
}

impl Journal {
    pub(crate) fn check(&self, report: &mut Report<'_>) {
        if !(ByteSize::mib(1)..=ByteSize::gib(64)).contains(&self.memory) {
            report.wrong_value("journal.memory", "not in 1MiB to 64GiB");
        }
        if !(ByteSize::mib(1)..=ByteSize::tib(1)).contains(&self.disk) {
            report.wrong_value("journal.disk", "not in 1MiB to 1TiB");
        }
    }
}

/// A number of bytes, perhaps with a unit.
struct Size(ByteSize);

impl From<Size> for ByteSize {
    fn from(size: Size) -> Self {
        size.0
    }
}

impl FromStr for Size {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.parse().map(Self).map_err(|_| "not a size")
    }
}

pub(crate) const KEYS: &[Key] = &[
    key("journal.memory", "a size from \"1MiB\" to \"64GiB\", as in \"64MiB\""),
    key("journal.disk", "a size from \"1MiB\" to \"1TiB\", as in \"2GiB\""),
];
