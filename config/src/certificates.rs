//! Files of certificates to trust.

use std::fs;
use std::io::{self, Read};
use std::path::Path;

use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;

use crate::report::Report;

/// Every certificate in `file`, at least one.
///
/// # Errors
/// The flaw of the file, in words.
pub fn read(file: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let pem =
        bytes(file).map_err(|error| format!("{error}, for user id {}", nix::unistd::geteuid()))?;
    match CertificateDer::pem_slice_iter(&pem).collect::<Result<Vec<_>, _>>() {
        Ok(certificates) if certificates.is_empty() => Err("no certificate in it".to_owned()),
        Ok(certificates) => Ok(certificates),
        Err(error) => Err(error.to_string()),
    }
}

/// Reads the certificates in the file that `key` names. `None`: the reason is in `report`.
pub(crate) fn resolve(
    key: &str,
    file: &Path,
    report: &mut Report<'_>,
) -> Option<Vec<CertificateDer<'static>>> {
    read(file)
        .map_err(|flaw| {
            report.error(
                key,
                &format!("no certificates to trust in {}", file.display()),
                &flaw,
                "name a file of certificates in PEM (-----BEGIN CERTIFICATE-----) that the user \
                 running ido-proxy may read",
            );
        })
        .ok()
}

fn bytes(file: &Path) -> io::Result<Vec<u8>> {
    // Asked first, since opening a pipe would wait for its writer.
    if !fs::metadata(file)?.is_file() {
        return Err(io::Error::other("not a regular file"));
    }
    let mut bytes = Vec::new();
    fs::File::open(file)?.take(FILE_MAX).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Bytes read of a file. The system's own certificates have some 200 KiB.
const FILE_MAX: u64 = 4 * 1024 * 1024;
