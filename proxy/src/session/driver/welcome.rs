//! The answer to a login, at first and again when the client becomes another user.

use ido_proxy_protocol::capabilities::Capabilities;
use ido_proxy_protocol::ok;

use crate::session::driver::Session;
use crate::session::driver::end::End;
use crate::session::plan::route::pong;
use crate::session::shared::directives::Phase;
use crate::session::shared::registry::SessionPhase;
use crate::session::transport::packet_io::queue_packet;

impl Session {
    /// Answers the login: with the node's own OK where there is a link, with one of ours where a
    /// link must be waited for. So a node's refusal (no such database, say) is the answer to the
    /// login, as it is without a proxy.
    ///
    /// # Errors
    /// The node refuses the client.
    pub(in crate::session) async fn welcome(&mut self) -> Result<(), End> {
        let directives = self.directives.latest().clone();
        let destination = self.destination(&directives.topology);
        if let (Some(node), Phase::Serving) = (destination, directives.phase)
            && let Err(error) = self.open_link(node).await
        {
            if !error.may_retry(false) {
                return Err(End::LinkRefused(error));
            }
            self.report(node, &error);
            self.asks_another(node, &error);
        }
        if let Some(unused) = self.greeted.take() {
            self.context.leave(unused);
        }
        let payload = match &self.link {
            Some(link) if self.profile.capabilities.contains(Capabilities::SESSION_TRACK) => {
                link.welcome.clone()
            }
            Some(link) => {
                let node = link.node;
                ok::without_session_state(
                    &link.welcome,
                    link.capabilities,
                    self.profile.capabilities,
                )
                .map_err(|violation| End::NodeViolation { node, violation })?
            }
            None => pong(),
        };
        let sequence = self.waiting.take().unwrap_or_default().wrapping_add(1);
        queue_packet(&mut self.client, &payload, sequence);
        self.entry.set_state(SessionPhase::Idle);
        Ok(())
    }
}
