//! How much of the machine went to others while we measured: a number without it is hard to judge.

use std::collections::HashMap;
use std::fs;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// A moment to measure from.
pub(crate) struct Since {
    begun: Instant,
    busy: u64,
    ours: u64,
}

impl Since {
    /// From now on.
    pub(crate) fn now() -> Self {
        Self { begun: Instant::now(), busy: busy(), ours: ours() }
    }

    /// How many cores other programs kept busy on average, 0 to the number of cores.
    pub(crate) fn cores(&self) -> f64 {
        let busy = busy().saturating_sub(self.busy);
        let ours = ours().saturating_sub(self.ours);
        let ticks = self.begun.elapsed().as_secs_f64() * TICKS_PER_SECOND;
        busy.saturating_sub(ours) as f64 / ticks.max(1.0)
    }
}

/// Says that a process of ours that used so much ends without anybody of ours who waits for it: nobody will
/// know that it was one.
pub(crate) fn ended_alone(cpu: Duration) {
    let ticks = (cpu.as_secs_f64() * TICKS_PER_SECOND) as u64;
    ENDED_ALONE.fetch_add(ticks, Ordering::Relaxed);
}

static ENDED_ALONE: AtomicU64 = AtomicU64::new(0);

/// Ticks in which any core worked.
fn busy() -> u64 {
    let stat = fs::read_to_string("/proc/stat").unwrap_or_default();
    busy_in(stat.lines().next().unwrap_or_default())
}

/// From "cpu user nice system idle iowait irq softirq steal guest guest_nice": guests are users too.
fn busy_in(line: &str) -> u64 {
    let numbers = line.split_ascii_whitespace().skip(1).map(|number| number.parse().unwrap_or(0));
    numbers
        .take(8)
        .enumerate()
        .filter(|(index, _)| ![3, 4].contains(index))
        .map(|(_, ticks): (_, u64)| ticks)
        .sum()
}

/// Ticks of this process and all below it, those that have ended included.
fn ours() -> u64 {
    running_or_waited_for() + ENDED_ALONE.load(Ordering::Relaxed)
}

fn running_or_waited_for() -> u64 {
    let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
    let processes = processes.filter_map(|entry| {
        entry.file_name().to_str()?.parse::<u32>().ok()?;
        Process::parse(&fs::read_to_string(entry.path().join("stat")).ok()?)
    });
    let all: HashMap<u32, Process> = processes.map(|process| (process.id, process)).collect();
    let own = std::process::id();
    let is_ours = |process: &&Process| {
        let mut id = process.id;
        while id != own {
            match all.get(&id) {
                Some(process) if process.parent != 0 => id = process.parent,
                _ => return false,
            }
        }
        true
    };
    all.values().filter(is_ours).map(|process| process.ticks).sum()
}

#[derive(Debug, PartialEq)]
struct Process {
    id: u32,
    parent: u32,
    ticks: u64,
}

impl Process {
    /// From `/proc/ID/stat`; the name in brackets may hold anything.
    fn parse(stat: &str) -> Option<Self> {
        let (id, _) = stat.split_once(' ')?;
        let (_, rest) = stat.rsplit_once(") ")?;
        let fields: Vec<&str> = rest.split(' ').collect();
        // Own user and system time, then those of children that were waited for.
        let ticks = fields.get(11..15)?.iter().map(|ticks| ticks.parse().unwrap_or(0)).sum();
        Some(Self { id: id.parse().ok()?, parent: fields.get(1)?.parse().ok()?, ticks })
    }
}

/// The kernel's unit for user space, on every platform that Debian knows.
const TICKS_PER_SECOND: f64 = 100.0;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn idle_and_waiting_cores_are_not_busy() {
        assert_eq!(busy_in("cpu  100 20 30 9999 888 4 5 6 77 7"), 165);
        assert_eq!(busy_in(""), 0);
    }

    #[test]
    fn names_with_brackets_do_not_shift_the_fields() {
        let stat = "42 (a) (b) S 7 42 42 0 -1 0 1 2 3 4 10 20 3 4 20 0 1 0 5 6 7";
        assert_eq!(Process::parse(stat), Some(Process { id: 42, parent: 7, ticks: 37 }));
    }

    /// Our own work must not be blamed on others.
    #[test]
    fn own_work_is_ours() {
        let (before, begun) = (ours(), Instant::now());
        while ours() == before && begun.elapsed().as_secs() < 20 {
            std::hint::black_box(begun);
        }
        assert!(ours() > before);
    }
}
