//! The system variables that libraries ask for.

/// Name and value of each.
pub(super) const ALL: [(&str, &str); 14] = [
    ("auto_increment_increment", "1"),
    ("autocommit", "1"),
    ("character_set_client", "utf8mb4"),
    ("character_set_connection", "utf8mb4"),
    ("character_set_results", "utf8mb4"),
    ("character_set_server", "utf8mb4"),
    ("collation_connection", "utf8mb4_general_ci"),
    ("lower_case_table_names", "0"),
    ("max_allowed_packet", "65536"),
    ("sql_mode", ""),
    ("time_zone", "SYSTEM"),
    ("version", SERVER_VERSION),
    ("version_comment", VERSION_COMMENT),
    ("wait_timeout", "600"),
];

/// The value of one variable; `None` (NULL) for those that the console does not have.
pub(super) fn value(name: &str) -> Option<&'static str> {
    let named = |(known, _): &&(&str, _)| known.eq_ignore_ascii_case(name);
    ALL.iter().find(named).map(|(_, value)| *value)
}

/// Whether `name` is like `pattern`, in which `%` stands for any text. Takes one pass, however many
/// `%` there are.
pub(super) fn matches(pattern: &str, name: &str) -> bool {
    let pattern = pattern.to_ascii_lowercase();
    let Some((head, tail)) = pattern.split_once('%') else {
        return pattern == name;
    };
    let Some(mut rest) = name.strip_prefix(head) else {
        return false;
    };
    let (middle, end) = tail.rsplit_once('%').unwrap_or(("", tail));
    for part in middle.split('%') {
        match rest.find(part) {
            Some(at) => rest = &rest[at + part.len()..],
            None => return false,
        }
    }
    rest.ends_with(end)
}

/// Version here and in the greeting. Some libraries decide by the leading number what a server can do, so the number is
/// that of the oldest protocol features in use here.
pub(in crate::admin::console) const SERVER_VERSION: &str =
    concat!("5.7.0-ido-proxy-", env!("CARGO_PKG_VERSION"));

/// The `mariadb` prompt prints it below its first line.
const VERSION_COMMENT: &str = "console of ido-proxy; SHOW COMMANDS lists what it knows";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn like_works_as_in_sql() {
        for pattern in ["version", "VERSION", "%", "ver%", "%sion", "v%s%n", "%%", "version%"] {
            assert!(matches(pattern, "version"), "{pattern}");
        }
        for pattern in ["", "versio", "%x%", "ver%version", "v%i%n%n", "%versions"] {
            assert!(!matches(pattern, "version"), "{pattern}");
        }
    }
}
