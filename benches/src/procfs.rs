//! CPU time and resident memory of a process, by the kernel's account. Linux only, as the proxy is.

use std::fs;
use std::io;
use std::time::Duration;

use nix::sched::{CpuSet, sched_setaffinity};
use nix::unistd::Pid;

use crate::error::{Context, Result};

/// A program as it was started: its own process and its children.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct ProcessTree(u32);

/// Resident memory of all processes of a tree, in bytes.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) struct Memory {
    /// Now (VmRSS).
    pub(crate) resident: u64,
    /// The most since the start, or since [`ProcessTree::forget_peak`] (VmHWM).
    pub(crate) peak: u64,
}

impl ProcessTree {
    /// The tree below process `id`.
    pub(crate) fn of(id: u32) -> Self {
        Self(id)
    }

    /// CPU time used so far by all its threads that still run, user and system together.
    ///
    /// From `schedstat`, which counts nanoseconds. `stat` counts ticks of 10 ms, longer than most
    /// turns of a benchmark.
    pub(crate) fn cpu(self) -> Duration {
        let times = self.threads().into_iter().filter_map(|thread| {
            let text = fs::read_to_string(format!("/proc/{thread}/schedstat")).ok()?;
            text.split_ascii_whitespace().next()?.parse::<u64>().ok()
        });
        Duration::from_nanos(times.sum())
    }

    /// Lets all its threads, and those that they make from now on, run on these cores only.
    ///
    /// # Errors
    /// When the cores do not exist or the process belongs to someone else.
    pub(crate) fn keep_to(self, cores: &CpuSet) -> Result<()> {
        for thread in self.threads() {
            let kept = sched_setaffinity(Pid::from_raw(thread.cast_signed()), cores);
            kept.map_err(io::Error::from)
                .context(|| format!("choosing the cores of process {thread}"))?;
        }
        Ok(())
    }

    /// The process's memory now and at its peak.
    pub(crate) fn memory(self) -> Memory {
        let mut memory = Memory::default();
        for id in self.processes() {
            let status = fs::read_to_string(format!("/proc/{id}/status")).unwrap_or_default();
            memory.resident += kibibytes(&status, "VmRSS:") << 10;
            memory.peak += kibibytes(&status, "VmHWM:") << 10;
        }
        memory
    }

    /// Lets the peak be what is resident now. Needs the rights of whom it belongs to.
    pub(crate) fn forget_peak(self) {
        for id in self.processes() {
            // Where it is refused, the peak is that of the whole life: more, never less.
            let _ = fs::write(format!("/proc/{id}/clear_refs"), "5");
        }
    }

    fn threads(self) -> Vec<u32> {
        let tasks = self.processes().into_iter().flat_map(|id| {
            let tasks = fs::read_dir(format!("/proc/{id}/task"));
            tasks.into_iter().flatten().flatten()
        });
        tasks.filter_map(|task| task.file_name().to_str()?.parse().ok()).collect()
    }

    /// The process and its children. (No program measured here has grandchildren.)
    fn processes(self) -> Vec<u32> {
        let id = self.0;
        let children = fs::read_to_string(format!("/proc/{id}/task/{id}/children"));
        let children = children.unwrap_or_default();
        let children = children.split_ascii_whitespace().filter_map(|id| id.parse().ok());
        std::iter::once(id).chain(children).collect()
    }
}

/// The number after `key` in a `status` file, in KiB; 0 where there is none.
fn kibibytes(status: &str, key: &str) -> u64 {
    let line = status.lines().find_map(|line| line.strip_prefix(key));
    let number = line.and_then(|line| line.split_ascii_whitespace().next()?.parse().ok());
    number.unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_read_in_kibibytes() {
        let status = "Name:\tx\nVmHWM:\t    5120 kB\nVmRSS:\t    4096 kB\n";
        assert_eq!(kibibytes(status, "VmRSS:"), 4096);
        assert_eq!(kibibytes(status, "VmHWM:"), 5120);
        assert_eq!(kibibytes(status, "VmSwap:"), 0);
    }

    /// Zeros in the table would look like a proxy that costs nothing.
    #[test]
    fn a_process_that_works_uses_time_and_memory() {
        let tree = ProcessTree::of(std::process::id());
        let before = tree.cpu();
        let begun = std::time::Instant::now();
        // Threads of other tests end meanwhile, and take their time with them.
        while tree.cpu() <= before && begun.elapsed() < Duration::from_secs(20) {
            std::hint::black_box(begun);
        }
        assert!(tree.cpu() > before);
        let memory = tree.memory();
        assert!(memory.resident > 1 << 20 && memory.peak >= memory.resident, "{memory:?}");
    }
}
