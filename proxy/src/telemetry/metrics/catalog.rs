//! Every metric of the daemon: its name, kind, unit, labels and meaning, in one place.
//!
//! `docs/metrics.md` lists the same; a test compares the two.

use metrics::Unit;

use super::label::{
    DoubtOutcome, Label, LinkLoss, LoginResult, LookupResult, RecoveryPhase, Refusal,
};
use super::metric::{Kind, LabelOf, Metric, NO_LABEL};

const fn counter(name: &'static str, unit: Unit, help: &'static str) -> Metric {
    Metric { name, kind: Kind::Counter, unit, label: NO_LABEL, help }
}

const fn gauge(name: &'static str, unit: Unit, help: &'static str) -> Metric {
    Metric { kind: Kind::Gauge, ..counter(name, unit, help) }
}

const fn seconds(name: &'static str, help: &'static str) -> Metric {
    Metric { kind: Kind::Histogram, ..counter(name, Unit::Seconds, help) }
}

const fn by(key: &'static str, values: &'static [&'static str], metric: Metric) -> Metric {
    Metric { label: LabelOf { key, values }, ..metric }
}

// The daemon.
pub(super) const BUILD_INFO: Metric = by(
    "version",
    &[],
    gauge("ido_proxy_build_info", Unit::Count, "Always 1; the label tells the version that runs."),
);
pub(super) const START_TIME: Metric = gauge(
    "ido_proxy_start_time_seconds",
    Unit::Seconds,
    "When the daemon started, in seconds since 1970.",
);

// Clients and their sessions.
pub(super) const SESSIONS: Metric =
    gauge("ido_proxy_sessions", Unit::Count, "Sessions open now, those still logging in included.");
pub(super) const SESSIONS_READING: Metric = gauge(
    "ido_proxy_sessions_reading",
    Unit::Count,
    "Of them, those at `listen.replica_addresses`, which only read.",
);
pub(super) const SESSIONS_HELD: Metric = gauge(
    "ido_proxy_sessions_held",
    Unit::Count,
    "Sessions that wait now, connected, because no primary is usable.",
);
pub(super) const LOGINS: Metric = by(
    "result",
    LoginResult::NAMES,
    counter("ido_proxy_logins_total", Unit::Count, "Client logins, by how they ended."),
);
pub(super) const LOGIN_SECONDS: Metric =
    seconds("ido_proxy_login_seconds", "From a client's connection to the answer to its login.");
pub(super) const REFUSED: Metric = by(
    "reason",
    Refusal::NAMES,
    counter(
        "ido_proxy_refused_total",
        Unit::Count,
        "Clients refused and sessions ended by the proxy itself.",
    ),
);
pub(super) const COMMANDS: Metric =
    counter("ido_proxy_commands_total", Unit::Count, "Commands received from clients.");
pub(super) const CLIENT_RECEIVED: Metric =
    counter("ido_proxy_client_received_bytes_total", Unit::Bytes, "Bytes read from clients.");
pub(super) const CLIENT_SENT: Metric =
    counter("ido_proxy_client_sent_bytes_total", Unit::Bytes, "Bytes written to clients.");

// Links to nodes.
pub(super) const LINKS_OPENED: Metric =
    counter("ido_proxy_links_opened_total", Unit::Count, "Links opened to nodes, login included.");
pub(super) const WARM_LINKS: Metric = gauge(
    "ido_proxy_warm_links",
    Unit::Count,
    "Links that lie ready at the node that would be the next primary.",
);
pub(super) const WARM_LINKS_USED: Metric = counter(
    "ido_proxy_warm_links_used_total",
    Unit::Count,
    "Sessions that went on with a link that lay ready.",
);
pub(super) const LINKS_LOST: Metric = by(
    "reason",
    LinkLoss::NAMES,
    counter(
        "ido_proxy_links_lost_total",
        Unit::Count,
        "Links that ended, or could not be opened, without their session's wish.",
    ),
);
pub(super) const LINK_SECONDS: Metric =
    seconds("ido_proxy_link_seconds", "Time to open a link: connection, login and settings.");
pub(super) const LINK_RECEIVED: Metric =
    counter("ido_proxy_link_received_bytes_total", Unit::Bytes, "Bytes read from nodes.");
pub(super) const LINK_SENT: Metric =
    counter("ido_proxy_link_sent_bytes_total", Unit::Bytes, "Bytes written to nodes.");

// Sessions that outlive their links.
pub(super) const RECOVERY_SECONDS: Metric = seconds(
    "ido_proxy_recovery_seconds",
    "From the loss of a link under a command to the end of that command on the next link.",
);
pub(super) const RECOVERY_PHASE_SECONDS: Metric = by(
    "phase",
    RecoveryPhase::NAMES,
    seconds("ido_proxy_recovery_phase_seconds", "The same, by what the time was spent on."),
);
pub(super) const FAILOVERS: Metric = by(
    "reason",
    LinkLoss::NAMES,
    counter(
        "ido_proxy_failovers_total",
        Unit::Count,
        "Sessions that lost their link under a command and went on with another one.",
    ),
);
pub(super) const REPLAYS: Metric = counter(
    "ido_proxy_replays_total",
    Unit::Count,
    "Transactions done again, after the loss of a link or a conflict with another node.",
);
pub(super) const REPLAY_MISMATCHES: Metric = counter(
    "ido_proxy_replay_mismatches_total",
    Unit::Count,
    "Replays that were not answered as the first time, and were rolled back.",
);
pub(super) const IN_DOUBT: Metric = by(
    "outcome",
    DoubtOutcome::NAMES,
    counter(
        "ido_proxy_commits_in_doubt_total",
        Unit::Count,
        "COMMITs whose reply was lost, by what became of them.",
    ),
);
pub(super) const LONGEST_PAUSE: Metric = gauge(
    "ido_proxy_longest_pause_seconds",
    Unit::Seconds,
    "The longest time that a command took because its link was lost.",
);
pub(super) const JOURNAL_MEMORY: Metric = gauge(
    "ido_proxy_journal_memory_bytes",
    Unit::Bytes,
    "Memory that the journals of open transactions take.",
);
pub(super) const JOURNAL_DISK: Metric = gauge(
    "ido_proxy_journal_disk_bytes",
    Unit::Bytes,
    "Disk space that the journals of open transactions take.",
);
pub(super) const UNREPLAYABLE: Metric = counter(
    "ido_proxy_unreplayable_transactions_total",
    Unit::Count,
    "Transactions that could not have been done again, had their node failed.",
);

// The cluster.
pub(super) const NODES: Metric = gauge("ido_proxy_nodes", Unit::Count, "Known nodes.");
pub(super) const NODES_USABLE: Metric =
    gauge("ido_proxy_nodes_usable", Unit::Count, "Nodes that writes may go to.");
pub(super) const NODE_USABLE: Metric = by(
    "node",
    &[],
    gauge("ido_proxy_node_usable", Unit::Count, "1 while writes may go to the node, else 0."),
);
pub(super) const NODE_PAUSED: Metric = by(
    "node",
    &[],
    gauge(
        "ido_proxy_node_flow_control_paused_seconds",
        Unit::Seconds,
        "For how long the node has stood still since it started, so that a slower one could follow.",
    ),
);
pub(super) const PRIMARY: Metric = by(
    "node",
    &[],
    gauge("ido_proxy_primary", Unit::Count, "1 for the node that writes go to, else 0."),
);
pub(super) const PRIMARY_CHANGES: Metric = counter(
    "ido_proxy_primary_changes_total",
    Unit::Count,
    "How often the primary became another node, the first choice included.",
);
pub(super) const PROBE_SECONDS: Metric = by(
    "node",
    &[],
    seconds("ido_proxy_probe_seconds", "Time of the probes that the node answered."),
);
pub(super) const PROBES_FAILED: Metric = by(
    "node",
    &[],
    counter("ido_proxy_probes_failed_total", Unit::Count, "Probes without an answer, or refused."),
);
pub(super) const DNS_LOOKUPS: Metric = by(
    "result",
    LookupResult::NAMES,
    counter(
        "ido_proxy_dns_lookups_total",
        Unit::Count,
        "Questions asked to name servers, by how they ended.",
    ),
);
pub(super) const CONSUL_LOOKUPS: Metric = by(
    "result",
    LookupResult::NAMES,
    counter(
        "ido_proxy_consul_lookups_total",
        Unit::Count,
        "Questions asked to Consul's HTTP interface, by how they ended; one waits up to 10 s for news.",
    ),
);

/// Every metric above, in the order of the documentation.
pub(super) const ALL: &[Metric] = &[
    BUILD_INFO,
    START_TIME,
    SESSIONS,
    SESSIONS_READING,
    SESSIONS_HELD,
    LOGINS,
    LOGIN_SECONDS,
    REFUSED,
    COMMANDS,
    CLIENT_RECEIVED,
    CLIENT_SENT,
    LINKS_OPENED,
    WARM_LINKS,
    WARM_LINKS_USED,
    LINKS_LOST,
    LINK_SECONDS,
    LINK_RECEIVED,
    LINK_SENT,
    RECOVERY_SECONDS,
    RECOVERY_PHASE_SECONDS,
    FAILOVERS,
    REPLAYS,
    REPLAY_MISMATCHES,
    IN_DOUBT,
    LONGEST_PAUSE,
    JOURNAL_MEMORY,
    JOURNAL_DISK,
    UNREPLAYABLE,
    NODES,
    NODES_USABLE,
    NODE_USABLE,
    NODE_PAUSED,
    PRIMARY,
    PRIMARY_CHANGES,
    PROBE_SECONDS,
    PROBES_FAILED,
    DNS_LOOKUPS,
    CONSUL_LOOKUPS,
];
