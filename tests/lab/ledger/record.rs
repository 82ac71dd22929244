//! Record of the replies to one writer.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use super::{Effect, SLOTS};

/// Record of the replies to a writer's statements.
#[derive(Clone, Debug)]
pub struct Record {
    /// The writer's number.
    pub writer: u32,
    /// Effects that must stand: everything that was acknowledged.
    pub acknowledged: Standing,
    /// Effects that were sent and not acknowledged: at the end of a writer that met no error, none.
    pub in_flight: Vec<(Effect, Option<u64>)>,
    /// Whether `in_flight` may stand: its COMMIT was sent, and no reply denied it.
    pub in_doubt: bool,
    /// How many transactions were acknowledged.
    pub commits: u64,
    /// The longest time from one acknowledgement to the next.
    pub longest_pause: Duration,
    /// Replies without error that said something wrong.
    pub oddities: Vec<String>,
    /// The error that ended the writer.
    pub error: Option<String>,
    last_news: Instant,
}

/// The rows of one writer as they should be.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Standing {
    /// Rows of history: token to id, where it was told.
    pub history: HashMap<u64, Option<u64>>,
    /// Rows of status.
    pub slots: Vec<Slot>,
    /// The token of the one row of program status, and its id where it was told.
    pub program: Option<(u64, Option<u64>)>,
    /// The counter.
    pub counter: u64,
}

/// One row of status.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Slot {
    /// The token last written to it.
    pub token: u64,
    /// How many updates it had.
    pub updates: u64,
}

impl Record {
    /// The record of a writer that has not begun.
    pub fn new(writer: u32) -> Self {
        Self {
            writer,
            acknowledged: Standing {
                slots: vec![Slot::default(); SLOTS as usize],
                program: Some((0, None)),
                ..Standing::default()
            },
            in_flight: Vec::new(),
            in_doubt: false,
            commits: 0,
            longest_pause: Duration::ZERO,
            oddities: Vec::new(),
            error: None,
            last_news: Instant::now(),
        }
    }

    /// These are about to be sent.
    pub fn sends(&mut self, effects: &[Effect]) {
        self.in_flight = effects.iter().map(|effect| (*effect, None)).collect();
        self.in_doubt = false;
    }

    /// Statement `index` of those in flight was answered so.
    pub fn hears(&mut self, index: usize, affected: u64, id: Option<u64>) {
        let Some((effect, told)) = self.in_flight.get_mut(index) else { return };
        *told = id;
        let expected = effect.tells_id();
        if affected != 1 {
            self.oddities.push(format!("{effect:?} told of {affected} rows, not 1"));
        } else if id.is_some() != expected {
            self.oddities.push(format!("{effect:?} told the id {id:?}"));
        }
    }

    /// The COMMIT of what is in flight is about to be sent.
    pub fn commits(&mut self) {
        self.in_doubt = true;
    }

    /// Moves the effects in flight to those that were acknowledged.
    pub fn acknowledges(&mut self) {
        for (effect, id) in std::mem::take(&mut self.in_flight) {
            self.acknowledged.apply(effect, id);
        }
        self.in_doubt = false;
        self.commits += 1;
        self.longest_pause = self.longest_pause.max(self.last_news.elapsed());
        self.last_news = Instant::now();
    }

    /// An error ended it. `denied`: a reply said that what is in flight does not stand.
    pub fn fails(&mut self, error: String, denied: bool) {
        self.in_doubt &= !denied;
        self.error = Some(error);
    }

    /// Everything that may be the truth: what was acknowledged, and the same with what is in doubt.
    pub(super) fn hypotheses(&self) -> Vec<Standing> {
        let mut hypotheses = vec![self.acknowledged.clone()];
        if self.in_doubt {
            let mut standing = self.acknowledged.clone();
            for (effect, id) in &self.in_flight {
                standing.apply(*effect, *id);
            }
            hypotheses.push(standing);
        }
        hypotheses
    }
}

impl Standing {
    /// Does what the statement does.
    fn apply(&mut self, effect: Effect, id: Option<u64>) {
        match effect {
            Effect::History(token) => {
                self.history.insert(token, id);
            }
            Effect::Status { slot, token } => {
                if let Some(slot) = self.slots.get_mut(slot as usize) {
                    *slot = Slot { token, updates: slot.updates + 1 };
                }
            }
            Effect::Touch { .. } => {}
            Effect::Clear => self.program = None,
            Effect::Program(token) => self.program = Some((token, id)),
            Effect::Count => self.counter += 1,
        }
    }
}
