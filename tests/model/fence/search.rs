//! Visits every state that can be reached, nearest first.

use std::collections::HashMap;
use std::fmt;
use std::hash::{BuildHasherDefault, Hasher};

use super::laws::{Broken, broken};
use super::rules::Rules;
use super::scope::Scope;
use super::step::{Step, Successors};
use super::world::World;
use super::{cluster, server, session};

/// Result of a search.
pub(crate) enum Verdict {
    /// Every state keeps every law, and from each the client gets all its answers without another fault
    /// and without a repair.
    Sound,
    /// The shortest way to a state that breaks a law.
    Breaks(Broken, Trace),
    /// The shortest way to a state from which the client never gets all its answers.
    Stuck(Trace),
}

/// The steps that lead to a state.
pub(crate) struct Trace(Vec<Step>);

impl fmt::Display for Trace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, step) in self.0.iter().enumerate() {
            writeln!(f, "{:>3}  {step}", number + 1)?;
        }
        Ok(())
    }
}

/// Searches, and says how many states there were.
pub(crate) fn search(rules: &Rules, scope: Scope) -> (usize, Verdict) {
    let mut search = Search::default();
    let verdict = search.run(rules, scope);
    (search.states.len(), verdict)
}

#[derive(Default)]
struct Search {
    /// Each state, in the order of discovery.
    states: Vec<World>,
    /// The number of each state.
    numbers: HashMap<World, u32, BuildHasherDefault<Mix>>,
    /// How each state but the first was reached first.
    came: Vec<Option<(u32, Step)>>,
    /// From which state to which one can go without fault or repair.
    work: Vec<(u32, u32)>,
}

impl Search {
    fn run(&mut self, rules: &Rules, scope: Scope) -> Verdict {
        let mut successors = Successors::new();
        self.meet(World::at_start(scope.faults), None);
        let mut next = 0;
        while let Some(&world) = self.states.get(next as usize) {
            if let Some(law) = broken(&world).filter(|&law| Some(law) != scope.without) {
                return Verdict::Breaks(law, self.trace(next));
            }
            cluster::steps(&world, &mut successors);
            server::steps(&world, rules, scope, &mut successors);
            session::steps(&world, rules, scope, &mut successors);
            for (step, mut to) in successors.drain() {
                server::tidy(&mut to, rules);
                let to = self.meet(to, Some((next, step)));
                if step.is_work() {
                    self.work.push((next, to));
                }
            }
            next += 1;
        }
        self.first_stuck(scope).map_or(Verdict::Sound, |at| Verdict::Stuck(self.trace(at)))
    }

    /// The number of a state, which is a new one if it was never met.
    fn meet(&mut self, world: World, came: Option<(u32, Step)>) -> u32 {
        *self.numbers.entry(world).or_insert_with(|| {
            self.states.push(world);
            self.came.push(came);
            u32::try_from(self.states.len() - 1).expect("no memory holds that many states")
        })
    }

    fn trace(&self, mut at: u32) -> Trace {
        let mut steps = Vec::new();
        while let Some((from, step)) = self.came[at as usize] {
            steps.push(step);
            at = from;
        }
        steps.reverse();
        Trace(steps)
    }

    /// Goes backwards from the states in which the client has all its answers. What is not met is stuck.
    fn first_stuck(&self, scope: Scope) -> Option<u32> {
        let before = Predecessors::of(self.states.len(), &self.work);
        let mut ends: Vec<bool> =
            self.states.iter().map(|world| session::is_done(world, scope)).collect();
        let mut open: Vec<u32> =
            (0..).zip(&ends).filter(|(_, ends)| **ends).map(|(i, _)| i).collect();
        while let Some(at) = open.pop() {
            for &from in before.of_state(at) {
                if !ends[from as usize] {
                    ends[from as usize] = true;
                    open.push(from);
                }
            }
        }
        (0..).zip(ends).find(|(_, ends)| !ends).map(|(at, _)| at)
    }
}

/// For each state, those that lead to it.
struct Predecessors {
    /// Where each state's part of `all` begins, and the last one ends.
    starts: Vec<u32>,
    all: Vec<u32>,
}

impl Predecessors {
    fn of(states: usize, edges: &[(u32, u32)]) -> Self {
        let mut starts = vec![0; states + 1];
        for &(_, to) in edges {
            starts[to as usize] += 1;
        }
        let mut sum = 0;
        for start in &mut starts {
            sum += *start;
            *start = sum;
        }
        let mut all = vec![0; edges.len()];
        for &(from, to) in edges {
            starts[to as usize] -= 1;
            all[starts[to as usize] as usize] = from;
        }
        Self { starts, all }
    }

    fn of_state(&self, at: u32) -> &[u32] {
        &self.all[self.starts[at as usize] as usize..self.starts[at as usize + 1] as usize]
    }
}

/// A hash that is good enough for small numbers and, unlike the default one, fast without optimization.
#[derive(Default)]
struct Mix(u64);

impl Mix {
    fn mix(&mut self, value: u64) {
        self.0 = (self.0.rotate_left(5) ^ value).wrapping_mul(0x517c_c1b7_2722_0a95);
    }
}

impl Hasher for Mix {
    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|&byte| self.mix(u64::from(byte)));
    }

    fn write_u8(&mut self, value: u8) {
        self.mix(u64::from(value));
    }

    fn write_usize(&mut self, value: usize) {
        self.mix(value as u64);
    }

    fn write_isize(&mut self, value: isize) {
        self.mix(value.unsigned_abs() as u64);
    }

    fn finish(&self) -> u64 {
        self.0.rotate_left(26)
    }
}
