//! Meaning of what the driver gives: of its errors for a probe, and of rows with a name and a value.

use std::io;

use mysql_async::{DriverError, Error, IoError, Row, Value};

use crate::cluster::control::connect::flaw;
use crate::cluster::model::node_view::{Loss, Outcome};
use crate::cluster::model::text::legible;

/// Meaning of a failed probe. A failure of the way to the node, or of our own host (such as no more file
/// descriptors), says no more than silence does.
pub(super) fn meaning(error: Error) -> Outcome {
    if let Some(flaw) = flaw(&error) {
        return Outcome::Lost(Loss::Untrusted(flaw));
    }
    match error {
        Error::Io(IoError::Io(error)) => match error.kind() {
            io::ErrorKind::ConnectionRefused => Outcome::Lost(Loss::Refused),
            io::ErrorKind::BrokenPipe
            | io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::UnexpectedEof => Outcome::Lost(Loss::Closed),
            // The system did not say this: the driver did, of what it had read.
            _ if error.raw_os_error().is_none() => Outcome::Lost(Loss::Garbled(legible(&error))),
            _ => Outcome::Silent,
        },
        Error::Driver(DriverError::ConnectionClosed) => Outcome::Lost(Loss::Closed),
        // Without the packet: it may be another one each time, which would be news each time.
        Error::Driver(DriverError::UnexpectedPacket { .. }) => {
            Outcome::Lost(Loss::Garbled("an unexpected packet".into()))
        }
        Error::Server(error) => {
            Outcome::Lost(Loss::Rejected { code: error.code, message: legible(&error.message) })
        }
        error => Outcome::Lost(Loss::Garbled(legible(&error))),
    }
}

/// Name and value in a row.
pub(super) fn pair(row: Row) -> Option<(String, String)> {
    let mut values = row.unwrap_raw().into_iter().flatten();
    Some((text(values.next()?)?, text(values.next()?)?))
}

fn text(value: Value) -> Option<String> {
    match value {
        Value::Bytes(bytes) => {
            let text = String::from_utf8(bytes);
            Some(
                text.unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned()),
            )
        }
        _ => None,
    }
}
