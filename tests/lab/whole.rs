//! All parts together, as a story or a person wants them.

use std::env;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::certificates::{self, Authority, Validity};
use crate::consul::names_nodes;
use crate::discovery::Discovery;
use crate::error::Result;
use crate::faults::Faults;
use crate::galera::{Galera, GaleraSpec, Profile};
use crate::icinga::{Database, Icinga, IcingaSpec};
use crate::proxy::{Proxy, ProxySpec};
use crate::run::Run;

/// A running lab. Dropping it ends everything; [`Lab::end`] does so in order.
///
/// The fields end in their order: who depends on others goes first.
#[derive(Debug)]
pub struct Lab {
    /// Icinga, if it was asked for.
    pub icinga: Option<Icinga>,
    /// The proxies: none, unless asked for.
    pub proxies: Vec<Proxy>,
    /// The service that names the nodes.
    pub discovery: Discovery,
    /// The cluster.
    pub galera: Galera,
    /// The authority that signed the nodes' certificates, if they have any.
    pub authority: Option<Authority>,
    /// Broken networks.
    pub faults: Faults,
    /// Numbers, addresses, folders.
    pub run: Arc<Run>,
}

impl Lab {
    /// Three nodes and Consul; a proxy and Icinga on demand.
    pub fn builder() -> Builder {
        Builder::default()
    }

    /// The only proxy, or the first.
    ///
    /// # Panics
    /// When the lab was built without one.
    pub fn proxy(&self) -> &Proxy {
        self.proxies.first().expect("the lab was built with a proxy")
    }

    /// Icinga.
    ///
    /// # Panics
    /// When the lab was built without it.
    pub fn icinga(&self) -> &Icinga {
        self.icinga.as_ref().expect("the lab was built with Icinga")
    }

    /// Starts Icinga and waits for nothing. It writes through the first proxy, by "localhost"; without a
    /// proxy, to node 1.
    ///
    /// # Errors
    /// Icinga is not installed, or a node does not answer.
    pub async fn launch_icinga(&mut self, icinga: &IcingaSpec) -> Result<()> {
        for node in self.galera.nodes() {
            // Before Icinga's first statement: where it writes is what the lab is asked most.
            node.record().await?;
        }
        let database = self.proxies.first().map(Proxy::database);
        let database = database.unwrap_or_else(|| Database::Tcp(self.galera.node(1).address()));
        let spec = IcingaSpec { database, ..icinga.clone() };
        self.icinga = Some(Icinga::launch(&self.run, spec).await?);
        Ok(())
    }

    /// Parts nodes `one` and `other`, counted from 1, until healed.
    ///
    /// # Errors
    /// Without root, or without nftables.
    pub async fn partition(&self, one: u8, other: u8) -> Result<()> {
        let address = |node| IpAddr::from(self.run.number().address(node));
        self.faults.partition(address(one), address(other)).await
    }

    /// Parts node `node` from all other nodes. Clients still reach it.
    ///
    /// # Errors
    /// Without root, or without nftables.
    pub async fn isolate(&self, node: u8) -> Result<()> {
        for other in self.galera.nodes().iter().filter(|other| other.index() != node) {
            self.partition(node, other.index()).await?;
        }
        Ok(())
    }

    /// Mends all partitions.
    ///
    /// # Errors
    /// When the rules cannot be removed.
    pub async fn heal(&self) -> Result<()> {
        self.faults.heal().await
    }

    /// Ends Icinga and the proxies in order (SIGTERM, and they must end well), then everything else.
    ///
    /// # Errors
    /// When one of them ends with a failure, or not at all.
    pub async fn end(self) -> Result<()> {
        if let Some(icinga) = self.icinga.iter().find(|icinga| icinga.part().runs()) {
            icinga.end().await?;
        }
        for proxy in self.proxies.iter().filter(|proxy| proxy.part().runs()) {
            proxy.part().term().await?;
        }
        Ok(())
    }
}

/// The parts that a lab shall have.
#[derive(Default)]
pub struct Builder {
    galera: GaleraSpec,
    proxies: u8,
    default_socket: bool,
    naming: Naming,
    replica: bool,
    tls: bool,
    settings: Vec<(String, toml::Value)>,
    icinga: Option<IcingaSpec>,
    steps: Option<Steps>,
}

/// How the proxies learn of the nodes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Naming {
    /// By asking Consul, or its stand-in.
    #[default]
    Asked,
    /// By their configuration.
    Fixed,
}

/// How far a step of building a lab is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// The step has begun.
    Begun,
    /// The step is done, after that long.
    Done(Duration),
}

impl Builder {
    /// A cluster of 1..=5 nodes. Default: 3.
    pub fn nodes(mut self, nodes: u8) -> Self {
        self.galera.nodes = nodes;
        self
    }

    /// Servers of this kind, whatever the environment names.
    pub fn server(mut self, profile: Profile) -> Self {
        self.galera.server = Some(profile);
        self
    }

    /// One more argument for every mariadbd.
    pub fn node_argument(mut self, argument: impl Into<String>) -> Self {
        self.galera.arguments.push(argument.into());
        self
    }

    /// One more of Galera's own options for every node, such as `evs.suspect_timeout=PT3S`.
    pub fn provider_option(mut self, option: impl Into<String>) -> Self {
        self.galera.provider_options.push(option.into());
        self
    }

    /// A proxy, with a socket in the lab's own folder.
    pub fn proxy(self) -> Self {
        self.proxies(1)
    }

    /// Several proxies, as several Icinga masters have them.
    pub fn proxies(mut self, proxies: u8) -> Self {
        self.proxies = proxies;
        self
    }

    /// The first proxy listens where `host = "localhost"` leads. One lab at a time can have that place;
    /// the others wait for it.
    pub fn default_socket(mut self) -> Self {
        self.default_socket = true;
        self
    }

    /// No Consul: the proxies are told the nodes themselves. The lab stands in half the time.
    pub fn fixed_nodes(mut self) -> Self {
        self.naming = Naming::Fixed;
        self
    }

    /// The proxies also listen for clients that only read.
    pub fn replica(mut self) -> Self {
        self.replica = true;
        self
    }

    /// The nodes have certificates, and the proxies speak to them by TLS. With `IDO_PROXY_LAB_TLS` in the
    /// environment they do in every lab.
    pub fn tls(mut self) -> Self {
        self.tls = true;
        self
    }

    /// One key of the proxies' configuration: see [`ProxySpec::set`].
    pub fn proxy_setting(mut self, key: &str, value: impl Into<toml::Value>) -> Self {
        self.settings.push((key.to_owned(), value.into()));
        self
    }

    /// Icinga with `hosts` and `services`, each checked every `interval`. It writes through the first
    /// proxy, by "localhost"; without a proxy, to node 1.
    pub fn icinga(mut self, hosts: u32, services: u32, interval: Duration) -> Self {
        self.icinga =
            Some(IcingaSpec { hosts, services, interval, ..IcingaSpec::new(Database::Localhost) });
        self
    }

    /// Hears of each step.
    pub fn on_step(mut self, steps: impl Fn(&str, Step) + 'static) -> Self {
        self.steps = Some(Box::new(steps));
        self
    }

    /// Brings everything up, and waits until all of it is ready.
    ///
    /// # Errors
    /// When a part is not installed, or does not come up. What ran by then is ended.
    pub async fn start(self) -> Result<Lab> {
        let run = Arc::new(Run::begin()?);
        let nodes = self.galera.nodes;
        let (mut authority, mut settings) = (None, self.settings.clone());
        if self.tls || env::var_os("IDO_PROXY_LAB_TLS").is_some() {
            let signs = Authority::new(&run)?;
            (1..=nodes).try_for_each(|node| signs.sign(node, Validity::Good))?;
            let file = certificates::trust(&run, &[&signs])?;
            settings.push(("tls.nodes_ca_file".into(), file.display().to_string().into()));
            authority = Some(signs);
        }
        let (galera, discovery) = tokio::try_join!(
            self.step(format!("Galera, {nodes} nodes"), Galera::start(&run, &self.galera)),
            self.discovery(&run),
        )?;
        let nameservers = discovery.nameservers();
        let named = names_nodes(&nameservers, usize::from(nodes), NAMED);
        self.step("every node known to DNS".into(), named).await?;

        let faults = Faults::new(&run);
        let proxies = Vec::new();
        let mut lab = Lab { icinga: None, proxies, discovery, galera, authority, faults, run };
        for index in 1..=self.proxies {
            let mut spec = ProxySpec::new(nameservers.clone());
            if self.naming == Naming::Fixed {
                let nodes = lab.galera.nodes().iter().map(|node| node.address().to_string());
                spec = spec.set("discovery.nodes", nodes.collect::<Vec<_>>());
            }
            spec.index = index;
            spec.replica = self.replica;
            spec.default_socket = self.default_socket && index == 1;
            let spec =
                settings.iter().fold(spec, |spec, (key, value)| spec.set(key, value.clone()));
            let proxy = Proxy::start(&lab.run, &lab.galera, &spec);
            lab.proxies.push(self.step(format!("ido-proxy {index}"), proxy).await?);
        }
        if let Some(icinga) = &self.icinga {
            let name = format!("Icinga, {} hosts, {} services", icinga.hosts, icinga.services);
            let start = async {
                lab.launch_icinga(icinga).await?;
                lab.icinga().connected(Icinga::PATIENCE).await
            };
            self.step(name, start).await?;
        }
        Ok(lab)
    }

    async fn discovery(&self, run: &Arc<Run>) -> Result<Discovery> {
        if self.naming == Naming::Fixed {
            return Ok(Discovery::Fixed);
        }
        let nodes = self.galera.nodes;
        self.step(Discovery::planned().into(), Discovery::start(run, nodes)).await
    }

    async fn step<T>(&self, name: String, work: impl Future<Output = Result<T>>) -> Result<T> {
        let tell = |step| {
            if let Some(steps) = &self.steps {
                steps(&name, step);
            }
        };
        let begin = Instant::now();
        tell(Step::Begun);
        let done = Box::pin(work).await?;
        tell(Step::Done(begin.elapsed()));
        Ok(done)
    }
}

type Steps = Box<dyn Fn(&str, Step)>;

const NAMED: Duration = Duration::from_secs(30);
