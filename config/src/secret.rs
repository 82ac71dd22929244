//! Passwords and tokens: from the configuration itself, from a file of their own, or from a systemd credential.

use std::fs;
use std::io::{self, Read};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use secrecy::{ExposeSecret, SecretString};

use crate::keys::{self, without_indices};
use crate::report::Report;

/// Surroundings of a configuration while it is read.
pub(crate) struct Surroundings<'a> {
    /// Relative paths start here.
    pub(crate) base_dir: &'a Path,
    /// See [`Environment::credentials_directory`](crate::config::Environment::credentials_directory).
    pub(crate) credentials_directory: Option<&'a Path>,
    /// Whether every user of the machine can read the configuration file.
    pub(crate) file_is_public: bool,
}

/// Values of the three keys of which one gives a secret.
#[derive(Debug, Default)]
pub(crate) struct RawSecret {
    pub(crate) given: Option<SecretString>,
    pub(crate) file: Option<PathBuf>,
    pub(crate) credential: Option<String>,
}

/// A secret's name, and its three keys: for itself, for its file and for a credential.
#[derive(Debug)]
pub(crate) struct Kind {
    noun: &'static str,
    keys: [&'static str; 3],
    help: &'static str,
}

/// The password of an account.
pub(crate) const PASSWORD: Kind = Kind {
    noun: "password",
    keys: ["password", "password_file", "credential"],
    help: "give exactly one of password, password_file and credential",
};

/// The token for Consul.
pub(crate) const TOKEN: Kind = Kind {
    noun: "token",
    keys: ["consul_token", "consul_token_file", "consul_credential"],
    help: "give at most one of consul_token, consul_token_file and consul_credential",
};

impl RawSecret {
    /// The password for the account in `table`, or `None` and the reason in `report`.
    pub(crate) fn resolve(
        self,
        table: &str,
        around: &Surroundings<'_>,
        report: &mut Report<'_>,
    ) -> Option<SecretString> {
        let keys = PASSWORD.keys.map(|key| format!("{table}.{key}"));
        let absent = self.given.is_none() && self.file.is_none() && self.credential.is_none();
        if absent && !keys.iter().any(|key| report.is_damaged(key)) {
            let message = format!("no password {}", keys::in_table(&without_indices(table)));
            report.error(&keys[0], &message, "none for this account", PASSWORD.help);
        }
        self.resolve_optional(table, &PASSWORD, around, report)
    }

    /// The secret whose keys are in `table`; `None` if there is none, or with the reason in `report`.
    pub(crate) fn resolve_optional(
        self,
        table: &str,
        kind: &Kind,
        around: &Surroundings<'_>,
        report: &mut Report<'_>,
    ) -> Option<SecretString> {
        let keys = kind.keys.map(|key| format!("{table}.{key}"));
        let [at_given, at_file, at_credential] = &keys;
        match (self.given, self.file, self.credential) {
            (Some(secret), None, None) => given(secret, at_given, kind, around, report),
            (None, Some(file), None) => {
                from_file(&around.base_dir.join(file), at_file, kind, report)
            }
            (None, None, Some(name)) => {
                let path = credential_path(&name, at_credential, kind, around, report)?;
                from_file(&path, at_credential, kind, report)
            }
            (None, None, None) => None,
            _ => {
                let extra = report.last_of(&keys).unwrap_or(at_given);
                let message = format!("more than one {}", kind.noun);
                report.error(extra, &message, "one too many", kind.help);
                None
            }
        }
    }
}

fn given(
    secret: SecretString,
    path: &str,
    kind: &Kind,
    around: &Surroundings<'_>,
    report: &mut Report<'_>,
) -> Option<SecretString> {
    if let Err(flaw) = check(secret.expose_secret()) {
        report.wrong_value(path, flaw);
        return None;
    }
    if around.file_is_public {
        let Kind { noun, keys: [_, file, credential], .. } = kind;
        report.warning(
            path,
            "everybody on this machine can read the configuration file",
            &format!("this {noun} is no secret"),
            &format!("chmod o-r the configuration file, or use {file} or {credential}"),
        );
    }
    Some(secret)
}

/// Reads the first and only line of `file`. `path` is the key that named it.
fn from_file(
    file: &Path,
    path: &str,
    kind: &Kind,
    report: &mut Report<'_>,
) -> Option<SecretString> {
    let noun = kind.noun;
    let (text, mode) = match read(file) {
        Ok(read) => read,
        Err(error) => {
            report.error(
                path,
                &format!("the {noun} file {} cannot be read", file.display()),
                &format!("{error}, for user id {}", nix::unistd::geteuid()),
                &format!(
                    "name a file that holds the {noun} alone and that the user running ido-proxy \
                     may read (chmod 640, chgrp ido-proxy)"
                ),
            );
            return None;
        }
    };
    let secret = text.trim_end_matches(['\r', '\n']);
    if let Err(flaw) = check(secret) {
        report.error(
            path,
            &format!("the {noun} file {} holds no {noun}", file.display()),
            flaw,
            &format!("put the {noun} alone into it, on one line"),
        );
        return None;
    }
    if mode & READABLE_BY_OTHERS != 0 {
        report.warning(
            path,
            &format!("everybody on this machine can read {}", file.display()),
            &format!("this {noun} is no secret"),
            &format!("chmod o-r {}", file.display()),
        );
    }
    Some(SecretString::from(secret))
}

/// The text of `file` and its permission bits.
fn read(file: &Path) -> io::Result<(String, u32)> {
    // Asked first, since opening a pipe would wait for its writer.
    let metadata = fs::metadata(file)?;
    if !metadata.is_file() {
        return Err(io::Error::other("not a regular file"));
    }
    let mut text = String::new();
    fs::File::open(file)?.take(FILE_MAX).read_to_string(&mut text)?;
    Ok((text, metadata.permissions().mode()))
}

fn credential_path(
    name: &str,
    path: &str,
    kind: &Kind,
    around: &Surroundings<'_>,
    report: &mut Report<'_>,
) -> Option<PathBuf> {
    if name.is_empty() || name == "." || name == ".." || name.contains(['/', '\0']) {
        report.wrong_value(path, "not the name of a credential");
        return None;
    }
    let Some(directory) = around.credentials_directory else {
        report.error(
            path,
            "no systemd credentials here",
            "$CREDENTIALS_DIRECTORY is not set",
            &format!(
                "start ido-proxy from a unit with LoadCredential={name}:FILE, or use {}",
                kind.keys[1]
            ),
        );
        return None;
    };
    Some(directory.join(name))
}

fn check(secret: &str) -> Result<(), &'static str> {
    if secret.is_empty() {
        Err("empty")
    } else if secret.len() > SECRET_MAX {
        Err("longer than 1024 bytes")
    } else if secret.contains(['\n', '\r']) {
        Err("more than one line")
    } else if secret.contains('\0') {
        Err("has a NUL byte in it")
    } else {
        Ok(())
    }
}

/// Permission bit by which every user may read a file.
pub(crate) const READABLE_BY_OTHERS: u32 = 0o004;

/// Descriptions of the keys' values, for the tables that have these keys.
pub(crate) const PASSWORD_TAKES: &str =
    "the password in quotes, not empty; better is a password_file";
pub(crate) const PASSWORD_FILE_TAKES: &str =
    "the path of a file with the password in it, as in \"/etc/ido-proxy/monitor.password\"";
pub(crate) const CREDENTIAL_TAKES: &str =
    "the name of a systemd credential, as in \"monitor\" for LoadCredential=monitor:FILE";

/// Bytes of a secret.
const SECRET_MAX: usize = 1024;
/// Bytes read of a file that was named as the file of a secret, whatever it is.
const FILE_MAX: u64 = 65536;
