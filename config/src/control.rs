//! `[control]`: what the proxy keeps inside the cluster.

use std::fmt;
use std::str::FromStr;

use serde::Deserialize;

use crate::keys::{Key, key};
use crate::text;

/// `[control]`
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Control {
    /// The database of the `pin` and `fence` tables. Default: `ido_proxy`.
    #[serde(deserialize_with = "text::one::<_, SchemaName, _>")]
    pub schema: SchemaName,
}

/// The name of a database: letters, digits and underscores, 1 to 64 long, not beginning with a digit,
/// and none of the server's own databases.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct SchemaName(String);

impl SchemaName {
    /// The name, which needs no quotes in SQL.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Default for SchemaName {
    fn default() -> Self {
        Self("ido_proxy".to_owned())
    }
}

impl fmt::Display for SchemaName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for SchemaName {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let fits = |c: char| c.is_ascii_alphanumeric() || c == '_';
        if text.is_empty() {
            Err("empty")
        } else if text.len() > 64 {
            Err("longer than 64 characters")
        } else if !text.chars().all(fits) || text.starts_with(|c: char| c.is_ascii_digit()) {
            Err("not a plain name")
        } else if SERVER_OWN.contains(&text.to_ascii_lowercase().as_str()) {
            Err("a database of the server itself")
        } else {
            Ok(Self(text.to_owned()))
        }
    }
}

const SERVER_OWN: [&str; 4] = ["information_schema", "mysql", "performance_schema", "sys"];

pub(crate) const KEYS: &[Key] = &[key(
    "control.schema",
    "a database name of letters, digits and underscores, as in \"ido_proxy\"",
)];
