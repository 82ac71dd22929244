//! The whole file: its tables together, read and checked at once.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::admin::{self, Admin};
use crate::control::{self, Control};
use crate::discovery::{self, Discovery, RawDiscovery};
use crate::failover::{self, Failover};
use crate::journal::{self, Journal};
use crate::keys::{ARRAY_OF_TABLES, Key, Keys, key};
use crate::listen::{self, Listen};
use crate::logs::{self, Logs};
use crate::monitor::{self, Monitor, RawMonitor};
use crate::problem::{Errors, Problem};
use crate::report::Report;
use crate::secret::{self, Surroundings};
use crate::tls::{self, RawTls, Tls};
use crate::topology::Topology;
use crate::users::{self, RawUser, User};

/// The whole configuration.
#[derive(Debug)]
pub struct Config {
    /// Where the proxy keeps what must survive a restart. Default: `/var/lib/ido-proxy`.
    pub state_dir: PathBuf,
    /// The kind of server behind the proxy. Default: a Galera cluster.
    pub topology: Topology,
    /// Threads of the data path, 1 to 64. Default: 1.
    pub workers: usize,
    /// `[listen]`
    pub listen: Listen,
    /// `[discovery]`
    pub discovery: Discovery,
    /// `[tls]`
    pub tls: Tls,
    /// `[monitor]`
    pub monitor: Monitor,
    /// `[[users]]`: at least one, each name once.
    pub users: Vec<User>,
    /// `[control]`
    pub control: Control,
    /// `[failover]`
    pub failover: Failover,
    /// `[journal]`
    pub journal: Journal,
    /// `[admin]`
    pub admin: Admin,
    /// `[logs]`
    pub logs: Logs,
    warnings: Vec<Problem>,
}

/// Values from the environment of the process, handed in so that nothing here reads the environment.
#[derive(Clone, Debug, Default)]
pub struct Environment {
    /// systemd's `$CREDENTIALS_DIRECTORY` (systemd.exec(5), `LoadCredential=`), if it is set.
    pub credentials_directory: Option<PathBuf>,
}

impl Config {
    /// Reads the file at `path`.
    ///
    /// # Errors
    /// Everything that is wrong with the file, its password files included, or why it cannot be read.
    pub fn load(path: &Path, env: &Environment) -> Result<Self, Errors> {
        let unreadable = |error| Errors::unreadable(path, &error);
        let text = fs::read_to_string(path).map_err(unreadable)?;
        let mode = fs::metadata(path).map_err(unreadable)?.permissions().mode();
        Self::read(
            &text,
            &path.display().to_string(),
            &Surroundings {
                base_dir: path.parent().unwrap_or_else(|| Path::new("")),
                credentials_directory: env.credentials_directory.as_deref(),
                file_is_public: mode & secret::READABLE_BY_OTHERS != 0,
            },
        )
    }

    /// Like [`Config::load`], from text in memory. `file_name` is how errors call it; relative paths
    /// in it are relative to `base_dir`.
    ///
    /// # Errors
    /// Everything that is wrong with the text and with the password files it names.
    pub fn parse(
        text: &str,
        file_name: &str,
        base_dir: &Path,
        env: &Environment,
    ) -> Result<Self, Errors> {
        Self::read(
            text,
            file_name,
            &Surroundings {
                base_dir,
                credentials_directory: env.credentials_directory.as_deref(),
                file_is_public: false,
            },
        )
    }

    /// Problems that are no errors, but deserve a line in the log.
    pub fn warnings(&self) -> &[Problem] {
        &self.warnings
    }

    fn read(text: &str, file_name: &str, around: &Surroundings<'_>) -> Result<Self, Errors> {
        let mut report = Report::new(text, file_name, KEYS)?;
        let raw: Raw = report.read().unwrap_or_default();
        raw.check(&mut report);
        let discovery = raw.discovery.resolve(raw.topology, around, &mut report);
        let tls = raw.tls.resolve(around, &mut report);
        let monitor = raw.monitor.resolve(around, &mut report);
        let users = users::resolve(raw.users, &monitor, around, &mut report);
        Ok(Self {
            state_dir: around.base_dir.join(raw.state_dir),
            topology: raw.topology,
            workers: raw.workers,
            listen: raw.listen,
            discovery,
            tls,
            monitor,
            users,
            control: raw.control,
            failover: raw.failover,
            journal: raw.journal,
            admin: raw.admin,
            logs: raw.logs,
            // Last: this is where errors end the reading.
            warnings: report.finish()?,
        })
    }
}

/// The file as serde reads it: every value has the right type and is acceptable by itself.
#[derive(Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Raw {
    state_dir: PathBuf,
    topology: Topology,
    workers: usize,
    listen: Listen,
    discovery: RawDiscovery,
    tls: RawTls,
    monitor: RawMonitor,
    users: Vec<RawUser>,
    control: Control,
    failover: Failover,
    journal: Journal,
    admin: Admin,
    logs: Logs,
}

impl Default for Raw {
    fn default() -> Self {
        Self {
            state_dir: PathBuf::from("/var/lib/ido-proxy"),
            topology: Topology::default(),
            workers: 1,
            listen: Listen::default(),
            discovery: RawDiscovery::default(),
            tls: RawTls::default(),
            monitor: RawMonitor::default(),
            users: Vec::new(),
            control: Control::default(),
            failover: Failover::default(),
            journal: Journal::default(),
            admin: Admin::default(),
            logs: Logs::default(),
        }
    }
}

impl Raw {
    /// Checks for what serde cannot see: ranges, and values that do not go together.
    fn check(&self, report: &mut Report<'_>) {
        if self.state_dir.as_os_str().is_empty() {
            report.wrong_value("state_dir", "empty");
        }
        if !(1..=64).contains(&self.workers) {
            report.wrong_value("workers", "not in 1 to 64");
        }
        self.listen.check(report);
        self.failover.check(report);
        self.journal.check(report);
        self.admin.check(&self.listen, report);
    }
}

/// Every key of the file.
pub(crate) const KEYS: Keys = Keys {
    tables: &[
        ("", TOP_LEVEL),
        ("listen", listen::KEYS),
        ("discovery", discovery::KEYS),
        ("tls", tls::KEYS),
        ("monitor", monitor::KEYS),
        (ARRAY_OF_TABLES, users::KEYS),
        ("control", control::KEYS),
        ("failover", failover::KEYS),
        ("journal", journal::KEYS),
        ("admin", admin::KEYS),
        ("logs", logs::KEYS),
    ],
};

/// Keys outside of tables.
const TOP_LEVEL: &[Key] = &[
    key("state_dir", "a folder that the proxy may write to, as in \"/var/lib/ido-proxy\""),
    key("topology", "\"galera\" for a cluster, or \"single\" for one plain server"),
    key("workers", "a number of threads from 1 to 64; 1 is right for Icinga"),
];
