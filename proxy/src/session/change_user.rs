//! COM_CHANGE_USER: the client becomes another user, with a fresh session on a fresh link.
//!
//! It is not relayed, since the client proves its password against our scramble, which is not the
//! node's. A new login leaves the same session as a change of user would.

use ido_proxy_protocol::login::LoginRequest;
use tokio::time::timeout;

use super::driver::Session;
use super::end::End;
use super::exchange::{ReadError, read_packet};
use super::login::{self, LOGIN_PACKET_LIMIT, LoggedIn, LoginError};
use super::machine::Machine;
use super::serve::scramble;

impl Session {
    /// Reads the command, checks the password and opens a link as the new user.
    ///
    /// # Errors
    /// The client is refused, and closed as a server closes it.
    pub(super) async fn change_user(&mut self) -> Result<(), End> {
        let limit = self.context.limits.login;
        let logged_in = match timeout(limit, self.log_in_again()).await {
            Ok(result) => result?,
            Err(_elapsed) => return Err(End::ClientGone),
        };
        let LoggedIn { profile, sequence } = logged_in;
        if let Some(link) = self.link.take() {
            link.quit().await;
        }
        self.entry.set_node(None);
        self.entry.set_user(&profile.user);
        self.entry.set_database(profile.database.as_deref());
        self.machine = Machine::new(profile.capabilities);
        self.profile = profile;
        self.waiting = Some(sequence.wrapping_sub(1));
        self.welcome().await
    }

    async fn log_in_again(&mut self) -> Result<LoggedIn, End> {
        let packet = read_packet(&mut self.client, LOGIN_PACKET_LIMIT).await?;
        let request = LoginRequest::from_change_user(
            &packet.payload,
            self.profile.capabilities,
            self.profile.max_packet,
            self.profile.collation,
        )
        .map_err(End::ClientViolation)?;
        let greeting = self.context.facade.borrow().greeting(self.entry.id(), scramble());
        let accounts = &self.context.accounts;
        let again = login::accept_again(
            &mut self.client,
            greeting,
            &self.host,
            accounts,
            request,
            packet.sequence,
        );
        again.await.map_err(|error| {
            // The client has been told.
            self.waiting = None;
            match error {
                LoginError::Io(error) => End::ClientFailed(error),
                LoginError::Violation(violation) => End::ClientViolation(violation),
                LoginError::Closed | LoginError::Silent => End::ClientGone,
                LoginError::Refused(error) => End::UserRefused(error),
            }
        })
    }
}

impl From<ReadError> for End {
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::Closed => Self::ClientGone,
            ReadError::Io(error) => Self::ClientFailed(error),
            ReadError::Violation(violation) => Self::ClientViolation(violation),
        }
    }
}
