//! Makes a program that shows a difference as small as it can be.

use std::time::{Duration, Instant};

use lab::error::Result;

use crate::compare::{Difference, difference};
use crate::known::Known;
use crate::program::{Action, Program};
use crate::run::Pair;

/// Runs the program and compares. Known differences that go on are passed over.
///
/// # Errors
/// When the scratch databases cannot be made again.
pub(crate) async fn tried(
    pair: &mut Pair,
    program: &Program,
    known: &Known,
    exact: bool,
) -> Result<Option<Difference>> {
    let (direct, proxy) = pair.run(program, exact).await?;
    Ok(difference(program, &direct, &proxy, |found| known.passes(program, found)))
}

/// The smallest program found that shows a difference of the same signature.
///
/// # Errors
/// When the scratch databases cannot be made again.
pub(crate) async fn shrunk(
    pair: &mut Pair,
    program: &Program,
    found: &Difference,
    known: &Known,
) -> Result<(Program, Difference)> {
    let mut best = (program.clone(), found.clone());
    let end = Instant::now() + BUDGET;
    let mut tries = 0;
    'again: loop {
        for candidate in candidates(&best.0) {
            tries += 1;
            if tries > TRIES || Instant::now() > end {
                break 'again;
            }
            let seen = tried(pair, &candidate, known, true).await?;
            if let Some(seen) = seen.filter(|seen| is_same(seen, found)) {
                best = (candidate, seen);
                continue 'again;
            }
        }
        break;
    }
    Ok(best)
}

/// Whether two differences are taken for one.
pub(crate) fn is_same(one: &Difference, other: &Difference) -> bool {
    one.signature() == other.signature() && one.is_grave() == other.is_grave()
}

/// Programs that are a little smaller, the boldest first.
pub(crate) fn candidates(program: &Program) -> Vec<Program> {
    let mut all = Vec::new();
    let count = program.steps.len();
    let mut size = count / 2;
    while size > 0 {
        for start in (0..=count - size).rev().step_by(size) {
            let mut smaller = program.clone();
            smaller.steps.drain(start..start + size);
            all.push(smaller);
        }
        size /= 2;
    }
    if program.logins.len() > 1 && program.steps.iter().all(|step| step.session == 0) {
        let mut smaller = program.clone();
        smaller.logins.truncate(1);
        all.push(smaller);
    }
    for (index, step) in program.steps.iter().enumerate() {
        for action in smaller_actions(&step.action) {
            let mut smaller = program.clone();
            smaller.steps[index].action = action;
            all.push(smaller);
        }
        if step.background {
            let mut smaller = program.clone();
            smaller.steps[index].background = false;
            all.push(smaller);
        }
        if step.session > 0 {
            let mut smaller = program.clone();
            smaller.steps[index].session = 0;
            all.push(smaller);
        }
    }
    for (index, login) in program.logins.iter().enumerate() {
        let without = login.flags.iter().map(|flag| {
            let mut smaller = program.clone();
            smaller.logins[index].flags.remove(flag);
            smaller
        });
        all.extend(without);
        if login.collation != USUAL {
            let mut smaller = program.clone();
            smaller.logins[index].collation = USUAL;
            all.push(smaller);
        }
        if !login.database {
            let mut smaller = program.clone();
            smaller.logins[index].database = true;
            all.push(smaller);
        }
    }
    all
}

fn smaller_actions(action: &Action) -> Vec<Action> {
    match action {
        Action::Query(text) if text.len() > 1 => {
            let without = |index: usize| {
                let mut text = text.clone();
                text.remove(index);
                Action::Query(text)
            };
            (0..text.len()).map(without).collect()
        }
        Action::Flight(all) => {
            let without = |index: usize| {
                let mut all = all.clone();
                all.remove(index);
                Action::Flight(all)
            };
            let less: Vec<_> = (0..all.len()).filter(|_| all.len() > 1).map(without).collect();
            let single = all.iter().filter(|_| all.len() == 1).cloned();
            single.chain(less).collect()
        }
        Action::Execute { slot, params, types: false, cursor } => {
            vec![Action::Execute {
                slot: *slot,
                params: params.clone(),
                types: true,
                cursor: *cursor,
            }]
        }
        _ => Vec::new(),
    }
}

const USUAL: u8 = 45;

const TRIES: usize = 400;

const BUDGET: Duration = Duration::from_secs(40);
