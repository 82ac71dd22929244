//! Errors of a file that is not TOML.

use std::ops::Range;
use std::sync::Arc;

use miette::{NamedSource, Severity};

use crate::problem::{Place, Problem};

/// The errors of the parser, in the order of the file, as problems.
pub(crate) fn problems(
    errors: Vec<toml::de::Error>,
    text: &str,
    source: &Arc<NamedSource<String>>,
) -> Vec<Problem> {
    let errors = worth_telling(errors, text);
    let told = errors.iter().map(|error| problem(error, text, source));
    told.collect()
}

/// The first error of each line, in their order, without those that only follow from an array that was
/// not closed: it swallows the rest of the file.
fn worth_telling(mut errors: Vec<toml::de::Error>, text: &str) -> Vec<toml::de::Error> {
    let at = |error: &toml::de::Error| place(error, text).start;
    errors.sort_by_key(at);
    let line = |error: &toml::de::Error| {
        let before = text.get(..at(error)).unwrap_or(text);
        before.matches('\n').count()
    };
    errors.dedup_by_key(|error| line(error));
    let about_array = |error: &toml::de::Error| is_about_array(error, text);
    let first_about_array = errors.iter().position(about_array);
    errors.truncate(first_about_array.map_or(errors.len(), |index| index + 1));
    errors
}

fn is_about_array(error: &toml::de::Error, text: &str) -> bool {
    error.message().contains("array") || is_header(text, place(error, text).start)
}

fn place(error: &toml::de::Error, text: &str) -> Range<usize> {
    error.span().unwrap_or(text.len()..text.len())
}

fn problem(error: &toml::de::Error, text: &str, source: &Arc<NamedSource<String>>) -> Problem {
    let span = place(error, text);
    let word = text.get(span.clone()).filter(|word| word.starts_with(char::is_alphanumeric));
    let (label, help) = match word {
        Some(key) if error.message() == "duplicate key" => (
            "given a second time",
            format!("leave one `{key}`; only [[users]] may stand several times"),
        ),
        _ if is_header(text, span.start) && error.message() != "duplicate key" => (
            "the array above is still open here",
            "end the array with ] before the next table begins".to_owned(),
        ),
        Some(_) if is_value(text, span.start) => (
            "not a value",
            "put text, times and sizes in quotes, as in \"5s\"; numbers, true and false have none"
                .to_owned(),
        ),
        _ if is_about_array(error, text) => {
            (error.message(), "end the array with ] and separate its elements by commas".to_owned())
        }
        _ => (
            error.message(),
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
            label: label.to_owned(),
        }),
        help,
    }
}

/// Whether what starts at `at` is the name in the header of a table.
fn is_header(text: &str, at: usize) -> bool {
    let before = text.get(..at).unwrap_or_default();
    before.trim_end_matches('[').ends_with('\n') && before.ends_with('[')
}

/// Whether what starts at `at` stands where a value belongs.
fn is_value(text: &str, at: usize) -> bool {
    let before = text.get(..at).unwrap_or_default().trim_end_matches([' ', '\t']);
    before.ends_with(['=', '[', ','])
}
