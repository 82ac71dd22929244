//! A cluster, and every way to it at one distance.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use lab::galera::{Galera, GaleraSpec};
use lab::part::Part;
use lab::proxy::{Proxy, ProxySpec};
use lab::run::Run;

use crate::client::Endpoint;
use crate::error::{BenchError, Result};
use crate::stand::{Relay, Target, Way, haproxy_before, of_binary, tree};

/// Galera nodes. Dropping it ends them.
pub(super) struct Cluster {
    galera: Galera,
    run: Arc<Run>,
}

impl Cluster {
    /// Brings up so many nodes.
    ///
    /// # Errors
    /// When a program is missing or a node does not come up.
    pub(super) async fn start(nodes: u8) -> Result<Self> {
        let run = Arc::new(Run::begin()?);
        let arguments = ARGUMENTS.map(str::to_owned).to_vec();
        let spec = GaleraSpec { nodes, arguments, ..GaleraSpec::default() };
        let galera = Galera::start(&run, &spec).await?;
        Ok(Self { galera, run })
    }
}

/// Direct, ido-proxy and HAProxy, all at the same distance from the nodes. Dropping them ends the
/// programs in between.
pub(super) struct Ways {
    targets: Vec<Target>,
    _proxies: Vec<Proxy>,
    _haproxy: Part,
    _relays: Vec<Relay>,
}

impl Ways {
    /// Opens every way. Relays are only at a distance above zero.
    ///
    /// # Errors
    /// When a program does not come up, or the proxies do not agree on a primary.
    pub(super) async fn open(
        cluster: &Cluster,
        round_trip: Duration,
        old: Option<&Path>,
    ) -> Result<Self> {
        let Cluster { galera, run } = cluster;
        let (mut relays, mut nodes) = (Vec::new(), Vec::new());
        for node in galera.nodes() {
            let mut address = node.address();
            if !round_trip.is_zero() {
                address = run.socket(RELAYS + node.index(), 3306);
                relays.push(Relay::start(address, node.address(), round_trip / 2)?);
            }
            nodes.push(address);
        }
        let spec = spec(&nodes, round_trip);
        let mut proxies = vec![Proxy::start(run, galera, &spec).await?];
        if let Some(old) = old {
            proxies.push(Proxy::start(run, galera, &of_binary(spec, old)).await?);
        }
        let primary = agreed(&proxies).await?;
        let (haproxy, at_haproxy) = haproxy_before(run, primary).await?;
        let tcp = |way, address, process| Target { way, endpoint: Endpoint::Tcp(address), process };
        let proxy = &proxies[0];
        let socket = Endpoint::Unix(proxy.socket().to_owned());
        let mut targets = vec![
            tcp(Way::Direct, primary, None),
            tcp(Way::Proxy, proxy.tcp(), tree(proxy.part())),
            Target { way: Way::ProxyUnix, endpoint: socket, process: tree(proxy.part()) },
            tcp(Way::Haproxy, at_haproxy, tree(&haproxy)),
        ];
        targets.extend(proxies[1..].iter().map(|old| tcp(Way::Old, old.tcp(), tree(old.part()))));
        Ok(Self { targets, _proxies: proxies, _haproxy: haproxy, _relays: relays })
    }

    /// Every way, direct first.
    pub(super) fn targets(&self) -> &[Target] {
        &self.targets
    }
}

/// A proxy that reaches the nodes at these addresses. Each distance has control tables of its own: the
/// primary in them is an address of that distance.
fn spec(nodes: &[SocketAddr], round_trip: Duration) -> ProxySpec {
    let nodes: Vec<_> = nodes.iter().map(ToString::to_string).collect();
    ProxySpec::new(Vec::new())
        .set("discovery.nodes", nodes)
        .set("control.schema", format!("ido_proxy_{}", round_trip.as_millis()))
}

/// The primary of all `proxies`, by the address that leads them to it.
async fn agreed(proxies: &[Proxy]) -> Result<SocketAddr> {
    let mut all = Vec::new();
    for proxy in proxies {
        all.extend(proxy.primary().await?);
    }
    match all.as_slice() {
        [first, others @ ..] if others.iter().all(|other| other == first) => Ok(*first),
        _ => Err(BenchError::Refused(format!("the proxies have no common primary: {all:?}"))),
    }
}

/// Arguments of every node. A name in place of its address keeps Galera's list of members from leading
/// proxies past the relays: they pass over names.
const ARGUMENTS: [&str; 2] = ["--wsrep-node-incoming-address=unnamed", "--thread-cache-size=64"];

/// Host number of a relay, less that of its node.
const RELAYS: u8 = 60;
