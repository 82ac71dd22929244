use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::*;
use tokio::time::Instant;

use super::decision::Decision;
use super::recent_pins::RECENT;
use super::rule::{Policy, decide};
use crate::cluster::model::cause::Cause;
use crate::cluster::model::node_addr::NodeAddr;
use crate::cluster::model::node_view::{Contact, Loss, NodeView, Outcome};
use crate::cluster::model::peers::{Peers, Row};
use crate::cluster::model::pin::Pin;
use crate::cluster::model::proposal::Proposal;
use crate::cluster::model::report::Sync;
use crate::cluster::model::settings::ClusterKind;
use crate::cluster::model::testing::{address, galera, said, synced};
use crate::cluster::model::verdict::{Reason, Verdict};

mod pinned;
mod simulation;

const POLICY: Policy = Policy { kind: ClusterKind::Galera, path_timeout: Duration::from_secs(3) };

/// Plays decisions one after the other.
struct Play {
    now: Instant,
    decision: Decision,
}

impl Play {
    fn new() -> Self {
        Self { now: Instant::now(), decision: Decision::default() }
    }

    fn see(&mut self, views: &[NodeView]) -> Option<NodeAddr> {
        self.decision = decide(&self.decision, views, POLICY, self.now);
        self.decision.primary
    }

    fn pass(&mut self, milliseconds: u64) {
        self.now += Duration::from_millis(milliseconds);
    }

    fn verdict(&self, n: u8) -> &Verdict {
        &self.decision.verdicts[&address(n)]
    }
}

fn unknown(n: u8) -> NodeView {
    NodeView::new(address(n), 0)
}

fn refused(n: u8) -> NodeView {
    NodeView { contact: Contact::Lost(Loss::Refused), ..synced(n) }
}

fn silent(n: u8, since: Instant) -> NodeView {
    NodeView { contact: Contact::Silent { since, misses: 2 }, ..synced(n) }
}

/// A bad cable delays probes and clients alike: to leave a node for that helps nobody.
#[test]
fn a_silent_primary_that_answers_clients_is_not_left() {
    let mut play = Play::new();
    play.see(&[synced(1), synced(2), synced(3)]);
    let since = play.now;
    let patience = u64::try_from(POLICY.path_timeout.as_millis()).unwrap();
    play.pass(2 * patience);
    let reported_alive = Some(play.now);
    let primary = NodeView { reported_alive, ..silent(1, since) };
    assert_eq!(play.see(&[primary.clone(), synced(2), synced(3)]), Some(address(1)));
    play.pass(patience + 1);
    assert_eq!(play.see(&[primary, synced(2), synced(3)]), Some(address(2)));
}

#[test]
fn the_first_choice_waits_until_every_node_was_asked() {
    let mut play = Play::new();
    assert_eq!(play.see(&[unknown(1), unknown(2), unknown(3)]), None);
    assert_eq!(play.see(&[unknown(1), synced(2), synced(3)]), None);
    assert_eq!(play.see(&[refused(1), synced(2), synced(3)]), Some(address(2)));
    assert_eq!(play.decision.cause, Cause::Elected);
    assert_eq!(play.decision.epoch, 1);
}

#[test]
fn one_slow_answer_at_the_start_does_not_part_a_proxy_from_the_others() {
    let mut slow = unknown(1);
    let mut play = Play::new();
    slow.observe(Outcome::Silent, play.now);
    assert_eq!(play.see(&[slow.clone(), synced(2), synced(3)]), None);
    assert_eq!(play.see(&[synced(1), synced(2), synced(3)]), Some(address(1)));

    let mut play = Play::new();
    slow.observe(Outcome::Silent, play.now);
    assert_eq!(play.see(&[slow, synced(2), synced(3)]), Some(address(2)), "it had its chance");
}

#[test]
fn after_a_failover_nobody_waits_for_a_node_just_found() {
    let mut play = Play::new();
    play.see(&[synced(1), synced(2)]);
    assert_eq!(play.see(&[refused(1), synced(2), unknown(3)]), Some(address(2)));
}

#[test]
fn the_primary_stays_when_a_preferred_node_returns() {
    let mut play = Play::new();
    play.see(&[refused(1), synced(2), synced(3)]);
    assert_eq!(play.see(&[synced(1), synced(2), synced(3)]), Some(address(2)));
    assert_eq!(play.decision.epoch, 1);
}

#[test]
fn a_lost_primary_is_replaced_and_the_reason_told() {
    let mut play = Play::new();
    play.see(&[synced(1), synced(2), synced(3)]);
    assert_eq!(play.see(&[refused(1), synced(2), synced(3)]), Some(address(2)));
    assert_eq!(play.decision.epoch, 2);
    assert_eq!(play.decision.cause.to_string(), "192.0.2.1:3306 is lost: connection refused");
}

#[test]
fn a_preference_goes_by_priority_then_name_then_address() {
    let mut play = Play::new();
    let mut last = synced(3);
    last.priority = 5;
    let mut first = synced(2);
    first.priority = 1;
    said(&mut first).name = Some("node10".into());
    let mut second = synced(1);
    second.priority = 1;
    said(&mut second).name = Some("node9".into());
    assert_eq!(play.see(&[last, first, second]), Some(address(1)));
}

#[test]
fn with_no_usable_node_there_is_no_primary_and_the_same_one_may_return() {
    let non_primary = |n| galera(n, |g| g.primary_component = false);
    let mut play = Play::new();
    play.see(&[refused(1), synced(2), synced(3)]);
    assert_eq!(play.see(&[non_primary(1), non_primary(2), non_primary(3)]), None);
    assert_eq!(play.decision.epoch, 1);
    assert_eq!(play.see(&[synced(1), synced(2), synced(3)]), Some(address(2)));
    assert_eq!(play.decision.epoch, 1, "links to it are still good");
    assert_eq!(play.decision.cause, Cause::Returned);
}

#[test]
fn the_reason_of_an_outage_is_told_until_it_is_over() {
    let mut play = Play::new();
    play.see(&[synced(1)]);
    play.see(&[refused(1)]);
    let lost = Cause::Lost { node: address(1), reason: Reason::Lost(Loss::Refused) };
    assert_eq!(play.decision.cause, lost);
    play.see(&[refused(1), unknown(2)]);
    assert_eq!(play.see(&[refused(1), synced(2)]), Some(address(2)));
    assert_eq!(play.decision.cause, lost);
}

#[test]
fn a_primary_that_becomes_donor_hands_over_and_not_back() {
    let donor = |n| galera(n, |g| g.sync = Sync::Donor);
    let mut play = Play::new();
    play.see(&[synced(1), synced(2)]);
    assert_eq!(play.see(&[donor(1), synced(2)]), Some(address(2)));
    let preferred = Cause::Preferred { node: address(1), reason: Reason::Donor };
    assert_eq!(play.decision.cause, preferred);
    assert_eq!(play.see(&[synced(1), synced(2)]), Some(address(2)));
}

#[test]
fn a_donor_serves_when_nobody_else_can() {
    let donor = |n| galera(n, |g| g.sync = Sync::Donor);
    let desynced = |n| galera(n, |g| (g.sync, g.desynced) = (Sync::Donor, true));
    let mut play = Play::new();
    play.see(&[synced(1), refused(2)]);
    assert_eq!(play.see(&[donor(1), refused(2)]), Some(address(1)), "it stays");
    assert_eq!(play.see(&[donor(1), desynced(2)]), Some(address(2)), "but not for long");
    assert_eq!(play.see(&[refused(1), refused(2)]), None);
    assert_eq!(play.see(&[donor(1), refused(2)]), Some(address(1)));
}

#[test]
fn a_silent_primary_gets_its_time_and_no_more() {
    let mut play = Play::new();
    play.see(&[synced(1), synced(2)]);
    let since = play.now;
    play.pass(2_999);
    assert_eq!(play.see(&[silent(1, since), synced(2)]), Some(address(1)));
    assert_eq!(*play.verdict(1), Verdict::Unusable(Reason::Silent));
    play.pass(1);
    assert_eq!(play.see(&[silent(1, since), synced(2)]), Some(address(2)));
}

#[test]
fn a_primary_that_only_turns_our_probe_away_gets_its_time_too() {
    let full = Loss::Rejected { code: 1040, message: "Too many connections".into() };
    let mut play = Play::new();
    play.see(&[synced(1), synced(2)]);
    let mut first = synced(1);
    for pause in [0, 1_000, 1_999] {
        play.pass(pause);
        first.observe(Outcome::Lost(full.clone()), play.now);
        assert_eq!(play.see(&[first.clone(), synced(2)]), Some(address(1)));
    }
    assert_eq!(*play.verdict(1), Verdict::Unusable(Reason::Lost(full.clone())));
    play.pass(1);
    first.observe(Outcome::Lost(full), play.now);
    assert_eq!(play.see(&[first.clone(), synced(2)]), Some(address(2)));
}

#[test]
fn a_primary_that_is_now_silent_now_full_does_not_get_its_time_again_and_again() {
    let full = Loss::Rejected { code: 1040, message: "Too many connections".into() };
    let mut play = Play::new();
    play.see(&[synced(1), synced(2)]);
    let mut first = synced(1);
    for _ in 0..2 {
        for outcome in [Outcome::Silent, Outcome::Lost(full.clone())] {
            first.observe(outcome, play.now);
            assert_eq!(play.see(&[first.clone(), synced(2)]), Some(address(1)));
            play.pass(999);
        }
    }
    first.observe(Outcome::Lost(full), play.now);
    assert_eq!(play.see(&[first, synced(2)]), Some(address(2)));
}

#[test]
fn a_primary_that_shuts_down_or_left_the_cluster_gets_no_time() {
    for code in [1047, 1053] {
        let mut play = Play::new();
        play.see(&[synced(1), synced(2)]);
        let mut first = synced(1);
        first.observe(Outcome::Lost(Loss::Rejected { code, message: String::new() }), play.now);
        assert_eq!(play.see(&[first, synced(2)]), Some(address(2)));
    }
}

#[test]
fn a_silent_primary_that_the_cluster_threw_out_gets_no_time() {
    let without_first = |n: u8| {
        galera(n, |g| {
            g.view_id = Some(4);
            g.members.remove(&address(1));
        })
    };
    let mut play = Play::new();
    play.see(&[synced(1), synced(2)]);
    assert_eq!(play.see(&[silent(1, play.now), without_first(2)]), Some(address(2)));
}

/// A server that is shut down takes connections for a second after it left the cluster, and answers none:
/// all that time clients would wait for it.
#[test]
fn a_primary_that_the_others_saw_leave_is_left_before_it_is_heard_again() {
    let without_first = |n: u8, id| {
        galera(n, |g| {
            g.view_id = Some(id);
            g.members.remove(&address(1));
        })
    };
    let mut play = Play::new();
    play.see(&[synced(1), synced(2)]);
    assert_eq!(play.see(&[synced(1), without_first(2, 4)]), Some(address(2)));
    assert_eq!(play.verdict(1), &Verdict::Unusable(Reason::Left));
    // A node that knows less than the primary proves nothing.
    let mut play = Play::new();
    play.see(&[synced(1), synced(2)]);
    assert_eq!(play.see(&[synced(1), without_first(2, 2)]), Some(address(1)));
}

#[test]
fn members_by_other_addresses_than_ours_prove_nothing() {
    let elsewhere = |n: u8, id| {
        galera(n, |g| {
            g.view_id = Some(id);
            g.members = [101, 102, 103].map(address).into();
        })
    };
    let mut play = Play::new();
    play.see(&[elsewhere(1, 3), elsewhere(2, 3)]);
    let quiet =
        NodeView { contact: Contact::Silent { since: play.now, misses: 2 }, ..elsewhere(1, 3) };
    assert_eq!(play.see(&[quiet, elsewhere(2, 4)]), Some(address(1)));
}

#[test]
fn one_slow_answer_moves_nothing_and_wins_nothing() {
    let slow = |n, since| NodeView { contact: Contact::Silent { since, misses: 1 }, ..synced(n) };
    let mut play = Play::new();
    play.see(&[synced(1), synced(2), synced(3)]);
    let since = play.now;
    assert_eq!(play.see(&[slow(1, since), synced(2), synced(3)]), Some(address(1)));
    assert_eq!(play.see(&[refused(1), slow(2, since), synced(3)]), Some(address(3)));
}

#[test]
fn a_node_of_another_cluster_is_refused_whatever_its_rank() {
    let foreign = |n: u8| galera(n, |g| g.cluster = "theirs".into());
    let mut play = Play::new();
    assert_eq!(play.see(&[foreign(1), synced(2), synced(3)]), Some(address(2)));
    assert_eq!(*play.verdict(1), Verdict::Unusable(Reason::Foreign { cluster: "theirs".into() }));
    assert_eq!(play.see(&[foreign(1), refused(2), refused(3)]), None, "nor while ours is down");
    assert_eq!(play.see(&[foreign(1), refused(2), synced(3)]), Some(address(3)));
}

#[test]
fn a_cluster_built_anew_is_taken_once_most_nodes_are_in_it() {
    let rebuilt = |n: u8| galera(n, |g| g.cluster = "rebuilt".into());
    let mut play = Play::new();
    play.see(&[synced(1), synced(2), synced(3)]);
    assert_eq!(play.see(&[rebuilt(1), refused(2), refused(3)]), None);
    assert_eq!(play.see(&[rebuilt(1), rebuilt(2), refused(3)]), Some(address(1)));
}

#[test]
fn a_node_that_lives_in_the_past_loses_its_place_after_a_while() {
    let ahead = |n: u8| galera(n, |g| g.view_id = Some(4));
    let mut play = Play::new();
    play.see(&[synced(1), synced(2), synced(3)]);
    assert_eq!(play.see(&[synced(1), ahead(2), ahead(3)]), Some(address(1)), "it may catch up");
    play.pass(5_000);
    assert_eq!(play.see(&[synced(1), ahead(2), ahead(3)]), Some(address(2)));
    assert_eq!(*play.verdict(1), Verdict::Unusable(Reason::Behind));
}

#[test]
fn a_cluster_that_starts_counting_anew_is_not_behind_itself() {
    let restarted = |n: u8| galera(n, |g| g.view_id = Some(1));
    let mut play = Play::new();
    play.see(&[synced(1), synced(2)]);
    play.pass(60_000);
    play.see(&[refused(1), refused(2)]);
    play.pass(60_000);
    assert_eq!(play.see(&[restarted(1), restarted(2)]), Some(address(1)));
}

#[test]
fn a_forgotten_primary_is_replaced() {
    let mut play = Play::new();
    play.see(&[synced(1), synced(2)]);
    assert_eq!(play.see(&[synced(2)]), Some(address(2)));
    assert_eq!(play.decision.cause.to_string(), "192.0.2.1:3306 is lost: no longer known");
}

#[test]
fn a_single_server_is_served_by_its_word_alone() {
    let policy = Policy { kind: ClusterKind::Single, ..POLICY };
    let plain = NodeView { report: Some(Arc::default()), ..synced(1) };
    let decision = decide(&Decision::default(), &[plain], policy, Instant::now());
    assert_eq!(decision.primary, Some(address(1)));
}

/// Outcome of a probe of node `n`, or nothing, between two decisions.
fn any_outcome(n: u8) -> impl Strategy<Value = Option<Outcome>> {
    let report =
        (0u8..5, any::<[bool; 5]>(), 0u64..4, 0u8..6).prop_map(move |(sync, flags, id, odd)| {
            let view = galera(n, |g| {
                g.sync = [Sync::Synced, Sync::Synced, Sync::Donor, Sync::Joined, Sync::Joining]
                    [usize::from(sync)];
                g.primary_component = flags[0] || flags[1];
                g.ready = g.primary_component;
                g.desynced = flags[2] && g.sync == Sync::Donor;
                g.refuses.always = flags[3] && flags[4];
                g.view_id = g.primary_component.then_some(3 + id);
                if odd == 0 {
                    g.cluster = "theirs".into();
                }
            });
            Some(Outcome::Answer(view.report.unwrap_or_default()))
        });
    prop_oneof![
        5 => report,
        1 => Just(Some(Outcome::Lost(Loss::Refused))),
        1 => Just(Some(Outcome::Lost(Loss::Rejected { code: 1040, message: String::new() }))),
        2 => Just(Some(Outcome::Silent)),
        2 => Just(None),
    ]
}

/// One step of a history: how much time passes, and what happens to each of four nodes.
fn any_step() -> impl Strategy<Value = (u64, Vec<Option<Outcome>>)> {
    let outcomes = (1..=4).map(|n| any_outcome(n).boxed()).collect::<Vec<_>>();
    (0u64..2_500, outcomes)
}

fn step(play: &mut Play, views: &mut [NodeView], (pause, outcomes): &(u64, Vec<Option<Outcome>>)) {
    play.pass(*pause);
    for (view, outcome) in views.iter_mut().zip(outcomes) {
        if let Some(outcome) = outcome {
            view.observe(outcome.clone(), play.now);
        }
    }
}

proptest! {
    #[test]
    fn the_rules_hold_in_every_history(steps in prop::collection::vec(any_step(), 1..40)) {
        let mut play = Play::new();
        let mut views = [1, 2, 3, 4].map(unknown);
        for happening in &steps {
            step(&mut play, &mut views, happening);
            let before = play.decision.clone();
            let primary = play.see(&views);

            // Never a node that may not be written to, but for one unheard within its time.
            if let Some(node) = primary {
                let verdict = &play.decision.verdicts[&node];
                let unheard = views.iter().any(|view| {
                    let contact = &view.contact;
                    view.address == node
                        && matches!(contact, Contact::Denied { .. } | Contact::Silent { .. })
                });
                let patience = before.primary == Some(node) && unheard;
                prop_assert!(verdict.class().is_some() || patience, "{node} is {verdict:?}");
            }
            // Sticky: a usable primary is never left.
            if let Some(node) = before.primary
                && play.decision.verdicts.get(&node) == Some(&Verdict::Usable)
            {
                prop_assert_eq!(primary, Some(node));
            }
            // Available: a usable node that answers is not left unused, once all were heard.
            let heard = !views.iter().any(NodeView::is_pending);
            let usable = views.iter().any(|view| {
                view.contact == Contact::Answering
                    && play.decision.verdicts[&view.address] == Verdict::Usable
            });
            prop_assert!(primary.is_some() || !heard || !usable);
            // The epoch counts changes to another node, and nothing else.
            let moved = primary.is_some() && primary != before.last_primary;
            prop_assert_eq!(play.decision.epoch, before.epoch + u64::from(moved));
            // Decided is decided: the same news changes nothing.
            let settled = play.decision.clone();
            play.see(&views);
            prop_assert_eq!(&play.decision, &settled);
        }
    }

    #[test]
    fn the_order_of_the_nodes_makes_no_difference(
        steps in prop::collection::vec(any_step(), 1..20),
        order in Just(vec![0usize, 1, 2, 3]).prop_shuffle(),
    ) {
        let (mut play, mut shuffled) = (Play::new(), Play::new());
        shuffled.now = play.now;
        let mut views = [1, 2, 3, 4].map(unknown);
        for happening in &steps {
            step(&mut play, &mut views, happening);
            shuffled.now = play.now;
            let other: Vec<_> = order.iter().map(|index| views[*index].clone()).collect();
            play.see(&views);
            shuffled.see(&other);
            prop_assert_eq!(&play.decision, &shuffled.decision);
        }
    }

    #[test]
    fn proxies_that_see_the_same_choose_the_same(outcomes in any_step()) {
        let (mut one, mut other) = (Play::new(), Play::new());
        let mut views = [1, 2, 3, 4].map(unknown);
        step(&mut one, &mut views, &outcomes);
        // The other proxy hears of the nodes one by one.
        let mut heard = [1, 2, 3, 4].map(unknown);
        other.now = one.now;
        for (index, view) in views.iter().enumerate() {
            heard[index] = view.clone();
            other.see(&heard);
        }
        prop_assert_eq!(one.see(&views), other.decision.primary);
    }
}
