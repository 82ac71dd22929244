use tokio::time::Instant;

use super::*;
use crate::cluster::model::node_view::{Loss, Outcome};
use crate::cluster::model::testing::{galera, said, synced};

const OURS: ClusterFacts<'_> =
    ClusterFacts { kind: ClusterKind::Galera, cluster: Some("ours"), settled_view: Some(3) };

fn galera_verdict(change: impl FnOnce(&mut Galera)) -> Verdict {
    judge(&galera(1, change), OURS)
}

#[test]
fn a_synced_node_takes_writes() {
    assert_eq!(galera_verdict(|_| {}), Verdict::Usable);
}

#[test]
fn each_defect_alone_keeps_writes_away_and_says_why() {
    let unusable = Verdict::Unusable;
    assert_eq!(galera_verdict(|g| g.primary_component = false), unusable(Reason::NonPrimary));
    assert_eq!(galera_verdict(|g| g.ready = false), unusable(Reason::NotReady));
    assert_eq!(
        galera_verdict(|g| g.refuses.always = true),
        unusable(Reason::Rejecting { variable: "wsrep_reject_queries" })
    );
    for sync in [Sync::Joined, Sync::Joining, Sync::Undefined] {
        assert_eq!(galera_verdict(|g| g.sync = sync), unusable(Reason::Joining));
    }
    assert_eq!(galera_verdict(|g| g.view_id = Some(2)), unusable(Reason::Behind));
    assert_eq!(galera_verdict(|g| g.view_id = Some(4)), Verdict::Usable, "ahead is no fault");
    assert_eq!(
        galera_verdict(|g| g.cluster = "theirs".into()),
        unusable(Reason::Foreign { cluster: "theirs".into() })
    );

    let mut read_only = synced(1);
    said(&mut read_only).read_only = true;
    assert_eq!(judge(&read_only, OURS), unusable(Reason::ReadOnly));
    let mut plain = synced(1);
    said(&mut plain).galera = None;
    assert_eq!(judge(&plain, OURS), unusable(Reason::NotGalera));
}

#[test]
fn a_donor_and_a_desynced_node_are_last_resorts_the_donor_after_the_other() {
    let donor = galera_verdict(|g| g.sync = Sync::Donor);
    assert_eq!(donor, Verdict::LastResort(Reason::Donor));
    let desynced = galera_verdict(|g| {
        g.sync = Sync::Donor;
        g.desynced = true;
        g.refuses.as_donor = true;
    });
    assert_eq!(desynced, Verdict::LastResort(Reason::Desynced));
    assert!(Verdict::Usable.class() < desynced.class());
    assert!(desynced.class() < donor.class());
}

#[test]
fn a_donor_told_to_reject_queries_is_no_resort_at_all() {
    let donor = galera_verdict(|g| {
        g.sync = Sync::Donor;
        g.refuses.as_donor = true;
    });
    let variable = "wsrep_sst_donor_rejects_queries";
    assert_eq!(donor, Verdict::Unusable(Reason::Rejecting { variable }));
    let synced = galera_verdict(|g| g.refuses.as_donor = true);
    assert_eq!(synced, Verdict::Usable, "it rejects nothing before it is a donor");
}

#[test]
fn while_our_cluster_is_not_known_none_is_foreign() {
    let facts = ClusterFacts { cluster: None, ..OURS };
    assert_eq!(judge(&galera(1, |g| g.cluster = "any".into()), facts), Verdict::Usable);
}

#[test]
fn a_single_server_needs_only_to_answer_and_to_be_writable() {
    let single = ClusterFacts { kind: ClusterKind::Single, cluster: None, settled_view: None };
    let mut plain = synced(1);
    let report = said(&mut plain);
    report.galera = None;
    assert_eq!(judge(&plain, single), Verdict::Usable);
    said(&mut plain).read_only = true;
    assert_eq!(judge(&plain, single), Verdict::Unusable(Reason::ReadOnly));
}

#[test]
fn a_node_that_does_not_answer_is_unusable_whatever_it_said_before() {
    let now = Instant::now();
    let mut view = synced(1);
    view.observe(Outcome::Silent, now);
    assert_eq!(judge(&view, OURS), Verdict::Usable, "one miss is forgiven");
    view.observe(Outcome::Silent, now);
    assert_eq!(judge(&view, OURS), Verdict::Unusable(Reason::Silent));
    view.observe(Outcome::Lost(Loss::Refused), now);
    assert_eq!(judge(&view, OURS), Verdict::Unusable(Reason::Lost(Loss::Refused)));
    let never = NodeView::new(view.address, 0);
    assert_eq!(judge(&never, OURS), Verdict::Unusable(Reason::NotProbed));
}
