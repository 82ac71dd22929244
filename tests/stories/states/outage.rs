//! Nobody is there to write to.

use std::time::Duration;

use lab::proxy::Proxy;
use lab::wait::{Look, wait_until};
use mysql_async::Conn;
use mysql_async::prelude::Queryable;

use super::pair::{Pair, RECOVERY, Story};

/// A power cut at night. In the morning Icinga's clients, old ones and one that came meanwhile, go on: all that they
/// were told is there.
#[tokio::test]
async fn clients_wait_while_every_node_is_down_and_cost_nothing() -> Story {
    let pair = Pair::set().await?;
    for node in pair.lab.galera.nodes() {
        node.kill().await?;
    }
    for proxy in &pair.lab.proxies {
        names_nobody(proxy).await?;
    }
    let account = pair.lab.proxies[1].tcp_account();
    // The newcomer may log in. Its query waits.
    let newcomer = tokio::spawn(async move {
        let mut conn = Conn::new(account).await?;
        conn.query_first::<u64, _>("SELECT 1").await
    });

    let spent = || pair.lab.proxies.iter().map(|proxy| proxy.part().cpu()).sum::<lab::Result<_>>();
    let before: Duration = spent()?;
    // The time in which nothing may happen.
    tokio::time::sleep(DARK).await;
    let after: Duration = spent()?;
    pair.must(!newcomer.is_finished(), "a new client waits, too")?;
    let share = (after - before).as_secs_f64() / DARK.as_secs_f64();
    pair.must(share < 0.5, format!("two proxies that wait use {share:.2} of a core"))?;

    pair.lab.galera.bootstrap().await?;
    let served = newcomer.await.expect("no panic");
    pair.must(matches!(served, Ok(Some(1))), format!("it is served then: {served:?}"))?;
    pair.go_on().await?;
    pair.end().await
}

async fn names_nobody(proxy: &Proxy) -> lab::Result<()> {
    let what = format!("{} without a primary", proxy.part().name());
    wait_until(&what, RECOVERY, Some(&proxy.part().log()), async || match proxy.primary().await {
        Ok(None) => Look::Done(()),
        seen => proxy.part().look(format!("{seen:?}")),
    })
    .await
}

/// Long enough for whoever would try over and over.
const DARK: Duration = Duration::from_secs(20);
