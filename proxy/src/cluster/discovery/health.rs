//! Health of a source: how the log learns that a source fails or answers again.

use std::fmt;

use super::source::Source;

/// Whether a source answers. A failure is told when it begins and when it ends, however often it is
/// met in between, and changes nothing for traffic.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Health {
    /// The last answer was good.
    Answering,
    /// The last one was not.
    Failing {
        /// Whether there ever was a good one.
        answered: bool,
    },
    /// Nothing was asked yet.
    Untried,
}

impl Health {
    /// Takes in how the next question to `source` ended, and tells the log what is new about that.
    pub(crate) fn after(self, source: Source, error: Option<&dyn fmt::Display>) -> Self {
        match (self, error) {
            (Self::Answering, None) => Self::Answering,
            (Self::Untried, None) => {
                tracing::info!("{source} names the nodes");
                Self::Answering
            }
            (Self::Failing { .. }, None) => {
                tracing::info!("{source} names the nodes again");
                Self::Answering
            }
            (failing @ Self::Failing { .. }, Some(error)) => {
                tracing::debug!(%error, "{source} still names no nodes");
                failing
            }
            (Self::Answering, Some(error)) => {
                tracing::warn!(%error, "{source} names no nodes: those known before are kept");
                Self::Failing { answered: true }
            }
            (Self::Untried, Some(error)) => {
                tracing::warn!(
                    %error,
                    "{source} names no nodes: going by those that are known already"
                );
                Self::Failing { answered: false }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::sync::{Arc, Mutex};

    use super::*;

    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// A Consul that is gone for a night must not fill the disk with what everybody knows by then, and
    /// one that fails unheard is found out when the next one does.
    #[test]
    fn a_failure_is_told_when_it_begins_and_when_it_ends() {
        let log = Lines::default();
        let lines = log.clone();
        let subscriber = tracing_subscriber::fmt()
            .with_writer(move || lines.clone())
            .without_time()
            .with_target(false)
            .with_ansi(false)
            .finish();
        let outcomes = [
            Some("silence"),
            Some("error 500"),
            None,
            None,
            Some("error 403"),
            Some("error 403"),
            None,
        ];
        tracing::subscriber::with_default(subscriber, || {
            outcomes.iter().fold(Health::Untried, |health, error| {
                health.after(Source::Consul, error.as_ref().map(|error| error as _))
            });
        });
        let log = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
        let expected = [
            " WARN Consul names no nodes: going by those that are known already error=silence",
            " INFO Consul names the nodes again",
            " WARN Consul names no nodes: those known before are kept error=error 403",
            " INFO Consul names the nodes again",
        ];
        assert_eq!(log.lines().collect::<Vec<_>>(), expected);
    }
}
