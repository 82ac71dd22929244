//! Labels with a fixed set of values, and counters prepared for each of them.
//!
//! Every value is an enum variant, so that a typing error is a compile error, each series exists
//! (at zero) from the start as Prometheus wants it, and counting never looks up a name.

use std::fmt;
use std::marker::PhantomData;

use metrics::{Counter, Histogram};

use super::metric::Metric;

/// A label whose values are known beforehand.
pub(crate) trait Label: Copy + fmt::Display {
    /// The text of every value.
    const NAMES: &'static [&'static str];

    /// The place of this value in [`Label::NAMES`].
    fn index(self) -> usize;
}

/// One counter for each value of the label `L`.
#[derive(Clone)]
pub(crate) struct CounterBy<L> {
    counters: Box<[Counter]>,
    label: PhantomData<L>,
}

impl<L: Label> CounterBy<L> {
    /// Prepares the counters of `metric`, which has this label, all at zero.
    pub(super) fn new(metric: &Metric) -> Self {
        debug_assert_eq!(metric.label.values, L::NAMES);
        Self {
            counters: metric.label.values.iter().map(|value| metric.counter_of(*value)).collect(),
            label: PhantomData,
        }
    }

    /// The counter of one value.
    pub(crate) fn of(&self, value: L) -> &Counter {
        &self.counters[value.index()]
    }
}

impl<L> fmt::Debug for CounterBy<L> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CounterBy").finish_non_exhaustive()
    }
}

/// One histogram for each value of the label `L`.
#[derive(Clone)]
pub(crate) struct HistogramBy<L> {
    histograms: Box<[Histogram]>,
    label: PhantomData<L>,
}

impl<L: Label> HistogramBy<L> {
    /// Prepares the histograms of `metric`, which has this label.
    pub(super) fn new(metric: &Metric) -> Self {
        debug_assert_eq!(metric.label.values, L::NAMES);
        Self {
            histograms: metric
                .label
                .values
                .iter()
                .map(|value| metric.histogram_of(*value))
                .collect(),
            label: PhantomData,
        }
    }

    /// The histogram of one value.
    pub(crate) fn of(&self, value: L) -> &Histogram {
        &self.histograms[value.index()]
    }
}

impl<L> fmt::Debug for HistogramBy<L> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HistogramBy").finish_non_exhaustive()
    }
}

/// Declares an enum that is a [`Label`]: each variant with its documentation and its text.
macro_rules! label {
    (
        $(#[$doc:meta])* $name:ident {
            $($(#[$variant_doc:meta])* $variant:ident = $text:literal,)+
        }
    ) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Eq, PartialEq)]
        pub(crate) enum $name {
            $($(#[$variant_doc])* $variant,)+
        }

        impl Label for $name {
            const NAMES: &'static [&'static str] = &[$($text),+];

            fn index(self) -> usize {
                self as usize
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(Self::NAMES[self.index()])
            }
        }
    };
}

label! {
    /// How a client's login ended.
    LoginResult {
        /// Name and password are right.
        Accepted = "accepted",
        /// The client went away, or the daemon ended, before it had logged in.
        Aborted = "aborted",
        /// Unknown user or wrong password.
        Denied = "denied",
        /// The client's packet is no login of this protocol.
        Malformed = "malformed",
        /// The login took longer than `listen.login_timeout`.
        TimedOut = "timed_out",
    }
}

label! {
    /// Outcome of a COMMIT whose reply was lost.
    DoubtOutcome {
        /// The transaction was committed.
        Committed = "committed",
        /// The transaction was not committed, and was replayed.
        NotCommitted = "not_committed",
        /// Nobody can tell: the client was told so.
        Unknown = "unknown",
    }
}

label! {
    /// Phases of a session's recovery after the loss of a link, in this order.
    RecoveryPhase {
        /// Waits until a usable primary is known.
        Detect = "detect",
        /// Opens a link.
        Link = "link",
        /// Waits until the node has applied what the cluster has committed.
        Wait = "wait",
        /// Sets up the session's state.
        Restore = "restore",
        /// Replays the open transaction.
        Replay = "replay",
        /// Repeats the command that was in flight.
        Commit = "commit",
    }
}

impl RecoveryPhase {
    /// All of them.
    pub(crate) const ALL: [Self; Self::NAMES.len()] =
        [Self::Detect, Self::Link, Self::Wait, Self::Restore, Self::Replay, Self::Commit];
}

label! {
    /// Why a client was refused, or a session ended, by the proxy's own will.
    Refusal {
        /// No node became usable within `failover.hold`.
        HoldExpired = "hold_expired",
        /// A packet longer than the proxy takes at that point of the conversation.
        PacketTooLarge = "packet_too_large",
        /// Something else than reading, at `listen.replica_addresses`.
        ReadOnly = "read_only",
        /// The daemon is about to end.
        ShuttingDown = "shutting_down",
        /// `listen.max_connections` clients are here already.
        TooManySessions = "too_many_sessions",
        /// A command that the proxy does not carry, such as one of replication.
        UnsupportedCommand = "unsupported_command",
    }
}

label! {
    /// Why a link to a node ended, or never came to be, without its session's wish.
    LinkLoss {
        /// The node closed or reset the connection.
        Closed = "closed",
        /// The server gave a transaction up, and what that has set cannot be undone on the link.
        Conflict = "conflict",
        /// The node could not be reached: refused, unreachable, or no answer in time.
        ConnectFailed = "connect_failed",
        /// The node refused the session's login.
        LoginFailed = "login_failed",
        /// The node answered with an error that means it cannot serve, such as 1047.
        NodeFailed = "node_failed",
        /// Another node became the primary.
        PrimaryChanged = "primary_changed",
        /// The node sent what is no reply of this protocol.
        ProtocolViolation = "protocol_violation",
        /// A reader went to a node that suits it better.
        ReaderMoved = "reader_moved",
    }
}

label! {
    /// How one question to a name server or to Consul ended.
    LookupResult {
        /// The answer named at least one address.
        Found = "found",
        /// A proper answer without any address (NXDOMAIN, no record of the type, no instance).
        Empty = "empty",
        /// An error such as SERVFAIL or 500, or an answer that makes no sense.
        Failed = "failed",
        /// No answer in time.
        TimedOut = "timed_out",
    }
}
