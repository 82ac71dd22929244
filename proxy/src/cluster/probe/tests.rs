use std::sync::Arc;
use std::time::Duration;

use ido_proxy_config::tls::NodesTls;
use metrics_util::debugging::DebugValue;
use secrecy::SecretString;
use tokio::sync::{Notify, mpsc};
use tokio::task::JoinHandle;
use tokio::time::{self, Instant};
use tokio_util::sync::CancellationToken;

use super::pace::{every_time, pace};
use super::prober::{LEAST_INTERVAL, Probed, Prober};
use super::question::Question;
use crate::cluster::control::connect::MonitorLogin;
use crate::cluster::model::node_addr::NodeAddr;
use crate::cluster::model::node_view::{Loss, Outcome};
use crate::cluster::model::settings::{ClusterKind, MonitorSettings};
use crate::cluster::model::testing::{PLAIN, SYNCED, rows};
use crate::cluster::testing::fake_node::{FakeNode, Script};
use crate::cluster::testing::{DEADLINE, eventually};
use crate::cluster::tls::node_tls::NodeTls;
use crate::telemetry::metrics::ClusterMetrics;

/// Time enough for any answer.
const PATIENT: Duration = DEADLINE;
/// Soon over, for probes that are to fail.
const HASTY: Duration = Duration::from_millis(200);

/// The probes of one node, of which each but the first is asked for: the interval never ends.
struct Probes {
    results: mpsc::Receiver<Probed>,
    wake: Arc<Notify>,
    stop: CancellationToken,
    running: JoinHandle<()>,
}

impl Probes {
    fn start(node: &FakeNode, timeout: Duration) -> Self {
        Self::of(node.address, ClusterKind::Galera, timeout)
    }

    fn of(address: NodeAddr, kind: ClusterKind, timeout: Duration) -> Self {
        Self::by(None, address, kind, timeout)
    }

    fn by(
        tls: Option<Arc<NodeTls>>,
        address: NodeAddr,
        kind: ClusterKind,
        timeout: Duration,
    ) -> Self {
        let (sender, results) = mpsc::channel(1);
        let (wake, stop) = (Arc::new(Notify::new()), CancellationToken::new());
        let settings = MonitorSettings {
            user: "ido_proxy".into(),
            password: SecretString::from("secret"),
            interval: Duration::from_secs(3600),
            timeout,
        };
        let prober = Arc::new(Prober {
            address,
            login: MonitorLogin::new(settings, tls),
            question: Question::new(kind, "ido_proxy"),
            results: sender,
            metrics: ClusterMetrics::new().probes(address),
            wake: Arc::clone(&wake),
            pace: every_time(),
        });
        let running = tokio::spawn(prober.run(stop.clone()));
        Self { results, wake, stop, running }
    }

    /// The outcome of the probe under way; then asks for one more.
    async fn next(&mut self) -> Outcome {
        let probed = time::timeout(DEADLINE, self.results.recv()).await;
        let probed = probed.expect("a probe ends in time").expect("probes go on");
        self.wake.notify_one();
        probed.outcome
    }

    /// The first outcome of a probe that began after this call.
    async fn fresh(&mut self) -> Outcome {
        let start = Instant::now();
        self.wake.notify_one();
        loop {
            let probed = time::timeout(DEADLINE, self.results.recv()).await;
            let probed = probed.expect("a probe ends in time").expect("probes go on");
            self.wake.notify_one();
            if probed.asked >= start {
                return probed.outcome;
            }
        }
    }

    async fn end(self) {
        self.stop.cancel();
        drop(self.results);
        let ended = time::timeout(DEADLINE, self.running).await;
        ended.expect("it ends in time").expect("without a panic");
    }
}

fn name(outcome: &Outcome) -> Option<&str> {
    match outcome {
        Outcome::Answer(report) => report.name.as_deref(),
        Outcome::Late(_) | Outcome::Lost(_) | Outcome::Silent => None,
    }
}

fn loss(outcome: Outcome) -> Loss {
    match outcome {
        Outcome::Lost(loss) => loss,
        other => panic!("not lost: {other:?}"),
    }
}

#[tokio::test]
async fn probes_share_one_connection_and_ask_all_in_one_text() {
    let node = FakeNode::start(rows(SYNCED)).await;
    let mut probes = Probes::start(&node, PATIENT);
    for _ in 0..5 {
        assert_eq!(name(&probes.next().await), Some("node1"));
    }
    let seen = *node.seen().borrow();
    assert_eq!(seen.connections, 1);
    assert!((5..=6).contains(&seen.statements), "{seen:?}, a sixth probe may be under way");
    probes.end().await;
    eventually(&mut node.seen(), |seen| seen.open == 0).await;
}

#[tokio::test]
async fn a_single_server_is_not_asked_for_a_cluster() {
    let node = FakeNode::start(rows(PLAIN)).await;
    let mut probes = Probes::of(node.address, ClusterKind::Single, PATIENT);
    let Outcome::Answer(report) = probes.next().await else { panic!("it answers") };
    assert_eq!(report.galera, None);
    assert!(node.seen().borrow().statements <= 2, "one a probe");
    probes.end().await;
}

#[tokio::test]
async fn a_login_denied_is_told_with_its_code() {
    let node = FakeNode::start(rows(SYNCED)).await;
    node.play(Script::Denies);
    let mut probes = Probes::start(&node, PATIENT);
    let Loss::Rejected { code, message } = loss(probes.next().await) else {
        panic!("turned away");
    };
    assert!([1045, 1698].contains(&code), "{code} {message}");
    node.play(Script::Answers(rows(SYNCED)));
    assert_eq!(name(&probes.fresh().await), Some("node1"), "the password was mended");
    probes.end().await;
}

#[tokio::test]
async fn a_node_that_turns_statements_down_is_lost_at_once() {
    let node = FakeNode::start(rows(SYNCED)).await;
    let mut probes = Probes::start(&node, PATIENT);
    assert_eq!(name(&probes.next().await), Some("node1"));
    node.play(Script::Rejects(1047));
    let Loss::Rejected { code, message } = loss(probes.fresh().await) else {
        panic!("turned down");
    };
    assert_eq!((code, message.as_str()), (1047, "by script"));
    probes.end().await;
}

#[tokio::test]
async fn a_frozen_node_is_silent_when_the_time_is_up() {
    let node = FakeNode::start(rows(SYNCED)).await;
    node.play(Script::Hangs);
    let start = Instant::now();
    let mut probes = Probes::start(&node, HASTY);
    assert!(matches!(probes.next().await, Outcome::Silent));
    assert!(start.elapsed() >= HASTY);
    probes.end().await;
}

#[tokio::test]
async fn a_node_that_freezes_for_hours_does_not_use_up_our_sockets() {
    let node = FakeNode::start(rows(SYNCED)).await;
    node.play(Script::Hangs);
    let mut probes = Probes::start(&node, Duration::from_millis(30));
    for _ in 0..20 {
        assert!(matches!(probes.next().await, Outcome::Silent));
    }
    probes.end().await;
    eventually(&mut node.seen(), |seen| seen.open == 0).await;
}

#[tokio::test]
async fn the_answer_that_comes_too_late_is_not_taken_for_the_next() {
    let node = FakeNode::start(rows(SYNCED)).await;
    let mut probes = Probes::start(&node, HASTY);
    while name(&probes.fresh().await).is_none() {}
    node.play(Script::Hangs);
    while !matches!(probes.fresh().await, Outcome::Silent) {}
    let before = node.seen().borrow().connections;
    node.play(Script::Answers(rows(PLAIN)));
    let late = loop {
        // On a busy machine some more probes may take too long.
        if let Outcome::Answer(report) = probes.fresh().await {
            break report;
        }
    };
    assert_eq!(late.name.as_deref(), Some("db1"));
    assert!(node.seen().borrow().connections > before, "on a new connection");
    probes.end().await;
}

/// Where packets are lost, answers take seconds. A primary that gives them is no dead one.
#[tokio::test]
async fn an_answer_that_comes_too_late_is_told_all_the_same() {
    let node = FakeNode::start(rows(SYNCED)).await;
    let mut probes = Probes::start(&node, HASTY);
    while name(&probes.fresh().await).is_none() {}
    node.play(Script::Hangs);
    while !matches!(probes.fresh().await, Outcome::Silent) {}
    node.play(Script::Answers(rows(SYNCED)));
    while !matches!(probes.next().await, Outcome::Late(_)) {}
    probes.end().await;
}

#[tokio::test]
async fn what_is_no_mysql_server_is_lost_and_nothing_breaks() {
    let greetings: [&[u8]; 6] = [
        b"",
        b"HTTP/1.1 400 Bad Request\r\n\r\n",
        b"SSH-2.0-OpenSSH_9.2\r\n",
        b"\x00\x00\x00\x00",
        b"\x05\x00\x00\x00\x0a5.5\x00",
        b"\x01\x00\x00\x00\xff",
    ];
    for greeting in greetings {
        let node = FakeNode::start(rows(SYNCED)).await;
        node.play(Script::Says(greeting.to_vec()));
        let mut probes = Probes::start(&node, PATIENT);
        let loss = loss(probes.next().await);
        assert!(matches!(loss, Loss::Closed | Loss::Garbled(_)), "{greeting:?}: {loss:?}");
        node.play(Script::Answers(rows(SYNCED)));
        assert_eq!(name(&probes.fresh().await), Some("node1"));
        probes.end().await;
    }
}

#[tokio::test]
async fn a_node_that_is_full_says_so() {
    let node = FakeNode::start(rows(SYNCED)).await;
    let packet = b"\x17\x00\x00\x00\xff\x10\x04Too many connections".to_vec();
    node.play(Script::Says(packet));
    let mut probes = Probes::start(&node, PATIENT);
    let full = Loss::Rejected { code: 1040, message: "Too many connections".into() };
    assert_eq!(loss(probes.next().await), full);
    probes.end().await;
}

/// A server counts logins that break off, and blocks a host that has had a hundred of them.
#[tokio::test]
async fn a_node_that_cannot_be_trusted_is_left_alone_however_often_it_is_to_be_asked() {
    let node = FakeNode::start(rows(SYNCED)).await;
    let nobody = NodesTls { ca_file: "none".into(), authorities: Vec::new(), name: None };
    let tls = Arc::new(NodeTls::new(&nobody).unwrap());
    let mut probes = Probes::by(Some(Arc::clone(&tls)), node.address, ClusterKind::Galera, PATIENT);
    let flaw = Loss::Untrusted("it offers no TLS".into());
    let start = Instant::now();
    for _ in 0..50 {
        assert_eq!(loss(probes.next().await), flaw);
    }
    let (asked, took) = (node.seen().borrow().connections, start.elapsed());
    assert!(u64::from(asked) <= 2 + took.as_secs(), "{asked} times in {took:?}");
    assert!(tls.backs_off(node.address), "sessions leave it alone as well");
    probes.end().await;
}

#[tokio::test]
async fn a_node_that_closes_every_connection_is_lost() {
    let node = FakeNode::start(rows(SYNCED)).await;
    node.play(Script::Closes);
    let mut probes = Probes::start(&node, PATIENT);
    assert_eq!(loss(probes.next().await), Loss::Closed);
    probes.end().await;
}

#[tokio::test]
async fn a_killed_node_is_refused_and_found_again_when_it_is_back() {
    let mut node = FakeNode::start(rows(SYNCED)).await;
    let mut probes = Probes::start(&node, PATIENT);
    assert_eq!(name(&probes.next().await), Some("node1"));
    node.kill().await;
    assert_eq!(loss(probes.fresh().await), Loss::Refused);
    node.listen().await;
    assert_eq!(name(&probes.fresh().await), Some("node1"));
    probes.end().await;
}

#[tokio::test]
async fn a_connection_that_was_killed_proves_nothing_against_the_node() {
    let mut node = FakeNode::start(rows(SYNCED)).await;
    let mut probes = Probes::start(&node, PATIENT);
    let probed = time::timeout(DEADLINE, probes.results.recv()).await.unwrap().unwrap();
    assert_eq!(name(&probed.outcome), Some("node1"));
    // Nobody rang: no probe is under way.
    node.kill().await;
    node.listen().await;
    assert_eq!(name(&probes.fresh().await), Some("node1"), "it is asked on a new one");
    assert_eq!(node.seen().borrow().connections, 2);
    probes.end().await;
}

#[tokio::test]
async fn suspicion_at_any_rate_does_not_flood_a_node() {
    let mut node = FakeNode::start(rows(SYNCED)).await;
    node.kill().await;
    let mut probes = Probes::start(&node, PATIENT);
    let mut last: Option<Instant> = None;
    for _ in 0..20 {
        probes.wake.notify_one();
        let probed = time::timeout(DEADLINE, probes.results.recv()).await.unwrap().unwrap();
        if let Some(last) = last {
            assert!(probed.asked.duration_since(last) >= LEAST_INTERVAL);
        }
        last = Some(probed.asked);
    }
    probes.end().await;
}

#[tokio::test]
async fn probes_are_counted_by_how_they_ended() {
    let recorder = metrics_util::debugging::DebuggingRecorder::new();
    let snapshotter = recorder.snapshotter();
    let mut node = FakeNode::start(rows(SYNCED)).await;
    let mut probes = metrics::with_local_recorder(&recorder, || Probes::start(&node, PATIENT));
    assert_eq!(name(&probes.next().await), Some("node1"));
    node.kill().await;
    assert_eq!(loss(probes.fresh().await), Loss::Refused);
    probes.end().await;

    let (mut answered, mut failed) = (0, 0);
    for (key, _, _, value) in snapshotter.snapshot().into_vec() {
        let ours = key.key().labels().any(|label| label.value() == node.address.to_string());
        match (key.key().name(), value) {
            ("ido_proxy_probe_seconds", DebugValue::Histogram(values)) if ours => {
                answered = values.len();
            }
            ("ido_proxy_probes_failed_total", DebugValue::Counter(count)) if ours => failed = count,
            _ => {}
        }
    }
    assert!(answered >= 1 && failed >= 1, "{answered} answered, {failed} failed");
}

/// Fifty nodes, each asked twice a second, cost more than all else that an idle proxy does; and three must not be asked
/// less often for it.
#[test]
fn only_where_there_are_many_nodes_most_are_asked_less_often() {
    assert_eq!([0, 1, 3, 16, 17, 33, 50, 1000].map(pace), [1, 1, 1, 1, 2, 3, 4, 63]);
}
