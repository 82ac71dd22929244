//! The points at which a link can be lost, one by one, and the ways in which a node can refuse.

use super::fake_node::{Connection, deadlock};
use super::losses::{check, ids, packets};
use super::run::{Cut, Run, direct, wait};
use super::*;

/// Batch as Icinga sends it, once it is set up.
const BATCH: &str = "INSERT INTO t VALUES ('b');INSERT INTO t VALUES ('c');COMMIT;BEGIN";

/// Bytes of the packet that commits it.
const COMMIT: usize = HEADER_LEN + "\x03COMMIT".len();

fn program(texts: &[&str]) -> Vec<Vec<u8>> {
    texts.iter().map(|text| query(text)).collect()
}

/// A run of these commands without loss: where they end.
fn after(texts: &[&str]) -> Run {
    let mut run = Run::new(without_tracking(), []);
    run.all(&program(texts)).expect("nothing is lost");
    run
}

/// Runs a program with these cuts, compares all that the client can see, and returns the run.
fn played(texts: &[&str], cuts: &[Cut]) -> Run {
    let mut run = Run::new(without_tracking(), cuts.iter().copied());
    check(&program(texts), &mut run, &format!("{cuts:?}"));
    run
}

/// How often a node was sent this.
fn count(run: &Run, sql: &str) -> usize {
    run.cluster.log.iter().filter(|line| line.starts_with(sql)).count()
}

/// How many statements have these words in them, but for those that go back to the usual.
fn has(run: &Run, words: &str) -> usize {
    let has = |line: &&String| line.contains(words) && !line.contains("DEFAULT");
    run.cluster.log.iter().filter(has).count()
}

/// The error that is the last thing that the client was told.
fn last_error(run: &Run) -> ErrPacket {
    let (mut last, mut rest) = (None, &run.to_client[..]);
    while let Some((header, payload)) = packet::whole(rest, 1 << 20).expect("packets") {
        last = Some(payload.to_vec());
        rest = &rest[HEADER_LEN + header.payload_len..];
    }
    ErrPacket::decode(&last.expect("something")).expect("an error")
}

/// Icinga waits a second between two batches: most links are lost then.
#[test]
fn lost_between_two_commands_a_transaction_is_done_again_before_the_next_one() {
    let texts = ["BEGIN", "INSERT INTO t VALUES ('a')", "INSERT INTO t VALUES ('b')", "COMMIT"];
    let mut run = Run::new(without_tracking(), []);
    run.all(&program(&texts[..2])).expect("nothing is lost");
    assert_eq!(run.cut(), Ok(()));
    assert_eq!(count(&run, "INSERT INTO t VALUES ('a')"), 1, "nobody asked yet");
    run.all(&program(&texts[2..])).expect("it goes on");
    assert_eq!(count(&run, "INSERT INTO t VALUES ('a')"), 2);
    let (told, tokens) = direct(&program(&texts), without_tracking());
    assert_eq!(packets(&run.to_client), packets(&told));
    assert_eq!(run.cluster.tokens(), tokens);
}

#[test]
fn lost_between_two_transactions_nothing_is_done_again() {
    let mut run = after(&["BEGIN", "INSERT INTO t VALUES ('a')", "COMMIT"]);
    assert_eq!(run.cut(), Ok(()));
    run.all(&program(&["SELECT token FROM t"])).expect("it goes on");
    assert_eq!(count(&run, "INSERT INTO t VALUES"), 1);
}

/// The rest of the rows must come from the same transaction, with its own row among them.
#[test]
fn lost_in_the_middle_of_rows_the_rest_of_them_comes_from_the_next_node() {
    let texts = ["BEGIN", "INSERT INTO t VALUES ('a')", "SELECT token FROM t"];
    let (start, end) = (after(&texts[..2]).down, after(&texts).down);
    for cut in start + 1..end {
        let run = played(&texts, &[Cut::Down(cut)]);
        assert_eq!(count(&run, "SELECT token FROM t"), 2, "cut at {cut}");
    }
}

/// Before the COMMIT is sent nothing is in doubt: all of it is simply done again.
#[test]
fn lost_after_the_body_of_a_batch_it_is_done_again_and_committed_once() {
    let texts = ["BEGIN", BATCH];
    let [_guard, body, _ends] = after(&texts).requests[1..] else {
        panic!("the guard, a body, COMMIT and BEGIN")
    };
    let run = played(&texts, &[Cut::Up(body)]);
    assert_eq!(count(&run, "INSERT INTO t VALUES ('b')"), 2);
    assert_eq!(count(&run, "COMMIT"), 1);
    assert_eq!(run.cluster.commits(), 1);
}

/// Done again, every row of the batch would be there twice.
#[test]
fn lost_after_a_commit_that_was_done_it_is_not_done_again() {
    let texts = ["BEGIN", BATCH, "INSERT INTO t VALUES ('d')", "COMMIT"];
    let requests = after(&texts).requests;
    // Without the BEGIN that follows it, and with it.
    for commit in [requests[2] + COMMIT, requests[3]] {
        let run = played(&texts, &[Cut::Up(commit)]);
        assert_eq!(count(&run, "INSERT INTO t VALUES ('b')"), 1);
        assert_eq!((run.tally().committed, run.tally().undone, run.tally().unknown), (1, 0, 0));
    }
}

/// Not done again, every row of the batch would be missing.
#[test]
fn lost_after_a_commit_that_was_not_done_it_is_done_again() {
    let texts = ["BEGIN", BATCH, "INSERT INTO t VALUES ('d')", "COMMIT"];
    let commit = after(&texts).requests[2] + COMMIT;
    let run = played(&texts, &[Cut::Up(commit - 1)]);
    assert_eq!(count(&run, "INSERT INTO t VALUES ('b')"), 2);
    assert_eq!((run.tally().committed, run.tally().undone, run.tally().unknown), (0, 1, 0));
}

/// A client that is told "rolled back" for all of a text does all of it again: what was committed would be there
/// twice.
#[test]
fn what_was_committed_is_told_before_the_error_of_what_was_not() {
    const TEXT: &str = "INSERT INTO t VALUES ('a');COMMIT;BEGIN;INSERT INTO t VALUES ('b');\
        INSERT INTO t VALUES ('c');INSERT INTO t VALUES ('d')";
    let mut refused = 0;
    for after in 0..12 {
        let mut run = Run::new(without_tracking(), []);
        // Then again and again, without a word.
        run.cluster.gives_up.extend(std::iter::once(after).chain([1; 100]));
        run.all(&program(&["BEGIN", TEXT])).expect("it goes on");
        let told = packets(&run.to_client);
        let is_told_error = told.iter().any(|packet| packet.contains("\\xff"));
        if is_told_error && run.cluster.tokens().len() == 1 {
            refused += 1;
            assert_eq!(last_error(&run).code, 1213);
            // Replies to the BEGIN before, INSERT, COMMIT, and the error.
            let [_, insert, commit, error, _rest] = &told[..] else { panic!("{told:?}") };
            assert!(insert.starts_with("1 \\x00\\x01\\x01"), "{told:?}");
            assert!(commit.starts_with("2 \\x00") && error.starts_with("3 \\xff"), "{told:?}");
        }
    }
    assert!(refused > 0);
}

/// Otherwise a client whose session ends behind the COMMIT would do the transaction again.
#[test]
fn what_was_committed_is_told_before_the_session_ends() {
    let mut play = up_to_its_commit("INSERT INTO t VALUES ('a');COMMIT;BEGIN");
    play.node_sends(&ok(1, StatusFlags::empty(), NONE));
    play.machine.link_lost().expect("it could go on");
    let (words, sequence) = play.machine.last_words();
    assert_eq!((packets(&words).len(), sequence), (3, Some(3)), "INSERT and COMMIT, and no rest");
}

/// Otherwise the client would do again what was done: the transaction cannot be replayed.
#[test]
fn of_a_transaction_that_is_not_kept_it_is_told_that_it_was_committed() {
    let texts = ["BEGIN", "INSERT INTO t VALUES ('a')", "COMMIT"];
    let commit = *after(&texts).requests.last().expect("a COMMIT");
    let unknown = Err(Stuck::Doubt(Doubt::Statement));
    for (cut, outcome) in [(commit, Ok(())), (commit - 1, unknown)] {
        // The second link is lost too, with the answer that would tell.
        for cuts in [vec![Cut::Up(cut)], vec![Cut::Up(cut), Cut::Down(1)]] {
            let mut run = Run::new(without_tracking(), cuts.clone());
            let journal = Store::new(Arc::new(Budget::new(0, 0, None)));
            let fence = Fence::new(Arc::new(FencePool::new("ido_proxy", 7)), b"icinga");
            let session = SessionState::new(
                SessionSettings::new(without_tracking(), 8, None),
                journal,
                fence,
            );
            run.machine = Machine::new(without_tracking(), session);
            assert_eq!(run.all(&program(&texts)), outcome, "{cuts:?}");
            if outcome.is_ok() {
                let (told, tokens) = direct(&program(&texts), without_tracking());
                assert_eq!((&run.to_client, run.cluster.tokens()), (&told, tokens));
            }
        }
    }
}

/// A statement that commits by itself, in one text with its COMMIT of ours.
#[test]
fn lost_under_a_single_insert_it_is_there_once_and_its_reply_is_told_from_the_fence() {
    let texts = ["INSERT INTO t VALUES ('a')"];
    let [frame] = after(&texts).requests[..] else { panic!("one text") };
    for cut in [frame - 1, frame] {
        let run = played(&texts, &[Cut::Up(cut)]);
        assert_eq!(count(&run, texts[0]), 1, "cut at {cut}");
    }
    for down in 0..=after(&texts).down {
        played(&texts, &[Cut::Down(down)]);
    }
}

/// The rows of such a statement cannot be told from the fence: the COMMIT waits until they are there.
#[test]
fn lost_under_an_insert_with_rows_it_is_there_once_whether_it_was_committed_or_not() {
    let texts = ["INSERT INTO t VALUES ('a') RETURNING id"];
    let [body, commit] = after(&texts).requests[..] else { panic!("a body and a COMMIT") };
    for (cut, times) in [(body - 1, 1), (body, 2), (commit - 1, 2), (commit, 1)] {
        let run = played(&texts, &[Cut::Up(cut)]);
        assert_eq!(count(&run, texts[0]), times, "cut at {cut}");
    }
}

/// Two nodes may die one after the other: what the first one had must reach the third.
#[test]
fn lost_again_at_each_request_of_the_way_back_the_third_node_has_it_all() {
    let texts = ["BEGIN", "INSERT INTO t VALUES ('a')", "INSERT INTO t VALUES ('b')", "COMMIT"];
    let first = Cut::Down(after(&texts[..3]).down);
    let back = played(&texts, &[first]).up;
    let mut asked = Vec::new();
    for second in 1..=back {
        let run = played(&texts, &[first, Cut::Up(second)]);
        assert_eq!(run.links, 3, "cut at {second}");
        asked.push(count(&run, "SET STATEMENT wsrep_sync_wait=15 FOR"));
    }
    assert!(asked.contains(&1) && asked.contains(&2), "in the barrier and behind it: {asked:?}");
}

/// A frozen node that commits late must not commit what another one has done meanwhile.
#[test]
fn a_ghost_that_commits_after_the_barrier_is_found_by_the_fence() {
    let texts = ["BEGIN", BATCH, "SELECT token FROM t"];
    let commit = after(&texts).requests[3];
    let first = played(&texts, &[Cut::Late { up: commit, answers: 1 }]);
    assert_eq!(count(&first, "SET STATEMENT wsrep_sync_wait=15 FOR"), 2, "it had to ask again");
    assert_eq!(first.cluster.commits(), 1);
    let later = played(&texts, &[Cut::Late { up: commit, answers: 99 }]);
    assert_eq!((later.tally().committed, later.tally().undone), (0, 1));
    assert_eq!(later.cluster.commits(), 1);
}

/// A row that somebody removed, or a count that was lost, would end the session; and the next one that is lent the row.
#[test]
fn a_fence_that_is_not_as_it_was_left_is_replaced_while_no_commit_is_in_doubt() {
    let mut run = after(&["INSERT INTO t VALUES ('a')", "BEGIN", "INSERT INTO t VALUES ('b')"]);
    run.cluster.forget_fences();
    run.command(&query("COMMIT")).expect("another row is as good a proof");
    let stands = [(1, "a".to_owned()), (2, "b".to_owned())];
    assert_eq!((run.cluster.tokens(), run.links), (stands.into(), 1));
}

/// Otherwise what is left of the reply would be taken for that to the next request, and the client would wait for ever.
#[test]
fn a_fence_that_is_replaced_in_one_text_leaves_nothing_of_its_reply() {
    let texts =
        ["INSERT INTO t VALUES ('a')", "INSERT INTO t VALUES ('b')", "INSERT INTO t VALUES ('c')"];
    let mut run = after(&texts[..1]);
    run.cluster.forget_fences();
    run.all(&program(&texts[1..])).expect("another row is as good a proof");
    let (told, tokens) = direct(&program(&texts), without_tracking());
    assert_eq!(packets(&run.to_client), packets(&told), "{:?}", run.cluster.log);
    assert_eq!((run.cluster.tokens(), run.links), (tokens, 1));
}

/// The fence that was set before a statement which did not commit is gone with the savepoint. The COMMIT sets it again,
/// or a lost reply could not be told.
#[test]
fn a_fence_that_a_savepoint_undid_goes_with_the_commit() {
    for between in ["SET ROLE NONE", "CREATE TABLE ("] {
        let texts = [
            "INSERT INTO t VALUES ('a')",
            "BEGIN",
            "INSERT INTO t VALUES ('b')",
            "SAVEPOINT a",
            between,
            "INSERT INTO t VALUES ('c')",
            "ROLLBACK TO SAVEPOINT a",
            "COMMIT",
            "INSERT INTO t VALUES ('d')",
        ];
        let mut run = Run::new(without_tracking(), []);
        check(&program(&texts), &mut run, between);
        let mut lost = Run::new(without_tracking(), []);
        lost.all(&program(&texts[..7])).expect("nothing is lost");
        lost.lose_reply_to("COMMIT");
        lost.all(&program(&texts[7..])).expect("the fence tells that it was done");
        assert_eq!(
            lost.cluster.tokens(),
            run.cluster.tokens(),
            "{between}: {:?}",
            lost.cluster.log
        );
        assert_eq!(packets(&lost.to_client), packets(&run.to_client), "{between}");
    }
}

/// A row that somebody else has changed proves nothing while a COMMIT is in doubt.
#[test]
fn a_fence_that_somebody_changed_while_a_commit_is_in_doubt_ends_in_an_error() {
    let mut run = after(&["INSERT INTO t VALUES ('a')", "INSERT INTO t VALUES ('b')", "BEGIN"]);
    run.command(&query("INSERT INTO t VALUES ('c')")).expect("nothing is lost");
    run.lose_reply_to("COMMIT");
    run.cluster.forgets_fences_after = Some("COMMIT");
    assert_eq!(run.command(&query("COMMIT")), Err(Stuck::Doubt(Doubt::Disturbed)));
    assert_eq!(run.cluster.tokens().len(), 3);
}

/// Icinga drops what it cannot write: a conflict with another master would cost it a whole batch.
#[test]
fn a_conflict_at_commit_is_done_again_on_the_same_link_and_not_told() {
    let texts = ["BEGIN", "INSERT INTO t VALUES ('a')", BATCH];
    for (place, times) in [("COMMIT", 1), ("UPDATE", 0), ("INSERT INTO t VALUES ('c')", 3)] {
        let mut run = Run::new(without_tracking(), []);
        run.cluster.refusals.extend(vec![(place, deadlock()); times]);
        check(&program(&texts), &mut run, place);
        assert_eq!(run.links, 1);
        assert_eq!(count(&run, "INSERT INTO t VALUES ('a')"), times + 1, "{place}");
    }
}

/// A row that refers to the one before it would refer to itself, or to nothing: `LAST_INSERT_ID()` is what it
/// was when the transaction began, on the same link as on another.
#[test]
fn what_is_done_again_finds_the_last_id_that_it_began_with() {
    let first = "INSERT INTO t VALUES ('parent')";
    let child = "INSERT INTO t VALUES (LAST_INSERT_ID())";
    let text = "BEGIN;INSERT INTO t VALUES (LAST_INSERT_ID());INSERT INTO t VALUES ('x')";
    let last = ["SELECT LAST_INSERT_ID()"];
    let silent = "INSERT INTO s VALUES (LAST_INSERT_ID())";
    let befores: [&[&str]; 3] = [&[], &[first], &[first, "UPDATE u SET a=LAST_INSERT_ID(99)"]];
    let programs: [(&[&str], &'static str); 5] = [
        (&["BEGIN", last[0], child, "COMMIT"], "COMMIT"),
        (&["BEGIN", child, child, "COMMIT"], "INSERT INTO t VALUES (LAST"),
        (&["BEGIN", silent, "COMMIT"], "COMMIT"),
        (&[child], "COMMIT"),
        (&[text, "COMMIT"], "INSERT INTO t VALUES ('x')"),
    ];
    let all = befores.iter().flat_map(|before| programs.map(|program| (*before, program)));
    // Ids that the node alone knows are not told otherwise.
    let hidden =
        ["CALL add(12)", "SELECT LAST_INSERT_ID(12)", "INSERT INTO t VALUES ('r') RETURNING id"];
    let hidden = hidden.map(|sql| [first, sql]);
    let untold = [programs[2], (programs[2].0, "INSERT INTO s")];
    let all = all.chain(hidden.iter().flat_map(|before| untold.map(|own| (&before[..], own))));
    for (before, (own, refused)) in all {
        let mut run = after(before);
        run.cluster.refusals.extend(vec![(refused, deadlock()); 2]);
        let result = run.all(&program(&[own, &last].concat()));
        let (told, tokens) = direct(&program(&[before, own, &last].concat()), without_tracking());
        let what = format!("{before:?}, then {own:?}: {:#?}", run.cluster.log);
        assert_eq!(result, Ok(()), "{what}");
        assert_eq!(packets(&run.to_client), packets(&told), "{what}");
        assert_eq!(run.cluster.tokens(), tokens, "{what}");
        assert_eq!(run.links, 1);
    }
    let mut run = after(&[first]);
    assert_eq!(run.cut(), Ok(()));
    run.all(&program(&last)).expect("it goes on");
    let (told, _) = direct(&program(&[first, last[0]]), without_tracking());
    assert_eq!(packets(&run.to_client), packets(&told));
}

/// Without autocommit, asking the fence opens a transaction, in which no isolation level can be set: the session would
/// end.
#[test]
fn a_conflict_under_an_isolation_level_of_its_own_is_done_again_under_that() {
    let level = "SET TRANSACTION ISOLATION LEVEL SERIALIZABLE";
    let insert = "INSERT INTO t VALUES (@@level)";
    for texts in [
        &["SET autocommit=0", level, insert, insert, "COMMIT", insert, "COMMIT"][..],
        &[level, "BEGIN", insert, insert, "COMMIT", insert],
    ] {
        for (place, times) in [("COMMIT", 1), ("COMMIT", 2), (insert, 1), ("INSERT INTO `ido", 1)] {
            let mut run = Run::new(without_tracking(), []);
            run.cluster.refusals.extend(vec![(place, deadlock()); times]);
            check(&program(texts), &mut run, place);
            assert_eq!(run.links, 1);
        }
    }
}

/// Otherwise a part done again in one go could be given up in the middle without a word. The link is not guarded, as
/// the client does not want autocommit by then, and the statements behind would commit by themselves.
#[test]
fn what_turned_autocommit_off_is_done_again_as_a_whole() {
    let texts = [
        "BEGIN",
        "INSERT INTO t VALUES ('a')",
        "SET autocommit=0",
        "INSERT INTO t VALUES ('b')",
        "INSERT INTO t VALUES ('c')",
        "COMMIT",
        "INSERT INTO t VALUES ('d')",
        "COMMIT",
    ];
    for after in 1..8 {
        let mut run = Run::new(without_tracking(), []);
        run.all(&program(&texts[..5])).expect("nothing is lost");
        assert_eq!(run.cut(), Ok(()));
        run.cluster.gives_up.push_back(after);
        run.all(&program(&texts[5..])).expect("it goes on");
        let (told, tokens) = direct(&program(&texts), without_tracking());
        assert_eq!(run.cluster.tokens(), tokens, "given up after {after}: {:#?}", run.cluster.log);
        assert_eq!(packets(&run.to_client), packets(&told));
    }
}

/// Otherwise the mode would come out the other way round, and the rows behind it would be committed one by one.
#[test]
fn a_mode_that_is_computed_is_computed_from_the_same_again() {
    let texts = ["BEGIN", "SET autocommit = 1 - @@autocommit", "INSERT INTO t VALUES ('a')"];
    let mut run = Run::new(without_tracking(), []);
    run.all(&program(&texts)).expect("nothing is lost");
    let before = run.cluster.log.len();
    assert_eq!(run.cut(), Ok(()));
    run.all(&program(&["COMMIT"])).expect("it goes on");
    let again = &run.cluster.log[before..];
    let sets = again.iter().filter(|line| line.contains("autocommit"));
    assert_eq!(Vec::from_iter(sets), [texts[1]], "{again:#?}");
    let (_, tokens) =
        direct(&program(&[texts[0], texts[1], texts[2], "COMMIT"]), without_tracking());
    assert_eq!(run.cluster.tokens(), tokens);
}

/// A client of another proxy, which was at the next node sooner, has taken the id. Ours does not know of it
/// yet: a batch is told as a whole.
#[test]
fn an_id_that_was_not_told_yet_may_become_another_one() {
    let taken = ErrPacket::new(1062, *b"23000", "Duplicate entry '1' for key 'PRIMARY'");
    let texts = ["BEGIN", BATCH];
    let mut run = Run::new(without_tracking(), []);
    run.cluster.refusals.extend([("COMMIT", deadlock()), ("INSERT INTO t VALUES ('b')", taken)]);
    check(&program(&texts), &mut run, "the id is taken");
    assert_eq!(count(&run, "INSERT INTO t VALUES ('b')"), 3);
    assert_eq!(has(&run, "insert_id=1"), 1, "then it is left to the node");
    assert_eq!(run.cluster.commits(), 1);
}

/// Otherwise only the kept beginning would be done again and committed. The rest would be gone, and the client would
/// be told that it stands.
#[test]
fn a_conflict_under_a_transaction_that_is_not_kept_is_told() {
    let mut run = Run::new(without_tracking(), []);
    let journal = Store::new(Arc::new(Budget::new(0, 0, None)));
    let fence = Fence::new(Arc::new(FencePool::new("ido_proxy", 7)), b"icinga");
    let session =
        SessionState::new(SessionSettings::new(without_tracking(), 8, None), journal, fence);
    run.machine = Machine::new(without_tracking(), session);
    run.all(&program(&["BEGIN", "INSERT INTO t VALUES ('a')"])).expect("no loss");
    run.cluster.refusals.push_back(("INSERT INTO `ido_proxy`.`fence`", deadlock()));
    run.command(&query("COMMIT")).expect("the session goes on");
    assert_eq!(last_error(&run).code, 1213);
    assert_eq!(run.cluster.tokens(), []);
}

/// Otherwise the conflict would be tried for ever, or a client would never hear that its rows conflict.
#[test]
fn a_conflict_that_does_not_go_away_is_told() {
    let mut run = after(&["BEGIN", "INSERT INTO t VALUES ('a')"]);
    run.cluster.refusals.extend(vec![("INSERT INTO t VALUES ('b')", deadlock()); 100]);
    run.command(&query("INSERT INTO t VALUES ('b')")).expect("the session goes on");
    assert_eq!(last_error(&run).code, 1213);
    assert!(!run.machine.in_transaction());
    run.cluster.refusals.clear();
    run.all(&program(&["INSERT INTO t VALUES ('c')"])).expect("it goes on");
    assert_eq!(run.cluster.tokens(), [(1, "c".to_owned())]);
}

/// Otherwise a session with a silent client would take one link after the other, one for each try, for as long as
/// nobody asks.
#[test]
fn a_transaction_that_cannot_be_done_again_for_a_silent_client_is_given_up() {
    let mut run = after(&["BEGIN", "SET mode=1", "INSERT INTO t VALUES ('a')"]);
    run.cluster.refusals.extend(vec![("INSERT INTO t", deadlock()); 1000]);
    run.most_links = 150;
    assert_eq!(run.cut(), Ok(()));
    run.command(b"").expect("the session goes on");
    run.cluster.refusals.clear();
    run.command(&query("INSERT INTO t VALUES ('b')")).expect("it is told");
    assert_eq!(last_error(&run).code, 1213);
    assert!(run.cluster.tokens().is_empty() && !run.machine.in_transaction());
}

/// A conflict that a new link is taken for is one all the same: a client is told of it after some tries, not after the
/// many that the loss of a node is worth.
#[test]
fn a_conflict_that_takes_a_new_link_each_time_is_told_as_soon_as_another() {
    let mut run = after(&["BEGIN", "SET mode=1"]);
    run.cluster.refusals.extend(vec![("INSERT INTO t VALUES ('b')", deadlock()); 100]);
    run.command(&query("INSERT INTO t VALUES ('b')")).expect("the session goes on");
    assert_eq!(last_error(&run).code, 1213);
    assert!(run.links < 15, "{}", run.links);
}

/// The rows would go to another database, or be written under a later setting.
#[test]
fn a_set_at_which_a_transaction_is_given_up_counts_as_done() {
    let prepare = prepare("SET mode=2");
    let execute = execute(11);
    let insert = query("INSERT INTO t VALUES (@@mode)");
    let set = query("SET mode=2");
    for (before, set) in
        [(vec![], &set), (vec![query("SET mode=1")], &set), (vec![prepare], &execute)]
    {
        let program =
            [&before[..], &[query("BEGIN"), insert.clone(), set.clone(), query("COMMIT")]].concat();
        let mut run = Run::new(without_tracking(), []);
        run.cluster.gives_up.push_back(2);
        check(&program, &mut run, "at the SET");
        assert_eq!(run.links, 2);
    }
}

/// A COMMIT that was sent is not called undone without proof, however often it is refused.
#[test]
fn a_commit_that_is_refused_without_end_ends_in_an_error_and_commits_nothing() {
    let mut run = after(&["BEGIN", "INSERT INTO t VALUES ('a')"]);
    run.cluster.refusals.extend(vec![("COMMIT", deadlock()); 1000]);
    assert_eq!(run.command(&query("COMMIT")), Err(Stuck::Doubt(Doubt::Disturbed)));
    assert_eq!(run.cluster.tokens(), []);
}

/// Rows that the client has read are no longer so: what it wrote after that may be wrong.
#[test]
fn a_replay_that_reads_other_rows_is_rolled_back_and_told_with_one_error() {
    let mut run = after(&["BEGIN", "SELECT token FROM t", "INSERT INTO t VALUES ('a')"]);
    let told = packets(&run.to_client).len();
    assert_eq!(run.cut(), Ok(()));
    run.cluster.insert(77, "of somebody else");
    run.command(&query("INSERT INTO t VALUES ('b')")).expect("the session goes on");
    assert_eq!(packets(&run.to_client).len(), told + 1, "the error and nothing else");
    let error = last_error(&run);
    let message = String::from_utf8_lossy(&error.message);
    assert!(error.code == 1213 && message.contains("did not give the same results"), "{message}");
    let last = run.cluster.log.iter().rfind(|sql| !sql.starts_with("SET "));
    assert_eq!(last.map(String::as_str), Some("ROLLBACK"));
    assert_eq!(run.tally().mismatches, 1);
    assert!(!run.machine.in_transaction());
    run.all(&program(&["INSERT INTO t VALUES ('c')"])).expect("it goes on");
    let tokens = run.cluster.tokens().into_iter().map(|(_, token)| token);
    assert_eq!(tokens.collect::<Vec<_>>(), ["of somebody else", "c"]);
}

/// The client goes on with an id that it was told, so no other will do. A client that is told of a duplicate
/// takes its transaction for still open, and would commit the rest of it.
#[test]
fn an_id_that_is_taken_meanwhile_is_told_as_a_transaction_that_was_rolled_back() {
    let mut run = after(&["BEGIN", "INSERT INTO t VALUES ('a')"]);
    assert_eq!(run.cut(), Ok(()));
    run.cluster.insert(1, "of somebody else");
    run.command(&query("COMMIT")).expect("the session goes on");
    assert_eq!(last_error(&run).code, 1213);
    assert_eq!(run.cluster.tokens(), [(1, "of somebody else".to_owned())]);
    assert!(!run.machine.in_transaction());
}

/// Ids of a batch that is not yet answered may change, and must not be asked for: others may have them.
#[test]
fn only_an_id_that_was_told_is_asked_for_again() {
    let texts = ["BEGIN", "INSERT INTO t VALUES ('a')", BATCH];
    let [.., body, _, _] = after(&texts).requests[..] else { panic!("a body, COMMIT, BEGIN") };
    let run = played(&texts, &[Cut::Up(body)]);
    assert_eq!(has(&run, "insert_id="), 1);
    assert_eq!(has(&run, "insert_id=1"), 1);
}

/// The next row that wants one would get it.
#[test]
fn an_id_that_was_told_and_not_generated_is_given_to_no_row() {
    for texts in [
        &["BEGIN", TELLS, "INSERT INTO s VALUES ('b')", "COMMIT"][..],
        &["BEGIN", "UPDATE u SET a=LAST_INSERT_ID(99);INSERT INTO s VALUES ('b')", "COMMIT"],
    ] {
        let mut run = Run::new(without_tracking(), []);
        run.all(&program(&texts[..texts.len() - 1])).expect("nothing is lost");
        assert_eq!(run.cut(), Ok(()));
        run.all(&program(&["COMMIT"])).expect("it goes on");
        let (_, tokens) = direct(&program(texts), without_tracking());
        assert_eq!(run.cluster.tokens(), tokens);
    }
    let texts = ["BEGIN", TELLS, "INSERT INTO t VALUES ('b')", "COMMIT"];
    let mut run = Run::new(without_tracking(), []);
    run.all(&program(&texts[..2])).expect("nothing is lost");
    assert_eq!(run.cut(), Ok(()));
    run.all(&program(&texts[2..])).expect("it goes on");
    let (told, tokens) = direct(&program(&texts), without_tracking());
    assert_eq!((run.cluster.tokens(), &run.to_client), (tokens, &told));
}

const TELLS: &str = "UPDATE u SET a=LAST_INSERT_ID(99)";

/// An id that one client was told would be another one's row, and that one's transaction could not be done
/// again.
#[test]
fn an_id_that_another_session_must_have_is_given_back() {
    for (texts, id) in [(&["BEGIN", "INSERT INTO t VALUES ('a')", "COMMIT"][..], 1), (&[BATCH], 2)]
    {
        let mut run = Run::new(without_tracking(), []);
        run.cluster.counts_on = true;
        let reservation = run.machine.session.reserved.reserve(vec![id]);
        run.all(&program(texts)).expect("it gets another one");
        drop(reservation);
        let ids: Vec<_> = run.cluster.tokens().into_iter().map(|(id, _)| id).collect();
        assert!(!ids.contains(&id), "{ids:?}");
        assert!(!ids.is_empty());
    }
}

/// Otherwise the client would be told of a duplicate that it did not write: the row of the id's owner came first by a
/// moment.
#[test]
fn a_row_in_the_way_of_an_id_that_the_server_chose_is_gone_around() {
    let taken = || ErrPacket::new(1062, *b"23000", "Duplicate entry '1' for key 'PRIMARY'");
    for texts in [&["BEGIN", "INSERT INTO t VALUES ('a')", "COMMIT"][..], &[BATCH]] {
        let mut run = Run::new(without_tracking(), []);
        drop(run.machine.session.reserved.reserve(vec![1]));
        run.cluster.refusals.push_back(("INSERT INTO t", taken()));
        run.all(&program(texts)).expect("it is done again");
        let (told, tokens) = direct(&program(texts), without_tracking());
        assert_eq!((run.cluster.tokens(), &run.to_client), (tokens, &told));
    }
}

/// Otherwise a client that has chosen the id itself would wait for ten tries, and each use up an id.
#[test]
fn a_duplicate_of_an_id_that_the_client_has_chosen_is_told_at_once() {
    let mut run = Run::new(without_tracking(), []);
    drop(run.machine.session.reserved.reserve(vec![7]));
    let taken = ErrPacket::new(1062, *b"23000", "Duplicate entry '7' for key 'PRIMARY'");
    run.cluster.refusals.push_back(("INSERT INTO t", taken));
    run.all(&program(&["BEGIN", "INSERT INTO t VALUES ('7')"])).expect("nothing is lost");
    let inserts = run.cluster.log.iter().filter(|sql| sql.starts_with("INSERT")).count();
    assert_eq!(inserts, 1, "{:#?}", run.cluster.log);
}

/// A client that counts on the error would be told that its row is there.
#[test]
fn a_duplicate_that_stays_one_is_told() {
    for reserved in [vec![], vec![1]] {
        let mut run = Run::new(without_tracking(), []);
        drop(run.machine.session.reserved.reserve(reserved));
        for _ in 0..20 {
            let taken = ErrPacket::new(1062, *b"23000", "Duplicate entry '1' for key 'PRIMARY'");
            run.cluster.refusals.push_back(("INSERT INTO t", taken));
        }
        run.all(&program(&["BEGIN", "INSERT INTO t VALUES ('a')"])).expect("it is told");
        assert!(run.to_client.windows(9).any(|words| words == b"Duplicate"));
        assert!(count(&run, "INSERT INTO t") <= 2, "once more, for another id");
        run.cluster.refusals.clear();
        run.all(&program(&["INSERT INTO t VALUES ('b')", "COMMIT"])).expect("it goes on");
        let tokens = run.cluster.tokens();
        assert!(matches!(&tokens[..], [(_, token)] if token == "b"), "{tokens:?}");
    }
}

/// An ALTER commits what stands before it, and a procedure may: done again, that would stand twice.
#[test]
fn what_commits_by_itself_is_not_done_again_for_a_duplicate() {
    for (texts, start) in [
        (&["BEGIN", "INSERT INTO t VALUES ('a')", "ALTER TABLE t ADD UNIQUE (a)"][..], "ALTER"),
        (&["ALTER TABLE t ADD UNIQUE (a)"], "ALTER"),
        (&["SELECT 1;CALL p()"], "CALL"),
        (&["BEGIN", "INSERT INTO t VALUES ('a')", "CALL p()"], "CALL"),
    ] {
        let mut run = Run::new(without_tracking(), []);
        drop(run.machine.session.reserved.reserve(vec![7]));
        let taken = ErrPacket::new(1062, *b"23000", "Duplicate entry '7' for key 'a'");
        run.cluster.refusals.push_back((start, taken));
        run.all(&program(texts)).expect("it is told");
        assert_eq!(last_error(&run).code, 1062, "{texts:?}");
        assert_eq!(count(&run, start), 1, "{texts:?}");
    }
}

/// Icinga's dump at its start is larger than what a daemon may hold in memory.
#[test]
fn a_transaction_of_which_the_most_is_on_disk_is_done_again_too() {
    let folder = tempfile::tempdir().expect("a folder");
    let budget = Arc::new(Budget::new(256 << 10, 16 << 20, Some(folder.path().join("journal"))));
    let (settings, journal) =
        (SessionSettings::new(without_tracking(), 8, None), Arc::clone(&budget));
    let fence = Fence::new(Arc::new(FencePool::new("ido_proxy", 7)), b"icinga");
    let mut run = Run::new(without_tracking(), []);
    let session = SessionState::new(settings, Store::new(journal), fence);
    run.machine = Machine::new(without_tracking(), session);
    let mut number = 1_u64;
    let mut insert = || {
        // Text that does not become much shorter when it is packed.
        let mut word = || {
            number = number.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            format!("{number:016x}")
        };
        query(&format!(
            "INSERT INTO t VALUES ('{}')",
            (0..1000).map(|_| word()).collect::<String>()
        ))
    };
    let mut program = vec![query("BEGIN")];
    program.extend((0..60).map(|_| insert()));
    for command in &program {
        run.command(command).expect("nothing is lost");
        wait(run.machine.session.journal.settle()).expect("there is room");
    }
    assert!(budget.disk_used() > 0, "all of it is in memory");
    assert_eq!(run.cut(), Ok(()));
    run.command(&query("COMMIT")).expect("it goes on");
    program.push(query("COMMIT"));
    let (told, tokens) = direct(&program, without_tracking());
    assert!(run.loads > 0 && run.to_client == told);
    assert!(run.cluster.tokens() == tokens);
}

/// A link on which the database or a variable is another one would write elsewhere, or wrong times.
#[test]
fn a_new_link_is_set_up_before_anything_else_is_done_on_it() {
    let mut play = Play::new(icinga());
    play.client_sends(&query(super::BATCH)).node_sends(&long_reply());
    play.client_sends(&query("USE test")).node_sends(&ok(1, StatusFlags::AUTOCOMMIT, SCHEMA));
    play.goes_on_elsewhere(&query("SELECT 1"));
    assert_eq!(play.requests(), ["test"], "COM_INIT_DB");
    play.node_sends(&ok(1, StatusFlags::AUTOCOMMIT, SCHEMA));
    assert_eq!(play.requests(), ["SET lc_time_names='de_DE'"]);
    play.node_sends(&ok(1, StatusFlags::AUTOCOMMIT, VARIABLE));
    assert_eq!(play.requests(), ["SELECT 1"]);
    let told = play.to_client.len();
    play.node_sends(&rows(1, false));
    assert_eq!(play.to_client[told..], rows(1, false));
}

/// A single server has no cluster to wait for.
#[test]
fn without_a_cluster_and_a_fence_nothing_is_read_first() {
    let mut play = Play::new(icinga());
    assert_eq!(play.machine.link_lost(), Ok(()));
    play.machine.link_up(LinkFacts { galera: false, ..facts(icinga()) });
    play.client_sends(&query("SELECT 1"));
    assert_eq!(play.requests(), ["SELECT 1"]);
}

/// A causal read that takes too long says that this node is not the one to go on at.
#[test]
fn a_barrier_that_fails_is_the_loss_of_that_link_too() {
    let mut run = after(&["INSERT INTO t VALUES ('a')"]);
    assert_eq!(run.cut(), Ok(()));
    let timeout = ErrPacket::new(1205, *b"HY000", "Lock wait timeout exceeded");
    run.cluster.refusals.push_back(("SET STATEMENT wsrep_sync_wait=15 FOR", timeout));
    run.command(&query("SELECT 1")).expect("another node does better");
    assert_eq!(run.links, 3);
}

/// Without the table everything still works, but for what cannot be known without it.
#[test]
fn without_a_fence_a_loss_is_noticed_only_where_nobody_can_know_and_nothing_is_done_twice() {
    let texts = ["BEGIN", BATCH, "INSERT INTO t VALUES ('d')", "COMMIT", "SELECT token FROM t"];
    let program = program(&texts);
    let run_with = |cuts: &[Cut]| {
        let mut run = Run::new(without_tracking(), cuts.iter().copied());
        run.cluster.fenceless = true;
        let result = run.all(&program);
        (run, result)
    };
    let (whole, result) = run_with(&[]);
    assert_eq!(result, Ok(()));
    let (told, tokens) = direct(&program, without_tracking());
    assert_eq!(packets(&whole.to_client), packets(&told));
    let mut doubts = 0;
    let ups = (1..=whole.up).map(Cut::Up);
    for cut in ups.chain((0..=whole.down).map(Cut::Down)) {
        let (run, result) = run_with(&[cut]);
        match result {
            Ok(()) => {
                assert_eq!(packets(&run.to_client), packets(&told), "{cut:?}");
                assert_eq!(run.cluster.tokens(), tokens, "{cut:?}");
            }
            Err(stuck) => {
                assert_eq!(stuck, Stuck::Doubt(Doubt::Unfenced), "{cut:?}");
                assert!(tokens.starts_with(&run.cluster.tokens()), "{cut:?}");
                doubts += 1;
            }
        }
    }
    assert!(doubts > 0 && doubts < (whole.up + whole.down) / 4, "{doubts} cuts in doubt");
}

/// The old connection on the same node may hold locks until the node notices that it is gone.
#[test]
fn the_ghost_on_the_same_node_is_killed_first() {
    let mut run = after(&["BEGIN", "INSERT INTO t VALUES ('a')"]);
    run.same_node = true;
    assert_eq!(run.cut(), Ok(()));
    let before = run.cluster.log.len();
    run.command(&query("COMMIT")).expect("it goes on");
    assert_eq!(run.cluster.log[before], "KILL 1");
    assert_eq!(run.cluster.tokens(), [(1, "a".to_owned())]);
}

/// Otherwise the fence's row would be further than the next session to have it believes, and a COMMIT of that one that was
/// not done would be told as done.
#[test]
fn a_statement_that_commits_before_it_fails_has_set_the_fence() {
    let mut run = after(&["BEGIN", "INSERT INTO t VALUES ('a');INSERT INTO absent;COMMIT;BEGIN"]);
    run.command(&query("KILL QUERY 9")).expect("nothing is lost");
    assert_eq!(run.cluster.tokens(), [(1, "a".to_owned())]);
    let before = run.cluster.log.len();
    run.command(&query("INSERT INTO t VALUES ('b')")).expect("nothing is lost");
    let done = &run.cluster.log[before..];
    assert!(
        !done.iter().any(|sql| sql.contains("SELECT seq")),
        "in doubt, and done again: {done:?}"
    );
}

/// Numbers of prepared statements differ from link to link; the client keeps its own.
#[test]
fn a_statement_prepared_anew_keeps_the_number_that_the_client_knows() {
    let mut run = Run::new(without_tracking(), []);
    run.command(&prepare("INSERT INTO t VALUES ('a')")).expect("nothing is lost");
    assert_eq!(run.cut(), Ok(()));
    let execute = execute(11);
    run.command(&execute).expect("it goes on");
    assert_eq!(run.cluster.tokens(), [(1, "a".to_owned())]);
    // The second link's first own number must not be told twice.
    run.command(&prepare("INSERT INTO t VALUES ('b')")).expect("nothing is lost");
    run.command(&execute).expect("nothing is lost");
    let tokens = run.cluster.tokens().into_iter().map(|(_, token)| token);
    assert_eq!(tokens.collect::<Vec<_>>(), ["a", "a"]);
    assert!(run.link.as_ref().is_some_and(|link: &Connection| link.answered > 0));
}

/// `"a"` is a column or a string, by the mode that a statement is prepared in: a row would have another value.
#[test]
fn a_statement_is_prepared_anew_in_the_state_that_it_was_prepared_in() {
    let insert = || prepare("INSERT INTO t VALUES (@@mode_of_text)");
    let set = || query("SET mode=1");
    for (program, token) in [([set(), insert()], "1"), ([insert(), set()], "0")] {
        let mut run = Run::new(icinga(), []);
        for command in program {
            run.command(&command).expect("nothing is lost");
        }
        assert_eq!(run.cut(), Ok(()));
        run.command(&execute(11)).expect("it goes on");
        assert_eq!(run.cluster.tokens(), [(1, token.to_owned())]);
    }
}

/// A statement of a transaction that is done again on the link that it was closed on: the mode has changed meanwhile.
#[test]
fn a_closed_statement_is_prepared_anew_in_its_own_state_on_the_link_that_is_kept() {
    let insert = prepare("INSERT INTO t VALUES (@@mode_of_text)");
    let close = framed(&[&[0x19], &11_u32.to_le_bytes()[..]].concat(), 0);
    let write = query("INSERT INTO t VALUES ('a')");
    let mut run = Run::new(icinga(), []);
    let within = [&query("BEGIN"), &execute(11), &close, &query("SET mode=1"), &write];
    for command in [&query("SET mode=2"), &insert].into_iter().chain(within) {
        run.command(command).expect("nothing is lost");
    }
    run.cluster.refusals.push_back(("COMMIT", deadlock()));
    run.command(&query("COMMIT")).expect("it is done again");
    assert_eq!(run.links, 1);
    let tokens = run.cluster.tokens().into_iter().map(|(_, token)| token);
    assert_eq!(tokens.collect::<Vec<_>>(), ["2", "a"]);
}

/// Rows that are written again may get other ids, as in a batch that has read other rows by then. A node that was
/// frozen may commit it as it was before: the client is told the ids that stand.
#[test]
fn whichever_commit_in_doubt_is_done_its_ids_are_told() {
    let batch = "SELECT token FROM t;INSERT INTO t VALUES ('a');COMMIT;BEGIN";
    for texts in [&["INSERT INTO t VALUES ('a')"][..], &["BEGIN", batch]] {
        let told = |cuts: &[Cut]| {
            let mut run = Run::new(icinga(), cuts.to_vec());
            run.skewed = true;
            run.cluster.insert(77, "of somebody else");
            run.all(&program(texts)).expect("it goes on");
            run.thaw();
            let ours = run.cluster.tokens().into_iter().filter(|(_, token)| token == "a");
            let ours = Vec::from_iter(ours.map(|(id, _)| id));
            let log = &run.cluster.log;
            assert_eq!(ours, ids(&run.to_client, icinga()), "{texts:?} {cuts:?}: {log:#?}");
            run
        };
        for up in after(texts).requests {
            for answers in [2, 4, 5, 6, 7, 8, 9, 10, 12, 14, 17, 20, 99] {
                let first = Cut::Late { up, answers };
                let once = told(&[first]);
                (1..=once.up).for_each(|second| _ = told(&[first, Cut::Up(second)]));
            }
        }
    }
}
