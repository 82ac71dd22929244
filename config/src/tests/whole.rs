//! The file as a whole: unknown keys, missing parts, broken syntax, several errors at once.

use super::*;

/// A misspelt key that is silently ignored leaves a default in force that nobody wanted.
#[test]
fn unknown_keys_are_refused_at_every_level() {
    for table in [
        "",
        "listen",
        "discovery",
        "tls",
        "monitor",
        "users",
        "control",
        "failover",
        "journal",
        "admin",
        "logs",
    ] {
        let key =
            if table.is_empty() { "bogus_key".to_owned() } else { format!("{table}.bogus_key") };
        let (text, line) = with(&key, "1");
        let errors = refused(&text);
        let words = words(&errors);
        assert!(words.contains("unknown key `bogus_key`"), "{words}");
        assert!(words.contains(&format!("[{FILE}:{line}:1]")), "{words}");
        assert!(words.contains("takes: "), "{words}");
        assert_eq!(errors.problems().len(), 1, "{words}");
    }
}

#[test]
fn an_unknown_key_is_answered_with_the_likely_one() {
    for (key, help) in [
        ("worker", "did you mean `workers`? the top level takes: state_dir,"),
        ("monitor.intervall", "did you mean `interval`? [monitor] takes: user,"),
        ("monitor.pasword", "did you mean `password`?"),
        ("listen.max-connections", "did you mean `max_connections`?"),
        ("users.user", "`user` belongs in [monitor]; [[users]] takes: name,"),
        ("monitor.hold", "`hold` belongs in [failover];"),
        ("monitor.workers", "`workers` belongs at the top level;"),
    ] {
        let words = words(&refused(&with(key, "1").0));
        assert!(words.contains(help), "{key}: no {help:?} in {words}");
    }
    let (text, _) = with("logs.bogus", "1");
    let errors = refused(&text.replace("bogus", "\"bog.us\""));
    assert!(words(&errors).contains("unknown key `bog.us` in [logs]"));
    assert_eq!(errors.problems().len(), 1);
    let errors = refused(&format!("{MINIMAL}\n[failver]\nhold = \"1s\""));
    let words = words(&errors);
    assert!(words.contains("unknown table `failver` at the top level"), "{words}");
    assert!(words.contains("did you mean `failover`?"), "{words}");
    assert_eq!(errors.problems().len(), 1, "{words}");
}

/// Whoever mends one error only to be shown the next gives up before the last.
#[test]
fn all_errors_are_told_at_once_and_in_order() {
    let errors = refused(
        r#"
workers = 0
bogus = 1
[listen]
addresses = ["nowhere", "0.0.0.0:3306"]
[discovery]
service = "galeradb.service.consul"
[monitor]
interval = "soon"
timeout = "0s"
[[users]]
password = "x"
[[users]]
name = "icinga"
[[users]]
name = "icinga"
password_file = "absent"
"#,
    );
    let lines: Vec<String> = errors
        .problems()
        .iter()
        .map(|problem| problem.summary().split(':').nth(1).unwrap().to_owned())
        .collect();
    let expected = ["2", "3", "5", "5", "6", "8", "9", "10", "11", "13", "16", "17"];
    assert_eq!(lines, expected, "{}", render(&errors, false));
}

/// An error that follows from another one only hides it.
#[test]
fn one_fault_is_told_once() {
    for text in [
        MINIMAL.replace("addresses =", "adresses ="),
        MINIMAL.replace("nodes =", "node ="),
        MINIMAL.replace("name =", "nam ="),
        MINIMAL.replace("\"icinga\"", "5"),
        MINIMAL.replace("[monitor]", "[monitr]"),
        MINIMAL.replace("[[users]]", "[users]"),
        MINIMAL.replace("[listen]\naddresses", "listen"),
        MINIMAL.replace("\"127.0.0.1:3306\"", "\"127.0.0.1\""),
        MINIMAL.replace("\"192.0.2.11:3306\"", "\"db1:3306\""),
    ] {
        let errors = refused(&text);
        assert_eq!(errors.problems().len(), 1, "{text}\n{}", render(&errors, false));
    }
}

#[test]
fn what_should_be_a_table_and_is_not_is_explained() {
    for (text, help) in [
        (MINIMAL.replace("[[users]]", "[users]"), "write [[users]] on a line of its own"),
        (format!("logs = \"json\"{MINIMAL}"), "write [logs] on a line of its own"),
        (
            format!("users = [\"icinga\"]\n{}", &MINIMAL[..MINIMAL.find("[[").unwrap()]),
            "write [[users]] on a line of its own",
        ),
    ] {
        let words = words(&refused(&text));
        assert!(words.contains(help), "{words}");
    }
}

#[test]
fn what_is_missing_is_named() {
    for (cut, message) in [
        ("addresses = [\"127.0.0.1:3306\"]", "no address to listen at"),
        ("nodes = [\"192.0.2.11:3306\"]", "no way to find the nodes"),
        ("password = \"m0nitor-secret\"", "no password in [monitor]"),
        ("name = \"icinga\"", "no name"),
        ("password = \"icing4-secret\"", "no password in [[users]]"),
        ("[[users]]\nname = \"icinga\"\npassword = \"icing4-secret\"", "nobody may log in"),
    ] {
        let errors = refused(&MINIMAL.replace(cut, ""));
        let words = words(&errors);
        assert!(words.contains(message), "{words}");
        assert!(words.contains("help: "), "{words}");
        assert_eq!(errors.problems().len(), 1, "{words}");
    }
    assert_eq!(refused("").problems().len(), 4);
}

#[test]
fn values_that_do_not_go_together_are_refused() {
    let service = MINIMAL.replace("nodes = [\"192.0.2.11:3306\"]", "service = \"db.consul\"");
    let words_of = |text: &str| words(&refused(text));
    assert!(words_of(&service).contains("nobody to ask for db.consul"));
    let single = MINIMAL.replace("[\"192.0.2.11:3306\"]", "[\"192.0.2.1:1\", \"192.0.2.2:1\"]");
    let single = format!("topology = \"single\"\n{single}");
    assert!(words_of(&single).contains("topology = \"single\" has one server"));
    let twice = format!("{MINIMAL}[[users]]\nname = \"icinga\"\npassword = \"x\"");
    assert!(words_of(&twice).contains("a second account called icinga"));
    let monitor = format!("{MINIMAL}[[users]]\nname = \"ido_proxy\"\npassword = \"other\"");
    assert!(words_of(&monitor).contains("the monitor's account, with another password"));
}

#[test]
fn public_addresses_are_accepted_when_told_so() {
    let (text, _) = with("listen.addresses", "[\"0.0.0.0:3306\"]\nallow_plaintext = true");
    accepted(&text);
    let (text, _) = with("admin.http", "\"0.0.0.0:80\"\nallow_public = true");
    accepted(&text);
}

#[test]
fn broken_syntax_is_shown_where_it_breaks() {
    for (text, place, words_there) in [
        ("workers: 5\n", "1:8", "invalid unquoted key"),
        ("workers 5\n", "1:9", "key with no value"),
        ("\nworkers =\n", "2:10", "must be quoted"),
        ("[logs]\nlevel = info\n", "2:9", "put text, times and sizes in quotes"),
        ("[failover]\nhold = 5m\n", "2:8", "put text, times and sizes in quotes"),
        ("[listen\nx = 1\n", "1:8", "unclosed table"),
        ("a = [1,\n[listen]\nb = 2\nc = 3\n", "2:2", "end the array with ]"),
        ("workers = 1\nworkers = 2\n", "2:1", "leave one `workers`"),
        ("[logs]\n[logs]\n", "2:2", "given a second time"),
        ("state_dir = \"/a\n", "1:16", "invalid basic string"),
    ] {
        let errors = refused(text);
        let words = words(&errors);
        assert!(words.contains(&format!("[{FILE}:{place}]")), "{text:?}: {words}");
        assert!(words.contains(words_there), "{text:?}: {words}");
        assert_eq!(errors.problems().len(), 1, "{text:?}: {words}");
    }
}

/// No text, however broken, may end the process.
#[test]
fn no_broken_file_panics() {
    let text = include_str!("../../ido-proxy.toml");
    for end in (0..text.len()).filter(|end| text.is_char_boundary(*end)).step_by(7) {
        if let Err(errors) = parse(&text[..end]) {
            assert!(!render(&errors, true).is_empty());
        }
    }
    for text in ["\u{feff}", "=", "é = \"é\"\n\"é\" = {", "a.b.c = 1\na.b = 2", "\0", "[[listen]]"]
    {
        assert!(!render(&refused(text), false).is_empty());
    }
}

#[test]
fn names_may_be_as_long_as_the_server_takes() {
    let name = |length: usize| with("users.name", &format!("\"{}\"", "ü".repeat(length))).0;
    accepted(&name(128));
    let words = words(&refused(&name(129)));
    assert!(words.contains("longer than 128 characters"), "{words}");
}

#[test]
fn relative_paths_start_at_the_file() {
    assert_eq!(accepted(MINIMAL).state_dir, Path::new("/var/lib/ido-proxy"));
    let (text, _) = with("state_dir", "\"state\"");
    assert_eq!(accepted(&text).state_dir, Path::new("/nowhere/state"));
}

#[test]
fn an_unreadable_file_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("absent.toml");
    let errors = Config::load(&path, &Environment::default()).unwrap_err();
    let words = words(&errors);
    assert!(words.contains("absent.toml") && words.contains("No such file"), "{words}");
    fs::write(&path, b"\xff\xfe").unwrap();
    let errors = Config::load(&path, &Environment::default()).unwrap_err();
    assert!(self::words(&errors).contains("UTF-8"));
}

#[test]
fn warnings_leave_the_configuration_usable() {
    let (text, line) = with("discovery.nameservers", "[\"192.0.2.1\"]");
    let config = accepted(&text);
    let [warning] = config.warnings() else {
        panic!("{:?}", config.warnings());
    };
    let place = format!("{FILE}:{line}:15: nameservers without a service");
    assert!(warning.summary().starts_with(&place), "{}", warning.summary());
    assert!(render(warning, false).contains("⚠"));
}

/// Somebody who asks for causal reads would believe to have them.
#[test]
fn a_wait_without_an_address_to_read_at_is_pointed_out() {
    let (text, line) = with("listen.replica_sync_wait", "true");
    let config = accepted(&text);
    let [warning] = config.warnings() else { panic!("{:?}", config.warnings()) };
    assert!(warning.summary().starts_with(&format!("{FILE}:{line}:")), "{}", warning.summary());
    assert!(warning.summary().contains("listen.replica_addresses is empty"));
    let both = "[\"127.0.0.1:3307\"]\nreplica_sync_wait = true";
    assert!(accepted(&with("listen.replica_addresses", both).0).warnings().is_empty());
}

#[test]
fn colours_are_for_those_who_asked() {
    let errors = refused("");
    assert!(!render(&errors, false).contains('\u{1b}'));
    assert!(render(&errors, true).contains('\u{1b}'));
}
