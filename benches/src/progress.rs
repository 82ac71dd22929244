//! How far it is: bars on a terminal, a line a step elsewhere.

use std::io::IsTerminal;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

/// Shows steps as they begin and end.
pub(crate) struct Progress {
    terminal: bool,
}

impl Progress {
    /// On standard error, so that standard output has nothing but results.
    pub(crate) fn new() -> Self {
        Self { terminal: std::io::stderr().is_terminal() }
    }

    /// A bar for so many rounds.
    pub(crate) fn rounds(&self, what: &str, rounds: usize) -> Step {
        self.step(what, ProgressBar::new(rounds as u64), "{msg:<36} {bar:30} {pos}/{len} {eta}")
    }

    /// A spinner, for what has no known length.
    pub(crate) fn step_of_unknown_length(&self, what: &str) -> Step {
        let step = self.step(what, ProgressBar::new_spinner(), "{msg:<36} {spinner} {elapsed}");
        if self.terminal {
            // Seldom: drawing takes from the time that is measured.
            step.bar.enable_steady_tick(Duration::from_millis(500));
        }
        step
    }

    fn step(&self, what: &str, bar: ProgressBar, template: &str) -> Step {
        let bar = if self.terminal { bar } else { ProgressBar::hidden() };
        let style = ProgressStyle::with_template(template);
        bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
        bar.set_message(what.to_owned());
        Step { what: what.to_owned(), begun: Instant::now(), bar }
    }
}

/// One step under way.
pub(crate) struct Step {
    what: String,
    begun: Instant,
    bar: ProgressBar,
}

impl Step {
    /// So many more rounds are done.
    pub(crate) fn inc(&self, rounds: u64) {
        self.bar.inc(rounds);
    }

    /// Clears the bar, and prints for how long the work took.
    pub(crate) fn finish(self) {
        self.bar.finish_and_clear();
        eprintln!("{:>7.1} s  {}", self.begun.elapsed().as_secs_f64(), self.what);
    }
}
