//! placeholder
use crate::run::Number;
pub(crate) fn table(number: Number) -> String { format!("ido_proxy_lab_{number}") }
