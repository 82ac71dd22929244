//! Output that lies ready for a client may wait for more of the same reply.
//!
//! MariaDB sends the OK of each statement of a batch by itself, so Icinga's batch of 250 statements
//! comes back in 250 segments of 11 bytes. Written together they cost one system call, and wake the
//! client once. An OK that announces another result lets it be known that the reply goes on. The end
//! of a reply never waits; what a slow statement would hold up is told after [`LONGEST`], counted from when it
//! is noticed here ([`low_water`](crate::session::transport::read_low_water)).

use std::task::Context;
use std::time::Duration;

use crate::session::transport::timer::{Alarm, Clock};

/// Whether the client's output of one session waits.
#[derive(Debug)]
pub(in crate::session) struct Withhold {
    waits: bool,
    alarm: Alarm,
}

impl Withhold {
    /// Nothing waits yet; `clock` will end what does.
    pub(in crate::session) fn new(clock: Clock) -> Self {
        Self { waits: false, alarm: Alarm::new(clock) }
    }

    /// Decides anew. `continues` says that another result was announced, `ready` how many bytes lie
    /// ready for the client.
    pub(in crate::session) fn decide(&mut self, continues: bool, ready: usize) {
        let waits = continues && ready < MOST;
        if waits && !self.waits {
            self.alarm.set(LONGEST);
        }
        self.waits = waits;
    }

    /// Whether it waits.
    pub(in crate::session) fn waits(&self) -> bool {
        self.waits
    }

    /// Ends a wait that has been long enough, or leaves a waker for when it is.
    pub(in crate::session) fn poll(&mut self, cx: &mut Context<'_>) {
        if self.waits && self.alarm.poll(cx).is_ready() {
            self.waits = false;
        }
    }
}

/// How long the OK of a statement may wait for that of the next one. Nobody sees the difference, and
/// it is long beside the statements of a batch.
const LONGEST: Duration = Duration::from_millis(10);

/// How many bytes may wait.
const MOST: usize = 16 * 1024;

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::task::Poll;

    use tokio::time::Instant;

    use super::*;

    async fn over(withhold: &mut Withhold) {
        poll_fn(|cx| {
            withhold.poll(cx);
            if withhold.waits() { Poll::Pending } else { Poll::Ready(()) }
        })
        .await;
    }

    #[tokio::test(start_paused = true)]
    async fn no_result_waits_for_longer_than_promised() {
        let mut withhold = Withhold::new(Clock::current());
        for _ in 0..3 {
            let start = Instant::now();
            withhold.decide(true, 11);
            tokio::time::advance(LONGEST / 2).await;
            withhold.decide(true, 22);
            over(&mut withhold).await;
            assert!(start.elapsed() <= LONGEST + Duration::from_millis(1), "{:?}", start.elapsed());
        }
    }

    /// Icinga reads its batch to the end before it goes on: the end must not wait.
    #[tokio::test(start_paused = true)]
    async fn the_end_of_a_reply_and_a_full_buffer_go_at_once() {
        let mut withhold = Withhold::new(Clock::current());
        withhold.decide(true, 11);
        assert!(withhold.waits());
        withhold.decide(false, 22);
        assert!(!withhold.waits());
        withhold.decide(true, MOST);
        assert!(!withhold.waits());
    }

    /// A timer of an earlier wait must not end a later one too late, nor be missed.
    #[tokio::test(start_paused = true)]
    async fn a_timer_that_ran_out_unnoticed_is_set_again() {
        let mut withhold = Withhold::new(Clock::current());
        withhold.decide(true, 11);
        withhold.decide(false, 22);
        tokio::time::advance(LONGEST * 3).await;
        let start = Instant::now();
        withhold.decide(true, 11);
        over(&mut withhold).await;
        let waited = start.elapsed();
        assert!(waited >= LONGEST && waited <= LONGEST + Duration::from_millis(1), "{waited:?}");
    }
}
