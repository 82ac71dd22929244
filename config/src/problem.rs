//! Problems of a configuration, told so that the file can be mended at once: where, what, and what would be
//! right.

use std::fmt;
use std::io;
use std::path::Path;
use std::sync::Arc;

use miette::{
    Diagnostic, GraphicalReportHandler, GraphicalTheme, LabeledSpan, NamedSource, Severity,
    SourceCode, SourceSpan,
};
use textwrap::{WordSeparator, WordSplitter};

/// Every problem found in one configuration file, in the order in which they stand there.
///
/// Fatal: the caller shows it (see [`render`]) and ends, or keeps the configuration it has.
#[derive(Debug)]
pub struct Errors {
    file: String,
    problems: Vec<Problem>,
}

impl Errors {
    /// `problems` must not be empty.
    pub(crate) fn new(file: &str, problems: Vec<Problem>) -> Self {
        debug_assert!(!problems.is_empty());
        Self { file: file.to_owned(), problems }
    }

    /// The file itself cannot be had.
    pub(crate) fn unreadable(file: &Path, error: &io::Error) -> Self {
        let problem = Problem {
            severity: Severity::Error,
            message: format!("{error}, for user id {}", nix::unistd::geteuid()),
            place: None,
            help: "name a configuration file that the user running ido-proxy may read".to_owned(),
        };
        Self::new(&file.display().to_string(), vec![problem])
    }

    /// The single problems, each with its own place in the file.
    pub fn problems(&self) -> &[Problem] {
        &self.problems
    }
}

impl fmt::Display for Errors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.problems.len() {
            1 => write!(f, "{} has an error", self.file),
            count => write!(f, "{} has {count} errors", self.file),
        }
    }
}

impl std::error::Error for Errors {}

impl Diagnostic for Errors {
    fn related<'a>(&'a self) -> Option<Box<dyn Iterator<Item = &'a dyn Diagnostic> + 'a>> {
        Some(Box::new(self.problems.iter().map(|problem| problem as &dyn Diagnostic)))
    }
}

/// One problem: an error, or a warning that leaves the configuration usable.
///
/// [`Display`](fmt::Display) gives one line without the place; [`Problem::summary`] one line with it. No secret is
/// ever part of it: values of passwords are masked in the source text that it quotes.
#[derive(Debug)]
pub struct Problem {
    pub(crate) severity: Severity,
    pub(crate) message: String,
    pub(crate) place: Option<Place>,
    pub(crate) help: String,
}

/// Where a problem stands in the file, and what is to be said right there.
#[derive(Debug)]
pub(crate) struct Place {
    pub(crate) source: Arc<NamedSource<String>>,
    pub(crate) span: SourceSpan,
    pub(crate) label: String,
}

impl Problem {
    /// One line for a log: `FILE:LINE:COLUMN: message (help)`.
    pub fn summary(&self) -> String {
        let place = match &self.place {
            Some(place) => match place.source.read_span(&place.span, 0, 0) {
                Ok(at) => {
                    format!("{}:{}:{}: ", place.source.name(), at.line() + 1, at.column() + 1)
                }
                Err(_) => format!("{}: ", place.source.name()),
            },
            None => String::new(),
        };
        let label = match &self.place {
            Some(place) => format!(": {}", place.label),
            None => String::new(),
        };
        format!("{place}{}{label} ({})", self.message, self.help)
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Problem {}

impl Diagnostic for Problem {
    fn severity(&self) -> Option<Severity> {
        Some(self.severity)
    }

    fn help<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        Some(Box::new(&self.help))
    }

    fn source_code(&self) -> Option<&dyn SourceCode> {
        let place = self.place.as_ref()?;
        Some(place.source.as_ref())
    }

    fn labels(&self) -> Option<Box<dyn Iterator<Item = LabeledSpan> + '_>> {
        let place = self.place.as_ref()?;
        let label = LabeledSpan::new_with_span(Some(place.label.clone()), place.span);
        Some(Box::new(std::iter::once(label)))
    }
}

/// Draws [`Errors`] or a [`Problem`] for a person: the lines of the file with a caret under what is
/// wrong, and the help below. `color` adds ANSI colours, for a terminal.
pub fn render(diagnostic: &dyn Diagnostic, color: bool) -> String {
    let theme = if color { GraphicalTheme::unicode() } else { GraphicalTheme::unicode_nocolor() };
    // Paths and commands stay whole, to be copied.
    let handler = GraphicalReportHandler::new_themed(theme)
        .with_width(WIDTH)
        .with_break_words(false)
        .with_word_separator(WordSeparator::AsciiSpace)
        .with_word_splitter(WordSplitter::NoHyphenation);
    let mut out = String::new();
    // Writing to a String cannot fail; whatever was drawn is still better than nothing.
    let _ = handler.render_report(&mut out, diagnostic);
    out
}

/// Columns of a rendered report.
const WIDTH: usize = 100;
