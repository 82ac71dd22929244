//! A real Icinga 2 with a chosen number of objects, whose checks give random results.

use std::fmt::Write as _;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use crate::counters;
use crate::error::{Context, Result};
use crate::galera::{ICINGA_DATABASE, ICINGA_PASSWORD, ICINGA_USER};
use crate::part::Part;
use crate::process::Program;
use crate::run::Run;
use crate::tool::run_tool;
use crate::wait::{Look, wait_until};

mod masters;

pub use self::masters::{Master, Masters};

/// The objects that Icinga watches, and the database that it writes to.
#[derive(Clone, Debug)]
pub struct IcingaSpec {
    /// How many hosts.
    pub hosts: u32,
    /// How many services, spread over the hosts.
    pub services: u32,
    /// How often each of them is checked. Every check has a new random result.
    pub interval: Duration,
    /// Icinga's database, as its own configuration names it.
    pub database: Database,
    /// Which of two masters it is, if it is one of two.
    pub master: Option<Master>,
}

impl IcingaSpec {
    /// 200 hosts and 1,000 services, checked every 10 s.
    pub fn new(database: Database) -> Self {
        Self {
            hosts: 200,
            services: 1_000,
            interval: Duration::from_secs(10),
            database,
            master: None,
        }
    }
}

/// How Icinga is told where its database is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Database {
    /// `host = "localhost"` and nothing else: MariaDB's client library then takes [`DEFAULT_SOCKET`].
    Localhost,
    /// `host = "localhost"` with a `socket_path`.
    Socket(PathBuf),
    /// An address and a port.
    Tcp(SocketAddr),
}

/// Where MariaDB's client library of Debian looks for "localhost".
pub const DEFAULT_SOCKET: &str = "/run/mysqld/mysqld.sock";

/// A running Icinga. Dropping it kills it; [`Icinga::end`] lets it write what it has first.
#[derive(Debug)]
pub struct Icinga {
    part: Part,
    spec: IcingaSpec,
}

impl Icinga {
    /// How long it may take until it is connected and has written some thousands of objects.
    pub const PATIENCE: Duration = Duration::from_secs(120);

    /// Starts it and waits for nothing.
    ///
    /// # Errors
    /// Icinga is not installed.
    pub async fn launch(run: &Arc<Run>, spec: IcingaSpec) -> Result<Self> {
        let name = spec.master.as_ref().map_or("icinga", |master| master.name);
        let folder = run.data(name);
        for sub in ["etc", "data", "log", "cache", "spool", "run"] {
            let path = folder.join(sub);
            fs::create_dir_all(&path).context(|| format!("making {}", path.display()))?;
        }
        let file = folder.join("etc/icinga2.conf");
        fs::write(&file, configuration(&spec)).context(|| format!("writing {}", file.display()))?;
        if let Some(master) = &spec.master {
            master.certify(&folder.join("data/certs"))?;
        }
        if nix::unistd::geteuid().is_root() {
            let owner = format!("{USER}:{USER}");
            let arguments = ["-R".as_ref(), owner.as_ref(), folder.as_os_str()];
            run_tool("chown", &arguments, b"").await?;
        }
        let part = Part::new(run, program(name, &folder, &file));
        part.launch()?;
        Ok(Self { part, spec })
    }

    /// Waits until it says that it is connected to its database and has written all its objects there.
    ///
    /// # Errors
    /// Icinga has not within `deadline`, or ends.
    pub async fn connected(&self, deadline: Duration) -> Result<()> {
        let what = "Icinga connected to its database";
        wait_until(what, deadline, Some(&self.part.log()), async || {
            let log = self.read_log().unwrap_or_default();
            if log.contains(CONNECTED) {
                return Look::Done(());
            }
            let last = log.lines().rev().find(|line| line.contains("IdoMysqlConnection"));
            self.part.look(last.unwrap_or("nothing of its database in its log"))
        })
        .await
    }

    /// SIGTERM: it writes what it has and ends. Afterwards rows can be counted.
    ///
    /// # Errors
    /// Icinga does not end within five minutes, or ends with a failure.
    pub async fn end(&self) -> Result<()> {
        self.part.term_within(LAST_WORDS).await
    }

    /// Icinga's process: id, log, signals.
    pub fn part(&self) -> &Part {
        &self.part
    }

    /// The specification of this Icinga.
    pub fn spec(&self) -> &IcingaSpec {
        &self.spec
    }

    /// State changes in its log so far: see [`counters::state_changes`].
    ///
    /// # Errors
    /// When the log cannot be read.
    pub fn state_changes(&self) -> Result<usize> {
        Ok(counters::state_changes(&self.read_log()?))
    }

    /// The lines of its log in which its database connection warns or fails.
    ///
    /// # Errors
    /// When the log cannot be read.
    pub fn ido_errors(&self) -> Result<Vec<String>> {
        let log = self.read_log()?;
        Ok(counters::ido_errors(&log).into_iter().map(str::to_owned).collect())
    }

    /// How often it has connected to its database so far. Each time it reads all it has there again.
    ///
    /// # Errors
    /// When the log cannot be read.
    pub fn connections(&self) -> Result<usize> {
        Ok(self.read_log()?.matches(CONNECTED).count())
    }

    fn read_log(&self) -> Result<String> {
        let path = self.part.log();
        let log = fs::read(&path).context(|| format!("reading {}", path.display()))?;
        Ok(String::from_utf8_lossy(&log).into_owned())
    }
}

fn program(name: &str, folder: &Path, file: &Path) -> Program {
    let define = |name: &str, sub: &str| format!("-D{name}={}", folder.join(sub).display());
    // State changes are told at severity "notice". What it logs on its console is complete and flushed
    // line by line, so its log needs no file of its own.
    Program::new(name, "icinga2")
        .user(USER)
        .args(["daemon", "--log-level", "notice", "--config"])
        .arg(file)
        .arg(define("ConfigDir", "etc"))
        .arg(define("DataDir", "data"))
        .arg(define("LogDir", "log"))
        .arg(define("CacheDir", "cache"))
        .arg(define("SpoolDir", "spool"))
        .arg(define("InitRunDir", "run"))
}

fn configuration(spec: &IcingaSpec) -> String {
    let name = spec.master.as_ref().map_or("lab", |master| master.name);
    let mut text = format!("const NodeName = \"{name}\"\n");
    text.push_str(
        "include <itl>\n\
         object CheckerComponent \"checker\" { }\n\
         object IdoMysqlConnection \"ido-mysql\" {\n",
    );
    let mut attribute = |name: &str, value: &str| {
        // Icinga's language wants each attribute on its own line.
        let _ = writeln!(text, "\t{name} = {value}");
    };
    match &spec.database {
        Database::Localhost => attribute("host", "\"localhost\""),
        Database::Socket(path) => {
            attribute("host", "\"localhost\"");
            attribute("socket_path", &format!("\"{}\"", path.display()));
        }
        Database::Tcp(address) => {
            attribute("host", &format!("\"{}\"", address.ip()));
            attribute("port", &address.port().to_string());
        }
    }
    attribute("user", &format!("\"{ICINGA_USER}\""));
    attribute("password", &format!("\"{ICINGA_PASSWORD}\""));
    attribute("database", &format!("\"{ICINGA_DATABASE}\""));
    text.push_str("}\n");

    if let Some(master) = &spec.master {
        text.push_str(&master.configuration());
    }
    let interval = spec.interval.as_secs_f64();
    for kind in ["Host", "Service"] {
        let _ = write!(
            text,
            "template {kind} \"lab\" {{\n\
             \tcheck_command = \"random\"\n\
             \tcheck_interval = {interval}s\n\
             \tretry_interval = {interval}s\n\
             \tmax_check_attempts = 1\n\
             }}\n"
        );
    }
    let (hosts, services) = (spec.hosts, spec.services);
    let _ = write!(
        text,
        "for (number in range({hosts})) {{\n\
         \tobject Host \"host\" + number {{\n\
         \t\timport \"lab\"\n\
         \t}}\n\
         }}\n\
         for (number in range({services})) {{\n\
         \tvar host = \"host\" + number % {hosts}\n\
         \tobject Service \"service\" + number use (host) {{\n\
         \t\timport \"lab\"\n\
         \t\thost_name = host\n\
         \t}}\n\
         }}\n"
    );
    text
}

/// Line that Icinga logs once it is connected and has written its objects.
const CONNECTED: &str = "Finished reconnecting to 'ido-mysql'";

/// How long it may take to write what it has: after a first dump, some hundred thousand statements, on a
/// machine that others use too.
const LAST_WORDS: Duration = Duration::from_secs(300);

/// Whom Debian's Icinga runs as.
const USER: &str = "nagios";

#[cfg(test)]
mod tests {
    use super::*;

    /// The promise is that Icinga is told `host = "localhost"` and nothing more.
    #[test]
    fn localhost_is_all_that_icinga_is_told() {
        let text = configuration(&IcingaSpec::new(Database::Localhost));
        assert!(text.contains("\thost = \"localhost\"\n"));
        assert!(!text.contains("\tport = ") && !text.contains("socket_path"));
    }

    /// Labs side by side cannot share the one default socket.
    #[test]
    fn other_databases_are_named_in_full() {
        let socket = Database::Socket("/tmp/s.sock".into());
        let text = configuration(&IcingaSpec::new(socket));
        assert!(text.contains("\tsocket_path = \"/tmp/s.sock\"\n"));
        let tcp = Database::Tcp(([127, 0, 20, 1], 3306).into());
        let text = configuration(&IcingaSpec::new(tcp));
        assert!(text.contains("\thost = \"127.0.20.1\"\n\tport = 3306\n"));
    }
}
