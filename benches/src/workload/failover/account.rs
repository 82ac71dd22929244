//! Replies that a client got, and the fate of its batches: without a connection, a clock or a thread.

use std::collections::HashMap;
use std::time::{Duration, Instant};

/// Replies that one client got.
#[derive(Clone, Debug, Default)]
pub(super) struct Record {
    /// How many batches it has sent: those with the numbers `0..sent`.
    pub(super) sent: u64,
    /// The numbers of the batches that were acknowledged, and when, in this order.
    pub(super) acknowledged: Vec<(u64, Instant)>,
    /// The errors that it met, in this order.
    pub(super) errors: Vec<String>,
}

impl Record {
    /// How many batches were acknowledged after `moment`.
    pub(super) fn acknowledged_since(&self, moment: Instant) -> usize {
        self.acknowledged.iter().rev().take_while(|(_, at)| *at > moment).count()
    }

    /// The longest time from one acknowledgement to the next, of those that ended after `struck`.
    /// None where there was no further one after `formed`, when the cluster could write again.
    pub(super) fn pause(&self, struck: Instant, formed: Instant) -> Option<Duration> {
        if self.acknowledged_since(formed) == 0 {
            return None;
        }
        let neighbours = self.acknowledged.windows(2);
        let around = neighbours.filter(|pair| pair[1].1 > struck);
        around.map(|pair| pair[1].1.duration_since(pair[0].1)).max()
    }

    /// Compares it with what stands.
    pub(super) fn judged(&self, statements: u64, stands: &Standing) -> Balance {
        let rows = |batch: u64| stands.get(&batch).copied().unwrap_or_default();
        let lost = self.acknowledged.iter().filter(|(batch, _)| rows(*batch).tokens < statements);
        let doubled = stands.values().filter(|rows| rows.all > rows.tokens);
        let sent = self.sent * statements;
        let standing: u64 = (0..self.sent).map(|batch| rows(batch).tokens).sum();
        Balance {
            lost: lost.count() as u64,
            doubled: doubled.count() as u64,
            rows_sent: sent,
            rows_lost: sent - standing.min(sent),
        }
    }
}

/// The rows of each batch that has any.
pub(super) type Standing = HashMap<u64, Rows>;

/// The rows of one batch.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) struct Rows {
    /// All of them.
    pub(super) all: u64,
    /// Different tokens, `tokens <= all`.
    pub(super) tokens: u64,
}

/// The fate of one client's batches.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Balance {
    /// Batches that were acknowledged and do not stand, or not whole.
    pub(super) lost: u64,
    /// Batches of which a row stands more than once.
    pub(super) doubled: u64,
    /// Rows that the client has sent once.
    pub(super) rows_sent: u64,
    /// Those of them that do not stand, acknowledged or not.
    pub(super) rows_lost: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Batches acknowledged so many milliseconds after `start`, without a gap in the numbers.
    fn record(start: Instant, millis: &[u64]) -> Record {
        let at = |millis: &u64| start + Duration::from_millis(*millis);
        let acknowledged = millis.iter().enumerate().map(|(batch, ms)| (batch as u64, at(ms)));
        Record { sent: millis.len() as u64, acknowledged: acknowledged.collect(), errors: vec![] }
    }

    /// A stall of the machine long before is none of the fault's, and the gap that the fault cuts
    /// in two counts whole.
    #[test]
    fn a_pause_is_the_longest_gap_that_ends_after_the_fault() {
        let start = Instant::now();
        let struck = start + Duration::from_millis(1_000);
        let formed = start + Duration::from_millis(1_290);
        let record = record(start, &[0, 900, 990, 1_005, 1_300, 1_310]);
        assert_eq!(record.pause(struck, formed), Some(Duration::from_millis(295)));
        assert_eq!(record.acknowledged_since(struck), 3);

        let cut = self::record(start, &[0, 700, 1_200]);
        assert_eq!(cut.pause(struck, struck), Some(Duration::from_millis(500)));
    }

    /// A client that hangs has no pause that one could name.
    #[test]
    fn nothing_after_the_fault_is_no_pause() {
        let start = Instant::now();
        let struck = start + Duration::from_millis(100);
        assert_eq!(record(start, &[0, 50]).pause(struck, struck), None);
        assert_eq!(record(start, &[]).pause(struck, struck), None);
        // An answer that was under way when the fault came does not say that it went on.
        let formed = start + Duration::from_millis(6_000);
        assert_eq!(record(start, &[0, 50, 101]).pause(struck, formed), None);
    }

    fn standing(batches: &[(u64, u64, u64)]) -> Standing {
        let rows =
            |(batch, all, tokens): &(u64, u64, u64)| (*batch, Rows { all: *all, tokens: *tokens });
        batches.iter().map(rows).collect()
    }

    #[test]
    fn all_is_well_where_every_batch_stands_once() {
        let record = record(Instant::now(), &[1, 2]);
        let balance = record.judged(20, &standing(&[(0, 20, 20), (1, 20, 20)]));
        assert_eq!(balance, Balance { lost: 0, doubled: 0, rows_sent: 40, rows_lost: 0 });
    }

    /// The three ways to go wrong must not hide each other.
    #[test]
    fn what_is_lost_doubled_or_never_acknowledged_is_told_apart() {
        let mut record = record(Instant::now(), &[1, 2, 3]);
        // Batch 3 was sent and met an error, batch 4 too, but it stands.
        record.sent = 5;
        let stands = standing(&[(0, 20, 20), (1, 7, 7), (2, 40, 20), (4, 20, 20)]);
        let balance = record.judged(20, &stands);
        assert_eq!(balance, Balance { lost: 1, doubled: 1, rows_sent: 100, rows_lost: 33 });
    }
}
