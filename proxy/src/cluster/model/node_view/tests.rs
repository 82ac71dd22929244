use super::*;
use crate::cluster::model::testing::{SYNCED, address, rows, synced};

fn report(capture: &str) -> Report {
    Report::parse(rows(capture), [])
}

#[test]
fn one_missed_probe_is_forgiven_the_second_is_not() {
    let start = Instant::now();
    let mut view = synced(1);
    view.observe(Outcome::Silent, start);
    assert_eq!(view.state(), NodeState::Synced);
    view.observe(Outcome::Silent, start + Duration::from_secs(1));
    assert_eq!(view.state(), NodeState::Unreachable);
    assert_eq!(view.contact, Contact::Silent { since: start, misses: 2 });
    assert_eq!(view.name(), Some("node1"), "an operator still sees who it is");

    view.observe(Outcome::Answer(Arc::new(report(SYNCED))), start + Duration::from_secs(2));
    view.observe(Outcome::Silent, start + Duration::from_secs(3));
    assert_eq!(view.state(), NodeState::Synced, "an answer wipes the slate");
}

#[test]
fn a_late_answer_says_that_the_node_lives_if_it_is_the_one_that_is_known() {
    let start = Instant::now();
    let mut view = synced(1);
    view.observe(Outcome::Silent, start);
    let silent = view.contact.clone();
    let known = view.report.clone().expect("it is known");
    assert!(view.observe(Outcome::Late(known.clone()), start + Duration::from_secs(1)));
    assert_eq!(
        (view.contact.clone(), view.reported_alive),
        (silent, Some(start + Duration::from_secs(1)))
    );
    // The order of two different reports is not known.
    let mut parted = Report::clone(&known);
    parted.galera.as_mut().expect("a Galera node").primary_component = false;
    assert!(!view.observe(Outcome::Late(Arc::new(parted)), start + Duration::from_secs(2)));
    assert_eq!(view.reported_alive, Some(start + Duration::from_secs(1)));
    assert_eq!(view.asked, Some(start), "no question of now");
}

#[test]
fn an_answer_like_the_one_before_is_no_news() {
    let start = Instant::now();
    let mut view = synced(1);
    let mut report = view.report.clone().expect("it is known");
    assert!(!view.observe(Outcome::Answer(report.clone()), start));
    assert_eq!(view.asked, Some(start), "but it is heard");
    let said = Arc::make_mut(&mut report);
    said.read_only = !said.read_only;
    assert!(view.observe(Outcome::Answer(report.clone()), start));
    view.observe(Outcome::Silent, start);
    assert!(view.observe(Outcome::Answer(report), start), "it is back");
}

#[test]
fn a_node_that_never_answered_is_not_given_the_benefit_of_the_doubt() {
    let mut view = NodeView::new(address(1), 0);
    assert_eq!(view.state(), NodeState::Unknown);
    view.observe(Outcome::Silent, Instant::now());
    assert_eq!(view.state(), NodeState::Unreachable);
}

#[test]
fn a_refused_connection_counts_at_once() {
    let mut view = synced(1);
    view.observe(Outcome::Lost(Loss::Refused), Instant::now());
    assert_eq!(view.state(), NodeState::Unreachable);
}

/// A session must learn that its connection was killed, even if we have heard of the KILL first.
#[test]
fn a_kill_is_news_for_a_while() {
    let start = Instant::now();
    let after = |millis| start + Duration::from_millis(millis);
    let kills = Kills::after(None, 7, start);
    let kills = Kills::after(Some(kills), 8, after(1_000));
    assert_eq!(kills.settled, 7);
    let kills = Kills::after(Some(kills), 8, after(2_000));
    assert_eq!(kills.settled, 7);
    let kills = Kills::after(Some(kills), 8, after(3_000));
    assert_eq!(kills.settled, 8);
}
