//! `[monitor]`: the account that asks the nodes how they are.

use std::time::Duration;

use secrecy::SecretString;
use serde::Deserialize;

use crate::account_name::check_account_name;
use crate::keys::{Key, key};
use crate::report::Report;
use crate::secret::{self, RawSecret, Surroundings};

/// `[monitor]`
#[derive(Clone, Debug)]
pub struct Monitor {
    /// The account. Default: `ido_proxy`.
    pub user: String,
    /// The account's password, never empty. No default.
    pub password: SecretString,
    /// From one probe of a node to the next, 50 ms to 1 min. Default: 500 ms. Of more than 16 nodes those that
    /// are neither the primary nor the next one are asked less often, but every 2 s.
    pub interval: Duration,
    /// How long a probe may take, 10 ms to 1 min. Default: 1 s.
    pub timeout: Duration,
}

/// `[monitor]` before its password was fetched.
#[derive(Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct RawMonitor {
    user: String,
    password: Option<SecretString>,
    password_file: Option<std::path::PathBuf>,
    credential: Option<String>,
    #[serde(with = "humantime_serde")]
    interval: Duration,
    #[serde(with = "humantime_serde")]
    timeout: Duration,
}

impl Default for RawMonitor {
    fn default() -> Self {
        Self {
            user: "ido_proxy".to_owned(),
            password: None,
            password_file: None,
            credential: None,
            interval: Duration::from_millis(500),
            timeout: Duration::from_secs(1),
        }
    }
}

impl RawMonitor {
    /// Where something is wrong, the value stands for the error in `report`.
    pub(crate) fn resolve(self, around: &Surroundings<'_>, report: &mut Report<'_>) -> Monitor {
        if let Err(flaw) = check_account_name(&self.user) {
            report.wrong_value("monitor.user", flaw);
        }
        report.duration(
            "monitor.interval",
            self.interval,
            Duration::from_millis(50)..=Duration::from_secs(60),
        );
        report.duration(
            "monitor.timeout",
            self.timeout,
            Duration::from_millis(10)..=Duration::from_secs(60),
        );
        let secret = RawSecret {
            given: self.password,
            file: self.password_file,
            credential: self.credential,
        };
        Monitor {
            user: self.user,
            password: secret.resolve("monitor", around, report).unwrap_or_default(),
            interval: self.interval,
            timeout: self.timeout,
        }
    }
}

pub(crate) const KEYS: &[Key] = &[
    key("monitor.user", "the name of an account, 1 to 128 characters long, as in \"ido_proxy\""),
    key("monitor.password", secret::PASSWORD_TAKES),
    key("monitor.password_file", secret::PASSWORD_FILE_TAKES),
    key("monitor.credential", secret::CREDENTIAL_TAKES),
    key("monitor.interval", "a time from \"50ms\" to \"1m\", as in \"500ms\""),
    key("monitor.timeout", "a time from \"10ms\" to \"1m\", as in \"1s\""),
];
