//! The end of a session: what its client is told, and how both sides are closed.

use std::time::Duration;

use ido_proxy_protocol::err::ErrPacket;
use ido_proxy_protocol::error_code::ERROR_DURING_COMMIT;
use ido_proxy_protocol::packet::HEADER_LEN;
use tokio::time::timeout;

use super::Session;
use crate::session::driver::end::End;
use crate::session::engine::Stuck;
use crate::session::shared::registry::SessionPhase;
use crate::session::transport::packet_io::queue_packet;

impl Session {
    /// Tells the client why, if it is waiting to hear something, and closes both sides.
    pub(in crate::session) async fn say_goodbye(&mut self, end: &End) {
        self.count();
        self.entry.set_state(SessionPhase::Closing);
        if let Some(link) = self.link.take()
            && self.machine.is_idle()
            && link.wire.output.is_empty()
        {
            link.quit().await;
        }
        let waiting = self.waiting.map(|id| id.wrapping_add(1));
        // A command that nobody has looked at yet waits for its answer too.
        let unread = self.client.input.get(HEADER_LEN - 1).filter(|_| self.machine.is_idle());
        let unread = unread.map(|id| id.wrapping_add(1));
        let in_doubt = self.machine.is_busy() && self.machine.session.fence.is_in_doubt();
        let (settled, sequence) = self.machine.last_words();
        let sequence = sequence.or(waiting).or(unread);
        // A possible commit is reported first. Otherwise a client that takes it for rolled back does it again.
        let doubt = |error: ErrPacket| match end {
            End::Stuck { stuck: Stuck::Doubt(_), .. } => error,
            _ if in_doubt => ErrPacket::new(
                ERROR_DURING_COMMIT,
                *b"HY000",
                format!(
                    "ido-proxy: {end}; it is not known whether the transaction was committed: look before \
                 you do it again"
                ),
            ),
            _ => error,
        };
        if let (Some(error), Some(sequence)) = (end.error().map(doubt), sequence) {
            self.client.push(&settled);
            queue_packet(&mut self.client, &error.encode(), sequence);
        } else {
            self.client.push(&settled);
        }
        if !self.client.output.is_empty() {
            drop(timeout(GOODBYE, self.client.flush()).await);
        }
    }
}

/// How long a closing side may take to accept our last words.
const GOODBYE: Duration = Duration::from_secs(1);
