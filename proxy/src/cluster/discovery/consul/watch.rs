//! Asks Consul again and again, and tells the cluster task what is new as soon as Consul knows it.

use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time;
use tokio_util::sync::CancellationToken;

use super::failure::Failure;
use super::{Answer, Consul};
use crate::cluster::discovery::health::Health;
use crate::cluster::discovery::source::{Candidate, Named, Source};
use crate::telemetry::metrics::{CounterBy, LookupResult};

/// The questions to one Consul.
#[derive(Debug)]
pub(crate) struct Watch {
    consul: Consul,
    answers: mpsc::Sender<Named>,
    results: CounterBy<LookupResult>,
}

impl Watch {
    /// Sends each good answer of `consul` to `answers`, and counts how each question ended.
    pub(crate) fn new(
        consul: Consul,
        answers: mpsc::Sender<Named>,
        results: CounterBy<LookupResult>,
    ) -> Self {
        Self { consul, answers, results }
    }

    /// Runs until `stop` is cancelled.
    pub(crate) async fn run(self, stop: CancellationToken) {
        stop.run_until_cancelled(self.questions()).await;
    }

    async fn questions(self) {
        let mut health = Health::Untried;
        let mut pace = Pace::default();
        loop {
            let answer = self.consul.ask(pace.known).await;
            let (answer, pause) = pace.after(answer);
            let error = answer.as_ref().err();
            self.results.of(error.map_or(LookupResult::Found, Failure::result)).increment(1);
            health = health.after(Source::Consul, error.map(|error| error as _));
            if let Ok(nodes) = answer
                && self.answers.send(Named { source: Source::Consul, nodes }).await.is_err()
            {
                return;
            }
            time::sleep(pause).await;
        }
    }
}

/// From which index on to ask, and when: at once after an answer, later and later after failures.
#[derive(Debug, Default, PartialEq)]
struct Pace {
    /// The index of the last answer; `None` asks for what Consul knows now, and waits for nothing.
    known: Option<u64>,
    failures: u32,
}

impl Pace {
    /// Takes in how a question ended: what to make of it, and how long to wait before the next one.
    fn after(
        &mut self,
        answer: Result<Answer, Failure>,
    ) -> (Result<Vec<Candidate>, Failure>, Duration) {
        let Answer { nodes, index } = match answer.and_then(|answer| self.plausible(answer)) {
            Ok(answer) => answer,
            Err(failure) => {
                self.known = None;
                let pause = FIRST_PAUSE.saturating_mul(1 << self.failures.min(16));
                self.failures = self.failures.saturating_add(1);
                return (Err(failure), pause.min(LONGEST_PAUSE));
            }
        };
        // One that answers at first and then fails again, on and on, is not to be asked ever faster for it.
        let failures = if self.known.is_some() { 0 } else { self.failures };
        *self = Self { known: Some(index), failures };
        let answer = if nodes.is_empty() { Err(Failure::NoNodes) } else { Ok(nodes) };
        (answer, LEAST_PAUSE)
    }

    fn plausible(&self, answer: Answer) -> Result<Answer, Failure> {
        match self.known {
            _ if answer.index == 0 => Err(Failure::NoIndex),
            Some(from) if answer.index < from => {
                Err(Failure::IndexWentBack { from, to: answer.index })
            }
            _ => Ok(answer),
        }
    }
}

/// Between an answer and the next question. It bounds what a Consul can cost that has news all the
/// time, and what can change unseen.
const LEAST_PAUSE: Duration = Duration::from_millis(20);

/// After the first failure; it doubles with each further one.
const FIRST_PAUSE: Duration = Duration::from_millis(100);

/// After many failures. By so much later is known that Consul is back.
const LONGEST_PAUSE: Duration = Duration::from_secs(3);

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use super::*;
    use crate::cluster::model::node_addr::NodeAddr;

    fn good(index: u64) -> Result<Answer, Failure> {
        let address = NodeAddr(SocketAddr::from(([192, 0, 2, 1], 3306)));
        Ok(Answer { nodes: vec![Candidate { address, priority: 1 }], index })
    }

    #[test]
    fn the_next_question_waits_for_what_comes_after_the_last_answer() {
        let mut pace = Pace::default();
        let (answer, pause) = pace.after(good(7));
        assert_eq!((answer.map(|nodes| nodes.len()), pause), (Ok(1), LEAST_PAUSE));
        assert_eq!(pace.known, Some(7));
        // Nothing new in all the time that it waited.
        assert!(pace.after(good(7)).0.is_ok());
    }

    /// A service that comes back must be known as fast as any other change.
    #[test]
    fn a_service_without_nodes_is_waited_for_all_the_same() {
        let mut pace = Pace::default();
        let (answer, pause) = pace.after(Ok(Answer { nodes: Vec::new(), index: 9 }));
        assert_eq!((answer, pause), (Err(Failure::NoNodes), LEAST_PAUSE));
        assert_eq!(pace.known, Some(9));
    }

    /// Otherwise a proxy waits until the new index has passed the old one, perhaps for days.
    #[test]
    fn an_index_that_went_back_or_is_none_begins_anew() {
        for (index, failure) in
            [(6, Failure::IndexWentBack { from: 7, to: 6 }), (0, Failure::NoIndex)]
        {
            let mut pace = Pace { known: Some(7), failures: 0 };
            let (answer, pause) = pace.after(good(index));
            assert_eq!((answer, pause), (Err(failure), FIRST_PAUSE));
            assert_eq!(pace.known, None);
            assert!(pace.after(good(6)).0.is_ok());
        }
    }

    #[test]
    fn failures_are_followed_by_longer_pauses_up_to_a_bound() {
        let mut pace = Pace { known: Some(7), failures: 0 };
        let pauses: Vec<_> = (0..100).map(|_| pace.after(Err(Failure::Silent)).1).collect();
        assert_eq!(pauses[..4], [1, 2, 4, 8].map(|n| FIRST_PAUSE * n));
        assert!(pauses.is_sorted() && pauses.last() == Some(&LONGEST_PAUSE));
        assert_eq!(pace.known, None, "what it says then is asked for without waiting");
        assert_eq!(pace.after(good(1)).1, LEAST_PAUSE);
        assert_eq!(pace.after(good(1)).1, LEAST_PAUSE);
        assert_eq!(pace.after(Err(Failure::Closed)).1, FIRST_PAUSE);
    }

    /// One that is good for one answer each time would fill the log.
    #[test]
    fn a_consul_that_flaps_is_asked_less_often() {
        let mut pace = Pace::default();
        let mut pauses = Vec::new();
        for index in 1..20 {
            assert_eq!(pace.after(good(index)).1, LEAST_PAUSE);
            pauses.push(pace.after(Err(Failure::Closed)).1);
        }
        assert_eq!((pauses[0], pauses.last()), (FIRST_PAUSE, Some(&LONGEST_PAUSE)));
    }
}
