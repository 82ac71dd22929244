//! Proxies, nodes and a pin between them, in networks that break in every way, played by a seed.
//!
//! Simulated is what [`decide`] is told and what becomes of its proposals; all the rest is rough.

use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};

use super::*;
use crate::cluster::model::pin::Reading;

const STEP: Duration = Duration::from_millis(100);

struct Node {
    runs: bool,
    frozen: bool,
    /// Nodes of one number hear each other.
    group: usize,
    /// The pin as far as it is applied here.
    pin: Option<Pin>,
}

struct Proxy {
    decision: Decision,
    views: Vec<NodeView>,
    /// Which nodes it reaches.
    reaches: Vec<bool>,
    /// When each node was last not at its service.
    missed: Vec<Instant>,
    asked: Option<(Proposal, u32)>,
}

struct World {
    random: StdRng,
    now: Instant,
    nodes: Vec<Node>,
    /// The members of the primary component.
    members: Vec<usize>,
    view_id: u64,
    pin: Option<Pin>,
    changes: Vec<Instant>,
    proxies: Vec<Proxy>,
    /// The last row of each proxy about the nodes that the proxy reaches.
    said: BTreeMap<usize, Row>,
    talks: bool,
    epochs: BTreeMap<u64, NodeAddr>,
}

impl World {
    fn new(seed: u64) -> Self {
        let mut random = StdRng::seed_from_u64(seed);
        let (nodes, proxies) = (random.random_range(3..=5), random.random_range(2..=5));
        let now = Instant::now();
        let node = |_| Node { runs: true, frozen: false, group: 0, pin: None };
        Self {
            random,
            now,
            nodes: (0..nodes).map(node).collect(),
            members: (0..nodes).collect(),
            view_id: 1,
            pin: None,
            changes: Vec::new(),
            proxies: (0..proxies).map(|_| Proxy::new(nodes, now)).collect(),
            said: BTreeMap::new(),
            talks: true,
            epochs: BTreeMap::new(),
        }
    }

    fn play(&mut self, time: Duration, faults: bool) {
        let end = self.now + time;
        while self.now < end {
            self.now += STEP;
            if faults && self.random.random_bool(0.05) {
                self.strike();
            }
            self.form();
            for proxy in 0..self.proxies.len() {
                self.act(proxy);
            }
        }
    }

    fn strike(&mut self) {
        let node = self.random.random_range(0..self.nodes.len());
        let proxy = self.random.random_range(0..self.proxies.len());
        match self.random.random_range(0..6) {
            0 => self.nodes[node].runs ^= true,
            1 => self.nodes[node].frozen ^= true,
            2 => self.nodes[node].group = self.random.random_range(0..2),
            3 => self.nodes.iter_mut().for_each(|node| node.group = 0),
            4 => self.proxies[proxy].reaches[node] ^= true,
            _ => self.proxies[proxy] = Proxy::new(self.nodes.len(), self.now),
        }
    }

    fn heal(&mut self) {
        for node in &mut self.nodes {
            (node.runs, node.frozen, node.group) = (true, false, 0);
        }
        self.proxies.iter_mut().for_each(|proxy| proxy.reaches.fill(true));
    }

    /// A majority of the last primary component goes on as the next one, and those who hear it join.
    fn form(&mut self) {
        let works = |node: &usize| self.nodes[*node].runs && !self.nodes[*node].frozen;
        let formed = (0..self.nodes.len()).find_map(|group| {
            let heard = |node: &usize| works(node) && self.nodes[*node].group == group;
            let left = self.members.iter().filter(|node| heard(node)).count();
            let all = (0..self.nodes.len()).filter(heard);
            (left * 2 > self.members.len()).then(|| all.collect::<Vec<_>>())
        });
        // Where there is none, whoever is there waits for the others, and goes on with all of them.
        let all: Vec<_> = (0..self.nodes.len()).collect();
        let formed = formed.or_else(|| all.iter().all(works).then_some(all));
        if let Some(members) = formed
            && members != self.members
        {
            self.members = members;
            self.view_id += 1;
        }
        for member in self.members.clone() {
            if self.random.random_bool(0.7) && self.is_primary(member) {
                self.nodes[member].pin.clone_from(&self.pin);
            }
        }
    }

    /// Whether it can commit.
    fn is_primary(&self, node: usize) -> bool {
        let works = |node: usize| self.nodes[node].runs && !self.nodes[node].frozen;
        let together =
            |other: &&usize| works(**other) && self.nodes[**other].group == self.nodes[node].group;
        works(node)
            && self.members.contains(&node)
            && self.members.iter().filter(together).count() * 2 > self.members.len()
    }

    fn act(&mut self, number: usize) {
        for node in 0..self.nodes.len() {
            let asked = self.proxies[number].views[node].asked;
            let due = asked.is_none_or(|asked| self.now - asked >= Duration::from_secs(1));
            if due || self.random.random_bool(0.2) {
                let outcome = self.probe(number, node);
                self.proxies[number].views[node].observe(outcome, self.now);
            }
            if !self.proxies[number].reaches[node] || !self.is_primary(node) {
                self.proxies[number].missed[node] = self.now;
            }
        }
        self.answer(number);
        if self.talks && self.random.random_bool(0.06) {
            self.talk(number);
        }
        let proxy = &mut self.proxies[number];
        proxy.decision = decide(&proxy.decision, &proxy.views, POLICY, self.now);
        let decision = &proxy.decision;
        if let (Some(primary), Some(pin)) = (decision.primary, decision.agreement.pin()) {
            assert_eq!(primary, pin.node, "writes go to the pinned node or nowhere");
            let first = *self.epochs.entry(pin.epoch).or_insert(primary);
            assert_eq!(primary, first, "two primaries in epoch {}", pin.epoch);
        }
        let asked = proxy.asked.as_ref().map(|(proposal, _)| proposal);
        if asked != decision.proposal.as_ref() {
            let steps = self.random.random_range(1..4);
            proxy.asked = decision.proposal.clone().map(|proposal| (proposal, steps));
        }
    }

    fn probe(&self, proxy: usize, node: usize) -> Outcome {
        let Node { runs, frozen, pin, .. } = &self.nodes[node];
        if !self.proxies[proxy].reaches[node] || *frozen {
            return Outcome::Silent;
        }
        if !runs {
            return Outcome::Lost(Loss::Refused);
        }
        let mut view = synced(node as u8 + 1);
        let report = said(&mut view);
        let primary = self.is_primary(node);
        report.pin = match pin {
            _ if !primary => Reading::Unread,
            Some(pin) => Reading::Set(pin.clone()),
            None => Reading::Unset,
        };
        if let Some(galera) = &mut report.galera {
            galera.primary_component = primary;
            galera.ready = primary;
            galera.view_id = primary.then_some(self.view_id);
            galera.members = self.members.iter().map(|node| address(*node as u8 + 1)).collect();
        }
        Outcome::Answer(view.report.unwrap_or_default())
    }

    /// Says what it reaches, and hears the others, where somebody can commit.
    fn talk(&mut self, number: usize) {
        let Proxy { reaches, views, .. } = &self.proxies[number];
        if !(0..self.nodes.len()).any(|node| reaches[node] && self.is_primary(node)) {
            return;
        }
        let answers = |view: &&NodeView| view.contact == Contact::Answering;
        let reaches = views.iter().filter(answers).map(|view| view.address).collect();
        let beat = self.said.get(&number).map_or(1, |row| row.beat + 1);
        self.said.insert(number, Row { name: number.to_string(), reaches, beat });
        let others = self.said.iter().filter(|(other, _)| **other != number);
        let others = others.map(|(_, row)| row.clone()).collect();
        self.proxies[number].decision.take_peers(others, self.now);
    }

    /// Plays the node that a proposal was sent to.
    fn answer(&mut self, number: usize) {
        let Some((proposal, steps)) = self.proxies[number].asked.take() else { return };
        let node = (0..self.nodes.len()).find(|node| address(*node as u8 + 1) == proposal.node);
        let node = node.expect("one of the nodes");
        if steps > 0 || !self.proxies[number].reaches[node] || !self.is_primary(node) {
            self.proxies[number].asked = Some((proposal, steps.saturating_sub(1)));
            return;
        }
        if self.pin.as_ref().map(|pin| pin.epoch) == proposal.expected {
            self.must_have_a_reason(number, &proposal);
            let epoch = proposal.expected.unwrap_or_default() + 1;
            let (reason, by) = (proposal.cause.to_string(), number.to_string());
            let drained = BTreeSet::new();
            self.pin = Some(Pin { node: proposal.node, epoch, reason, by, drained });
            self.changes.push(self.now);
        }
        self.nodes[node].pin.clone_from(&self.pin);
        if let Some(pin) = self.pin.clone() {
            self.proxies[number].decision.learn(pin, self.now);
        }
    }

    /// The pinned node has failed whoever moves the pin, not long ago.
    fn must_have_a_reason(&self, proxy: usize, proposal: &Proposal) {
        let Some(pin) = &self.pin else { return };
        let left = (0..self.nodes.len()).find(|node| address(*node as u8 + 1) == pin.node);
        let missed = self.proxies[proxy].missed[left.expect("one of the nodes")];
        let ago = self.now - missed;
        assert!(ago < Duration::from_secs(10), "{proposal:?}, which was well for {ago:?}");
    }
}

impl Proxy {
    fn new(nodes: usize, now: Instant) -> Self {
        Self {
            decision: Decision::default(),
            views: (0..nodes).map(|node| NodeView::new(address(node as u8 + 1), 0)).collect(),
            reaches: vec![true; nodes],
            missed: vec![now; nodes],
            asked: None,
        }
    }
}

/// How many worlds are played; more in the time you have, by `IDO_PROXY_SEEDS`.
fn seeds() -> u64 {
    let seeds = std::env::var("IDO_PROXY_SEEDS").ok();
    seeds.and_then(|seeds| seeds.parse().ok()).unwrap_or(200)
}

/// Two nodes would be written to at once, or writes would wander, or nobody would be served though all is
/// well again.
#[test]
fn proxies_agree_whatever_breaks() {
    for seed in 0..seeds() {
        let mut world = World::new(seed);
        world.play(Duration::from_secs(60), true);
        world.heal();
        world.play(Duration::from_secs(15), false);
        let changes = world.changes.len();
        let agreed = world.pin.as_ref().map(|pin| pin.node);
        for step in 0..10 {
            world.play(Duration::from_secs(2), false);
            for proxy in &world.proxies {
                let primary = proxy.decision.primary;
                assert!(agreed.is_some() && primary == agreed, "seed {seed}, {step}: {primary:?}");
            }
        }
        assert_eq!(world.changes.len(), changes, "seed {seed}: a move although all is well");
    }
}

/// Each would take the pin from the other every few seconds, and everybody would move each time.
#[test]
fn proxies_that_reach_different_nodes_do_not_take_the_pin_from_each_other() {
    for talk in [true, false] {
        let mut world = parted(talk, |number, node| node == number);
        world.play(Duration::from_secs(600), false);
        let changes = world.changes.len();
        assert!(
            changes <= if talk { 1 } else { 8 },
            "talk {talk}: {changes} changes in ten minutes"
        );
    }
}

/// The pin would move once for each node that one of them cannot go to.
#[test]
fn proxies_that_reach_one_node_in_common_meet_there_at_once() {
    let mut world = parted(true, |number, node| node == number || node == 2);
    world.play(Duration::from_secs(60), false);
    assert_eq!(world.pin.as_ref().map(|pin| pin.node), Some(address(3)));
    assert_eq!(world.changes.len(), 1);
}

/// Two proxies that went by the pin for a while, and know what the other reaches now, if they `talk`.
fn parted(talk: bool, reaches: impl Fn(usize, usize) -> bool) -> World {
    let mut world = World::new(7);
    world.proxies.truncate(2);
    world.play(Duration::from_secs(30), false);
    assert_eq!(world.pin.as_ref().map(|pin| pin.node), Some(address(1)));
    for (number, proxy) in world.proxies.iter_mut().enumerate() {
        for (node, reach) in proxy.reaches.iter_mut().enumerate() {
            // The pinned node comes last, when the rest is known.
            *reach = reaches(number, node) || node == 0;
        }
    }
    world.play(Duration::from_secs(30), false);
    world.changes.clear();
    world.proxies[1].reaches[0] = reaches(1, 0);
    if !talk {
        world.proxies.iter_mut().for_each(|proxy| proxy.decision.peers = Peers::default());
    }
    world.talks = talk;
    world
}
