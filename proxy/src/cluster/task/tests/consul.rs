//! Nodes that Consul names by its HTTP interface.

use ido_proxy_config::consul::Consul;

use super::*;
use crate::cluster::testing::fake_consul::{FakeConsul, Question as Asked, Reply as Says, health};

fn by_consul(consul: &FakeConsul) -> Settings {
    let mut settings = settings();
    settings.discovery.service = Some(SERVICE.into());
    settings.discovery.consul = Some(Consul {
        address: consul.address,
        authorities: None,
        token: None,
        service: SERVICE.parse().unwrap(),
    });
    settings
}

/// Lets Consul hear `count` more questions.
async fn heard(consul: &FakeConsul, count: usize) {
    let mut questions = consul.questions();
    let before = questions.borrow().len();
    eventually(&mut questions, |questions| questions.len() >= before + count).await;
}

fn knows(topology: &Topology, address: NodeAddr) -> bool {
    topology.nodes.iter().any(|node| node.address == address)
}

/// Without DNS: a Consul agent beside the proxy is enough.
#[tokio::test]
async fn consul_alone_names_the_nodes_and_tells_of_new_ones_unasked() {
    let nodes = apart::<3>().await;
    let all = addresses(&nodes);
    let consul = FakeConsul::start(&all[..2]).await;
    let mut run = Run::start(by_consul(&consul));
    run.until_primary(&nodes[0]).await;
    // The question that waits for news is out before there are any.
    eventually(&mut consul.questions(), |questions| {
        questions.last().is_some_and(|question| question.index == Some(1))
    })
    .await;
    let before = consul.questions().borrow().len();
    consul.write(&all);
    run.until(|topology| knows(topology, all[2])).await;
    assert!(consul.questions().borrow().len() <= before + 1, "the answer was enough");
    run.until(|topology| topology.nodes.iter().all(|node| node.usable)).await;
    assert_eq!(run.now().primary, Some(all[0]));
    // Deregistered, all of them: names have no say over nodes that work.
    consul.write(&[]);
    heard(&consul, 1).await;
    assert_eq!(run.now().nodes.len(), 3);
    assert_eq!(run.now().primary, Some(all[0]));
    run.end().await;
}

/// A Consul that is wrong, silent or gone must cost no client anything.
#[tokio::test]
async fn no_trouble_with_consul_reaches_the_traffic() {
    let nodes = apart::<3>().await;
    let all = addresses(&nodes);
    let consul = FakeConsul::start(&all).await;
    let mut settings = by_consul(&consul);
    settings.discovery.timeout = Duration::from_millis(300);
    let mut run = Run::start(settings);
    run.until(|topology| topology.nodes.iter().filter(|node| node.usable).count() == 3).await;
    let before = run.now();

    let says = |index, body: &str| Says::Says { index, body: body.to_owned() };
    let fewer = health(&all[2..]);
    let troubles = [
        says(None, &fewer),
        says(Some(0), &fewer),
        says(Some(1), "[]"),
        says(Some(1), &fewer),
        says(Some(1), "not JSON"),
        Says::Status(403, "Permission denied"),
        Says::Status(404, ""),
        Says::Status(500, "No cluster leader"),
        Says::Status(301, ""),
        Says::Bytes(b"\0\0\0".to_vec()),
        Says::Bytes(Vec::new()),
        Says::Endless,
    ];
    for trouble in troubles {
        // News brings the question that waits to its end.
        consul.play(move |_: &Asked| trouble.clone());
        consul.write(&all);
        heard(&consul, 2).await;
        assert_eq!(run.now(), before);
        consul.play(|_: &Asked| Says::Books);
        heard(&consul, 2).await;
    }
    // Books that begin anew after a loss: each question meets an older index than the one before.
    let mut index = 1_000;
    consul.play(move |_: &Asked| {
        index -= 1;
        Says::Says { index: Some(index), body: fewer.clone() }
    });
    consul.write(&all);
    heard(&consul, 6).await;
    assert_eq!(run.now(), before);
    consul.play(|_: &Asked| Says::Silence);
    heard(&consul, 1).await;
    assert_eq!(run.now(), before);
    run.end().await;
}

/// Otherwise a node that only one source knows is missing.
#[tokio::test]
async fn dns_and_consul_add_up() {
    let nodes = apart::<2>().await;
    let all = addresses(&nodes);
    let consul = FakeConsul::start(&all[..1]).await;
    let dns = FakeDns::start(naming(&all[1..])).await;
    let mut settings = by_consul(&consul);
    settings.discovery.nameservers = vec![dns.address];
    let mut run = Run::start(settings);
    run.until(|topology| topology.nodes.iter().filter(|node| node.usable).count() == 2).await;
    run.end().await;
}

/// A proxy that starts while Consul is down must find the cluster all the same.
#[tokio::test]
async fn what_consul_named_is_remembered_over_a_restart() {
    let nodes = apart::<2>().await;
    let consul = FakeConsul::start(&addresses(&nodes)).await;
    let directory = tempfile::tempdir().unwrap();
    let mut settings = by_consul(&consul);
    settings.state_file = Some(directory.path().join("nodes.json"));
    let mut first = Run::start(settings.clone());
    first.until(|topology| topology.nodes.len() == 2).await;
    first.end().await;
    consul.play(|_: &Asked| Says::Status(500, "No cluster leader"));
    let mut second = Run::start(settings);
    second.until_primary(&nodes[0]).await;
    assert_eq!(second.now().nodes.len(), 2);
    second.end().await;
}

#[tokio::test]
async fn questions_to_consul_are_counted() {
    let recorder = DebuggingRecorder::new();
    let snapshotter = recorder.snapshotter();
    let _guard = metrics::set_default_local_recorder(&recorder);
    let consul = FakeConsul::start(&[]).await;
    consul.play(|question: &Asked| match question.index {
        None => Says::Says { index: Some(5), body: "[]".into() },
        Some(_) => Says::Status(500, "No cluster leader"),
    });
    let run = Run::start(by_consul(&consul));
    heard(&consul, 4).await;
    run.end().await;
    let counts = counts(&snapshotter);
    let count = |label: &str| counts[&("ido_proxy_consul_lookups_total".into(), label.into())];
    assert!(count("empty") >= 1 && count("failed") >= 1, "{counts:?}");
    assert_eq!((count("found"), count("timed_out")), (0, 0), "{counts:?}");
}
