//! Firewall rules of a lab, all in one table.

use std::process::{Command, Stdio};

use crate::number::Number;
use crate::tool::found;

/// Removes all rules of `number`, if it has any.
pub(crate) fn remove_rules(number: Number) {
    let Ok(nft) = found("nft".as_ref()) else { return };
    let _ = Command::new(nft)
        .args(["delete", "table", "ip", &table(number)])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
}

/// The name of its table of rules.
pub(crate) fn table(number: Number) -> String {
    format!("ido_proxy_lab_{number}")
}
