//! COM_CHANGE_USER: the client becomes another user, with a fresh session on a fresh link.
//!
//! It is not relayed, since the client proves its password against our scramble, which is not the
//! node's. A new login leaves the same session as a change of user would.

use std::mem;

use ido_proxy_protocol::login::LoginRequest;
use tokio::time::timeout;

use crate::session::driver::Session;
use crate::session::driver::end::End;
use crate::session::front::login::{self, LOGIN_PACKET_LIMIT, LoggedIn, LoginError};
use crate::session::front::serve::new_machine;
use crate::session::link::dial::LinkError;
use crate::session::shared::registry::SessionPhase;
use crate::session::transport::packet_io::{queue_packet, read_packet};

impl Session {
    /// Reads the command, checks the password and opens a link as the new user. A client that is
    /// refused, by us or by the node, is told so and stays who it was, with a session that has
    /// forgotten everything but its default database: so MariaDB has it.
    ///
    /// # Errors
    /// The client is gone, or breaks the protocol.
    pub(in crate::session) async fn change_user(&mut self) -> Result<(), End> {
        let limit = self.context.limits.login;
        let logged_in = match timeout(limit, self.log_in_again()).await {
            Ok(result) => result?,
            Err(_elapsed) => return Err(End::ClientGone),
        };
        if let Some(link) = self.link.take() {
            link.quit().await;
        }
        // A link that lies ready is logged in as the former user.
        self.standby_slot = None;
        self.entry.set_node(None);
        // The open transaction is rolled back with the link, wherever that was.
        (self.reservation, self.pending_end, self.loss) = (None, None, None);
        self.waiting = None;
        self.entry.set_state(SessionPhase::Idle);
        let Some(LoggedIn { profile, sequence }) = logged_in else {
            self.renew_machine();
            return Ok(());
        };

        let before = mem::replace(&mut self.profile, profile);
        self.renew_machine();
        self.show_profile();
        self.waiting = Some(sequence.wrapping_sub(1));
        match self.welcome().await {
            Err(End::LinkRefused(LinkError::Refused { error, .. })) => {
                tracing::warn!(session = %self.entry.id(), "refused to become another user: {error}");
                queue_packet(&mut self.client, &error.encode(), sequence);
                self.waiting = None;
                self.profile = before;
                self.renew_machine();
                self.show_profile();
                Ok(())
            }
            welcomed => welcomed,
        }
    }

    /// Everything that a session has is gone, but what the client has chosen by COM_SET_OPTION.
    fn renew_machine(&mut self) {
        let multi = self.machine.session.settings.multi();
        self.machine = new_machine(&self.context, &self.profile, self.reader.is_some());
        self.machine.session.settings.set_multi(multi);
    }

    /// The new user, or `None` where it was refused and told so.
    async fn log_in_again(&mut self) -> Result<Option<LoggedIn>, End> {
        let packet = read_packet(&mut self.client, LOGIN_PACKET_LIMIT).await?;
        let request = LoginRequest::from_change_user(
            &packet.payload,
            self.profile.capabilities,
            self.profile.max_packet,
            self.profile.collation,
        )
        .map_err(End::ClientViolation)?;
        // MariaDB's client library proves the password with the scramble of the first login, whatever
        // it is asked with now (`native_password_auth_client` of Connector/C); servers repeat it.
        let greeting =
            self.context.client_greeting.borrow().greeting(self.entry.greeted(), self.scramble);
        let accounts = &self.context.accounts;
        let again = login::accept_again(
            &mut self.client,
            greeting,
            &self.host,
            accounts,
            request,
            packet.sequence,
        );
        match again.await {
            Ok(logged_in) => Ok(Some(logged_in)),
            Err(LoginError::Refused(error)) => {
                tracing::warn!(session = %self.entry.id(), "refused to become another user: {error}");
                Ok(None)
            }
            Err(LoginError::Io(error)) => Err(End::ClientFailed(error)),
            Err(LoginError::Violation(violation)) => {
                // The client has been told.
                self.waiting = None;
                Err(End::ClientViolation(violation))
            }
            Err(LoginError::Closed | LoginError::Silent) => Err(End::ClientGone),
        }
    }

    fn show_profile(&self) {
        self.entry.set_user(&self.profile.user);
        self.entry.set_database(self.profile.database.as_deref());
    }
}
