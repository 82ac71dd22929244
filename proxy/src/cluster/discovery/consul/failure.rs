//! Failures of Consul to give a good answer.

use std::io;

use thiserror::Error;

use crate::cluster::model::text::legible;
use crate::telemetry::metrics::LookupResult;

/// A question without a good answer. None of them touches what is known; the question is asked again.
#[derive(Clone, Debug, Eq, Error, PartialEq)]
pub(crate) enum Failure {
    /// The connection ended before the answer did.
    #[error("closes the connection")]
    Closed,
    /// The answer is not HTTP, or not the JSON of Consul's health API.
    #[error("gives no answer of Consul's: {0}")]
    Garbled(String),
    /// Consul's index is lower than before: Consul lost its state, or another Consul answers.
    #[error("went back from index {from} to {to}")]
    IndexWentBack {
        /// The index of the last answer.
        from: u64,
        /// The index of this one.
        to: u64,
    },
    /// Without an index there is nothing to wait for: something between us took it away, or it is no
    /// Consul.
    #[error("answers without an index")]
    NoIndex,
    /// Consul knows no instance of the service, or shows none to our token.
    #[error("knows no node of the service, or may not name it to this token")]
    NoNodes,
    /// Consul redirects us to another address.
    #[error("answers {0}: redirects are not followed")]
    Redirected(u16),
    /// Nobody listens there.
    #[error("connection refused")]
    Refused,
    /// Consul did not answer in time.
    #[error("does not answer")]
    Silent,
    /// Consul answered with an error, such as 403 or 500.
    #[error("answers {code}: {message}")]
    Status {
        /// The HTTP status.
        code: u16,
        /// The body of the answer.
        message: String,
    },
    /// The answer is longer than any sensible one.
    #[error("gives an answer without end")]
    TooLong,
    /// The network does not lead there.
    #[error("cannot be reached: {0}")]
    Unreachable(String),
    /// TLS does not come about, or its certificate is not one to trust.
    #[error("cannot be trusted: {0}")]
    Untrusted(String),
}

impl Failure {
    /// The metric's label for this failure.
    pub(crate) fn result(&self) -> LookupResult {
        match self {
            Self::NoNodes => LookupResult::Empty,
            Self::Silent => LookupResult::TimedOut,
            Self::Closed
            | Self::Garbled(_)
            | Self::IndexWentBack { .. }
            | Self::NoIndex
            | Self::Redirected(_)
            | Self::Refused
            | Self::Status { .. }
            | Self::TooLong
            | Self::Unreachable(_)
            | Self::Untrusted(_) => LookupResult::Failed,
        }
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::ConnectionRefused => Self::Refused,
            io::ErrorKind::BrokenPipe
            | io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::UnexpectedEof => Self::Closed,
            io::ErrorKind::TimedOut => Self::Silent,
            _ => Self::Unreachable(legible(&error)),
        }
    }
}

impl From<hyper::Error> for Failure {
    fn from(error: hyper::Error) -> Self {
        if error.is_parse_too_large() {
            Self::TooLong
        } else if error.is_incomplete_message() || error.is_closed() || error.is_canceled() {
            Self::Closed
        } else {
            let cause =
                std::error::Error::source(&error).and_then(|e| e.downcast_ref::<io::Error>());
            match cause.map(io::Error::kind) {
                Some(kind) => io::Error::from(kind).into(),
                None => Self::Garbled(legible(&error)),
            }
        }
    }
}
