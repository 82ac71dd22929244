//! The phases that are strictly question and answer: login on both sides, and our own statements
//! on a link. Small packets, read whole.

use std::io;

use ido_proxy_protocol::packet;
use ido_proxy_protocol::{Violation, packet::HEADER_LEN};
use thiserror::Error;

use crate::session::transport::wire::Wire;

/// One packet read whole.
#[derive(Debug)]
pub(crate) struct Packet {
    /// Sequence id of the packet.
    pub(crate) sequence: u8,
    /// Payload of the packet.
    pub(crate) payload: Vec<u8>,
}

/// Why a packet could not be read.
#[derive(Debug, Error)]
pub(crate) enum ReadError {
    /// The peer closed, at a packet's border or in the middle of one.
    #[error("the connection was closed")]
    Closed,
    /// The socket failed.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// The peer does not keep to the protocol.
    #[error(transparent)]
    Violation(#[from] Violation),
}

/// Reads one packet of at most `limit` bytes of payload. Bytes behind it stay in the wire's input.
pub(crate) async fn read_packet(wire: &mut Wire, limit: usize) -> Result<Packet, ReadError> {
    loop {
        if let Some((header, payload)) = packet::whole(&wire.input, limit)? {
            let packet = Packet { sequence: header.sequence, payload: payload.to_vec() };
            wire.consume(HEADER_LEN + packet.payload.len());
            return Ok(packet);
        }
        if wire.fill().await? == 0 {
            return Err(ReadError::Closed);
        }
    }
}

/// Frames `payload` as one packet, queues it and waits until the kernel has it.
pub(crate) async fn send_packet(wire: &mut Wire, payload: &[u8], sequence: u8) -> io::Result<()> {
    queue_packet(wire, payload, sequence);
    wire.flush().await
}

/// Frames `payload` as one packet and queues it.
pub(crate) fn queue_packet(wire: &mut Wire, payload: &[u8], sequence: u8) {
    let mut framed = Vec::with_capacity(HEADER_LEN + payload.len());
    packet::frame(payload, sequence, &mut framed);
    wire.push(&framed);
}
