//! Somebody who works through the proxy while others misbehave.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{JoinHandle, spawn};
use std::time::{Duration, Instant};

use lab::{LabError, Result, sql};
use mysql_async::{Conn, Opts};

/// Asks, again and again, on one connection, from a thread of its own: what delays the story does not
/// delay it.
pub(crate) struct Bystander {
    stop: Arc<AtomicBool>,
    work: JoinHandle<Result<Duration>>,
}

impl Bystander {
    /// Logs in and begins.
    pub(crate) async fn begin(options: Opts) -> Result<Self> {
        // Seen to be let in before the trouble begins.
        drop(sql::connect(options.clone()).await?);
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let work = spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            let runtime = runtime.expect("threads and a reactor are to be had");
            runtime.block_on(async {
                let conn = sql::connect(options).await?;
                ask_until(conn, &stopped).await
            })
        });
        Ok(Self { stop, work })
    }

    /// The longest it had to wait for an answer. Every answer came, and was right.
    ///
    /// # Errors
    /// The first failure.
    pub(crate) fn end(self) -> Result<Duration> {
        self.stop.store(true, Ordering::Relaxed);
        self.work.join().map_err(|_| LabError::Refused("the bystander panicked".into()))?
    }
}

async fn ask_until(mut conn: Conn, stop: &AtomicBool) -> Result<Duration> {
    let mut longest = Duration::ZERO;
    for question in 0_u64.. {
        let asked = Instant::now();
        let answer: u64 = sql::value(&mut conn, &format!("SELECT {question} + 1")).await?;
        if answer != question + 1 {
            return Err(LabError::Refused(format!("{question} + 1 = {answer}")));
        }
        longest = longest.max(asked.elapsed());
        if stop.load(Ordering::Relaxed) {
            break;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    Ok(longest)
}
