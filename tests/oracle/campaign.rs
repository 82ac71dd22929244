//! Many programs, by several workers side by side.

use std::cell::{Cell, RefCell};
use std::path::PathBuf;
use std::rc::Rc;
use std::time::{Duration, Instant};

use lab::error::Result;
use tokio::task::LocalSet;

use crate::compare::{Difference, difference};
use crate::faulty::{self, Outcome};
use crate::generate::{self, Limits};
use crate::killer::Killer;
use crate::known::Known;
use crate::ledger::Ledger;
use crate::program::Program;
use crate::relay::{Cut, Fault, Plans};
use crate::run::{Pair, Transcript};
use crate::shrink::{is_same, shrunk, tried};
use crate::stand::Stand;

/// How much is to be done, and how.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) first_seed: u64,
    pub(crate) programs: Option<u64>,
    pub(crate) time: Option<Duration>,
    pub(crate) workers: usize,
    pub(crate) limits: Limits,
    pub(crate) report: Option<PathBuf>,
    /// The one program, if not one is made for each number.
    pub(crate) program: Option<Program>,
    /// How many faults are tried on each program that is equal without.
    pub(crate) faults: usize,
}

/// State that all workers share.
struct Shared {
    plan: Plan,
    plans: Option<Plans>,
    killer: Option<Killer>,
    known: Known,
    ledger: RefCell<Ledger>,
    next: Cell<u64>,
    begin: Instant,
}

/// Runs all of it, and returns what was found.
///
/// # Errors
/// When a worker cannot go on.
pub(crate) async fn run(stand: &Stand, plan: Plan, known: Known) -> Result<Ledger> {
    let next = Cell::new(plan.first_seed);
    let workers = plan.workers;
    let (ledger, begin) = (RefCell::default(), Instant::now());
    let (plans, killer) = (stand.plans.clone(), stand.killer.clone());
    let apart = killer.is_some();
    let shared = Rc::new(Shared { plan, plans, killer, known, ledger, next, begin });
    let local = LocalSet::new();
    let mut tasks = Vec::new();
    for worker in 0..workers {
        let shared = Rc::clone(&shared);
        let pair = Pair::make(&stand.root, &stand.direct, &stand.proxy, worker, apart).await?;
        tasks.push(local.spawn_local(async move { work(&shared, pair).await }));
    }
    let progress = {
        let shared = Rc::clone(&shared);
        local.spawn_local(async move { tell(&shared).await })
    };
    let ended = local.run_until(async {
        for task in tasks {
            task.await.unwrap_or_else(|error| panic!("a worker failed: {error}"))?;
        }
        Ok(())
    });
    let ended = ended.await;
    progress.abort();
    drop(local);
    let ledger = shared.ledger.take();
    ended.map(|()| ledger)
}

impl Shared {
    fn seed(&self) -> Option<u64> {
        let (seed, plan) = (self.next.get(), &self.plan);
        let done = seed - plan.first_seed;
        let enough = plan.programs.is_some_and(|programs| done >= programs)
            || plan.time.is_some_and(|time| self.begin.elapsed() >= time);
        self.next.set(seed + u64::from(!enough));
        (!enough).then_some(seed)
    }
}

async fn work(shared: &Shared, mut pair: Pair) -> Result<()> {
    let mut failures = 0;
    while let Some(seed) = shared.seed() {
        let mut program = match &shared.plan.program {
            Some(program) => program.clone(),
            None => generate::program(seed, &shared.plan.limits),
        };
        program.seed = seed;
        match one(shared, &mut pair, &program).await {
            Ok(()) => failures = 0,
            Err(error) => {
                eprintln!("oracle: seed {seed}: {error}");
                failures += 1;
                if failures > 5 {
                    return Err(error);
                }
            }
        }
    }
    pair.remove().await
}

async fn one(shared: &Shared, pair: &mut Pair, program: &Program) -> Result<()> {
    let database = pair.proxy.scratch.names().database.clone();
    if let Some(plans) = &shared.plans {
        plans.begin(&database, None);
    }
    if let Some(killer) = &shared.killer {
        killer.catch_up().await?;
    }
    let (mut direct, mut proxy) = pair.run(program, false).await?;
    let links_break = shared.plans.is_some();
    if links_break {
        // An id that another program's session owes is given up by whoever gets it, in whatever table.
        (direct, proxy) = (direct.masked(), proxy.masked());
    }
    let mut passed = Vec::new();
    let found = difference(program, &direct, &proxy, |found| {
        if links_break && faulty::is_id(found) {
            return true;
        }
        let entry = shared.known.entry(program, found);
        passed.extend(entry.map(|entry| entry.reason.clone()));
        shared.known.passes(program, found)
    });
    {
        let mut ledger = shared.ledger.borrow_mut();
        ledger.programs += 1;
        let (errors, all) = errors(&direct);
        ledger.errors.0 += errors;
        ledger.errors.1 += all;
        passed.dedup();
        passed.iter().for_each(|reason| ledger.know(reason));
    }
    let Some(found) = found else {
        return match &shared.plans {
            Some(plans) => with_faults(shared, pair, plans, program, &proxy).await,
            None => Ok(()),
        };
    };
    if shared.known.entry(program, &found).is_some() {
        return Ok(());
    }
    if !shared.ledger.borrow_mut().see(&found.signature()) {
        return Ok(());
    }
    if links_break {
        let text = format!("seed {}, without a fault\n{program}{found}", program.seed);
        shared.ledger.borrow_mut().find(program.clone(), found, (1, 1));
        eprintln!("\n{text}\n");
        return Ok(());
    }
    examine(shared, pair, program, found).await
}

/// Runs the program again with faults at random requests.
async fn with_faults(
    shared: &Shared,
    pair: &mut Pair,
    plans: &Plans,
    program: &Program,
    unhurt: &Transcript,
) -> Result<()> {
    let mut wrong = Vec::new();
    let requests = plans.requests(&pair.proxy.scratch.names().database);
    for mut fault in faulty::faults(program.seed, requests, shared.plan.faults) {
        let outcome = match &shared.killer {
            Some(killer) => {
                fault.cut = Cut::Kill;
                killer.catch_up().await?;
                killer.during(faulty::tried(pair, plans, program, unhurt, fault)).await?
            }
            None => faulty::tried(pair, plans, program, unhurt, fault).await?,
        };
        let name = fault_name(&fault);
        let mut ledger = shared.ledger.borrow_mut();
        match outcome {
            Outcome::Healed => ledger.know(&format!("fault {name}: nothing seen of it")),
            Outcome::Told(words) => {
                let words: String = words.chars().filter(|c| !c.is_ascii_digit()).collect();
                ledger.know(&format!("fault {name}: told {words}"));
            }
            Outcome::Wrong(found) => {
                let at = format!("fault {name}: {}", found.at);
                let named = Difference { at, ..found.clone() };
                let entry = shared.known.entry(program, &found);
                match entry.or_else(|| shared.known.entry(program, &named)) {
                    Some(entry) => ledger.know(&entry.reason),
                    None => wrong.push((fault, found)),
                }
            }
        }
    }
    for (fault, found) in wrong {
        let signature = format!("fault {}: {}", fault_name(&fault), found.signature());
        if !shared.ledger.borrow_mut().see(&signature) {
            continue;
        }
        let (smallest, fault, found) = match shared.killer {
            // Each try would take as long as a node needs to come back.
            Some(_) => (program.clone(), fault, found),
            None => faulty::shrunk(pair, plans, program, (fault, found)).await?,
        };
        let at = format!("fault {}: {}", fault_name(&fault), found.at);
        let found = Difference { at, ..found };
        let request = fault.request;
        let text = format!("seed {}, request {request}\n{smallest}{found}", program.seed);
        let mut ledger = shared.ledger.borrow_mut();
        if ledger.find(smallest, found, (1, 1)) {
            eprintln!("\n{text}\n");
        }
        if let Some(path) = &shared.plan.report {
            ledger.write(path)?;
        }
    }
    plans.begin(&pair.proxy.scratch.names().database, None);
    // Direct and proxied programs have used up different numbers of ids.
    pair.refresh().await
}

fn fault_name(fault: &Fault) -> &'static str {
    match fault.cut {
        Cut::Before => "before",
        Cut::During => "during",
        Cut::After => "after",
        Cut::Within(_) => "within",
        Cut::Kill => "kill",
    }
}

/// Makes it smaller, and sees how steady it is.
async fn examine(
    shared: &Shared,
    pair: &mut Pair,
    program: &Program,
    found: Difference,
) -> Result<()> {
    let known = &shared.known;
    pair.refresh().await?;
    let again = tried(pair, program, known, true).await?;
    let (smallest, found) = match again {
        Some(again) => shrunk(pair, program, &again, known).await?,
        None => (program.clone(), found),
    };
    let mut steady = (0, RUNS);
    for _ in 0..RUNS {
        let again = tried(pair, &smallest, known, true).await?;
        steady.0 += u32::from(again.is_some_and(|again| is_same(&again, &found)));
    }
    let by_chance = || known.entry_once(&smallest, &found).filter(|_| steady.0 < RUNS);
    if let Some(entry) = known.entry(&smallest, &found).or_else(by_chance) {
        shared.ledger.borrow_mut().know(&entry.reason);
        return Ok(());
    }
    let of_locks = ["error 1205", "error 1213"].iter().any(|error| found.what.contains(error));
    if steady.0 == 0 && of_locks && program.logins.len() > 1 {
        // Two sessions waited for each other, and time decided. Alone, each side ends as the other.
        shared
            .ledger
            .borrow_mut()
            .know("a lock of two sessions that came in time on one side, and not again");
        return Ok(());
    }
    let mut ledger = shared.ledger.borrow_mut();
    let text = format!("seed {}, {} of {RUNS} runs\n{smallest}{found}", program.seed, steady.0);
    if ledger.find(smallest, found, steady) {
        eprintln!("\n{text}\n");
    }
    if let Some(path) = &shared.plan.report {
        ledger.write(path)?;
    }
    Ok(())
}

fn errors(transcript: &Transcript) -> (u64, u64) {
    let packets = transcript.steps.iter().flatten().filter(|packet| packet.ends);
    packets
        .fold((0, 0), |(errors, all), packet| (errors + u64::from(packet.kind == "error"), all + 1))
}

async fn tell(shared: &Shared) {
    loop {
        tokio::time::sleep(EVERY).await;
        let ledger = shared.ledger.borrow();
        let seconds = shared.begin.elapsed().as_secs_f64();
        eprintln!(
            "oracle: {seconds:.0} s, {} programs, {:.0}/s, {} unknown differences",
            ledger.programs,
            ledger.programs as f64 / seconds,
            ledger.unknown()
        );
    }
}

const RUNS: u32 = 3;

const EVERY: Duration = Duration::from_secs(10);
