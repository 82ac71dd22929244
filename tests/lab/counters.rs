//! placeholder
pub(crate) fn writes_in_general_log(_: &[u8]) -> usize { 0 }
