//! Texts in SQL, and texts in its answers.

use mysql_async::{Row, Value};

/// A text that any server reads alike, whatever its `sql_mode`.
pub(super) fn literal(text: &str) -> String {
    let text: String = text.chars().take(LONGEST).collect();
    let digits = text.bytes().fold(String::new(), |digits, byte| format!("{digits}{byte:02x}"));
    format!("CONVERT(x'{digits}' USING utf8mb4)")
}

/// Whether it may stand in quotes as it is.
pub(super) fn is_uuid(cluster: &str) -> bool {
    !cluster.is_empty() && cluster.chars().all(|c| c.is_ascii_hexdigit() || c == '-')
}

/// The values of a row as texts. Whatever is in it, nothing panics.
pub(super) fn texts(row: Row) -> impl Iterator<Item = Option<String>> {
    row.unwrap_raw().into_iter().map(|value| match value {
        Some(Value::Bytes(bytes)) => Some(String::from_utf8_lossy(&bytes).into_owned()),
        _ => None,
    })
}

/// The most that a column of the table takes, in characters.
const LONGEST: usize = 255;
