//! A model of replay, fence and ghosts, searched to the end: whatever the order in which commits, freezes,
//! evictions, replays, thaws and second failures come, no transaction stands twice, and none that was
//! acknowledged is missing.
//!
//! # What the fence is for
//!
//! A proxy sends COMMIT and the link ends. Did the transaction commit? If it did and is replayed, it stands
//! twice. If it did not and is not replayed, it is lost. Asking another node is not enough: "not there" may
//! mean *not yet*. The old node, or the group on its behalf, may still commit. Such a link that nobody listens
//! to any more is a **ghost**. It can be COMMIT in the socket of a frozen node, a write set on its way to the
//! group, or a whole transaction on a healthy node that only this proxy cannot reach.
//!
//! So each session has a row, and each of its transactions moves that row from `base` to `base + 1`,
//! *inside* the transaction. All attempts at a transaction then write the same row, and Galera lets only the
//! first of them commit. The rest fail certification, or find that the row no longer has the value they ask
//! for. The row thereby is two things at once: a proof that one attempt committed, and a fence that keeps
//! every other one out, however late it comes.
//!
//! # The rule
//!
//! 1. Body and fence go out; COMMIT follows only after *their reply says that the fence matched one row*.
//! 2. What goes out in one piece stops at the first error. If body and fence were commands of their own,
//!    a body that fails with 1213 would end the transaction, and the fence behind it would commit alone.
//! 3. A loss, an error for COMMIT, a fence that matches no row, a body that is answered differently in a
//!    replay: none of these proves anything. The session reads the fence. `base + 1`: committed. `base`:
//!    replay, fence included.
//! 4. "It has not been committed" is *never* concluded from reading `base`. A session that wants to tell
//!    its client "rolled back", or to hand its slot to another session, first **burns** the fence: it moves
//!    it from `base` to `base + 2` in a transaction of its own. Then no ghost can commit any more, and a burn
//!    in doubt is told from the original by the value: `base + 1` is the client's transaction, `base + 2`
//!    the burn.
//! 5. A new link is used after a causal wait. The fence needs none (a stale value only makes for a replay that
//!    cannot commit), but the client's own SELECTs do.
//!
//! # The model
//!
//! Three nodes run, freeze or die, lose the others, are left behind by the group and may come back
//! ([`cluster`]). What a node does on a link takes a step for each thing that something can come in between
//! ([`server`]). The session is as above ([`session`]), with a switch for each rule ([`rules`]). The client
//! inserts tokens, one a transaction, into a table that would take the same token twice.
//!
//! Where Galera's timing is intricate the model allows *more* than Galera does (the group orders write sets
//! even while a member is silent, a lost link may take a buffered COMMIT with it or not), so what holds here
//! holds there. It assumes what Galera promises: one order for all members, a majority that lives,
//! and that nothing is applied anywhere which the majority does not have.
//!
//! # Reading a failure
//!
//! A law that breaks is printed with the shortest list of steps to it. The tests below take away one rule
//! after the other and say what breaks; run them with `--nocapture` to read how.

#[path = "fence/cluster.rs"]
mod cluster;
#[path = "fence/laws.rs"]
mod laws;
#[path = "fence/rules.rs"]
mod rules;
#[path = "fence/scope.rs"]
mod scope;
#[path = "fence/search.rs"]
mod search;
#[path = "fence/server.rs"]
mod server;
#[path = "fence/session.rs"]
mod session;
#[path = "fence/step.rs"]
mod step;
#[path = "fence/world.rs"]
mod world;

use std::time::Instant;

use self::laws::Broken;
use self::rules::{Commit, Fence, Framing, GivingUp, Rule, Rules};
use self::scope::Scope;
use self::search::{Verdict, search};

const SOUND: Rules = Rules::SOUND;
/// Two transactions, and two faults: the node of the replay fails too.
const USUAL: Scope = Scope::of(2, 2);
/// Where one transaction tells as much.
const ONE: Scope = Scope::of(1, 2);

// The rule itself.

#[test]
fn never_twice_and_never_acknowledged_and_lost() {
    holds(SOUND, USUAL);
}

/// Three faults hit one transaction: the ghosts of three links may be about.
#[test]
fn one_transaction_survives_three_faults() {
    holds(SOUND, Scope::of(1, 3));
}

#[test]
#[ignore = "a million states"]
fn two_transactions_survive_three_faults() {
    holds(SOUND, Scope::of(2, 3));
}

// Where the fence is written.

#[test]
fn a_fence_that_commits_first_may_stand_for_nothing() {
    breaks(Rules { fence: Fence::Before, ..SOUND }, USUAL, Broken::Lost);
}

#[test]
fn a_fence_that_commits_last_may_be_missing() {
    breaks(Rules { fence: Fence::After, ..SOUND }, USUAL, Broken::Doubled);
}

#[test]
fn a_replay_without_a_fence_lets_the_ghost_in() {
    breaks(SOUND.without(Rule::FenceInReplay), USUAL, Broken::Doubled);
}

// Proofs that a transaction was committed, or not.

#[test]
fn a_fence_that_matched_no_row_must_not_be_committed() {
    breaks(SOUND.without(Rule::MatchedRowsChecked), USUAL, Broken::Doubled);
}

/// The frozen or partitioned node says 1180 for what its last view did commit.
#[test]
fn an_error_from_a_node_that_was_left_behind_proves_nothing() {
    breaks(SOUND.without(Rule::ErrorsProveNothing), USUAL, Broken::Revived);
}

/// The replay finds the ghost's row, and takes that for a reason to fail.
#[test]
fn a_replay_that_differs_proves_nothing() {
    let unique = Scope { unique_tokens: true, ..ONE };
    holds(SOUND, unique);
    breaks(SOUND.without(Rule::DifferencesProveNothing), unique, Broken::Revived);
}

/// The replay's own fence tells as much as a read does, only later: after the whole body was sent.
#[test]
fn reading_before_a_replay_only_saves_work() {
    holds(SOUND.without(Rule::ReadBeforeReplay), USUAL);
}

// Causal waits.

#[test]
fn without_a_causal_wait_the_client_misses_its_own_writes() {
    breaks(SOUND.without(Rule::CausalWait), USUAL, Broken::Forgotten);
}

/// A stale fence reads lower, never higher.
#[test]
fn without_a_causal_wait_tokens_still_stand_once() {
    let tokens_only = Scope { without: Some(Broken::Forgotten), ..USUAL };
    holds(SOUND.without(Rule::CausalWait), tokens_only);
}

/// After a causal wait only an attempt of one's own can have moved the fence. Without, it may as well
/// be that the *previous* transaction has not arrived here.
#[test]
fn no_row_matched_means_committed_only_after_a_causal_wait() {
    let rules = SOUND.without(Rule::ZeroRowsProveNothing);
    holds(rules, ONE);
    let tokens_only = Scope { without: Some(Broken::Forgotten), ..USUAL };
    breaks(rules.without(Rule::CausalWait), tokens_only, Broken::Lost);
}

// When COMMIT is sent, and how.

#[test]
fn commit_must_not_be_sent_right_behind_the_fence() {
    breaks(Rules { commit: Commit::Behind, ..SOUND }, USUAL, Broken::Doubled);
}

/// Then the node does what the session would have done.
#[test]
fn unless_the_fence_fails_where_it_matches_no_row() {
    holds(Rules { commit: Commit::BehindFailingFence, ..SOUND }, ONE);
}

/// Also where the statements of a replay are pipelined.
#[test]
fn a_fence_must_not_be_a_command_of_its_own_behind_begin_and_body() {
    breaks(Rules { framing: Framing::Commands, ..SOUND }, USUAL, Broken::Lost);
}

#[test]
fn unless_autocommit_is_off() {
    holds(Rules { framing: Framing::CommandsWithoutAutocommit, ..SOUND }, ONE);
}

// Giving up.

#[test]
fn rolled_back_must_not_be_said_while_a_ghost_may_commit() {
    breaks(Rules { giving_up: GivingUp::TellAtOnce, ..SOUND }, USUAL, Broken::Revived);
}

/// The next session takes the ghost's commit for its own.
#[test]
fn a_slot_must_not_be_reused_while_a_ghost_may_commit() {
    breaks(Rules { giving_up: GivingUp::ReuseAtOnce, ..SOUND }, USUAL, Broken::Lost);
}

// A path that is dead, to a node that is well.

/// The old transaction is open there, and stays so; nobody waits for it anywhere else.
#[test]
fn a_ghost_that_keeps_its_locks_holds_up_nothing_but_its_node() {
    let unnoticed = Scope { lost_links_noticed: false, ..ONE };
    holds(SOUND, unnoticed);
    let verdict = ask(SOUND.without(Rule::MovesOnAtLockTimeout), unnoticed);
    assert!(matches!(verdict, Verdict::Stuck(_)), "nothing was held up");
}

/// Every state within `scope` keeps the laws, and the client gets its answers.
#[track_caller]
fn holds(rules: Rules, scope: Scope) {
    assert!(matches!(ask(rules, scope), Verdict::Sound), "see the steps above");
}

/// Without a rule, `law` is what breaks first.
#[track_caller]
fn breaks(rules: Rules, scope: Scope, law: Broken) {
    match ask(rules, scope) {
        Verdict::Breaks(found, _) => assert_eq!(found, law),
        Verdict::Sound => panic!("no law breaks: is the model too weak, or the rule not needed?"),
        Verdict::Stuck(_) => panic!("no law breaks, but a client waits for ever"),
    }
}

/// Searches, and prints what it found.
fn ask(rules: Rules, scope: Scope) -> Verdict {
    let started = Instant::now();
    let (states, verdict) = search(&rules, scope);
    let head = format!("{states} states in {:.1?}", started.elapsed());
    match &verdict {
        Verdict::Sound => println!("{head}: all laws hold"),
        Verdict::Breaks(law, trace) => println!("{head}: {law:?}\n{trace}"),
        Verdict::Stuck(trace) => println!("{head}: the client waits for ever\n{trace}"),
    }
    verdict
}
