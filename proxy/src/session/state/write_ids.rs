//! Knowledge of which writes tell the id of a row.
//!
//! Where the reply to a write is lost, the fence has `LAST_INSERT_ID()` as it was behind it. Whether that is an id of this
//! write, its number alone does not say: it may be that of an earlier one, and two tables may give the same number one
//! after the other. So it is known of each table whether writes to it tell ids.

/// Tables by what writes to them have told.
#[derive(Debug, Default)]
pub(crate) struct WriteIds {
    /// Fingerprint of each table, and whether its latest rows were told with an id. The latest is at the end.
    tables: Vec<(u64, bool)>,
    /// `LAST_INSERT_ID()` may be other than 0, whatever a write does.
    other_than_zero: bool,
}

impl WriteIds {
    /// A write that changed rows of this table has told this id, 0 for none.
    pub(crate) fn told(&mut self, table: u64, id: u64) {
        self.other_than_zero |= id != 0;
        if let Some(known) = self.tables.last_mut().filter(|(known, _)| *known == table) {
            known.1 = id != 0;
            return;
        }
        self.tables.retain(|(known, _)| *known != table);
        if self.tables.len() >= MOST_TABLES {
            self.tables.remove(0);
        }
        self.tables.push((table, id != 0));
    }

    /// `LAST_INSERT_ID()` may have changed, and no reply told to what: behind a write that failed, for one.
    pub(crate) fn disturb(&mut self) {
        self.other_than_zero = true;
    }

    /// The default database is another one.
    pub(crate) fn forget_tables(&mut self) {
        self.tables.clear();
    }

    /// Whether it could be said which id a write to this table has told, were its reply lost.
    pub(crate) fn would_be_known(&self, table: u64) -> bool {
        !self.other_than_zero || self.tells(table).is_some()
    }

    /// The id that a write to this table has told whose reply is lost, where `LAST_INSERT_ID()` was `before` and is `now`.
    pub(crate) fn of_lost_reply(&self, table: u64, before: u64, now: u64) -> u64 {
        // A number that was rolled back may be given again.
        let tells = self.tells(table).unwrap_or(before != now);
        if tells { now } else { 0 }
    }

    /// Whether writes to this table tell ids, if that is known.
    fn tells(&self, table: u64) -> Option<bool> {
        self.tables.iter().find(|(known, _)| *known == table).map(|(_, tells)| *tells)
    }
}

/// How many tables are remembered.
const MOST_TABLES: usize = 32;

#[cfg(test)]
mod tests {
    use super::*;

    const HOSTS: u64 = 1;
    const SERVICES: u64 = 2;
    const LOG: u64 = 3;

    /// A client would write its next rows under the id of another row.
    #[test]
    fn an_id_is_told_for_a_write_that_gave_it() {
        let mut ids = WriteIds::default();
        assert!(ids.would_be_known(HOSTS));
        assert_eq!((ids.of_lost_reply(HOSTS, 0, 7), ids.of_lost_reply(LOG, 0, 0)), (7, 0));
        ids.told(HOSTS, 7);
        ids.told(LOG, 0);
        assert!(!ids.would_be_known(SERVICES), "a table may give the same number as another");
        ids.told(SERVICES, 6);
        assert_eq!(ids.of_lost_reply(SERVICES, 7, 7), 7);
        assert_eq!(ids.of_lost_reply(HOSTS, 7, 7), 7, "a number that was rolled back");
        assert_eq!(ids.of_lost_reply(LOG, 7, 7), 0);
        ids.disturb();
        assert_eq!(ids.of_lost_reply(LOG, 7, 9), 0, "the number of a row that failed");
    }

    /// Otherwise the id of a row that failed would be told for a write that has none.
    #[test]
    fn behind_a_write_that_failed_only_tables_are_trusted() {
        let mut ids = WriteIds::default();
        ids.disturb();
        assert!(!ids.would_be_known(HOSTS));
        ids.told(HOSTS, 7);
        ids.forget_tables();
        assert!(!ids.would_be_known(HOSTS), "in another database, it is another table");
    }

    /// A session for years would remember each table of each database.
    #[test]
    fn only_the_latest_tables_are_remembered() {
        let mut ids = WriteIds::default();
        (0..1000).for_each(|table| ids.told(table, 0));
        assert_eq!(ids.tables.len(), MOST_TABLES);
        assert_eq!(ids.tells(999), Some(false));
    }
}
