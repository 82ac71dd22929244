use super::*;

fn pool() -> Arc<FencePool> {
    Arc::new(FencePool::new("ido_proxy", 7))
}

/// A transaction would be taken for committed, and lost; or for lost, and doubled.
#[test]
fn the_row_tells_whether_the_transaction_was_committed() {
    let mut fence = Fence::new(pool(), b"icinga");
    assert!(fence.statement().starts_with("INSERT INTO `ido_proxy`.`fence`"));
    fence.was_set();
    fence.committing();
    assert_eq!(fence.outcome(None), Outcome::NotCommitted);
    assert_eq!(fence.outcome(Some(1)), Outcome::Committed);
    assert_eq!(fence.outcome(Some(7)), Outcome::Unclear);
    fence.committed();
    assert!(fence.statement().contains("SET seq=2"));
    assert_eq!(fence.outcome(Some(1)), Outcome::NotCommitted);
    assert_eq!(fence.outcome(None), Outcome::Unclear, "the row was removed");
}

/// Otherwise the next write, maybe that of another session, finds a row that is not as it was left, and is done twice.
#[test]
fn behind_an_end_that_nobody_sees_another_row_is_taken() {
    for sends in [false, true] {
        let mut fence = Fence::new(pool(), b"icinga");
        fence.statement();
        fence.was_set();
        if sends {
            fence.committing();
        }
        fence.ended_unseen();
        assert!(!fence.is_in_doubt());
        assert!(fence.statement().contains("-2', 1)"), "{}", fence.statement());
    }
}

/// Otherwise a COMMIT whose reply is lost would be told as done, because a procedure has committed what was before it.
#[test]
fn behind_what_may_have_committed_unseen_another_number_is_the_proof() {
    let mut fence = Fence::new(pool(), b"icinga");
    fence.statement();
    fence.was_set();
    fence.may_be_committed();
    assert!(!fence.is_set() && !fence.is_in_doubt());
    let again = fence.statement();
    assert!(again.contains("-1', 2)") && again.contains("seq BETWEEN 0 AND 1, 2"), "{again}");
    fence.was_set();
    fence.committing();
    assert_eq!(fence.outcome(Some(2)), Outcome::Committed);
    assert_eq!(fence.outcome(Some(1)), Outcome::NotCommitted, "the procedure's COMMIT");
    assert_eq!(fence.outcome(None), Outcome::NotCommitted);
    fence.committed();
    assert!(fence.statement().contains("SET seq=3") && fence.statement().contains("AND seq=2"));
}

/// Otherwise a client would be told the ids of one batch where another one stands.
#[test]
fn what_is_sent_anew_in_doubt_has_a_number_of_its_own() {
    let mut fence = Fence::new(pool(), b"icinga");
    fence.statement();
    fence.was_set();
    fence.committing();
    fence.haunt();
    fence.undone();
    fence.sent_anew();
    assert!(fence.statement().contains("-1', 2)"), "{}", fence.statement());
    assert_eq!(fence.outcome(Some(1)), Outcome::CommittedBefore(0));
    assert_eq!(fence.outcome(Some(2)), Outcome::Committed);
    assert_eq!(fence.outcome(None), Outcome::NotCommitted);
    fence.committed_before(0);
    let next = fence.statement();
    assert!(next.contains("SET seq=2") && next.contains("AND seq=1"), "{next}");
}

/// Otherwise a client would be told the counts of an earlier write as those of a lost one.
#[test]
fn a_kept_reply_is_that_of_the_transaction_in_doubt_or_none() {
    let mut fence = Fence::new(pool(), b"icinga");
    assert_eq!(fence.kept_reply(b"1 2 0 7"), None, "no row yet");
    fence.framed_statement();
    let kept = KeptReply { affected_rows: 2, warnings: 3, last_insert_id: 7 };
    assert_eq!(fence.kept_reply(b"1 2 3 7"), Some(kept));
    for other in [&b"2 2 3 7"[..], b"0 2 3 7", b"1 2 3", b"1 2 x 7", b""] {
        assert_eq!(fence.kept_reply(other), None, "{}", other.escape_ascii());
    }
    fence.setting_and_committing(true);
    assert!(fence.query().is_some_and(|query| query.starts_with("SELECT seq, reply FROM")));
    fence.committed();
    assert_eq!(fence.kept_reply(b"1 2 3 7"), None, "of the transaction before");
    assert!(fence.framed_statement().contains("AND seq=1, 2, ~0+1"));
}

/// A transaction that did not set it must not count.
#[test]
fn a_commit_of_what_was_not_fenced_changes_nothing() {
    let mut fence = Fence::new(pool(), b"icinga");
    fence.committing();
    fence.committed();
    assert!(fence.statement().starts_with("INSERT"));
}

/// Another session's change would be one since the snapshot of an open transaction: error 1020.
#[test]
fn a_session_changes_no_row_that_was_free_when_it_had_begun() {
    let pool = pool();
    let mut early = Fence::new(Arc::clone(&pool), b"icinga");
    let mut other = Fence::new(Arc::clone(&pool), b"icinga");
    other.statement();
    other.was_set();
    other.committing();
    other.committed();
    drop(other);
    assert!(early.statement().contains("-1', 1)"), "its own from the start");
    early.discard();
    assert!(early.statement().contains("-3', 1)"), "a new one, not the free one");
}

/// A ghost would commit in another session's name, and that session would lose what it wrote.
#[test]
fn a_slot_in_doubt_is_not_lent_again() {
    let pool = pool();
    let mut known = Fence::new(Arc::clone(&pool), b"icinga");
    known.statement();
    known.was_set();
    known.committing();
    known.committed();
    let name = known.query();
    drop(known);
    let mut again = Fence::new(Arc::clone(&pool), b"icinga");
    assert!(again.statement().contains("AND seq=1"), "it goes on where it was");
    assert_eq!(again.query(), name);
    again.was_set();
    again.committing();
    drop(again);
    let mut other = Fence::new(pool, b"icinga");
    other.statement();
    assert_ne!(other.query(), name);
}

/// Otherwise the COMMIT of a later transaction would go without its fence, and be taken for one in doubt.
#[test]
fn what_did_not_reach_its_commit_leaves_no_doubt_that_was_not_there() {
    let mut fence = Fence::new(pool(), b"icinga");
    fence.statement();
    fence.was_set();
    fence.committing();
    fence.haunt();
    fence.was_not_reached();
    assert!(fence.is_in_doubt(), "a link was lost with the COMMIT");
    fence.rolled_back();
    fence.was_not_reached();
    assert!(!fence.is_in_doubt());
}

/// Otherwise one account without rights would take every other account's proof of its COMMITs away.
#[test]
fn a_fence_that_one_account_lacks_is_there_for_another() {
    let pool = pool();
    let mut denied = Fence::new(Arc::clone(&pool), b"denied");
    let allowed = Fence::new(Arc::clone(&pool), b"allowed");
    assert!(denied.mark_missing(), "news");
    assert!(!denied.mark_missing());
    assert!(!denied.is_available() && allowed.is_available());
    assert!(!Fence::new(pool, b"denied").is_available(), "known to the next session too");
}

/// Otherwise a transaction that went back to a savepoint would commit without its fence.
#[test]
fn a_fence_that_may_be_undone_is_set_again_by_its_own_transaction_alone() {
    let mut fence = Fence::new(pool(), b"icinga");
    fence.statement();
    fence.was_set();
    fence.unsettle();
    assert!(
        fence.checked_statement().contains("@@in_transaction AND seq IN (0, 1)"),
        "with the COMMIT"
    );
    assert!(!fence.is_set());
    assert!(fence.statement().contains("IF(seq IN (0, 1), 1, ~0+1)"));
    assert!(fence.matches(0) && fence.matches(2));
    fence.was_set();
    fence.committing();
    fence.haunt();
    assert!(fence.statement().starts_with("INSERT") && !fence.matches(0), "a ghost may have");
}
