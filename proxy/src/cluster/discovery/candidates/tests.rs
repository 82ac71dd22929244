use super::*;

fn node(last: u8) -> Candidate {
    let address = NodeAddr(SocketAddr::from(([192, 0, 2, last], 3306)));
    Candidate { address, priority: 1 }
}

/// Hears of DNS alone.
fn by_dns(fixed: &[NodeAddr], excluded: &[SocketAddr]) -> Candidates {
    Candidates::new(fixed, excluded, [Source::Dns])
}

fn addresses(candidates: &Candidates) -> Vec<NodeAddr> {
    candidates.all().iter().map(|candidate| candidate.address).collect()
}

#[test]
fn a_node_missing_from_one_answer_stays() {
    let now = Instant::now();
    let mut candidates = by_dns(&[], &[]);
    candidates.merge(Source::Dns, &[node(1), node(2)], now, |_| false);
    candidates.merge(Source::Dns, &[node(2)], now, |_| false);
    assert_eq!(candidates.all(), [node(1), node(2)]);
}

#[test]
fn an_empty_answer_changes_nothing_however_long_it_lasts() {
    let now = Instant::now();
    let mut candidates = by_dns(&[], &[]);
    candidates.merge(Source::Dns, &[node(1)], now, |_| false);
    candidates.merge(Source::Dns, &[], now + FORGET_AFTER * 2, |_| false);
    candidates.merge(Source::Dns, &[], now + FORGET_AFTER * 4, |_| false);
    assert_eq!(candidates.all(), [node(1)]);
}

#[test]
fn a_node_is_forgotten_only_when_long_gone() {
    let now = Instant::now();
    let mut candidates = by_dns(&[], &[]);
    candidates.merge(Source::Dns, &[node(1), node(2)], now, |_| true);
    candidates.merge(Source::Dns, &[node(2)], now, |_| false);
    candidates
        .merge(Source::Dns, &[node(2)], now + FORGET_AFTER - Duration::from_secs(1), |_| false);
    assert_eq!(candidates.all(), [node(1), node(2)], "not gone for long enough");
    candidates.merge(Source::Dns, &[node(2)], now + FORGET_AFTER, |_| false);
    assert_eq!(candidates.all(), [node(2)]);
}

#[test]
fn a_node_that_lives_on_without_dns_survives_its_next_restart_too() {
    let now = Instant::now();
    let mut candidates = by_dns(&[], &[]);
    candidates.merge(Source::Dns, &[node(1), node(2)], now, |_| true);
    candidates.merge(Source::Dns, &[node(2)], now, |_| true);
    candidates.merge(Source::Dns, &[node(2)], now + FORGET_AFTER * 3, |_| true);
    candidates.merge(Source::Dns, &[node(2)], now + FORGET_AFTER * 3, |_| false);
    assert_eq!(candidates.all(), [node(1), node(2)], "it was there a moment ago");
    candidates.merge(Source::Dns, &[node(2)], now + FORGET_AFTER * 4, |_| false);
    assert_eq!(candidates.all(), [node(2)]);
}

#[test]
fn a_node_that_flaps_in_dns_is_never_forgotten() {
    let mut now = Instant::now();
    let mut candidates = by_dns(&[], &[]);
    for _ in 0..20 {
        candidates.merge(Source::Dns, &[node(1), node(2)], now, |_| false);
        candidates.merge(Source::Dns, &[node(2)], now + FORGET_AFTER / 2, |_| false);
        now += FORGET_AFTER;
    }
    assert_eq!(candidates.all(), [node(1), node(2)]);
}

#[test]
fn the_fixed_list_holds_whatever_dns_says() {
    let now = Instant::now();
    let mut candidates = by_dns(&[node(9).address], &[]);
    candidates.merge(Source::Dns, &[node(1)], now, |_| false);
    candidates.merge(Source::Dns, &[node(1)], now + FORGET_AFTER * 2, |_| false);
    assert_eq!(addresses(&candidates), [node(1).address, node(9).address]);
}

#[test]
fn the_priority_of_dns_holds_for_a_fixed_node_too() {
    let mut candidates = by_dns(&[node(1).address], &[]);
    candidates.merge(Source::Dns, &[node(1)], Instant::now(), |_| false);
    assert_eq!(candidates.all(), [node(1)]);
}

#[test]
fn the_proxy_never_becomes_its_own_node() {
    let mut candidates = by_dns(&[node(1).address], &[node(1).address.0]);
    candidates.merge(Source::Dns, &[node(1), node(2)], Instant::now(), |_| true);
    assert_eq!(candidates.all(), [node(2)]);
}

#[test]
fn addresses_that_are_no_host_are_dropped() {
    let lies =
        ["0.0.0.0:3306", "224.0.0.1:3306", "255.255.255.255:3306", "[::]:3306", "192.0.2.1:0"];
    let answer: Vec<_> = lies
        .iter()
        .map(|lie| Candidate { address: NodeAddr(lie.parse().unwrap()), priority: 0 })
        .collect();
    let mut candidates = by_dns(&[], &[]);
    candidates.merge(Source::Dns, &answer, Instant::now(), |_| true);
    assert_eq!(candidates.all(), []);
}

#[test]
fn a_mapped_address_is_the_same_node() {
    let mapped =
        Candidate { address: NodeAddr("[::ffff:192.0.2.1]:3306".parse().unwrap()), priority: 1 };
    let mut candidates = by_dns(&[], &[]);
    candidates.merge(Source::Dns, &[mapped, node(1)], Instant::now(), |_| true);
    assert_eq!(candidates.all(), [node(1)]);
}

#[test]
fn an_answer_of_thousands_does_not_make_us_probe_thousands() {
    let flood: Vec<_> = (0..5_000u16)
        .map(|n| {
            let [high, low] = n.to_be_bytes();
            let address = NodeAddr(SocketAddr::from(([10, 0, high, low], 3306)));
            Candidate { address, priority: 0 }
        })
        .collect();
    let mut candidates = by_dns(&[node(1).address], &[]);
    candidates.merge(Source::Dns, &flood, Instant::now(), |_| true);
    assert_eq!(candidates.all().len(), MAX_FOUND + 1);
}

const ALL: [Source; 3] = [Source::Consul, Source::Dns, Source::Members];

/// Otherwise a node is lost that works, but fails Consul's check or is missing at one name server.
#[test]
fn a_node_is_forgotten_only_when_gone_from_every_source() {
    for last in ALL {
        let mut now = Instant::now();
        let mut candidates = Candidates::new(&[], &[], ALL);
        let tell = |candidates: &mut Candidates, now, last_names: &[Candidate]| {
            for source in ALL.into_iter().filter(|source| *source != last) {
                candidates.merge(source, &[node(1)], now, |_| false);
            }
            candidates.merge(last, last_names, now, |_| false);
        };
        for _ in 0..5 {
            tell(&mut candidates, now, &[node(1), node(2)]);
            assert_eq!(candidates.found().len(), 2, "{last} still names it");
            now += FORGET_AFTER;
        }
        tell(&mut candidates, now, &[node(1)]);
        assert_eq!(candidates.found().len(), 2, "it is gone since now");
        tell(&mut candidates, now + FORGET_AFTER, &[node(1)]);
        assert_eq!(candidates.found(), [node(1)]);
    }
}

/// While a source is down, a node that it lost shortly before may have come back to it.
#[test]
fn a_source_that_fails_lets_nothing_be_forgotten() {
    for failing in ALL {
        let now = Instant::now();
        let mut candidates = Candidates::new(&[], &[], ALL);
        for source in ALL {
            candidates.merge(source, &[node(1), node(2)], now, |_| false);
            candidates.merge(source, &[node(1)], now, |_| false);
        }
        let others = || ALL.into_iter().filter(|source| *source != failing);
        for hours in 1..9 {
            for source in others() {
                candidates.merge(source, &[node(1)], now + FORGET_AFTER * hours, |_| false);
            }
            assert_eq!(candidates.found().len(), 2, "{failing} has not spoken since");
        }
        candidates.merge(failing, &[node(1)], now + FORGET_AFTER * 9, |_| false);
        assert_eq!(candidates.found(), [node(1)]);
    }
}

/// A start while DNS is down must not forget what DNS alone knows, however long that lasts.
#[test]
fn nothing_is_forgotten_before_every_source_was_heard() {
    let now = Instant::now();
    let mut candidates = Candidates::new(&[], &[], ALL);
    candidates.recall(&[node(1), node(2)]);
    for hours in 0..9 {
        let now = now + FORGET_AFTER * hours;
        candidates.merge(Source::Consul, &[node(1)], now, |_| false);
        candidates.merge(Source::Members, &[node(1)], now, |_| false);
    }
    assert_eq!(candidates.found(), [node(1), node(2)]);
    let heard = now + FORGET_AFTER * 9;
    candidates.merge(Source::Dns, &[node(1)], heard, |_| false);
    for source in ALL {
        candidates.merge(source, &[node(1)], heard + FORGET_AFTER, |_| false);
    }
    assert_eq!(candidates.found(), [node(1)]);
}

/// Two proxies that ask different sources, or the same at different times, must rank alike.
#[test]
fn the_best_priority_counts_and_membership_gives_none() {
    let with = |priority| Candidate { priority, ..node(1) };
    let now = Instant::now();
    let mut candidates = Candidates::new(&[], &[], ALL);
    candidates.merge(Source::Members, &[with(u16::MAX)], now, |_| true);
    assert_eq!(candidates.found(), [with(u16::MAX)]);
    candidates.merge(Source::Dns, &[with(10)], now, |_| true);
    candidates.merge(Source::Consul, &[with(1)], now, |_| true);
    candidates.merge(Source::Dns, &[with(10)], now, |_| true);
    assert_eq!(candidates.found(), [with(1)]);
    // DNS and Consul lose it: it stays where it was in the order.
    candidates.merge(Source::Dns, &[node(2)], now, |_| true);
    candidates.merge(Source::Consul, &[node(2)], now, |_| true);
    candidates.merge(Source::Members, &[with(u16::MAX)], now, |_| true);
    assert_eq!(candidates.found(), [with(1), node(2)]);
}

#[test]
fn membership_changes_nothing_of_a_fixed_node() {
    let mut candidates = Candidates::new(&[node(1).address], &[], ALL);
    let member = Candidate { priority: u16::MAX, ..node(1) };
    candidates.merge(Source::Members, &[member], Instant::now(), |_| true);
    assert_eq!(candidates.all(), [Candidate { priority: 0, ..node(1) }]);
    assert_eq!(candidates.found(), [], "nothing to remember: the configuration does");
}

/// A name server that lies must not keep the true nodes out.
#[test]
fn one_source_cannot_crowd_out_the_others() {
    let flood: Vec<_> = (0..1_000u16)
        .map(|n| {
            let [high, low] = n.to_be_bytes();
            let address = NodeAddr(SocketAddr::from(([10, 0, high, low], 3306)));
            Candidate { address, priority: 0 }
        })
        .collect();
    let now = Instant::now();
    let mut candidates = Candidates::new(&[], &[], ALL);
    candidates.merge(Source::Dns, &flood, now, |_| false);
    candidates.merge(Source::Consul, &[node(1)], now, |_| false);
    candidates.merge(Source::Members, &[node(2)], now, |_| false);
    assert_eq!(candidates.all().len(), MAX_FOUND + 2);
}
