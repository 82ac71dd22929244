//! The comparison of what was told with what stands.

use std::collections::HashMap;
use std::fmt;
use std::time::Duration;

use mysql_async::prelude::FromRow;
use mysql_async::{Conn, Row};

use super::record::{Record, Slot, Standing};
use crate::error::Result;
use crate::sql;

/// One difference.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Finding {
    /// Acknowledged, and not there.
    Lost {
        /// The writer that sent the token.
        writer: u32,
        /// The token.
        token: u64,
    },
    /// Stands more than once.
    Doubled {
        /// The writer that sent the token.
        writer: u32,
        /// The token.
        token: u64,
        /// How often it is there.
        rows: usize,
    },
    /// Stands, though never acknowledged.
    Ghost {
        /// The writer that sent the token.
        writer: u32,
        /// The token.
        token: u64,
    },
    /// Stands under another id than the client was told.
    WrongId {
        /// The writer that sent the token.
        writer: u32,
        /// The token.
        token: u64,
        /// The id that was told.
        told: u64,
        /// The id that it has.
        has: u64,
    },
    /// A row of status does not show its last update, or had more or fewer of them.
    Status {
        /// The writer that the row belongs to.
        writer: u32,
        /// Which row.
        slot: usize,
        /// The row as it should be.
        expected: Slot,
        /// The row as it is, if there is one.
        found: Option<Slot>,
    },
    /// The row of program status is another one, missing, or there twice.
    Program {
        /// The writer that the row belongs to.
        writer: u32,
        /// Token and id as they should be.
        expected: Option<(u64, Option<u64>)>,
        /// Tokens and ids that are there.
        found: Vec<(u64, u64)>,
    },
    /// Increments were lost or doubled.
    Counter {
        /// The writer that the counter belongs to.
        writer: u32,
        /// The value as it should be.
        expected: u64,
        /// The value as it is.
        found: Option<u64>,
    },
    /// A reply without error said something wrong.
    Told {
        /// The writer that got the reply.
        writer: u32,
        /// The words about the reply.
        text: String,
    },
    /// The client saw an error.
    Error {
        /// The writer that met the error.
        writer: u32,
        /// The text of the error.
        text: String,
    },
}

/// All differences of an audit.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Findings(pub Vec<Finding>);

impl Findings {
    /// Whether all is well.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl fmt::Display for Findings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} findings", self.0.len())?;
        for finding in self.0.iter().take(SHOWN) {
            write!(f, "\n  - {finding}")?;
        }
        if self.0.len() > SHOWN {
            write!(f, "\n  - and {} more", self.0.len() - SHOWN)?;
        }
        Ok(())
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Lost { writer, token } => write!(f, "writer {writer}: {token} is lost"),
            Self::Doubled { writer, token, rows } => {
                write!(f, "writer {writer}: {token} is there {rows} times")
            }
            Self::Ghost { writer, token } => {
                write!(f, "writer {writer}: {token} is there, but was not acknowledged")
            }
            Self::WrongId { writer, token, told, has } => {
                write!(f, "writer {writer}: {token} has the id {has}, the client was told {told}")
            }
            Self::Status { writer, slot, expected, found } => {
                write!(f, "writer {writer}: status {slot} is {found:?}, not {expected:?}")
            }
            Self::Program { writer, expected, found } => {
                write!(f, "writer {writer}: program status is {found:?}, not {expected:?}")
            }
            Self::Counter { writer, expected, found } => {
                write!(f, "writer {writer}: the counter is {found:?}, not {expected}")
            }
            Self::Told { writer, text } => write!(f, "writer {writer}: {text}"),
            Self::Error { writer, text } => {
                write!(f, "writer {writer}: the client got an error: {text}")
            }
        }
    }
}

/// Reads the tables on the server of `root` and compares them with `records`.
pub(super) async fn audit(mut root: Conn, records: &[Record]) -> Result<Findings> {
    let found = Found::read(&mut root).await?;
    let _ = root.disconnect().await;
    let mut findings = Vec::new();
    for record in records {
        let writer = record.writer;
        findings
            .extend(record.error.iter().map(|text| Finding::Error { writer, text: text.clone() }));
        let oddities = record.oddities.iter();
        findings.extend(oddities.map(|text| Finding::Told { writer, text: text.clone() }));
        // A transaction in doubt may stand or not, but whole: the hypothesis that explains more is taken.
        let hypotheses = record.hypotheses();
        let explained = hypotheses.iter().map(|standing| found.differences(writer, standing));
        findings.extend(explained.min_by_key(Vec::len).unwrap_or_default());
    }
    Ok(Findings(findings))
}

/// All tables, by writer.
#[derive(Debug, Default)]
struct Found {
    history: HashMap<u32, HashMap<u64, Vec<u64>>>,
    slots: HashMap<(u32, usize), Slot>,
    program: HashMap<u32, Vec<(u64, u64)>>,
    counters: HashMap<u32, u64>,
}

impl Found {
    async fn read(root: &mut Conn) -> Result<Self> {
        // Everything that the cluster has committed is applied here before it is read.
        rows::<Row>(root, "SET SESSION wsrep_sync_wait = 7").await?;
        let mut found = Self::default();
        let query = "SELECT writer, token, id FROM icinga.story_history";
        for (writer, token, id) in rows(root, query).await? {
            found.history.entry(writer).or_default().entry(token).or_default().push(id);
        }
        let query = "SELECT writer, slot, token, updates FROM icinga.story_status";
        for (writer, slot, token, updates) in rows(root, query).await? {
            found.slots.insert((writer, slot), Slot { token, updates });
        }
        let query = "SELECT writer, token, id FROM icinga.story_program";
        for (writer, token, id) in rows(root, query).await? {
            found.program.entry(writer).or_default().push((token, id));
        }
        let query = "SELECT writer, value FROM icinga.story_counter";
        found.counters.extend(rows::<(u32, u64)>(root, query).await?);
        Ok(found)
    }

    fn differences(&self, writer: u32, standing: &Standing) -> Vec<Finding> {
        let none = HashMap::new();
        let history = self.history.get(&writer).unwrap_or(&none);
        let mut findings = Vec::new();
        for (token, told) in &standing.history {
            let token = *token;
            match (history.get(&token).map_or(&[][..], Vec::as_slice), told) {
                ([], _) => findings.push(Finding::Lost { writer, token }),
                ([has], Some(told)) if has != told => {
                    findings.push(Finding::WrongId { writer, token, told: *told, has: *has });
                }
                ([_], _) => {}
                (rows, _) => findings.push(Finding::Doubled { writer, token, rows: rows.len() }),
            }
        }
        let ghosts = history.keys().filter(|token| !standing.history.contains_key(token));
        findings.extend(ghosts.map(|token| Finding::Ghost { writer, token: *token }));
        for (slot, expected) in standing.slots.iter().enumerate() {
            let found = self.slots.get(&(writer, slot)).copied();
            if found != Some(*expected) {
                findings.push(Finding::Status { writer, slot, expected: *expected, found });
            }
        }
        let program = self.program.get(&writer).map_or(&[][..], Vec::as_slice);
        let as_told = match (program, standing.program) {
            ([], None) => true,
            ([(token, id)], Some((expected, told))) => {
                *token == expected && told.is_none_or(|told| told == *id)
            }
            _ => false,
        };
        if !as_told {
            let (expected, found) = (standing.program, program.to_vec());
            findings.push(Finding::Program { writer, expected, found });
        }
        let found = self.counters.get(&writer).copied();
        if found != Some(standing.counter) {
            findings.push(Finding::Counter { writer, expected: standing.counter, found });
        }
        findings
    }
}

async fn rows<T: FromRow + Send + 'static>(root: &mut Conn, query: &str) -> Result<Vec<T>> {
    sql::rows_within(root, query, PATIENCE).await
}

const SHOWN: usize = 12;

/// A causal read waits for whatever is still to be applied.
const PATIENCE: Duration = Duration::from_secs(60);
