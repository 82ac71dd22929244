//! Logs: one line an event on standard error, where systemd's journal picks them up.

use std::io::{self, IsTerminal};

use tracing::Subscriber;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::ParseError;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::util::SubscriberInitExt;

/// How a log line looks.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Format {
    /// For people: time, level, module, message, fields.
    Text,
    /// For log collectors: one JSON object a line.
    Json,
}

/// Why logs could not be set up.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LogsError {
    /// `RUST_LOG` is no filter: mend it, or unset it.
    #[error("RUST_LOG={text:?} is no log filter: {source}")]
    Filter {
        /// The text of the variable.
        text: String,
        /// The parser's complaint.
        source: ParseError,
    },
    /// The process logs already.
    #[error(transparent)]
    Installed(#[from] tracing_subscriber::util::TryInitError),
}

/// Starts to log events of `level` and above; of the libraries beneath, warnings and errors only. A
/// filter in the environment variable `RUST_LOG` replaces both.
///
/// # Errors
///
/// Fails if `RUST_LOG` is malformed or the process logs already.
pub(crate) fn init(format: Format, level: LevelFilter) -> Result<(), LogsError> {
    let filter = match std::env::var(EnvFilter::DEFAULT_ENV) {
        Ok(text) if !text.is_empty() => custom_filter(text)?,
        _ => default_filter(level),
    };
    let colour = format == Format::Text && io::stderr().is_terminal();
    subscriber(format, filter, colour, io::stderr).try_init()?;
    Ok(())
}

fn custom_filter(text: String) -> Result<EnvFilter, LogsError> {
    EnvFilter::builder().parse(&text).map_err(|source| LogsError::Filter { text, source })
}

fn default_filter(level: LevelFilter) -> EnvFilter {
    let libraries = level.min(LevelFilter::WARN);
    EnvFilter::new(format!("{libraries},{}={level}", env!("CARGO_CRATE_NAME")))
}

fn subscriber<W>(
    format: Format,
    filter: EnvFilter,
    colour: bool,
    writer: W,
) -> Box<dyn Subscriber + Send + Sync>
where
    W: for<'writer> MakeWriter<'writer> + Send + Sync + 'static,
{
    let builder =
        tracing_subscriber::fmt().with_env_filter(filter).with_ansi(colour).with_writer(writer);
    match format {
        Format::Text => Box::new(builder.compact().finish()),
        Format::Json => Box::new(builder.json().flatten_event(true).finish()),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;

    /// Collects what is written.
    #[derive(Clone, Default)]
    struct Page(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Page {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl Page {
        fn text(&self) -> String {
            String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
        }
    }

    fn written(format: Format, filter: EnvFilter) -> String {
        let page = Page::default();
        let writer = page.clone();
        let subscriber = subscriber(format, filter, false, move || writer.clone());
        tracing::subscriber::with_default(subscriber, || {
            tracing::info!(node = "192.0.2.11:3306", "primary chosen");
            tracing::debug!("a detail");
            tracing::info!(target: "some_library", "chatter");
            tracing::warn!(target: "some_library", "trouble");
        });
        page.text()
    }

    #[test]
    fn text_is_one_plain_line_an_event() {
        let text = written(Format::Text, default_filter(LevelFilter::INFO));
        let lines: Vec<_> = text.lines().collect();
        assert_eq!(lines.len(), 2, "{text}");
        assert!(lines[0].contains("INFO"), "{text}");
        assert!(lines[0].contains("primary chosen"), "{text}");
        assert!(lines[0].contains("192.0.2.11:3306"), "{text}");
        assert!(lines[1].contains("trouble"), "{text}");
        assert!(!text.contains('\x1b'), "no colour codes in a file: {text}");
    }

    #[test]
    fn json_is_one_object_a_line() {
        let text = written(Format::Json, default_filter(LevelFilter::INFO));
        let first: serde_json::Value = serde_json::from_str(text.lines().next().unwrap()).unwrap();
        assert_eq!(first["level"], "INFO");
        assert_eq!(first["message"], "primary chosen");
        assert_eq!(first["node"], "192.0.2.11:3306");
        assert!(first["timestamp"].is_string());
    }

    #[test]
    fn the_level_never_makes_libraries_talkative() {
        let text = written(Format::Text, default_filter(LevelFilter::TRACE));
        assert!(text.contains("a detail") && !text.contains("chatter"), "{text}");
        let text = written(Format::Text, default_filter(LevelFilter::ERROR));
        assert_eq!(text, "");
    }

    #[test]
    fn a_custom_filter_wins_and_a_wrong_one_is_named() {
        let text = written(Format::Text, custom_filter("some_library=info".into()).unwrap());
        assert!(text.contains("chatter") && !text.contains("primary chosen"), "{text}");
        let error = custom_filter("ido_proxy=loud".into()).unwrap_err();
        assert!(error.to_string().contains("ido_proxy=loud"), "{error}");
    }
}
