//! Asks the daemon that runs on this host, at its address of `[admin] http`.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use http_body_util::{BodyExt, Empty, Limited};
use hyper::body::Bytes;
use hyper::client::conn::http1;
use hyper::header::{CONNECTION, HOST};
use hyper::{Request, StatusCode};
use hyper_util::rt::TokioIo;
use serde::de::DeserializeOwned;
use thiserror::Error;
use tokio::net::TcpStream;
use tokio::time::timeout;

/// Why the daemon has not answered.
#[derive(Debug, Error)]
pub(super) enum AskError {
    /// Nobody listens there.
    #[error("no ido-proxy answers at http://{address} ([admin] http): {source}. Does it run?")]
    Unreachable { address: SocketAddr, source: io::Error },
    /// The daemon did not answer in time.
    #[error("http://{address} ([admin] http) did not answer within {PATIENCE:?}")]
    Silent { address: SocketAddr },
    /// The answer is not that of an ido-proxy of this version.
    #[error(
        "what listens at http://{address} ([admin] http) is no ido-proxy of this version: {why}"
    )]
    Stranger { address: SocketAddr, why: String },
}

/// The answer of the daemon at `address` to a GET of `path`.
///
/// # Errors
/// [`AskError`]
pub(super) async fn get<T: DeserializeOwned>(
    address: SocketAddr,
    path: &str,
) -> Result<T, AskError> {
    let silent = |_| AskError::Silent { address };
    timeout(PATIENCE, converse(address, path)).await.map_err(silent)?
}

async fn converse<T: DeserializeOwned>(address: SocketAddr, path: &str) -> Result<T, AskError> {
    let unreachable = |source| AskError::Unreachable { address, source };
    let stream = TcpStream::connect(address).await.map_err(unreachable)?;
    let body = exchange(stream, address, path).await;
    let body = body.and_then(|body| serde_json::from_slice(&body).map_err(Into::into));
    body.map_err(|why| AskError::Stranger { address, why: why.to_string() })
}

async fn exchange(
    stream: TcpStream,
    address: SocketAddr,
    path: &str,
) -> Result<Bytes, Box<dyn std::error::Error + Send + Sync>> {
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    // The task ends with the connection, which ends with the answer.
    tokio::spawn(connection);
    let request = Request::get(path)
        .header(HOST, address.to_string())
        .header(CONNECTION, "close")
        .body(Empty::<Bytes>::new())?;
    let response = sender.send_request(request).await?;
    if response.status() != StatusCode::OK {
        return Err(format!("{path} is answered with {}", response.status()).into());
    }
    Ok(Limited::new(response.into_body(), LONGEST).collect().await?.to_bytes())
}

/// How long the whole may take. The daemon answers from memory.
const PATIENCE: Duration = Duration::from_secs(5);

/// In bytes: ten thousand sessions, and a hundred decisions about fifty nodes, are a tenth of it.
const LONGEST: usize = 64 << 20;
