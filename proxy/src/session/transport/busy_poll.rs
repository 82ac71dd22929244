//! Whether to go on looking for a peer's bytes for a moment, or to sleep at once.
//!
//! To put a thread to sleep and to wake it again takes 5 to 60 µs, by the machine: more than all else that
//! the proxy does with a small command, and longer than many a peer takes to answer. So a session whose
//! peer has answered soon of late looks again and again for a moment before it sleeps, as Linux does for
//! the processors of virtual machines ([halt polling](https://docs.kernel.org/virt/kvm/halt-polling.html)).
//!
//! What that costs is bounded: a moment for each wait, and only while most waits are shorter than that;
//! an idle session sleeps. One session of a worker looks at a time, which finds the bytes of the others
//! too. Between two looks the core is offered to whoever else wants it. If somebody takes it for longer,
//! then sleeping is the better way to get it back, since the kernel lets who has slept go first. That may have been
//! for once, as on a virtual machine whose host is busy; so the rest is short at first, and longer each time that
//! there has been little looking in between.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// For what a session waits.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(in crate::session) enum Awaited {
    /// The client's next command, or more of it.
    Command,
    /// The node's reply to what goes out now.
    Reply,
    /// Anything else, such as more of a reply: most of the time that comes in large pieces, or several replies at once.
    Rest,
}

/// Turn to look, among all sessions of a worker. The lock is never contended: one thread uses it.
#[derive(Debug, Default)]
pub(crate) struct PollSlot {
    post: Mutex<Post>,
}

#[derive(Debug, Default)]
struct Post {
    taken: bool,
    /// The core is wanted otherwise: until then every wait is slept through.
    rests_until: Option<Instant>,
    /// How long that rest is.
    rest: Duration,
    /// For how long was looked since the rest before.
    looked_for: Duration,
}

/// Experience of a session with its waits.
#[derive(Debug)]
pub(in crate::session) struct Polling {
    poll_slot: Arc<PollSlot>,
    commands: Habit,
    replies: Habit,
}

/// One wait, from its beginning to its end.
#[derive(Debug)]
pub(in crate::session) struct Wait {
    awaited: Awaited,
    began: Instant,
    looked: Instant,
    /// Held while it looks.
    post: Option<OnPost>,
}

/// Nobody else looks until this is dropped.
#[derive(Debug)]
struct OnPost(Arc<PollSlot>);

impl PollSlot {
    /// Lets one session look, unless the core is wanted otherwise.
    fn take(self: &Arc<Self>, now: Instant) -> Option<OnPost> {
        let mut post = self.lock();
        let rests = post.rests_until.is_some_and(|until| now < until);
        if rests || post.taken {
            return None;
        }
        post.taken = true;
        Some(OnPost(Arc::clone(self)))
    }

    fn lock(&self) -> MutexGuard<'_, Post> {
        self.post.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Post {
    /// Somebody else had the core.
    fn leave(&mut self, now: Instant) {
        let again = self.looked_for < ENOUGH;
        self.rest = if again { self.rest * 2 } else { SHORTEST_REST };
        self.rest = self.rest.clamp(SHORTEST_REST, LONGEST_REST);
        self.rests_until = Some(now + self.rest);
        self.looked_for = Duration::ZERO;
    }
}

impl Drop for OnPost {
    fn drop(&mut self) {
        self.0.lock().taken = false;
    }
}

impl Polling {
    /// Waits of a session whose worker has this `poll_slot`.
    pub(in crate::session) fn new(poll_slot: Arc<PollSlot>) -> Self {
        Self { poll_slot, commands: Habit::default(), replies: Habit::default() }
    }

    /// A wait begins.
    pub(in crate::session) fn begin(&mut self, awaited: Awaited, now: Instant) -> Wait {
        let short = self.habit(awaited).is_some_and(|habit| habit.is_short());
        let post = if short { self.poll_slot.take(now) } else { None };
        Wait { awaited, began: now, looked: now, post }
    }

    /// A wait ended with what was waited for.
    pub(in crate::session) fn learn(&mut self, wait: &Wait, now: Instant) {
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
    /// For what.
    pub(in crate::session) fn awaited(&self) -> Awaited {
        self.awaited
    }

    /// Whether to look once more before sleeping.
    pub(in crate::session) fn looks_again(&mut self, now: Instant) -> bool {
        let Some(OnPost(poll_slot)) = &self.post else { return false };
        let since = now.duration_since(self.looked);
        let crowded = since >= MOMENT;
        if crowded {
            poll_slot.lock().leave(now);
        } else {
            poll_slot.lock().looked_for += since;
        }
        self.looked = now;
        if crowded || now.duration_since(self.began) >= MOMENT {
            self.post = None;
        }
        self.post.is_some()
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

/// How long to leave it be once other programs, or other sessions, had work for the core.
const SHORTEST_REST: Duration = Duration::from_millis(4);

/// After so much looking it was for once: who works all the time comes back sooner.
const ENOUGH: Duration = Duration::from_millis(10);

/// How long where they have it all the time.
const LONGEST_REST: Duration = Duration::from_millis(256);

/// After so many short waits the next one is taken to be short.
const LIKELY: u8 = 3;

/// More short waits than this are not remembered: one long wait in four changes nothing, one in two ends the polling.
const CERTAIN: u8 = 8;

#[cfg(test)]
mod tests {
    use super::*;

    const SHORT: Duration = Duration::from_micros(20);
    const LONG: Duration = Duration::from_millis(3);

    fn polling() -> Polling {
        Polling::new(Arc::default())
    }

    /// Waits for the node for `took`, looking every microsecond, and returns for how long it looked.
    fn wait(polling: &mut Polling, now: &mut Instant, took: Duration) -> Duration {
        let began = *now;
        let mut wait = polling.begin(Awaited::Reply, began);
        while now.duration_since(began) < took && wait.looks_again(*now) {
            *now += Duration::from_micros(1);
        }
        let looked = now.duration_since(began);
        *now = began + took;
        polling.learn(&wait, *now);
        looked
    }

    /// A session all of whose waits have been short.
    fn practised() -> (Polling, Instant) {
        let (mut polling, mut now) = (polling(), Instant::now());
        for _ in 0..CERTAIN {
            wait(&mut polling, &mut now, SHORT);
        }
        (polling, now)
    }

    /// An idle session would burn a core.
    #[test]
    fn nobody_polls_who_has_not_been_answered_soon() {
        let (mut polling, mut now) = (polling(), Instant::now());
        for _ in 0..100 {
            assert_eq!(wait(&mut polling, &mut now, LONG), Duration::ZERO);
        }
    }

    /// Each command would be as slow as if the thread slept.
    #[test]
    fn who_is_answered_soon_polls_to_the_answer() {
        let (mut polling, mut now) = (polling(), Instant::now());
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
        let (mut polling, mut now) = practised();
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
        let (mut polling, mut now) = practised();
        let looked: Duration = (0..100).map(|_| wait(&mut polling, &mut now, LONG)).sum();
        assert_eq!(looked, MOMENT * 2);
    }

    /// Each look would be for nothing, since it is the long waits that it would meet.
    #[test]
    fn where_one_wait_in_two_is_long_the_polling_ends() {
        let (mut polling, mut now) = practised();
        for _ in 0..4 {
            wait(&mut polling, &mut now, LONG);
            wait(&mut polling, &mut now, SHORT);
        }
        for _ in 0..100 {
            assert_eq!(wait(&mut polling, &mut now, LONG), Duration::ZERO);
            wait(&mut polling, &mut now, SHORT);
        }
    }

    /// A hundred sessions would look in turns, and each have its bytes after all the others' looks.
    #[test]
    fn one_session_of_a_worker_looks_at_a_time() {
        let poll_slot = Arc::default();
        let mut now = Instant::now();
        let [mut one, mut other] = [(); 2].map(|()| Polling::new(Arc::clone(&poll_slot)));
        for _ in 0..LIKELY {
            wait(&mut one, &mut now, SHORT);
            wait(&mut other, &mut now, SHORT);
        }
        let mut looking = one.begin(Awaited::Reply, now);
        assert!(looking.looks_again(now));
        assert!(!other.begin(Awaited::Reply, now).looks_again(now));
        drop(looking);
        assert!(other.begin(Awaited::Reply, now).looks_again(now));
    }

    /// A client that thinks long between its commands would have their answers come slowly too.
    #[test]
    fn a_client_is_waited_for_as_it_is_used_to() {
        let (mut polling, mut now) = (polling(), Instant::now());
        for _ in 0..100 {
            let thinking = polling.begin(Awaited::Command, now);
            now += LONG;
            polling.learn(&thinking, now);
            wait(&mut polling, &mut now, SHORT);
        }
        assert!(!polling.begin(Awaited::Command, now).looks_again(now));
        assert!(polling.begin(Awaited::Reply, now).looks_again(now));
    }

    /// A batch of Icinga comes back in 250 parts, each soon after the one before: nothing is gained by any.
    #[test]
    fn the_rest_of_a_reply_is_slept_for_and_teaches_nothing() {
        let (mut polling, mut now) = (polling(), Instant::now());
        for _ in 0..100 {
            let mut rest = polling.begin(Awaited::Rest, now);
            assert!(!rest.looks_again(now));
            now += SHORT;
            polling.learn(&rest, now);
        }
        assert_eq!(wait(&mut polling, &mut now, SHORT), Duration::ZERO);
    }

    /// Somebody takes the core while the session looks; returns how long it sleeps then.
    fn crowd(polling: &mut Polling, now: &mut Instant) -> Duration {
        let mut crowded = polling.begin(Awaited::Reply, *now);
        assert!(crowded.looks_again(*now));
        *now += LONG;
        assert!(!crowded.looks_again(*now), "somebody else had the core");
        polling.learn(&crowded, *now);
        drop(crowded);
        let rests = *now;
        loop {
            let began = *now;
            if wait(polling, now, SHORT) > Duration::ZERO {
                return began.duration_since(rests);
            }
        }
    }

    /// Beside a busy program each look would cost its whole share of the core, milliseconds.
    #[test]
    fn who_loses_the_core_again_and_again_sleeps_longer_and_longer() {
        let (mut polling, mut now) = practised();
        for rest in [4, 8, 16, 32, 64, 128, 256, 256] {
            let rest = Duration::from_millis(rest);
            let slept = crowd(&mut polling, &mut now);
            assert!((rest..=rest + SHORT).contains(&slept), "{slept:?} and not {rest:?}");
        }
    }

    /// Where the core is lost some ten times in a second, be it to a machine's host, nearly all of the gain is left,
    /// whatever was before.
    #[test]
    fn who_loses_the_core_now_and_then_hardly_sleeps() {
        let (mut polling, mut now) = practised();
        for _ in 0..10 {
            crowd(&mut polling, &mut now);
        }
        for round in 0..10 {
            let slept = crowd(&mut polling, &mut now);
            assert!(round == 0 || slept <= SHORTEST_REST + SHORT, "{slept:?} in round {round}");
            let looks = now;
            while now.duration_since(looks) < Duration::from_millis(50) {
                assert_eq!(wait(&mut polling, &mut now, SHORT), SHORT);
            }
        }
    }
}
