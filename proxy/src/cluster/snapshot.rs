//! Snapshot of the cluster, for `ido-proxy check --live` and for operators: what DNS and Consul say, and what each
//! node says.

use std::collections::BTreeMap;
use std::sync::Arc;

use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::control::connect::MonitorLogin;
use super::decide::judge::{ClusterFacts, judge};
use super::decide::rank::by_preference;
use super::discovery::consul::Consul;
use super::discovery::consul::failure::Failure;
use super::discovery::dns::LookupError;
use super::discovery::source::Candidate;
use super::discovery::sources::{self, SourceError};
use super::model::agreement::Agreement;
use super::model::node_addr::NodeAddr;
use super::model::node_view::NodeView;
use super::model::settings::Settings;
use super::model::verdict::Verdict;
use super::probe::pace::every_time;
use super::probe::prober::Prober;
use super::probe::question::Question;
use super::tls::node_tls::NodeTls;
use crate::telemetry::metrics::ClusterMetrics;

/// The answers of all, each asked once.
#[derive(Debug)]
pub(crate) struct Snapshot {
    /// The answer of the name servers; `None` if they are not asked.
    pub(crate) service: Option<Result<Vec<Candidate>, LookupError>>,
    /// The answer of Consul's HTTP interface; `None` if it is not asked.
    pub(crate) consul: Option<Result<Vec<Candidate>, Failure>>,
    /// Every node, by address, with its name if it told it, and what was found of it.
    pub(crate) nodes: Vec<(NodeAddr, Option<String>, Verdict)>,
    /// The usable ones, the best first.
    pub(crate) preferred: Vec<NodeAddr>,
    /// The cluster of each node that named one.
    pub(crate) clusters: BTreeMap<NodeAddr, String>,
    /// The agreement of the proxies, by the nodes of the most frequent cluster.
    pub(crate) agreement: Agreement,
}

/// Asks the name servers, Consul, and each node that they or the configuration name, once.
///
/// # Errors
/// [`SourceError`]
pub(crate) async fn take_snapshot(
    settings: Settings,
    tls: Option<Arc<NodeTls>>,
) -> Result<Snapshot, SourceError> {
    let Settings { kind, discovery, monitor, schema, .. } = settings;
    let service = match sources::dns(&discovery)? {
        Some(service) => Some(service.lookup(|_, _| {}).await),
        None => None,
    };
    let consul = match Consul::of(&discovery)? {
        Some(consul) => Some(match consul.ask(None).await {
            Ok(answer) if answer.nodes.is_empty() => Err(Failure::NoNodes),
            answer => answer.map(|answer| answer.nodes),
        }),
        None => None,
    };
    let named = service.iter().flatten().chain(consul.iter().flatten()).flatten();
    let found = named.map(|candidate| (candidate.address, candidate.priority));
    let listed = discovery.nodes.iter().map(|address| (*address, 0));
    let all: BTreeMap<_, _> = found.chain(listed).collect();
    let (login, metrics) = (MonitorLogin::new(monitor, tls), ClusterMetrics::new());
    let mut probes = JoinSet::new();
    for (address, priority) in all {
        let prober = Prober {
            address,
            login: login.clone(),
            question: Question::new(kind, &schema),
            results: mpsc::channel(1).0,
            metrics: metrics.probes(address),
            wake: Arc::default(),
            pace: every_time(),
        };
        probes.spawn(async move {
            let asked = Instant::now();
            let mut view = NodeView::new(address, priority);
            view.observe(Arc::new(prober).once().await, asked);
            view
        });
    }
    let facts = ClusterFacts { kind, cluster: None, settled_view: None };
    let mut views = probes.join_all().await;
    views.sort_by(by_preference);
    let named = |view: &NodeView| Some((view.address, view.member()?.cluster.clone()));
    let clusters: BTreeMap<_, _> = views.iter().filter_map(named).collect();
    let votes = |cluster: &&String| clusters.values().filter(|other| other == cluster).count();
    let ours = clusters.values().max_by_key(votes).map(String::as_str);
    let agreement = Agreement::Unknown.after(&views, ours);
    let verdict = |view: &NodeView| agreement.applied(view.address, judge(view, facts));
    let mut nodes: Vec<_> = (views.iter())
        .map(|view| (view.address, view.name().map(str::to_owned), verdict(view)))
        .collect();
    let usable = nodes.iter().filter(|(.., verdict)| *verdict == Verdict::Usable);
    let preferred = usable.map(|(address, ..)| *address).collect();
    nodes.sort_by_key(|(address, ..)| *address);
    Ok(Snapshot { service, consul, nodes, preferred, clusters, agreement })
}
