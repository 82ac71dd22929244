//! A part of the lab that can be ended and started again: a node, a Consul server, the proxy, Icinga.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use nix::sys::signal::Signal;

use crate::error::{LabError, Result};
use crate::process::{Process, Program};
use crate::run::Run;
use crate::wait::Look;

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

    /// What the lab calls it.
    pub fn name(&self) -> &str {
        self.program.name()
    }

    /// The file that has everything it printed, over all its lives.
    pub fn log(&self) -> PathBuf {
        self.run.log(self.name())
    }

    /// Its process id while it runs.
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
    /// When it runs already, or its program is missing.
    pub fn launch(&self) -> Result<()> {
        self.launch_with(&[])
    }

    /// Starts it with more arguments, this one time.
    ///
    /// # Errors
    /// As [`Part::launch`].
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
    /// When it does not run.
    pub async fn kill(&self) -> Result<()> {
        let process = self.process()?;
        process.signal(Signal::SIGKILL)?;
        process.exit(OBEY).await.map(drop)
    }

    /// SIGTERM. Returns when it is gone.
    ///
    /// # Errors
    /// When it does not run, does not end within a minute, or ends with a failure.
    pub async fn term(&self) -> Result<()> {
        let process = self.process()?;
        let ended = process.terminate(OBEY).await?;
        if ended.success() {
            return Ok(());
        }
        let log = crate::error::LogTail::of(process.log());
        let what = format!("ending {}", self.name());
        Err(LabError::Failed { what, reason: ended.to_string(), log })
    }

    /// SIGSTOP, to its children too: the kernel goes on accepting its connections, nobody answers.
    ///
    /// # Errors
    /// When it does not run.
    pub fn stop(&self) -> Result<()> {
        self.process()?.signal(Signal::SIGSTOP)
    }

    /// SIGCONT, after [`Part::stop`].
    ///
    /// # Errors
    /// When it does not run.
    pub fn cont(&self) -> Result<()> {
        self.process()?.signal(Signal::SIGCONT)
    }

    /// What a look that found `seen` means: `NotYet` while the part runs, `Never` when it has ended.
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
