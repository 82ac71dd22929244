//! Accounts of the configuration.

use std::collections::HashMap;

use secrecy::SecretString;

/// Accounts that may log in.
#[derive(Debug, Default)]
pub(crate) struct Accounts(HashMap<Vec<u8>, SecretString>);

impl Accounts {
    /// The accounts of the configuration.
    pub(crate) fn new(users: impl IntoIterator<Item = (String, SecretString)>) -> Self {
        Self(users.into_iter().map(|(name, password)| (name.into_bytes(), password)).collect())
    }

    /// One of the accounts, to be a client with that has none.
    pub(crate) fn any(&self) -> Option<(&[u8], &SecretString)> {
        self.0.iter().next().map(|(user, password)| (&user[..], password))
    }

    /// The password of an account.
    pub(crate) fn password(&self, user: &[u8]) -> Option<&SecretString> {
        self.0.get(user)
    }
}
