//! `[tls]`: encrypted connections.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use rustls_pki_types::{CertificateDer, ServerName};
use serde::Deserialize;

use crate::certificates;
use crate::keys::{Key, key};
use crate::report::Report;
use crate::secret::Surroundings;
use crate::text;

/// `[tls]`
#[derive(Clone, Debug, Default)]
pub struct Tls {
    /// How nodes are spoken to: by TLS alone, or, by default, without.
    pub nodes: Option<NodesTls>,
}

/// TLS to every node, by whomever of the proxy it is spoken to.
#[derive(Clone, Debug)]
pub struct NodesTls {
    /// The file with the certificates to trust. It may change while the proxy runs.
    pub ca_file: PathBuf,
    /// The certificates in `ca_file`: at least one.
    pub authorities: Vec<CertificateDer<'static>>,
    /// The name that every node's certificate must be for. Default: the IP address of the node.
    pub name: Option<CertificateName>,
}

/// A DNS name as certificates have it, or an IP address.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct CertificateName(ServerName<'static>);

impl CertificateName {
    /// The name in the type that TLS takes.
    pub fn server_name(&self) -> &ServerName<'static> {
        &self.0
    }
}

impl fmt::Display for CertificateName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.to_str())
    }
}

impl FromStr for CertificateName {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match ServerName::try_from(text.to_owned()) {
            Ok(name) => Ok(Self(name)),
            Err(_) => Err("not a name as certificates have it"),
        }
    }
}

/// `[tls]` before the files that it names were read.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct RawTls {
    nodes_ca_file: Option<PathBuf>,
    #[serde(deserialize_with = "text::optional::<_, CertificateName, _>")]
    nodes_name: Option<CertificateName>,
}

impl RawTls {
    /// Where something is wrong, the value stands for the error in `report`.
    pub(crate) fn resolve(self, around: &Surroundings<'_>, report: &mut Report<'_>) -> Tls {
        let Some(file) = self.nodes_ca_file else {
            if report.has(NAME) && !report.is_damaged(CA_FILE) {
                report.warning(
                    NAME,
                    "a name to find in certificates that nobody asks for",
                    "not used",
                    "add nodes_ca_file, which makes the proxy speak TLS to the nodes, or leave it out",
                );
            }
            return Tls::default();
        };
        let ca_file = around.base_dir.join(file);
        let authorities = certificates::resolve(CA_FILE, &ca_file, report).unwrap_or_default();
        Tls { nodes: Some(NodesTls { ca_file, authorities, name: self.nodes_name }) }
    }
}

const CA_FILE: &str = "tls.nodes_ca_file";
const NAME: &str = "tls.nodes_name";

pub(crate) const KEYS: &[Key] = &[
    key(
        CA_FILE,
        "the path of a file with the certificates to trust in PEM, as in \
         \"/etc/ido-proxy/nodes-ca.pem\"",
    ),
    key(NAME, "the DNS name in the certificate of every node, as in \"galeradb.example.org\""),
];
