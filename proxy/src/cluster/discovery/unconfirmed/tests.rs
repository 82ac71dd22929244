use super::*;
use crate::cluster::decide::rule::{Policy, decide};
use crate::cluster::model::node_view::Outcome;
use crate::cluster::model::settings::ClusterKind;
use crate::cluster::model::testing::{address, galera, synced};

/// Decision when these nodes are all there are.
fn decision(views: &[&NodeView]) -> Decision {
    let policy = Policy { kind: ClusterKind::Galera, path_timeout: Duration::ZERO };
    let views: Vec<_> = views.iter().copied().cloned().collect();
    decide(&Decision::default(), &views, policy, Instant::now())
}

fn named_by(views: &[&NodeView]) -> Vec<NodeAddr> {
    members(&decision(views), views).into_iter().collect()
}

fn at(text: &str) -> NodeAddr {
    NodeAddr(text.parse().unwrap())
}

fn strange(addresses: &[NodeAddr]) -> BTreeSet<NodeAddr> {
    addresses.iter().copied().collect()
}

#[test]
fn the_nodes_of_our_cluster_name_its_members() {
    assert_eq!(named_by(&[&synced(1)]), [1, 2, 3].map(address));
    let four = galera(2, |galera| galera.members = [address(4)].into());
    assert_eq!(named_by(&[&synced(1), &four]), [1, 2, 3, 4].map(address));
}

/// Otherwise writes go to another cluster, or to a part of ours that takes none.
#[test]
fn nobody_outside_our_primary_component_is_believed() {
    let own = |n| galera(n, move |galera| galera.members = [address(n)].into());
    let (one, two) = (own(1), own(2));
    let others = [
        galera(3, |galera| galera.cluster = "another".into()),
        galera(3, |galera| galera.primary_component = false),
        NodeView { contact: Contact::Silent { since: Instant::now(), misses: 1 }, ..synced(3) },
        NodeView { report: None, ..synced(3) },
    ];
    for other in others {
        assert_eq!(named_by(&[&one, &two, &other]), [1, 2].map(address), "{other:?}");
    }
    // While it is not known which cluster is ours.
    let unheard = NodeView::new(address(3), 0);
    let foreign = galera(2, |galera| galera.cluster = "another".into());
    assert_eq!(named_by(&[&one, &foreign, &unheard]), []);
}

#[test]
fn addresses_that_mean_another_host_to_us_are_left_out() {
    let odd = ["127.0.0.1:3306", "[::1]:3306", "169.254.1.1:3306", "[fe80::1]:3306"].map(at);
    let all = [odd.to_vec(), vec![address(9), at("[::ffff:192.0.2.9]:3306")]].concat();
    let remote = galera(1, |galera| galera.members = all.iter().copied().collect());
    assert_eq!(named_by(&[&remote]), [address(9)], "and one node has one address");
    let mut local = remote;
    local.address = at("127.0.20.1:3306");
    let named = named_by(&[&local]);
    assert_eq!(named, [at("127.0.0.1:3306"), address(9), at("[::1]:3306")], "its host is ours");
}

#[test]
fn a_member_is_one_once_it_has_answered_as_one() {
    let (one, two) = (synced(1), synced(2));
    let decision = decision(&[&one]);
    let confirmed = |asked: &NodeView| is_confirmed(&decision, &[&one], asked);
    assert!(confirmed(&two));
    let not_synced = galera(2, |galera| galera.sync = crate::cluster::model::report::Sync::Donor);
    assert!(confirmed(&not_synced), "what it is good for is for others to say");
    for other in [
        NodeView::new(address(2), 0),
        galera(2, |galera| galera.cluster = "another".into()),
        galera(2, |galera| galera.primary_component = false),
        NodeView { contact: Contact::Silent { since: Instant::now(), misses: 1 }, ..two },
    ] {
        assert!(!confirmed(&other), "{other:?}");
    }
}

/// A failover to the same server at another address leads to the node that just died.
#[test]
fn a_node_that_is_known_already_is_not_taken_for_another_one() {
    let one = synced(1);
    let inner = NodeView { address: at("198.51.100.1:3306"), ..synced(1) };
    let decision = decision(&[&one]);
    assert!(!is_confirmed(&decision, &[&one], &inner));
    // The node has moved: its old address does not answer any more.
    let mut gone = one;
    gone.observe(Outcome::Silent, Instant::now());
    assert!(is_confirmed(&decision, &[&gone], &inner));
}

#[test]
fn members_are_asked_once_and_dropped_when_they_are_none_any_more() {
    let now = Instant::now();
    let mut unconfirmed = UnconfirmedMembers::new();
    let mut asked = Vec::new();
    for members in [[1, 2].as_slice(), &[1, 2], &[2, 3], &[1, 2]] {
        let members: Vec<_> = members.iter().copied().map(address).collect();
        unconfirmed.update(&strange(&members), now, |member| asked.push(member));
    }
    assert_eq!(asked, [1, 2, 3, 1].map(address));
    assert!(unconfirmed.get_mut(address(2)).is_some());
    assert!(unconfirmed.get_mut(address(3)).is_none());
}

#[test]
fn one_that_never_answers_is_left_alone_and_tried_again_later() {
    let start = Instant::now();
    let mut unconfirmed = UnconfirmedMembers::new();
    let mut asked = 0;
    let members = strange(&[address(1)]);
    let rounds = 3;
    for second in 0..rounds * (PATIENCE + REST).as_secs() {
        let now = start + Duration::from_secs(second);
        unconfirmed.update(&members, now, |_| asked += 1);
        let in_round = Duration::from_secs(second % (PATIENCE + REST).as_secs());
        assert_eq!(unconfirmed.get_mut(address(1)).is_some(), in_round < PATIENCE, "{second}");
    }
    assert_eq!(asked, rounds);
}

/// One node with a long list must not make us probe half a network.
#[test]
fn no_more_than_a_few_are_asked_at_a_time() {
    let many: Vec<_> = (1..=250).map(address).collect();
    let mut unconfirmed = UnconfirmedMembers::new();
    let mut asked = 0;
    for _ in 0..9 {
        unconfirmed.update(&strange(&many), Instant::now(), |_| asked += 1);
    }
    assert_eq!(asked, MAX_UNCONFIRMED);
}

#[test]
fn the_confirmed_are_taken_out_one_by_one() {
    let mut unconfirmed = UnconfirmedMembers::new();
    unconfirmed.update(&strange(&[1, 2, 3].map(address)), Instant::now(), |member| member);
    let is_confirmed = |member: &NodeAddr| *member != address(2);
    assert_eq!(unconfirmed.take_confirmed(is_confirmed), Some((address(1), address(1))));
    assert_eq!(unconfirmed.take_confirmed(is_confirmed), Some((address(3), address(3))));
    assert_eq!(unconfirmed.take_confirmed(is_confirmed), None);
    assert!(unconfirmed.get_mut(address(2)).is_some());
}
