//! The name of a service in DNS.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;

/// A DNS name in ASCII, without a closing dot (RFC 1123, with the underscores of SRV names).
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ServiceName(String);

impl ServiceName {
    /// The name, without a closing dot.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ServiceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for ServiceName {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let name = text.strip_suffix('.').unwrap_or(text);
        if name.is_empty() {
            return Err("empty");
        }
        if name.parse::<IpAddr>().is_ok() || name.parse::<SocketAddr>().is_ok() {
            return Err("an address; addresses belong in nodes");
        }
        if name.len() > 253 {
            return Err("longer than the 253 characters of a DNS name");
        }
        let is_label = |label: &str| {
            let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
            (1..=63).contains(&label.len())
                && label.chars().all(fits)
                && !label.starts_with('-')
                && !label.ends_with('-')
        };
        if !name.split('.').all(is_label) {
            return Err("not a DNS name");
        }
        Ok(Self(name.to_owned()))
    }
}
