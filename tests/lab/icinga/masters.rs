//! Two Icinga masters of one zone, as the highly available set-up has them: one of them writes to the
//! database, and the other one takes over when that is gone.

use std::ffi::OsStr;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use super::{Database, Icinga, IcingaSpec};
use crate::error::{Context, Result};
use crate::run::Run;
use crate::tool::run_tool;

/// Names and addresses of one of two masters and of the other.
#[derive(Clone, Debug)]
pub struct Master {
    pub(super) name: &'static str,
    address: SocketAddr,
    other: (&'static str, SocketAddr),
    authority: PathBuf,
}

/// Two masters. Dropping them kills both.
#[derive(Debug)]
pub struct Masters([Icinga; 2]);

impl Masters {
    /// How long the other one may take to write, from the end of the one that did: its own
    /// `failover_timeout` of 30 s, after its last sign of life, and the time to look.
    pub const TAKES_OVER: Duration = Duration::from_secs(120);

    /// Starts both as `spec` says, each with a database of its own, and waits for nothing.
    ///
    /// # Errors
    /// When Icinga is not installed, or makes no certificates.
    pub async fn launch(
        run: &Arc<Run>,
        spec: &IcingaSpec,
        databases: [Database; 2],
    ) -> Result<Self> {
        let authority = run.data("icinga-ca");
        certificates(&authority).await?;
        let at = |index: usize| run.socket(121 + index as u8, 5665);
        let mut masters = Vec::new();
        for (index, database) in databases.into_iter().enumerate() {
            let (name, other) = (NAMES[index], 1 - index);
            let address = at(index);
            let other = (NAMES[other], at(other));
            let master = Some(Master { name, address, other, authority: authority.clone() });
            masters
                .push(Icinga::launch(run, IcingaSpec { database, master, ..spec.clone() }).await?);
        }
        let [one, other] = <[Icinga; 2]>::try_from(masters).expect("two were launched");
        Ok(Self([one, other]))
    }

    /// Both.
    pub fn both(&self) -> &[Icinga; 2] {
        &self.0
    }
}

impl Master {
    /// Puts its certificate where Icinga looks for it.
    pub(super) fn certify(&self, folder: &Path) -> Result<()> {
        fs::create_dir_all(folder).context(|| format!("making {}", folder.display()))?;
        let name = self.name;
        for (from, to) in [
            ("ca/ca.crt".to_owned(), "ca.crt".to_owned()),
            (format!("{name}.crt"), format!("{name}.crt")),
            (format!("{name}.key"), format!("{name}.key")),
        ] {
            let from = self.authority.join(from);
            fs::copy(&from, folder.join(to)).context(|| format!("copying {}", from.display()))?;
        }
        Ok(())
    }

    /// The master's part of the configuration: who the masters are, and where it listens.
    pub(super) fn configuration(&self) -> String {
        let endpoint = |name: &str, address: SocketAddr| {
            let (host, port) = (address.ip(), address.port());
            format!("object Endpoint \"{name}\" {{\n\thost = \"{host}\"\n\tport = \"{port}\"\n}}\n")
        };
        let (one, other) =
            (endpoint(self.name, self.address), endpoint(self.other.0, self.other.1));
        let (host, port) = (self.address.ip(), self.address.port());
        format!(
            "const ZoneName = \"master\"\n\
             object ApiListener \"api\" {{\n\
             \tbind_host = \"{host}\"\n\
             \tbind_port = {port}\n\
             }}\n\
             {one}{other}\
             object Zone \"master\" {{\n\
             \tendpoints = [ \"{}\", \"{}\" ]\n\
             }}\n",
            NAMES[0], NAMES[1]
        )
    }
}

/// An authority, and a certificate for each master.
async fn certificates(folder: &Path) -> Result<()> {
    fs::create_dir_all(folder).context(|| format!("making {}", folder.display()))?;
    let here = format!("-DDataDir={}", folder.display());
    let file = |name: &str, kind: &str| folder.join(format!("{name}.{kind}"));
    pki(&[OsStr::new("new-ca")], &here).await?;
    for name in NAMES {
        let (key, csr, cert) = (file(name, "key"), file(name, "csr"), file(name, "crt"));
        let (key, csr, cert) = (key.as_os_str(), csr.as_os_str(), cert.as_os_str());
        let (new, sign) = (OsStr::new("new-cert"), OsStr::new("sign-csr"));
        let name = OsStr::new(name);
        pki(&[new, "--cn".as_ref(), name, "--key".as_ref(), key, "--csr".as_ref(), csr], &here)
            .await?;
        pki(&[sign, "--csr".as_ref(), csr, "--cert".as_ref(), cert], &here).await?;
    }
    Ok(())
}

async fn pki(arguments: &[&OsStr], here: &str) -> Result<()> {
    // Icinga would become its own user, who may not write here.
    let user = ["ICINGA2_USER=root", "ICINGA2_GROUP=root", "icinga2", "pki"].map(OsStr::new);
    let arguments = [&user, arguments, &[OsStr::new(here)]].concat();
    run_tool("env", &arguments, b"").await.map(drop)
}

const NAMES: [&str; 2] = ["master1", "master2"];
