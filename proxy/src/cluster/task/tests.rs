use std::net::SocketAddr;

use hickory_resolver::proto::op::ResponseCode;
use hickory_resolver::proto::rr::RecordType;
use ido_proxy_protocol::err::ErrPacket;
use metrics_util::debugging::{DebugValue, DebuggingRecorder, Snapshotter};
use secrecy::SecretString;

use super::memory::SAVE_AGAIN_AFTER;
use super::*;
use crate::cluster::model::cause::Cause;
use crate::cluster::model::node_view::Loss;
use crate::cluster::model::report::NodeState;
use crate::cluster::model::settings::{ClusterKind, DiscoverySettings, MonitorSettings};
use crate::cluster::model::testing::{DONOR, NON_PRIMARY, PLAIN, SYNCED, rows_with};
use crate::cluster::model::topology::Node;
use crate::cluster::model::verdict::Reason;
use crate::cluster::testing::fake_dns::{FakeDns, Question, Reply, a, srv};
use crate::cluster::testing::fake_node::{FakeNode, Script};
use crate::cluster::testing::{DEADLINE, eventually};

mod consul;
mod members;
mod names;

const SERVICE: &str = "db.service.consul";

/// Longer than any test.
const NEVER: Duration = Duration::from_secs(3600);

/// Soon over, for nodes that are to fall silent; enough for those that are not.
const HASTY: Duration = Duration::from_secs(1);

/// Nodes called `node1`, `node2` and so on, all of one cluster.
async fn nodes<const N: usize>() -> [FakeNode; N] {
    let mut nodes = Vec::new();
    for _ in 0..N {
        nodes.push(FakeNode::start(Vec::new()).await);
    }
    let all: Vec<_> = nodes.iter().map(|node| node.address).collect();
    for (index, node) in nodes.iter().enumerate() {
        node.play(Script::Answers(words(SYNCED, index + 1, &all, &[])));
    }
    nodes.try_into().unwrap_or_else(|_| unreachable!("as many as were started"))
}

/// Nodes as of [`nodes`], but none knows the others' addresses: discovery alone has to name them.
async fn apart<const N: usize>() -> [FakeNode; N] {
    let nodes = nodes::<N>().await;
    for (index, node) in nodes.iter().enumerate() {
        node.play(Script::Answers(words(SYNCED, index + 1, &[node.address], &[])));
    }
    nodes
}

/// Rows that node `n` answers, in a cluster of `members`.
fn words(
    capture: &str,
    n: usize,
    members: &[NodeAddr],
    changes: &[(&str, &str)],
) -> Vec<(String, String)> {
    let members = members.iter().map(ToString::to_string).collect::<Vec<_>>().join(",");
    let name = format!("node{n}");
    let own = [("wsrep_node_name", name.as_str()), ("wsrep_incoming_addresses", &members)];
    let uuid = ("wsrep_cluster_state_uuid", "c5a75aef-e66c-11f1-ad8a-6e410dc76040");
    let all: Vec<_> = own.into_iter().chain([uuid]).chain(changes.iter().copied()).collect();
    rows_with(capture, &all)
}

/// Names these nodes, as Consul does: in no order, for no time at all.
fn naming(nodes: &[NodeAddr]) -> impl FnMut(&Question) -> Reply + Send + use<> {
    let mut nodes = nodes.to_vec();
    move |question| {
        if question.kind != RecordType::SRV {
            return Reply::Code(ResponseCode::NoError);
        }
        nodes.rotate_left(1);
        let target = |node: &NodeAddr| format!("{}.node.consul", node.0.ip()).replace(':', "-");
        let record = |node: &NodeAddr| srv(SERVICE, 1, node.0.port(), &target(node));
        let glue = nodes.iter().filter_map(|node| match node.0 {
            SocketAddr::V4(v4) => Some(a(&target(node), v4.ip().octets())),
            SocketAddr::V6(_) => None,
        });
        Reply::Records(nodes.iter().map(record).collect(), glue.collect())
    }
}

/// Patient with everybody, so that a busy machine does not look like a dead one.
fn settings() -> Settings {
    Settings {
        kind: ClusterKind::Galera,
        discovery: DiscoverySettings {
            service: None,
            consul: None,
            nameservers: Vec::new(),
            port: 3306,
            nodes: Vec::new(),
            excluded: Vec::new(),
            interval: Duration::from_millis(5),
            timeout: DEADLINE,
        },
        monitor: MonitorSettings {
            user: "ido_proxy".into(),
            password: SecretString::from("secret"),
            interval: Duration::from_millis(25),
            timeout: DEADLINE,
        },
        evict: Evict::Off,
        path_timeout: NEVER,
        schema: "ido_proxy".into(),
        name: "here".into(),
        state_file: None,
    }
}

fn by_dns(dns: &FakeDns) -> Settings {
    let mut settings = settings();
    settings.discovery.service = Some(SERVICE.into());
    settings.discovery.nameservers = vec![dns.address];
    settings
}

fn by_list(nodes: &[FakeNode]) -> Settings {
    let mut settings = settings();
    settings.discovery.nodes = nodes.iter().map(|node| node.address).collect();
    settings
}

fn addresses(nodes: &[FakeNode]) -> Vec<NodeAddr> {
    nodes.iter().map(|node| node.address).collect()
}

/// A running cluster task, looked at through its handle alone.
struct Run {
    handle: ClusterHandle,
    stop: CancellationToken,
}

impl Run {
    fn start(settings: Settings) -> Self {
        let stop = CancellationToken::new();
        let handle = Cluster::spawn(settings, None, ClusterMetrics::new(), stop.clone()).unwrap();
        Self { handle, stop }
    }

    async fn until(&mut self, wanted: impl Fn(&Topology) -> bool) {
        eventually(&mut self.handle.topology, |topology| wanted(topology)).await;
    }

    async fn until_primary(&mut self, node: &FakeNode) {
        let address = node.address;
        self.until(|topology| topology.primary == Some(address)).await;
    }

    fn now(&self) -> Arc<Topology> {
        Arc::clone(&self.handle.topology.borrow())
    }

    async fn end(self) {
        self.stop.cancel();
        let stopped = time::timeout(DEADLINE, self.handle.stopped()).await;
        stopped.expect("everything ends when it is told to");
    }
}

fn node(topology: &Topology, address: NodeAddr) -> &Node {
    topology.nodes.iter().find(|node| node.address == address).expect("a known node")
}

/// Lets the name server answer `count` more questions.
async fn asked(dns: &FakeDns, count: usize) {
    let mut questions = dns.questions();
    let before = questions.borrow().len();
    eventually(&mut questions, |questions| questions.len() >= before + count).await;
}

#[tokio::test]
async fn dns_names_the_nodes_and_the_first_by_name_becomes_the_primary() {
    let nodes = nodes::<3>().await;
    let dns = FakeDns::start(naming(&addresses(&nodes))).await;
    let mut run = Run::start(by_dns(&dns));
    run.until_primary(&nodes[0]).await;
    run.until(|topology| topology.nodes.iter().all(|node| node.usable)).await;
    let topology = run.now();
    assert_eq!((topology.epoch, &topology.cause), (1, &Cause::Elected));
    let names: Vec<_> = topology.nodes.iter().map(|node| node.name.as_deref()).collect();
    assert_eq!(names, [Some("node1"), Some("node2"), Some("node3")]);
    let first = node(&topology, nodes[0].address);
    assert_eq!((first.state, first.max_allowed_packet), (NodeState::Synced, Some(16 << 20)));
    run.end().await;
}

#[tokio::test]
async fn no_trouble_with_dns_reaches_the_traffic() {
    let nodes = nodes::<3>().await;
    let dns = FakeDns::start(naming(&addresses(&nodes))).await;
    let mut settings = by_dns(&dns);
    settings.discovery.timeout = Duration::from_millis(300);
    let mut run = Run::start(settings);
    run.until(|topology| topology.nodes.iter().filter(|node| node.usable).count() == 3).await;
    let before = run.now();

    let troubles = [
        Reply::Code(ResponseCode::ServFail),
        Reply::Code(ResponseCode::NXDomain),
        Reply::Code(ResponseCode::NoError),
        Reply::Records(vec![srv(SERVICE, 0, 0, ".")], vec![]),
        Reply::CutShort,
        Reply::Garbage,
        Reply::Silence,
    ];
    for trouble in troubles {
        dns.play(move |_: &Question| trouble.clone());
        asked(&dns, 3).await;
        assert_eq!(run.now(), before);
    }
    // Flapping: every second answer names only the last node, or nobody.
    let (mut all, mut last) = (naming(&addresses(&nodes)), naming(&[nodes[2].address]));
    let mut turn = 0;
    dns.play(move |question: &Question| {
        turn += 1;
        match turn % 3 {
            0 => all(question),
            1 => last(question),
            _ => Reply::Code(ResponseCode::NXDomain),
        }
    });
    asked(&dns, 12).await;
    assert_eq!(run.now(), before);
    run.end().await;
}

#[tokio::test]
async fn a_node_that_dns_names_later_is_probed_and_moves_nothing() {
    let nodes = apart::<3>().await;
    let dns = FakeDns::start(naming(&[nodes[1].address, nodes[2].address])).await;
    let mut run = Run::start(by_dns(&dns));
    run.until_primary(&nodes[1]).await;
    dns.play(naming(&addresses(&nodes)));
    let first = nodes[0].address;
    run.until(|topology| topology.nodes.iter().any(|n| n.address == first && n.usable)).await;
    assert_eq!(run.now().primary, Some(nodes[1].address), "though the new one is preferred");
    assert_eq!(run.now().epoch, 1);
    run.end().await;
}

#[tokio::test]
async fn the_killed_primary_is_replaced_and_does_not_take_over_again() {
    let mut nodes = nodes::<3>().await;
    let mut run = Run::start(by_list(&nodes));
    run.until_primary(&nodes[0]).await;
    nodes[0].kill().await;
    run.until_primary(&nodes[1]).await;
    let first = nodes[0].address;
    let Cause::Lost { node: lost, reason: Reason::Lost(Loss::Refused) } = &run.now().cause else {
        panic!("{:?}", run.now().cause);
    };
    assert_eq!((*lost, run.now().epoch), (first, 2));
    nodes[0].listen().await;
    run.until(|topology| node(topology, first).usable).await;
    assert_eq!(run.now().primary, Some(nodes[1].address));
    assert_eq!(run.now().epoch, 2);
    run.end().await;
}

#[tokio::test]
async fn proxies_choose_alike_before_and_after_a_failover() {
    let mut nodes = nodes::<3>().await;
    let (mut one, mut settings) = (Run::start(by_list(&nodes)), by_list(&nodes));
    settings.discovery.nodes.reverse();
    let mut other = Run::start(settings);
    one.until_primary(&nodes[0]).await;
    other.until_primary(&nodes[0]).await;
    nodes[0].kill().await;
    one.until_primary(&nodes[1]).await;
    other.until_primary(&nodes[1]).await;
    one.end().await;
    other.end().await;
}

#[tokio::test]
async fn when_every_node_is_down_there_is_no_primary_until_one_is_back() {
    let mut nodes = nodes::<2>().await;
    let mut run = Run::start(by_list(&nodes));
    run.until_primary(&nodes[0]).await;
    nodes[1].kill().await;
    nodes[0].kill().await;
    run.until(|topology| topology.primary.is_none()).await;
    nodes[1].listen().await;
    run.until_primary(&nodes[1]).await;
    run.end().await;
}

#[tokio::test]
async fn a_frozen_primary_is_left_when_its_time_is_up() {
    let nodes = nodes::<2>().await;
    let mut settings = by_list(&nodes);
    settings.monitor.timeout = HASTY;
    settings.path_timeout = HASTY;
    let mut run = Run::start(settings);
    run.until_primary(&nodes[0]).await;
    nodes[0].play(Script::Hangs);
    run.until_primary(&nodes[1]).await;
    let topology = run.now();
    let reason = node(&topology, nodes[0].address).reason.as_deref();
    assert_eq!(reason, Some("does not answer in time"));
    run.end().await;
}

#[tokio::test]
async fn a_frozen_primary_is_left_at_once_when_the_cluster_has_thrown_it_out() {
    let nodes = nodes::<2>().await;
    let mut settings = by_list(&nodes);
    settings.monitor.timeout = HASTY;
    let mut run = Run::start(settings);
    run.until_primary(&nodes[0]).await;
    nodes[0].play(Script::Hangs);
    let first = nodes[0].address;
    run.until(|topology| !node(topology, first).usable).await;
    assert_eq!(run.now().primary, Some(first), "it may be our own network");
    let reason = node(&run.now(), first).reason.clone();
    assert_eq!(reason.as_deref(), Some("does not answer in time"));

    let later = [("wsrep_cluster_conf_id", "99"), ("wsrep_cluster_size", "1")];
    nodes[1].play(Script::Answers(words(SYNCED, 2, &[nodes[1].address], &later)));
    run.until_primary(&nodes[1]).await;
    run.end().await;
}

#[tokio::test]
async fn a_primary_that_becomes_a_donor_hands_over() {
    let nodes = nodes::<2>().await;
    let mut run = Run::start(by_list(&nodes));
    run.until_primary(&nodes[0]).await;
    nodes[0].play(Script::Answers(words(DONOR, 1, &addresses(&nodes), &[])));
    run.until_primary(&nodes[1]).await;
    let preferred = Cause::Preferred { node: nodes[0].address, reason: Reason::Donor };
    assert_eq!(run.now().cause, preferred);
    run.end().await;
}

#[tokio::test]
async fn a_node_of_another_cluster_never_gets_the_writes() {
    let mut nodes = nodes::<3>().await;
    let uuid = "00000000-1111-2222-3333-444444444444";
    let foreign = [("wsrep_cluster_state_uuid", uuid)];
    nodes[0].play(Script::Answers(words(SYNCED, 1, &[nodes[0].address], &foreign)));
    let mut run = Run::start(by_list(&nodes));
    run.until_primary(&nodes[1]).await;
    nodes[1].kill().await;
    nodes[2].kill().await;
    run.until(|topology| topology.primary.is_none()).await;
    let topology = run.now();
    let reason = node(&topology, nodes[0].address).reason.as_deref();
    assert_eq!(reason, Some(format!("belongs to another cluster ({uuid})").as_str()));
    run.end().await;
}

#[tokio::test]
async fn a_restart_while_dns_is_silent_finds_the_nodes_of_last_time() {
    let nodes = nodes::<2>().await;
    let dns = FakeDns::start(naming(&addresses(&nodes))).await;
    let directory = tempfile::tempdir().unwrap();
    let mut settings = by_dns(&dns);
    settings.state_file = Some(directory.path().join("nodes.json"));
    let mut first = Run::start(settings.clone());
    first.until_primary(&nodes[0]).await;
    first.end().await;

    dns.play(|_: &Question| Reply::Silence);
    let mut second = Run::start(settings.clone());
    second.until_primary(&nodes[0]).await;
    assert_eq!(second.now().nodes.len(), 2);
    second.end().await;

    // Another service is another cluster, whatever the file says.
    settings.discovery.service = Some("other.service.consul".into());
    let third = Run::start(settings);
    asked(&dns, 1).await;
    assert_eq!(third.now().nodes, []);
    third.end().await;
}

#[tokio::test]
async fn a_suspected_node_is_probed_at_once() {
    let mut nodes = nodes::<2>().await;
    let mut settings = by_list(&nodes);
    settings.monitor.interval = NEVER;
    let mut run = Run::start(settings);
    run.until_primary(&nodes[0]).await;
    nodes[0].kill().await;
    run.handle.suspect(nodes[0].address);
    run.until_primary(&nodes[1]).await;
    // A session may hold on to a node that is long forgotten.
    run.handle.suspect(NodeAddr("192.0.2.1:3306".parse().unwrap()));
    run.end().await;
}

/// All the time until a probe says the same, clients would wait for a node that has left them.
#[tokio::test]
async fn a_node_that_tells_a_client_that_it_stops_is_left_at_once() {
    let nodes = nodes::<2>().await;
    let mut settings = by_list(&nodes);
    settings.monitor.interval = NEVER;
    let mut run = Run::start(settings);
    run.until_primary(&nodes[0]).await;
    let told = |code| ErrPacket::new(code, *b"08S01", "as a client was told");
    // An error that a client caused says nothing of the node.
    run.handle.node_error(nodes[0].address, &told(1064));
    nodes[0].play(Script::Hangs);
    run.handle.node_error(nodes[0].address, &told(1053));
    run.until_primary(&nodes[1]).await;
    assert_eq!(run.now().epoch, 2);
    run.end().await;
}

#[tokio::test]
async fn it_ends_at_once_while_everything_hangs() {
    let nodes = nodes::<2>().await;
    nodes[0].play(Script::Hangs);
    let dns = FakeDns::start(|_: &Question| Reply::Silence).await;
    let mut settings = by_dns(&dns);
    settings.discovery.nodes = addresses(&nodes);
    let run = Run::start(settings);
    eventually(&mut nodes[0].seen(), |seen| seen.open == 1).await;
    eventually(&mut nodes[1].seen(), |seen| seen.statements >= 2).await;
    run.end().await;
    for node in &nodes {
        eventually(&mut node.seen(), |seen| seen.open == 0).await;
    }
}

#[tokio::test]
async fn the_proxy_does_not_probe_itself() {
    let nodes = nodes::<2>().await;
    let dns = FakeDns::start(naming(&addresses(&nodes))).await;
    let mut settings = by_dns(&dns);
    settings.discovery.excluded = vec![nodes[0].address.0];
    let mut run = Run::start(settings);
    run.until_primary(&nodes[1]).await;
    assert_eq!(nodes[0].seen().borrow().connections, 0);
    run.end().await;
}

#[tokio::test]
async fn a_name_that_is_none_is_told_at_the_start() {
    let mut settings = settings();
    settings.discovery.service = Some("a..b".into());
    settings.discovery.nameservers = vec![SocketAddr::from(([127, 0, 0, 1], 53))];
    let spawned = Cluster::spawn(settings, None, ClusterMetrics::new(), CancellationToken::new());
    assert!(spawned.is_err());
}

#[tokio::test]
async fn lookups_and_probes_are_counted() {
    let recorder = DebuggingRecorder::new();
    let snapshotter = recorder.snapshotter();
    let _guard = metrics::set_default_local_recorder(&recorder);
    let mut nodes = nodes::<2>().await;
    let dns = FakeDns::start(naming(&addresses(&nodes))).await;
    let mut run = Run::start(by_dns(&dns));
    run.until_primary(&nodes[0]).await;
    nodes[0].kill().await;
    dns.play(|_: &Question| Reply::Code(ResponseCode::ServFail));
    run.until_primary(&nodes[1]).await;
    asked(&dns, 2).await;
    run.end().await;

    let counts = counts(&snapshotter);
    let count = |name: &str, label: &str| counts.get(&(name.into(), label.into())).copied();
    let [first, second] =
        addresses(&nodes).try_into().map(|all: [_; 2]| all.map(|n| n.to_string())).unwrap();
    assert!(count("ido_proxy_dns_lookups_total", "found") >= Some(1), "{counts:?}");
    assert!(count("ido_proxy_dns_lookups_total", "failed") >= Some(1), "{counts:?}");
    assert_eq!(count("ido_proxy_dns_lookups_total", "empty"), Some(0), "{counts:?}");
    assert!(count("ido_proxy_probe_seconds", &first) >= Some(1), "{counts:?}");
    assert!(count("ido_proxy_probes_failed_total", &first) >= Some(1), "{counts:?}");
    assert_eq!(count("ido_proxy_probes_failed_total", &second), Some(0), "{counts:?}");
}

/// The counters, and how often histograms were given something, by name and label.
fn counts(snapshotter: &Snapshotter) -> BTreeMap<(String, String), u64> {
    let snapshot = snapshotter.snapshot().into_vec().into_iter();
    let count = |value| match value {
        DebugValue::Counter(count) => Some(count),
        DebugValue::Histogram(values) => u64::try_from(values.len()).ok(),
        DebugValue::Gauge(_) => None,
    };
    snapshot
        .filter_map(|(key, _, _, value)| {
            let label = key.key().labels().next().map_or("", |label| label.value()).to_owned();
            Some(((key.key().name().to_owned(), label), count(value)?))
        })
        .collect()
}

#[tokio::test(start_paused = true)]
async fn what_could_not_be_remembered_is_tried_again() {
    let directory = tempfile::tempdir().unwrap();
    let missing = directory.path().join("not/yet");
    let file = StateFile::new(&missing.join("nodes.json"), &settings().discovery);
    let tasks = TaskTracker::new();
    let memory = Memory::spawn(file.clone(), Vec::new(), &tasks);
    let found = Candidate { address: NodeAddr("192.0.2.1:3306".parse().unwrap()), priority: 1 };
    memory.nodes.send_replace(vec![found]);
    time::sleep(SAVE_AGAIN_AFTER / 2).await;
    assert_eq!(file.load(), [], "there is nowhere to write to");
    std::fs::create_dir_all(&missing).unwrap();
    time::sleep(SAVE_AGAIN_AFTER * 2).await;
    assert_eq!(file.load(), [found]);

    drop(memory);
    tasks.close();
    let ended = time::timeout(SAVE_AGAIN_AFTER, tasks.wait()).await;
    ended.expect("it ends with the task that feeds it");
}
