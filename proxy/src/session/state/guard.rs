//! Keeps a transaction that the server gave up in the middle of a text from being done in part.
//!
//! Galera rolls a transaction back when a write of another node stands in its way. If that happens while
//! a text of several statements is being worked at, MariaDB says so to nobody: the statement at hand is
//! answered with OK, in flags without SERVER_STATUS_IN_TRANS, and each one behind it is committed by
//! itself. (Seen on 10.11.19, and the reason for all that is here.) Under `autocommit=0` they are not:
//! they open a transaction that nobody has committed when the text is at its end, the last one is
//! answered with error 1213, and a ROLLBACK undoes them.
//!
//! So the link of a client in autocommit mode is put under `autocommit=0` before it gets such a text
//! within a transaction, and back before anything is done outside of one. The client sees neither, and a
//! client like Icinga, which begins the next transaction where it commits the last one, pays for it once
//! per link.

use ido_proxy_protocol::status::StatusFlags;

use crate::session::plan::{PieceKind, Risk, Step};

/// Whether the link is under `autocommit=0` where the client is in autocommit mode.
#[derive(Debug, Default)]
pub(crate) struct Guard {
    /// The node may give a transaction up by itself.
    available: bool,
    on: bool,
}

impl Guard {
    /// Guard of a link that has just logged in, to a node of a Galera cluster or another one.
    pub(crate) fn of_link(galera: bool) -> Self {
        Self { available: galera, on: false }
    }

    /// Whether the link may have to be guarded.
    pub(crate) fn is_available(&self) -> bool {
        self.available
    }

    /// Whether it is guarded now.
    pub(crate) fn is_on(&self) -> bool {
        self.on
    }

    /// Notes that the guard was turned on or off.
    pub(crate) fn turned(&mut self, on: bool) {
        self.on = on;
    }

    /// The flags of a reply as they are without the guard.
    pub(crate) fn unguarded(&self, status: StatusFlags) -> StatusFlags {
        if self.on { status | StatusFlags::AUTOCOMMIT } else { status }
    }

    /// Whether it must be turned on or off before a step is sent. `open` says that a transaction is, and
    /// `autocommit` that the client is in that mode.
    pub(crate) fn turn_before(&self, step: &Step, open: bool, autocommit: bool) -> Option<bool> {
        // One question for both, or a step could want it on and off for ever.
        let inside = open || begins(step);
        if self.on {
            // The client is about to set autocommit in a transaction that begins now.
            return (!inside || (!open && !autocommit)).then_some(false);
        }
        let whole = step.frame.is_none() && goes_on(step);
        (self.available && autocommit && inside && whole).then_some(true)
    }
}

/// Whether anything is done behind the first statement of a step but to end a transaction or to begin one. What
/// that is does not matter: a read may write, in a function.
fn goes_on(step: &Step) -> bool {
    if step.fence_at == Some(0) && matches!(step.risk, Risk::Commit { .. }) {
        // The fence fails outside of a transaction, and a COMMIT does nothing there.
        return false;
    }
    let later = step.pieces.iter().skip(1);
    step.fence_at.is_some()
        || later.into_iter().any(|piece| !matches!(piece.kind, PieceKind::Begin | PieceKind::End))
}

/// Whether nothing of a step that finds no transaction open is done outside of one.
fn begins(step: &Step) -> bool {
    let first = step.pieces.iter().find(|piece| piece.kind != PieceKind::End);
    match first {
        Some(piece) => step.frame.is_some() || piece.kind == PieceKind::Begin,
        None => step.is_ours() || !step.pieces.is_empty(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::session::plan::{Current, FenceUse, GuardUse, Plan, Scene, Texts};

    fn scene(open: bool) -> Scene {
        Scene {
            texts: Texts::Several,
            autocommit: true,
            guard: GuardUse::Free,
            transaction: if open { Current::Written } else { Current::Nothing },
            fence: FenceUse::Usable,
            ..Scene::default()
        }
    }

    fn turns(guard: &Guard, sql: &str, open: bool) -> Vec<Option<bool>> {
        let plan = Plan::of_query(sql.as_bytes(), scene(open));
        plan.steps.iter().map(|step| guard.turn_before(step, open, true)).collect()
    }

    fn on() -> Guard {
        Guard { available: true, on: true }
    }

    /// Otherwise the statements behind an abort would be committed by themselves, and the client be told that all
    /// was.
    #[test]
    fn several_writes_in_one_text_of_a_transaction_are_guarded() {
        let off = Guard::of_link(true);
        assert_eq!(
            turns(&off, "INSERT INTO t VALUES (1);INSERT INTO t VALUES (2)", true),
            [Some(true)]
        );
        assert_eq!(
            turns(&off, "BEGIN;INSERT INTO t VALUES (1);INSERT INTO t VALUES (2)", false),
            [Some(true)]
        );
        assert_eq!(turns(&off, "SELECT 1;INSERT INTO t VALUES (2)", true), [Some(true)]);
        // The fence is a statement like the others.
        assert_eq!(turns(&off, "INSERT INTO t VALUES (1);COMMIT", true), [Some(true), None]);
        let single = Guard::of_link(false);
        assert_eq!(
            turns(&single, "INSERT INTO t VALUES (1);INSERT INTO t VALUES (2)", true),
            [None]
        );
    }

    #[test]
    fn one_statement_alone_is_told_its_error_and_needs_no_guard() {
        let off = Guard::of_link(true);
        for sql in ["INSERT INTO t VALUES (1)", "COMMIT;BEGIN", "ROLLBACK;BEGIN"] {
            assert_eq!(turns(&off, sql, true).into_iter().flatten().next(), None, "{sql}");
        }
    }

    /// Left on, it would open transactions that nobody ends.
    #[test]
    fn nothing_outside_of_a_transaction_is_done_under_it() {
        for sql in ["SELECT 1", "SET NAMES utf8", "CREATE TABLE t (a INT)", "CALL p()"] {
            assert_eq!(turns(&on(), sql, false)[0], Some(false), "{sql}");
        }
        for sql in ["BEGIN", "COMMIT;BEGIN", "ROLLBACK", "INSERT INTO t VALUES (1)"] {
            assert_eq!(turns(&on(), sql, false)[0], None, "{sql}");
        }
        assert_eq!(
            turns(&on(), "INSERT INTO t VALUES (1);COMMIT;SELECT 1", true)[..2],
            [None, None]
        );
    }

    /// A text that is wanted on before it and off behind that is never sent.
    #[test]
    fn no_step_wants_the_guard_both_on_and_off() {
        let parts = ["SET wsrep_sync_wait=7", "SELECT 1", "COMMIT", "ROLLBACK", "CALL p()"];
        let ends = ["BEGIN;INSERT INTO t VALUES (1)", "BEGIN;DELETE FROM t;COMMIT;DELETE FROM t"];
        for (part, end) in parts.iter().flat_map(|part| ends.map(|end| (part, end))) {
            for open in [false, true] {
                let sql = format!("{part};{end}");
                let [off, on] = [Guard::of_link(true), on()].map(|guard| turns(&guard, &sql, open));
                for turns in off.iter().zip(&on) {
                    assert_ne!(turns, (&Some(true), &Some(false)), "{sql}");
                }
            }
        }
    }

    /// Off for the whole text because of what is done before the transaction, it would let it be done in part.
    #[test]
    fn what_is_done_in_a_transaction_is_no_step_with_what_is_done_before_it() {
        let begun = "BEGIN;INSERT INTO t VALUES (1);INSERT INTO t VALUES (2)";
        let before = ["SET wsrep_sync_wait=7", "SELECT 1", "SELECT 1;COMMIT"];
        for before in before {
            let plan = Plan::of_query(format!("{before};{begun}").as_bytes(), scene(false));
            let [first, second] = &plan.steps[..] else { panic!("{before}: {:?}", plan.steps) };
            let off = Guard::of_link(true);
            assert_eq!(off.turn_before(first, false, true), None, "{before}");
            assert_eq!(off.turn_before(second, true, true), Some(true), "{before}");
        }
        // A read that is long needs no parts.
        assert_eq!(Plan::of_query(b"SELECT 1;BEGIN", scene(false)).steps.len(), 1);
    }

    #[test]
    fn the_client_sees_its_own_mode() {
        let open = StatusFlags::IN_TRANS;
        assert_eq!(on().unguarded(open), open | StatusFlags::AUTOCOMMIT);
        assert_eq!(Guard::of_link(true).unguarded(open), open);
    }
}
