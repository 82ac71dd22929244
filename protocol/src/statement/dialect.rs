//! Settings that decide how the server reads a text.

use super::Charset;
use crate::status::StatusFlags;

/// How the session's server reads a text at this moment.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Dialect {
    /// The client's character set (`character_set_client`).
    pub charset: Charset,
    /// The part of `sql_mode` that matters here.
    pub mode: SqlMode,
    /// The server of the link, which decides about versioned comments.
    pub server: ServerVersion,
}

/// The part of `sql_mode` that decides where a string ends.
///
/// Source: MariaDB documentation, "SQL_MODE".
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct SqlMode {
    /// `"` quotes identifiers, not strings.
    pub ansi_quotes: bool,
    /// `[` and `]` quote identifiers, as MariaDB's mode `MSSQL` has it.
    pub brackets: bool,
    /// A backslash in a string is an ordinary character.
    pub no_backslash_escapes: bool,
}

impl SqlMode {
    /// The mode that MariaDB tells with every OK and EOF. There is no flag for `MSSQL`, and MySQL
    /// has none for `ANSI_QUOTES`: [`Self::from_variable`] knows more.
    pub fn from_status(status: StatusFlags) -> Self {
        Self {
            ansi_quotes: status.contains(StatusFlags::ANSI_QUOTES),
            brackets: false,
            no_backslash_escapes: status.contains(StatusFlags::NO_BACKSLASH_ESCAPES),
        }
    }

    /// The mode in the value of the variable `sql_mode` as the server reports it: upper case, and
    /// with combined modes such as `ORACLE` spelt out.
    pub fn from_variable(value: &[u8]) -> Self {
        let has = |mode: &[u8]| value.split(|&byte| byte == b',').any(|name| name == mode);
        Self {
            ansi_quotes: has(b"ANSI_QUOTES"),
            brackets: has(b"MSSQL"),
            no_backslash_escapes: has(b"NO_BACKSLASH_ESCAPES"),
        }
    }
}

/// A server's version, such as 101119 for 10.11.19. From 100000 on it is MariaDB.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct ServerVersion(u32);

impl ServerVersion {
    /// Reads the version of a greeting: `8.0.36`, `11.4.2-MariaDB-log`, or with the prefix
    /// `5.5.5-` that MariaDB before 11 puts first. What can't be read is the default.
    pub fn from_greeting(version: &[u8]) -> Self {
        let bare = version.strip_prefix(b"5.5.5-").unwrap_or(version);
        let mut parts = bare
            .splitn(3, |&byte| byte == b'.')
            .map(|part| part.iter().take_while(|byte| byte.is_ascii_digit()).take(3))
            .map(|digits| digits.fold(0, |number, digit| number * 10 + u32::from(digit - b'0')));
        match (parts.next(), parts.next(), parts.next()) {
            (Some(major @ 1..), Some(minor), Some(patch)) => {
                Self(major * 10_000 + minor * 100 + patch)
            }
            _ => Self::default(),
        }
    }

    /// Whether it is MariaDB, which alone reads `/*M! … */` as code.
    pub(super) fn is_mariadb(self) -> bool {
        self.0 >= 100_000
    }

    /// Whether it reports the settings that it keeps in one word by the name of one of them. Seen on MariaDB 11.8, and not on
    /// 10.11.
    pub const fn confuses_settings(self) -> bool {
        self.0 >= 110_000
    }

    /// Whether it reads the content of `/*!version … */` as code; `own` for MariaDB's own form
    /// `/*M!version … */`. MariaDB leaves out what is for MySQL 5.7 and later.
    ///
    /// Source: MariaDB documentation, "Comment Syntax".
    pub(super) fn runs(self, version: u32, own: bool) -> bool {
        let foreign = self.is_mariadb() && !own && (50_700..=99_999).contains(&version);
        version <= self.0 && !foreign
    }
}

impl Default for ServerVersion {
    /// The oldest MariaDB that this project knows, 10.11.0.
    fn default() -> Self {
        Self(101_100)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read_from_greetings() {
        for (greeting, number) in [
            ("5.5.5-10.11.19-MariaDB-0+deb12u1-log", 101_119),
            ("11.4.2-MariaDB", 110_402),
            ("12.0.1-MariaDB", 120_001),
            ("8.0.36", 80_036),
            ("9.1.0-commercial", 90_100),
            ("", 101_100),
            ("ready", 101_100),
            ("99999999999.1.1", 9_990_101),
        ] {
            let version = ServerVersion::from_greeting(greeting.as_bytes());
            assert_eq!(version, ServerVersion(number), "{greeting}");
        }
    }

    /// Lost otherwise: Icinga DB's `"…"` identifiers are read as strings with backslashes.
    #[test]
    fn the_mode_is_read_from_status_and_variable() {
        let ansi = SqlMode { ansi_quotes: true, ..SqlMode::default() };
        assert_eq!(SqlMode::from_variable(b"PIPES_AS_CONCAT,ANSI_QUOTES,ANSI"), ansi);
        assert_eq!(SqlMode::from_status(StatusFlags::from_bits(0x8002)), ansi);
        let plain = SqlMode { no_backslash_escapes: true, ..SqlMode::default() };
        assert_eq!(SqlMode::from_variable(b"NO_BACKSLASH_ESCAPES"), plain);
        assert_eq!(SqlMode::from_status(StatusFlags::from_bits(0x0202)), plain);
        let brackets = SqlMode { ansi_quotes: true, brackets: true, no_backslash_escapes: false };
        assert_eq!(SqlMode::from_variable(b"ANSI_QUOTES,IGNORE_SPACE,MSSQL"), brackets);
        assert_eq!(SqlMode::from_variable(b""), SqlMode::default());
    }
}
