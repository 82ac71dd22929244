//! A connection to a node that has greeted, and waits for a login.

use std::sync::Arc;

use ido_proxy_protocol::greeting::Greeting;
use tokio::sync::OwnedSemaphorePermit;

use crate::cluster::NodeAddr;
use crate::session::link::dial::{Dial, LOGIN_PACKET_LIMIT, LinkError};
use crate::session::transport::packet_io::{Packet, read_packet};
use crate::session::transport::stream::Stream;
use crate::session::transport::wire::Wire;

/// A connection to a node, before its login.
#[derive(Debug)]
pub(crate) struct Greeted {
    /// The node.
    pub(in crate::session) node: NodeAddr,
    pub(in crate::session) wire: Wire,
    /// The packet of the greeting.
    pub(in crate::session) packet: Packet,
    /// The thread id that the node has given.
    pub(in crate::session) thread: u32,
    _permit: OwnedSemaphorePermit,
}

impl Greeted {
    /// Connects and reads the greeting. `permit` is held for as long as the connection waits.
    ///
    /// # Errors
    /// [`LinkError`].
    pub(super) async fn open(
        node: NodeAddr,
        dial: &Dial,
        permit: OwnedSemaphorePermit,
    ) -> Result<Self, LinkError> {
        let lost = |source| LinkError::Io { node, source };
        let stream = Stream::connect(node.0).await.map_err(lost)?;
        let mut wire = Wire::new(stream, Arc::clone(&dial.buffers));
        let read = read_packet(&mut wire, LOGIN_PACKET_LIMIT).await;
        let packet = read.map_err(|error| LinkError::from_read(node, error))?;
        let greeting = Greeting::decode(&packet.payload);
        let greeting = greeting.map_err(|violation| LinkError::Violation { node, violation })?;
        Ok(Self { node, wire, packet, thread: greeting.connection_id, _permit: permit })
    }
}
