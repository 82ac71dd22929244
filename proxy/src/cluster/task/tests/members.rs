//! Nodes that nobody names but Galera.

use super::*;

/// Otherwise a proxy whose configuration names one node loses the cluster with it.
#[tokio::test]
async fn one_node_is_enough_to_find_the_others_and_to_survive_its_loss() {
    let mut nodes = nodes::<3>().await;
    let mut run = Run::start(by_list(&nodes[1..2]));
    run.until_primary(&nodes[1]).await;
    run.until(|topology| topology.nodes.iter().filter(|node| node.usable).count() == 3).await;
    assert_eq!(run.now().primary, Some(nodes[1].address), "and nothing moves for it");
    nodes[1].kill().await;
    run.until_primary(&nodes[0]).await;
    run.end().await;
}

/// The list has what each node's own configuration says: it may be of no use to anybody else.
#[tokio::test]
async fn useless_addresses_in_the_list_of_members_hold_nobody_up() {
    let nodes = nodes::<2>().await;
    let [silent, foreign, alias, plain] = self::nodes::<4>().await;
    silent.play(Script::Hangs);
    let uuid = [("wsrep_cluster_state_uuid", "00000000-1111-2222-3333-444444444444")];
    foreign.play(Script::Answers(words(SYNCED, 9, &[foreign.address], &uuid)));
    plain.play(Script::Answers(rows_with(PLAIN, &[])));
    let members = [&nodes[0], &nodes[1], &silent, &foreign, &alias, &plain].map(|n| n.address);
    alias.play(Script::Answers(words(SYNCED, 1, &members, &[])));
    let list = members.map(|member| member.to_string()).join(",");
    let list =
        format!("AUTO,0.0.0.0:3306,db1:3306,,{},127.0.0.1:0,x,{list}", nodes[0].address.0.ip());
    for (index, node) in nodes.iter().enumerate() {
        let changed = [("wsrep_incoming_addresses", list.as_str())];
        node.play(Script::Answers(words(SYNCED, index + 1, &[], &changed)));
    }
    let directory = tempfile::tempdir().unwrap();
    let mut settings = by_list(&nodes[..1]);
    let state_file = directory.path().join("nodes.json");
    settings.state_file = Some(state_file.clone());
    // A probe of the silent one takes all the time there is: who waited for it would have no primary.
    let mut run = Run::start(settings);
    run.until_primary(&nodes[0]).await;
    run.until(|topology| topology.nodes.len() == 2).await;
    for asked in [&foreign, &alias, &plain] {
        eventually(&mut asked.seen(), |seen| seen.statements >= 6).await;
    }
    let known: Vec<_> = run.now().nodes.iter().map(|node| node.address).collect();
    assert_eq!(known, addresses(&nodes));
    let remembered = std::fs::read_to_string(state_file).unwrap();
    assert!(remembered.contains(&nodes[1].address.to_string()), "{remembered}");
    for other in [&silent, &foreign, &alias, &plain] {
        assert!(!remembered.contains(&other.address.to_string()), "{remembered}");
    }
    run.end().await;
}

/// The first choice waits for every node that discovery names. Otherwise a node that Galera alone names, at an
/// address that leads nowhere, would keep all clients waiting.
#[tokio::test]
async fn the_first_choice_does_not_wait_for_an_unconfirmed_member() {
    let nodes = nodes::<3>().await;
    let [silent] = self::nodes::<1>().await;
    silent.play(Script::Hangs);
    let members = [addresses(&nodes), vec![silent.address]].concat();
    let answers = |n: usize| Script::Answers(words(SYNCED, n, &members, &[]));
    nodes[0].play(answers(1));
    nodes[1].play(answers(2));
    nodes[2].play(Script::Hangs);
    let mut run = Run::start(by_list(&nodes));
    // Two of three are enough to know which cluster is ours, and not to choose.
    eventually(&mut silent.seen(), |seen| seen.connections >= 1).await;
    assert_eq!(run.now().primary, None);
    nodes[2].play(answers(3));
    let patience = time::timeout(DEADLINE / 2, run.until_primary(&nodes[0])).await;
    patience.expect("the unconfirmed member takes all the time there is");
    run.end().await;
}

/// Otherwise the members of another cluster become ours, and a write that lands there is lost.
#[tokio::test]
async fn who_is_not_of_our_cluster_or_not_in_its_primary_component_names_nobody() {
    let nodes = nodes::<4>().await;
    let [foreign, stranger, outside, lost] = self::nodes::<4>().await;
    let uuid = [("wsrep_cluster_state_uuid", "00000000-1111-2222-3333-444444444444")];
    foreign.play(Script::Answers(words(SYNCED, 8, &[stranger.address], &uuid)));
    outside.play(Script::Answers(words(NON_PRIMARY, 9, &[lost.address], &[])));
    let mut settings = by_list(&nodes);
    settings.discovery.nodes.extend([foreign.address, outside.address]);
    let mut run = Run::start(settings);
    run.until_primary(&nodes[0]).await;
    for asked in [&foreign, &outside, &nodes[0]] {
        let before = asked.seen().borrow().statements;
        eventually(&mut asked.seen(), |seen| seen.statements >= before + 6).await;
    }
    assert_eq!(run.now().nodes.len(), 6);
    assert_eq!((stranger.seen().borrow().connections, lost.seen().borrow().connections), (0, 0));
    run.end().await;
}

/// The node that the configuration names is the one that died last night.
#[tokio::test]
async fn members_are_remembered_over_a_restart() {
    let mut nodes = nodes::<2>().await;
    let directory = tempfile::tempdir().unwrap();
    let mut settings = by_list(&nodes[..1]);
    settings.state_file = Some(directory.path().join("nodes.json"));
    let mut first = Run::start(settings.clone());
    first.until(|topology| topology.nodes.len() == 2).await;
    first.end().await;
    nodes[0].kill().await;
    let mut second = Run::start(settings);
    second.until_primary(&nodes[1]).await;
    second.end().await;
}

/// A plain server has no members, whatever it says.
#[tokio::test]
async fn a_single_server_names_nobody() {
    let nodes = nodes::<2>().await;
    let mut settings = by_list(&nodes[..1]);
    settings.kind = ClusterKind::Single;
    let mut run = Run::start(settings);
    run.until_primary(&nodes[0]).await;
    eventually(&mut nodes[0].seen(), |seen| seen.statements >= 6).await;
    assert_eq!(nodes[1].seen().borrow().connections, 0);
    run.end().await;
}
