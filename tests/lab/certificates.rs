//! Certificates for the nodes of a lab, and an authority that signs them.

use std::fs;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rcgen::date_time_ymd;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, SanType};

use crate::error::{Context, Result};
use crate::run::Run;

/// The authority that signs the nodes' certificates.
#[derive(Debug)]
pub struct Authority {
    run: Arc<Run>,
    issuer: CertifiedIssuer<'static, KeyPair>,
}

/// How long a certificate is good for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Validity {
    /// For longer than any story takes.
    Good,
    /// Until some years ago.
    Expired,
}

impl Authority {
    /// A new one, whom nobody knows yet.
    ///
    /// # Errors
    /// When no key can be made.
    pub fn new(run: &Arc<Run>) -> Result<Self> {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, "an authority of the lab");
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate()?)?;
        Ok(Self { run: Arc::clone(run), issuer })
    }

    /// The authority's own certificate, in PEM.
    pub fn pem(&self) -> String {
        self.issuer.pem()
    }

    /// Signs a certificate for node `index`, which uses it from its next start or `FLUSH SSL` on.
    ///
    /// # Errors
    /// When a file cannot be written.
    pub fn sign(&self, index: u8, validity: Validity) -> Result<()> {
        let mut params = CertificateParams::default();
        let address = IpAddr::from(self.run.number().address(index));
        params.subject_alt_names.push(SanType::IpAddress(address));
        params.distinguished_name.push(DnType::CommonName, format!("node{index}"));
        params.not_before = date_time_ymd(2020, 1, 1);
        params.not_after = match validity {
            Validity::Good => date_time_ymd(2999, 1, 1),
            Validity::Expired => date_time_ymd(2021, 1, 1),
        };
        let key = KeyPair::generate()?;
        let certificate = params.signed_by(&key, &self.issuer)?;
        let files = NodeFiles::of(&self.run, index);
        write(&files.key, &key.serialize_pem())?;
        write(&files.certificate, &certificate.pem())
    }
}

/// The file of authorities that the proxies of a lab trust.
///
/// # Errors
/// The file cannot be written.
pub fn trust(run: &Run, authorities: &[&Authority]) -> Result<PathBuf> {
    let file = folder(run).join("ca.pem");
    write(&file, &authorities.iter().map(|authority| authority.pem()).collect::<String>())?;
    Ok(file)
}

/// Where a node has its certificate from.
#[derive(Debug)]
pub(crate) struct NodeFiles {
    pub(crate) certificate: PathBuf,
    pub(crate) key: PathBuf,
}

impl NodeFiles {
    pub(crate) fn of(run: &Run, index: u8) -> Self {
        let at = |kind| folder(run).join(format!("node{index}.{kind}"));
        Self { certificate: at("pem"), key: at("key") }
    }

    /// Arguments that let the server use the files, if they were made.
    pub(crate) fn arguments(&self) -> Vec<String> {
        if !self.certificate.exists() {
            return Vec::new();
        }
        let Self { certificate, key } = self;
        vec![
            format!("--ssl-cert={}", certificate.display()),
            format!("--ssl-key={}", key.display()),
        ]
    }
}

fn folder(run: &Run) -> PathBuf {
    run.data("certificates")
}

/// In one step: who reads it meanwhile has all of the old one, or of the new.
fn write(file: &Path, text: &str) -> Result<()> {
    let what = || format!("writing {}", file.display());
    let unfinished = file.with_extension("new");
    if let Some(folder) = file.parent() {
        fs::create_dir_all(folder).context(what)?;
    }
    fs::write(&unfinished, text).context(what)?;
    fs::rename(&unfinished, file).context(what)
}
