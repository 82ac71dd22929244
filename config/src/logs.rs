//! `[logs]`: what the daemon tells on its standard error.

use serde::Deserialize;

use crate::keys::{Key, key};

/// `[logs]`
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Logs {
    /// How a line is written. Default: text.
    pub format: Format,
    /// The least severe line that is written. Default: info.
    pub level: Level,
}

/// How a line of the log is written.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// One JSON object a line.
    Json,
    /// For people.
    #[default]
    Text,
}

/// The severity of a line of the log, the most severe first.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, Ord, PartialEq, PartialOrd)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// Something was lost or refused.
    Error,
    /// Something needs attention.
    Warn,
    /// Decisions and changes.
    #[default]
    Info,
    /// Every session.
    Debug,
    /// Every command.
    Trace,
}

impl Level {
    /// The level as it is written in the file, which is how `tracing` spells it too.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warn => "warn",
            Self::Info => "info",
            Self::Debug => "debug",
            Self::Trace => "trace",
        }
    }
}

pub(crate) const KEYS: &[Key] = &[
    key("logs.format", "\"text\" or \"json\""),
    key("logs.level", "\"error\", \"warn\", \"info\", \"debug\" or \"trace\""),
];
