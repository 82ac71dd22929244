//! The proxy itself: the `ido-proxy` binary, with a configuration made for this lab.

use std::ffi::OsStr;
use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use mysql_async::{Conn, OptsBuilder};
use nix::fcntl::Flock;
use toml::{Table, Value};

use crate::dns::SERVICE;
use crate::error::{Context, LabError, Result};
use crate::galera::{Galera, ICINGA_PASSWORD, ICINGA_USER};
use crate::http::{Answer, fetch};
use crate::icinga::{DEFAULT_SOCKET, Database};
use crate::number::lock;
use crate::part::Part;
use crate::plain::Plain;
use crate::process::Program;
use crate::run::Run;
use crate::sql;
use crate::tool::run_tool;
use crate::wait::{Look, wait_until};

/// The configuration of a proxy of the lab.
#[derive(Clone, Debug)]
pub struct ProxySpec {
    /// The proxy's place in the lab, from 1: proxy N listens at 127.0.X.(100 + N).
    pub index: u8,
    /// Whether its socket is [`DEFAULT_SOCKET`], where `host = "localhost"` leads. One lab at a time can
    /// have it; the next waits. Otherwise the socket lies in the lab's data.
    pub default_socket: bool,
    /// Whether it listens for clients that only read, too.
    pub replica: bool,
    /// The name servers it asks; it looks nothing up if there are none.
    pub nameservers: Vec<SocketAddr>,
    /// The program that it runs, in place of [`binary`].
    pub binary: Option<PathBuf>,
    settings: Vec<(String, Value)>,
}

impl ProxySpec {
    /// Proxy 1 with a socket of its own, and these name servers.
    pub fn new(nameservers: Vec<SocketAddr>) -> Self {
        Self {
            index: 1,
            default_socket: false,
            replica: false,
            nameservers,
            binary: None,
            settings: Vec::new(),
        }
    }

    /// Proxy 1 before plain servers (`topology = "single"`), of which there is usually one.
    pub fn single(nodes: &[SocketAddr]) -> Self {
        let nodes: Vec<_> = nodes.iter().map(ToString::to_string).collect();
        Self::new(Vec::new()).set("topology", "single").set("discovery.nodes", nodes)
    }

    /// Sets one key of its configuration, or replaces what the lab sets: `("failover.hold", "2s")`.
    pub fn set(mut self, key: &str, value: impl Into<Value>) -> Self {
        self.settings.push((key.to_owned(), value.into()));
        self
    }
}

/// A running proxy. Dropping it kills it.
#[derive(Debug)]
pub struct Proxy {
    part: Part,
    run: Arc<Run>,
    index: u8,
    binary: PathBuf,
    config: PathBuf,
    socket: PathBuf,
    _default_socket: Option<Flock<fs::File>>,
}

impl Proxy {
    /// Creates its accounts and tables by `ido-proxy setup`, starts it, and waits until it has a primary.
    ///
    /// # Errors
    /// When the binary is missing, `setup` fails, or no primary is found.
    pub async fn start(run: &Arc<Run>, galera: &Galera, spec: &ProxySpec) -> Result<Self> {
        let proxy = Self::prepare(run, spec).await?;
        proxy.set_up(galera).await?;
        proxy.launch().await?;
        Ok(proxy)
    }

    /// Starts a proxy before one plain server: see [`ProxySpec::single`].
    ///
    /// # Errors
    /// Those of [`Proxy::start`].
    pub async fn start_single(run: &Arc<Run>, server: &Plain, spec: &ProxySpec) -> Result<Self> {
        let proxy = Self::prepare(run, spec).await?;
        proxy.set_up_by(server.connect().await?).await?;
        proxy.launch().await?;
        Ok(proxy)
    }

    /// Starts it, and waits until it has a primary.
    ///
    /// # Errors
    /// The proxy runs already, or finds no primary.
    pub async fn launch(&self) -> Result<()> {
        self.part.launch()?;
        self.ready(START).await
    }

    /// Writes its configuration; it does not run yet, and no account was created.
    ///
    /// # Errors
    /// When the binary is missing, or the default socket stays with another lab.
    pub async fn prepare(run: &Arc<Run>, spec: &ProxySpec) -> Result<Self> {
        let name = format!("proxy{}", spec.index);
        let folder = run.data(&name);
        fs::create_dir_all(&folder).context(|| format!("making {}", folder.display()))?;
        let default_socket =
            if spec.default_socket { Some(default_socket_lock().await?) } else { None };
        let socket = match default_socket {
            Some(_) => PathBuf::from(DEFAULT_SOCKET),
            None => folder.join("proxy.sock"),
        };
        let config = folder.join("ido-proxy.toml");
        let text = configuration(run, spec, &folder, &socket)?;
        fs::write(&config, text).context(|| format!("writing {}", config.display()))?;
        // The file has passwords in it.
        fs::set_permissions(&config, fs::Permissions::from_mode(0o600))
            .context(|| format!("closing {}", config.display()))?;
        let binary = spec.binary.clone().map_or_else(binary, Ok)?;
        let program = Program::new(name, &binary)
            .args(["run", "--config"])
            .arg(&config)
            .group(group(spec.index))
            .env("RUST_BACKTRACE", "1");
        let part = Part::new(run, program);
        let run = Arc::clone(run);
        let (index, _default_socket) = (spec.index, default_socket);
        Ok(Self { part, run, index, binary, config, socket, _default_socket })
    }

    /// Runs `ido-proxy setup` and what it prints, as root on a node that runs.
    ///
    /// # Errors
    /// When the command or its SQL fails.
    pub async fn set_up(&self, galera: &Galera) -> Result<()> {
        let node = galera.nodes().iter().find(|node| node.part().runs());
        let node = node.ok_or_else(|| LabError::Refused("setup: no node runs".into()))?;
        self.set_up_by(node.connect().await?).await
    }

    /// Runs `ido-proxy setup` and what it prints, on a connection of root's.
    ///
    /// # Errors
    /// The command or its SQL fails.
    pub async fn set_up_by(&self, mut root: Conn) -> Result<()> {
        let script = self.tool(&["setup"]).await?;
        sql::script(&mut root, "ido-proxy setup", &script, Duration::from_secs(30)).await?;
        let _ = root.disconnect().await;
        Ok(())
    }

    /// Output of `ido-proxy COMMAND… --config FILE` with this proxy's configuration.
    ///
    /// # Errors
    /// The command fails: with what it wrote to standard error.
    pub async fn tool(&self, command: &[&str]) -> Result<String> {
        let mut arguments: Vec<&OsStr> = command.iter().map(OsStr::new).collect();
        arguments.extend([OsStr::new("--config"), self.config.as_os_str()]);
        let output = run_tool(&self.binary.to_string_lossy(), &arguments, b"").await?;
        Ok(String::from_utf8_lossy(&output).into_owned())
    }

    /// Waits until it has a usable primary.
    ///
    /// # Errors
    /// The proxy has none within `deadline`, or ends.
    pub async fn ready(&self, deadline: Duration) -> Result<()> {
        let what = format!("{} with a primary", self.part.name());
        wait_until(&what, deadline, Some(&self.part.log()), async || {
            match self.get("/health").await {
                Ok(answer) if answer.status == 200 => Look::Done(()),
                Ok(answer) => self.part.look(answer.body.trim()),
                Err(error) => self.part.look(error),
            }
        })
        .await
    }

    /// The proxy's process: id, log, signals.
    pub fn part(&self) -> &Part {
        &self.part
    }

    /// The proxy's configuration file.
    pub fn config(&self) -> &Path {
        &self.config
    }

    /// Where it listens for clients by TCP.
    pub fn tcp(&self) -> SocketAddr {
        self.run.socket(100 + self.index, 3306)
    }

    /// Where it listens for clients by Unix socket.
    pub fn socket(&self) -> &Path {
        &self.socket
    }

    /// Where it listens for clients that only read, by TCP.
    pub fn replica_tcp(&self) -> SocketAddr {
        self.run.socket(100 + self.index, 3307)
    }

    /// Icinga's account as a client that only reads, by TCP. Change it freely.
    pub fn replica_account(&self) -> OptsBuilder {
        sql::account(self.replica_tcp(), ICINGA_USER, ICINGA_PASSWORD).db_name(Some(ICINGA_USER))
    }

    /// Icinga's account as a client that only reads, by Unix socket.
    pub fn replica_socket_account(&self) -> OptsBuilder {
        let socket = replica_socket(&self.run.data(self.part.name()));
        sql::socket_account(&socket, ICINGA_USER, ICINGA_PASSWORD).db_name(Some(ICINGA_USER))
    }

    /// Where `/status`, `/health` and `/metrics` are.
    pub fn http(&self) -> SocketAddr {
        self.run.socket(100 + self.index, 9306)
    }

    /// Where its SQL console is.
    pub fn console(&self) -> SocketAddr {
        self.run.socket(100 + self.index, 6032)
    }

    /// How Icinga reaches it as "localhost".
    pub fn database(&self) -> Database {
        if self.socket == Path::new(DEFAULT_SOCKET) {
            Database::Localhost
        } else {
            Database::Socket(self.socket.clone())
        }
    }

    /// Icinga's account by TCP, with Icinga's database. Change it freely.
    pub fn tcp_account(&self) -> OptsBuilder {
        sql::account(self.tcp(), ICINGA_USER, ICINGA_PASSWORD).db_name(Some(ICINGA_USER))
    }

    /// Icinga's account by Unix socket, with Icinga's database. Change it freely.
    pub fn socket_account(&self) -> OptsBuilder {
        sql::socket_account(&self.socket, ICINGA_USER, ICINGA_PASSWORD).db_name(Some(ICINGA_USER))
    }

    /// Logs in with Icinga's account by TCP.
    ///
    /// # Errors
    /// The proxy does not let us in within 5 s.
    pub async fn connect(&self) -> Result<Conn> {
        sql::connect(self.tcp_account()).await
    }

    /// The group whose packets are its own.
    pub fn group(&self) -> u32 {
        group(self.index)
    }

    /// One page of its HTTP interface.
    ///
    /// # Errors
    /// The proxy does not answer within 2 s.
    pub async fn get(&self, path: &str) -> Result<Answer> {
        fetch(self.http(), path).await
    }

    /// The proxy's `/status`, as JSON.
    ///
    /// # Errors
    /// The proxy does not answer within 2 s.
    pub async fn status(&self) -> Result<serde_json::Value> {
        Ok(self.get("/status").await?.json())
    }

    /// The node that it sends clients to, if any.
    ///
    /// # Errors
    /// The proxy does not answer within 2 s.
    pub async fn primary(&self) -> Result<Option<SocketAddr>> {
        let status = self.status().await?;
        Ok(status["primary"].as_str().and_then(|primary| primary.parse().ok()))
    }
}

fn group(index: u8) -> u32 {
    61_000 + u32::from(index)
}

/// The binary: `IDO_PROXY_BIN`, or else the latest that cargo has built in this workspace.
///
/// # Errors
/// When there is none: `cargo build -p ido-proxy` mends it.
pub fn binary() -> Result<PathBuf> {
    if let Some(path) = std::env::var_os("IDO_PROXY_BIN") {
        return Ok(path.into());
    }
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let target = std::env::var_os("CARGO_TARGET_DIR").unwrap_or_else(|| "target".into());
    let built = |profile: &str| {
        let path = workspace.join(&target).join(profile).join("ido-proxy");
        let modified: SystemTime = fs::metadata(&path).ok()?.modified().ok()?;
        Some((modified, path))
    };
    let latest = ["release", "debug"].into_iter().filter_map(built).max();
    latest.map(|(_, path)| path).ok_or_else(|| {
        LabError::Refused("there is no ido-proxy yet: run cargo build -p ido-proxy".into())
    })
}

fn configuration(run: &Run, spec: &ProxySpec, folder: &Path, socket: &Path) -> Result<String> {
    let at = |port| run.socket(100 + spec.index, port).to_string();
    let nameservers: Vec<_> = spec.nameservers.iter().map(ToString::to_string).collect();
    let user = |name: &str, password: &str| {
        let keys = [("name", name), ("password", password)];
        Value::Table(keys.into_iter().map(|(key, value)| (key.into(), value.into())).collect())
    };
    let defaults = [
        ("state_dir", folder.display().to_string().into()),
        ("listen.addresses", vec![at(3306), socket.display().to_string()].into()),
        ("monitor.user", MONITOR.into()),
        ("monitor.password", MONITOR.into()),
        ("users", Value::Array(vec![user(ICINGA_USER, ICINGA_PASSWORD)])),
        ("admin.http", at(9306).into()),
        ("admin.console", at(6032).into()),
    ];
    let service =
        [("discovery.service", SERVICE.into()), ("discovery.nameservers", nameservers.into())];
    let service = service.into_iter().filter(|_| !spec.nameservers.is_empty());
    let reading = vec![at(3307), replica_socket(folder).display().to_string()];
    let reading = spec.replica.then(|| ("listen.replica_addresses", reading.into()));
    let defaults = defaults.into_iter().chain(service).chain(reading);
    let defaults = defaults.map(|(key, value): (&str, Value)| (key.to_owned(), value));
    let mut table = Table::new();
    for (key, value) in defaults.chain(spec.settings.iter().cloned()) {
        put(&mut table, &key, value)?;
    }
    toml::to_string(&table).map_err(|error| LabError::Refused(error.to_string()))
}

/// The proxy's socket for clients that only read.
fn replica_socket(folder: &Path) -> PathBuf {
    folder.join("replica.sock")
}

/// Sets the value at a dotted `key`.
fn put(table: &mut Table, key: &str, value: Value) -> Result<()> {
    let Some((section, rest)) = key.split_once('.') else {
        table.insert(key.to_owned(), value);
        return Ok(());
    };
    match table.entry(section).or_insert_with(|| Value::Table(Table::new())) {
        Value::Table(inner) => put(inner, rest, value),
        _ => Err(LabError::Refused(format!("{section} is no section"))),
    }
}

/// Waits for the socket that only one lab can have.
async fn default_socket_lock() -> Result<Flock<fs::File>> {
    let path = std::env::temp_dir().join("ido-proxy-lab-socket.lock");
    let what = format!("the turn for {DEFAULT_SOCKET}");
    let held = wait_until(&what, TURN, None, async || match lock(&path) {
        Some(lock) => Look::Done(lock),
        None => Look::NotYet("another lab has it".into()),
    });
    let held = held.await?;
    let folder = Path::new(DEFAULT_SOCKET).parent().unwrap_or_else(|| Path::new("/"));
    fs::create_dir_all(folder).context(|| format!("making {}", folder.display()))?;
    Ok(held)
}

/// The monitor's name, and its password, no secret here.
pub const MONITOR: &str = "ido_proxy";

const START: Duration = Duration::from_secs(30);

/// Longest time for which a story may hold the default socket.
const TURN: Duration = Duration::from_secs(300);

#[cfg(test)]
mod tests {
    use super::*;

    /// A story about a setting would test the default instead, and pass.
    #[test]
    fn settings_reach_the_file() {
        let run = Run::begin().expect("a number is free");
        let spec = ProxySpec::new(vec![run.socket(1, 8600)])
            .set("failover.hold", "2s")
            .set("listen.max_connections", 7);
        let socket = Path::new("/tmp/s.sock");
        let text = configuration(&run, &spec, Path::new("/tmp"), socket).expect("it is TOML");
        let table: Table = text.parse().expect("it is TOML");
        assert_eq!(table["failover"]["hold"].as_str(), Some("2s"));
        assert_eq!(table["listen"]["max_connections"].as_integer(), Some(7));
        let addresses = table["listen"]["addresses"].as_array().expect("still there");
        assert_eq!(addresses.len(), 2);
        assert!(put(&mut Table::from_iter([("a".to_owned(), 1.into())]), "a.b", 2.into()).is_err());
    }
}
