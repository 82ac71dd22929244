//! Progress of the steps that bring a lab up: spinners on a terminal, plain lines elsewhere.

use std::cell::RefCell;
use std::collections::HashMap;
use std::io::IsTerminal;
use std::time::Duration;

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use lab::Step;

/// Shows steps as they begin and end. Several may be under way at once.
pub(super) struct Progress {
    spinners: MultiProgress,
    running: RefCell<HashMap<String, ProgressBar>>,
    terminal: bool,
}

impl Progress {
    /// Nothing is shown yet.
    pub(super) fn new() -> Self {
        Self {
            spinners: MultiProgress::new(),
            running: RefCell::default(),
            terminal: std::io::stderr().is_terminal(),
        }
    }

    /// Shows that the step `name` has begun or is done.
    pub(super) fn show(&self, name: &str, step: Step) {
        match step {
            Step::Begun if self.terminal => self.spin(name),
            Step::Begun => eprintln!("      ... {name}"),
            Step::Done(took) => {
                let line = format!("{:>7.1} s {name}", took.as_secs_f64());
                match self.running.borrow_mut().remove(name) {
                    Some(spinner) => {
                        spinner.set_style(style("{msg}"));
                        spinner.finish_with_message(line);
                    }
                    None => eprintln!("{line}"),
                }
            }
        }
    }

    fn spin(&self, name: &str) {
        let spinner = self.spinners.add(ProgressBar::new_spinner());
        spinner.set_style(style("{elapsed:>7} {spinner} {msg}"));
        spinner.set_message(name.to_owned());
        spinner.enable_steady_tick(Duration::from_millis(100));
        self.running.borrow_mut().insert(name.to_owned(), spinner);
    }
}

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_spinner())
}
