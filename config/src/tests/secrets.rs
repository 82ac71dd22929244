//! Where passwords come from, and that they go nowhere else.

use std::os::unix::fs::PermissionsExt;

use secrecy::ExposeSecret;
use tempfile::TempDir;

use super::*;

#[test]
fn a_password_may_come_from_the_file_itself() {
    let config = accepted(MINIMAL);
    assert_eq!(config.monitor.password.expose_secret(), "m0nitor-secret");
    assert_eq!(config.users[0].password.expose_secret(), "icing4-secret");
}

#[test]
fn a_password_may_come_from_a_file_beside_the_configuration() {
    for (content, password) in [
        ("s3cret", "s3cret"),
        ("s3cret\n", "s3cret"),
        ("s3cret\r\n", "s3cret"),
        (" s p ä c e \n", " s p ä c e "),
    ] {
        let dir = folder(content, 0o600);
        let config = loaded(&dir, PASSWORD_FILE).unwrap();
        assert_eq!(config.users[0].password.expose_secret(), password);
        assert!(config.warnings().is_empty(), "{:?}", config.warnings());
    }
}

#[test]
fn a_password_may_be_a_systemd_credential() {
    let dir = folder("s3cret\n", 0o600);
    let config = loaded(&dir, "credential = \"the.password\"").unwrap();
    assert_eq!(config.users[0].password.expose_secret(), "s3cret");
}

#[test]
fn a_credential_that_systemd_did_not_load_is_an_error() {
    let dir = folder("s3cret\n", 0o600);
    let errors = loaded(&dir, "credential = \"other\"").unwrap_err();
    let words = words(&errors);
    assert!(words.contains("No such file or directory"), "{words}");
    assert!(words.contains("for user id"), "{words}");
}

#[test]
fn a_password_file_without_a_password_is_an_error() {
    for (content, flaw) in [
        ("", "empty"),
        ("\n", "empty"),
        ("user\ns3cret\n", "more than one line"),
        ("s3\0cret", "NUL"),
        (&"s3cret".repeat(200), "longer than 1024 bytes"),
    ] {
        let dir = folder(content, 0o600);
        let errors = loaded(&dir, PASSWORD_FILE).unwrap_err();
        let report = render(&errors, false);
        assert!(words(&errors).contains(flaw), "{content:?}: {report}");
        assert!(!report.contains("s3cret"), "{report}");
    }
}

#[test]
fn two_sources_for_one_password_are_an_error() {
    let dir = folder("s3cret", 0o600);
    for (sources, line) in [
        ("password = \"a\"\npassword_file = \"the.password\"", 11),
        ("password = \"a\"\ncredential = \"the.password\"", 11),
        ("credential = \"the.password\"\npassword_file = \"the.password\"", 11),
        ("password = \"a\"\ncredential = \"the.password\"\npassword_file = \"x\"", 12),
    ] {
        let errors = loaded(&dir, sources).unwrap_err();
        let words = words(&errors);
        assert!(words.contains("more than one password"), "{words}");
        assert!(words.contains(&format!("ido-proxy.toml:{line}:")), "{words}");
        assert!(words.contains("exactly one of"), "{words}");
    }
}

/// A database password that every local user can read deserves a word, but not an outage.
#[test]
fn files_that_anybody_can_read_are_warned_of() {
    let dir = folder("s3cret", 0o604);
    let config = loaded(&dir, PASSWORD_FILE).unwrap();
    let [warning] = config.warnings() else {
        panic!("{:?}", config.warnings());
    };
    assert!(warning.to_string().contains("the.password"), "{warning}");

    let path = dir.path().join("ido-proxy.toml");
    fs::write(&path, MINIMAL).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
    let config = Config::load(&path, &Environment::default()).unwrap();
    assert_eq!(config.warnings().len(), 2);
    assert!(config.warnings()[0].to_string().contains("the configuration file"));
}

/// Logs, panics and reports are read by more people than may know the passwords.
#[test]
fn passwords_are_in_no_debug_output_and_no_report() {
    let debug = format!("{:#?}", accepted(MINIMAL));
    assert!(!debug.contains("secret"), "{debug}");
    assert!(debug.contains("REDACTED"));
    for broken in [
        MINIMAL.replace("name = \"icinga\"", "name = 5"),
        MINIMAL.replace("password", "passwort"),
        MINIMAL.replace("password", "pasword"),
        MINIMAL.replace("password = \"", "password = "),
        MINIMAL.replace("secret\"", "secret"),
        MINIMAL.replace("[[users]]", "[[users]"),
        MINIMAL.replace("\"icing4-secret\"", "[\"icing4-secret\"]"),
        MINIMAL.replace("\"icing4-secret\"", "\"icing4-secret\"\npassword_file = \"x\""),
    ] {
        let errors = refused(&broken);
        let mut told = render(&errors, false) + &format!("{errors:?}");
        for problem in errors.problems() {
            told += &problem.summary();
        }
        assert!(!told.contains("secret"), "{broken}\n{told}");
    }
    let number = render(&refused(&with("users.password", "8765309").0), false);
    assert!(!number.contains("8765309"), "{number}");
}

/// A folder with a password file, which is the credentials directory as well.
fn folder(password: &str, mode: u32) -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("the.password");
    fs::write(&file, password).unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(mode)).unwrap();
    dir
}

/// `MINIMAL` in that folder, with `source` in place of the user's password.
fn loaded(dir: &TempDir, source: &str) -> Result<Config, Errors> {
    let path = dir.path().join("ido-proxy.toml");
    fs::write(&path, MINIMAL.replace("password = \"icing4-secret\"", source)).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    let env = Environment { credentials_directory: Some(dir.path().to_owned()) };
    Config::load(&path, &env)
}

const PASSWORD_FILE: &str = "password_file = \"the.password\"";
