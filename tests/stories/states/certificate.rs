//! Nodes that are spoken to by TLS, and whose certificates are not what they should be.

use lab::certificates::{Authority, Validity, trust};
use lab::galera::Node;
use lab::wait::{Look, wait_until};
use lab::{Lab, Result, sql};

use super::pair::{Pair, RECOVERY, Story};

/// A certificate runs out on a Sunday: its node is not used, everybody is told why, and nobody else moves.
/// The primary's own costs one move.
#[tokio::test]
async fn a_node_whose_certificate_has_expired_is_not_used() -> Story {
    let pair = by_tls().await?;
    let first = pair.moved(1).await?;
    let other = pair.others(first)[0];
    show(&pair, other, Validity::Expired).await?;
    pair.shown(other, "its certificate has expired").await?;
    pair.go_on().await?;
    pair.must(pair.moved(1).await?.index() == first.index(), "it has nothing to do with it")?;
    show(&pair, other, Validity::Good).await?;
    pair.usable(other).await?;

    show(&pair, first, Validity::Expired).await?;
    let second = pair.moved(2).await?;
    pair.must(second.index() != first.index(), "no new link can be made there")?;
    pair.shown(first, "its certificate has expired").await?;
    pair.go_on().await?;
    show(&pair, first, Validity::Good).await?;
    pair.usable(first).await?;
    pair.must(pair.moved(2).await?.index() == second.index(), "nothing moves back")?;

    // All certificates were made on the same day.
    for node in pair.lab.galera.nodes() {
        show(&pair, node, Validity::Expired).await?;
    }
    for node in pair.lab.galera.nodes() {
        pair.shown(node, "its certificate has expired").await?;
    }
    pair.go_on().await?;
    for node in pair.lab.galera.nodes() {
        show(&pair, node, Validity::Good).await?;
    }
    for node in pair.lab.galera.nodes() {
        pair.usable(node).await?;
    }
    pair.go_on().await?;
    pair.end().await
}

/// All certificates are replaced, one after the other, and nothing is restarted.
#[tokio::test]
async fn another_authority_is_known_as_soon_as_its_certificate_is_in_the_file() -> Story {
    let pair = by_tls().await?;
    let first = pair.moved(1).await?;
    let [one, _] = pair.others(first)[..] else { unreachable!("three nodes") };
    let (old, new) = (authority(&pair), Authority::new(&pair.lab.run)?);
    new.sign(one.index(), Validity::Good)?;
    one.renew_certificate().await?;
    pair.shown(one, "is not signed by anybody who is trusted").await?;
    trust(&pair.lab.run, &[old, &new])?;
    pair.usable(one).await?;
    for node in pair.lab.galera.nodes() {
        new.sign(node.index(), Validity::Good)?;
        node.renew_certificate().await?;
    }
    trust(&pair.lab.run, &[&new])?;
    logged(&pair, "other certificates are trusted from now on", 2).await?;
    // A file that is written wrongly changes nothing.
    std::fs::write(trust(&pair.lab.run, &[&new])?, "").expect("it is there");
    logged(&pair, "the certificates to trust stay what they were", 1).await?;
    // Whoever comes now needs a link of its own.
    first.kill().await?;
    pair.moved(2).await?;
    pair.go_on().await?;
    pair.end().await
}

/// Passwords and rows would go over the network for everybody to read.
#[tokio::test]
async fn nothing_is_said_to_a_node_without_tls() -> Story {
    let pair = by_tls().await?;
    let first = pair.moved(1).await?;
    let other = pair.others(first)[0];
    for proxy in &pair.lab.proxies {
        let mut client = proxy.connect().await?;
        let cipher: Vec<(String, String)> =
            sql::rows(&mut client, "SHOW SESSION STATUS LIKE 'Ssl_cipher'").await?;
        pair.must(!cipher[0].1.is_empty(), "a link without TLS")?;
    }
    other.term().await?;
    other.part().launch_with(&["--skip-ssl"])?;
    pair.shown(other, "it offers no TLS").await?;
    // By its address: nobody has told its name.
    let said = pair.lab.proxy().tool(&["switchover", &other.address().to_string()]).await;
    let said = said.expect_err("it cannot be trusted").to_string();
    pair.must(said.contains("it offers no TLS"), said)?;
    pair.go_on().await?;
    pair.end().await
}

/// A certificate is looked at on a new connection, and there is none to be had: what is known of the primary
/// stays as it is.
#[tokio::test]
async fn a_full_primary_is_not_taken_for_one_that_cannot_be_trusted() -> Story {
    let pair = by_tls().await?;
    let first = pair.moved(1).await?;
    let mut crowd = first.fill(20).await?;
    let refused = "Connection_errors_max_connections";
    let before = crowd.counter(refused).await?;
    wait_until("both proxies have looked", RECOVERY, Some(&first.log()), async || {
        match crowd.counter(refused).await {
            Ok(count) if count >= before + 2 => Look::Done(()),
            Ok(count) => first.part().look(format!("{count}, at first {before}")),
            Err(error) => first.part().look(error),
        }
    })
    .await?;
    pair.go_on().await?;
    pair.usable(first).await?;
    pair.must(pair.moved(1).await?.index() == first.index(), "it was left")?;
    crowd.leave().await?;
    pair.end().await
}

async fn by_tls() -> Result<Pair> {
    Pair::of(Lab::builder().fixed_nodes().proxies(2).tls().start().await?, &[0, 1]).await
}

/// Lets `node` show a certificate that is as good as that.
async fn show(pair: &Pair, node: &Node, validity: Validity) -> Result<()> {
    authority(pair).sign(node.index(), validity)?;
    node.renew_certificate().await
}

fn authority(pair: &Pair) -> &Authority {
    pair.lab.authority.as_ref().expect("the lab has certificates")
}

/// Waits until each proxy has said so, so often.
async fn logged(pair: &Pair, words: &str, times: usize) -> Result<()> {
    for proxy in &pair.lab.proxies {
        let log = proxy.part().log();
        wait_until(words, RECOVERY, Some(&log), async || {
            let text = std::fs::read_to_string(&log).unwrap_or_default();
            match text.matches(words).count() {
                count if count >= times => Look::Done(()),
                count => proxy.part().look(format!("{count} times")),
            }
        })
        .await?;
    }
    Ok(())
}
