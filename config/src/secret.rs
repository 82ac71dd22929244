//! Passwords: from the configuration itself, from a file of their own, or from a systemd credential.

use std::fs;
use std::io::{self, Read};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use secrecy::{ExposeSecret, SecretString};

use crate::keys::{self, without_indices};
use crate::report::Report;

/// What is around a configuration while it is read.
pub(crate) struct Surroundings<'a> {
    /// Relative paths start here.
    pub(crate) base_dir: &'a Path,
    /// See [`Environment::credentials_directory`](crate::Environment::credentials_directory).
    pub(crate) credentials_directory: Option<&'a Path>,
    /// Whether every user of the machine can read the configuration file.
    pub(crate) file_is_public: bool,
}

/// The three keys of which exactly one gives a password.
#[derive(Debug, Default)]
pub(crate) struct RawSecret {
    pub(crate) password: Option<SecretString>,
    pub(crate) password_file: Option<PathBuf>,
    pub(crate) credential: Option<String>,
}

impl RawSecret {
    /// The password for the account in `table`, or `None` and the reason in `report`.
    pub(crate) fn resolve(
        self,
        table: &str,
        around: &Surroundings<'_>,
        report: &mut Report<'_>,
    ) -> Option<SecretString> {
        let keys = ["password", "password_file", "credential"].map(|key| format!("{table}.{key}"));
        let [at_password, at_file, at_credential] = &keys;
        match (self.password, self.password_file, self.credential) {
            (Some(password), None, None) => given(password, at_password, around, report),
            (None, Some(file), None) => from_file(&around.base_dir.join(file), at_file, report),
            (None, None, Some(name)) => {
                let path = credential_path(&name, at_credential, around, report)?;
                from_file(&path, at_credential, report)
            }
            (None, None, None) => {
                if !keys.iter().any(|key| report.is_damaged(key)) {
                    let message =
                        format!("no password {}", keys::in_table(&without_indices(table)));
                    report.error(at_password, &message, "none for this account", HELP);
                }
                None
            }
            _ => {
                let extra = report.last_of(&keys).unwrap_or(at_password);
                report.error(extra, "more than one password", "one too many", HELP);
                None
            }
        }
    }
}

fn given(
    password: SecretString,
    path: &str,
    around: &Surroundings<'_>,
    report: &mut Report<'_>,
) -> Option<SecretString> {
    if let Err(flaw) = check(password.expose_secret()) {
        report.wrong_value(path, flaw);
        return None;
    }
    if around.file_is_public {
        report.warning(
            path,
            "everybody on this machine can read the configuration file",
            "this password is no secret",
            "chmod o-r the configuration file, or use password_file or credential",
        );
    }
    Some(password)
}

/// Reads the first and only line of `file`. `path` is the key that named it.
fn from_file(file: &Path, path: &str, report: &mut Report<'_>) -> Option<SecretString> {
    let (text, mode) = match read(file) {
        Ok(read) => read,
        Err(error) => {
            report.error(
                path,
                &format!("the password file {} cannot be read", file.display()),
                &format!("{error}, for user id {}", nix::unistd::geteuid()),
                "name a file that holds the password alone and that the user running ido-proxy may \
                 read (chmod 640, chgrp ido-proxy)",
            );
            return None;
        }
    };
    let password = text.trim_end_matches(['\r', '\n']);
    if let Err(flaw) = check(password) {
        report.error(
            path,
            &format!("the password file {} holds no password", file.display()),
            flaw,
            "put the password alone into it, on one line",
        );
        return None;
    }
    if mode & READABLE_BY_OTHERS != 0 {
        report.warning(
            path,
            &format!("everybody on this machine can read {}", file.display()),
            "this password is no secret",
            &format!("chmod o-r {}", file.display()),
        );
    }
    Some(SecretString::from(password))
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
                "start ido-proxy from a unit with LoadCredential={name}:FILE, or use password_file"
            ),
        );
        return None;
    };
    Some(directory.join(name))
}

fn check(password: &str) -> Result<(), &'static str> {
    if password.is_empty() {
        Err("empty")
    } else if password.len() > PASSWORD_MAX {
        Err("longer than 1024 bytes")
    } else if password.contains(['\n', '\r']) {
        Err("more than one line")
    } else if password.contains('\0') {
        Err("has a NUL byte in it")
    } else {
        Ok(())
    }
}

/// Permission bit by which every user may read a file.
pub(crate) const READABLE_BY_OTHERS: u32 = 0o004;

/// What the keys take, for the tables that have them.
pub(crate) const PASSWORD: &str = "the password in quotes, not empty; better is a password_file";
pub(crate) const PASSWORD_FILE: &str =
    "the path of a file with the password in it, as in \"/etc/ido-proxy/monitor.password\"";
pub(crate) const CREDENTIAL: &str =
    "the name of a systemd credential, as in \"monitor\" for LoadCredential=monitor:FILE";

/// Bytes of a password.
const PASSWORD_MAX: usize = 1024;
/// Bytes read of a file that was named as a password file, whatever it is.
const FILE_MAX: u64 = 65536;
const HELP: &str = "give exactly one of password, password_file and credential";
