//! Programs with faults: the link between proxy and node breaks, and the client sees nothing of it, or an
//! error that is honest.

use std::time::{Duration, Instant};

use lab::error::Result;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use crate::compare::{Difference, difference, of_step};
use crate::packet::Packet;
use crate::program::{Action, Program, Statement, Step};
use crate::relay::{Cut, Fault, Plans};
use crate::run::{Pair, Transcript};
use crate::shrink::{candidates, is_same};

/// The outcome of a program with a fault.
#[derive(Clone, Debug)]
pub(crate) enum Outcome {
    /// The client saw nothing of it.
    Healed,
    /// The client was told, and the tables are as it was told: the words of the error.
    Told(String),
    /// Rows are lost or doubled, or the client was told wrongly.
    Wrong(Difference),
}

/// The faults to try on a program that has made so many requests.
pub(crate) fn faults(seed: u64, requests: usize, count: usize) -> Vec<Fault> {
    let mut dice = StdRng::seed_from_u64(seed);
    let fault = |_| {
        let cut = match dice.random_range(0..5) {
            0 => Cut::Before,
            1 => Cut::During,
            2 => Cut::Within(dice.random_range(1..40)),
            _ => Cut::After,
        };
        Fault { request: dice.random_range(1..=requests), cut }
    };
    (0..count).filter(|_| requests > 0).map(fault).collect()
}

/// Runs the program through the proxy with the fault, and compares with what was seen there without.
///
/// # Errors
/// When the scratch databases cannot be made again.
pub(crate) async fn tried(
    pair: &mut Pair,
    plans: &Plans,
    program: &Program,
    unhurt: &Transcript,
    fault: Fault,
) -> Result<Outcome> {
    plans.begin(&pair.proxy.scratch.names().database, Some(fault));
    let (proxy, reached) = pair
        .run_proxy(program, &|step, seen: &[Packet]| {
            unhurt.steps.get(step).is_some_and(|told| of_step(told, seen, true).is_none())
        })
        .await?;
    let unhurt = unhurt.masked();
    let proxy = proxy.masked();
    let Some(stopped) = reached else {
        let found = difference(program, &unhurt, &proxy, is_id);
        return Ok(found.map_or(Outcome::Healed, Outcome::Wrong));
    };
    let found = difference(program, &unhurt, &proxy, |found| is_id(found) || found.step.is_none());
    let Some(found) = found else { return Ok(Outcome::Healed) };
    // Several commands in one flight have a reply each: the error may be any of them.
    let told = proxy.steps.get(stopped).and_then(|seen| seen.iter().rfind(|one| is_honest(one)));
    let Some(told) = told else { return Ok(Outcome::Wrong(found)) };
    let mut states = prefixes(program, stopped);
    if told.field("code") == Some(ROLLED_BACK) {
        states.extend(rolled_back_within(program, stopped));
    }
    for state in states {
        let expected = pair.run_direct(&state).await?.masked();
        if expected.same_rows(&proxy) {
            return Ok(Outcome::Told(told.to_string()));
        }
    }
    let what = format!("{}, and tables are as after no part of it", found.what);
    Ok(Outcome::Wrong(Difference { what, ..found }))
}

/// The smallest program found, with a fault of the same kind, whose outcome has the same signature.
///
/// # Errors
/// When the scratch databases cannot be made again.
pub(crate) async fn shrunk(
    pair: &mut Pair,
    plans: &Plans,
    program: &Program,
    (fault, found): (Fault, Difference),
) -> Result<(Program, Fault, Difference)> {
    let mut best = (program.clone(), fault, found);
    let end = Instant::now() + BUDGET;
    'again: loop {
        for candidate in candidates(&best.0) {
            if Instant::now() > end {
                break 'again;
            }
            if let Some((fault, seen)) = same(pair, plans, &candidate, &best).await? {
                best = (candidate, fault, seen);
                continue 'again;
            }
        }
        break;
    }
    Ok(best)
}

/// A fault of the same kind, at any request, with the same outcome.
async fn same(
    pair: &mut Pair,
    plans: &Plans,
    program: &Program,
    (_, fault, found): &(Program, Fault, Difference),
) -> Result<Option<(Fault, Difference)>> {
    let database = pair.proxy.scratch.names().database.clone();
    plans.begin(&database, None);
    let (unhurt, _) = pair.run_proxy(program, &|_, _| true).await?;
    for request in (1..=plans.requests(&database)).rev().take(MOST_REQUESTS) {
        let fault = Fault { request, ..*fault };
        let seen = tried(pair, plans, program, &unhurt, fault).await?;
        if let Outcome::Wrong(seen) = seen
            && is_same(&seen, found)
        {
            return Ok(Some((fault, seen)));
        }
    }
    Ok(None)
}

/// Whether an error says that something was not done, or that nobody knows, in the documented ways.
fn is_honest(packet: &Packet) -> bool {
    match packet.field("code") {
        Some(ROLLED_BACK) => true,
        Some("1180" | "1927" | "1047") => packet.field("message").is_some_and(|words| {
            // A fence is there: nobody may be told otherwise.
            words.starts_with("ido-proxy:") && !words.contains("there is no fence")
        }),
        // An end while an open transaction is restored is a closed connection (docs/limits.md).
        _ => packet.kind == "closed",
    }
}

/// Tells what a fault may change: ids are used up by statements done in vain. A statement that has none is told none.
pub(crate) fn is_id(found: &Difference) -> bool {
    let both = (found.direct == "0") == (found.proxy == "0");
    found.what == "next id" || (found.what == "ok.id" && both) || found.what.ends_with("row.bytes")
}

/// The program up to each place within the step at which it stopped.
fn prefixes(program: &Program, stopped: usize) -> Vec<Program> {
    let before = program.steps[..stopped].to_vec();
    let mut all = vec![Program { steps: before, ..program.clone() }];
    let Some(step) = program.steps.get(stopped) else { return all };
    let parts = match &step.action {
        Action::Query(text) => {
            (1..=text.len()).map(|count| Action::Query(text[..count].to_vec())).collect()
        }
        Action::Flight(many) => {
            (1..=many.len()).map(|count| Action::Flight(many[..count].to_vec())).collect()
        }
        one => vec![one.clone()],
    };
    for action in parts {
        let mut steps = program.steps[..=stopped].to_vec();
        steps[stopped].action = action;
        all.push(Program { steps, ..program.clone() });
    }
    all
}

/// The program whose transaction is rolled back at each command of the flight at which it stopped: the server does those
/// behind it, as the client has sent them already.
fn rolled_back_within(program: &Program, stopped: usize) -> Vec<Program> {
    let Some(Step { session, action: Action::Flight(many), .. }) = program.steps.get(stopped)
    else {
        return Vec::new();
    };
    let rollback = Statement { tag: "rollback".to_owned(), sql: "ROLLBACK".to_owned() };
    let parts = |at: usize| {
        let all = [
            Action::Flight(many[..at].to_vec()),
            Action::Query(vec![rollback.clone()]),
            Action::Flight(many[at + 1..].to_vec()),
        ];
        all.map(|action| Step { session: *session, background: false, action })
    };
    let before = &program.steps[..stopped];
    let with = |at| Program { steps: [before, &parts(at)].concat(), ..program.clone() };
    (0..many.len()).map(with).collect()
}

/// The code of an error that has rolled the transaction back.
const ROLLED_BACK: &str = "1213";

const BUDGET: Duration = Duration::from_secs(60);

const MOST_REQUESTS: usize = 12;
