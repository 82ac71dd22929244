use super::*;
use crate::cluster::model::group::GroupAddr;
use crate::cluster::model::testing::{address, said, synced};
use tokio::time::Instant;

/// Node `n` of three that live, as it says itself.
fn member(n: u8, now: Instant) -> NodeView {
    let mut view = synced(n);
    view.asked = Some(now);
    if let Some(galera) = &mut said(&mut view).galera {
        galera.size = Some(3);
        galera.group.process = Some(format!("{n:08x}-0000-0000-0000-000000000000"));
        galera.group.listens = Some(GroupAddr { ip: None, port: 4567 });
        galera.group.weight = Some(1);
        galera.group.join_period = Some(Duration::from_secs(1));
    }
    view
}

/// Three nodes, the first of which has just refused a connection.
fn killed() -> [NodeView; 3] {
    let now = Instant::now();
    let mut views = [1, 2, 3].map(|n| member(n, now));
    views[0].contact = Contact::Lost(Loss::Refused);
    views
}

fn galera(view: &mut NodeView) -> &mut Galera {
    said(view).galera.as_mut().expect("a Galera node")
}

#[test]
fn a_process_that_is_gone_is_dead_to_a_majority() {
    let expected = Dead {
        node: address(1),
        process: "00000001-0000-0000-0000-000000000000".into(),
        group: "192.0.2.1:4567".parse().expect("an address"),
        survivors: [2, 3].map(|n| (address(n), Duration::from_secs(1))).into(),
    };
    assert_eq!(dead(&killed(), Some("ours")), Some(expected));
}

/// Makes the views of three nodes others.
type Change = fn(&mut [NodeView; 3]);

/// A node that is evicted although it lives stays out of its cluster until somebody starts it again.
#[test]
fn whatever_is_less_than_certain_is_no_death() {
    let change = |change: Change| {
        let mut views = killed();
        change(&mut views);
        dead(&views, Some("ours"))
    };
    let cases: [(&str, Change); 14] = [
        ("it answers", |views| views[0].contact = Contact::Answering),
        ("its connections are closed, and new ones not refused", |views| {
            views[0].contact = Contact::Lost(Loss::Closed);
        }),
        ("it is silent", |views| {
            views[0].contact = Contact::Silent { since: Instant::now(), misses: 9 };
        }),
        ("it has left in order", |views| {
            for view in &mut views[1..] {
                galera(view).members.remove(&address(1));
            }
        }),
        ("the others have another view already", |views| {
            views[1..].iter_mut().for_each(|view| galera(view).view_id = Some(4));
        }),
        ("one of the others is in another view", |views| galera(&mut views[2]).view_id = Some(4)),
        ("they are a minority", |views| {
            views.iter_mut().for_each(|view| galera(view).size = Some(4));
        }),
        ("one of the others does not answer", |views| {
            views[2].contact = Contact::Silent { since: Instant::now(), misses: 1 };
        }),
        ("one of the others has not been asked since", |views| {
            views[2].asked = Some(views[0].asked.expect("asked") - 2 * FRESH);
        }),
        ("one of the others is outside the primary component", |views| {
            galera(&mut views[2]).primary_component = false;
        }),
        ("one of the others is not ready", |views| galera(&mut views[2]).ready = false),
        ("votes are weighted", |views| galera(&mut views[1]).group.weight = Some(3)),
        ("its process is not known", |views| galera(&mut views[0]).group.process = None),
        ("its group's address is not known", |views| galera(&mut views[0]).group.listens = None),
    ];
    for (why, case) in cases {
        assert_eq!(change(case), None, "{why}");
    }
    assert_eq!(dead(&killed(), Some("theirs")), None, "another cluster");
    assert_eq!(dead(&killed(), None), None, "no cluster");
}

/// A node that was frozen would never come back, nor one that was evicted by a proxy which has died since.
#[test]
fn lists_are_cleared_where_the_view_stands() {
    let mut views = killed();
    views[1..].iter_mut().for_each(|view| galera(view).group.evicted = Some("a process".into()));
    assert_eq!(lists_to_clear(&views, "ours", 3), [].into(), "it is a member still");
    for view in &mut views[1..] {
        galera(view).members.remove(&address(1));
    }
    assert_eq!(lists_to_clear(&views, "ours", 3), [2, 3].map(address).into());
    galera(&mut views[2]).view_id = Some(2);
    assert_eq!(lists_to_clear(&views, "ours", 3), [].into(), "one of them does not know the view");
    assert_eq!(lists_to_clear(&views, "theirs", 3), [].into());
}
