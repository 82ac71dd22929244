//! The task that owns the nodes, their probes and the decision, and publishes the [`Topology`].
//!
//! One loop waits for an event and takes it in; all else follows from the state it leaves. It
//! never waits for a node, a name server or the disk.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use ido_proxy_config::failover::Evict;
use tokio::sync::{Notify, mpsc, watch};
use tokio::time::{self, Instant};
use tokio_util::sync::CancellationToken;
use tokio_util::task::{AbortOnDropHandle, TaskTracker};

use self::evictions::Evictions;
use self::memory::Memory;
use self::outcome::{log_changes, topology};
use super::control::connect::MonitorLogin;
use super::control::control_tables::ControlTables;
use super::control::pin_table::{ProposeError, propose};
use super::control::pin_watch::{SeenPin, watch_pin};
use super::control::proxy_table::{Advertisement, exchange_rows};
use super::decide::decision::Decision;
use super::decide::history::History;
use super::decide::rule::{Policy, decide};
use super::discovery::candidates::Candidates;
use super::discovery::source::{Candidate, Named, Source};
use super::discovery::sources::{self, SourceError};
use super::discovery::state_file::StateFile;
use super::discovery::unconfirmed::{self, UnconfirmedMembers};
use super::handle::{ClusterHandle, Wakeups};
use super::model::agreement::Agreement;
use super::model::node_addr::NodeAddr;
use super::model::node_view::{Contact, Loss, NodeView, Outcome};
use super::model::peers::Row;
use super::model::pin::Reading;
use super::model::proposal::Proposal;
use super::model::settings::{ClusterKind, Settings};
use super::model::topology::Topology;
use super::probe::pace::{every_time, pace};
use super::probe::prober::{Probed, Prober};
use super::probe::question::Question;
use super::tls::node_tls::NodeTls;
use crate::telemetry::metrics::ClusterMetrics;

mod evictions;
mod memory;
mod outcome;

/// The task itself.
#[derive(Debug)]
pub(crate) struct Cluster {
    policy: Policy,
    login: MonitorLogin,
    /// The question to each node.
    question: Question,
    tables: Arc<ControlTables>,
    /// The change of the pin that is in flight.
    proposing: Option<Proposing>,
    /// The node to which the next proposal is likely to go, and what makes a connection lie ready there.
    prepared: Option<(NodeAddr, AbortOnDropHandle<()>)>,
    answered: mpsc::Sender<Answered>,
    /// `None`: dead nodes are left to their cluster.
    evictions: Option<Evictions>,
    metrics: ClusterMetrics,
    candidates: Candidates,
    memory: Option<Memory>,
    nodes: BTreeMap<NodeAddr, Watched>,
    unconfirmed: UnconfirmedMembers<Watched>,
    decision: Decision,
    /// When that was.
    decided: Instant,
    history: Arc<History>,
    advertisement: watch::Sender<Advertisement>,
    probed: mpsc::Sender<Probed>,
    topology: watch::Sender<Arc<Topology>>,
    wakeups: watch::Sender<Wakeups>,
    tasks: TaskTracker,
    stop: CancellationToken,
}

#[derive(Debug)]
struct Watched {
    view: NodeView,
    wakeup: Arc<Notify>,
    /// How many intervals there are from one probe to the next.
    pace: Arc<AtomicU32>,
    stop: CancellationToken,
}

impl Drop for Watched {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

/// A change of the pin that is under way; given up when dropped.
#[derive(Debug)]
struct Proposing {
    proposal: Proposal,
    _task: AbortOnDropHandle<()>,
}

/// Outcome of a proposal.
type Answered = (Proposal, Result<Reading, ProposeError>);

/// All that the task takes in.
struct Inputs {
    /// Sources of nodes.
    answers: mpsc::Receiver<Named>,
    /// Probes.
    results: mpsc::Receiver<Probed>,
    /// Changes of the pin.
    proposals: mpsc::Receiver<Answered>,
    /// The other proxies.
    peers: mpsc::Receiver<Vec<Row>>,
    /// Pins that somebody else has set.
    pins: mpsc::Receiver<SeenPin>,
    /// Nodes that answer a client.
    liveness: mpsc::Receiver<NodeAddr>,
}

enum Event {
    Found(Named),
    Probed(Probed),
    Answered(Box<Answered>),
    PeersRead(Vec<Row>),
    PinSeen(SeenPin),
    Alive(NodeAddr),
    Stop,
    Tick,
}

impl Cluster {
    /// Starts looking for nodes and probing them, on the runtime it is called in, until `stop` is
    /// cancelled.
    ///
    /// # Errors
    /// [`SourceError`]: nothing runs then.
    pub(crate) fn spawn(
        settings: Settings,
        tls: Option<Arc<NodeTls>>,
        metrics: ClusterMetrics,
        stop: CancellationToken,
    ) -> Result<ClusterHandle, SourceError> {
        let tables = Arc::new(ControlTables::new(&settings, tls));
        let Settings { kind, discovery, path_timeout, state_file, evict, .. } = settings;
        let tasks = TaskTracker::new();
        let evicts = kind == ClusterKind::Galera && evict == Evict::Dead;
        let evictions = evicts.then(|| Evictions::new(Arc::clone(&tables), tasks.clone()));
        let sources = sources::sources(&discovery, kind);
        let mut candidates = Candidates::new(&discovery.nodes, &discovery.excluded, sources);
        let answers = sources::spawn(&discovery, &metrics, &tasks, &stop)?;
        let memory = state_file.map(|path| {
            let file = StateFile::new(&path, &discovery);
            candidates.recall(&file.load());
            Memory::spawn(file, candidates.found(), &tasks)
        });

        let (probed, results) = mpsc::channel(PENDING_RESULTS);
        let (topology, topology_watch) = watch::channel(Arc::default());
        let (wakeups, wakeups_watch) = watch::channel(Wakeups::new());
        let history = Arc::new(History::default());
        let (answered, proposals) = mpsc::channel(1);
        let mut cluster = Self {
            policy: Policy { kind, path_timeout },
            login: tables.login.clone(),
            question: Question::new(kind, &tables.schema),
            tables,
            prepared: None,
            proposing: None,
            answered,
            evictions,
            metrics,
            candidates,
            memory,
            nodes: BTreeMap::new(),
            unconfirmed: UnconfirmedMembers::new(),
            decision: Decision::default(),
            decided: Instant::now(),
            history: Arc::clone(&history),
            advertisement: watch::Sender::default(),
            probed: probed.clone(),
            topology,
            wakeups,
            tasks: tasks.clone(),
            stop,
        };
        cluster.watch_candidates();
        cluster.decide();
        let (told, peers) = mpsc::channel(1);
        let exchange =
            exchange_rows(Arc::clone(&cluster.tables), cluster.advertisement.subscribe(), told);
        let (seen_pins, pins) = mpsc::channel(1);
        let watch =
            watch_pin(Arc::clone(&cluster.tables), cluster.advertisement.subscribe(), seen_pins);
        let stop = cluster.stop.clone();
        tasks.spawn(async move {
            stop.run_until_cancelled(async { tokio::join!(exchange, watch) }).await;
        });
        let (alive, liveness) = mpsc::channel(PENDING_RESULTS);
        let inputs = Inputs { answers, results, proposals, peers, pins, liveness };
        tasks.spawn(cluster.run(inputs));
        // Waiting for the tracker includes tasks that are spawned after the close.
        tasks.close();
        Ok(ClusterHandle {
            topology: topology_watch,
            history,
            wakeups: wakeups_watch,
            outcomes: probed,
            liveness: alive,
            tasks,
        })
    }

    async fn run(mut self, mut inputs: Inputs) {
        let mut ticked = Instant::now();
        loop {
            let tick = self.next_tick(ticked);
            let event = tokio::select! {
                () = self.stop.cancelled() => Event::Stop,
                Some(named) = inputs.answers.recv() => Event::Found(named),
                Some(probed) = inputs.results.recv() => Event::Probed(probed),
                Some(answered) = inputs.proposals.recv() => Event::Answered(Box::new(answered)),
                Some(node) = inputs.liveness.recv() => Event::Alive(node),
                Some(rows) = inputs.peers.recv() => Event::PeersRead(rows),
                Some(found) = inputs.pins.recv() => Event::PinSeen(found),
                () = time::sleep_until(tick) => Event::Tick,
            };
            match event {
                Event::Found(named) => self.found(&named),
                // Changes by time alone are seen at the next tick.
                Event::Probed(probed) => {
                    let refused = matches!(probed.outcome, Outcome::Lost(Loss::Refused));
                    let address = probed.address;
                    if !self.observe(probed) {
                        continue;
                    }
                    if refused {
                        // The others know whether it has left, or is waited for.
                        self.wake_all_but(address);
                    }
                }
                Event::Answered(answered) => self.take_answer(*answered),
                Event::Alive(node) => {
                    if let Some(node) = self.nodes.get_mut(&node) {
                        node.view.reported_alive = Some(Instant::now());
                    }
                }
                Event::PeersRead(rows) => self.decision.take_peers(rows, Instant::now()),
                Event::PinSeen(SeenPin { cluster, pin }) => {
                    if self.decision.cluster() == Some(&cluster) {
                        self.decision.learn(pin, Instant::now());
                    }
                }
                Event::Stop => break,
                // Time alone changes decisions: a silent primary's grace ends.
                Event::Tick => {
                    ticked = Instant::now();
                    self.ask_the_others();
                }
            }
            self.decide();
            self.meet_members();
        }
    }

    /// When to look at what time alone has changed, after it was done last at `ticked`.
    fn next_tick(&self, ticked: Instant) -> Instant {
        match self.is_calm() {
            true => self.decided + self.login.settings.interval,
            false => ticked + self.login.settings.interval.min(TICK),
        }
    }

    /// Whether nothing is waited for that would be late if it was decided at a probe's pace.
    fn is_calm(&self) -> bool {
        let primary = self.watched_primary().and_then(|primary| self.nodes.get(&primary));
        self.decision.primary.is_some()
            && self.decision.proposal.is_none()
            && primary.is_some_and(|node| node.view.contact == Contact::Answering)
    }

    /// The node that all agree on, or else our own choice.
    fn watched_primary(&self) -> Option<NodeAddr> {
        let pinned = self.decision.agreement.pin().map(|pin| pin.node);
        pinned.or(self.decision.primary)
    }

    fn found(&mut self, named: &Named) {
        let before = self.candidates.found();
        let nodes = &self.nodes;
        self.candidates.merge(named.source, &named.nodes, Instant::now(), |address| {
            nodes.get(&address).is_some_and(|node| node.view.is_alive())
        });
        let after = self.candidates.found();
        if after != before {
            self.watch_candidates();
            if let Some(memory) = &self.memory {
                memory.nodes.send_replace(after);
            }
        }
    }

    /// Takes in whom the cluster itself names: those who are known, as one more word for them; the others
    /// once they have answered as members.
    fn meet_members(&mut self) {
        if self.policy.kind == ClusterKind::Single {
            return;
        }
        let now = Instant::now();
        let views: Vec<_> = self.nodes.values().map(|node| &node.view).collect();
        let mut members = unconfirmed::members(&self.decision, &views);
        members.retain(|member| self.candidates.may_be_a_node(*member));

        let strange = members.iter().filter(|member| !self.nodes.contains_key(*member));
        let strange: BTreeSet<_> = strange.copied().collect();
        let mut asked = std::mem::replace(&mut self.unconfirmed, UnconfirmedMembers::new());
        asked.update(&strange, now, |address| self.watch(address, LAST));
        let decision = &self.decision;
        let confirmed =
            asked.take_confirmed(|node| unconfirmed::is_confirmed(decision, &views, &node.view));
        self.unconfirmed = asked;
        if let Some((address, node)) = confirmed {
            tracing::info!(node = %address, "node found among the members of the cluster");
            self.nodes.insert(address, node);
        }

        members.retain(|member| self.nodes.contains_key(member));
        let candidate = |address| Candidate { address, priority: LAST };
        let nodes = members.into_iter().map(candidate).collect();
        self.found(&Named { source: Source::Members, nodes });
    }

    /// Brings the probes in line with the candidates.
    fn watch_candidates(&mut self) {
        let known: BTreeMap<_, _> = self
            .candidates
            .all()
            .into_iter()
            .map(|candidate| (candidate.address, candidate.priority))
            .collect();
        self.nodes.retain(|address, _| {
            let keep = known.contains_key(address);
            if !keep {
                tracing::info!(node = %address, "node forgotten");
            }
            keep
        });
        for (address, priority) in known {
            match self.nodes.get_mut(&address) {
                Some(node) => node.view.priority = priority,
                None => {
                    tracing::info!(node = %address, "node found");
                    let node = self.watch(address, priority);
                    self.nodes.insert(address, node);
                }
            }
        }
        let wakeups = self.nodes.iter();
        let wakeups = wakeups.map(|(address, node)| (*address, Arc::clone(&node.wakeup)));
        self.wakeups.send_replace(wakeups.collect());
    }

    fn watch(&self, address: NodeAddr, priority: u16) -> Watched {
        let wakeup = Arc::new(Notify::new());
        let pace = every_time();
        let stop = self.stop.child_token();
        let prober = Prober {
            address,
            login: self.login.clone(),
            question: self.question.clone(),
            results: self.probed.clone(),
            metrics: self.metrics.probes(address),
            wake: Arc::clone(&wakeup),
            pace: Arc::clone(&pace),
        };
        self.tasks.spawn(Arc::new(prober).run(stop.clone()));
        Watched { view: NodeView::new(address, priority), wakeup, pace, stop }
    }

    /// Returns whether the probe tells anything new.
    fn observe(&mut self, probed: Probed) -> bool {
        let node = self.nodes.get_mut(&probed.address);
        // A node forgotten meanwhile has no view to put this into.
        let node = node.or_else(|| self.unconfirmed.get_mut(probed.address));
        node.is_some_and(|node| node.view.observe(probed.outcome, probed.asked))
    }

    /// A change of the pin was made, by us or by another, or failed.
    fn take_answer(&mut self, (proposal, answer): Answered) {
        if self.proposing.as_ref().is_none_or(|proposing| proposing.proposal != proposal) {
            return;
        }
        self.proposing = None;
        match answer {
            Ok(Reading::Set(pin)) => self.decision.learn(pin, Instant::now()),
            Ok(reading) => tracing::warn!(?reading, "the pin was changed and is not there"),
            Err(error) => tracing::debug!(%error, "the pin is not changed yet"),
        }
    }

    /// Keeps what is asked for in step with what is wanted.
    fn propose(&mut self) {
        let wanted = self.decision.proposal.as_ref();
        if self.proposing.as_ref().map(|proposing| &proposing.proposal) == wanted {
            return;
        }
        self.proposing = wanted.map(|proposal| {
            let (tables, answers) = (Arc::clone(&self.tables), self.answered.clone());
            let asked = proposal.clone();
            let task = self.tasks.spawn(async move {
                let answer = propose(&tables, &asked).await;
                if answer.is_err() {
                    time::sleep(PROPOSE_AGAIN_AFTER).await;
                }
                let _ = answers.send((asked, answer)).await;
            });
            Proposing { proposal: proposal.clone(), _task: AbortOnDropHandle::new(task) }
        });
    }

    /// While the primary does not answer, the others know first whether it is still one of them.
    fn ask_the_others(&self) {
        let Some(primary) = self.watched_primary() else { return };
        let answers = |node: &Watched| node.view.contact == Contact::Answering;
        if self.nodes.get(&primary).is_some_and(|node| !answers(node)) {
            self.wake_all_but(primary);
        }
    }

    fn wake_all_but(&self, node: NodeAddr) {
        let others = self.nodes.iter().filter(|(address, _)| **address != node);
        others.for_each(|(_, node)| node.wakeup.notify_one());
    }

    /// Keeps the pace of the probes in step with what each node is to us.
    fn set_pace(&self) {
        let important = [self.watched_primary(), self.decision.next];
        let usual = if self.is_calm() { pace(self.nodes.len()) } else { 1 };
        for (address, node) in &self.nodes {
            let well = node.view.contact == Contact::Answering;
            let pace = if well && !important.contains(&Some(*address)) { usual } else { 1 };
            if node.pace.swap(pace, Ordering::Relaxed) > pace {
                node.wakeup.notify_one();
            }
        }
    }

    /// Keeps a connection ready where the next proposal is likely to go.
    fn prepare(&mut self) {
        let next = self.decision.next.filter(|_| self.decision.agreement.pin().is_some());
        let Some(next) = next else { return };
        if self.prepared.as_ref().is_some_and(|(node, _)| *node == next) {
            return;
        }
        let (tables, stop) = (Arc::clone(&self.tables), self.stop.clone());
        let task = self.tasks.spawn(async move {
            stop.run_until_cancelled(tables.prepare(next)).await;
        });
        self.prepared = Some((next, AbortOnDropHandle::new(task)));
    }

    /// Keeps what the other proxies are told in step with what we reach.
    fn advertise(&self) {
        let Decision { primary, next, agreement, .. } = &self.decision;
        let answers = |node: &&Watched| node.view.contact == Contact::Answering;
        let reached = self.nodes.values().filter(answers).map(|node| node.view.address);
        let latest = Advertisement {
            cluster: self.decision.cluster().unwrap_or_default().to_owned(),
            at: primary.or(*next).filter(|_| matches!(agreement, Agreement::Pinned(_))),
            reaches: reached.collect(),
        };
        self.advertisement.send_if_modified(|written| {
            let changed = *written != latest;
            *written = latest;
            changed
        });
    }

    fn decide(&mut self) {
        let views: Vec<_> = self.nodes.values().map(|node| node.view.clone()).collect();
        self.decided = Instant::now();
        let decision = decide(&self.decision, &views, self.policy, self.decided);
        log_changes(&self.decision, &decision);
        self.history.note(&self.decision, &decision, &views);
        let topology = topology(&decision, &views);
        self.decision = decision;
        if let Some(evictions) = &mut self.evictions {
            evictions.pursue(&self.decision, &views, self.decided);
        }
        self.propose();
        self.prepare();
        self.advertise();
        self.set_pace();
        self.topology.send_if_modified(|published| {
            let changed = **published != topology;
            if changed {
                *published = Arc::new(topology);
            }
            changed
        });
    }
}

/// The priority of a node that nobody but Galera names: none is preferred less.
const LAST: u16 = u16::MAX;

/// Outcomes that wait for this task; a prober waits once they are so many.
const PENDING_RESULTS: usize = 64;

/// How often the task decides while something is waited for: by so much may a silent primary outlive its
/// time, and the news that its cluster goes on without it be late.
const TICK: Duration = Duration::from_millis(20);

/// How long to wait after the pin could not be changed.
const PROPOSE_AGAIN_AFTER: Duration = Duration::from_millis(100);

#[cfg(test)]
mod tests;
