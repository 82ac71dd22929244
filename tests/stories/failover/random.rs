//! Faults in an order that nobody chose, with writers of every kind at work.
//!
//! The seed is printed, and can be given again: `IDO_PROXY_SEED=7 IDO_PROXY_FAULTS=100 cargo test -p
//! ido-proxy-tests --test stories failover::random`. The same seed makes the same faults; when they strike
//! is up to the machine.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use lab::Result;
use lab::agreement::Watch;
use lab::galera::Node;
use lab::ledger::{Pattern, Writer};
use lab::wait::{Look, wait_until};
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use tokio::time::sleep;

use super::stage::{PATTERNS, RECOVERY, Stage, Story, UNTOLD};

/// Whatever was not thought of.
#[tokio::test]
async fn nothing_is_lost_whatever_happens_to_the_nodes() -> Story {
    // The primary is what hurts most.
    storm(faults(), &Victim::ANY, &[&PATTERNS]).await
}

/// Clients of two proxies write to two nodes for a moment, when the primary is another one.
#[tokio::test]
async fn nothing_is_lost_where_clients_of_two_proxies_write() -> Story {
    storm(faults(), &Victim::ANY, &[&UNTOLD, &UNTOLD]).await
}

/// The other nodes come and go, and nobody moves for it. A primary that had to leave the cluster's primary
/// component, or to give its state to a node that came back, was left with reason: Galera chooses as it likes.
#[tokio::test]
async fn nothing_is_lost_and_nobody_moves_whatever_happens_to_the_other_nodes() -> Story {
    storm(faults().div_ceil(2), &[Victim::Other], &[&PATTERNS, &UNTOLD]).await
}

/// Whom a fault strikes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Victim {
    Primary,
    Other,
}

impl Victim {
    const ANY: [Self; 4] = [Self::Primary, Self::Primary, Self::Primary, Self::Other];
}

async fn storm(faults: u64, victims: &[Victim], clients: &[&[Pattern]]) -> Story {
    let seed = number("IDO_PROXY_SEED").unwrap_or_else(|| {
        SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
    });
    let mut random = StdRng::seed_from_u64(seed);
    eprintln!("IDO_PROXY_SEED={seed}, {faults} faults");
    let stage = Stage::with(|builder| builder.proxies(PROXIES)).await?;
    eprintln!("logs in {}", stage.lab.run.logs().display());
    let watch = Watch::begin(&stage.lab.proxies);
    let mut writers = Vec::new();
    for (proxy, patterns) in stage.lab.proxies.iter().zip(clients) {
        writers.extend(stage.writers_of(proxy, patterns).await?);
    }
    let mut tenure = None;
    if !victims.contains(&Victim::Primary) {
        spare(&stage).await?;
        tenure = Some(Tenure::of(stage.primary().await?));
    }
    go_on(&writers).await?;
    for number in 1..=faults {
        let fault = Fault::any(&mut random);
        let victim = victims[random.random_range(0..victims.len())];
        let other = random.random_range(0..2);
        let primary = stage.primary().await?;
        if let Some(tenure) = &mut tenure {
            tenure.goes_on(&stage).await?;
        }
        let node = match victim {
            Victim::Primary => primary,
            Victim::Other => stage.others(primary)[other],
        };
        eprintln!("fault {number} of {faults}: {fault:?} of {}", node.name());
        if random.random_range(0..4) == 0 {
            // The last proxy serves nobody here, and has a say all the same.
            let restarted = &stage.lab.proxies[usize::from(PROXIES) - 1];
            restarted.part().term().await?;
            restarted.part().launch()?;
        }
        sleep(Duration::from_millis(random.random_range(0..500))).await;
        let donor = match victim {
            Victim::Primary => None,
            Victim::Other => Some(stage.others(primary)[1 - other]),
        };
        let struck = fault.strike(&stage, node, donor, &mut random).await;
        let what = format!("fault {number}, {fault:?} of {}", node.name());
        struck.map_err(|error| stage.failure(&what, error.to_string()))?;
        go_on(&writers).await?;
    }
    for record in stage.balance(writers).await? {
        let (writer, commits, pause) = (record.writer, record.commits, record.longest_pause);
        eprintln!("writer {writer}: {commits} transactions, the longest pause {pause:.1?}");
    }
    let seen = watch.end().await?;
    eprintln!("{PROXIES} proxies {seen}");
    agreed(&stage).await?;
    if let Some(tenure) = &mut tenure {
        tenure.goes_on(&stage).await?;
    }
    stage.end().await
}

/// Lets the nodes that are not the primary give their state to each other: a primary that has to do it is
/// left, with reason. A node hears of its donor when it starts.
async fn spare(stage: &Stage) -> Result<()> {
    let [one, other] = stage.others(stage.primary().await?)[..] else {
        unreachable!("three nodes")
    };
    for (node, donor) in [(one, other), (other, one)] {
        node.term().await?;
        node.part().launch_with(&[&donor_argument(donor)])?;
        stage.lab.galera.all_synced(RECOVERY).await?;
    }
    Ok(())
}

fn donor_argument(donor: &Node) -> String {
    format!("--wsrep-sst-donor={}", donor.name())
}

/// The time of one primary, that may end for a reason alone.
struct Tenure<'a> {
    primary: &'a Node,
    /// How often it had ceased to be synced at the last look.
    departures: usize,
    /// And at the one before: it may take a moment until it is left.
    before: usize,
}

impl<'a> Tenure<'a> {
    fn of(primary: &'a Node) -> Self {
        let departures = departures(primary);
        Self { primary, departures, before: departures }
    }

    /// Checks that the tenure goes on, or that its primary says it was not synced. Then another one's begins.
    async fn goes_on(&mut self, stage: &'a Stage) -> Result<()> {
        let (left, primary) = (self.primary, stage.primary().await?);
        let departures = departures(left);
        if primary.index() == left.index() {
            self.before = std::mem::replace(&mut self.departures, departures);
            return Ok(());
        }
        let decisions = &stage.proxy().status().await?["decisions"];
        let reason = format!("there was no reason to leave {}: {decisions:#}", left.name());
        stage.must(departures > self.before, reason)?;
        *self = Self::of(primary);
        Ok(())
    }
}

/// How often a node has ceased to be synced, by its own log.
fn departures(node: &Node) -> usize {
    node.part().said("Shifting SYNCED ->")
}

/// All have a say; the last one serves nobody.
const PROXIES: u8 = 3;

/// How many faults there shall be.
fn faults() -> u64 {
    number("IDO_PROXY_FAULTS").unwrap_or(6)
}

/// Waits until all proxies name the same node.
async fn agreed(stage: &Stage) -> Result<()> {
    wait_until("one node that all proxies name", RECOVERY, Some(&stage.log()), async || {
        let mut named = Vec::new();
        for proxy in &stage.lab.proxies {
            match proxy.primary().await {
                Ok(primary) => named.push(primary),
                Err(error) => return proxy.part().look(error),
            }
        }
        if named[0].is_some() && named.iter().all(|primary| *primary == named[0]) {
            return Look::Done(());
        }
        Look::NotYet(format!("{named:?}"))
    })
    .await
}

/// Waits until every writer writes.
async fn go_on(writers: &[Writer]) -> Result<()> {
    for writer in writers {
        writer.writes(5, RECOVERY).await?;
    }
    Ok(())
}

/// Fault of a node. When it is over, all three nodes serve again.
#[derive(Clone, Copy, Debug)]
enum Fault {
    Kill,
    Term,
    /// Frozen so long, in milliseconds.
    Freeze(u64),
    /// Cut off from the other nodes so long, in milliseconds.
    Part(u64),
    /// Cut off from clients so long, in milliseconds.
    Silence(u64),
    /// The clients' connections to it are reset.
    Reset,
}

impl Fault {
    fn any(random: &mut StdRng) -> Self {
        match random.random_range(0..6) {
            0 => Self::Kill,
            1 => Self::Term,
            2 => Self::Freeze(random.random_range(1_000..12_000)),
            3 => Self::Part(random.random_range(1_000..12_000)),
            4 => Self::Silence(random.random_range(1_000..12_000)),
            _ => Self::Reset,
        }
    }

    async fn strike(
        self,
        stage: &Stage,
        node: &Node,
        donor: Option<&Node>,
        random: &mut StdRng,
    ) -> Result<()> {
        let donor = donor.map(donor_argument);
        let donor: Vec<_> = donor.iter().map(String::as_str).collect();
        match self {
            Self::Kill => {
                node.kill().await?;
                sleep(Duration::from_millis(random.random_range(0..8_000))).await;
                node.part().launch_with(&donor)?;
            }
            Self::Term => {
                node.term().await?;
                node.part().launch_with(&donor)?;
            }
            Self::Freeze(time) => {
                node.stop()?;
                sleep(Duration::from_millis(time)).await;
                node.cont()?;
            }
            Self::Part(time) => {
                stage.lab.isolate(node.index()).await?;
                sleep(Duration::from_millis(time)).await;
                stage.lab.heal().await?;
            }
            Self::Silence(time) => {
                stage.lab.faults.silence(node.address()).await?;
                sleep(Duration::from_millis(time)).await;
                stage.lab.heal().await?;
            }
            Self::Reset => {
                for thread in node.threads().await? {
                    // Connections that are gone by now need not be reset.
                    let _ = stage.lab.faults.reset(thread.peer, node.address()).await;
                }
            }
        }
        // A majority is left whatever comes next.
        stage.lab.galera.all_synced(RECOVERY).await?;
        stage.settles().await
    }
}

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok()?.parse().ok()
}
