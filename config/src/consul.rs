//! The keys of `[discovery]` that begin with `consul`: Consul's HTTP interface, asked beside DNS to
//! learn of changes at once.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr;

use rustls_pki_types::CertificateDer;
use secrecy::{ExposeSecret, SecretString};

use crate::address::{Peer, is_public};
use crate::certificates;
use crate::keys::{Key, key};
use crate::report::Report;
use crate::secret::{self, RawSecret, Surroundings};
use crate::service_name::ServiceName;

/// Consul's HTTP interface, and what it is asked for.
#[derive(Clone, Debug)]
pub struct Consul {
    /// Where it listens. Port 8500 where none is given, or 8501 with TLS.
    pub address: SocketAddr,
    /// The certificates to trust, at least one, where it is spoken to by TLS (`https://`). Its own must
    /// be for the IP address.
    pub authorities: Option<Vec<CertificateDer<'static>>>,
    /// Consul's ACL token: 1 to 1024 printable ASCII characters. Default: none.
    pub token: Option<SecretString>,
    /// The service whose nodes Consul is asked for.
    pub service: ConsulService,
}

/// A service in Consul's own words, from a name in its DNS (Consul's documentation, page "DNS
/// Interface").
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ConsulService {
    /// The service itself: letters, digits, `-` and `_` alone.
    pub name: String,
    /// Only instances with this tag; made of what a name is made of, and dots.
    pub tag: Option<String>,
    /// In this datacenter, else in the agent's own.
    pub datacenter: Option<String>,
}

impl FromStr for ConsulService {
    type Err = &'static str;

    /// Reads `[TAG.]NAME.service[.DATACENTER[.dc]].DOMAIN`, or `_NAME._TAG.service…` (RFC 2782).
    /// One label between `service` and `consul` is a datacenter; before another domain it cannot be
    /// told from a part of that, unless `.dc` follows.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let labels: Vec<&str> = text.split('.').collect();
        let (_, inner) = labels.split_last().ok_or("no name")?;
        let kind = inner.iter().rposition(|label| label.eq_ignore_ascii_case("service"));
        let kind = kind.ok_or("no `service` in it, as in galeradb.service.consul")?;
        let (before, after) = (&labels[..kind], &labels[kind + 1..]);
        let (name, tag) = match before {
            [] => return Err("no name before `service`"),
            [name, tag] if name.starts_with('_') && tag.starts_with('_') => {
                let tag = &tag[1..];
                // Consul's own word for "any".
                let any = tag.is_empty() || tag.eq_ignore_ascii_case("tcp");
                (&name[1..], (!any).then(|| tag.to_owned()))
            }
            [name] => (*name, None),
            [tags @ .., name] => (*name, Some(tags.join("."))),
        };
        let datacenter = match after {
            [datacenter, word, _, ..] if word.eq_ignore_ascii_case("dc") => Some(*datacenter),
            [_, word, _, ..] if ["ns", "ap", "peer", "sg"].contains(word) => {
                return Err("a namespace, a partition or a peer, which cannot be asked for");
            }
            [datacenter, domain] if domain.eq_ignore_ascii_case("consul") => Some(*datacenter),
            _ => None,
        };
        if name.is_empty() {
            return Err("no name before `service`");
        }
        Ok(Self { name: name.to_owned(), tag, datacenter: datacenter.map(str::to_owned) })
    }
}

/// The keys before token and certificates were fetched.
#[derive(Debug, Default)]
pub(crate) struct RawConsul {
    pub(crate) url: Option<ConsulUrl>,
    pub(crate) token: RawSecret,
    pub(crate) ca_file: Option<PathBuf>,
}

impl RawConsul {
    /// `None` without `consul`, without a `service` to ask it for, or with the error in `report`.
    pub(crate) fn resolve(
        self,
        service: Option<&ServiceName>,
        around: &Surroundings<'_>,
        report: &mut Report<'_>,
    ) -> Option<Consul> {
        self.check_use(service, report);
        let token = token(self.token, around, report);
        let authorities = self.ca_file.map(|file| {
            let file = around.base_dir.join(file);
            certificates::resolve(AT_CA_FILE, &file, report).unwrap_or_default()
        });
        let url = self.url?;
        if url.tls && authorities.is_none() && !report.is_damaged(AT_CA_FILE) {
            report.error(
                AT_URL,
                "https without a certificate to trust",
                "no consul_ca_file here",
                "add consul_ca_file: the CA that signed Consul's certificate, or \
                 /etc/ssl/certs/ca-certificates.crt for those that the system trusts",
            );
        }
        if !url.tls && token.is_some() && is_public(url.address) {
            report.warning(
                AT_URL,
                "the token goes over the network as clear text",
                "http to another machine",
                "use https with consul_ca_file, or ask the agent on this machine",
            );
        }
        let service = service?;
        let parsed = service.as_str().parse().map_err(|flaw| {
            report.error(
                AT_URL,
                &format!("Consul cannot be asked for {service}"),
                &format!("discovery.service has {flaw}"),
                "name the service as Consul's DNS does, as in \"galeradb.service.consul\", or leave \
                 consul out",
            );
        });
        Some(Consul {
            address: url.address,
            authorities: authorities.filter(|_| url.tls),
            token,
            service: parsed.ok()?,
        })
    }

    fn check_use(&self, service: Option<&ServiceName>, report: &mut Report<'_>) {
        let Some(url) = &self.url else {
            for key in [AT_TOKEN, AT_TOKEN_FILE, AT_CREDENTIAL, AT_CA_FILE] {
                if report.has(key) && !report.is_damaged(AT_URL) {
                    unused(key, "no Consul to use it for", "add consul, or leave it out", report);
                }
            }
            return;
        };
        if service.is_none() && !report.is_damaged("discovery.service") {
            let help = "add service = \"galeradb.service.consul\", or leave consul out";
            unused(AT_URL, "Consul without a service to ask it for", help, report);
        }
        if !url.tls && self.ca_file.is_some() {
            let help = "write https in consul, or leave consul_ca_file out";
            unused(AT_CA_FILE, "a CA for a connection without TLS", help, report);
        }
    }
}

fn unused(key: &str, message: &str, help: &str, report: &mut Report<'_>) {
    report.warning(key, message, "not used", help);
}

fn token(
    raw: RawSecret,
    around: &Surroundings<'_>,
    report: &mut Report<'_>,
) -> Option<SecretString> {
    let token = raw.resolve_optional("discovery", &secret::TOKEN, around, report)?;
    if token.expose_secret().bytes().all(|byte| byte.is_ascii_graphic()) {
        return Some(token);
    }
    let keys = [AT_TOKEN, AT_TOKEN_FILE, AT_CREDENTIAL];
    let at = keys.into_iter().find(|key| report.has(key)).unwrap_or(AT_TOKEN);
    report.wrong_value(at, "a token has printable ASCII characters alone");
    None
}

/// `http://IP:PORT` or `https://IP:PORT`, the port 8500 or 8501 if it is not given.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ConsulUrl {
    address: SocketAddr,
    tls: bool,
}

impl FromStr for ConsulUrl {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (host, tls) = match (text.strip_prefix("http://"), text.strip_prefix("https://")) {
            (Some(host), _) => (host, false),
            (None, Some(host)) => (host, true),
            (None, None) => return Err("not an http:// or https:// address".to_owned()),
        };
        let host = host.strip_suffix('/').unwrap_or(host);
        let address = if tls {
            host.parse::<Peer<8501>>()?.into()
        } else {
            host.parse::<Peer<8500>>()?.into()
        };
        Ok(Self { address, tls })
    }
}

pub(crate) const URL_KEY: Key = key(
    AT_URL,
    "the address of Consul's HTTP interface, as in \"http://127.0.0.1:8500\", or with https",
);
pub(crate) const TOKEN_KEY: Key =
    key(AT_TOKEN, "Consul's ACL token in quotes, not empty; better is a consul_token_file");
pub(crate) const TOKEN_FILE_KEY: Key = key(
    AT_TOKEN_FILE,
    "the path of a file with the token in it, as in \"/etc/ido-proxy/consul.token\"",
);
pub(crate) const CREDENTIAL_KEY: Key = key(
    AT_CREDENTIAL,
    "the name of a systemd credential, as in \"consul\" for LoadCredential=consul:FILE",
);
pub(crate) const CA_FILE_KEY: Key = key(
    AT_CA_FILE,
    "the path of a file with the certificates to trust in PEM, as in \"/etc/ido-proxy/consul-ca.pem\"",
);

const AT_URL: &str = "discovery.consul";
const AT_TOKEN: &str = "discovery.consul_token";
const AT_TOKEN_FILE: &str = "discovery.consul_token_file";
const AT_CREDENTIAL: &str = "discovery.consul_credential";
const AT_CA_FILE: &str = "discovery.consul_ca_file";
