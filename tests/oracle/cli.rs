//! The command line of `oracle`.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use clap::{Parser, ValueEnum};
use lab::error::{Context, LabError, Result};

use crate::campaign::{self, Plan};
use crate::generate::{self, Limits};
use crate::known::Known;
use crate::program::Program;
use crate::run::Pair;
use crate::shrink::tried;
use crate::stand::{Running, Stand};

/// Random SQL programs, directly and through the proxy: whatever a client can see must be the same.
///
/// Each program is run on a connection to the primary and on one through the proxy, in two databases that
/// are equal. Every packet is compared, and what is in the tables at the end. A difference is made as small
/// as it can be, and printed with the seed of its program.
#[derive(Debug, Parser)]
#[command(
    name = "oracle",
    after_help = "A lab of its own is started unless --direct and --proxy are given. Examples:\n  \
    oracle --minutes 3                        as many programs as that allows\n  \
    oracle --programs 1000 --seed 7           the programs 7 to 1006\n  \
    oracle --seed 1234 --programs 1 --show    one of them, and what both sides answered\n  \
    oracle --program FILE --show              one that was kept as JSON\n  \
    oracle --minutes 10 --faults 5            links break, and nobody may lose a row by it\n  \
    oracle --minutes 30 --faults 1 --break node --nodes 3    nodes are killed\n\n\
    Exit code 1: a difference that tests/oracle/known.toml does not list."
)]
pub(crate) struct Cli {
    /// Programs to run
    #[arg(long, value_name = "N")]
    programs: Option<u64>,
    /// Minutes to run
    #[arg(long, value_name = "M", conflicts_with = "hours")]
    minutes: Option<f64>,
    /// Hours to run
    #[arg(long, value_name = "H")]
    hours: Option<f64>,
    /// The number of the first program; by the clock unless given
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
    /// Programs at the same time
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u8).range(1..=99))]
    jobs: u8,
    /// Run one program from a file of JSON; with --faults as often as --programs says, with others each time
    #[arg(long, value_name = "FILE")]
    program: Option<PathBuf>,
    /// Show all answers of both sides; takes --program, or --programs 1
    #[arg(long)]
    show: bool,
    /// Print programs and run nothing
    #[arg(long)]
    print: bool,
    /// Leave out these groups, kinds of statements or flags of a login
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    without: Vec<String>,
    /// One session a program
    #[arg(long)]
    alone: bool,
    /// Nodes of the lab
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..=3))]
    nodes: u8,
    /// Faults to try on each program: its link between proxy and node breaks
    #[arg(long, default_value_t = 0, value_name = "N", conflicts_with = "direct")]
    faults: u8,
    /// The part that breaks with a fault
    #[arg(long = "break", value_enum, default_value_t = Breaks::Link, requires = "faults")]
    breaks: Breaks,
    /// The node that is the primary, if servers run
    #[arg(long, value_name = "HOST:PORT", requires = "proxy")]
    direct: Option<SocketAddr>,
    /// The proxy, if servers run
    #[arg(long, value_name = "HOST:PORT", requires = "direct")]
    proxy: Option<SocketAddr>,
    /// The account of the programs, known to the proxy and granted the fence
    #[arg(long, default_value = "icinga")]
    user: String,
    /// Password of the programs' account
    #[arg(long, default_value = "icinga")]
    password: String,
    /// The account that makes the databases, on the direct connection
    #[arg(long, default_value = "root")]
    root: String,
    /// Password of the account that makes the databases
    #[arg(long, default_value = "")]
    root_password: String,
    /// The list of known differences
    #[arg(long, value_name = "FILE", default_value = KNOWN)]
    known: PathBuf,
    /// Write the report to this file whenever something is found
    #[arg(long, value_name = "FILE")]
    report: Option<PathBuf>,
}

/// Part that breaks with a fault.
#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
enum Breaks {
    /// The link of the program between proxy and node
    Link,
    /// The node, by SIGKILL: one program at a time, some seconds each
    Node,
}

impl Cli {
    /// Does what the command line says. Code 1 says that a difference was found, 2 that it could not be done.
    pub(crate) async fn execute(self) -> ExitCode {
        let ended = tokio::select! {
            ended = self.done() => ended,
            _ = tokio::signal::ctrl_c() => Err(LabError::Refused("interrupted".into())),
        };
        match ended {
            Ok(true) => ExitCode::SUCCESS,
            Ok(false) => ExitCode::FAILURE,
            Err(error) => {
                eprintln!("oracle: {error}");
                ExitCode::from(2)
            }
        }
    }

    /// Whether no unknown difference was found.
    async fn done(self) -> Result<bool> {
        let known = Known::read(&self.known)?;
        let mut plan = self.plan();
        let kills = self.breaks == Breaks::Node;
        if kills && self.nodes < 3 {
            let remedy = "one node alone is no majority: give --nodes 3";
            return Err(LabError::Refused(remedy.into()));
        }
        if let Some(path) = &self.program {
            let text = std::fs::read_to_string(path);
            let text = text.context(|| format!("reading {}", path.display()))?;
            let program = serde_json::from_str(&text)
                .map_err(|error| LabError::Refused(format!("{}: {error}", path.display())))?;
            plan.program = Some(program);
        }
        if self.print {
            for seed in plan.first_seed..plan.first_seed + plan.programs.unwrap_or(1) {
                println!("{seed}:\n{}", generate::program(seed, &plan.limits));
            }
            return Ok(true);
        }
        let mut stand = match (self.direct, self.proxy) {
            (Some(direct), Some(proxy)) => {
                let running = Running {
                    direct,
                    proxy,
                    user: self.user.clone(),
                    password: self.password.clone(),
                    root: self.root.clone(),
                    root_password: self.root_password.clone(),
                };
                Stand::running(&running).await?
            }
            _ => Stand::lab(self.nodes, kills).await?,
        };
        if self.faults > 0 {
            stand.break_links().await?;
            if kills {
                stand.kill_nodes();
            }
        }
        eprintln!("oracle: {}, first seed {}", stand.name(), plan.first_seed);
        let well = match &plan.program {
            Some(program) if self.faults == 0 => self.single(&stand, program, &known).await?,
            _ if self.show => {
                let program = generate::program(plan.first_seed, &plan.limits);
                self.single(&stand, &program, &known).await?
            }
            _ => {
                let ledger = campaign::run(&stand, plan, known).await?;
                println!("{}", ledger.report());
                if let Some(path) = &self.report {
                    ledger.write(path)?;
                }
                ledger.unknown() == 0
            }
        };
        stand.end().await?;
        Ok(well)
    }

    /// Runs one program and tells all of it.
    async fn single(&self, stand: &Stand, program: &Program, known: &Known) -> Result<bool> {
        let apart = stand.killer.is_some();
        let mut pair = Pair::make(&stand.root, &stand.direct, &stand.proxy, 0, apart).await?;
        println!("{program}");
        if self.show {
            let (direct, proxy) = pair.run(program, true).await?;
            for (name, transcript) in [("direct", direct), ("proxy", proxy)] {
                println!("{name}:");
                for seen in transcript.logins {
                    seen.iter().for_each(|packet| println!("   login  {packet}"));
                }
                for (step, seen) in transcript.steps.iter().enumerate() {
                    let seen = seen.iter().filter(|packet| packet.kind != "column");
                    seen.for_each(|packet| println!("  {step:>3}  {packet}"));
                }
            }
        }
        let found = tried(&mut pair, program, known, true).await?;
        pair.remove().await?;
        match &found {
            Some(found) => println!("{found}"),
            None => println!("  no difference"),
        }
        Ok(found.is_none_or(|found| known.entry(program, &found).is_some()))
    }

    fn plan(&self) -> Plan {
        let clock = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let minutes = self.minutes.or_else(|| self.hours.map(|hours| hours * 60.0));
        let time = minutes.map(|minutes| Duration::from_secs_f64(minutes * 60.0));
        // Tables that Galera does not replicate are others at each node.
        let alone = (self.breaks == Breaks::Node).then(|| "engine".to_owned());
        let without = self.without.iter().cloned().chain(alone).collect();
        Plan {
            program: None,
            first_seed: self.seed.unwrap_or(clock.as_secs() * 1000),
            programs: self.programs.or_else(|| time.is_none().then_some(1000)),
            time,
            workers: if self.breaks == Breaks::Node { 1 } else { usize::from(self.jobs) },
            limits: Limits {
                without,
                alone: self.alone || self.faults > 0,
                database: self.faults > 0,
            },
            report: self.report.clone(),
            faults: usize::from(self.faults),
        }
    }
}

const KNOWN: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/oracle/known.toml");
