//! A part of the lab that can be ended and started again: a node, a Consul server, the proxy, Icinga.

use std::path::PathBuf;
use std::process::ExitStatus;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use crate::error::{Context, LabError, Result};
use crate::process::{Process, Program};
use crate::run::Run;
use crate::wait::{Look, wait_until};

/// One program of the lab, running or not. Dropping it kills what runs.
#[derive(Debug)]
pub struct Part {
    run: Arc<Run>,
    program: Program,
    process: Mutex<Option<Arc<Process>>>,
}

impl Part {
    /// A part that does not run yet.
    pub fn new(run: &Arc<Run>, program: Program) -> Self {
        Self { run: Arc::clone(run), program, process: Mutex::new(None) }
    }

    /// The part's name in the lab.
    pub fn name(&self) -> &str {
        self.program.name()
    }

    /// The file that has everything it printed, over all its lives.
    pub fn log(&self) -> PathBuf {
        self.run.log(self.name())
    }

    /// The part's process id while it runs.
    pub fn id(&self) -> Option<u32> {
        self.slot().as_ref().filter(|process| process.ended().is_none()).map(|process| process.id())
    }

    /// Whether it runs. What SIGSTOP holds counts as running.
    pub fn runs(&self) -> bool {
        self.id().is_some()
    }

    /// Starts it and waits for nothing.
    ///
    /// # Errors
    /// The part runs already, or its program is missing.
    pub fn launch(&self) -> Result<()> {
        self.launch_with(&[])
    }

    /// Starts it with more arguments, this one time.
    ///
    /// # Errors
    /// Those of [`Part::launch`].
    pub fn launch_with(&self, arguments: &[&str]) -> Result<()> {
        if self.runs() {
            return Err(LabError::Refused(format!("{} runs already", self.name())));
        }
        let process = self.program.clone().args(arguments).spawn(&self.run)?;
        *self.slot() = Some(Arc::new(process));
        Ok(())
    }

    /// SIGKILL, to its children too. Returns when it is gone.
    ///
    /// # Errors
    /// The part does not run.
    pub async fn kill(&self) -> Result<()> {
        let process = self.process()?;
        process.signal(Signal::SIGKILL)?;
        process.exit(OBEY).await.map(drop)
    }

    /// SIGTERM. Returns when it is gone.
    ///
    /// # Errors
    /// The part does not run, does not end within a minute, or ends with a failure.
    pub async fn term(&self) -> Result<()> {
        self.term_within(OBEY).await
    }

    /// SIGTERM as by [`Part::term`], for a part that has work to end first.
    ///
    /// # Errors
    /// The part does not run, does not end within `deadline`, or ends with a failure.
    pub async fn term_within(&self, deadline: Duration) -> Result<()> {
        let process = self.process()?;
        let ended = process.terminate(deadline).await?;
        if ended.success() {
            return Ok(());
        }
        let log = crate::error::LogTail::of(process.log());
        let what = format!("ending {}", self.name());
        Err(LabError::Failed { what, reason: ended.to_string(), log })
    }

    /// SIGSTOP, to its children too: the kernel goes on accepting its connections, nobody answers. A thread that
    /// runs on another core when the signal is sent may have answered one thing more: it is waited for.
    ///
    /// # Errors
    /// The part does not run, or does not stop.
    pub fn stop(&self) -> Result<()> {
        self.process()?.signal(Signal::SIGSTOP)?;
        let deadline = Instant::now() + OBEY;
        while !self.all_stopped()? {
            if Instant::now() > deadline {
                return Err(LabError::Refused(format!("{} does not stop", self.name())));
            }
            std::thread::yield_now();
        }
        Ok(())
    }

    /// Whether every thread is stopped (proc(5), the state in `stat`).
    fn all_stopped(&self) -> Result<bool> {
        let path = self.proc_path("task")?;
        let threads = std::fs::read_dir(&path).context(|| format!("reading {path}"))?;
        // One that has ended meanwhile answers nothing.
        let stats = threads
            .flatten()
            .filter_map(|thread| std::fs::read_to_string(thread.path().join("stat")).ok());
        let mut states = stats.filter_map(|stat| stat.rsplit(") ").next()?.chars().next());
        Ok(states.all(|state| matches!(state, 'T' | 't' | 'Z' | 'X')))
    }

    /// SIGCONT, after [`Part::stop`].
    ///
    /// # Errors
    /// The part does not run.
    pub fn cont(&self) -> Result<()> {
        self.process()?.signal(Signal::SIGCONT)
    }

    /// Waits for its end, whatever brings it.
    ///
    /// # Errors
    /// The part was not started, or runs longer than `deadline`.
    pub async fn exit(&self, deadline: Duration) -> Result<ExitStatus> {
        self.process()?.exit(deadline).await
    }

    /// How many lines of its log have these words in them.
    pub fn said(&self, words: &str) -> usize {
        let log = std::fs::read(self.log()).unwrap_or_default();
        String::from_utf8_lossy(&log).lines().filter(|line| line.contains(words)).count()
    }

    /// Waits until `times` lines of its log have these words in them.
    ///
    /// # Errors
    /// When that takes longer than `deadline`, or it ends without.
    pub async fn says(&self, words: &str, times: usize, deadline: Duration) -> Result<()> {
        let what = format!("{} saying {words:?} {times} times", self.name());
        wait_until(&what, deadline, Some(&self.log()), async || match self.said(words) {
            said if said >= times => Look::Done(()),
            said => self.look(format!("{said} times")),
        })
        .await
    }

    /// The most memory it ever had resident in this life, in KiB (proc(5), `VmHWM`).
    ///
    /// # Errors
    /// The part does not run.
    pub fn peak_memory(&self) -> Result<u64> {
        let status = self.proc("status")?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let peak = line.and_then(|line| line.split_whitespace().next()?.parse().ok());
        peak.ok_or_else(|| LabError::Refused(format!("no VmHWM of {}", self.name())))
    }

    /// How long its threads have run in this life, in steps of 10 ms (proc(5), `utime` and `stime`).
    ///
    /// # Errors
    /// The part does not run.
    pub fn cpu(&self) -> Result<Duration> {
        let stat = self.proc("stat")?;
        // Behind the name, which may have anything in it.
        let fields = stat.rsplit(')').next().unwrap_or_default().split_whitespace();
        let ticks: Vec<u64> =
            fields.skip(11).take(2).filter_map(|field| field.parse().ok()).collect();
        Ok(Duration::from_millis(10 * ticks.iter().sum::<u64>()))
    }

    /// The kernel's account of the part's process, in this file (proc(5)).
    fn proc(&self, file: &str) -> Result<String> {
        let path = self.proc_path(file)?;
        std::fs::read_to_string(&path).context(|| format!("reading {path}"))
    }

    fn proc_path(&self, file: &str) -> Result<String> {
        let id = self.id().ok_or_else(|| LabError::Refused(format!("{} is gone", self.name())))?;
        Ok(format!("/proc/{id}/{file}"))
    }

    /// The meaning of a look that found `seen`: `NotYet` while the part runs, `Never` when it has ended.
    pub fn look<T>(&self, seen: impl std::fmt::Display) -> Look<T> {
        let slot = self.slot();
        match slot.as_ref().map(|process| process.ended()) {
            None => Look::Never(format!("{} was not started", self.name())),
            Some(Some(status)) => Look::Never(format!("{} ended: {status}", self.name())),
            Some(None) => Look::NotYet(seen.to_string()),
        }
    }

    fn process(&self) -> Result<Arc<Process>> {
        let process = self.slot().clone();
        process.ok_or_else(|| LabError::Refused(format!("{} was not started", self.name())))
    }

    fn slot(&self) -> MutexGuard<'_, Option<Arc<Process>>> {
        self.process.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How long a part may take to obey a signal.
const OBEY: Duration = Duration::from_secs(60);
