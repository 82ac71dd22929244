//! One question to Consul's health API: who offers the service, by Consul's own books.
//!
//! The question may be a blocking query (Consul's documentation, page "Blocking Queries"). Such a query names the
//! index of the last answer, and is answered when there is a later one. So a change is known at once, where DNS
//! would be asked again only after a while.
//!
//! Every question has a connection of its own: what the last one left behind, a server that died or was
//! replaced, cannot trouble the next one, and a question each ten seconds costs nothing.

use std::fmt::Write as _;
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use http_body_util::{BodyExt, Empty, LengthLimitError, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http1;
use hyper::header::{CONNECTION, HOST, HeaderValue};
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use ido_proxy_config::consul as configured;
use secrecy::ExposeSecret;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::{self, pki_types::ServerName};

use self::failure::Failure;
use super::source::Candidate;
use crate::cluster::model::settings::DiscoverySettings;
use crate::cluster::model::text::legible;
use crate::cluster::tls::client_config::client_config;
use crate::cluster::tls::distrust::distrust;

mod answer;
pub(crate) mod failure;
pub(crate) mod watch;

/// Whom to ask, and for what.
#[derive(Clone)]
pub(crate) struct Consul {
    address: SocketAddr,
    tls: Option<TlsConnector>,
    token: Option<HeaderValue>,
    /// Path and query, without what belongs to one question.
    path: String,
    /// The port of instances that name none.
    port: u16,
    /// How long an answer may take that is there already.
    timeout: Duration,
    /// How long to wait for one that is not there yet.
    wait: Duration,
}

/// The answer of Consul.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Answer {
    /// All instances with an IP address, whether they pass their checks or not: that is for probes to
    /// find out.
    pub(crate) nodes: Vec<Candidate>,
    /// The state of Consul's books (`X-Consul-Index`), 0 if it did not say.
    pub(crate) index: u64,
}

impl Consul {
    /// The Consul of these settings, if there is one.
    ///
    /// # Errors
    /// A certificate to trust is none.
    pub(crate) fn of(settings: &DiscoverySettings) -> Result<Option<Self>, rustls::Error> {
        let Some(consul) = &settings.consul else { return Ok(None) };
        let configured::ConsulService { name, tag, datacenter } = &consul.service;
        let mut path = format!("/v1/health/service/{name}?");
        for (key, value) in [("tag", tag), ("dc", datacenter)] {
            if let Some(value) = value {
                let _ = write!(path, "{key}={value}&");
            }
        }
        let token = consul.token.as_ref().and_then(|token| {
            let mut token = HeaderValue::from_str(token.expose_secret()).ok()?;
            token.set_sensitive(true);
            Some(token)
        });
        let tls = consul.authorities.as_deref().map(connector).transpose()?;
        Ok(Some(Self {
            address: consul.address,
            tls,
            token,
            path,
            port: settings.port,
            timeout: settings.timeout,
            wait: WAIT,
        }))
    }

    /// Consul's answer as of now. With the index of the last answer, waits for a new one, but not for ever.
    ///
    /// # Errors
    /// [`Failure`], within a bounded time.
    pub(crate) async fn ask(&self, known: Option<u64>) -> Result<Answer, Failure> {
        let patience = match known {
            // Consul adds up to a sixteenth, so that not all come again at the same time.
            Some(_) => self.wait + self.wait / 16 + self.timeout,
            None => self.timeout,
        };
        time::timeout(patience, self.converse(known)).await.unwrap_or(Err(Failure::Silent))
    }

    async fn converse(&self, known: Option<u64>) -> Result<Answer, Failure> {
        let connected = time::timeout(self.timeout, TcpStream::connect(self.address)).await;
        let stream = connected.map_err(|_| Failure::Silent)??;
        let Some(tls) = &self.tls else { return self.exchange(stream, known).await };
        let name = ServerName::from(self.address.ip());
        let greeted = time::timeout(self.timeout, tls.connect(name, stream)).await;
        let stream = greeted.map_err(|_| Failure::Silent)?.map_err(untrusted)?;
        self.exchange(stream, known).await
    }

    async fn exchange<S>(&self, stream: S, known: Option<u64>) -> Result<Answer, Failure>
    where
        S: AsyncRead + AsyncWrite + Unpin + 'static,
    {
        let mut client = http1::Builder::new();
        client.max_buf_size(HEAD_MAX);
        let (mut sender, connection) = client.handshake(TokioIo::new(stream)).await?;
        let request = self.request(known)?;
        let mut connection = pin!(connection);
        let mut answer = pin!(async { self.read(sender.send_request(request).await?).await });
        tokio::select! {
            answer = &mut answer => return answer,
            ended = &mut connection => ended?,
        }
        // The connection has ended, and the answer that was read from it can still be taken.
        answer.await
    }

    fn request(&self, known: Option<u64>) -> Result<Request<Empty<Bytes>>, Failure> {
        let mut target = self.path.clone();
        if let Some(index) = known {
            let _ = write!(target, "index={index}&");
        }
        let _ = write!(target, "wait={}ms", self.wait.as_millis());
        let mut request =
            Request::get(target).header(HOST, self.address.to_string()).header(CONNECTION, "close");
        if let Some(token) = &self.token {
            request = request.header("X-Consul-Token", token);
        }
        request.body(Empty::new()).map_err(|error| Failure::Garbled(legible(&error)))
    }

    async fn read(&self, response: Response<Incoming>) -> Result<Answer, Failure> {
        let (head, body) = response.into_parts();
        if head.status.is_redirection() {
            // Whoever sends us elsewhere would have the token sent there too.
            return Err(Failure::Redirected(head.status.as_u16()));
        }
        if !head.status.is_success() {
            let said = collected(body, COMPLAINT_MAX).await.unwrap_or_default();
            let message = legible(&String::from_utf8_lossy(&said)).trim().to_owned();
            return Err(Failure::Status { code: head.status.as_u16(), message });
        }
        let index = head.headers.get("X-Consul-Index").and_then(|index| index.to_str().ok());
        let index = index.and_then(|index| index.parse().ok()).unwrap_or_default();
        let body = collected(body, BODY_MAX).await?;
        Ok(Answer { nodes: answer::nodes(&body, self.port)?, index })
    }
}

impl std::fmt::Debug for Consul {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Consul").field("address", &self.address).finish_non_exhaustive()
    }
}

async fn collected(body: Incoming, limit: usize) -> Result<Bytes, Failure> {
    match Limited::new(body, limit).collect().await {
        Ok(whole) => Ok(whole.to_bytes()),
        Err(error) if error.is::<LengthLimitError>() => Err(Failure::TooLong),
        Err(error) => match error.downcast::<hyper::Error>() {
            Ok(error) => Err((*error).into()),
            Err(error) => Err(Failure::Garbled(legible(&error))),
        },
    }
}

fn connector(
    authorities: &[rustls::pki_types::CertificateDer<'static>],
) -> Result<TlsConnector, rustls::Error> {
    Ok(TlsConnector::from(Arc::new(client_config(authorities)?)))
}

fn untrusted(error: io::Error) -> Failure {
    distrust(&error).map_or_else(|| error.into(), Failure::Untrusted)
}

/// How long Consul may wait for news. The longer, the later a server that fell silent is noticed.
const WAIT: Duration = Duration::from_secs(10);

/// The most bytes of an answer's head, of its body, and of an error's text.
const HEAD_MAX: usize = 64 * 1024;
const BODY_MAX: usize = 1024 * 1024;
const COMPLAINT_MAX: usize = 1024;

#[cfg(test)]
mod tests;
