//! The configuration as its user meets it: the binary, its exit code, and what it prints.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use lab::proxy::binary;
use tempfile::TempDir;

mod setup;
mod wrong;

/// Otherwise the first file that a user tries does not work.
#[test]
fn the_shipped_example_is_good() {
    let desk = Desk::new();
    desk.password_file("monitor.password", MONITORS);
    desk.password_file("icinga.password", USERS);
    let example = EXAMPLE.replace("/etc/ido-proxy/", "");
    let said = desk.check(&example);
    assert_eq!((said.code, said.errors.as_str()), (0, ""), "{}", said.errors);
    assert_eq!(said.output, format!("{}: good\n", desk.file().display()));

    // The example as it comes, before anybody wrote a password down.
    let said = desk.check(EXAMPLE);
    assert_eq!(said.code, BAD);
    assert!(said.words().contains("/etc/ido-proxy/monitor.password cannot be read"), "{said:?}");
}

/// A list with one error a run makes people give up before the last.
#[test]
fn everything_that_is_wrong_is_said_at_once() {
    let desk = Desk::new();
    let text = GOOD.replace("127.0.0.1:3306", "localhost:3306").replace("\"icinga\"", "7")
        + "[logs]\nlevle = \"info\"\n";
    let said = desk.check(&text);
    assert_eq!((said.code, said.output.as_str()), (BAD, ""));
    for words in ["localhost is a name", "wrong value for `users.name`", "did you mean `level`?"] {
        assert!(said.words().contains(words), "no {words:?} in {}", said.errors);
    }
}

/// The service manager must see that a start failed for good, and the journal must say why.
#[test]
fn run_refuses_what_check_refuses() {
    let desk = Desk::new();
    let text = GOOD.replace("127.0.0.1:3306", "127.0.0.1");
    let (check, run) = (desk.check(&text), desk.run("run"));
    assert_eq!((run.code, &run.errors), (BAD, &check.errors));
    let setup = desk.run("setup");
    assert_eq!((setup.code, setup.output.as_str(), &setup.errors), (BAD, "", &check.errors));
}

/// Warnings are no errors, but still worth a word, with their place.
#[test]
fn warnings_are_shown_where_they_belong_and_do_not_fail() {
    let desk = Desk::new();
    let nameservers = "nameservers = [\"192.0.2.1\"]\nconsul = \"http://127.0.0.1:8500/\"";
    let text = GOOD.replace("[monitor]", &format!("{nameservers}\n[monitor]"));
    let said = desk.check(&text);
    assert_eq!(said.code, 0, "{}", said.errors);
    let line =
        1 + text.lines().position(|line| line.starts_with("nameservers")).expect("put there");
    assert!(said.errors.contains(&format!(":{line}:15]")), "{}", said.errors);
    assert!(said.words().contains("nameservers without a service"), "{}", said.errors);
    assert!(said.words().contains("Consul without a service to ask it for"), "{}", said.errors);

    fs::set_permissions(desk.file(), fs::Permissions::from_mode(0o644)).expect("it is ours");
    let said = desk.run("check");
    assert_eq!(said.code, 0);
    assert!(said.words().contains("chmod o-r the configuration file"), "{}", said.errors);
    said.keeps_secrets();
}

/// Where passwords come from, in the three ways there are; and that systemd's is the unit's own.
#[test]
fn passwords_come_from_files_and_from_systemd() {
    let desk = Desk::new();
    desk.password_file("monitor.password", MONITORS);
    desk.password_file("monitor", MONITORS);
    let with = |line: &str| GOOD.replace(&format!("password = \"{MONITORS}\""), line);
    for good in ["password_file = \"monitor.password\"", "credential = \"monitor\""] {
        assert_eq!(desk.check(&with(good)).code, 0, "{good}");
    }
    let said = desk.check(&with("credential = \"absent\""));
    assert_eq!(said.code, BAD);
    let both = format!("password = \"{MONITORS}\"\ncredential = \"monitor\"");
    assert!(desk.check(&with(&both)).words().contains("more than one password"));
}

/// The mistakes that people make with a password are the ones whose reports they paste.
#[test]
fn a_mistake_beside_a_password_does_not_show_it() {
    let desk = Desk::new();
    let password = format!("password = \"{MONITORS}\"");
    for mistake in [
        format!("passwort = \"{MONITORS}\""),
        format!("Password = '{MONITORS}'"),
        format!("password = {MONITORS}"),
        format!("password = \"{MONITORS}"),
        format!("password = [\"{MONITORS}\"]"),
        format!("password \"{MONITORS}\""),
        format!("{password}\n{password}"),
        format!("{password}\npassword_file = \"x\""),
        format!("{password} interval = 5"),
        format!("password = {{ value = \"{MONITORS}\" }}"),
        format!("password = \"\"\"\n{MONITORS}\n\"\"\""),
    ] {
        let said = desk.check(&GOOD.replace(&password, &mistake));
        assert_eq!(said.code, BAD, "{mistake}");
        assert!(said.errors.contains("ido-proxy.toml:"), "{mistake}: {}", said.errors);
        said.keeps_secrets();
    }
}

/// A typing error in the path is the first thing that goes wrong.
#[test]
fn a_file_that_cannot_be_read_is_named() {
    let desk = Desk::new();
    let said = desk.run("check");
    assert_eq!(said.code, BAD);
    assert!(said.words().contains("ido-proxy.toml"), "{}", said.errors);
    assert!(said.words().contains("No such file"), "{}", said.errors);
}

/// A folder with a configuration file, and the binary to read it.
struct Desk(TempDir);

impl Desk {
    fn new() -> Self {
        Self(tempfile::tempdir().expect("a folder can be made"))
    }

    fn file(&self) -> PathBuf {
        self.0.path().join("ido-proxy.toml")
    }

    fn password_file(&self, name: &str, password: &str) {
        private(&self.0.path().join(name), &format!("{password}\n"));
    }

    /// `ido-proxy check` of this text.
    fn check(&self, text: &str) -> Said {
        private(&self.file(), text);
        self.run("check")
    }

    /// `ido-proxy COMMAND` with the file as it stands.
    fn run(&self, command: &str) -> Said {
        let ended = Command::new(binary().expect("it is built"))
            .args([command, "--config"])
            .arg(self.file())
            .env_remove("RUST_LOG")
            .env_remove("IDO_PROXY_CONFIG")
            .env("CREDENTIALS_DIRECTORY", self.0.path())
            .output()
            .expect("it can be started");
        Said {
            code: ended.status.code().expect("it ends by itself"),
            output: String::from_utf8(ended.stdout).expect("it prints text"),
            errors: String::from_utf8(ended.stderr).expect("it prints text"),
        }
    }
}

/// The outputs of a command, and how it ended.
#[derive(Debug)]
struct Said {
    code: i32,
    output: String,
    errors: String,
}

impl Said {
    /// The errors with line breaks and drawings taken out, to find sentences in.
    fn words(&self) -> String {
        let drawn = |c: char| c.is_whitespace() || "│·─┬╰╭▲".contains(c);
        let words: Vec<_> = self.errors.split(drawn).filter(|word| !word.is_empty()).collect();
        words.join(" ")
    }

    fn keeps_secrets(&self) {
        for secret in [MONITORS, USERS] {
            assert!(!self.errors.contains(secret), "{}", self.errors);
            assert!(!self.output.contains(secret), "{}", self.output);
        }
    }
}

fn private(path: &Path, text: &str) {
    fs::write(path, text).expect("the folder is ours");
    fs::set_permissions(path, fs::Permissions::from_mode(0o600)).expect("it is ours");
}

const EXAMPLE: &str = include_str!("../../config/ido-proxy.toml");

const GOOD: &str = r#"
[listen]
addresses = ["127.0.0.1:3306"]
[discovery]
nodes = ["192.0.2.11:3306"]
[monitor]
password = "m0nitor-secret-XQ"
[[users]]
name = "icinga"
password = "icing4-secret-ZK"
"#;

const MONITORS: &str = "m0nitor-secret-XQ";
const USERS: &str = "icing4-secret-ZK";

/// `EX_USAGE` of sysexits.h.
const BAD: i32 = 64;
