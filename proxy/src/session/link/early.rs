//! Connections to nodes that are made before a client is greeted.
//!
//! A client is greeted with the thread id of the link that it will have, as it would be without a proxy: so the link's
//! connection is made before the client is greeted. A client that goes again without a login leaves it behind. Closed
//! then, the connection would count against this host (`max_connect_errors`), and in the end the node would refuse all:
//! so somebody logs in on it, and out.

use std::sync::Arc;
use std::time::Duration;

use ido_proxy_protocol::capabilities::Capabilities;
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout};

use crate::cluster::Topology;
use crate::session::link::Link;
use crate::session::link::dial::{Dial, Profile};
use crate::session::link::greeted::Greeted;
use crate::session::link::replica::Reader;
use crate::session::shared::accounts::Accounts;
use crate::session::shared::role::Role;

/// Connects to the node of a client that has just come. `None` where there is none, or where that takes long: such a
/// client is greeted with a number of ours.
pub(crate) async fn connect(
    role: Role,
    topology: &Topology,
    places: &Arc<Semaphore>,
    dial: &Dial,
) -> Option<Greeted> {
    let node = match Reader::of(role) {
        Some(reader) => reader.destination(topology, Instant::now())?,
        None => topology.primary?,
    };
    let permit = Arc::clone(places).try_acquire_owned().ok()?;
    let opened = timeout(LONGEST, Greeted::open(node, dial, permit)).await;
    opened.ok()?.inspect_err(|error| tracing::debug!(%error, "no thread id for a client")).ok()
}

/// Ends `greeted` in good order: whoever it was made for did not come to log in.
pub(crate) fn leave(greeted: Greeted, accounts: &Accounts, dial: Dial) {
    let Some((user, password)) = accounts.any() else { return };
    let profile = Profile {
        user: user.to_vec(),
        password: password.clone(),
        database: None,
        collation: UTF8MB4,
        capabilities: Capabilities::PROTOCOL_41,
        max_packet: MOST_PACKET,
        attributes: Vec::new(),
    };
    tokio::spawn(async move {
        match Link::open(greeted.node, &profile, &dial, Some(greeted)).await {
            Ok(link) => link.quit().await,
            Err(error) => tracing::debug!(%error, "a connection that nobody used has failed"),
        }
    });
}

/// Room for the connections of clients that have not logged in yet: many of those must not take the node's places
/// from others.
pub(crate) fn places() -> Arc<Semaphore> {
    Arc::new(Semaphore::new(PLACES))
}

const PLACES: usize = 32;

/// How long a client may be kept waiting for its greeting.
const LONGEST: Duration = Duration::from_millis(300);

/// `utf8mb4_general_ci`.
const UTF8MB4: u8 = 45;

/// In bytes; nothing comes near it.
const MOST_PACKET: u32 = 1 << 24;

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use ido_proxy_protocol::capabilities::Capabilities;
    use ido_proxy_protocol::greeting::Greeting;

    use crate::session::testing::{Stage, nowhere};

    async fn stage() -> Stage {
        let mut stage = Stage::new(Duration::from_secs(20)).await;
        stage.greets_first(1);
        stage
    }

    /// Otherwise a KILL QUERY with the id that a driver was greeted with would hit nobody.
    #[tokio::test]
    async fn a_client_is_greeted_with_the_thread_of_its_link() {
        let stage = stage().await;
        let (mut client, _session) = stage.connect();
        let mut node = stage.accept().await;
        node.greet().await;
        let greeting = client.read().await;
        let greeting = Greeting::decode(&greeting.payload).expect("a greeting");
        assert_eq!(greeting.connection_id, 7, "as the node has greeted");
        // Another client finds no place, and is greeted all the same.
        let (mut other, _other) = stage.connect();
        let greeting = other.read().await;
        let greeting = Greeting::decode(&greeting.payload).expect("a greeting");
        assert!(greeting.connection_id > i32::MAX as u32, "a number that no node gives");
    }

    /// Otherwise a port check each second would have the node refuse this host after a while.
    #[tokio::test]
    async fn a_connection_whose_client_goes_again_is_logged_in_and_out() {
        let stage = stage().await;
        let (mut client, session) = stage.connect();
        let mut node = stage.accept().await;
        node.greet().await;
        client.read().await;
        drop(client);
        session.await.expect("it ends");
        let login = node.read().await;
        node.welcome(login.sequence + 1).await;
        assert_eq!(node.read().await.payload, b"\x01", "COM_QUIT");
        node.closed().await;
    }

    /// A frozen primary must not keep clients from being greeted, and from waiting for the next one.
    #[tokio::test]
    async fn a_client_is_greeted_though_no_node_greets() {
        let stage = stage().await;
        let (mut client, _session) = stage.connect();
        let _silent = stage.accept().await;
        let greeting = client.read().await;
        assert!(Greeting::decode(&greeting.payload).is_ok());
        stage.set_primary(Some(nowhere()));
        let (mut client, _session) = stage.connect();
        assert!(Greeting::decode(&client.read().await.payload).is_ok());
    }

    /// The login goes through the connection that is there.
    #[tokio::test]
    async fn a_login_takes_no_second_connection() {
        let stage = stage().await;
        let (mut client, _session) = stage.connect();
        let wanted = Capabilities::PROTOCOL_41;
        let node = async {
            let mut node = stage.accept().await;
            node.greet().await;
            let login = node.read().await;
            node.welcome(login.sequence + 1).await;
            node
        };
        let (welcome, mut node) = tokio::join!(client.log_in(wanted), node);
        assert_eq!(welcome.first(), Some(&0), "an OK");
        client.send(b"\x03SELECT 1", 0).await;
        assert_eq!(node.read().await.payload, b"\x03SELECT 1");
    }
}
