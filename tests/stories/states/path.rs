//! Ways that are broken, for one proxy or for all.

use std::time::Duration;

use lab::Lab;
use lab::delay::Delay;
use lab::galera::Node;
use lab::proxy::Proxy;
use lab::wait::{Look, wait_until};
use lab::{Result, sql};

use super::pair::{Pair, RECOVERY, Story, shown, usable};

/// One master's way to the primary is broken, and nothing else: it would stand still for ever, or write
/// elsewhere than the other one.
#[tokio::test]
async fn a_way_that_is_broken_for_one_proxy_moves_both_once() -> Story {
    let pair = Pair::with_clients_of(&[1]).await?;
    let first = pair.moved(1).await?;
    let far = &pair.lab.proxies[1];
    pair.lab.faults.bar(far.group(), first.address()).await?;
    let second = pair.moved(2).await?;
    pair.must(second.index() != first.index(), "one of them cannot go there")?;
    pair.go_on().await?;
    pair.lab.heal().await?;
    usable(far, first).await?;
    pair.go_on().await?;
    pair.must(pair.moved(2).await?.index() == second.index(), "nothing moves back")?;
    pair.end().await
}

/// Each proxy is cut off from another node: the one that both reach is to be the primary, at the first
/// attempt.
#[tokio::test]
async fn proxies_that_reach_different_nodes_meet_where_both_can_go() -> Story {
    let pair = Pair::with_clients_of(&[1]).await?;
    let first = pair.moved(1).await?;
    let [other, common] = pair.others(first)[..] else { unreachable!("three nodes") };
    let [near, far] = &pair.lab.proxies[..] else { unreachable!("two proxies") };
    // The one that would be preferred.
    pair.lab.faults.bar(near.group(), other.address()).await?;
    shown(near, other, "does not answer").await?;
    told(&pair, near, far, other).await?;
    pair.lab.faults.bar(far.group(), first.address()).await?;
    let second = pair.moved(2).await?;
    pair.must(second.index() == common.index(), "one of them cannot go there")?;
    pair.go_on().await?;
    pair.end().await
}

/// A proxy is on the wrong side of a broken network, together with the old primary: what it wrote there
/// would be lost.
#[tokio::test]
async fn a_proxy_with_the_minority_holds_its_clients() -> Story {
    let pair = Pair::with_clients_of(&[0, 1]).await?;
    let first = pair.moved(1).await?;
    let far = &pair.lab.proxies[1];
    for other in pair.others(first) {
        pair.lab.faults.bar(far.group(), other.address()).await?;
    }
    pair.lab.isolate(first.index()).await?;
    let near = &pair.lab.proxies[0];
    let moved = wait_until("the majority's proxy moves", RECOVERY, None, async || {
        match near.primary().await {
            Ok(Some(node)) if node != first.address() => Look::Done(node),
            seen => near.part().look(format!("{seen:?}")),
        }
    })
    .await?;
    shown(far, first, "outside the primary component").await?;
    pair.must(far.primary().await?.is_none(), "nobody may write with the minority")?;
    pair.lab.heal().await?;
    pair.must(pair.moved(2).await?.address() == moved, "it joins the others")?;
    pair.go_on().await?;
    pair.end().await
}

/// A bad cable slows everybody down, and is no reason to move: the next node may be behind the same one.
///
/// A packet that is lost five times in a row comes after more than six seconds, which a proxy takes for silence.
/// With one of ten lost that happens once in 100,000 packets. With three of ten lost it is one of 400, and the
/// story's end is chance.
#[tokio::test]
async fn lost_packets_alone_move_nobody() -> Story {
    let pair = Pair::with_clients_of(&[0]).await?;
    let first = pair.moved(1).await?;
    pair.lab.faults.lose(10, first.address()).await?;
    tokio::time::sleep(Duration::from_secs(20)).await;
    pair.lab.heal().await?;
    pair.go_on().await?;
    pair.must(pair.moved(1).await?.index() == first.index(), "there was no reason to move")?;
    pair.end().await
}

/// A far data centre, a full line: each answer of the primary takes 300 ms. It is as good as the others, which
/// may be behind the same line.
#[tokio::test]
async fn a_slow_way_to_the_primary_moves_nobody() -> Story {
    let lab = Lab::builder().fixed_nodes().proxies(2).start().await?;
    let first = lab.galera.node(1).address();
    let groups: Vec<_> = lab.proxies.iter().map(Proxy::group).collect();
    let relay = lab.run.socket(200, first.port());
    let delay = Delay::between(&lab.faults, &groups, first, relay).await?;
    for proxy in &lab.proxies {
        // Connections that are open already would go on by the short way.
        proxy.part().term().await?;
        proxy.part().launch()?;
        proxy.ready(RECOVERY).await?;
    }
    let pair = Pair::of(lab, &[0, 1]).await?;
    pair.must(pair.moved(1).await?.address() == first, "the relay is before another node")?;
    delay.set(Duration::from_millis(150));
    pair.go_on().await?;
    tokio::time::sleep(Duration::from_secs(20)).await;
    pair.go_on().await?;
    delay.set(Duration::ZERO);
    pair.must(pair.moved(1).await?.address() == first, "there was no reason to move")?;
    let slowest = pair.longest_pause().await?;
    assert!(slowest > Duration::from_millis(300), "{slowest:?}: the client went by the short way");
    Ok(())
}

/// Waits until `near` has said that it does not reach `node`, and `far` has spoken twice since: it hears the
/// others whenever it speaks, and what was under way may have been before.
async fn told(pair: &Pair, near: &Proxy, far: &Proxy, node: &Node) -> Result<()> {
    let mut root = pair.moved(1).await?.connect().await?;
    let row = |proxy: &Proxy, column: &str| {
        format!("SELECT {column} FROM ido_proxy.proxy WHERE name LIKE '%({})'", proxy.tcp())
    };
    let (near, far) = (row(near, "reaches"), row(far, "beat"));
    let mut heard = None;
    wait_until("the other proxy is told", RECOVERY, None, async || {
        let said: Result<(String, u64)> =
            async { Ok((sql::value(&mut root, &near).await?, sql::value(&mut root, &far).await?)) }
                .await;
        match said {
            Ok((reached, beat)) if !reached.contains(&node.address().to_string()) => {
                match beat >= *heard.get_or_insert(beat) + 2 {
                    true => Look::Done(()),
                    false => Look::NotYet(format!("beat {beat}")),
                }
            }
            said => Look::NotYet(format!("{said:?}")),
        }
    })
    .await
}
