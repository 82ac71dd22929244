//! Logs in to every usable node once, to learn how it greets: what its clients may be promised.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use ido_proxy_protocol::capabilities::Capabilities;
use ido_proxy_protocol::greeting::Greeting;
use tokio::sync::watch;
use tokio::time::sleep;

use crate::cluster::{NodeAddr, Topology};
use crate::session::link::Link;
use crate::session::link::dial::{Dial, Profile};
use crate::session::shared::greeting::ClientGreeting;

/// Keeps `client_greeting` at the lowest common of the nodes, until the sender of `topology` is gone. A node
/// is asked again when it reports another version. `profile` is the monitor's account.
pub(crate) async fn survey(
    mut topology: watch::Receiver<Arc<Topology>>,
    client_greeting: watch::Sender<Arc<ClientGreeting>>,
    profile: Profile,
    dial: Dial,
) {
    let mut known: BTreeMap<NodeAddr, (Option<String>, Greeting)> = BTreeMap::new();
    loop {
        let now = Arc::clone(&topology.borrow_and_update());
        let members: BTreeSet<NodeAddr> = now.nodes.iter().map(|node| node.address).collect();
        known.retain(|node, _| members.contains(node));
        let mut missed = false;
        for node in now.nodes.iter().filter(|node| node.usable) {
            if known.get(&node.address).is_some_and(|(version, _)| *version == node.version) {
                continue;
            }
            match Link::open(node.address, &profile, &dial, None).await {
                Ok(link) => {
                    known.insert(node.address, (node.version.clone(), link.greeting.clone()));
                    link.quit().await;
                }
                Err(error) => {
                    tracing::debug!(%error, "could not learn how a node greets");
                    missed = true;
                }
            }
        }
        let greetings: Vec<_> = known.values().map(|(_, greeting)| greeting).collect();
        let common = ClientGreeting::lowest_common(&greetings);
        client_greeting.send_if_modified(|current| {
            let changed = !known.is_empty() && **current != common;
            if changed {
                tracing::debug!(client_greeting = ?common, "clients are greeted as this");
                *current = Arc::new(common);
            }
            changed
        });
        tokio::select! {
            changed = topology.changed() => if changed.is_err() { return },
            () = sleep(RETRY), if missed => {}
        }
    }
}

/// The capabilities to ask a node with: what is negotiated does not change how it greets.
pub(crate) const SURVEY_CAPABILITIES: Capabilities = Capabilities::PROTOCOL_41
    .union(Capabilities::SECURE_CONNECTION)
    .union(Capabilities::PLUGIN_AUTH);

/// When to ask a node again that did not answer.
const RETRY: Duration = Duration::from_secs(1);
