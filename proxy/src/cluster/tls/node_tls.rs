//! TLS to the nodes: whom to trust, and for which name.
//!
//! Everybody who speaks to a node asks here: sessions for their links, the probes, those who read and
//! change the pin. The certificates to trust may be replaced while all of them go on: the file is read
//! again when it has changed, and what cannot be used leaves what is known as it is.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::Duration;

use ido_proxy_config::certificates;
use ido_proxy_config::tls::NodesTls;
use mysql_async::{OptsBuilder, SslOpts};
use tokio::net::TcpStream;
use tokio::task;
use tokio::time::{self, Instant};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls;
use tokio_rustls::rustls::client::Resumption;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_util::sync::CancellationToken;

use super::backoff::Backoff;
use super::client_config::client_config;
use super::distrust::Distrusted;
use crate::cluster::model::node_addr::NodeAddr;

/// How every node is spoken to.
#[derive(Debug)]
pub(crate) struct NodeTls {
    file: PathBuf,
    name: Option<ServerName<'static>>,
    trust: RwLock<Trust>,
    backoff: Mutex<Backoff>,
}

/// A connection that is being made, and what it shows, also if it is dropped.
struct Attempt<'a> {
    tls: &'a NodeTls,
    node: NodeAddr,
    begun: Instant,
    flaw: Option<String>,
}

impl Drop for Attempt<'_> {
    fn drop(&mut self) {
        let flaw = self.flaw.take();
        self.tls.backoff().note(self.node, flaw, self.begun, Instant::now());
    }
}

/// Whom to trust.
#[derive(Clone)]
struct Trust {
    authorities: Arc<[CertificateDer<'static>]>,
    connector: TlsConnector,
}

impl NodeTls {
    /// TLS to the nodes, as configured.
    ///
    /// # Errors
    /// A certificate to trust is none.
    pub(crate) fn new(configured: &NodesTls) -> Result<Self, rustls::Error> {
        let NodesTls { ca_file, authorities, name } = configured;
        let trust = RwLock::new(Trust::of(authorities)?);
        let name = name.as_ref().map(|name| name.server_name().clone());
        Ok(Self { file: ca_file.clone(), name, trust, backoff: Mutex::default() })
    }

    /// Carries out `connecting`, which connects to `node` by TLS and logs in there. `flaw` says whether an
    /// error means that the node is not to be trusted, and why.
    ///
    /// # Errors
    /// [`Distrusted`]: that was found a short time ago, and the node is left alone.
    pub(crate) async fn guard<T, E>(
        &self,
        node: NodeAddr,
        connecting: impl Future<Output = Result<T, E>>,
        flaw: impl FnOnce(&E) -> Option<String>,
    ) -> Result<Result<T, E>, Distrusted> {
        let begun = Instant::now();
        self.backoff().admit(node, begun).map_err(|flaw| Distrusted { flaw })?;
        // Given up because it took too long, it does not say what was found before.
        let mut attempt = Attempt { tls: self, node, begun, flaw: None };
        let connected = connecting.await;
        attempt.flaw = connected.as_ref().err().and_then(flaw);
        Ok(connected)
    }

    /// Whether `node` could not be trusted the last time.
    pub(crate) fn backs_off(&self, node: NodeAddr) -> bool {
        self.backoff().contains(node)
    }

    /// Begins TLS with `node`.
    ///
    /// # Errors
    /// The connection's; or the node does not show a certificate that is good for it: see [`distrust`](super::distrust::distrust).
    pub(crate) async fn connect(
        &self,
        node: NodeAddr,
        stream: TcpStream,
    ) -> io::Result<TlsStream<TcpStream>> {
        let name = self.name.clone().unwrap_or_else(|| node.0.ip().into());
        let connector = self.trust().connector;
        connector.connect(name, stream).await
    }

    /// Prepares a client of ours to begin TLS with `node`.
    pub(crate) fn protect(&self, client: OptsBuilder, node: NodeAddr) -> OptsBuilder {
        let authorities = self.trust().authorities;
        let tls = SslOpts::default()
            .with_disable_built_in_roots(true)
            .with_root_certs(authorities.iter().map(|one| one.to_vec().into()).collect());
        let name = self.name.as_ref().map(|name| name.to_str().into_owned());
        client
            .ip_or_hostname(name.unwrap_or_else(|| node.0.ip().to_string()))
            .resolved_ips(Some(vec![node.0.ip()]))
            .ssl_opts(tls)
    }

    /// Reads the certificates to trust again whenever their file has changed, until `stop` is cancelled. A
    /// file that cannot be used is tried again until it can.
    pub(crate) async fn follow(self: Arc<Self>, stop: CancellationToken) {
        let mut seen = Ok(self.stamp().await);
        let file = self.file.display();
        while stop.run_until_cancelled(time::sleep(LOOK)).await.is_some() {
            match self.news(&mut seen).await {
                Some(Ok(count)) => {
                    tracing::info!(%file, count, "other certificates are trusted from now on");
                }
                Some(Err(error)) => tracing::error!(
                    %file,
                    error,
                    "the certificates to trust stay what they were: the file cannot be used"
                ),
                None => {}
            }
        }
    }

    /// Reads the file unless it is what was `seen`: how many certificates there are now, or why it cannot be
    /// used. `None`: that is no news.
    async fn news(&self, seen: &mut Seen) -> Option<Result<usize, String>> {
        let stamp = self.stamp().await;
        if seen.as_ref() == Ok(&stamp) {
            return None;
        }
        let read = self.renew().await;
        let before = std::mem::replace(seen, read.clone().map(|_count| stamp));
        Some(read).filter(|read| read.is_ok() || before.as_ref().err() != read.as_ref().err())
    }

    async fn stamp(&self) -> Option<Stamp> {
        let file = self.file.clone();
        task::spawn_blocking(move || fs::metadata(file).ok().as_ref().map(Stamp::of))
            .await
            .ok()
            .flatten()
    }

    async fn renew(&self) -> Result<usize, String> {
        let file = self.file.clone();
        let read = task::spawn_blocking(move || certificates::read(&file)).await;
        let authorities = read.map_err(|error| error.to_string())??;
        let trust = Trust::of(&authorities).map_err(|error| error.to_string())?;
        *self.trust.write().unwrap_or_else(PoisonError::into_inner) = trust;
        self.backoff().clear();
        Ok(authorities.len())
    }

    fn backoff(&self) -> MutexGuard<'_, Backoff> {
        self.backoff.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn trust(&self) -> Trust {
        self.trust.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// The file as it was when it was read, or why it could not be.
type Seen = Result<Option<Stamp>, String>;

/// Signs that a file was written or replaced by another. The time of its content is no sign: copies keep it.
#[derive(Debug, Eq, PartialEq)]
struct Stamp {
    inode: u64,
    len: u64,
    changed: (i64, i64),
}

impl Stamp {
    fn of(file: &fs::Metadata) -> Self {
        Self { inode: file.ino(), len: file.len(), changed: (file.ctime(), file.ctime_nsec()) }
    }
}

impl Trust {
    fn of(authorities: &[CertificateDer<'static>]) -> Result<Self, rustls::Error> {
        let mut config = client_config(authorities)?;
        // A session that is resumed shows no certificate, and that may have expired meanwhile.
        config.resumption = Resumption::disabled();
        let connector = TlsConnector::from(Arc::new(config));
        Ok(Self { authorities: authorities.into(), connector })
    }
}

impl std::fmt::Debug for Trust {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Trust").field("authorities", &self.authorities.len()).finish()
    }
}

/// How soon a file of other certificates is noticed.
const LOOK: Duration = Duration::from_secs(2);

#[cfg(test)]
mod tests {
    use std::future::pending;

    use super::*;
    use crate::cluster::model::testing::address;

    /// Certificates are renewed by scripts, and some of them write what is none for a moment, or for longer.
    #[tokio::test]
    async fn a_file_that_cannot_be_used_is_told_once_and_tried_until_it_can() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("ca.pem");
        let write = |text: &[u8]| fs::write(&file, text).unwrap();
        write(include_bytes!("../testing/certificates/ca.pem"));
        let authorities = certificates::read(&file).unwrap();
        let tls = NodeTls::new(&NodesTls { ca_file: file.clone(), authorities, name: None });
        let tls = tls.unwrap();
        let mut seen = Ok(tls.stamp().await);
        assert_eq!(tls.news(&mut seen).await, None);
        write(b"");
        assert_eq!(tls.news(&mut seen).await, Some(Err("no certificate in it".to_owned())));
        write(b"# soon");
        assert_eq!(tls.news(&mut seen).await, None, "it is the same");
        assert!(seen.is_err(), "it is read again");
        fs::remove_file(&file).unwrap();
        assert!(tls.news(&mut seen).await.is_some_and(|read| read.is_err()));
        write(include_bytes!("../testing/certificates/other-ca.pem"));
        assert_eq!(tls.news(&mut seen).await, Some(Ok(1)));
        assert_eq!(tls.news(&mut seen).await, None);
    }

    /// Otherwise a node is shown for ever as one with an expired certificate, once its host is down.
    #[tokio::test(start_paused = true)]
    async fn a_node_that_answers_no_more_is_not_taken_for_what_it_was_before() {
        let nobody = NodesTls { ca_file: "none".into(), authorities: Vec::new(), name: None };
        let (tls, node) = (NodeTls::new(&nobody).unwrap(), address(1));
        let flaw = |error: &&str| Some((*error).to_owned());
        let refused = tls.guard(node, async { Err::<(), _>("expired") }, flaw).await;
        assert_eq!(refused.unwrap(), Err("expired"));
        let left_alone = tls.guard(node, async { Ok(()) }, flaw).await;
        assert_eq!(left_alone.unwrap_err().flaw, "expired");
        time::advance(Duration::from_secs(1)).await;
        let hangs = tls.guard(node, pending::<Result<(), &str>>(), flaw);
        assert!(time::timeout(Duration::from_secs(1), hangs).await.is_err());
        assert!(!tls.backs_off(node));
    }
}
