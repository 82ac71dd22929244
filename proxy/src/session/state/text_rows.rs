//! Rows of the text protocol, read out of the reply to a statement of ours.

use ido_proxy_protocol::packet::{self, HEADER_LEN};

/// The rows in the packets of a reply with so many columns, but for its last packet; a value of `None` is NULL. Ends with
/// the first row that cannot be read.
///
/// Source: MariaDB documentation, "Resultset Row".
pub(in crate::session) fn text_rows(
    mut packets: &[u8],
    columns: usize,
) -> impl Iterator<Item = Vec<Option<&[u8]>>> {
    // The number of columns, and the columns; perhaps an EOF packet.
    let mut definitions = 1 + columns;
    std::iter::from_fn(move || {
        loop {
            let (header, payload) = packet::whole(packets, MOST_PACKET).ok()??;
            packets = packets.get(HEADER_LEN + header.payload_len..)?;
            match definitions.checked_sub(1) {
                Some(left) => definitions = left,
                None if payload.first() == Some(&EOF) => {}
                None => return values(payload, columns),
            }
        }
    })
}

/// The values of a row, each shorter than 65,536 bytes.
fn values(mut row: &[u8], columns: usize) -> Option<Vec<Option<&[u8]>>> {
    let mut values = Vec::with_capacity(columns);
    while values.len() < columns {
        let (value, rest) = match *row {
            [NULL, ref rest @ ..] => (None, rest),
            [len @ ..NULL, ref rest @ ..] => {
                let (value, rest) = rest.split_at_checked(len.into())?;
                (Some(value), rest)
            }
            [TWO_BYTES, low, high, ref rest @ ..] => {
                let len = u16::from_le_bytes([low, high]);
                let (value, rest) = rest.split_at_checked(len.into())?;
                (Some(value), rest)
            }
            _ => return None,
        };
        values.push(value);
        row = rest;
    }
    Some(values)
}

const EOF: u8 = 0xFE;
/// A value that is NULL.
const NULL: u8 = 0xFB;
/// The length of the value is in the next two bytes.
const TWO_BYTES: u8 = 0xFC;

/// Bytes of the longest packet that is read.
const MOST_PACKET: usize = 1 << 20;
