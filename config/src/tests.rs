use std::fs;
use std::path::Path;

use super::*;
use crate::config::KEYS;

mod consul;
mod example;
mod secrets;
mod tls;
mod values;
mod whole;

/// A configuration with nothing but what has no default.
const MINIMAL: &str = r#"
[listen]
addresses = ["127.0.0.1:3306"]
[discovery]
nodes = ["192.0.2.11:3306"]
[monitor]
password = "m0nitor-secret"
[[users]]
name = "icinga"
password = "icing4-secret"
"#;

fn parse(text: &str) -> Result<Config, Errors> {
    Config::parse(text, FILE, Path::new("/nowhere"), &Environment::default())
}

fn accepted(text: &str) -> Config {
    match parse(text) {
        Ok(config) => config,
        Err(errors) => panic!("{text}\nwas refused:\n{}", render(&errors, false)),
    }
}

fn refused(text: &str) -> Errors {
    match parse(text) {
        Ok(config) => panic!("{text}\nwas accepted as {config:#?}"),
        Err(errors) => errors,
    }
}

/// The rendered report with its line breaks and drawings taken out, to search for sentences.
fn words(errors: &Errors) -> String {
    let drawn = |c: char| c.is_whitespace() || "│·─┬╰╭▲".contains(c);
    let report = render(errors, false);
    let words: Vec<&str> = report.split(drawn).filter(|word| !word.is_empty()).collect();
    words.join(" ")
}

/// `MINIMAL` with `key` (as in `listen.addresses`) set to `value`, and the number of that line.
fn with(key: &str, value: &str) -> (String, usize) {
    let (table, name) = key.rsplit_once('.').unwrap_or(("", key));
    let header = match table {
        "" => String::new(),
        "users" => "[[users]]".to_owned(),
        _ => format!("[{table}]"),
    };
    let mut lines: Vec<String> = Vec::new();
    let mut current = String::new();
    for line in MINIMAL.lines() {
        if line.starts_with('[') {
            current = line.to_owned();
        }
        let replaced = current == header && line.starts_with(&format!("{name} ="));
        // Another source of the same password would be an error of its own.
        let rival = current == header && line.starts_with("password") && is_password(name);
        if !replaced && !rival {
            lines.push(line.to_owned());
        }
    }
    let at = match lines.iter().position(|line| *line == header) {
        _ if header.is_empty() => 0,
        Some(at) => at + 1,
        None => {
            lines.push(header);
            lines.len()
        }
    };
    lines.insert(at, format!("{name} = {value}"));
    (lines.join("\n"), at + 1)
}

fn is_password(name: &str) -> bool {
    matches!(name, "password" | "password_file" | "credential")
}

const FILE: &str = "test.toml";
