//! Things that a session holds at its node by a name, until it gives them back.

use ido_proxy_protocol::statement::{Belonging, Holding};

use crate::session::plan::blocker::{Blocker, Blockers};

/// The reasons of a session why it cannot move, and the names of what is behind them.
#[derive(Debug, Default)]
pub(crate) struct Holdings {
    reasons: Blockers,
    named: Vec<Named>,
    /// Kinds of which something is held whose name is not known: only all of a kind can be given back.
    unnamed: Blockers,
}

#[derive(Debug, Eq, PartialEq)]
struct Named {
    reason: Blocker,
    name: Vec<u8>,
}

/// Names that are kept. Who holds more is taken to hold some for good.
const MOST_NAMES: usize = 256;

impl Holdings {
    /// All reasons.
    pub(crate) fn reasons(&self) -> Blockers {
        self.reasons
    }

    /// All reasons, to add those that have no name.
    pub(crate) fn reasons_mut(&mut self) -> &mut Blockers {
        &mut self.reasons
    }

    /// A command is sent that brings these reasons about, and is known to do this much by name.
    ///
    /// `renames`: a temporary table may have another name behind it.
    pub(crate) fn take(&mut self, reasons: Blockers, holding: Option<&Holding>, renames: bool) {
        self.reasons.extend(reasons);
        let kinds = [Blocker::NamedLock, Blocker::SqlPrepare, Blocker::TemporaryTable];
        for reason in kinds.into_iter().filter(|reason| reasons.contains(*reason)) {
            match holding {
                Some(Holding::Takes(kind, name)) if reason == Blocker::from(*kind) => {
                    self.name(*kind, name);
                }
                _ => self.unnamed.insert(reason),
            }
        }
        if renames && self.reasons.contains(Blocker::TemporaryTable) {
            self.unnamed.insert(Blocker::TemporaryTable);
        }
    }

    fn name(&mut self, kind: Belonging, name: &[u8]) {
        let named = Named { reason: kind.into(), name: name.to_vec() };
        // A lock is held as often as it was taken.
        if kind == Belonging::NamedLock || !self.named.contains(&named) {
            if self.named.len() >= MOST_NAMES {
                return self.unnamed.insert(named.reason);
            }
            self.named.push(named);
        }
    }

    /// The command was done, and has given back what is said here.
    pub(crate) fn give(&mut self, holding: &Holding) {
        let kind = match holding {
            Holding::Gives(kind, names) => {
                for name in names {
                    let reason = Blocker::from(*kind);
                    let is_given = |named: &Named| named.reason == reason && named.name == *name;
                    if let Some(at) = self.named.iter().position(is_given) {
                        self.named.swap_remove(at);
                    }
                }
                *kind
            }
            Holding::GivesAll(kind) => {
                self.named.retain(|named| named.reason != Blocker::from(*kind));
                self.unnamed.remove((*kind).into());
                *kind
            }
            Holding::Takes(..) => return,
        };
        let reason = Blocker::from(kind);
        if !self.unnamed.contains(reason) && self.named.iter().all(|named| named.reason != reason) {
            self.reasons.remove(reason);
        }
    }
}

#[cfg(test)]
mod tests {
    use ido_proxy_protocol::statement::{Dialect, Statement};

    use super::*;
    use crate::session::plan::Leavings;

    /// Does these statements one after the other, and says what is left of the reasons.
    fn left(statements: &[&str]) -> Option<Blocker> {
        let mut holdings = Holdings::default();
        let mut schema = Some(&b"icinga"[..]);
        for sql in statements {
            if let Some(name) = sql.strip_prefix("USE ") {
                schema = Some(name.as_bytes());
                continue;
            }
            let statement = Statement::single(sql.as_bytes(), Dialect::default());
            let Leavings { session, holding, renames, .. } = Leavings::of(&statement);
            let holding = holding.map(|holding| holding.within(schema));
            holdings.take(session, holding.as_ref(), renames);
            holding.iter().for_each(|holding| holdings.give(holding));
        }
        holdings.reasons().first()
    }

    /// A session that has dropped its temporary table would end with its node all the same.
    #[test]
    fn a_reason_goes_with_what_caused_it() {
        for statements in [
            &["CREATE TEMPORARY TABLE t (a INT)", "DROP TEMPORARY TABLE t"][..],
            &["CREATE TEMPORARY TABLE t (a INT)", "USE b", "DROP TEMPORARY TABLE icinga.t"],
            &["PREPARE p FROM 'SELECT 1'", "PREPARE p FROM 'SELECT 2'", "DEALLOCATE PREPARE p"],
            &["DO GET_LOCK('a', 1)", "SELECT RELEASE_LOCK('a')"],
            &["DO GET_LOCK('a', 1)", "SELECT GET_LOCK('b', 1) FROM t", "DO RELEASE_ALL_LOCKS()"],
        ] {
            assert_eq!(left(statements), None, "{statements:?}");
        }
    }

    /// A session would go on at a node where its table is not.
    #[test]
    fn a_reason_stays_while_anything_of_its_kind_may_be_held() {
        let (table, lock) = (Blocker::TemporaryTable, Blocker::NamedLock);
        for (statements, reason) in [
            (&["CREATE TEMPORARY TABLE t (a INT)", "DROP TEMPORARY TABLE u"][..], table),
            (&["CREATE TEMPORARY TABLE t (a INT)", "USE b", "DROP TEMPORARY TABLE t"], table),
            (
                &[
                    "CREATE TEMPORARY TABLE t (a INT)",
                    "ALTER TABLE t RENAME TO u",
                    "DROP TEMPORARY TABLE IF EXISTS t",
                ],
                table,
            ),
            (&["DO GET_LOCK('a', 1)", "DO GET_LOCK('a', 1)", "DO RELEASE_LOCK('a')"], lock),
            (&["SELECT GET_LOCK(n, 1) FROM t", "DO RELEASE_LOCK('a')"], lock),
            (
                &["PREPARE p FROM 'DO GET_LOCK(''a'', 1)'", "EXECUTE p", "DEALLOCATE PREPARE p"],
                Blocker::SqlPrepare,
            ),
            (
                &[
                    "CREATE TEMPORARY TABLE t (a INT)",
                    "SET STATEMENT max_statement_time=5 FOR ALTER TABLE t RENAME TO u",
                    "DROP TEMPORARY TABLE IF EXISTS t",
                ],
                table,
            ),
            (&["BEGIN NOT ATOMIC CREATE TEMPORARY TABLE t (a INT); END"], table),
        ] {
            assert_eq!(left(statements), Some(reason), "{statements:?}");
        }
        let many: Vec<_> =
            (0..=MOST_NAMES).map(|n| format!("CREATE TEMPORARY TABLE t{n} (a INT)")).collect();
        let dropped = (0..=MOST_NAMES).map(|n| format!("DROP TEMPORARY TABLE t{n}"));
        let all: Vec<_> = many.iter().cloned().chain(dropped).collect();
        assert_eq!(left(&all.iter().map(String::as_str).collect::<Vec<_>>()), Some(table));
    }
}
