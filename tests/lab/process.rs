//! A program of the lab: its own process group and log, and an end that always comes.
//!
//! Three things see to the end, whichever happens first: dropping the [`Process`] kills its group; the
//! kernel kills it when the lab dies (`setpriv --pdeathsig`); and the next lab that takes the same
//! number sweeps up what carries that number in its environment ([`crate::leftovers`]).

use std::ffi::OsStr;
use std::fs::OpenOptions;
use std::io;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::LazyLock;
use std::sync::mpsc::{Sender, channel};
use std::time::Duration;

use nix::sys::signal::{Signal, kill, killpg};
use nix::sys::wait::{Id, WaitPidFlag, WaitStatus, waitid};
use nix::unistd::{Pid, geteuid};

use crate::error::{Context, LabError, Result};
use crate::run::Run;
use crate::system::System;
use crate::wait::{Look, wait_until};

/// A program to be started: arguments and environment, and whose rights it gets.
#[derive(Clone, Debug)]
pub struct Program {
    name: String,
    path: PathBuf,
    system: System,
    arguments: Vec<std::ffi::OsString>,
    environment: Vec<(String, String)>,
    user: Option<&'static str>,
    group: Option<u32>,
}

impl Program {
    /// `name` is what the lab calls this part, and its log; `path` a program, looked up in `PATH`.
    pub fn new(name: impl Into<String>, path: impl Into<PathBuf>) -> Self {
        Self {
            name: name.into(),
            path: path.into(),
            system: System::Host,
            arguments: Vec::new(),
            environment: Vec::new(),
            user: None,
            group: None,
        }
    }

    /// The program's name in the lab.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Takes the program of that system, not of this machine.
    pub fn of(mut self, system: System) -> Self {
        self.system = system;
        self
    }

    /// Adds one argument.
    pub fn arg(mut self, argument: impl AsRef<OsStr>) -> Self {
        self.arguments.push(argument.as_ref().to_owned());
        self
    }

    /// Adds arguments.
    pub fn args<A: AsRef<OsStr>>(mut self, arguments: impl IntoIterator<Item = A>) -> Self {
        self.arguments.extend(arguments.into_iter().map(|argument| argument.as_ref().to_owned()));
        self
    }

    /// Sets one variable of its environment.
    pub fn env(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.environment.push((name.into(), value.into()));
        self
    }

    /// Gives up root for `user`. Has no effect where the lab does not run as root.
    pub fn user(mut self, user: &'static str) -> Self {
        self.user = Some(user);
        self
    }

    /// Runs it in a group of its own, by which its packets are told from those of others. Has no effect where
    /// the lab does not run as root.
    pub fn group(mut self, group: u32) -> Self {
        self.group = Some(group);
        self
    }

    /// Starts it. What it prints is appended to its log, so that a restarted part keeps one log.
    ///
    /// # Errors
    /// When the program is missing or its log cannot be written.
    pub fn spawn(self, run: &Run) -> Result<Process> {
        let program = self.system.found(&self.path)?;
        let log = run.log(&self.name);
        let output = OpenOptions::new().create(true).append(true).open(&log);
        let output = output.context(|| format!("opening {}", log.display()))?;
        let errors = output.try_clone().context(|| format!("opening {}", log.display()))?;

        let mut command = self.system.command("setpriv")?;
        // A change of user clears the death signal, so both are left to setpriv, in its order.
        if let (Some(user), true) = (self.user, geteuid().is_root()) {
            command.args(["--reuid", user, "--regid", user, "--init-groups"]);
        }
        if let (Some(group), true) = (self.group, geteuid().is_root()) {
            command.args(["--regid", &group.to_string(), "--keep-groups"]);
        }
        command.args(["--pdeathsig", "KILL", "--"]).arg(program).args(&self.arguments);
        command.envs(self.environment).env(crate::leftovers::MARK, run.number().to_string());
        command.stdin(Stdio::null()).stdout(output).stderr(errors);
        command.current_dir("/").process_group(0);

        let child = spawn_from_lasting_thread(command)
            .context(|| format!("starting {}", self.path.display()))?;
        Ok(Process { name: self.name, log, child })
    }
}

/// A program that was started. Dropping it kills its whole process group.
///
/// Only a drop waits for the process. Until then its process id cannot become another's, and a signal
/// cannot hit a stranger.
#[derive(Debug)]
pub struct Process {
    name: String,
    log: PathBuf,
    child: Child,
}

impl Process {
    /// The process's name in the lab.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The file that has everything it printed.
    pub fn log(&self) -> &Path {
        &self.log
    }

    /// The process id, which is also the id of the process group.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// How it ended, or `None` while it runs.
    pub fn ended(&self) -> Option<ExitStatus> {
        let flags = WaitPidFlag::WEXITED | WaitPidFlag::WNOHANG | WaitPidFlag::WNOWAIT;
        match waitid(Id::Pid(self.pid()), flags) {
            Ok(WaitStatus::Exited(_, code)) => Some(ExitStatus::from_raw(code << 8)),
            Ok(WaitStatus::Signaled(_, signal, _)) => Some(ExitStatus::from_raw(signal as i32)),
            _ => None,
        }
    }

    /// Sends `signal` to the process: SIGKILL, SIGSTOP and SIGCONT to its children too.
    ///
    /// # Errors
    /// The process has ended already.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        if let Some(status) = self.ended() {
            return Err(LabError::Refused(format!("{} has ended already: {status}", self.name)));
        }
        let sent = match signal {
            Signal::SIGKILL | Signal::SIGSTOP | Signal::SIGCONT => killpg(self.pid(), signal),
            _ => kill(self.pid(), signal),
        };
        sent.map_err(io::Error::from).context(|| format!("sending {signal} to {}", self.name))
    }

    /// Waits for its end.
    ///
    /// # Errors
    /// [`LabError::Deadline`] when it still runs after `deadline`.
    pub async fn exit(&self, deadline: Duration) -> Result<ExitStatus> {
        let what = format!("the end of {}", self.name);
        wait_until(&what, deadline, Some(&self.log), async || match self.ended() {
            Some(status) => Look::Done(status),
            None => Look::NotYet("still running".into()),
        })
        .await
    }

    /// SIGTERM, then its end.
    ///
    /// # Errors
    /// The process had ended already, or does not end within `deadline`.
    pub async fn terminate(&self, deadline: Duration) -> Result<ExitStatus> {
        self.signal(Signal::SIGTERM)?;
        self.exit(deadline).await
    }

    fn pid(&self) -> Pid {
        Pid::from_raw(self.id().cast_signed())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // The group may outlive its leader.
        let _ = killpg(self.pid(), Signal::SIGKILL);
        let _ = self.child.wait();
    }
}

/// Starts `command` from a thread that lives as long as the lab does: the kernel sends the death signal
/// when the *thread* that started a process ends, and a test's own thread ends with the test.
fn spawn_from_lasting_thread(command: Command) -> io::Result<Child> {
    static SPAWNER: LazyLock<Sender<Job>> = LazyLock::new(|| {
        let (jobs, queue) = channel::<Job>();
        std::thread::spawn(move || {
            for (mut command, reply) in queue {
                let _ = reply.send(command.spawn());
            }
        });
        jobs
    });
    let (reply, answer) = channel();
    let gone = |_| io::Error::other("the thread that starts programs is gone");
    SPAWNER.send((command, reply)).map_err(|_| io::Error::other("the spawner is gone"))?;
    answer.recv().map_err(gone)?
}

type Job = (Command, Sender<io::Result<Child>>);
