//! Timers for the data path that do not run on it.
//!
//! While a timer is set on a worker's runtime, each of its waits has an end, and the kernel sets the
//! processor's timer for it and takes it back: a microsecond with every command, and several on a
//! virtual machine. So timers that are always set, or while a client is served, are another
//! runtime's. What is rare, as a login or the way back after a loss, need not care.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::time::{Instant, Sleep, sleep};

/// The runtime that keeps the time.
#[derive(Clone, Debug)]
pub(crate) struct Clock(Handle);

impl Clock {
    /// The present runtime.
    ///
    /// # Panics
    /// There is none, or it has no timers.
    pub(crate) fn current() -> Self {
        Self(Handle::current())
    }

    /// Sleeps as [`tokio::time::sleep`] does, on this clock whoever awaits it. The sleep must end before the clock's
    /// runtime does: the workers are joined first.
    pub(in crate::session) fn sleep(&self, time: Duration) -> Sleep {
        let _here = self.0.enter();
        sleep(time)
    }
}

/// A timer for what is often waited for and seldom for long. To take it back and to set it anew costs two system calls;
/// so it is left to run when a wait is over, and only moved on when the next one begins.
#[derive(Debug)]
pub(in crate::session) struct Alarm {
    timer: Option<Pin<Box<Sleep>>>,
    clock: Clock,
}

impl Alarm {
    /// Makes an alarm that runs on `clock`, and is not set yet.
    pub(in crate::session) fn new(clock: Clock) -> Self {
        Self { timer: None, clock }
    }

    /// Rings in `time` from now, and not before.
    pub(in crate::session) fn set(&mut self, time: Duration) {
        match &mut self.timer {
            Some(timer) => timer.as_mut().reset(Instant::now() + time),
            timer @ None => *timer = Some(Box::pin(self.clock.sleep(time))),
        }
    }

    /// Whether it has rung since it was set. If not, a waker is left for when it does.
    pub(in crate::session) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        match &mut self.timer {
            Some(timer) => timer.as_mut().poll(cx),
            None => Poll::Pending,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use tokio::runtime;

    use super::*;

    /// A client would wait for ever for what was withheld.
    #[tokio::test]
    async fn a_runtime_without_timers_is_woken_by_another_ones() {
        let clock = Clock::current();
        let worker = thread::spawn(move || {
            let runtime = runtime::Builder::new_current_thread().build().unwrap();
            let mut timer = Box::pin(clock.sleep(Duration::from_millis(1)));
            runtime.block_on(&mut timer);
            timer.as_mut().reset(Instant::now() + Duration::from_millis(1));
            runtime.block_on(timer);
        });
        tokio::task::spawn_blocking(|| worker.join()).await.unwrap().unwrap();
    }
}
