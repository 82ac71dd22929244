//! Metrics of the sessions.

use metrics::{Counter, Gauge, Histogram};

use super::catalog;
use super::label::{
    CounterBy, DoubtOutcome, HistogramBy, LinkLoss, LoginResult, RecoveryPhase, Refusal,
};

/// The handles of a session and its links. Cheap to clone; counting is a few atomic operations.
#[derive(Clone, Debug)]
pub(crate) struct SessionMetrics {
    /// Sessions open now.
    pub(crate) sessions: Gauge,
    /// Open sessions of clients that only read, a part of `sessions`.
    pub(crate) readers: Gauge,
    /// Sessions that wait now for a usable primary.
    pub(crate) held: Gauge,
    /// Logins, by how they ended.
    pub(crate) logins: CounterBy<LoginResult>,
    /// Seconds from a client's connection to the answer to its login.
    pub(crate) login_seconds: Histogram,
    /// Clients refused, by reason.
    pub(crate) refused: CounterBy<Refusal>,
    /// Commands received from clients.
    pub(crate) commands: Counter,
    /// Bytes read from clients.
    pub(crate) client_received: Counter,
    /// Bytes written to clients.
    pub(crate) client_sent: Counter,
    /// Links opened.
    pub(crate) links_opened: Counter,
    /// Links that lie ready.
    pub(crate) warm_links: Gauge,
    /// Sessions that went on with one.
    pub(crate) warm_links_used: Counter,
    /// Links lost or never opened, by reason.
    pub(crate) links_lost: CounterBy<LinkLoss>,
    /// Seconds it took to open a link.
    pub(crate) link_seconds: Histogram,
    /// Bytes read from nodes.
    pub(crate) link_received: Counter,
    /// Bytes written to nodes.
    pub(crate) link_sent: Counter,
    /// Seconds from the loss of a link to the end of the command it met.
    pub(crate) recovery_seconds: Histogram,
    /// Seconds of each phase of the recoveries in `recovery_seconds`.
    pub(crate) recovery_phase_seconds: HistogramBy<RecoveryPhase>,
    /// Sessions that went on with another link, by the reason for which they lost theirs.
    pub(crate) failovers: CounterBy<LinkLoss>,
    /// Transactions done again.
    pub(crate) replays: Counter,
    /// Replays that came out differently, a part of `replays`.
    pub(crate) replay_mismatches: Counter,
    /// COMMITs in doubt, by outcome.
    pub(crate) in_doubt: CounterBy<DoubtOutcome>,
    /// The longest of `recovery_seconds`.
    pub(crate) longest_pause: Gauge,
    /// Memory of all journals, in bytes.
    pub(crate) journal_memory: Gauge,
    /// Disk space of all journals, in bytes.
    pub(crate) journal_disk: Gauge,
    /// Transactions that could not have been done again.
    pub(crate) unreplayable: Counter,
}

impl SessionMetrics {
    /// Prepares the handles with the recorder installed by then; without one they count nothing.
    pub(crate) fn new() -> Self {
        Self {
            sessions: catalog::SESSIONS.gauge(),
            readers: catalog::SESSIONS_READING.gauge(),
            held: catalog::SESSIONS_HELD.gauge(),
            logins: CounterBy::new(&catalog::LOGINS),
            login_seconds: catalog::LOGIN_SECONDS.histogram(),
            refused: CounterBy::new(&catalog::REFUSED),
            commands: catalog::COMMANDS.counter(),
            client_received: catalog::CLIENT_RECEIVED.counter(),
            client_sent: catalog::CLIENT_SENT.counter(),
            links_opened: catalog::LINKS_OPENED.counter(),
            warm_links: catalog::WARM_LINKS.gauge(),
            warm_links_used: catalog::WARM_LINKS_USED.counter(),
            links_lost: CounterBy::new(&catalog::LINKS_LOST),
            link_seconds: catalog::LINK_SECONDS.histogram(),
            link_received: catalog::LINK_RECEIVED.counter(),
            link_sent: catalog::LINK_SENT.counter(),
            recovery_seconds: catalog::RECOVERY_SECONDS.histogram(),
            recovery_phase_seconds: HistogramBy::new(&catalog::RECOVERY_PHASE_SECONDS),
            failovers: CounterBy::new(&catalog::FAILOVERS),
            replays: catalog::REPLAYS.counter(),
            replay_mismatches: catalog::REPLAY_MISMATCHES.counter(),
            in_doubt: CounterBy::new(&catalog::IN_DOUBT),
            longest_pause: catalog::LONGEST_PAUSE.gauge(),
            journal_memory: catalog::JOURNAL_MEMORY.gauge(),
            journal_disk: catalog::JOURNAL_DISK.gauge(),
            unreplayable: catalog::UNREPLAYABLE.counter(),
        }
    }
}

/// Counts one in a gauge for as long as it lives, however that ends: a session that panics is gone too.
#[derive(Debug)]
pub(crate) struct Present(Gauge);

impl Present {
    /// Adds one to `gauge`.
    pub(crate) fn enter(gauge: &Gauge) -> Self {
        gauge.increment(1.0);
        Self(gauge.clone())
    }
}

impl Drop for Present {
    fn drop(&mut self) {
        self.0.decrement(1.0);
    }
}
