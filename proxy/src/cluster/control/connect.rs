//! Connections to nodes with the monitor's account.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use mysql_async::{Conn, DriverError, Error, IoError, Opts, OptsBuilder};
use secrecy::ExposeSecret;

use crate::cluster::model::node_addr::NodeAddr;
use crate::cluster::model::settings::MonitorSettings;
use crate::cluster::tls::distrust::distrust;
use crate::cluster::tls::node_tls::NodeTls;

/// The monitor's account, and how it speaks to a node.
#[derive(Clone, Debug)]
pub(crate) struct MonitorLogin {
    /// The account.
    pub(crate) settings: Arc<MonitorSettings>,
    /// By TLS, or without.
    pub(crate) tls: Option<Arc<NodeTls>>,
}

impl MonitorLogin {
    /// Login with these settings.
    pub(crate) fn new(settings: MonitorSettings, tls: Option<Arc<NodeTls>>) -> Self {
        Self { settings: Arc::new(settings), tls }
    }

    /// Logs in at `node`.
    ///
    /// # Errors
    /// The driver's. A node that cannot be trusted is left alone for a while, and is the same error meanwhile.
    pub(crate) async fn connect(&self, node: NodeAddr) -> Result<Conn, Error> {
        let connecting = Conn::new(self.options(node));
        match &self.tls {
            Some(tls) => tls.guard(node, connecting, flaw).await.map_err(io::Error::other)?,
            None => connecting.await,
        }
    }

    fn options(&self, node: NodeAddr) -> Opts {
        let address = node.0;
        let password = self.settings.password.expose_secret();
        let options = OptsBuilder::default()
            .ip_or_hostname(address.ip().to_string())
            .resolved_ips(Some(vec![address.ip()]))
            .tcp_port(address.port())
            .user(Some(self.settings.user.as_str()))
            .pass((!password.is_empty()).then_some(password))
            // Or it would go on over the Unix socket that the node names: our own host's.
            .prefer_socket(false)
            // Both given, or it would ask for them, with a SELECT.
            .max_allowed_packet(Some(MAX_ANSWER))
            .wait_timeout(Some(WAIT_TIMEOUT_SECONDS))
            .stmt_cache_size(0)
            .tcp_keepalive(Some(KEEPALIVE));
        match &self.tls {
            Some(tls) => tls.protect(options, node).into(),
            None => options.into(),
        }
    }
}

/// Why the node is not to be trusted, if that is what `error` says.
pub(crate) fn flaw(error: &Error) -> Option<String> {
    match error {
        Error::Io(IoError::Io(error)) => distrust(error),
        Error::Driver(DriverError::NoClientSslFlagFromServer) => Some("it offers no TLS".into()),
        _ => None,
    }
}

/// The largest answer packet that we take, in bytes.
const MAX_ANSWER: usize = 1024 * 1024;

/// Not sent to the server: how long the driver takes an unused connection for a good one.
const WAIT_TIMEOUT_SECONDS: usize = 28_800;

/// The driver reads a connection that timed out to its end in the background; a host that is gone
/// ends it by this.
const KEEPALIVE: Duration = Duration::from_secs(10);
