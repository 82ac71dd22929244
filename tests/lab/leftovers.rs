//! Leftovers of a lab that crashed: processes, firewall rules, data, old logs.
//!
//! Every program of a lab carries the lab's number in its environment. The holder of the lock of a number
//! may end whatever else carries the number: its lab is gone.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::firewall;
use crate::number::Number;

/// The variable by which every program of a lab is known.
pub const MARK: &str = "IDO_PROXY_LAB";

/// Counts of what [`clean`] found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Swept {
    /// Processes that were ended.
    pub processes: usize,
    /// Data folders that were removed.
    pub folders: usize,
    /// Labs that are alive, and were left alone.
    pub alive: usize,
}

/// Clears away what crashed labs left. Labs that are alive are not touched.
pub fn clean() -> Swept {
    let mut swept = Swept::default();
    for number in Number::all().filter(|number| number.was_used()) {
        let Some(_lock) = number.take() else {
            swept.alive += 1;
            continue;
        };
        swept.folders += usize::from(number.data().exists());
        swept.processes += sweep(number);
    }
    swept
}

/// Clears away what labs of `number` left, and returns how many processes that were. The caller must
/// hold the number's lock.
pub(crate) fn sweep(number: Number) -> usize {
    let ended = processes(number).into_iter().filter(|id| kill(*id, Signal::SIGKILL).is_ok());
    let ended = ended.count();
    if ended > 0 {
        // The lab's files may go only when nobody writes them any more.
        let end = Instant::now() + Duration::from_secs(5);
        while !processes(number).is_empty() && Instant::now() < end {
            std::thread::yield_now();
        }
    }
    let data = number.data();
    if data.exists() {
        // A lab leaves its table of rules only if it leaves its data too.
        firewall::remove_rules(number);
        let _ = fs::remove_dir_all(data);
    }
    ended
}

/// Removes the logs of all but the latest runs in `folder`.
pub(crate) fn forget_old_logs(folder: &Path) {
    let runs = fs::read_dir(folder).into_iter().flatten().flatten();
    let mut runs: Vec<_> = runs
        .filter(|entry| entry.file_name().to_string_lossy().starts_with("run-"))
        .map(|entry| entry.path())
        .collect();
    // Their names begin with the time.
    runs.sort();
    let old = runs.len().saturating_sub(RUNS_KEPT);
    for run in runs.into_iter().take(old) {
        let _ = fs::remove_dir_all(run);
    }
}

/// The living processes that carry `number`.
fn processes(number: Number) -> Vec<Pid> {
    let mark = format!("{MARK}={number}");
    let ids = fs::read_dir("/proc").into_iter().flatten().flatten();
    ids.filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .filter(|id| {
            // A zombie's environment is empty, so what is dead already is not found again.
            let environment = fs::read(format!("/proc/{id}/environ")).unwrap_or_default();
            environment.split(|byte| *byte == 0).any(|variable| variable == mark.as_bytes())
        })
        .map(Pid::from_raw)
        .collect()
}

const RUNS_KEPT: usize = 30;
