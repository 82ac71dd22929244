//! The file that the node asked the client for (LOAD DATA LOCAL INFILE).

use ido_proxy_protocol::Violation;

use crate::session::state::digest::PacketWalk;

/// Follows the packets of the file.
#[derive(Debug)]
pub(super) struct ClientFile {
    walk: PacketWalk,
    /// Number of the client's next packet.
    next: u8,
    /// Number that the node expects, less `next`: for the client, results of other requests came before.
    offset: u8,
}

impl ClientFile {
    /// The node asked by its packet `number`; the client was told `further` added to it.
    pub(super) fn new(number: u8, further: u8) -> Self {
        let next = number.wrapping_add(further).wrapping_add(1);
        Self { walk: PacketWalk::default(), next, offset: further.wrapping_neg() }
    }

    /// Gives the packets in the next `bytes` the numbers that the node expects.
    ///
    /// # Errors
    /// A packet does not have the number that follows.
    pub(super) fn renumber(&mut self, bytes: &mut [u8]) -> Result<(), Violation> {
        let Self { walk, next, offset } = self;
        let mut wrong = Ok(());
        walk.each_number(bytes, |sequence| {
            if wrong.is_ok() && *sequence != *next {
                wrong = Err(Violation::OutOfOrder { expected: *next, got: *sequence });
            }
            *next = next.wrapping_add(1);
            *sequence = sequence.wrapping_add(*offset);
        });
        wrong
    }
}
