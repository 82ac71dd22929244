//! Answers of the console.

use super::table::Table;

/// Answer to one text.
#[derive(Debug, PartialEq)]
pub(super) enum Answer {
    /// OK, without a result.
    Done,
    /// A result set.
    Rows(Table),
    /// No command; the text says what exists.
    Unknown(String),
}
