//! Collects every problem of one file while it is read, and knows where each stands.

use std::ops::{Range, RangeInclusive};
use std::sync::Arc;
use std::time::Duration;

use miette::{NamedSource, Severity};
use serde::de::DeserializeOwned;

use crate::keys::{self, Keys};
use crate::problem::{Errors, Place, Problem};
use crate::redact::{is_secret, mask_secrets};
use crate::strays;
use crate::syntax;
use crate::tree::{Refused, Tree};

/// A file under examination.
pub(crate) struct Report<'t> {
    file: String,
    source: Arc<NamedSource<String>>,
    tree: Tree<'t>,
    keys: Keys,
    problems: Vec<Problem>,
    /// Paths below which something was taken out of the tree: what is missing there has been told.
    damaged: Vec<String>,
}

impl<'t> Report<'t> {
    /// Parses the text of a file with these `keys`; fails on syntax errors alone, since anything else would
    /// be guesswork then.
    pub(crate) fn new(text: &'t str, file: &str, keys: Keys) -> Result<Self, Errors> {
        let source = Arc::new(NamedSource::new(file, mask_secrets(text)));
        match Tree::parse(text) {
            Err(errors) => Err(Errors::new(file, syntax::problems(errors, text, &source))),
            Ok(tree) => Ok(Self {
                file: file.to_owned(),
                source,
                tree,
                keys,
                problems: Vec::new(),
                damaged: Vec::new(),
            }),
        }
    }

    /// Reads the file as a `T`, after every key that does not exist and every value that is not
    /// acceptable has been reported and taken out. Every field of `T` must have a default.
    pub(crate) fn read<T: DeserializeOwned>(&mut self) -> Option<T> {
        self.check_keys();
        let (value, refused) = self.tree.read();
        for refused in refused {
            self.refuse(&refused);
        }
        value
    }

    /// Whether the file has `path` (and nothing was wrong with it).
    pub(crate) fn has(&self, path: &str) -> bool {
        self.tree.has(path)
    }

    /// Which of `paths` stands last in the file.
    pub(crate) fn last_of<'p>(&self, paths: &'p [String]) -> Option<&'p String> {
        let given = paths.iter().filter(|path| self.has(path));
        given.max_by_key(|path| self.tree.span(path).start)
    }

    /// An error about the value at `path`, or about its absence from the table around it.
    pub(crate) fn error(&mut self, path: &str, message: &str, label: &str, help: &str) {
        self.push(Severity::Error, path, message, label, help);
    }

    /// An error about something missing at `path`; silent where something there was refused already.
    pub(crate) fn missing(&mut self, path: &str, message: &str, label: &str, help: &str) {
        if !self.is_damaged(path) {
            self.error(path, message, label, help);
        }
    }

    /// Whether something at `path`, in it or around it was refused.
    pub(crate) fn is_damaged(&self, path: &str) -> bool {
        self.damaged.iter().any(|damaged| is_below(damaged, path) || is_below(path, damaged))
    }

    /// An error about the value of the key at `path`, with the help that belongs to that key.
    pub(crate) fn wrong_value(&mut self, path: &str, label: &str) {
        let key = keys::without_indices(path);
        self.error(path, &wrong_value(&key), label, &self.takes(&key));
    }

    /// Like [`Report::error`], but the configuration stays usable.
    pub(crate) fn warning(&mut self, path: &str, message: &str, label: &str, help: &str) {
        self.push(Severity::Warning, path, message, label, help);
    }

    /// An error unless `value` lies in `range`.
    pub(crate) fn duration(
        &mut self,
        path: &str,
        value: Duration,
        range: RangeInclusive<Duration>,
    ) {
        if value < *range.start() {
            self.wrong_value(path, &format!("shorter than {:?}", range.start()));
        } else if value > *range.end() {
            self.wrong_value(path, &format!("longer than {:?}", range.end()));
        }
    }

    /// Ends with the warnings, or with the errors if there are any.
    pub(crate) fn finish(mut self) -> Result<Vec<Problem>, Errors> {
        sort(&mut self.problems);
        let is_error = |problem: &Problem| problem.severity == Severity::Error;
        let (errors, warnings): (Vec<_>, Vec<_>) = self.problems.into_iter().partition(is_error);
        if errors.is_empty() { Ok(warnings) } else { Err(Errors::new(&self.file, errors)) }
    }

    fn push(&mut self, severity: Severity, path: &str, message: &str, label: &str, help: &str) {
        let span = self.tree.span(path);
        self.push_at(severity, span, message, label, help);
    }

    fn push_at(
        &mut self,
        severity: Severity,
        span: Range<usize>,
        message: &str,
        label: &str,
        help: &str,
    ) {
        self.problems.push(Problem {
            severity,
            message: message.to_owned(),
            place: Some(Place {
                source: Arc::clone(&self.source),
                span: span.into(),
                label: label.to_owned(),
            }),
            help: help.to_owned(),
        });
    }

    fn refuse(&mut self, refused: &Refused) {
        let key = keys::without_indices(&refused.path);
        // serde quotes the value that it refuses.
        let label = if is_secret(key.rsplit('.').next().unwrap_or(&key)) {
            "not a text in quotes"
        } else {
            &refused.message
        };
        self.push_at(
            Severity::Error,
            refused.span.clone(),
            &wrong_value(&key),
            label,
            &self.takes(&key),
        );
        self.damaged.push(refused.path.clone());
    }

    fn takes(&self, key: &str) -> String {
        match self.keys.find(key) {
            Some(key) => format!("it takes {}", key.takes),
            None => "see the example configuration".to_owned(),
        }
    }

    /// Reports and takes out what the file should not have: unknown keys, and what should be a table
    /// and is not.
    fn check_keys(&mut self) {
        // From the last to the first, so that indices into arrays stay true.
        for stray in strays::find(self.tree.root(), self.keys).into_iter().rev() {
            self.push_at(Severity::Error, stray.span, &stray.message, &stray.label, &stray.help);
            self.tree.remove(&stray.path);
            self.damaged.push(stray.damaged);
        }
    }
}

fn wrong_value(key: &str) -> String {
    format!("wrong value for `{key}`")
}

/// Whether `path` is `ancestor`, or inside it.
fn is_below(path: &str, ancestor: &str) -> bool {
    path.strip_prefix(ancestor).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
}

fn sort(problems: &mut [Problem]) {
    problems.sort_by_key(|problem| {
        let at = problem.place.as_ref().map(|place| place.span.offset());
        at.unwrap_or_default()
    });
}
