use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::cluster::model::testing::{
    DESYNCED, DISCONNECTED, DONOR, JOINING, NON_PRIMARY, PLAIN, SYNCED, address, rows, rows_with,
};

fn report(capture: &str) -> Report {
    Report::parse(rows(capture), [])
}

fn galera(capture: &str) -> Galera {
    report(capture).galera.expect("a Galera node")
}

#[test]
fn a_synced_node_is_read_in_full() {
    let members = ["127.0.15.1:3306", "127.0.15.2:3306", "127.0.15.3:3306"];
    let expected = Report {
        name: Some("node1".into()),
        version: Some("10.11.19-MariaDB-0+deb12u1".into()),
        max_allowed_packet: Some(16 * 1024 * 1024),
        kills: None,
        connections: None,
        max_connections: None,
        read_only: false,
        pin: Reading::Unread,
        galera: Some(Galera {
            cluster: "c5a75aef-e66c-11f1-ad8a-6e410dc76040".into(),
            view_id: Some(12),
            primary_component: true,
            ready: true,
            sync: Sync::Synced,
            desynced: false,
            refuses: Refuses { always: false, as_donor: false },
            members: members.map(|member| NodeAddr(member.parse().unwrap())).into(),
            size: Some(3),
            group: Group {
                process: Some("5b790d39-e66f-11f1-b0fb-4bdcf4df85f5".into()),
                ..Group::default()
            },
        }),
    };
    assert_eq!(report(SYNCED), expected);
}

/// Links that nobody uses yet would take the last connections of the node that everybody is about to need.
#[test]
fn a_node_has_room_while_a_quarter_of_its_connections_is_free() {
    let room = |open: &str, most: &str| {
        let row = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        Report::parse([row("Threads_connected", open)], [row("max_connections", most)]).has_room()
    };
    assert!(room("74", "100"));
    assert!(!room("75", "100"));
    assert!(!room("1", "1"));
    assert!(!room("", "100"), "it has not said how many are open");
}

#[test]
fn every_state_of_a_real_node_is_told_apart() {
    let cases = [
        (SYNCED, NodeState::Synced),
        (DESYNCED, NodeState::Donor),
        (DONOR, NodeState::Donor),
        (JOINING, NodeState::Joining),
        (NON_PRIMARY, NodeState::NonPrimary),
        (DISCONNECTED, NodeState::NonPrimary),
        (PLAIN, NodeState::Online),
    ];
    for (capture, state) in cases {
        assert_eq!(report(capture).state(), state, "{capture}");
    }
    assert!(galera(DESYNCED).desynced);
    assert!(!galera(DONOR).desynced, "an SST donor is not one that an operator desynced");
}

#[test]
fn outside_the_primary_component_there_is_no_view() {
    assert_eq!(galera(NON_PRIMARY).view_id, None);
    assert_eq!(galera(DISCONNECTED).view_id, None);
    assert!(!galera(NON_PRIMARY).ready);
}

#[test]
fn a_server_without_galera_still_has_a_name_and_a_version() {
    let plain = report(PLAIN);
    assert_eq!(plain.galera, None);
    assert_eq!(plain.name.as_deref(), Some("db1"));
    assert!(plain.version.is_some());
}

#[test]
fn whatever_a_node_leaves_out_is_held_against_it() {
    let needed =
        ["wsrep_ready", "wsrep_local_state", "wsrep_cluster_status", "wsrep_cluster_state_uuid"];
    for missing in needed {
        let rows = rows(SYNCED).into_iter().filter(|(name, _)| name != missing);
        let galera = Report::parse(rows, []).galera.unwrap();
        let healthy = galera.ready && galera.sync == Sync::Synced && galera.primary_component;
        assert!(!healthy, "without {missing}");
    }
    let silent = Report::parse([], []);
    assert!(silent.read_only);
    assert_eq!(silent.galera, None);
}

#[test]
fn values_of_other_versions_and_nonsense_are_taken_for_the_worse() {
    let read_only = |value| Report::parse(rows_with(SYNCED, &[("read_only", value)]), []).read_only;
    assert!(read_only("ON"));
    assert!(read_only("1"));
    assert!(read_only("NO_LOCK_NO_ADMIN"));
    assert!(!read_only("off"));
    let odd = [
        ("wsrep_local_state", "four"),
        ("wsrep_cluster_conf_id", "-1"),
        ("wsrep_reject_queries", "ALL_KILL"),
        ("wsrep_incoming_addresses", "AUTO, db2.example.com:3306,127.0.15.3:3306,,[::1]:3306"),
        ("max_allowed_packet", "much"),
    ];
    let report = Report::parse(rows_with(SYNCED, &odd), []);
    let galera = report.galera.as_ref().unwrap();
    assert_eq!((galera.sync, galera.view_id, galera.refuses.always), (Sync::Undefined, None, true));
    let members = ["127.0.15.3:3306", "[::1]:3306"];
    assert_eq!(galera.members, members.map(|member| NodeAddr(member.parse().unwrap())).into());
    assert_eq!(report.max_allowed_packet, None);
}

#[test]
fn a_name_that_would_fill_the_memory_or_break_the_log_is_not_kept() {
    let long = "x".repeat(1 << 20);
    for name in [&long, "node1\n2026-01-01 INFO all is well", "\x1b[2J"] {
        let report = Report::parse(rows_with(SYNCED, &[("wsrep_node_name", name)]), []);
        assert_eq!(report.name, None);
        assert!(report.galera.is_some(), "the rest of the answer is as good as ever");
    }
}

proptest! {
    #[test]
    fn whatever_a_server_says_is_read(
        mut rows in prop::collection::vec((any_name(), any_value()), 0..20),
    ) {
        rows.extend([("wsrep_on".into(), "ON".into())]);
        let report = Report::parse(rows, []);
        prop_assert!(report.galera.is_some());
    }
}

fn any_name() -> impl Strategy<Value = String> {
    let names = rows(SYNCED).into_iter().map(|(name, _)| name).collect::<Vec<_>>();
    prop_oneof![9 => prop::sample::select(names), 1 => any::<String>()]
        .prop_filter("given below", |name| name != "wsrep_on")
}

fn any_value() -> impl Strategy<Value = String> {
    prop_oneof!["[0-9]{1,30}", "[-+0-9.,:\\[\\] a-fA]{0,60}", any::<String>()]
}

/// A process that was taken for another one would be cut off, or asked at another port.
#[test]
fn the_words_of_the_group_are_read() {
    let changes = [
        ("wsrep_gcomm_uuid", "763d261e-ed95-11f1-85ae-3fc4deb61b83"),
        ("wsrep_evs_evict_list", "664cb77e-ed95-11f1-80eb-8bfb927441cb"),
        (
            "wsrep_provider_options",
            "base_port = 4567; evs.join_retrans_period = PT1.5S; gmcast.listen_addr = tcp://127.0.20.1:4568; pc.weight = 1;",
        ),
    ];
    let read = |changes: &[(&str, &str)]| {
        Report::parse(rows_with(SYNCED, changes), []).galera.expect("a Galera node").group
    };
    let group = read(&changes);
    let listens = group.listens.expect("an address");
    assert_eq!(group.process.as_deref(), Some("763d261e-ed95-11f1-85ae-3fc4deb61b83"));
    assert_eq!(listens.of(address(1)), "127.0.20.1:4568".parse().unwrap());
    assert!(group.evicted.is_some() && group.weight == Some(1));
    assert_eq!(group.join_period, Some(Duration::from_millis(1500)));
    let anywhere = read(&[("wsrep_provider_options", "gmcast.listen_addr = ssl://0.0.0.0:4567")]);
    assert_eq!(
        anywhere.listens.map(|listens| listens.of(address(1))),
        "192.0.2.1:4567".parse().ok()
    );
    for (name, value) in [
        ("wsrep_gcomm_uuid", "763D261E-ED95-11F1-85AE-3FC4DEB61B83"),
        ("wsrep_gcomm_uuid", "'); DROP TABLE t; -- 85ae-3fc4deb61b83"),
        ("wsrep_provider_options", "gmcast.listen_addr = tcp://galera1:4567; pc.weight = 3"),
    ] {
        let group = read(&[(name, value)]);
        let process = group.process.filter(|_| name == "wsrep_gcomm_uuid");
        assert_eq!((process, group.listens, group.weight == Some(1)), (None, None, false));
    }
}
