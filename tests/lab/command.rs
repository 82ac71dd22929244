//! The commands of `lab`, one file each.

use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};
use lab::galera::Profile;
use lab::{Lab, Result};
use tokio::signal::unix::{SignalKind, signal};

use self::progress::Progress;

mod clean;
mod demo;
mod latency;
mod progress;
mod servers;
mod traffic;
mod up;

/// Real MariaDB Galera, Consul, ido-proxy and Icinga 2, all on this machine's loopback range.
///
/// Each lab takes a free number X and lives on 127.0.X.0/24: Galera nodes and Consul servers at .1 to
/// .5, the proxy at .101. Several labs run side by side. Nothing outside is touched, and everything
/// ends with the command. Logs stay in .lab/run-*/, one file a part.
#[derive(Debug, Parser)]
#[command(
    name = "lab",
    after_help = "It takes root, and what tests/install.sh installs. Examples:\n  \
    lab demo                          see Icinga write for a minute, and its primary die\n  \
    lab up                            the same, left up until Ctrl-C\n  \
    lab up --no-icinga --nodes 5      five nodes and a proxy, to try things with the mariadb client\n  \
    lab clean                         end what a crashed lab left behind"
)]
pub(crate) struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Bring everything up and leave it so until Ctrl-C
    Up(up::Up),
    /// Show a minute of Icinga writing through the proxy, kill the primary, and check that nothing was lost
    Demo(demo::Demo),
    /// List the kinds of servers that --server takes
    Servers,
    /// End processes and remove data that crashed labs left behind; living labs are not touched
    Clean,
}

impl Cli {
    /// Does what the command line says, until done or interrupted. Code 0 says that all went well, 1
    /// that something failed, 130 that it was interrupted.
    pub(crate) async fn execute(self) -> ExitCode {
        let work = async {
            match self.command {
                Command::Up(up) => up.execute().await,
                Command::Demo(demo) => demo.execute().await,
                Command::Servers => Ok(servers::execute()),
                Command::Clean => Ok(clean::execute()),
            }
        };
        // Whichever comes first, the other is dropped, and what it started ends with it.
        tokio::select! {
            ended = work => ended.unwrap_or_else(|error| {
                eprintln!("lab: {error}");
                ExitCode::FAILURE
            }),
            () = interrupted() => {
                eprintln!("lab: interrupted, all of it was ended");
                ExitCode::from(130)
            }
        }
    }
}

/// The size of a lab.
#[derive(Args, Debug)]
struct Size {
    /// Galera nodes
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u8).range(1..=5))]
    nodes: u8,
    /// Icinga's hosts
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u32).range(1..))]
    hosts: u32,
    /// Icinga's services, spread over the hosts
    #[arg(long, default_value_t = 1000)]
    services: u32,
    /// Seconds between two checks of a host or service
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..), value_name = "SECONDS")]
    interval: u64,
    /// Kind of servers: see `lab servers`
    #[arg(long, env = Profile::VARIABLE, default_value_t)]
    server: Profile,
    /// Let Icinga reach the proxy by a socket of this lab, not by MariaDB's default one, which only one
    /// lab at a time can have
    #[arg(long)]
    private_socket: bool,
}

impl Size {
    /// A lab of this size, with a proxy and Icinga if wanted, told of as it comes up.
    async fn start(&self, proxy: bool, icinga: bool) -> Result<Lab> {
        let progress = Progress::new();
        let mut builder = Lab::builder().server(self.server).nodes(self.nodes);
        builder = builder.on_step(move |name, step| progress.show(name, step));
        if proxy {
            builder = builder.proxy();
            if !self.private_socket {
                builder = builder.default_socket();
            }
        }
        if icinga {
            let interval = Duration::from_secs(self.interval);
            builder = builder.icinga(self.hosts, self.services, interval);
        }
        builder.start().await
    }
}

/// Where everything of `lab` is, for people to look at.
fn print_addresses(lab: &Lab) {
    println!();
    for proxy in &lab.proxies {
        let (console, monitor) = (proxy.console(), lab::proxy::MONITOR);
        let (host, port) = (console.ip(), console.port());
        println!("  status page   http://{}/", proxy.http());
        println!(
            "  console       mariadb -h {host} -P {port} -u {monitor} -p{monitor} -e 'SHOW NODES'"
        );
        println!("  the proxy     {} and {}", proxy.tcp(), proxy.socket().display());
    }
    for node in lab.galera.nodes() {
        println!("  {:13} {} (root, no password)", node.name(), node.address());
    }
    println!("  names from    {}", lab.discovery.kind());
    println!("  logs          {}\n", lab.run.logs().display());
}

/// SIGINT or SIGTERM.
async fn interrupted() {
    let term = async {
        match signal(SignalKind::terminate()) {
            Ok(mut term) => term.recv().await,
            Err(_) => std::future::pending().await,
        }
    };
    tokio::select! {
        _ = tokio::signal::ctrl_c() => {}
        _ = term => {}
    }
}
