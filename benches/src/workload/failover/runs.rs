//! Runs of a failover, and what each client saw of them.

use clap::ValueEnum;
use serde::{Deserialize, Serialize};

/// Every run, in the order in which they were made.
#[derive(Debug, Deserialize, Serialize)]
pub(crate) struct Failovers {
    /// How long a client was watched after the fault before it was said to hang, in seconds.
    pub(crate) hangs_after_seconds: u64,
    /// The runs.
    pub(crate) runs: Vec<Run>,
}

/// One fault, and what came of it.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct Run {
    /// Which round it belongs to, from 0.
    pub(crate) round: usize,
    /// The fault that struck the primary.
    pub(crate) fault: Fault,
    /// The number of the node that it was done to, from 1.
    pub(crate) primary: u8,
    /// The number of the node that the plain client wrote on, from 1.
    pub(crate) survivor: u8,
    /// The account of each client.
    pub(crate) clients: Vec<Seen>,
    /// The proxy's account of it. None where no command of its client was kept waiting.
    pub(crate) carried: Option<Carried>,
}

/// Fault that strikes the primary.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Fault {
    /// SIGKILL: the process is gone, the kernel resets its connections.
    Kill,
    /// SIGSTOP: connections stay, and nobody answers.
    Stop,
    /// SIGTERM: it leaves the cluster in order.
    Term,
}

/// One of the clients of a run.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Who {
    /// Through HAProxy, which keeps connections to a server that is down.
    Haproxy,
    /// Through HAProxy, which closes connections to a server that is down.
    HaproxyClosing,
    /// Through ido-proxy.
    Proxy,
    /// Directly on a node that survives.
    Survivor,
}

/// One client's account of a fault.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct Seen {
    /// Which client.
    pub(crate) who: Who,
    /// Transactions that were acknowledged.
    pub(crate) transactions: u64,
    /// The longest time from one acknowledgement to the next around the fault, in milliseconds.
    /// None where there was no further one: it hung.
    pub(crate) pause_ms: Option<f64>,
    /// Errors that it met.
    pub(crate) errors: u64,
    /// The first of them.
    pub(crate) first_error: Option<String>,
    /// Transactions that were acknowledged and do not stand.
    pub(crate) lost: u64,
    /// Transactions that stand twice.
    pub(crate) doubled: u64,
    /// Rows that it sent, each once.
    pub(crate) rows_sent: u64,
    /// Those of them that do not stand, acknowledged or not.
    pub(crate) rows_lost: u64,
}

/// The proxy's own account of the failover, as `/status` has it.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct Carried {
    /// Why the link was lost.
    pub(crate) reason: String,
    /// Transactions that were done again.
    pub(crate) replays: u64,
    /// The longest pause of a command, in milliseconds.
    pub(crate) pause_ms: f64,
    /// The parts of `pause_ms`.
    pub(crate) phases_ms: Phases,
}

/// The parts of a pause, in milliseconds.
#[derive(Clone, Copy, Debug, Deserialize, Serialize)]
pub(crate) struct Phases {
    /// Until another primary was known.
    pub(crate) detect: f64,
    /// Until there was a link to it.
    pub(crate) link: f64,
    /// Until the new node had applied all that the lost one had committed.
    pub(crate) wait: f64,
    /// Setting up the session's state.
    pub(crate) restore: f64,
    /// Doing the transaction again.
    pub(crate) replay: f64,
    /// The command itself, on the new node.
    pub(crate) commit: f64,
}

impl Failovers {
    /// The runs with this fault.
    pub(crate) fn of(&self, fault: Fault) -> impl Iterator<Item = &Run> {
        self.runs.iter().filter(move |run| run.fault == fault)
    }
}

impl Run {
    /// The account of this client.
    pub(crate) fn seen(&self, who: Who) -> Option<&Seen> {
        self.clients.iter().find(|seen| seen.who == who)
    }

    /// How much longer the proxy's client stood still than the survivors did, in milliseconds.
    /// Below zero where it was the shorter.
    pub(crate) fn share_ms(&self) -> Option<f64> {
        Some(self.seen(Who::Proxy)?.pause_ms? - self.seen(Who::Survivor)?.pause_ms?)
    }
}

impl Fault {
    /// Every fault, in the order of tables.
    pub(crate) const ALL: [Self; 3] = [Self::Kill, Self::Stop, Self::Term];

    /// The name in tables and plots.
    pub(crate) fn label(self) -> &'static str {
        match self {
            Self::Kill => "kill -9",
            Self::Stop => "SIGSTOP",
            Self::Term => "SIGTERM",
        }
    }
}

impl Who {
    /// Every client, in the order of tables.
    pub(crate) const ALL: [Self; 4] =
        [Self::Survivor, Self::Proxy, Self::Haproxy, Self::HaproxyClosing];

    /// The name in tables and plots.
    pub(crate) fn label(self) -> &'static str {
        match self {
            Self::Haproxy => "HAProxy",
            Self::HaproxyClosing => "HAProxy, closing",
            Self::Proxy => "ido-proxy",
            Self::Survivor => "direct, on a survivor",
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A run whose clients stood still for so many milliseconds, in the order of [`Who::ALL`].
    pub(crate) fn run(fault: Fault, pauses: [Option<f64>; 4]) -> Run {
        let clients = Who::ALL.into_iter().zip(pauses).map(|(who, pause_ms)| Seen {
            who,
            transactions: 100,
            pause_ms,
            errors: 0,
            first_error: None,
            lost: 0,
            doubled: 0,
            rows_sent: 2_000,
            rows_lost: 0,
        });
        Run { round: 0, fault, primary: 1, survivor: 2, clients: clients.collect(), carried: None }
    }

    #[test]
    fn the_share_is_what_exceeds_the_survivors_own_pause() {
        let share = |proxy, survivor| run(Fault::Kill, [survivor, proxy, None, None]).share_ms();
        assert_eq!(share(Some(6_250.0), Some(6_200.0)), Some(50.0));
        assert_eq!(share(Some(30.0), Some(40.0)), Some(-10.0));
        assert_eq!(share(None, Some(40.0)), None);
    }

    /// Fields of `/status` that we do not ask for are no mistake.
    #[test]
    fn the_proxys_account_is_understood() {
        let entry = serde_json::json!({
            "at": 1.5, "from": "127.0.0.1:3306", "to": "127.0.0.2:3306", "reason": "node_failed",
            "epoch": 3, "sessions": 1, "replays": 1, "pause_ms": 6100.5,
            "phases_ms": {
                "detect": 6000.0, "link": 5.0, "wait": 50.0, "restore": 1.0, "replay": 44.0,
                "commit": 0.5
            }
        });
        let carried: Carried = serde_json::from_value(entry).expect("it has all we need");
        assert_eq!((carried.replays, carried.phases_ms.wait), (1, 50.0));
    }
}
