//! Puts the daemon together from its configuration, runs it, and takes it down in order.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ido_proxy_config::address::ListenAddress;
use ido_proxy_config::{Config, Topology as ConfiguredTopology};
use thiserror::Error;
use tokio::runtime;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use self::sessions::Sessions;
use crate::admin::console::Account;
use crate::admin::{self, AdminState};
use crate::cluster::discovery::sources::SourceError;
use crate::cluster::tls::NodeTls;
use crate::cluster::{
    Cluster, ClusterHandle, ClusterKind, DiscoverySettings, MonitorSettings, NodeAddr, Settings,
};
use crate::session::driver::context::{Limits, SessionContext};
use crate::session::front::greeting_probe::{SURVEY_CAPABILITIES, survey};
use crate::session::front::listener::{BindError, Listener};
use crate::session::link::dial::{Dial, Profile};
use crate::session::link::early;
use crate::session::link::own_kills::OwnKills;
use crate::session::shared::accounts::Accounts;
use crate::session::shared::directives::{self, Directives};
use crate::session::shared::greeting::ClientGreeting;
use crate::session::shared::registry::Registry;
use crate::session::shared::role::Role;
use crate::session::state::fence::FencePool;
use crate::session::state::journal::budget::Budget;
use crate::session::transport::timer::Clock;
use crate::telemetry::metrics::{ClusterMetrics, MetricsHandle, SessionMetrics};

mod gauges;
mod sessions;

/// Why the daemon did not start.
#[derive(Debug, Error)]
pub(crate) enum StartError {
    /// An address of the admin side cannot be bound.
    #[error(transparent)]
    Admin(#[from] admin::BindError),
    /// A source of nodes cannot be asked.
    #[error(transparent)]
    Discovery(#[from] SourceError),
    /// A client address cannot be bound.
    #[error("{error} ({key})")]
    Listen {
        /// Why.
        error: BindError,
        /// The key that names it.
        key: &'static str,
    },
    /// The kernel gives no thread, reactor or signal handler.
    #[error("cannot start: {0}")]
    System(#[from] io::Error),
}

/// Everything bound, nothing running yet.
#[derive(Debug)]
pub(crate) struct App {
    config: Config,
    /// With the role of the clients that come there.
    listeners: Vec<(Listener, Role)>,
    metrics: MetricsHandle,
}

impl App {
    /// Binds every address that clients use, so that a daemon that cannot serve does not start.
    ///
    /// # Errors
    /// [`StartError`], naming the key, the address and who is in the way.
    pub(crate) fn bind(config: Config, metrics: MetricsHandle) -> Result<Self, StartError> {
        let mode = config.listen.socket_mode.bits();
        let bind = |address: &ListenAddress| match address {
            ListenAddress::Tcp(address) => Listener::tcp(*address),
            ListenAddress::Unix(path) => Listener::unix(path, mode),
        };
        let mut listeners = Vec::new();
        for address in &config.listen.addresses {
            let bound = bind(address);
            let key = "listen.addresses";
            let listener = bound.map_err(|error| StartError::Listen { error, key })?;
            listeners.push((listener, Role::Writer));
        }
        let galera = config.topology == ConfiguredTopology::Galera;
        for address in &config.listen.replica_addresses {
            let bound = bind(address);
            let key = "listen.replica_addresses";
            let listener = bound.map_err(|error| StartError::Listen { error, key })?;
            // A server alone has nothing to wait for, and may not know how.
            listeners.push((listener, Role::reader(config.listen.replica_sync_wait && galera)));
        }
        Ok(Self { config, listeners, metrics })
    }

    /// Serves until SIGTERM or SIGINT, then lets the sessions come to an end.
    ///
    /// # Errors
    /// [`StartError`]; once it serves, nothing ends it but a signal.
    pub(crate) fn run(self) -> Result<(), StartError> {
        let runtime = runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(self.serve())
    }

    async fn serve(self) -> Result<(), StartError> {
        let Self { config, listeners, metrics } = self;
        let mut signals = Signals::new()?;
        let http = admin::http::bind(config.admin.http)?;
        let console = admin::console::bind(config.admin.console)?;

        let stop_control = CancellationToken::new();
        let control = TaskTracker::new();
        let tls = node_tls(&config)?;
        if let Some(tls) = &tls {
            control.spawn(Arc::clone(tls).follow(stop_control.clone()));
        }
        let cluster_metrics = ClusterMetrics::new();
        let cluster = Cluster::spawn(
            cluster_settings(&config),
            tls.clone(),
            cluster_metrics.clone(),
            stop_control.clone(),
        )?;
        let directives = watch::Sender::new(Directives::default());
        let client_greeting = watch::Sender::new(Arc::new(ClientGreeting::default()));
        let context = session_context(
            &config,
            &cluster,
            directives.subscribe(),
            client_greeting.subscribe(),
            tls.clone(),
        );
        let state = admin_state(&config, &cluster, &context, metrics.clone());
        let (journals, session_metrics) =
            (Arc::clone(&context.journals), Arc::clone(&context.metrics));
        let sessions = Sessions::start(listeners, context, &config)?;

        control.spawn(directives::follow_topology(directives.clone(), cluster.topology.clone()));
        control.spawn(gauges::follow_topology(cluster_metrics, cluster.topology.clone()));
        control.spawn(survey(
            cluster.topology.clone(),
            client_greeting,
            monitor_profile(&config),
            Dial { buffers: Arc::default(), limit: LINK_TIMEOUT, tls },
        ));
        control.spawn(metrics.upkeep());
        control.spawn(gauges::follow_journals(journals, session_metrics));
        let registry = Arc::clone(&state.registry);
        control.spawn(http.serve(state.clone(), stop_control.clone()));
        let operator = Account {
            user: config.monitor.user.clone(),
            password: config.monitor.password.clone(),
        };
        control.spawn(console.serve(state, operator, stop_control.clone()));
        tracing::info!(
            version = env!("CARGO_PKG_VERSION"),
            listen = ?config.listen.addresses,
            replica = ?config.listen.replica_addresses,
            http = %config.admin.http,
            console = %config.admin.console,
            "serving"
        );

        let name = signals.ending().await;
        tracing::info!(
            signal = name,
            sessions = registry.len(),
            drain = ?config.failover.drain,
            "ending: no new clients, and each session ends with its transaction"
        );
        sessions.drain(&directives, config.failover.drain, &registry).await;
        stop_control.cancel();
        cluster.stopped().await;
        tracing::info!("ended");
        Ok(())
    }
}

/// Signals that end the daemon, caught from the moment on that they are made.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    fn new() -> io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }

    /// Waits for one of them, and returns its name.
    async fn ending(&mut self) -> &'static str {
        tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
        }
    }
}

/// Everything that the sessions share, from the configuration.
fn session_context(
    config: &Config,
    cluster: &ClusterHandle,
    directives: watch::Receiver<Directives>,
    client_greeting: watch::Receiver<Arc<ClientGreeting>>,
    tls: Option<Arc<NodeTls>>,
) -> SessionContext {
    SessionContext {
        accounts: Arc::new(Accounts::new(
            config.users.iter().map(|user| (user.name.clone(), user.password.clone())),
        )),
        buffers: Arc::default(),
        poll_slot: Arc::default(),
        caught_up: Arc::default(),
        clock: Clock::current(),
        cluster: cluster.clone(),
        client_greeting,
        greeted: early::places(),
        fences: Arc::new(FencePool::new(config.control.schema.as_str(), rand::random())),
        galera: config.topology == ConfiguredTopology::Galera,
        failovers: Arc::default(),
        reserved: Arc::default(),
        readings: Arc::default(),
        own_kills: Arc::new(OwnKills::new()),
        journals: Arc::new(Budget::new(
            config.journal.memory.as_u64(),
            config.journal.disk.as_u64(),
            Some(config.state_dir.join("journal")),
        )),
        limits: Limits {
            login: config.listen.login_timeout,
            hold: config.failover.hold,
            link_timeout: LINK_TIMEOUT,
            blocked: config.failover.path_timeout,
        },
        metrics: Arc::new(SessionMetrics::new()),
        directives,
        registry: Arc::new(Registry::new()),
        tls,
        standby: Arc::default(),
    }
}

/// Sources of the admin side's answers: the cluster, and what the sessions of `context` write down.
fn admin_state(
    config: &Config,
    cluster: &ClusterHandle,
    context: &SessionContext,
    metrics: MetricsHandle,
) -> AdminState {
    AdminState {
        topology: cluster.topology.clone(),
        history: Arc::clone(&cluster.history),
        registry: Arc::clone(&context.registry),
        failovers: Arc::clone(&context.failovers),
        metrics,
        started: Instant::now(),
        listen: names(&config.listen.addresses),
        replica_listen: names(&config.listen.replica_addresses),
    }
}

/// TLS to the nodes, if the configuration asks for it.
///
/// # Errors
/// [`SourceError`]: a certificate is none.
pub(crate) fn node_tls(config: &Config) -> Result<Option<Arc<NodeTls>>, SourceError> {
    let tls = config.tls.nodes.as_ref().map(NodeTls::new).transpose();
    Ok(tls.map_err(SourceError::NodeAuthority)?.map(Arc::new))
}

/// Settings of the cluster's side, from the configuration.
pub(crate) fn cluster_settings(config: &Config) -> Settings {
    Settings {
        kind: match config.topology {
            ConfiguredTopology::Galera => ClusterKind::Galera,
            ConfiguredTopology::Single => ClusterKind::Single,
        },
        discovery: DiscoverySettings {
            service: config.discovery.service.as_ref().map(|name| name.as_str().to_owned()),
            consul: config.discovery.consul.clone(),
            nameservers: config.discovery.nameservers.clone(),
            port: config.discovery.port,
            nodes: config.discovery.nodes.iter().copied().map(NodeAddr).collect(),
            excluded: listened_tcp(config),
            interval: config.discovery.interval,
            timeout: config.discovery.timeout,
        },
        monitor: MonitorSettings {
            user: config.monitor.user.clone(),
            password: config.monitor.password.clone(),
            interval: config.monitor.interval,
            timeout: config.monitor.timeout,
        },
        path_timeout: config.failover.path_timeout,
        evict: config.failover.evict,
        schema: config.control.schema.as_str().to_owned(),
        name: own_name(config),
        state_file: Some(config.state_dir.join("nodes.json")),
    }
}

/// The name of this host.
pub(crate) fn own_host() -> String {
    let host = nix::unistd::gethostname().ok().and_then(|name| name.into_string().ok());
    host.unwrap_or_else(|| "a nameless host".to_owned())
}

/// The host, and the address that tells the proxies of one host apart.
fn own_name(config: &Config) -> String {
    let host = own_host();
    match config.listen.addresses.first() {
        Some(address) => format!("{host} ({address})"),
        None => host,
    }
}

/// The addresses in the words of the configuration.
fn names(addresses: &[ListenAddress]) -> Arc<[String]> {
    addresses.iter().map(ToString::to_string).collect()
}

/// Where we listen ourselves: none of these is a node.
fn listened_tcp(config: &Config) -> Vec<SocketAddr> {
    let tcp = |address: &ListenAddress| match address {
        ListenAddress::Tcp(address) => Some(*address),
        ListenAddress::Unix(_) => None,
    };
    let listen = &config.listen;
    listen.addresses.iter().chain(&listen.replica_addresses).filter_map(tcp).collect()
}

fn monitor_profile(config: &Config) -> Profile {
    Profile {
        user: config.monitor.user.clone().into_bytes(),
        password: config.monitor.password.clone(),
        database: None,
        collation: UTF8_GENERAL_CI,
        capabilities: SURVEY_CAPABILITIES,
        max_packet: 1 << 24,
        attributes: Vec::new(),
    }
}

/// How long a link may take to be opened. A node that is alive needs milliseconds; one that hangs is
/// found by the probes, and the client is held meanwhile.
const LINK_TIMEOUT: Duration = Duration::from_secs(3);

/// Collation 33, utf8mb3: any would do for the monitor's account.
const UTF8_GENERAL_CI: u8 = 33;

#[cfg(test)]
mod tests {
    use std::path::Path;

    use ido_proxy_config::Environment;

    use super::*;

    /// A proxy that takes itself for a node sends its clients round in a circle.
    #[test]
    fn none_of_our_own_addresses_is_taken_for_a_node() {
        let text = "[listen]\naddresses = [\"127.0.0.1:3306\", \"/run/a.sock\"]\n\
            replica_addresses = [\"/run/b.sock\", \"127.0.0.1:3307\"]\n\
            [discovery]\nnodes = [\"192.0.2.1:3306\"]\n[monitor]\npassword = \"x\"\n\
            [[users]]\nname = \"icinga\"\npassword = \"x\"\n";
        let config =
            Config::parse(text, "a.toml", Path::new("/"), &Environment::default()).unwrap();
        let excluded = cluster_settings(&config).discovery.excluded;
        let own = ["127.0.0.1:3306", "127.0.0.1:3307"].map(|address| address.parse().unwrap());
        assert_eq!(excluded, own);
    }
}
