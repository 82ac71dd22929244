use super::*;

/// Nodes by their last digit; those in `usable` are.
fn cluster(primary: Option<u8>, usable: &[u8]) -> Topology {
    let nodes =
        (1..=4).map(|last| Node { usable: usable.contains(&last), ..Node::synced(node(last)) });
    Topology { primary: primary.map(node), nodes: nodes.collect(), ..Topology::default() }
}

fn node(last: u8) -> NodeAddr {
    NodeAddr(([192, 0, 2, last], 3306).into())
}

fn reader(ticket: u32) -> Reader {
    Reader::of(Role::Reader { ticket, sync_wait: false }).expect("a reader")
}

/// Goes where it is to go, if anywhere.
fn go(reader: &mut Reader, topology: &Topology, now: Instant) -> Option<NodeAddr> {
    let destination = reader.destination(topology, now)?;
    if reader.at != Some(destination) {
        reader.arrived(destination, topology, now);
    }
    Some(destination)
}

/// One node would do the work of all; or Icinga Web would slow down the node that Icinga writes to.
#[test]
fn readers_spread_over_all_nodes_but_the_primary() {
    let topology = cluster(Some(2), &[1, 2, 3, 4]);
    let mut role = Role::reader(false);
    let mut readers = [0; 5];
    for _ in 0..30 {
        role = role.next();
        let reader = Reader::of(role).expect("a reader");
        let NodeAddr(destination) =
            reader.destination(&topology, Instant::now()).expect("there are nodes");
        let std::net::IpAddr::V4(address) = destination.ip() else { panic!("{destination}") };
        readers[usize::from(address.octets()[3])] += 1;
    }
    assert_eq!(readers, [0, 10, 0, 10, 10]);
}

/// Each change of the cluster would cut off every reader, where writers alone are concerned.
#[test]
fn a_reader_stays_where_it_is_while_its_node_is_usable_and_not_the_primary() {
    let now = Instant::now();
    let mut reader = reader(1);
    assert_eq!(go(&mut reader, &cluster(Some(1), &[1, 2, 3]), now), Some(node(3)));
    for topology in [
        cluster(Some(1), &[1, 2, 3, 4]),
        cluster(Some(2), &[2, 3]),
        cluster(None, &[2, 3]),
        cluster(Some(4), &[3, 4]),
    ] {
        assert_eq!(go(&mut reader, &topology, now), Some(node(3)));
    }
}

/// Otherwise the reader would read on, at the cost of the writers.
#[test]
fn a_reader_leaves_a_node_that_becomes_the_primary() {
    let now = Instant::now();
    let mut reader = reader(0);
    assert_eq!(go(&mut reader, &cluster(Some(1), &[1, 2, 3]), now), Some(node(2)));
    assert_eq!(reader.destination(&cluster(Some(2), &[2, 3]), now), Some(node(3)));
    assert_eq!(
        reader.destination(&cluster(Some(2), &[2]), now),
        Some(node(2)),
        "there is no other"
    );
    assert_eq!(reader.destination(&cluster(None, &[]), now), None);
}

/// A node that comes and goes would take all readers with it each time.
#[test]
fn a_reader_that_fell_back_to_the_primary_stays_there_for_a_while() {
    let start = Instant::now();
    let (alone, both) = (cluster(Some(1), &[1]), cluster(Some(1), &[1, 2]));
    let mut reader = reader(0);
    let mut moves = 0;
    let mut at = None;
    for tenth in 0..600 {
        let topology = if tenth % 10 < 5 { &alone } else { &both };
        let now = start + Duration::from_millis(100) * tenth;
        let next = go(&mut reader, topology, now);
        moves += u32::from(next != at);
        at = next;
    }
    assert!((7..=13).contains(&moves), "{moves} moves within a minute");
    assert_eq!(reader.look_at(), reader.fell_back.map(|since| since + REST));
    let later = start + Duration::from_secs(3600);
    assert_eq!(go(&mut reader, &both, later), Some(node(2)), "it goes back in the end");
    assert_eq!(reader.look_at(), None);
}

/// A reader would ask a dead node over and over until the probes find out.
#[test]
fn a_node_that_failed_a_reader_is_shunned_for_a_while() {
    let now = Instant::now();
    let topology = cluster(Some(1), &[1, 2, 3]);
    let mut reader = reader(0);
    assert_eq!(go(&mut reader, &topology, now), Some(node(2)));
    reader.shun(node(2), now);
    assert_eq!(go(&mut reader, &topology, now), Some(node(3)));
    reader.shun(node(3), now + Duration::from_secs(1));
    assert_eq!(go(&mut reader, &topology, now + Duration::from_secs(1)), Some(node(1)));
    reader.shun(node(1), now + Duration::from_secs(2));
    let next = reader.destination(&topology, now + Duration::from_secs(2));
    assert_eq!(next, Some(node(2)), "the one that may be well again first");
    assert!(reader.shuns(node(2), now + Duration::from_secs(2)), "so it is not asked at once");
    assert!(!reader.shuns(node(2), now + REST));
    assert_eq!(go(&mut reader, &topology, now + REST), Some(node(2)));
}

/// A reader that waited for one node for half a minute would wait for the next one next.
#[test]
fn who_waited_too_long_reads_from_the_primary() {
    let now = Instant::now();
    let topology = cluster(Some(3), &[1, 2, 3, 4]);
    let mut waits = Reader::of(Role::Reader { ticket: 0, sync_wait: true }).expect("a reader");
    let first = go(&mut waits, &topology, now).expect("there are nodes");
    assert!(waits.waits_at(first, &topology));
    waits.shun_others(&topology, now);
    assert_eq!(go(&mut waits, &topology, now), Some(node(3)));
    assert!(!waits.waits_at(node(3), &topology), "there a timeout is the server's own word");
    assert!(!reader(0).waits_at(first, &topology));
}
