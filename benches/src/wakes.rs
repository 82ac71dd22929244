//! The cost of waking a process on a virtual machine, and the knob that changes it.
//!
//! A core without work is given back to the host, and getting it again takes tens of microseconds. A
//! guest that first looks for work for a while (`guest_halt_poll_ns`) wakes at little cost. Every program
//! in between is one more process to wake, so proxies look better or worse by it.

use std::fs;
use std::sync::{Arc, Mutex, PoisonError};

use clap::ValueEnum;
use serde::{Deserialize, Serialize};
use tokio::runtime::Builder;
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::error::{Context, Result};

/// Choice on the command line.
#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
pub(crate) enum Choice {
    /// A core without work is given back at once: guest_halt_poll_ns is 0
    Dear,
    /// A core without work waits for 200 µs: guest_halt_poll_ns is 200000
    Cheap,
    /// One after the other
    Both,
}

/// Cost of a wake-up in a measurement.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Wakes {
    /// Left as the machine has it.
    AsFound,
    /// Waking is dear.
    Dear,
    /// Waking is cheap.
    Cheap,
}

impl Wakes {
    /// Name in tables, empty for [`Wakes::AsFound`].
    pub(crate) fn label(self) -> &'static str {
        match self {
            Self::AsFound => "",
            Self::Dear => "dear wake-ups",
            Self::Cheap => "cheap wake-ups",
        }
    }

    fn nanos(self) -> Option<u32> {
        match self {
            Self::AsFound => None,
            Self::Dear => Some(0),
            Self::Cheap => Some(200_000),
        }
    }
}

/// Nanoseconds for which an idle core looks for work now; `None` where the machine has no such knob.
pub(crate) fn now() -> Option<u64> {
    fs::read_to_string(KNOB).ok()?.trim().parse().ok()
}

/// The knob in our hands. Dropping it puts it back, and so does a signal that ends this program.
#[derive(Debug)]
pub(crate) struct Knob {
    kinds: Vec<Wakes>,
    found: Arc<Mutex<Option<String>>>,
}

impl Knob {
    /// Takes the knob for `choice`. Without a choice or a knob nothing is turned.
    ///
    /// # Errors
    /// When signals cannot be waited for.
    pub(crate) fn take(choice: Option<Choice>) -> Result<Self> {
        let found = Arc::new(Mutex::new(None));
        let kinds = match choice {
            None => vec![Wakes::AsFound],
            Some(_) if now().is_none() => {
                eprintln!("           wake-ups stay as they are: this machine has no {KNOB}");
                vec![Wakes::AsFound]
            }
            Some(choice) => {
                *found.lock().unwrap_or_else(PoisonError::into_inner) =
                    fs::read_to_string(KNOB).ok();
                put_back_on_signals(&found).context(|| "waiting for signals".into())?;
                choice.kinds()
            }
        };
        Ok(Self { kinds, found })
    }

    /// Costs to measure with, one after the other.
    pub(crate) fn kinds(&self) -> &[Wakes] {
        &self.kinds
    }

    /// Turns the knob.
    ///
    /// # Errors
    /// Without root.
    pub(crate) fn turn(&self, wakes: Wakes) -> Result<()> {
        match wakes.nanos() {
            None => Ok(()),
            Some(nanos) => fs::write(KNOB, nanos.to_string()).context(|| format!("writing {KNOB}")),
        }
    }
}

impl Drop for Knob {
    fn drop(&mut self) {
        put_back(&self.found);
    }
}

impl Choice {
    fn kinds(self) -> Vec<Wakes> {
        match self {
            Self::Dear => vec![Wakes::Dear],
            Self::Cheap => vec![Wakes::Cheap],
            Self::Both => vec![Wakes::Dear, Wakes::Cheap],
        }
    }
}

/// Writes the value that was found, once.
fn put_back(found: &Mutex<Option<String>>) {
    let found = found.lock().unwrap_or_else(PoisonError::into_inner).take();
    let Some(text) = found else { return };
    if let Err(error) = fs::write(KNOB, &text) {
        eprintln!("bench: {KNOB} was {}, and is not put back: {error}", text.trim());
    }
}

/// Lets signals that end this program put the knob back first.
fn put_back_on_signals(found: &Arc<Mutex<Option<String>>>) -> std::io::Result<()> {
    let runtime = Builder::new_current_thread().enable_all().build()?;
    let inside = runtime.enter();
    let kinds = [SignalKind::interrupt(), SignalKind::terminate(), SignalKind::hangup()];
    let [mut interrupt, mut terminate, mut hangup] = kinds.map(signal);
    let signals = [&mut interrupt, &mut terminate, &mut hangup];
    drop(inside);
    for signal in signals {
        if let Err(error) = signal {
            return Err(std::io::Error::new(error.kind(), error.to_string()));
        }
    }
    let found = Arc::clone(found);
    std::thread::spawn(move || {
        let next = async |signal: std::io::Result<Signal>| match signal {
            Ok(mut signal) => signal.recv().await,
            Err(_) => std::future::pending().await,
        };
        let number = runtime.block_on(async {
            tokio::select! {
                _ = next(interrupt) => 2,
                _ = next(terminate) => 15,
                _ = next(hangup) => 1,
            }
        });
        put_back(&found);
        // The kernel ends every program of the lab with this one.
        std::process::exit(128 + number);
    });
    Ok(())
}

const KNOB: &str = "/sys/module/haltpoll/parameters/guest_halt_poll_ns";

#[cfg(test)]
mod tests {
    use super::*;

    /// A machine that is left changed spoils whatever is measured on it next.
    #[test]
    fn nothing_chosen_turns_nothing() {
        let before = now();
        let knob = Knob::take(None).expect("nothing is needed for that");
        assert_eq!(knob.kinds(), [Wakes::AsFound]);
        knob.turn(Wakes::AsFound).expect("nothing is written");
        drop(knob);
        assert_eq!(now(), before);
    }

    #[test]
    fn both_are_measured_one_after_the_other() {
        assert_eq!(Choice::Both.kinds(), [Wakes::Dear, Wakes::Cheap]);
        assert_eq!([Wakes::Dear, Wakes::Cheap].map(Wakes::nanos), [Some(0), Some(200_000)]);
    }
}
