//! One plain MariaDB server that belongs to no cluster: what most stories about clients need.
//!
//! The server stands at the address of node 1 and has what Galera's nodes have: root without a password, and
//! Icinga's account and database.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use mysql_async::{Conn, Row};

use crate::error::Result;
use crate::galera::server::{SOCKET, server};
use crate::galera::{Profile, template};
use crate::part::Part;
use crate::run::Run;
use crate::sql;
use crate::wait::{Look, wait_until};

/// A plain server, running or not. Dropping it kills it.
#[derive(Debug)]
pub struct Plain {
    address: SocketAddr,
    socket: PathBuf,
    part: Part,
}

impl Plain {
    /// Starts it, with these arguments more, and waits until it answers.
    ///
    /// # Errors
    /// When mariadbd is missing, or does not come up.
    pub async fn start(run: &Arc<Run>, arguments: &[&str]) -> Result<Self> {
        let plain = Self::prepare(run, arguments).await?;
        plain.launch().await?;
        Ok(plain)
    }

    /// Prepares its data. It does not run yet.
    ///
    /// # Errors
    /// When mariadbd is missing, or the disk is full.
    pub async fn prepare(run: &Arc<Run>, arguments: &[&str]) -> Result<Self> {
        let profile = Profile::chosen()?;
        let folder = run.data(NAME);
        template::copy(run, profile, std::slice::from_ref(&folder)).await?;
        let address = run.socket(1, 3306);
        let program = server(NAME, &folder, profile)
            .arg(format!("--bind-address={}", address.ip()))
            .args(NO_CLUSTER)
            .args(arguments);
        let socket = folder.join(SOCKET);
        Ok(Self { address, socket, part: Part::new(run, program) })
    }

    /// Starts it, at first or again, and waits until it answers.
    ///
    /// # Errors
    /// The server runs already, or does not come up.
    pub async fn launch(&self) -> Result<()> {
        self.part.launch()?;
        let what = format!("{NAME} answers");
        wait_until(&what, START, Some(&self.part.log()), async || match self.connect().await {
            Ok(_conn) => Look::Done(()),
            Err(error) => self.part.look(error),
        })
        .await
    }

    /// Where it serves SQL.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Where it serves SQL by Unix socket.
    pub fn socket(&self) -> &Path {
        &self.socket
    }

    /// Logs in as root, past any proxy.
    ///
    /// # Errors
    /// The server does not answer within 5 s.
    pub async fn connect(&self) -> Result<Conn> {
        sql::connect(sql::root(self.address)).await
    }

    /// Waits until `user` has so many connections to it.
    ///
    /// # Errors
    /// When that takes longer than `deadline`.
    pub async fn links(&self, user: &str, links: usize, deadline: Duration) -> Result<()> {
        let mut root = self.connect().await?;
        let what = format!("{links} connections of {user} at {NAME}");
        wait_until(&what, deadline, Some(&self.part.log()), async || {
            // Not information_schema: MariaDB 10.11.19 was seen to crash there when a client left.
            match sql::rows::<Row>(&mut root, "SHOW PROCESSLIST").await {
                Err(error) => self.part.look(error),
                Ok(rows) => {
                    let of_user =
                        |row: &&Row| row.get::<String, _>("User").as_deref() == Some(user);
                    match rows.iter().filter(of_user).count() {
                        found if found == links => Look::Done(()),
                        found => self.part.look(format!("{found}")),
                    }
                }
            }
        })
        .await
    }

    /// The server's process: log, signals.
    pub fn part(&self) -> &Part {
        &self.part
    }
}

const NAME: &str = "plain";

/// The last word on an option counts: these take back what makes a server a node.
const NO_CLUSTER: [&str; 2] = ["--wsrep-on=OFF", "--wsrep-provider=none"];

const START: Duration = Duration::from_secs(60);
