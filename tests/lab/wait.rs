//! Waiting by asking. Nothing in the lab sleeps for a time that somebody guessed.

use std::path::Path;
use std::time::Duration;

use tokio::time::{Instant, sleep};

use crate::error::{LabError, LogTail, Result};

/// Finding of one look at a condition.
#[derive(Debug, PartialEq, Eq)]
pub enum Look<T> {
    /// The condition holds.
    Done(T),
    /// The condition does not hold yet; the text says what was seen instead.
    NotYet(String),
    /// The condition never will hold; the text says why.
    Never(String),
}

/// Looks again and again, every 20 ms, until `look` finds `Done`.
///
/// `what` names the condition ("node2 Synced"), `log` the file that tells why it does not come.
///
/// # Errors
/// [`LabError::Deadline`] after `deadline`, with what was last seen; [`LabError::Failed`] at the first `Never`.
pub async fn wait_until<T>(
    what: &str,
    deadline: Duration,
    log: Option<&Path>,
    mut look: impl AsyncFnMut() -> Look<T>,
) -> Result<T> {
    let end = Instant::now() + deadline;
    let mut last = "nothing".to_owned();
    let tail = || log.map(LogTail::of).unwrap_or_default();
    loop {
        match tokio::time::timeout_at(end, look()).await {
            Ok(Look::Done(found)) => return Ok(found),
            Ok(Look::NotYet(seen)) => last = seen,
            Ok(Look::Never(reason)) => {
                return Err(LabError::Failed { what: what.to_owned(), reason, log: tail() });
            }
            Err(_) => last = format!("{last}, then no answer"),
        }
        if Instant::now() >= end {
            let what = what.to_owned();
            return Err(LabError::Deadline { what, after: deadline, seen: last, log: tail() });
        }
        sleep(PAUSE).await;
    }
}

const PAUSE: Duration = Duration::from_millis(20);

#[cfg(test)]
mod tests {
    use super::*;

    /// Without it a story that fails says only that it took too long.
    #[tokio::test]
    async fn a_deadline_says_what_was_seen_last() {
        let mut looks = 0;
        let waited = wait_until("the moon", Duration::from_millis(50), None, async || {
            looks += 1;
            if looks == 1 {
                Look::<()>::NotYet("clouds".into())
            } else {
                std::future::pending().await
            }
        });
        let error = waited.await.expect_err("it never comes").to_string();
        assert!(error.contains("the moon") && error.contains("clouds, then no answer"), "{error}");
    }

    /// A part that ended should fail a story at once, not after the whole deadline.
    #[tokio::test]
    async fn a_part_that_never_comes_ends_the_wait_at_once() {
        let hour = Duration::from_secs(3600);
        let waited =
            wait_until("node1", hour, None, async || Look::<()>::Never("exited".into())).await;
        assert!(matches!(waited, Err(LabError::Failed { reason, .. }) if reason == "exited"));
    }
}
