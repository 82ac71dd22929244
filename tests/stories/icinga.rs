//! Icinga is told `host = "localhost"` and nothing more, and writes to one node of a Galera cluster
//! that the proxy found by asking Consul.

use std::time::Duration;

use lab::Lab;
use lab::findings::{self, Resolver};
use tokio::time::{Instant, MissedTickBehavior, interval};

/// Without this an operator who follows the README has an Icinga that does not write, writes with
/// errors, loses history, or scatters its writes over the nodes.
#[tokio::test]
async fn icinga_writes_its_whole_history_to_one_node_and_knows_of_no_cluster() -> lab::Result<()> {
    let resolver = Resolver::now();
    let lab = Lab::builder()
        .proxy()
        .default_socket()
        .icinga(200, 1_000, Duration::from_secs(10))
        .start()
        .await?;
    let primary = lab.proxy().primary().await?.expect("Icinga has connected through it");

    let end = Instant::now() + WATCHED;
    let mut ticks = interval(Duration::from_secs(1));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    while Instant::now() < end {
        ticks.tick().await;
        let status = lab.proxy().status().await?;
        assert_eq!(status["primary"], primary.to_string(), "nothing gave reason to move");
        let sessions = status["sessions"].as_array().expect("a list");
        assert!(
            sessions.iter().any(|session| session["user"] == "icinga"),
            "Icinga's one session lasts: {sessions:?}"
        );
    }

    lab.icinga().end().await?;
    for finding in findings::all(&lab, &resolver).await? {
        assert!(finding.holds, "{}", finding.text);
    }
    lab.end().await
}

/// Time that the promise is made for.
const WATCHED: Duration = Duration::from_secs(60);
