//! The example that is shipped is the reference that users read.

use std::os::unix::fs::PermissionsExt;

use super::*;

const EXAMPLE: &str = include_str!("../../ido-proxy.toml");

#[test]
fn the_shipped_example_is_accepted() {
    let config = loaded(EXAMPLE);
    assert_eq!(config.users[0].name, "icinga");
    assert!(config.warnings().is_empty(), "{:?}", config.warnings());
}

/// A default that the example tells wrongly is one that users rely on.
#[test]
fn every_default_in_the_example_is_the_default() {
    let defaults: Vec<&str> = EXAMPLE.lines().filter(|line| is_default(line)).collect();
    let spelled_out = EXAMPLE
        .lines()
        .map(|line| if is_default(line) { &line[1..] } else { line })
        .collect::<Vec<_>>()
        .join("\n");
    let spelled_out = loaded(&spelled_out);
    assert_eq!(values(&loaded(EXAMPLE)), values(&spelled_out));
    // All that have a default: not listen.addresses, discovery.{service,nameservers}, the five keys of
    // Consul, the two of TLS, the user's name, and three ways to a password for each of two accounts.
    assert_eq!(defaults.len(), KEYS.all().count() - 4 - 5 - 2 - 6, "{defaults:#?}");
}

#[test]
fn every_key_is_in_the_example() {
    let mut table = String::new();
    let mut found: Vec<String> = Vec::new();
    for line in EXAMPLE.lines() {
        if line.starts_with('[') {
            table = line.replace(['[', ']'], "");
        }
        let line = line.strip_prefix("# Example: ").unwrap_or(line).trim_start_matches('#');
        let Some((name, _)) = line.split_once(" = ") else {
            continue;
        };
        let separator = if table.is_empty() { "" } else { "." };
        found.push(format!("{table}{separator}{name}"));
    }
    for key in KEYS.all() {
        assert!(found.iter().any(|found| found == key.path), "{}", key.path);
    }
}

#[test]
fn the_examples_in_comments_are_accepted() {
    for line in EXAMPLE.lines() {
        if let Some(example) = line.strip_prefix("# Example: ") {
            let (name, value) = example.split_once(" = ").unwrap();
            let key = KEYS.all().find(|key| key.path.ends_with(&format!(".{name}")));
            let (text, _) = with(key.unwrap().path, value);
            match name {
                // These keys need systemd, or files that are not here.
                "credential" | "consul_credential" | "consul_token_file" | "consul_ca_file"
                | "nodes_ca_file" => {
                    assert_eq!(refused(&text).problems().len(), 1);
                }
                _ => drop(accepted(&text)),
            }
        }
    }
}

fn is_default(line: &str) -> bool {
    line.starts_with('#') && line[1..].starts_with(char::is_alphabetic)
}

fn loaded(text: &str) -> Config {
    let dir = tempfile::tempdir().unwrap();
    for name in ["monitor.password", "icinga.password"] {
        let path = dir.path().join(name);
        fs::write(&path, "secret\n").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    }
    accepted(&text.replace("/etc/ido-proxy", &dir.path().display().to_string()))
}

/// All values, without the notes on how the file gave them.
fn values(config: &Config) -> String {
    let debug = format!("{config:#?}");
    let notes = debug.find("warnings: ").unwrap();
    debug[..notes].to_owned()
}
