//! Names of the ways to prove a password.

use std::fmt;

/// The random bytes that a password is proved with.
pub type Scramble = [u8; 20];

/// How a password is proved.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum AuthPlugin {
    /// `caching_sha2_password`, the default of MySQL 8.
    CachingSha2,
    /// `mysql_clear_password`: the password itself. Never answered.
    Clear,
    /// `client_ed25519` of MariaDB.
    Ed25519,
    /// `mysql_native_password`, the default of MariaDB.
    NativePassword,
    /// Any other, by its name.
    Other(String),
}

impl AuthPlugin {
    /// The plugin with this name.
    pub fn from_name(name: &[u8]) -> Self {
        match name {
            b"caching_sha2_password" => Self::CachingSha2,
            b"client_ed25519" => Self::Ed25519,
            b"mysql_clear_password" => Self::Clear,
            b"mysql_native_password" => Self::NativePassword,
            other => Self::Other(String::from_utf8_lossy(other).into_owned()),
        }
    }

    /// The plugin's name on the wire.
    pub fn name(&self) -> &str {
        match self {
            Self::CachingSha2 => "caching_sha2_password",
            Self::Clear => "mysql_clear_password",
            Self::Ed25519 => "client_ed25519",
            Self::NativePassword => "mysql_native_password",
            Self::Other(name) => name,
        }
    }
}

impl fmt::Display for AuthPlugin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plugins_keep_their_names() {
        for name in [
            "caching_sha2_password",
            "client_ed25519",
            "mysql_clear_password",
            "mysql_native_password",
            "parsec",
        ] {
            assert_eq!(AuthPlugin::from_name(name.as_bytes()).to_string(), name);
        }
    }
}
