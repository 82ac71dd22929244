//! `[[users]]`: who may log in, and how the proxy logs in for them.

use std::path::PathBuf;

use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;

use crate::account_name::check_account_name;
use crate::keys::{Key, key};
use crate::monitor::Monitor;
use crate::report::Report;
use crate::secret::{self, RawSecret, Surroundings};

/// One `[[users]]`: the same name and password on both sides of the proxy.
#[derive(Clone, Debug)]
pub struct User {
    /// The account: 1 to 128 characters, none of them a control character. No default.
    pub name: String,
    /// The account's password, never empty. No default.
    pub password: SecretString,
}

/// One `[[users]]` before its password was fetched.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct RawUser {
    name: Option<String>,
    password: Option<SecretString>,
    password_file: Option<PathBuf>,
    credential: Option<String>,
}

/// The users without fault; the faults of the others are in `report`. A node knows one password of
/// each account, the monitor's among them.
pub(crate) fn resolve(
    raw: Vec<RawUser>,
    monitor: &Monitor,
    around: &Surroundings<'_>,
    report: &mut Report<'_>,
) -> Vec<User> {
    if raw.is_empty() {
        report.missing(
            "users",
            "nobody may log in",
            "no [[users]] in this file",
            "add [[users]] with name = \"icinga\" and its password_file",
        );
    }
    let mut users: Vec<User> = Vec::with_capacity(raw.len());
    for (index, user) in raw.into_iter().enumerate() {
        let table = format!("users.{index}");
        let at_name = format!("{table}.name");
        let secret = RawSecret {
            given: user.password,
            file: user.password_file,
            credential: user.credential,
        };
        let password = secret.resolve(&table, around, report);
        let Some(name) = user.name else {
            report.missing(&at_name, "no name", "none for this account", "give its name");
            continue;
        };
        if let Err(flaw) = check_account_name(&name) {
            report.wrong_value(&at_name, flaw);
        } else if users.iter().any(|earlier| earlier.name == name) {
            report.error(
                &at_name,
                &format!("a second account called {name}"),
                "given before",
                "leave one [[users]] of each name",
            );
        }
        if let Some(password) = &password
            && name == monitor.user
            && password.expose_secret() != monitor.password.expose_secret()
        {
            report.error(
                &at_name,
                "the monitor's account, with another password",
                "also monitor.user",
                "give it the same password, or let the monitor have an account of its own",
            );
        }
        // Kept without a password too, so that a second one of its name is noticed.
        let password = password.unwrap_or_default();
        users.push(User { name, password });
    }
    users
}

pub(crate) const KEYS: &[Key] = &[
    key("users.name", "the name of an account, 1 to 128 characters long, as in \"icinga\""),
    key("users.password", secret::PASSWORD_TAKES),
    key("users.password_file", secret::PASSWORD_FILE_TAKES),
    key("users.credential", secret::CREDENTIAL_TAKES),
];
