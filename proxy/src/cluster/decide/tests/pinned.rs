//! Decisions of proxies that share a pin.

use super::*;
use crate::cluster::model::pin::Reading;

fn pin(n: u8, epoch: u64) -> Pin {
    let (reason, by) = ("a reason".into(), "there".into());
    Pin { node: address(n), epoch, reason, by, drained: BTreeSet::new() }
}

/// View of a node that was asked just now and read `reading`.
fn says(mut view: NodeView, reading: Reading, now: Instant) -> NodeView {
    view.asked = Some(now);
    if view.report.is_some() {
        said(&mut view).pin = reading;
    }
    view
}

impl Play {
    fn see_pin(&mut self, reading: &Reading, views: Vec<NodeView>) -> Option<NodeAddr> {
        let views: Vec<_> =
            views.into_iter().map(|view| says(view, reading.clone(), self.now)).collect();
        self.see(&views)
    }

    fn wanted(&self) -> Option<(Option<u64>, NodeAddr)> {
        self.decision.proposal.as_ref().map(|proposal| (proposal.expected, proposal.node))
    }
}

/// Each proxy would write where it likes best, and their transactions would fail in certification.
#[test]
fn writes_go_to_the_pinned_node_whatever_we_would_prefer() {
    let mut play = Play::new();
    let set = Reading::Set(pin(3, 7));
    assert_eq!(play.see_pin(&set, vec![synced(1), synced(2), synced(3)]), Some(address(3)));
    assert_eq!((play.decision.epoch, play.wanted()), (7, None));
    assert_eq!(play.decision.cause.to_string(), "agreed on: a reason (says there)");
}

/// A proxy that starts after a failover would go to its first choice, and part from the others; or wait for
/// the node that is dead.
#[test]
fn at_the_start_a_majority_that_knows_the_pin_is_enough() {
    let mut play = Play::new();
    let set = Reading::Set(pin(2, 4));
    let views = vec![NodeView::new(address(1), 0), synced(2), synced(3)];
    assert_eq!(play.see_pin(&set, views), Some(address(2)));
}

/// Nobody would ever be the first.
#[test]
fn a_cluster_without_a_pin_is_proposed_one_when_every_node_was_heard() {
    let mut play = Play::new();
    let views = vec![NodeView::new(address(1), 0), synced(2), synced(3)];
    assert_eq!(play.see_pin(&Reading::Unset, views), None);
    assert_eq!(play.wanted(), None);
    assert_eq!(play.see_pin(&Reading::Unset, vec![synced(1), synced(2), synced(3)]), None);
    assert_eq!(play.wanted(), Some((None, address(1))));
    play.decision.learn(pin(2, 1), play.now);
    let views = vec![synced(1), synced(2), synced(3)];
    assert_eq!(play.see_pin(&Reading::Unset, views), Some(address(2)), "another was first");
    assert_eq!(play.wanted(), None);
}

/// With a primary of its own choice beside the pinned one, two nodes would be written to.
#[test]
fn a_lost_primary_is_nobodys_until_all_agree_on_the_next() {
    let mut play = Play::new();
    let set = Reading::Set(pin(1, 1));
    play.see_pin(&set, vec![synced(1), synced(2), synced(3)]);
    play.pass(500);
    assert_eq!(play.see_pin(&set, vec![refused(1), synced(2), synced(3)]), None);
    assert_eq!(play.wanted(), Some((Some(1), address(2))));
    play.decision.learn(pin(2, 2), play.now);
    let views = vec![refused(1), synced(2), synced(3)];
    assert_eq!(play.see_pin(&set, views), Some(address(2)));
    assert_eq!(play.decision.cause.to_string(), "192.0.2.1:3306 is lost: connection refused");
    assert_eq!((play.decision.epoch, play.wanted()), (2, None));
}

/// A node that lags behind would take everybody back to the node that was lost.
#[test]
fn an_older_pin_changes_nothing() {
    let mut play = Play::new();
    play.see_pin(&Reading::Set(pin(2, 5)), vec![synced(1), synced(2), synced(3)]);
    let old = Reading::Set(pin(1, 4));
    for reading in [old, Reading::Unset, Reading::Unread, Reading::Missing("gone".into())] {
        let views = vec![synced(1), synced(2), synced(3)];
        assert_eq!(play.see_pin(&reading, views), Some(address(2)), "{reading:?}");
        assert_eq!((play.decision.epoch, play.wanted()), (5, None), "{reading:?}");
    }
}

/// The one who pinned it has heard it; our last probe is older. To propose yet another node would move
/// everybody twice.
#[test]
fn a_node_pinned_just_now_is_asked_before_it_is_given_up() {
    let mut play = Play::new();
    play.see_pin(&Reading::Set(pin(1, 1)), vec![synced(1), refused(2), synced(3)]);
    let before = play.now;
    play.pass(100);
    let stale = says(refused(2), Reading::Unread, before);
    let set = Reading::Set(pin(2, 2));
    let views = [says(synced(1), set.clone(), play.now), stale, says(synced(3), set, play.now)];
    assert_eq!(play.see(&views), None);
    assert_eq!(play.wanted(), None);
    play.pass(10);
    let fresh = says(refused(2), Reading::Unread, play.now);
    let views = [views[0].clone(), fresh, views[2].clone()];
    assert_eq!(play.see(&views), None);
    assert_eq!(play.wanted(), Some((Some(2), address(1))));
}

/// A donor by rsync blocks every write. It is left, but not before all agree.
#[test]
fn a_primary_that_becomes_donor_stays_until_the_next_is_agreed_on() {
    let donor = |n| galera(n, |g| g.sync = Sync::Donor);
    let mut play = Play::new();
    let set = Reading::Set(pin(1, 1));
    play.see_pin(&set, vec![synced(1), synced(2), synced(3)]);
    assert_eq!(play.see_pin(&set, vec![donor(1), synced(2), synced(3)]), Some(address(1)));
    assert_eq!(play.wanted(), Some((Some(1), address(2))));
    assert_eq!(play.see_pin(&set, vec![donor(1), refused(2), refused(3)]), Some(address(1)));
    assert_eq!(play.wanted(), None, "there is no better one");
}

/// Two proxies that reach different nodes would take the pin from each other every few seconds.
#[test]
fn the_patience_with_a_silent_node_grows_with_each_change() {
    let mut play = Play::new();
    let mut waits = Vec::new();
    for epoch in 1..=4 {
        let reason = Cause::Lost { node: address(2), reason: Reason::Silent }.to_string();
        let set = Reading::Set(Pin { reason, ..pin(1, epoch) });
        play.see_pin(&set, vec![synced(1), synced(2), synced(3)]);
        let since = play.now;
        while play.wanted().is_none() {
            play.pass(100);
            play.see_pin(&set, vec![silent(1, since), synced(2), synced(3)]);
        }
        waits.push(play.now - since);
    }
    let path = POLICY.path_timeout;
    assert_eq!(waits, [path * 2, path * 4, path * 8, path * 16]);
    play.pass(RECENT.as_millis() as u64);
    let set = Reading::Set(pin(1, 4));
    play.see_pin(&set, vec![synced(1), synced(2), synced(3)]);
    let since = play.now;
    play.pass(path.as_millis() as u64);
    play.see_pin(&set, vec![silent(1, since), synced(2), synced(3)]);
    assert_eq!(play.wanted(), Some((Some(4), address(2))), "all that is long ago");
}

/// Where `setup` was never run everything has to work as before, each proxy for itself.
#[test]
fn without_the_table_each_goes_by_its_own_view_until_it_is_there() {
    let mut play = Play::new();
    let missing = Reading::Missing("no such table".into());
    assert_eq!(play.see_pin(&missing, vec![synced(1), synced(2), synced(3)]), Some(address(1)));
    assert_eq!(play.see_pin(&missing, vec![refused(1), synced(2), synced(3)]), Some(address(2)));
    assert_eq!((play.decision.epoch, play.wanted()), (2, None));
    let views = vec![synced(1), synced(2), synced(3)];
    assert_eq!(play.see_pin(&Reading::Unset, views), Some(address(2)), "who is served stays so");
    assert_eq!(play.wanted(), Some((None, address(2))), "and what we have is what is proposed");
    play.decision.learn(pin(2, 1), play.now);
    let views = vec![synced(1), synced(2), synced(3)];
    assert_eq!(play.see_pin(&Reading::Set(pin(2, 1)), views), Some(address(2)));
    assert_eq!(play.decision.epoch, 2, "it never falls: sessions compare it");
}

/// A node would be taken down for its update under everybody's hands.
#[test]
fn a_drained_primary_is_left_for_a_node_that_is_not_drained() {
    let mut play = Play::new();
    let drained = [address(1), address(2)].into();
    let set = Reading::Set(Pin { drained, ..pin(1, 3) });
    let primary = play.see_pin(&set, vec![synced(1), synced(2), synced(3)]);
    assert_eq!(primary, Some(address(1)), "it serves until all agree");
    assert_eq!(play.wanted(), Some((Some(3), address(3))));
    let views = vec![synced(1), synced(2), refused(3)];
    assert_eq!(play.see_pin(&set, views), Some(address(1)));
    assert_eq!(play.wanted(), None, "there is no better one");
}

impl Play {
    /// The other proxy lives, and reaches these nodes.
    fn other_reaches(&mut self, nodes: &[u8]) {
        for beat in 1..=2 {
            let reaches = nodes.iter().map(|node| address(*node)).collect();
            let row = Row { name: "there".into(), reaches, beat };
            self.decision.take_peers(vec![row], self.now);
        }
    }

    /// Node 1 is pinned and falls silent to us; what is wanted when the patience is over.
    fn wanted_for_silence(&mut self) -> Option<(Option<u64>, NodeAddr)> {
        let set = Reading::Set(pin(1, 1));
        self.see_pin(&set, vec![synced(1), synced(2), synced(3)]);
        self.pass(500);
        let since = self.now;
        self.pass(u64::try_from(POLICY.path_timeout.as_millis()).unwrap() + 1);
        self.see_pin(&set, vec![silent(1, since), synced(2), synced(3)]);
        self.wanted()
    }
}

/// The pin would move once for each proxy that cannot follow.
#[test]
fn the_next_primary_is_one_that_the_other_proxies_reach_too() {
    let mut play = Play::new();
    play.other_reaches(&[1, 3]);
    assert_eq!(play.wanted_for_silence(), Some((Some(1), address(3))));
}

/// Clients of the other proxy would stand still in place of ours, and the pin go to and fro.
#[test]
fn a_node_that_others_reach_is_not_left_for_one_that_only_we_reach() {
    let mut play = Play::new();
    play.other_reaches(&[1]);
    assert_eq!(play.wanted_for_silence(), None);
    let mut play = Play::new();
    play.other_reaches(&[]);
    assert_eq!(play.wanted_for_silence(), Some((Some(1), address(2))), "nobody reaches it");
}
