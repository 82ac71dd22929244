//! Every key of the file with values that it must refuse.

use super::*;

/// A user who lost this would be told that something is wrong, but not where, or not what would be
/// right.
#[test]
fn every_wrong_value_is_shown_with_place_and_help() {
    for &(key, value, culprit, label) in WRONG {
        let (text, line) = with(key, value);
        let column = text.lines().nth(line - 1).unwrap().find(culprit).unwrap() + 1;
        let errors = refused(&text);
        let report = render(&errors, false);
        let words = words(&errors);

        let place = format!("[{FILE}:{line}:{column}]");
        assert!(report.contains(&place), "{key} = {value}: no {place} in\n{report}");
        assert!(report.contains("╰──"), "{key} = {value}: no caret in\n{report}");
        assert!(words.contains(label), "{key} = {value}: no {label:?} in\n{report}");
        assert!(words.contains("help: "), "{key} = {value}: no help in\n{report}");
        if words.contains(&format!("wrong value for `{key}`")) {
            let takes = KEYS.find(key).unwrap().takes;
            assert!(words.contains(takes), "{key} = {value}: no {takes:?} in\n{report}");
        }
        assert_eq!(errors.problems().len(), 1, "{key} = {value}:\n{report}");
    }
}

#[test]
fn no_key_lacks_a_wrong_value() {
    for key in KEYS.all() {
        let path = key.path;
        assert!(WRONG.iter().any(|wrong| wrong.0 == path), "{path}");
        // A value of another type never passes, whatever the key.
        let (text, line) = with(path, "{ a = 1 }");
        let report = render(&refused(&text), false);
        assert!(report.contains(&format!("[{FILE}:{line}:")), "{path}:\n{report}");
    }
}

/// Limits that a key accepts are those that its message tells.
#[test]
fn limits_are_inclusive() {
    for (key, value) in [
        ("workers", "1"),
        ("workers", "64"),
        ("listen.max_connections", "1"),
        ("listen.max_connections", "100000"),
        ("listen.login_timeout", "\"100ms\""),
        ("listen.login_timeout", "\"10m\""),
        ("listen.socket_mode", "\"0777\""),
        ("listen.socket_mode", "\"660\""),
        ("discovery.port", "1"),
        ("discovery.port", "65535"),
        ("discovery.interval", "\"50ms\""),
        ("discovery.interval", "\"1h\""),
        ("discovery.timeout", "\"10ms\""),
        ("discovery.timeout", "\"1m\""),
        ("monitor.interval", "\"50ms\""),
        ("monitor.interval", "\"1m\""),
        ("monitor.timeout", "\"10ms\""),
        ("monitor.timeout", "\"1m\""),
        ("failover.hold", "\"1ms\""),
        ("failover.hold", "\"24h\""),
        ("failover.path_timeout", "\"1ms\""),
        ("failover.path_timeout", "\"10m\""),
        ("failover.drain", "\"0s\""),
        ("failover.drain", "\"1h\""),
        ("failover.evict", "\"dead\""),
        ("journal.memory", "\"1MiB\""),
        ("journal.memory", "\"64GiB\""),
        ("journal.disk", "\"1 MiB\""),
        ("journal.disk", "\"1TiB\""),
        ("listen.addresses", "[\"[::1]:3306\", \"[::ffff:127.0.0.1]:3306\"]"),
        ("discovery.consul", "\"http://127.0.0.1\""),
        ("control.schema", "\"_a1\""),
        ("logs.format", "\"json\""),
        ("logs.level", "\"trace\""),
        ("topology", "\"single\""),
    ] {
        accepted(&with(key, value).0);
    }
}

/// Key, wrong value, the part of it that the caret is under, and what is said there.
const WRONG: &[(&str, &str, &str, &str)] = &[
    ("state_dir", "5", "5", "expected path string"),
    ("state_dir", "\"\"", "\"\"", "empty"),
    ("topology", "\"cluster\"", "\"cluster\"", "unknown variant `cluster`"),
    ("workers", "0", "0", "not in 1 to 64"),
    ("workers", "65", "65", "not in 1 to 64"),
    ("workers", "-1", "-1", "integer `-1`"),
    ("workers", "\"two\"", "\"two\"", "string \"two\""),
    ("listen.addresses", "[]", "[]", "no addresses here"),
    ("listen.addresses", "\"127.0.0.1:3306\"", "\"127", "expected an array"),
    ("listen.addresses", "[\"/a\", 3306]", "3306", "expected a string"),
    ("listen.addresses", "[\"/a\", \"localhost\"]", "\"localhost\"", "localhost is a name"),
    ("listen.addresses", "[\"/a\", \"localhost:1\"]", "\"localhost:1\"", "localhost is a name"),
    ("listen.addresses", "[\"127.0.0.1\"]", "\"127", "the port is missing"),
    ("listen.addresses", "[\"::1\"]", "\"::1\"", "the port is missing"),
    ("listen.addresses", "[\"127.0.0.1:0\"]", "\"127", "the port is 0"),
    ("listen.addresses", "[\"127.0.0.1:65536\"]", "\"127", "not a port"),
    ("listen.addresses", "[\"127.0.0.1:x\"]", "\"127", "not a port"),
    ("listen.addresses", "[\"\"]", "\"\"", "empty"),
    ("listen.addresses", "[\"?\"]", "\"?\"", "not an IP address and a port"),
    ("listen.addresses", "[\"/run/\"]", "\"/run/\"", "not the path of a file"),
    ("listen.addresses", "[\"/a\", \"127.0.0.1:1\", '/a']", "'/a'", "listed before"),
    ("listen.addresses", "[\"0.0.0.0:3306\"]", "\"0.0", "a public address"),
    ("listen.addresses", "[\"[::]:3306\"]", "\"[::]", "a public address"),
    ("listen.addresses", "[\"192.0.2.1:3306\"]", "\"192", "a public address"),
    ("listen.replica_addresses", "[\"x\"]", "\"x\"", "x is a name"),
    ("listen.replica_addresses", "[\"127.0.0.1:3306\"]", "\"127", "listed before"),
    ("listen.replica_addresses", "[\"192.0.2.1:3306\"]", "\"192", "a public address"),
    ("listen.replica_addresses", "[\"/a\", '/a']", "'/a'", "listed before"),
    ("listen.replica_sync_wait", "1", "1", "expected a boolean"),
    ("listen.allow_plaintext", "\"yes\"", "\"yes\"", "expected a boolean"),
    ("listen.max_connections", "0", "0", "not in 1 to 100000"),
    ("listen.max_connections", "100001", "100001", "not in 1 to 100000"),
    ("listen.login_timeout", "10", "10", "expected a duration"),
    ("listen.login_timeout", "\"0s\"", "\"0s\"", "shorter than 100ms"),
    ("listen.login_timeout", "\"1day\"", "\"1day\"", "longer than 600s"),
    ("listen.socket_mode", "666", "666", "expected a string"),
    ("listen.socket_mode", "\"0888\"", "\"0888\"", "not octal permission bits"),
    ("listen.socket_mode", "\"1777\"", "\"1777\"", "not octal permission bits"),
    ("discovery.service", "\"\"", "\"\"", "empty"),
    ("discovery.service", "\"a b\"", "\"a b\"", "not a DNS name"),
    ("discovery.service", "\"a..b\"", "\"a..b\"", "not a DNS name"),
    ("discovery.service", "\"-a.b\"", "\"-a.b\"", "not a DNS name"),
    ("discovery.service", "\"192.0.2.1\"", "\"192", "addresses belong in nodes"),
    ("discovery.service", "\"192.0.2.1:1\"", "\"192", "addresses belong in nodes"),
    ("discovery.nameservers", "[\"dns.example\"]", "\"dns", "dns.example is a name"),
    ("discovery.nameservers", "[\"192.0.2.1:0\"]", "\"192", "the port is 0"),
    ("discovery.nameservers", "[\"0.0.0.0\"]", "\"0.0", "nobody can be reached"),
    ("discovery.nameservers", "[\"192.0.2.1\", '192.0.2.1:53']", "'192", "listed before"),
    ("discovery.port", "0", "0", "the port is 0"),
    ("discovery.port", "65536", "65536", "integer `65536`"),
    ("discovery.nodes", "[\"db1:3306\"]", "\"db1:3306\"", "for a name use service"),
    ("discovery.nodes", "[\"192.0.2.1\"]", "\"192", "the port is missing"),
    ("discovery.nodes", "[\"192.0.2.1:1\", '192.0.2.1:1']", "'192", "listed before"),
    ("discovery.nodes", "[\"[::]:3306\"]", "\"[::]", "nobody can be reached"),
    ("discovery.nodes", "[]", "[]", "neither service nor nodes"),
    ("discovery.consul", "\"127.0.0.1:8500\"", "\"127", "not an http:// or https://"),
    ("discovery.consul", "\"https://127.0.0.1\"", "\"https", "https without a certificate"),
    ("discovery.consul", "\"http://consul:8500\"", "\"http", "consul is a name"),
    ("discovery.consul_token", "\"\"", "\"\"", "empty"),
    ("discovery.consul_token", "\"to ken\"", "\"to ken\"", "printable ASCII characters alone"),
    ("discovery.consul_token", "8765309", "8765309", "not a text in quotes"),
    ("discovery.consul_token_file", "1", "1", "expected path string"),
    ("discovery.consul_token_file", "\"absent\"", "\"absent\"", "No such file"),
    ("discovery.consul_credential", "\"../x\"", "\"../x\"", "not the name of a credential"),
    ("discovery.consul_credential", "\"x\"", "\"x\"", "$CREDENTIALS_DIRECTORY is not set"),
    ("discovery.consul_ca_file", "5", "5", "expected path string"),
    ("discovery.consul_ca_file", "\"absent\"", "\"absent\"", "No such file"),
    ("discovery.consul_ca_file", "\"/\"", "\"/\"", "not a regular file"),
    ("discovery.interval", "\"49ms\"", "\"49ms\"", "shorter than 50ms"),
    ("discovery.interval", "\"2h\"", "\"2h\"", "longer than 3600s"),
    ("discovery.timeout", "\"0s\"", "\"0s\"", "shorter than 10ms"),
    ("discovery.timeout", "\"2m\"", "\"2m\"", "longer than 60s"),
    ("monitor.user", "\"\"", "\"\"", "empty"),
    ("monitor.user", "\"a\\nb\"", "\"a\\nb\"", "control character"),
    ("monitor.password", "\"\"", "\"\"", "empty"),
    ("monitor.password", "\"a\\u0000b\"", "\"a", "has a NUL byte in it"),
    ("monitor.password", "8765309", "8765309", "not a text in quotes"),
    ("monitor.password_file", "1", "1", "expected path string"),
    ("monitor.password_file", "\"absent\"", "\"absent\"", "No such file"),
    ("monitor.credential", "1", "1", "expected a string"),
    ("monitor.credential", "\"../x\"", "\"../x\"", "not the name of a credential"),
    ("monitor.credential", "\"x\"", "\"x\"", "$CREDENTIALS_DIRECTORY is not set"),
    ("monitor.interval", "\"49ms\"", "\"49ms\"", "shorter than 50ms"),
    ("monitor.interval", "\"often\"", "\"often\"", "expected a duration"),
    ("monitor.timeout", "\"0s\"", "\"0s\"", "shorter than 10ms"),
    ("monitor.timeout", "true", "true", "expected a duration"),
    ("users.name", "\"\"", "\"\"", "empty"),
    ("users.name", "7", "7", "expected a string"),
    ("users.password", "\"\"", "\"\"", "empty"),
    ("users.password", "\"a\\nb\"", "\"a", "more than one line"),
    ("users.password_file", "\"/\"", "\"/\"", "not a regular file"),
    ("users.password_file", "\"absent\"", "\"absent\"", "No such file"),
    ("users.credential", "\"\"", "\"\"", "not the name of a credential"),
    ("tls.nodes_ca_file", "1", "1", "expected path string"),
    ("tls.nodes_ca_file", "\"absent\"", "\"absent\"", "No such file"),
    ("tls.nodes_name", "\"\"", "\"\"", "not a name as certificates have it"),
    ("tls.nodes_name", "\"a b\"", "\"a b\"", "not a name as certificates have it"),
    ("control.schema", "\"\"", "\"\"", "empty"),
    ("control.schema", "\"ido-proxy\"", "\"ido-proxy\"", "not a plain name"),
    ("control.schema", "\"1a\"", "\"1a\"", "not a plain name"),
    ("control.schema", "\"MySQL\"", "\"MySQL\"", "a database of the server itself"),
    ("failover.hold", "\"0s\"", "\"0s\"", "shorter than 1ms"),
    ("failover.hold", "\"2days\"", "\"2days\"", "longer than 86400s"),
    ("failover.path_timeout", "\"0s\"", "\"0s\"", "shorter than 1ms"),
    ("failover.path_timeout", "\"1h\"", "\"1h\"", "longer than 600s"),
    ("failover.drain", "\"2h\"", "\"2h\"", "longer than 3600s"),
    ("failover.drain", "\"-1s\"", "\"-1s\"", "expected a duration"),
    ("failover.evict", "\"alive\"", "\"alive\"", "unknown variant"),
    ("journal.memory", "\"0\"", "\"0\"", "not in 1MiB to 64GiB"),
    ("journal.memory", "\"lots\"", "\"lots\"", "not a size"),
    ("journal.memory", "\"65GiB\"", "\"65GiB\"", "not in 1MiB to 64GiB"),
    ("journal.disk", "\"0\"", "\"0\"", "not in 1MiB to 1TiB"),
    ("journal.disk", "\"99999999999TiB\"", "\"99", "not in 1MiB to 1TiB"),
    ("journal.disk", "64", "64", "expected a string"),
    ("admin.http", "\"localhost:9306\"", "\"localhost", "localhost is a name"),
    ("admin.http", "\"0.0.0.0:9306\"", "\"0.0", "a public address"),
    ("admin.http", "\"127.0.0.1:3306\"", "\"127", "used for something else already"),
    ("admin.console", "\"127.0.0.1:0\"", "\"127", "the port is 0"),
    ("admin.console", "\"192.0.2.1:6032\"", "\"192", "a public address"),
    ("admin.console", "\"127.0.0.1:9306\"", "\"127", "used for something else already"),
    ("admin.allow_public", "1", "1", "expected a boolean"),
    ("logs.format", "\"xml\"", "\"xml\"", "unknown variant `xml`"),
    ("logs.level", "\"loud\"", "\"loud\"", "unknown variant `loud`"),
];
