//! Distrust of a node: why TLS did not come about, in words for operators.

use std::io;

use thiserror::Error;
use tokio_rustls::rustls::{self, CertificateError};

use crate::cluster::model::text::legible;

/// A node was found to be one not to trust, and is not asked again yet.
#[derive(Debug, Error)]
#[error("cannot be trusted: {flaw}")]
pub(crate) struct Distrusted {
    /// Why not.
    pub(crate) flaw: String,
}

/// Why TLS did not come about, if `error` says that: TLS errors come as I/O errors, around one of rustls.
/// A flaw has the same words each time.
pub(crate) fn distrust(error: &io::Error) -> Option<String> {
    let error = error.get_ref()?;
    if let Some(Distrusted { flaw }) = error.downcast_ref() {
        return Some(flaw.clone());
    }
    let error = error.downcast_ref::<rustls::Error>()?;
    let rustls::Error::InvalidCertificate(flaw) = error else { return Some(legible(error)) };
    let words = match flaw {
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
            "its certificate has expired".to_owned()
        }
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            "its certificate is not valid yet".to_owned()
        }
        // The latter where an authority has the name of another one, as after a change of its key.
        CertificateError::UnknownIssuer | CertificateError::BadSignature => {
            "its certificate is not signed by anybody who is trusted".to_owned()
        }
        flaw => legible(&format!("its certificate is refused: {flaw}")),
    };
    Some(words)
}

/// Whether `error` tells what was found before: nobody has asked the node.
pub(crate) fn is_remembered(error: &io::Error) -> bool {
    error.get_ref().is_some_and(|error| error.is::<Distrusted>())
}
