//! Commands, encoded once.

use ido_proxy_protocol::packet;

/// A COM_QUERY with these statements, as the bytes to send.
pub(crate) fn query(sql: &str) -> Vec<u8> {
    let payload = [&[COM_QUERY], sql.as_bytes()].concat();
    let mut out = Vec::with_capacity(packet::HEADER_LEN + payload.len());
    packet::frame(&payload, 0, &mut out);
    out
}

const COM_QUERY: u8 = 0x03;
