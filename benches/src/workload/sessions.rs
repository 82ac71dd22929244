//! The memory of a thousand sessions that have worked and are idle now.

use serde::{Deserialize, Serialize};

use crate::client::{Client, query};
use crate::error::Result;
use crate::progress::Progress;
use crate::stand::{Target, Way};

/// The memory and time that sessions of one way take.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct Sessions {
    /// Which way.
    pub(crate) way: Way,
    /// How many sessions.
    pub(crate) sessions: u64,
    /// Resident memory of the program in between before the first came, in bytes.
    pub(crate) before: u64,
    /// With all of them idle.
    pub(crate) idle: u64,
    /// The most in between.
    pub(crate) peak: u64,
}

/// Measures every way that has a program in between.
///
/// # Errors
/// When a connection is refused or an answer is not as expected.
pub(crate) fn measure(targets: &[Target], progress: &Progress) -> Result<Vec<Sessions>> {
    let mut measured = Vec::new();
    for target in targets {
        let Some(process) = target.process else {
            continue;
        };
        let what = format!("1,000 sessions: {}", target.way.label());
        let bar = progress.rounds(&what, SESSIONS);
        process.forget_peak();
        let before = process.memory().resident;
        let mut clients = Vec::with_capacity(SESSIONS);
        for _ in 0..SESSIONS {
            clients.push(Client::connect_idle(&target.endpoint)?);
            bar.inc(1);
        }
        // A session that never worked has never needed a buffer. A statement of 64 KB and a result of
        // as much is more than most clients ever send.
        let statement = query(&format!("SELECT '{}'", "x".repeat(64 << 10)));
        for client in &mut clients {
            client.run(&statement)?;
        }
        let memory = process.memory();
        measured.push(Sessions {
            way: target.way,
            sessions: clients.len() as u64,
            before,
            idle: memory.resident,
            peak: memory.peak,
        });
        drop(clients);
        bar.finish();
    }
    Ok(measured)
}

const SESSIONS: usize = 1000;
