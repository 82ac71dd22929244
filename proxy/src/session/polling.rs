//! Whether to go on looking for a peer's bytes for a moment, or to sleep at once.
//!
//! To put a thread to sleep and to wake it again takes 5 to 60 µs, by the machine: more than all else that
//! the proxy does with a small command, and longer than many a peer takes to answer. So a session whose
//! peer has answered soon of late looks again and again for a moment before it sleeps, as Linux does for
//! the processors of virtual machines ([halt polling](https://docs.kernel.org/virt/kvm/halt-polling.html)).
//!
//! What that costs is bounded: a moment for each wait, and only while most waits are shorter than that;
//! an idle session sleeps. Between two looks the core is offered to whoever else wants it. If somebody
//! takes it for longer, then sleeping is the better way to get it back, since the kernel lets who has slept
//! go first.

use std::time::{Duration, Instant};

/// For what a session waits.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Awaited {
    /// The client's next command.
    Command,
    /// The node's reply to what goes out now.
    Reply,
    /// More of a reply that has begun: most of the time it comes in large pieces, or nobody is told of it before its end.
    Rest,
}

/// What a session knows of its waits.
#[derive(Debug, Default)]
pub(super) struct Polling {
    commands: Habit,
    replies: Habit,
    /// Somebody else wants the core: until then every wait is slept through.
    rests_until: Option<Instant>,
}

/// One wait, from its beginning to its end.
#[derive(Debug)]
pub(super) struct Wait {
    awaited: Awaited,
    began: Instant,
    looked: Instant,
    polls: bool,
    crowded: bool,
}

impl Polling {
    /// A wait begins.
    pub(super) fn begin(&mut self, awaited: Awaited, now: Instant) -> Wait {
        self.rests_until = self.rests_until.filter(|until| now < *until);
        let short = self.habit(awaited).is_some_and(|habit| habit.is_short());
        let polls = self.rests_until.is_none() && short;
        Wait { awaited, began: now, looked: now, polls, crowded: false }
    }

    /// A wait is over.
    pub(super) fn end(&mut self, wait: &Wait, now: Instant) {
        if wait.crowded {
            self.rests_until = Some(now + REST);
        }
        if let Some(habit) = self.habit(wait.awaited) {
            habit.learn(now.duration_since(wait.began));
        }
    }

    fn habit(&mut self, awaited: Awaited) -> Option<&mut Habit> {
        match awaited {
            Awaited::Command => Some(&mut self.commands),
            Awaited::Reply => Some(&mut self.replies),
            Awaited::Rest => None,
        }
    }
}

impl Wait {
    /// Whether to look once more before sleeping.
    pub(super) fn looks_again(&mut self, now: Instant) -> bool {
        if !self.polls {
            return false;
        }
        self.crowded |= now.duration_since(self.looked) >= MOMENT;
        self.looked = now;
        self.polls = !self.crowded && now.duration_since(self.began) < MOMENT;
        self.polls
    }
}

/// How long the waits for the same have been of late.
#[derive(Debug, Default)]
struct Habit {
    short: u8,
}

impl Habit {
    /// Whether the next one is likely to be short.
    fn is_short(&self) -> bool {
        self.short >= LIKELY
    }

    fn learn(&mut self, took: Duration) {
        self.short = if took < MOMENT { (self.short + 1).min(CERTAIN) } else { self.short / 2 };
    }
}

/// How long to look before sleeping.
const MOMENT: Duration = Duration::from_micros(200);

/// How long to leave it be once another program has wanted the core.
const REST: Duration = Duration::from_millis(250);

/// After so many short waits the next one is taken to be short.
const LIKELY: u8 = 2;

/// More short waits than this are not remembered: one long wait in four changes nothing, one in two ends the polling.
const CERTAIN: u8 = 8;

#[cfg(test)]
mod tests {
    use super::*;

    const SHORT: Duration = Duration::from_micros(20);
    const LONG: Duration = Duration::from_millis(3);

    /// Waits for the node for `took`, looking every microsecond, and returns for how long it looked.
    fn wait(polling: &mut Polling, now: &mut Instant, took: Duration) -> Duration {
        let began = *now;
        let mut wait = polling.begin(Awaited::Reply, began);
        while now.duration_since(began) < took && wait.looks_again(*now) {
            *now += Duration::from_micros(1);
        }
        let looked = now.duration_since(began);
        *now = began + took;
        polling.end(&wait, *now);
        looked
    }

    /// An idle session would burn a core.
    #[test]
    fn nobody_polls_who_has_not_been_answered_soon() {
        let (mut polling, mut now) = (Polling::default(), Instant::now());
        for _ in 0..100 {
            assert_eq!(wait(&mut polling, &mut now, LONG), Duration::ZERO);
        }
    }

    /// Each command would be as slow as if the thread slept.
    #[test]
    fn who_is_answered_soon_polls_to_the_answer() {
        let (mut polling, mut now) = (Polling::default(), Instant::now());
        for _ in 0..LIKELY {
            assert_eq!(wait(&mut polling, &mut now, SHORT), Duration::ZERO);
        }
        for _ in 0..100 {
            assert_eq!(wait(&mut polling, &mut now, SHORT), SHORT);
        }
    }

    /// A COMMIT takes a round trip to the other nodes, and stands behind many statements that do not.
    #[test]
    fn a_long_wait_now_and_then_changes_nothing_and_costs_a_moment() {
        let (mut polling, mut now) = (Polling::default(), Instant::now());
        for _ in 0..CERTAIN {
            wait(&mut polling, &mut now, SHORT);
        }
        for _ in 0..100 {
            assert_eq!(wait(&mut polling, &mut now, LONG), MOMENT);
            for _ in 0..3 {
                assert_eq!(wait(&mut polling, &mut now, SHORT), SHORT);
            }
        }
    }

    /// Icinga would cost its master a core for as long as the primary is slow.
    #[test]
    fn a_node_that_became_slow_is_polled_a_few_times_more() {
        let (mut polling, mut now) = (Polling::default(), Instant::now());
        for _ in 0..100 {
            wait(&mut polling, &mut now, SHORT);
        }
        let looked: Duration = (0..100).map(|_| wait(&mut polling, &mut now, LONG)).sum();
        assert_eq!(looked, MOMENT * 3);
    }

    /// A client that thinks long between its commands would have their answers come slowly too.
    #[test]
    fn a_client_is_waited_for_as_it_is_used_to() {
        let (mut polling, mut now) = (Polling::default(), Instant::now());
        for _ in 0..100 {
            let thinking = polling.begin(Awaited::Command, now);
            now += LONG;
            polling.end(&thinking, now);
            wait(&mut polling, &mut now, SHORT);
        }
        assert!(!polling.begin(Awaited::Command, now).looks_again(now));
        assert!(polling.begin(Awaited::Reply, now).looks_again(now));
    }

    /// A batch of Icinga comes back in 250 parts, each soon after the one before: nothing is gained by any.
    #[test]
    fn the_rest_of_a_reply_is_slept_for_and_teaches_nothing() {
        let (mut polling, mut now) = (Polling::default(), Instant::now());
        for _ in 0..100 {
            let mut rest = polling.begin(Awaited::Rest, now);
            assert!(!rest.looks_again(now));
            now += SHORT;
            polling.end(&rest, now);
        }
        assert_eq!(wait(&mut polling, &mut now, SHORT), Duration::ZERO);
    }

    /// Beside a busy program each look would cost its whole share of the core, milliseconds.
    #[test]
    fn who_lost_the_core_sleeps_for_a_while() {
        let (mut polling, mut now) = (Polling::default(), Instant::now());
        for _ in 0..CERTAIN {
            wait(&mut polling, &mut now, SHORT);
        }
        let mut crowded = polling.begin(Awaited::Reply, now);
        assert!(crowded.looks_again(now));
        now += LONG;
        assert!(!crowded.looks_again(now), "somebody else had the core");
        polling.end(&crowded, now);
        let rested = now;
        while now.duration_since(rested) + SHORT < REST {
            assert_eq!(wait(&mut polling, &mut now, SHORT), Duration::ZERO);
        }
        wait(&mut polling, &mut now, SHORT);
        assert_eq!(wait(&mut polling, &mut now, SHORT), SHORT);
    }
}
