//! Collects every problem of one file while it is read, and knows where each stands.

use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

use miette::{NamedSource, Severity};
use serde::de::DeserializeOwned;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::keys;
use crate::problem::{Errors, Place, Problem};
use crate::redact::{is_secret, mask_secrets};
use crate::tree::{Refused, Tree};

/// A file under examination.
pub(crate) struct Report<'t> {
    file: String,
    source: Arc<NamedSource<String>>,
    tree: Tree<'t>,
    problems: Vec<Problem>,
    /// Paths below which something was taken out of the tree: what is missing there has been told.
    damaged: Vec<String>,
}

impl<'t> Report<'t> {
    /// Parses the text; fails on syntax errors alone, since anything else would be guesswork then.
    pub(crate) fn new(text: &'t str, file: &str) -> Result<Self, Errors> {
        let source = Arc::new(NamedSource::new(file, mask_secrets(text)));
        match Tree::parse(text) {
            Err(errors) => {
                let mut problems: Vec<Problem> = errors
                    .iter()
                    .map(|error| syntax_error(error, text, &source))
                    .collect();
                sort(&mut problems);
                Err(Errors::new(file, problems))
            }
            Ok(tree) => Ok(Self {
                file: file.to_owned(),
                source,
                tree,
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
        self.damaged
            .iter()
            .any(|damaged| damaged.is_empty() || is_below(damaged, path) || is_below(path, damaged))
    }

    /// An error about the value of the key at `path`, with the help that belongs to that key.
    pub(crate) fn wrong_value(&mut self, path: &str, label: &str) {
        let key = keys::without_indices(path);
        self.error(path, &wrong_value(&key), label, &takes(&key));
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

    /// The keys of the file that this version does not act on.
    pub(crate) fn not_yet(&self) -> Vec<&'static str> {
        keys::all()
            .filter(|key| !key.acted_on && self.has(key.path))
            .map(|key| key.path)
            .collect()
    }

    /// Ends with the warnings, or with everything if there are errors.
    pub(crate) fn finish(mut self) -> Result<Vec<Problem>, Errors> {
        sort(&mut self.problems);
        let is_error = |problem: &Problem| problem.severity == Severity::Error;
        if self.problems.iter().any(is_error) {
            // Warnings too: whoever edits the file wants to see it all.
            return Err(Errors::new(&self.file, self.problems));
        }
        Ok(self.problems)
    }

    fn push(&mut self, severity: Severity, path: &str, message: &str, label: &str, help: &str) {
        let span = self.tree.span(path);
        self.push_at(severity, span, message, label, help);
    }

    fn push_at(
        &mut self,
        severity: Severity,
        span: std::ops::Range<usize>,
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
            &takes(&key),
        );
        self.damaged.push(refused.path.clone());
    }

    /// Reports and takes out what the file should not have: unknown keys, and what should be a table
    /// and is not.
    fn check_keys(&mut self) {
        let mut strays = Vec::new();
        for (name, value) in self.tree.root() {
            check_top_level(name, value, &mut strays);
        }
        // From the last to the first, so that indices into arrays stay true.
        for stray in strays.iter().rev() {
            self.push_at(
                Severity::Error,
                stray.span.clone(),
                &stray.message,
                &stray.label,
                &stray.help,
            );
            self.tree.remove(&stray.path);
            self.damaged.push(stray.damaged.clone());
        }
    }
}

/// Something that has no place in the file.
struct Stray {
    path: String,
    damaged: String,
    span: std::ops::Range<usize>,
    message: String,
    label: String,
    help: String,
}

type Name<'t> = Spanned<std::borrow::Cow<'t, str>>;

fn check_top_level(name: &Name<'_>, value: &Spanned<DeValue<'_>>, strays: &mut Vec<Stray>) {
    let key = name.get_ref().as_ref();
    match value.get_ref() {
        _ if !keys::is_table(key) => {
            if keys::find(key).is_none() {
                strays.push(unknown("", "", name));
            }
        }
        DeValue::Array(array) if key == keys::ARRAY_OF_TABLES => {
            for (index, element) in array.iter().enumerate() {
                let path = format!("{key}.{index}");
                match element.get_ref() {
                    DeValue::Table(table) => check_table(key, &path, table, strays),
                    other => strays.push(not_a_table(key, &path, element.span(), other)),
                }
            }
        }
        DeValue::Table(table) if key != keys::ARRAY_OF_TABLES => {
            check_table(key, key, table, strays);
        }
        other => strays.push(not_a_table(key, key, value.span(), other)),
    }
}

fn check_table(key: &str, path: &str, table: &DeTable<'_>, strays: &mut Vec<Stray>) {
    for (name, _) in table {
        if keys::find(&format!("{key}.{}", name.get_ref())).is_none() {
            strays.push(unknown(key, path, name));
        }
    }
}

fn unknown(table: &str, path: &str, name: &Name<'_>) -> Stray {
    let key = name.get_ref();
    Stray {
        path: if path.is_empty() {
            key.to_string()
        } else {
            format!("{path}.{key}")
        },
        // What is missing beside a misspelt key may well be that key.
        damaged: path.to_owned(),
        span: name.span(),
        message: format!("unknown key `{key}` in {}", keys::header(table)),
        label: "no such key".to_owned(),
        help: keys::suggest(table, key),
    }
}

fn not_a_table(key: &str, path: &str, span: std::ops::Range<usize>, found: &DeValue<'_>) -> Stray {
    let header = keys::header(key);
    Stray {
        path: path.to_owned(),
        damaged: key.to_owned(),
        span,
        message: format!("`{key}` is a table"),
        label: format!("{} where the table {header} belongs", found.type_str()),
        help: format!("write {header} on a line of its own, and its keys below it"),
    }
}

fn syntax_error(error: &toml::de::Error, text: &str, source: &Arc<NamedSource<String>>) -> Problem {
    let span = error.span().unwrap_or(text.len()..text.len());
    let bare = text
        .get(span.clone())
        .filter(|word| word.starts_with(|c: char| c.is_alphanumeric()));
    let (label, help) = match (error.message(), bare) {
        ("duplicate key", Some(key)) => (
            "given a second time".to_owned(),
            format!("leave one `{key}`; only [[users]] may stand several times"),
        ),
        (_, Some(_)) if is_value(text, span.start) => (
            "not a value".to_owned(),
            "put text, times and sizes in quotes, as in \"5s\"; numbers, true and false go without"
                .to_owned(),
        ),
        (message, _) => (
            message.to_owned(),
            "a line is [table], or key = value with text in quotes, as in level = \"info\""
                .to_owned(),
        ),
    };
    Problem {
        severity: Severity::Error,
        message: "this is not TOML".to_owned(),
        place: Some(Place {
            source: Arc::clone(source),
            span: span.into(),
            label,
        }),
        help,
    }
}

/// Whether what starts at `at` stands where a value belongs.
fn is_value(text: &str, at: usize) -> bool {
    let before = text
        .get(..at)
        .unwrap_or_default()
        .trim_end_matches([' ', '\t']);
    before.ends_with(['=', '[', ','])
}

fn wrong_value(key: &str) -> String {
    format!("wrong value for `{key}`")
}

fn takes(key: &str) -> String {
    match keys::find(key) {
        Some(key) => format!("it takes {}", key.takes),
        None => "see the example configuration".to_owned(),
    }
}

/// Whether `path` is `ancestor`, or inside it.
fn is_below(path: &str, ancestor: &str) -> bool {
    path.strip_prefix(ancestor)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
}

fn sort(problems: &mut [Problem]) {
    problems.sort_by_key(|problem| {
        let at = problem.place.as_ref().map(|place| place.span.offset());
        at.unwrap_or_default()
    });
}
