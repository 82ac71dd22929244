//! The command line, and the order of a whole run.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use serde::Serialize;
use tokio::runtime::{Builder, Runtime};

use crate::conditions::Conditions;
use crate::error::{BenchError, Context, Result};
use crate::others::Since;
use crate::own_build;
use crate::progress::Progress;
use crate::report::{Folder, Part, Throughput};
use crate::stand::Stand;
use crate::wakes::{Choice, Knob};
use crate::workload::commit;
use crate::workload::commit::cells::Workload;
use crate::workload::dump::{self, Size};
use crate::workload::failover;
use crate::workload::failover::runs::Fault;
use crate::workload::{batch, latency, results, sessions};

/// Measures what ido-proxy costs, beside a direct connection, HAProxy and nginx.
///
/// It brings up its own MariaDB servers and proxies on addresses of its own in 127.0.0.0/8, changes
/// nothing outside a temporary folder and the folder of results, and ends what it has started. All
/// ways to the server are measured in turns in one run, so other work on the machine disturbs them
/// alike; still, a quiet machine gives better numbers.
///
/// Needs Linux and the packages that `tests/install.sh lab bench` installs. It measures the ido-proxy
/// that lies beside this program (`make bench` builds both), or the one that IDO_PROXY_BIN names.
#[derive(Debug, Parser)]
#[command(name = "bench", after_help = EXAMPLES)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    benchmark: Benchmark,

    /// Fewer rounds: a first impression in a minute. Not for publishing
    #[arg(long, global = true)]
    quick: bool,

    /// Where RESULTS.md, plots and raw numbers go. What other benchmarks left there stays
    #[arg(long, global = true, value_name = "DIR", default_value = "benches/results")]
    output: PathBuf,

    /// Measures another ido-proxy beside, in the same rounds: before and after a change. With latency,
    /// throughput, sessions and commit
    #[arg(long, global = true, value_name = "BINARY")]
    old: Option<PathBuf>,
}

#[derive(Clone, Debug, Subcommand)]
enum Benchmark {
    /// The time of `DO 1` and of one row by its key: percentiles, and what each proxy adds
    Latency,
    /// Icinga's batch, results of 10 MB and 100 MB; CPU and peak memory of each proxy
    Throughput,
    /// The memory of each proxy with 1,000 idle sessions
    Sessions,
    /// The time of a commit, 0, 1 and 5 ms away from the nodes, on one node and on three
    Commit(Commit),
    /// How long a real Icinga 2 takes to fill an empty database, directly and through the proxy
    Icinga(Dump),
    /// How long clients stand still when the node they write to is lost, and what they lose
    Failover(Faults),
    /// All of them, one after the other: about 40 minutes
    All,
}

#[derive(Clone, Debug, Args)]
struct Commit {
    /// Clusters of so many nodes, one after the other
    #[arg(long, value_delimiter = ',', default_values_t = NODES)]
    #[arg(value_parser = clap::value_parser!(u8).range(1..=5))]
    nodes: Vec<u8>,

    /// Round trips between clients and nodes, in milliseconds
    #[arg(long, value_delimiter = ',', value_name = "MS", default_values_t = DISTANCES)]
    #[arg(value_parser = clap::value_parser!(u32).range(..=1000))]
    distances: Vec<u32>,

    /// Workloads, all or some
    #[arg(long, value_enum, value_delimiter = ',', default_values_t = Workload::ALL)]
    workloads: Vec<Workload>,

    /// Cost of waking a process; put back afterwards. Without this option: as the machine has it
    #[arg(long, value_enum)]
    wakes: Option<Choice>,
}

#[derive(Clone, Copy, Debug, Args)]
struct Dump {
    /// Hosts
    #[arg(long, default_value_t = 20_000, value_parser = clap::value_parser!(u32).range(1..))]
    hosts: u32,

    /// Services, spread over the hosts
    #[arg(long, default_value_t = 20_000)]
    services: u32,

    /// Dumps of each way; they take turns
    #[arg(long, default_value_t = 3, value_name = "TIMES")]
    repeat: usize,
}

#[derive(Clone, Debug, Args)]
struct Faults {
    /// Runs of each fault; they take turns
    #[arg(long, default_value_t = 5, value_name = "TIMES")]
    #[arg(value_parser = clap::value_parser!(u32).range(1..))]
    repeat: u32,

    /// Faults to strike the node with, all of them or some
    #[arg(long, value_enum, value_delimiter = ',', default_value = "kill,stop,term")]
    faults: Vec<Fault>,
}

impl Arguments {
    /// Runs what was asked for and prints the results.
    ///
    /// # Errors
    /// When a part does not come up, a connection is lost, or results cannot be written. Benchmarks
    /// that were complete by then are kept.
    pub(crate) fn run(&self) -> Result<()> {
        own_build::insist()?;
        self.check_old()?;
        let session = Session {
            runtime: Builder::new_current_thread()
                .enable_all()
                .build()
                .context(|| "starting the runtime".into())?,
            progress: Progress::new(),
            folder: Folder::open(&self.output)?,
            quick: self.quick,
            old: self.old.clone(),
        };
        raise_file_limit();
        match &self.benchmark {
            Benchmark::Latency => session.with_stand(Session::latency)?,
            Benchmark::Throughput => session.with_stand(Session::throughput)?,
            Benchmark::Sessions => session.with_stand(Session::sessions)?,
            Benchmark::Commit(commit) => session.commit(commit)?,
            Benchmark::Icinga(dump) => session.icinga((*dump).into())?,
            Benchmark::Failover(faults) => session.failover(faults.repeat, &faults.faults)?,
            Benchmark::All => {
                session.with_stand(|session, stand| {
                    session.latency(stand)?;
                    session.throughput(stand)?;
                    session.sessions(stand)
                })?;
                session.commit(&Commit::usual())?;
                session.icinga(session.usual_size())?;
                session.failover(if self.quick { 1 } else { 5 }, &Fault::ALL)?;
            }
        }
        println!("{}", session.folder.render()?);
        Ok(())
    }

    /// # Errors
    /// When there is no such program, or the benchmark would not start it.
    fn check_old(&self) -> Result<()> {
        let Some(old) = &self.old else { return Ok(()) };
        let why = match self.benchmark {
            Benchmark::Icinga(_) | Benchmark::Failover(_) => "has no part in this benchmark",
            _ if !old.is_file() => "is no file",
            _ => return Ok(()),
        };
        Err(BenchError::Refused(format!("--old {}: {why}", old.display())))
    }
}

/// One run of this program.
struct Session {
    runtime: Runtime,
    progress: Progress,
    folder: Folder,
    quick: bool,
    old: Option<PathBuf>,
}

impl Session {
    fn with_stand(&self, measure: impl FnOnce(&Self, &Stand) -> Result<()>) -> Result<()> {
        let step = self.progress.step_of_unknown_length("MariaDB, ido-proxy, HAProxy, nginx");
        let stand = self.runtime.block_on(Stand::start(self.old.as_deref()))?;
        step.finish();
        measure(self, &stand)
    }

    fn latency(&self, stand: &Stand) -> Result<()> {
        self.keep("latency", || latency::measure(stand, self.quick, &self.progress))
    }

    fn throughput(&self, stand: &Stand) -> Result<()> {
        let targets = stand.targets();
        self.keep("throughput", || {
            Ok(Throughput {
                batch: batch::measure(&targets, self.quick, &self.progress)?,
                results: results::measure(&targets, self.quick, &self.progress)?,
            })
        })
    }

    fn sessions(&self, stand: &Stand) -> Result<()> {
        self.keep("sessions", || sessions::measure(&stand.targets(), &self.progress))
    }

    fn commit(&self, commit: &Commit) -> Result<()> {
        let wakes = Knob::take(commit.wakes)?;
        let settings = commit::Settings {
            nodes: &commit.nodes,
            distances: &commit.distances,
            workloads: &commit.workloads,
            old: self.old.as_deref(),
            wakes: &wakes,
            quick: self.quick,
        };
        self.keep("commit", || commit::measure(&settings, &self.runtime, &self.progress))
    }

    fn icinga(&self, size: Size) -> Result<()> {
        self.keep("icinga", || self.runtime.block_on(dump::measure(size, &self.progress)))
    }

    fn failover(&self, repeat: u32, faults: &[Fault]) -> Result<()> {
        self.keep("failover", || {
            self.runtime.block_on(failover::measure(repeat as usize, faults, &self.progress))
        })
    }

    fn usual_size(&self) -> Size {
        if self.quick {
            Size { hosts: 1_000, services: 1_000, repeat: 1 }
        } else {
            Size { hosts: 20_000, services: 20_000, repeat: 3 }
        }
    }

    fn keep<T: Serialize>(&self, name: &str, measure: impl FnOnce() -> Result<T>) -> Result<()> {
        let conditions =
            Conditions::now(command_line(std::env::args().skip(1)), self.old.as_deref());
        let since = Since::now();
        let numbers = measure()?;
        self.folder.keep(name, &Part { conditions: conditions.ended(&since), numbers })
    }
}

impl Commit {
    /// Extent within `all`.
    fn usual() -> Self {
        Self {
            nodes: NODES.to_vec(),
            distances: DISTANCES.to_vec(),
            workloads: Workload::ALL.to_vec(),
            wakes: None,
        }
    }
}

impl From<Dump> for Size {
    fn from(Dump { hosts, services, repeat }: Dump) -> Self {
        Self { hosts, services, repeat }
    }
}

/// The command as typed, without folders: where something lies does not change the results.
fn command_line(arguments: impl Iterator<Item = String>) -> String {
    let mut words = vec!["bench".to_owned()];
    let mut arguments = arguments;
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--output" => drop(arguments.next()),
            word if word.starts_with("--output=") => {}
            "--old" => {
                drop(arguments.next());
                words.push(argument);
            }
            word if word.starts_with("--old=") => words.push("--old".to_owned()),
            _ => words.push(argument),
        }
    }
    words.join(" ")
}

/// A thousand sessions are two thousand open files in a proxy. Programs that are started inherit it.
fn raise_file_limit() {
    if let Ok((_, hard)) = getrlimit(Resource::RLIMIT_NOFILE) {
        // Where it is refused, the connections that do not fit say so.
        let _ = setrlimit(Resource::RLIMIT_NOFILE, hard, hard);
    }
}

const NODES: [u8; 2] = [1, 3];
const DISTANCES: [u32; 3] = [0, 1, 5];

const EXAMPLES: &str = "\
Examples:
  bench latency --quick --output /tmp/try   a first impression, results elsewhere
  bench icinga --hosts 2000 --services 8000 the size of your own Icinga
  bench failover --repeat 1                 each fault once, two minutes
  bench commit --nodes 3 --distances 1      one setting, a minute
  bench commit --old /tmp/before/ido-proxy  before and after a change, side by side
  bench commit --wakes both                 with dear and with cheap wake-ups of processes
  bench all                                 what `make bench` does

Results: benches/results/RESULTS.md, plots (*.svg) and raw numbers (*.json) beside it.";

#[cfg(test)]
mod tests {
    use super::*;

    /// Results that are published must not name folders of the machine that made them.
    #[test]
    fn the_folder_of_results_is_not_published() {
        for typed in ["latency --output /home/me --quick", "latency --output=/home/me --quick"] {
            let words = typed.split(' ').map(str::to_owned);
            assert_eq!(command_line(words), "bench latency --quick");
        }
        for typed in ["commit --old /home/me/ido-proxy --quick", "commit --old=/home/me/x --quick"]
        {
            let words = typed.split(' ').map(str::to_owned);
            assert_eq!(command_line(words), "bench commit --old --quick");
        }
    }

    #[test]
    fn the_command_line_is_consistent() {
        use clap::CommandFactory;
        Arguments::command().debug_assert();
    }

    /// Options after the name of the benchmark are where people type them.
    #[test]
    fn options_may_follow_the_benchmark() {
        let words = ["bench", "icinga", "--hosts", "5", "--quick", "--output", "x"];
        let arguments = Arguments::try_parse_from(words).expect("it is understood");
        assert!(arguments.quick);
        assert!(matches!(arguments.benchmark, Benchmark::Icinga(dump) if dump.hosts == 5));
        assert!(Arguments::try_parse_from(["bench", "icinga", "--hosts", "0"]).is_err());
    }

    /// Published numbers are of all settings.
    #[test]
    fn without_options_a_commit_is_measured_as_by_all() {
        let arguments = Arguments::try_parse_from(["bench", "commit"]).expect("it is understood");
        let Benchmark::Commit(commit) = arguments.benchmark else { panic!("it is another") };
        assert_eq!(format!("{commit:?}"), format!("{:?}", Commit::usual()));
        let some = ["bench", "commit", "--nodes", "3", "--distances", "1,5", "--wakes", "both"];
        let arguments = Arguments::try_parse_from(some).expect("it is understood");
        let Benchmark::Commit(commit) = arguments.benchmark else { panic!("it is another") };
        assert_eq!((commit.nodes, commit.distances), (vec![3], vec![1, 5]));
        assert_eq!(commit.wakes, Some(Choice::Both));
    }

    /// Numbers of a program that never ran would look like a comparison.
    #[test]
    fn an_old_program_is_refused_where_it_has_no_part() {
        let check = |words: &[&str]| {
            Arguments::try_parse_from(words).expect("it is understood").check_old().is_ok()
        };
        assert!(check(&["bench", "failover"]));
        assert!(check(&["bench", "latency", "--old", "/proc/self/exe"]));
        assert!(!check(&["bench", "failover", "--old", "/proc/self/exe"]));
        assert!(!check(&["bench", "latency", "--old", "/nowhere"]));
    }
}
