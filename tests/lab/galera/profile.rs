//! Servers as people have them: which MariaDB, and with which settings.
//!
//! Stories run on the profile named by the environment ([`Profile::VARIABLE`]), or on the first one.

use std::fmt;
use std::str::FromStr;

use mysql_async::OptsBuilder;

use crate::error::{LabError, Result};
use crate::system::System;

/// A kind of server. All nodes of a cluster are of one kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Profile {
    /// MariaDB 10.11 of Debian 12, set as Galera's documentation has it.
    #[default]
    Debian12,
    /// 10.11 with a binary log and Galera's transaction ids in it, as replicas need it.
    Binlog,
    /// 10.11 with the stricter choice wherever InnoDB offers one, and errors told in German.
    Strict,
    /// 10.11 where nobody may set the time of a session.
    Timestamp,
    /// 10.11 with `autocommit=0`: a statement commits by itself only for clients that ask for it.
    Autocommit0,
    /// MariaDB 11.8 of Debian 13.
    Debian13,
}

impl Profile {
    /// All profiles.
    pub const ALL: [Self; 6] = [
        Self::Debian12,
        Self::Binlog,
        Self::Strict,
        Self::Timestamp,
        Self::Autocommit0,
        Self::Debian13,
    ];

    /// The environment variable that names the profile.
    pub const VARIABLE: &str = "IDO_PROXY_LAB_SERVER";

    /// The profile that the environment names, or [`Profile::Debian12`].
    ///
    /// # Errors
    /// When there is none of that name.
    pub fn chosen() -> Result<Self> {
        match std::env::var(Self::VARIABLE) {
            Ok(name) => name.parse(),
            Err(_) => Ok(Self::default()),
        }
    }

    /// Name, as the environment has it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Debian12 => "10.11",
            Self::Binlog => "binlog",
            Self::Strict => "strict",
            Self::Timestamp => "timestamp",
            Self::Autocommit0 => "autocommit0",
            Self::Debian13 => "11.8",
        }
    }

    /// Particularities, in a line.
    pub fn about(self) -> &'static str {
        match self {
            Self::Debian12 => "MariaDB 10.11 of Debian 12",
            Self::Binlog => "10.11 with a binary log and Galera's transaction ids",
            Self::Strict => "10.11 with InnoDB's stricter choices, and errors told in German",
            Self::Timestamp => "10.11 where nobody may set a session's time",
            Self::Autocommit0 => "10.11 with autocommit=0",
            Self::Debian13 => "MariaDB 11.8 of Debian 13",
        }
    }

    /// `account` for a client that relies on its statements to commit by themselves. Drivers for such clients
    /// ask the server for that where it is not the default.
    pub fn client(self, account: OptsBuilder) -> OptsBuilder {
        match self {
            Self::Autocommit0 => account.init(vec![AUTOCOMMIT]),
            _ => account,
        }
    }

    /// The statement that changes one of Galera's own options, such as `gcs.fc_limit`, while a node runs.
    pub(crate) fn provider_option(self, option: &str, value: &str) -> String {
        match self {
            // Since 11.6 each option is a variable.
            Self::Debian13 => {
                format!("SET GLOBAL wsrep_provider_{} = {value}", option.replace('.', "_"))
            }
            _ => format!("SET GLOBAL wsrep_provider_options = '{option}={value}'"),
        }
    }

    /// System that mariadbd is taken from.
    pub(crate) fn system(self) -> System {
        match self {
            Self::Debian13 => System::Trixie,
            _ => System::Host,
        }
    }

    /// Arguments beside those of every server of the lab.
    pub(crate) fn arguments(self) -> &'static [&'static str] {
        match self {
            Self::Debian12 | Self::Debian13 => &[],
            Self::Binlog => &BINLOG,
            Self::Strict => &STRICT,
            Self::Timestamp => &["--secure-timestamp=YES"],
            Self::Autocommit0 => &["--autocommit=0"],
        }
    }

    /// Arguments of node `index` of a cluster beside those.
    pub(crate) fn node_arguments(self, index: u8) -> Vec<String> {
        match self {
            // A node's own writes, not replicated, are in a domain of their own, never in Galera's.
            Self::Binlog => vec![
                "--wsrep-gtid-mode=ON".into(),
                format!("--wsrep-gtid-domain-id={GALERA_DOMAIN}"),
                format!("--gtid-domain-id={}", GALERA_DOMAIN + u32::from(index)),
            ],
            _ => Vec::new(),
        }
    }
}

impl fmt::Display for Profile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Profile {
    type Err = LabError;

    fn from_str(name: &str) -> Result<Self> {
        let found = Self::ALL.into_iter().find(|profile| profile.name() == name);
        found.ok_or_else(|| {
            let names = Self::ALL.map(Self::name).join(", ");
            LabError::Refused(format!("{}={name}: choose from {names}", Self::VARIABLE))
        })
    }
}

/// One server id for the whole cluster: ids of transactions contain it, and are equal on every node.
const BINLOG: [&str; 3] = ["--log-bin=binlog", "--log-slave-updates=ON", "--server-id=11"];

const STRICT: [&str; 4] = [
    "--innodb-snapshot-isolation=ON",
    "--innodb-rollback-on-timeout=ON",
    "--innodb-flush-log-at-trx-commit=1",
    "--lc-messages=de_DE",
];

const AUTOCOMMIT: &str = "SET autocommit = 1";

const GALERA_DOMAIN: u32 = 100;

#[cfg(test)]
mod tests {
    use super::*;

    /// A misspelt profile would run all stories on the default, and the matrix would pass.
    #[test]
    fn a_profile_is_found_by_its_name_and_by_no_other() {
        for profile in Profile::ALL {
            assert_eq!(profile.name().parse::<Profile>().ok(), Some(profile));
        }
        let error = "10.12".parse::<Profile>().expect_err("there is none").to_string();
        assert!(error.contains("IDO_PROXY_LAB_SERVER=10.12") && error.contains("11.8"), "{error}");
    }
}
