//! `[tls]`: whom to trust, and for what.

use super::*;

/// A name in certificates that nobody looks at is one that somebody relies on in vain.
#[test]
fn a_name_without_certificates_to_trust_is_warned_of() {
    let config = accepted(&with("tls.nodes_name", "\"db.example.org\"").0);
    assert!(config.tls.nodes.is_none());
    let [warning] = config.warnings() else { panic!("{:?}", config.warnings()) };
    assert!(warning.to_string().contains("certificates that nobody asks for"), "{warning}");
}

#[test]
fn nodes_are_spoken_to_by_tls_as_soon_as_somebody_is_trusted() {
    let dir = tempfile::tempdir().unwrap();
    let pem = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    fs::write(dir.path().join("ca.pem"), pem.repeat(2)).unwrap();
    for (name, expected) in [
        ("", None),
        ("nodes_name = \"db.example.org\"", Some("db.example.org")),
        ("nodes_name = \"192.0.2.1\"", Some("192.0.2.1")),
    ] {
        let text = format!("{MINIMAL}\n[tls]\nnodes_ca_file = \"ca.pem\"\n{name}\n");
        let config = Config::parse(&text, FILE, dir.path(), &Environment::default()).unwrap();
        let nodes = config.tls.nodes.as_ref().unwrap();
        assert_eq!(nodes.ca_file, dir.path().join("ca.pem"));
        assert_eq!(nodes.authorities.len(), 2);
        assert_eq!(nodes.name.as_ref().map(ToString::to_string).as_deref(), expected);
    }
}
