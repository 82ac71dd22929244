//! The measuring itself: rounds that visit every target in turn.
//!
//! The machine may have other work, so one long run for each target would compare hours of the day.
//! Here each round gives every target one short turn, and what is compared are turns of the same
//! round: the median over rounds of the difference (or ratio) between two medians of one round.

use std::time::{Duration, Instant};

use hdrhistogram::Histogram;

use crate::client::{Client, Reply, set_statement};
use crate::error::{BenchError, Result};
use crate::schedule;
use crate::stand::{Target, Way};

/// How much is measured.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Plan {
    /// Rounds. Rounded up so that every order of targets comes equally often.
    pub(crate) rounds: usize,
    /// Units in one turn.
    pub(crate) turn: usize,
    /// Units at the start of a turn that do not count.
    pub(crate) warm_up: usize,
    /// The replies that every unit must have, or the run is refused.
    pub(crate) expect: Expect,
}

/// The commands to send.
#[derive(Clone, Debug, Default)]
pub(crate) struct Script {
    /// Sent once on every new connection, not measured.
    pub(crate) at_login: Vec<Vec<u8>>,
    /// Prepared on every new connection, not measured. Executes in units are given its id.
    pub(crate) prepared: Option<Vec<u8>>,
    /// Limits the client to one statement in a command.
    pub(crate) single_statements: bool,
    /// Measured one after the other, across targets, over and over.
    pub(crate) units: Vec<Unit>,
}

/// Commands that are timed as one, each sent after the reply to the one before.
pub(crate) type Unit = Vec<Vec<u8>>;

/// The replies that a unit must have.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Expect {
    /// Results of one unit.
    pub(crate) results: u32,
    /// Rows of one unit.
    pub(crate) rows: u64,
}

/// The times of one target.
#[derive(Debug)]
pub(crate) struct Measured {
    /// Which way.
    pub(crate) way: Way,
    /// Every unit's time, in nanoseconds.
    pub(crate) times: Histogram<u64>,
    /// The median of each round's turn, in nanoseconds.
    pub(crate) turns: Vec<u64>,
    /// CPU time of the program in between, warm-up included.
    pub(crate) cpu: Duration,
    /// Units that this CPU time was for, warm-up included.
    pub(crate) commands: u64,
    /// Bytes of the replies of one unit.
    pub(crate) reply_bytes: u64,
    /// The most memory of the program in between during any turn, in bytes, as the kernel counts it:
    /// no instant is missed.
    pub(crate) peak_memory: u64,
}

impl Plan {
    /// The rounds that there will be for `targets` targets.
    pub(crate) fn rounds_for(&self, targets: usize) -> usize {
        self.rounds.next_multiple_of(schedule::cycle(targets))
    }
}

/// Runs all rounds.
///
/// # Errors
/// At the first connection lost and the first reply that is not as expected.
pub(crate) fn run(
    targets: &[Target],
    plan: &Plan,
    script: &Script,
    mut after_round: impl FnMut(),
) -> Result<Vec<Measured>> {
    let mut measured: Vec<_> = targets.iter().map(|target| Measured::none(target.way)).collect();
    let mut units = script.units.clone();
    let mut sent = 0;
    let mut turn = Vec::with_capacity(plan.turn);
    for round in 0..plan.rounds_for(targets.len()) {
        for index in schedule::order(round, targets.len()) {
            let (target, measured) = (&targets[index], &mut measured[index]);
            // A connection of its own for each turn: no target keeps a lucky or an unlucky one.
            let client = connected(target, script, &mut units)?;
            let coming = units.iter().cycle().skip(sent % units.len().max(1));
            take_turn(target, client, plan, coming, &mut turn, measured)?;
            sent += plan.warm_up + plan.turn;
        }
        after_round();
    }
    Ok(measured)
}

/// A client that is ready to be measured.
fn connected(target: &Target, script: &Script, units: &mut [Unit]) -> Result<Client> {
    let connect = if script.single_statements { Client::connect_single } else { Client::connect };
    let mut client = connect(&target.endpoint)?;
    for command in &script.at_login {
        client.run(command)?;
    }
    if let Some(prepare) = &script.prepared {
        let id = client.prepare(prepare)?;
        for command in units.iter_mut().flatten() {
            set_statement(command, id);
        }
    }
    Ok(client)
}

fn take_turn<'a>(
    target: &Target,
    mut client: Client,
    plan: &Plan,
    mut units: impl Iterator<Item = &'a Unit>,
    turn: &mut Vec<u64>,
    measured: &mut Measured,
) -> Result<()> {
    let cpu = target.process.map(|process| {
        process.forget_peak();
        process.cpu()
    });
    turn.clear();
    for number in 0..plan.warm_up + plan.turn {
        let Some(unit) = units.next() else {
            return Err(BenchError::Refused("no command to send".into()));
        };
        let mut reply = Reply::default();
        let begun = Instant::now();
        for command in unit {
            reply += client.run(command)?;
        }
        let took = begun.elapsed();
        if (reply.results, reply.rows) != (plan.expect.results, plan.expect.rows) {
            let (expected, at) = (plan.expect, &target.endpoint);
            return Err(BenchError::Refused(format!("{at}: {reply:?} instead of {expected:?}")));
        }
        if number >= plan.warm_up {
            turn.push(took.as_nanos() as u64);
        }
        measured.commands += 1;
        measured.reply_bytes = reply.bytes;
    }
    if let (Some(process), Some(before)) = (target.process, cpu) {
        measured.cpu += process.cpu().saturating_sub(before);
        measured.peak_memory = measured.peak_memory.max(process.memory().peak);
    }
    for nanos in turn.iter() {
        measured.times.saturating_record(*nanos);
    }
    turn.sort_unstable();
    measured.turns.extend(turn.get(turn.len() / 2));
    Ok(())
}

impl Measured {
    /// Nothing yet.
    pub(crate) fn none(way: Way) -> Self {
        // Three significant digits up to ten minutes: constant bounds that are always right.
        let times = Histogram::new_with_bounds(1, 600_000_000_000, 3)
            .expect("the bounds are in order and the digits few");
        Self {
            way,
            times,
            turns: Vec::new(),
            cpu: Duration::ZERO,
            commands: 0,
            reply_bytes: 0,
            peak_memory: 0,
        }
    }
}
