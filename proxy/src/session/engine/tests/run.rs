//! A client's program, run by the machine at nodes that are lost on the way.

use std::collections::VecDeque;
use std::fmt::Debug;
use std::fs::OpenOptions;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::Write;
use std::sync::LazyLock;

use tokio::runtime::{Builder, Runtime};

use super::fake_node::{Cluster, Connection, Token};
use super::*;
use crate::session::plan::route::{Route, route};

/// Where a link is lost. Bytes are counted from its login on.
#[derive(Clone, Copy, Debug)]
pub(super) enum Cut {
    /// So many bytes have come from the node, which has done all that it was asked.
    Down(usize),
    /// The node has so many bytes. It does what they say when the next link has so many answers: a
    /// frozen node that goes on later.
    Late { up: usize, answers: usize },
    /// The node has so many bytes, and does what they say. No answer comes.
    Up(usize),
}

/// A session, its client and its nodes.
pub(super) struct Run {
    pub(super) machine: Machine,
    pub(super) cluster: Cluster,
    pub(super) client: Capabilities,
    pub(super) link: Option<Connection>,
    /// How many links there were.
    pub(super) links: u32,
    /// Number of links at which the run fails.
    pub(super) most_links: u32,
    cuts: VecDeque<Cut>,
    /// The link is lost when this statement is done, before its reply.
    lost_after: Option<&'static str>,
    /// Nodes that do later what they were told.
    ghosts: Vec<(Connection, usize)>,
    /// Sizes of the pieces in which bytes come to the machine.
    pieces: (Vec<usize>, usize),
    /// From the client, and not yet at the machine.
    from_client: Vec<u8>,
    input: Vec<u8>,
    /// From the node, and not yet at the machine.
    from_node: Vec<u8>,
    answer: Vec<u8>,
    pub(super) to_client: Vec<u8>,
    /// Bytes to and from the node on this link.
    pub(super) up: usize,
    pub(super) down: usize,
    /// `up` at the end of each request on the first link.
    pub(super) requests: Vec<usize>,
    /// The next link goes to the same node.
    pub(super) same_node: bool,
    /// Nodes are never behind.
    pub(super) eager: bool,
    /// Each node generates other ids.
    pub(super) skewed: bool,
    /// How often a part of the journal was read from disk.
    pub(super) loads: usize,
    /// Capabilities of the links that the client has not.
    pub(super) beyond: Capabilities,
    trace: Trace,
}

impl Run {
    pub(super) fn new(client: Capabilities, cuts: impl IntoIterator<Item = Cut>) -> Self {
        Self {
            machine: machine(client),
            cluster: Cluster::default(),
            client,
            link: None,
            links: 0,
            most_links: MOST_LINKS,
            cuts: cuts.into_iter().collect(),
            lost_after: None,
            ghosts: Vec::new(),
            pieces: (vec![usize::MAX], 0),
            from_client: Vec::new(),
            input: Vec::new(),
            from_node: Vec::new(),
            answer: Vec::new(),
            to_client: Vec::new(),
            up: 0,
            down: 0,
            requests: Vec::new(),
            same_node: false,
            eager: false,
            skewed: false,
            beyond: Capabilities::empty(),
            loads: 0,
            trace: Trace(DefaultHasher::new()),
        }
    }

    /// Bytes come in pieces of these sizes, over and over.
    pub(super) fn in_pieces(mut self, sizes: Vec<usize>) -> Self {
        self.pieces = (sizes, 0);
        self
    }

    /// The node does this statement, and its reply is lost.
    pub(super) fn lose_reply_to(&mut self, sql: &'static str) {
        self.lost_after = Some(sql);
    }

    /// Sends these commands, each after the reply to the one before.
    ///
    /// # Errors
    /// The session cannot go on.
    pub(super) fn all(&mut self, program: &[Vec<u8>]) -> Result<(), Stuck> {
        program.iter().try_for_each(|command| self.command(command))
    }

    /// Sends one command and waits for its reply.
    ///
    /// # Errors
    /// The session cannot go on.
    pub(super) fn command(&mut self, bytes: &[u8]) -> Result<(), Stuck> {
        self.from_client.extend_from_slice(bytes);
        for _ in 0..MOST_STEPS {
            if !self.step()? {
                assert!(self.machine.is_idle(), "stands still: {:#?}", self.machine);
                assert!(self.input.is_empty() && self.from_client.is_empty());
                self.trace.add(&(&self.to_client, &self.cluster.log, self.tally()));
                return Ok(());
            }
        }
        panic!("without end: {:#?}\n{:#?}", self.cluster.log, self.machine)
    }

    /// The link is lost here and now.
    ///
    /// # Errors
    /// The session cannot go on.
    pub(super) fn cut(&mut self) -> Result<(), Stuck> {
        self.link = None;
        self.from_node.clear();
        self.answer.clear();
        let lost = self.machine.link_lost();
        self.trace.add(&(&lost, &self.to_client, &self.cluster.log, self.tally()));
        lost
    }

    /// Does one thing, if there is any to do.
    fn step(&mut self) -> Result<bool, Stuck> {
        if self.link.is_none() && self.machine.wants_link() {
            self.open_link();
        }
        if !self.from_node.is_empty() {
            let len = self.piece().min(self.from_node.len());
            self.answer.extend(self.from_node.drain(..len));
            self.down += len;
            self.take_in()?;
            if let Some(Cut::Down(at)) = self.cuts.front()
                && self.down == *at
            {
                self.cuts.pop_front();
                self.cut()?;
            }
            return Ok(true);
        }
        if self.input.is_empty() || !self.machine.awaits_reply() {
            let len = self.piece().min(self.from_client.len());
            self.input.extend(self.from_client.drain(..len));
        }
        match self.machine.upward(&self.input) {
            Upward::Wait => {}
            Upward::Begin { command, .. } => {
                match route(command, self.link.is_some()) {
                    Route::Drop => self.machine.drop_command(&self.input),
                    Route::Relay => {
                        if self.link.is_none() {
                            self.open_link();
                        }
                        self.machine.begin(command, &self.input, NOON);
                    }
                    other => panic!("not in a program: {other:?}"),
                }
                return Ok(true);
            }
            Upward::Forward(len) => {
                let bytes: Vec<u8> = self.input.drain(..len).collect();
                self.send(&bytes)?;
                return Ok(true);
            }
            Upward::Drop { len, answer } => {
                self.input.drain(..len);
                self.to_client.extend(answer.unwrap_or_default());
                return Ok(true);
            }
        }
        let mut request = Vec::new();
        let sending = self.machine.poll_send(&mut request);
        self.trace.add(&sending);
        match sending {
            Sending::Nothing => return Ok(!self.from_client.is_empty()),
            Sending::Finished(told, _) => self.to_client.extend(told),
            Sending::Journal(cursor) => {
                self.loads += 1;
                wait(self.machine.session.journal.load(&cursor)).expect("it is on disk");
            }
            Sending::Replayed => {}
            Sending::Pause(tries) => assert!(tries > 0),
            Sending::Request => self.send(&request)?,
            Sending::Stuck(stuck) => return Err(stuck),
        }
        Ok(true)
    }

    /// Bytes for the node.
    fn send(&mut self, bytes: &[u8]) -> Result<(), Stuck> {
        self.trace.add(&bytes);
        let link = self.link.as_mut().expect("nothing is sent without a link");
        let cut = match self.cuts.front().copied() {
            Some(Cut::Up(at) | Cut::Late { up: at, .. }) => at,
            _ => usize::MAX,
        };
        let len = bytes.len().min(cut.saturating_sub(self.up));
        link.hear(&bytes[..len]);
        self.up += len;
        if self.up == cut {
            match (self.cuts.pop_front(), self.link.take()) {
                (Some(Cut::Late { answers, .. }), Some(link)) => self.ghosts.push((link, answers)),
                (_, Some(mut link)) => drop(link.work(&mut self.cluster)),
                _ => {}
            }
            return self.cut();
        }
        let answered = link.answered;
        let before = self.cluster.log.len();
        self.from_node.extend(link.work(&mut self.cluster));
        if self
            .lost_after
            .is_some_and(|sql| self.cluster.log[before..].iter().any(|done| done == sql))
        {
            self.lost_after = None;
            return self.cut();
        }
        let link = self.link.as_mut().expect("nothing is sent without a link");
        let answers = link.answered;
        if answers > answered {
            self.wake_ghosts(answers);
        }
        if self.links == 1 {
            self.requests.push(self.up);
        }
        // Lost before the first byte of an answer.
        if let Some(Cut::Down(at)) = self.cuts.front()
            && self.down == *at
            && !self.from_node.is_empty()
        {
            self.cuts.pop_front();
            return self.cut();
        }
        // An answer is not taken in beyond the cut.
        if let Some(Cut::Down(at)) = self.cuts.front() {
            self.from_node.truncate(at - self.down);
        }
        Ok(())
    }

    /// Lets frozen nodes go on once the next link has so many answers. They are no longer connected.
    fn wake_ghosts(&mut self, answers: usize) {
        if std::mem::take(&mut self.cluster.killed) {
            self.ghosts.clear();
        }
        for (ghost, after) in &mut self.ghosts {
            if *after <= answers {
                ghost.work(&mut self.cluster);
            }
        }
        self.ghosts.retain(|(_, after)| *after > answers);
    }

    /// Counts of events on ways back.
    pub(super) fn tally(&self) -> Tally {
        self.machine.session.tally
    }

    /// Every frozen node goes on.
    pub(super) fn thaw(&mut self) {
        self.wake_ghosts(usize::MAX);
    }

    fn take_in(&mut self) -> Result<(), Stuck> {
        let down = self.machine.downward(&self.answer).expect("a reply that can be followed");
        self.trace.add(&down);
        let taken: Vec<u8> = self.answer.drain(..down.taken).collect();
        self.to_client.extend(down.edited.unwrap_or(taken));
        match (down.stuck, down.lost) {
            (Some(stuck), _) => Err(stuck),
            (None, Some(_)) => self.cut(),
            (None, None) => Ok(()),
        }
    }

    fn open_link(&mut self) {
        self.links += 1;
        assert!(self.links < self.most_links, "from link to link: {:#?}", self.cluster.log);
        (self.up, self.down) = (0, 0);
        let mut facts = facts(self.client | self.beyond);
        facts.ghost = (self.same_node && self.links > 1).then_some(self.links - 1);
        let mut link = Connection::new(&self.cluster, facts.capabilities, self.links);
        if self.eager {
            link = link.eager();
        }
        if self.skewed {
            link.skew = 1000 * u64::from(self.links);
        }
        self.machine.link_up(facts);
        self.link = Some(link);
    }

    fn piece(&mut self) -> usize {
        let (sizes, at) = &mut self.pieces;
        *at += 1;
        let cut = match self.cuts.front() {
            Some(Cut::Down(cut)) => cut.saturating_sub(self.down).max(1),
            _ => usize::MAX,
        };
        sizes[*at % sizes.len()].min(cut)
    }
}

/// Every byte and decision of a run. At its end, they become a line of the file that `ENGINE_TRACE` names: equal lines
/// are equal runs. `docs/debugging.md` says how two engines are compared.
struct Trace(DefaultHasher);

impl Trace {
    fn add(&mut self, what: &dyn Debug) {
        format!("{what:?}").hash(&mut self.0);
    }
}

impl Drop for Trace {
    fn drop(&mut self) {
        let Some(path) = std::env::var_os("ENGINE_TRACE") else { return };
        let file = OpenOptions::new().create(true).append(true).open(path);
        let line = format!("{:016x}\n", self.0.finish());
        file.and_then(|mut file| file.write_all(line.as_bytes())).expect("room for a trace");
    }
}

/// Waits for what another thread does.
pub(super) fn wait<T>(work: impl Future<Output = T>) -> T {
    // One for all, since work on a chunk that is not done ends with its runtime.
    static RUNTIME: LazyLock<Runtime> =
        LazyLock::new(|| Builder::new_current_thread().build().expect("a runtime"));
    RUNTIME.block_on(work)
}

/// Replies to a client that is connected to a node itself, and the rows in the table then.
pub(super) fn direct(program: &[Vec<u8>], client: Capabilities) -> (Vec<u8>, Vec<Token>) {
    let mut cluster = Cluster::default();
    let mut connection = Connection::new(&cluster, client, 1);
    let mut told = Vec::new();
    for command in program {
        connection.hear(command);
        told.extend(connection.work(&mut cluster));
    }
    (told, cluster.tokens())
}

/// When the commands come, in microseconds since 1970.
const NOON: u64 = 1_700_000_000_123_456;

/// More than any program here takes, pieces of one byte included.
const MOST_STEPS: usize = 20_000;

const MOST_LINKS: u32 = 20;
