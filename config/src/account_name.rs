//! The name of an account.

/// Whether `name` can be an account of MariaDB (its documentation, page Identifier Names).
pub(crate) fn check_account_name(name: &str) -> Result<(), &'static str> {
    if name.is_empty() {
        Err("empty")
    } else if name.chars().count() > 128 {
        Err("longer than 128 characters")
    } else if name.contains(char::is_control) {
        Err("has a control character in it")
    } else {
        Ok(())
    }
}
