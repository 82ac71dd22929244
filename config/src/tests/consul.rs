//! Consul's HTTP interface: what it is asked for, by whom, and what goes together.

use std::os::unix::fs::PermissionsExt;

use secrecy::ExposeSecret;

use super::*;
use crate::consul::ConsulService;

const URL: &str = "consul = \"http://127.0.0.1:8500\"";

/// `MINIMAL` with a service in place of the nodes, and these lines.
fn service(name: &str, lines: &str) -> String {
    let nodes = "nodes = [\"192.0.2.11:3306\"]";
    MINIMAL.replace(nodes, &format!("service = \"{name}\"\n{lines}"))
}

fn asked(name: &str) -> Result<(String, Option<String>, Option<String>), &'static str> {
    let ConsulService { name, tag, datacenter } = name.parse()?;
    Ok((name, tag, datacenter))
}

/// A name must mean the same nodes by DNS and by HTTP. Otherwise another service's nodes are probed.
#[test]
fn names_in_consuls_dns_are_understood_as_consul_does() {
    let some = |text: &str| Some(text.to_owned());
    for (name, service, tag, datacenter) in [
        ("galeradb.service.consul", "galeradb", None, None),
        ("galeradb.SERVICE.Consul", "galeradb", None, None),
        ("galeradb.service.dc1.consul", "galeradb", None, some("dc1")),
        ("galeradb.service.dc1.dc.consul", "galeradb", None, some("dc1")),
        ("writer.galeradb.service.consul", "galeradb", some("writer"), None),
        ("v1.2.galeradb.service.dc1.consul", "galeradb", some("v1.2"), some("dc1")),
        ("_galeradb._tcp.service.consul", "galeradb", None, None),
        ("_galeradb._writer.service.dc1.consul", "galeradb", some("writer"), some("dc1")),
        ("galeradb.service.corp.example", "galeradb", None, None),
        ("galeradb.service.dc1.dc.corp.example", "galeradb", None, some("dc1")),
        ("service.service.consul", "service", None, None),
    ] {
        assert_eq!(asked(name), Ok((service.to_owned(), tag, datacenter)), "{name}");
    }
    for name in [
        "galeradb.query.consul",
        "db.example.org",
        "service.consul",
        "galeradb",
        "galeradb.service",
        "galeradb.service.team.ns.consul",
        "_._tcp.service.consul",
    ] {
        assert!(asked(name).is_err(), "{name}");
        if name.contains('.') {
            let words = words(&refused(&service(name, URL)));
            assert!(words.contains(&format!("Consul cannot be asked for {name}")), "{words}");
        }
    }
}

#[test]
fn consul_is_a_source_of_its_own() {
    let config = accepted(&service("galeradb.service.consul", URL));
    let consul = config.discovery.consul.as_ref().unwrap();
    assert_eq!(consul.address, "127.0.0.1:8500".parse().unwrap());
    assert!(config.discovery.nameservers.is_empty() && config.warnings().is_empty());
    assert!(consul.authorities.is_none() && consul.token.is_none());

    let words = words(&refused(&service("galeradb.service.consul", "")));
    assert!(words.contains("nobody to ask for galeradb.service.consul"), "{words}");
    assert!(words.contains("neither nameservers nor consul here"), "{words}");
}

/// A key that is not used is one that somebody relies on in vain.
#[test]
fn keys_without_use_are_warned_of() {
    let token = "consul_token = \"t\"";
    for (text, message) in [
        (with("discovery.consul", "\"http://127.0.0.1\"").0, "without a service"),
        (with("discovery.consul_token", "\"t\"").0, "no Consul to use it for"),
        (
            service("a.service.consul", &format!("consul = \"http://192.0.2.1\"\n{token}")),
            "clear text",
        ),
    ] {
        let config = accepted(&text);
        let [warning] = config.warnings() else {
            panic!("{text}\n{:?}", config.warnings());
        };
        assert!(warning.to_string().contains(message), "{warning}");
    }
    let config = accepted(&service("a.service.consul", &format!("{URL}\n{token}")));
    assert!(config.warnings().is_empty(), "the loopback is no network");
}

/// Otherwise readers of logs, reports and panics learn the token.
#[test]
fn the_token_comes_from_three_places_and_goes_nowhere() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("the.token");
    fs::write(&file, "t0ken\n").unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
    let env = Environment { credentials_directory: Some(dir.path().to_owned()) };
    let read = |line: &str| {
        let text = service("a.service.consul", &format!("{URL}\n{line}"));
        Config::parse(&text, FILE, dir.path(), &env)
    };
    for line in [
        "consul_token = \"t0ken\"",
        "consul_token_file = \"the.token\"",
        "consul_credential = \"the.token\"",
    ] {
        let config = read(line).unwrap();
        let token = config.discovery.consul.as_ref().and_then(|consul| consul.token.as_ref());
        assert_eq!(token.unwrap().expose_secret(), "t0ken");
        assert!(!format!("{config:?}").contains("t0ken"));
    }
    let errors = read("consul_token = \"t0ken\"\nconsul_token_file = \"the.token\"").unwrap_err();
    assert!(words(&errors).contains("more than one token"), "{}", words(&errors));
    assert!(!render(&errors, false).contains("t0ken"));
    fs::write(&file, "t0 ken").unwrap();
    let errors = read("consul_token_file = \"the.token\"").unwrap_err();
    assert!(words(&errors).contains("printable ASCII"), "{}", words(&errors));
    assert!(render(&errors, false).contains("the.token"), "where it is may be told");
}

#[test]
fn https_trusts_the_certificates_of_its_file_alone() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("ca.pem");
    let read = |pem: &str| {
        fs::write(&file, pem).unwrap();
        let lines = "consul = \"https://127.0.0.1\"\nconsul_ca_file = \"ca.pem\"";
        let text = service("a.service.consul", lines);
        Config::parse(&text, FILE, dir.path(), &Environment::default())
    };
    let pem = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    let config = read(&pem.repeat(2)).unwrap();
    let consul = config.discovery.consul.as_ref().unwrap();
    assert_eq!(consul.address.port(), 8501);
    assert_eq!(consul.authorities.as_ref().map(Vec::len), Some(2));
    let plain = "consul = \"http://127.0.0.1\"\nconsul_ca_file = \"ca.pem\"";
    let text = service("a.service.consul", plain);
    let config = Config::parse(&text, FILE, dir.path(), &Environment::default()).unwrap();
    assert!(config.warnings()[0].to_string().contains("a CA for a connection without TLS"));
    for (pem, flaw) in [
        ("", "no certificate in it"),
        ("nonsense", "no certificate in it"),
        ("-----BEGIN CERTIFICATE-----\nAAAA\n", "section end"),
    ] {
        let errors = read(pem).unwrap_err();
        let words = words(&errors);
        assert!(words.contains("no certificates to trust in"), "{words}");
        assert!(words.contains(flaw), "{words}");
        assert_eq!(errors.problems().len(), 1, "{words}");
    }
}
