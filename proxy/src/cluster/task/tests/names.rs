//! Faults of name servers, which traffic must not notice.

use super::*;

fn usable(topology: &Topology) -> usize {
    topology.nodes.iter().filter(|node| node.usable).count()
}

/// Consul leaves out a node whose check fails, for whatever reason: it may be the one that works.
#[tokio::test]
async fn a_healthy_primary_that_dns_does_not_name_stays_the_primary() {
    let nodes = apart::<3>().await;
    let all = addresses(&nodes);
    let dns = FakeDns::start(naming(&all)).await;
    let mut run = Run::start(by_dns(&dns));
    run.until(|topology| usable(topology) == 3).await;
    dns.play(naming(&all[1..]));
    asked(&dns, 20).await;
    assert_eq!((run.now().primary, run.now().epoch), (Some(all[0]), 1));
    assert_eq!(usable(&run.now()), 3);
    run.end().await;
}

/// A Consul check that flaps, or two servers that disagree, must not make writes wander.
#[tokio::test]
async fn names_that_flap_with_every_answer_move_nothing() {
    let nodes = apart::<2>().await;
    let all = addresses(&nodes);
    let dns = FakeDns::start(naming(&all)).await;
    let mut run = Run::start(by_dns(&dns));
    run.until(|topology| usable(topology) == 2).await;
    let before = run.now();
    let (mut one, mut other) = (naming(&all[..1]), naming(&all[1..]));
    let mut turn = 0;
    dns.play(move |question: &Question| {
        turn += 1;
        if turn % 2 == 0 { one(question) } else { other(question) }
    });
    asked(&dns, 30).await;
    assert_eq!(run.now(), before);
    run.end().await;
}

/// Writes that go to another cluster are lost for this one.
#[tokio::test]
async fn a_host_of_another_cluster_in_the_answer_is_refused_with_a_reason() {
    let mut nodes = apart::<3>().await;
    let all = addresses(&nodes);
    let uuid = "00000000-1111-2222-3333-444444444444";
    let foreign = [("wsrep_cluster_state_uuid", uuid)];
    // By its name it would be the first choice.
    nodes[0].play(Script::Answers(words(SYNCED, 0, &all[..1], &foreign)));
    let dns = FakeDns::start(naming(&all)).await;
    let mut run = Run::start(by_dns(&dns));
    run.until_primary(&nodes[1]).await;
    run.until(|topology| usable(topology) == 2).await;
    // DNS goes on naming the foreign one alone, and ours are down.
    dns.play(naming(&all[..1]));
    asked(&dns, 3).await;
    nodes[2].kill().await;
    nodes[1].kill().await;
    run.until(|topology| topology.primary.is_none()).await;
    asked(&dns, 20).await;
    let topology = run.now();
    assert_eq!(topology.primary, None);
    let reason = node(&topology, all[0]).reason.as_deref();
    assert_eq!(reason, Some(format!("belongs to another cluster ({uuid})").as_str()));
    run.end().await;
}

/// Addresses of nobody, of ourselves, of servers that are no node: the true ones are found among them.
#[tokio::test]
async fn a_server_that_lies_adds_nothing_but_names() {
    let nodes = apart::<2>().await;
    let all = addresses(&nodes);
    let [mute, web] = self::nodes::<2>().await;
    mute.play(Script::Says(Vec::new()));
    web.play(Script::Says(b"HTTP/1.1 400 Bad Request\r\n\r\n".to_vec()));
    let honest = FakeDns::start(naming(&all)).await;
    let lies = ["0.0.0.0:3306", "255.255.255.255:3306", "224.0.0.1:3306"];
    let mut lies: Vec<_> = lies.iter().map(|lie| NodeAddr(lie.parse().unwrap())).collect();
    lies.extend([mute.address, web.address]);
    let liar = FakeDns::start(naming(&lies)).await;
    let mut settings = by_dns(&honest);
    settings.discovery.nameservers.push(liar.address);
    let mut run = Run::start(settings);
    run.until_primary(&nodes[0]).await;
    run.until(|topology| topology.nodes.len() == 4 && usable(topology) == 2).await;
    asked(&liar, 20).await;
    assert_eq!(run.now().nodes.len(), 4, "those that are no host were never nodes");
    assert_eq!(run.now().primary, Some(all[0]));
    run.end().await;
}

/// All name servers gone for good: what is known is as good as before, through a failover too.
#[tokio::test]
async fn a_failover_needs_no_name_server() {
    let mut nodes = apart::<3>().await;
    let dns = FakeDns::start(naming(&addresses(&nodes))).await;
    let mut run = Run::start(by_dns(&dns));
    run.until(|topology| usable(topology) == 3).await;
    drop(dns);
    nodes[0].kill().await;
    run.until_primary(&nodes[1]).await;
    run.end().await;
}
