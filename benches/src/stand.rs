//! The stand: one MariaDB server, and before it the proxy and its peers, each the only one in its
//! way. All are up during a whole run; only one has a client at a time.

mod haproxy;
mod nginx;
mod relay;

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use lab::part::Part;
use lab::plain::Plain;
use lab::proxy::{Proxy, ProxySpec};
use lab::run::Run;
use lab::wait::{Look, wait_until};
use serde::{Deserialize, Serialize};

pub(crate) use self::haproxy::CHECK_USER;
pub(crate) use self::relay::Relay;
use crate::client::Endpoint;
use crate::error::Result;
use crate::procfs::ProcessTree;

/// A way from the client to the server.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Way {
    /// To the server's address. What all others are compared with.
    Direct,
    /// To the server's own Unix socket.
    DirectUnix,
    /// Through ido-proxy, at its address.
    Proxy,
    /// Through ido-proxy, at its Unix socket: the way of `host = "localhost"`.
    ProxyUnix,
    /// Through HAProxy in TCP mode.
    Haproxy,
    /// Through HAProxy in TCP mode, at a Unix socket of its own.
    HaproxyUnix,
    /// Through nginx's stream module.
    Nginx,
    /// Through another ido-proxy, that of `--old`, at its address.
    Old,
}

impl Way {
    /// The name of ido-proxy in [`Way::program`].
    pub(crate) const IDO_PROXY: &str = "ido-proxy";

    /// The name in tables and plots.
    pub(crate) fn label(self) -> &'static str {
        match self {
            Self::Direct => "direct, TCP",
            Self::DirectUnix => "direct, Unix socket",
            Self::Proxy => "ido-proxy, TCP",
            Self::ProxyUnix => "ido-proxy, Unix socket",
            Self::Haproxy => "HAProxy, TCP",
            Self::HaproxyUnix => "HAProxy, Unix socket",
            Self::Nginx => "nginx stream, TCP",
            Self::Old => "old ido-proxy, TCP",
        }
    }

    /// The program in between.
    pub(crate) fn program(self) -> Option<&'static str> {
        match self {
            Self::Direct | Self::DirectUnix => None,
            Self::Proxy | Self::ProxyUnix => Some(Self::IDO_PROXY),
            Self::Haproxy | Self::HaproxyUnix => Some("HAProxy"),
            Self::Nginx => Some("nginx"),
            Self::Old => Some("old ido-proxy"),
        }
    }
}

/// One way with what it takes to measure it.
#[derive(Clone, Debug)]
pub(crate) struct Target {
    /// Which way it is.
    pub(crate) way: Way,
    /// Where its client connects to.
    pub(crate) endpoint: Endpoint,
    /// The program in between, if any.
    pub(crate) process: Option<ProcessTree>,
}

/// The running servers. Dropping it ends them all.
pub(crate) struct Stand {
    server: Plain,
    proxy: Proxy,
    old: Option<Proxy>,
    haproxy: Part,
    nginx: Part,
    run: Arc<Run>,
}

impl Stand {
    /// Brings everything up, and the ido-proxy `old` if there is one. Waits until each way leads to the
    /// server.
    ///
    /// # Errors
    /// When a program is missing or does not come up.
    pub(crate) async fn start(old: Option<&Path>) -> Result<Self> {
        let run = Arc::new(Run::begin()?);
        let server = Plain::start(&run, &SERVER).await?;
        let to = server.address();
        let spec = ProxySpec::single(&[to]);
        let proxy = Proxy::start_single(&run, &server, &spec).await?;
        let old = match old {
            Some(old) => Some(Proxy::start_single(&run, &server, &of_binary(spec, old)).await?),
            None => None,
        };
        let (haproxy, _) = haproxy_before(&run, to).await?;
        let (nginx, _) = nginx_before(&run, to).await?;
        Ok(Self { server, proxy, old, haproxy, nginx, run })
    }

    /// Every way there is.
    pub(crate) fn targets(&self) -> Vec<Target> {
        let target = |way, endpoint, process| Target { way, endpoint, process };
        let unix = Endpoint::Unix(self.run.data("plain").join("mysqld.sock"));
        let haproxy_unix = Endpoint::Unix(haproxy::socket(&self.run));
        let mut targets = vec![
            target(Way::Direct, Endpoint::Tcp(self.server.address()), None),
            target(Way::DirectUnix, unix, None),
            target(Way::Proxy, Endpoint::Tcp(self.proxy.tcp()), tree(self.proxy.part())),
            target(
                Way::ProxyUnix,
                Endpoint::Unix(self.proxy.socket().to_owned()),
                tree(self.proxy.part()),
            ),
            target(Way::Haproxy, Endpoint::Tcp(haproxy_address(&self.run)), tree(&self.haproxy)),
            target(Way::HaproxyUnix, haproxy_unix, tree(&self.haproxy)),
            target(Way::Nginx, Endpoint::Tcp(nginx_address(&self.run)), tree(&self.nginx)),
        ];
        let old = self.old.iter();
        targets.extend(old.map(|old| target(Way::Old, Endpoint::Tcp(old.tcp()), tree(old.part()))));
        targets
    }

    /// Every program that runs, the server too.
    pub(crate) fn processes(&self) -> impl Iterator<Item = ProcessTree> {
        let parts = [self.server.part(), self.proxy.part(), &self.haproxy, &self.nginx];
        let parts = parts.into_iter().chain(self.old.as_ref().map(Proxy::part));
        parts.filter_map(|part| part.id().map(ProcessTree::of))
    }
}

/// The processes of a part that runs.
pub(crate) fn tree(part: &Part) -> Option<ProcessTree> {
    part.id().map(ProcessTree::of)
}

/// Specifies a proxy of another binary, beside that of `spec` and otherwise alike.
pub(crate) fn of_binary(mut spec: ProxySpec, binary: &Path) -> ProxySpec {
    spec.index += 1;
    spec.binary = Some(binary.to_owned());
    spec
}

/// HAProxy before the server at `to`, and where it listens.
///
/// # Errors
/// The program is not installed or does not come up.
pub(crate) async fn haproxy_before(run: &Arc<Run>, to: SocketAddr) -> Result<(Part, SocketAddr)> {
    let address = haproxy_address(run);
    let haproxy = haproxy::start(run, &haproxy::before_one(address, &haproxy::socket(run), to))?;
    listening(&haproxy, address).await?;
    Ok((haproxy, address))
}

/// nginx before the server at `to`, and where it listens.
///
/// # Errors
/// The program is not installed or does not come up.
pub(crate) async fn nginx_before(run: &Arc<Run>, to: SocketAddr) -> Result<(Part, SocketAddr)> {
    let address = nginx_address(run);
    let nginx = nginx::start(run, address, to)?;
    listening(&nginx, address).await?;
    Ok((nginx, address))
}

/// HAProxy before a cluster: the first of `nodes` active, the others its backups. It has checked all
/// of them.
///
/// # Errors
/// The program is not installed or does not come up.
pub(crate) async fn haproxy_before_cluster(
    run: &Arc<Run>,
    nodes: &[SocketAddr],
) -> Result<ClusterHaproxy> {
    let (keeping, closing) = (haproxy_address(run), run.socket(111, 3307));
    let console = haproxy::console(run);
    let configuration = haproxy::before_cluster(keeping, closing, nodes, &console);
    let part = haproxy::start(run, &configuration)?;
    listening(&part, keeping).await?;
    listening(&part, closing).await?;
    haproxy::checked(&part, &console).await?;
    Ok(ClusterHaproxy { _part: part, keeping, closing })
}

/// HAProxy before a cluster. Dropping it kills it.
pub(crate) struct ClusterHaproxy {
    _part: Part,
    /// Where a client keeps its connection to a server that no longer answers.
    pub(crate) keeping: SocketAddr,
    /// Where it loses that, as soon as the server is found to be down.
    pub(crate) closing: SocketAddr,
}

async fn listening(part: &Part, address: SocketAddr) -> Result<()> {
    let what = format!("{} listens", part.name());
    wait_until(&what, START, Some(&part.log()), async || {
        match tokio::net::TcpStream::connect(address).await {
            // Somebody else may listen there, and the part be gone because of that.
            Ok(_) if part.runs() => Look::Done(()),
            Ok(_) => part.look("somebody else listens"),
            Err(error) => part.look(error),
        }
    })
    .await?;
    Ok(())
}

fn haproxy_address(run: &Run) -> SocketAddr {
    run.socket(111, 3306)
}

fn nginx_address(run: &Run) -> SocketAddr {
    run.socket(112, 3306)
}

/// Beside what every server of the lab has. Its log of transactions goes to the disk once a second,
/// for every way alike: a disk that stalls would hide what is between client and server.
pub(crate) const SERVER: [&str; 3] =
    ["--max-connections=4000", "--innodb-buffer-pool-size=512M", "--thread-cache-size=64"];

const START: Duration = Duration::from_secs(20);
