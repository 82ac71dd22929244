//! Every key of the shipped example, wrong in turn.

use super::{BAD, Desk, EXAMPLE, GOOD};

/// Whoever gets a key wrong is shown the line, the place in it, and what would be right.
#[test]
fn each_key_that_is_wrong_is_shown_with_its_place_and_what_would_be_right() {
    let desk = Desk::new();
    for &(key, value, right) in WRONG {
        let (text, line) = with(key, value);
        let said = desk.check(&text);
        assert_eq!((said.code, said.output.as_str()), (BAD, ""), "{key}: {said:?}");
        let place = format!("ido-proxy.toml:{line}:");
        assert!(said.errors.contains(&place), "{key}: no {place} in {}", said.errors);
        assert!(said.errors.contains("╰──"), "{key}: nothing points at it in {}", said.errors);
        assert!(said.words().contains(right), "{key}: no {right:?} in {}", said.errors);
        said.keeps_secrets();
    }
}

/// A key that nobody tried to get wrong might be one that takes anything.
#[test]
fn no_key_of_the_example_is_left_out() {
    let keys = keys_of_the_example();
    assert!(keys.len() > 30, "{keys:?}");
    for key in &keys {
        assert!(WRONG.iter().any(|wrong| wrong.0 == key), "{key}");
    }
    for (key, ..) in WRONG {
        assert!(keys.iter().any(|known| known == key), "{key} is not in the example");
    }
}

/// `GOOD` with this key, and the number of its line.
fn with(key: &str, value: &str) -> (String, usize) {
    let (table, name) = key.rsplit_once('.').unwrap_or(("", key));
    let header = match table {
        "" => String::new(),
        "users" => "[[users]]".to_owned(),
        table => format!("[{table}]"),
    };
    let secret = |name: &str| ["password", "password_file", "credential"].contains(&name);
    let (mut lines, mut current) = (vec![], String::new());
    for line in GOOD.lines() {
        if line.starts_with('[') {
            current = line.to_owned();
        }
        let old = line.split(" =").next().unwrap_or_default();
        let same = old == name || secret(old) && secret(name);
        if !(current == header && same) {
            lines.push(line.to_owned());
        }
    }
    let at = match lines.iter().position(|line| *line == header) {
        Some(at) => at + 1,
        None => {
            lines.push(header);
            lines.len()
        }
    };
    lines.insert(at, format!("{name} = {value}"));
    (lines.join("\n"), at + 1)
}

/// `key = …`, commented out or not, and `Example: key = …`.
fn keys_of_the_example() -> Vec<String> {
    let (mut table, mut keys) = (String::new(), Vec::new());
    for line in EXAMPLE.lines() {
        if line.starts_with('[') {
            table = line.trim_matches(['[', ']']).to_owned() + ".";
        }
        let line = line.strip_prefix("# Example: ").unwrap_or(line);
        let line = line.strip_prefix('#').unwrap_or(line);
        if let Some((name, _)) = line.split_once(" = ")
            && name.chars().all(|c| c.is_ascii_lowercase() || c == '_')
        {
            keys.push(format!("{table}{name}"));
        }
    }
    keys.sort();
    keys.dedup();
    keys
}

/// Key, wrong value, and words of what is said to be right.
const WRONG: &[(&str, &str, &str)] = &[
    ("state_dir", "\"\"", "a folder that the proxy may write to"),
    ("topology", "\"cluster\"", "\"galera\" for a cluster, or \"single\""),
    ("workers", "0", "a number of threads from 1 to 64"),
    ("listen.addresses", "[\"0.0.0.0:3306\"]", "listen at a loopback address"),
    ("listen.replica_addresses", "[\"localhost\"]", "an array of \"IP:PORT\" and paths"),
    ("listen.replica_sync_wait", "\"yes\"", "true or false"),
    ("listen.allow_plaintext", "\"yes\"", "true or false"),
    ("listen.max_connections", "0", "a number from 1 to 100000"),
    ("listen.login_timeout", "10", "a time from \"100ms\" to \"10m\""),
    ("listen.socket_mode", "666", "octal permission bits in quotes"),
    ("discovery.service", "\"192.0.2.1\"", "addresses belong in nodes"),
    ("discovery.nameservers", "[\"dns.example\"]", "dns.example is a name"),
    ("discovery.port", "65536", "it takes"),
    ("discovery.nodes", "[\"db1:3306\"]", "for a name use service"),
    ("discovery.consul", "\"127.0.0.1:8500\"", "http://"),
    ("discovery.consul_token", "\"\"", "Consul's ACL token in quotes"),
    ("discovery.consul_token_file", "\"absent\"", "a file that holds the token alone"),
    ("discovery.consul_credential", "\"../x\"", "the name of a systemd credential"),
    ("discovery.consul_ca_file", "\"absent\"", "a file of certificates in PEM"),
    ("discovery.interval", "\"soon\"", "a time from"),
    ("discovery.timeout", "\"0s\"", "a time from"),
    ("tls.nodes_ca_file", "\"absent\"", "a file of certificates in PEM"),
    ("tls.nodes_name", "\"a b\"", "the DNS name in the certificate of every node"),
    ("monitor.user", "\"\"", "it takes"),
    ("monitor.password", "8765309", "the password in quotes"),
    ("monitor.password_file", "\"absent\"", "a file that holds the password alone"),
    ("monitor.credential", "\"../x\"", "the name of a systemd credential"),
    ("monitor.interval", "\"49ms\"", "a time from"),
    ("monitor.timeout", "true", "a time from"),
    ("users.name", "7", "it takes"),
    ("users.password", "\"\"", "the password in quotes"),
    ("users.password_file", "\"/\"", "a file that holds the password alone"),
    ("users.credential", "1", "the name of a systemd credential"),
    ("control.schema", "\"ido-proxy\"", "it takes"),
    ("failover.hold", "\"0s\"", "a time from \"1ms\" to \"24h\""),
    ("failover.path_timeout", "\"1h\"", "a time from \"1ms\" to \"10m\""),
    ("failover.drain", "\"-1s\"", "a time from \"0s\" to \"1h\""),
    ("failover.evict", "\"alive\"", "\"dead\" or \"off\""),
    ("journal.memory", "\"lots\"", "it takes"),
    ("journal.disk", "64", "it takes"),
    ("admin.http", "\"0.0.0.0:9306\"", "allow_public"),
    ("admin.console", "\"localhost:6032\"", "localhost is a name"),
    ("admin.allow_public", "1", "true or false"),
    ("logs.format", "\"xml\"", "\"json\""),
    ("logs.level", "\"loud\"", "\"debug\""),
];
