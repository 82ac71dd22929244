//! Workloads that commit, and the numbers of each in each setting.

use clap::ValueEnum;
use serde::{Deserialize, Serialize};

use crate::series::Series;
use crate::wakes::Wakes;

/// Commands that have something committed.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Workload {
    /// `DO 1`, which commits nothing: the cost of the distance itself
    Nothing,
    /// INSERT as text, of a client that may send several statements at once
    Insert,
    /// INSERT as text, of a client that may not
    InsertSingle,
    /// INSERT as a prepared statement
    Prepared,
    /// INSERT … ON DUPLICATE KEY UPDATE of 50 rows, prepared, as Icinga DB has it
    Upsert,
    /// BEGIN, INSERT and COMMIT, as three commands
    Commands,
    /// Icinga's batch: one text of 100 statements that ends in COMMIT;BEGIN
    Batch,
}

/// Numbers of a whole run.
#[derive(Debug, Default, Deserialize, Serialize)]
pub(crate) struct Commits {
    /// One for each setting and workload.
    pub(crate) cells: Vec<Cell>,
}

/// One workload in one setting.
#[derive(Debug, Deserialize, Serialize)]
pub(crate) struct Cell {
    /// Nodes of the cluster.
    pub(crate) nodes: u8,
    /// The round trip, in milliseconds.
    pub(crate) distance: u32,
    /// Cost of waking a process.
    pub(crate) wakes: Wakes,
    /// Commands that were sent.
    pub(crate) workload: Workload,
    /// Every way, without its curve.
    pub(crate) series: Vec<Series>,
}

impl Workload {
    /// Every workload, in the order of tables.
    pub(crate) const ALL: [Self; 7] = [
        Self::Nothing,
        Self::Insert,
        Self::InsertSingle,
        Self::Prepared,
        Self::Upsert,
        Self::Commands,
        Self::Batch,
    ];

    /// Name in tables.
    pub(crate) fn label(self) -> &'static str {
        match self {
            Self::Nothing => "DO 1, no commit",
            Self::Insert => "INSERT as text",
            Self::InsertSingle => "INSERT as text, one statement a command",
            Self::Prepared => "INSERT, prepared",
            Self::Upsert => "upsert of 50 rows, prepared",
            Self::Commands => "BEGIN, INSERT, COMMIT",
            Self::Batch => "batch of 100 statements",
        }
    }
}

/// So many nodes, in words.
pub(crate) fn counted(nodes: u8) -> String {
    if nodes == 1 { "1 node".into() } else { format!("{nodes} nodes") }
}
