//! A client logs in here: the password is checked against the configuration, not at a node, so that
//! a client gets in whatever the cluster does.

use std::io;

use ido_proxy_protocol::Violation;
use ido_proxy_protocol::auth::server::{Login, LoginStep};
use ido_proxy_protocol::capabilities::Capabilities;
use ido_proxy_protocol::err::ErrPacket;
use ido_proxy_protocol::greeting::Greeting;
use ido_proxy_protocol::login::LoginRequest;
use secrecy::{ExposeSecret, SecretString};
use thiserror::Error;

use crate::session::link::dial::Profile;
use crate::session::shared::accounts::Accounts;
use crate::session::transport::packet_io::{ReadError, read_packet, send_packet};
use crate::session::transport::wire::Wire;
use crate::telemetry::metrics::LoginResult;

/// A client that proved who it is.
#[derive(Debug)]
pub(crate) struct LoggedIn {
    /// How its links are to log in.
    pub(crate) profile: Profile,
    /// The sequence id of the OK it waits for.
    pub(crate) sequence: u8,
}

/// Why a client did not get in. The client has been told where the protocol has words for it.
#[derive(Debug, Error)]
pub(crate) enum LoginError {
    /// Closed before it said anything: a port check, mostly. Not worth a warning.
    #[error("closed without a login")]
    Silent,
    /// Closed in the middle.
    #[error("closed during login")]
    Closed,
    /// The socket failed.
    #[error("failed during login: {0}")]
    Io(#[from] io::Error),
    /// Unknown account, wrong password, or a login this proxy cannot do.
    #[error("refused: {0}")]
    Refused(ErrPacket),
    /// Not a MySQL client, or a broken one.
    #[error("broke the protocol at login: {0}")]
    Violation(#[from] Violation),
}

impl LoginError {
    /// How the attempt is counted.
    pub(crate) fn result(&self) -> LoginResult {
        match self {
            Self::Silent | Self::Closed | Self::Io(_) => LoginResult::Aborted,
            Self::Refused(_) => LoginResult::Denied,
            Self::Violation(_) => LoginResult::Malformed,
        }
    }
}

/// Greets the client and checks who it is. It then waits for an OK, or for a node's refusal.
///
/// # Errors
/// [`LoginError`]; the client has been answered.
pub(crate) async fn accept(
    client: &mut Wire,
    greeting: Greeting,
    host: &str,
    accounts: &Accounts,
) -> Result<LoggedIn, LoginError> {
    let login = Login::new(greeting, host);
    let bytes = login.bytes_to_send();
    authenticate(client, login, &bytes, accounts).await
}

/// Checks the client that asks with COM_CHANGE_USER to be another user; `sequence` is that of the
/// command. `greeting` bears the scramble of its first login.
///
/// # Errors
/// [`LoginError`]; the client has been answered.
pub(crate) async fn accept_again(
    client: &mut Wire,
    greeting: Greeting,
    host: &str,
    accounts: &Accounts,
    request: LoginRequest,
    sequence: u8,
) -> Result<LoggedIn, LoginError> {
    let (login, bytes) = Login::again(greeting, host, request, sequence);
    authenticate(client, login, &bytes, accounts).await
}

async fn authenticate(
    client: &mut Wire,
    mut login: Login,
    first: &[u8],
    accounts: &Accounts,
) -> Result<LoggedIn, LoginError> {
    let offered = login.greeting().capabilities;
    client.push(first);
    client.flush().await?;
    let mut heard = false;
    loop {
        let packet = match read_packet(client, LOGIN_PACKET_LIMIT).await {
            Ok(packet) => packet,
            Err(ReadError::Closed) if !heard && client.input.is_empty() => {
                return Err(LoginError::Silent);
            }
            Err(ReadError::Closed) => return Err(LoginError::Closed),
            Err(ReadError::Io(error)) => return Err(error.into()),
            Err(ReadError::Violation(violation)) => {
                return Err(bad_handshake(client, violation).await);
            }
        };
        heard = true;
        let password =
            |user: &[u8]| accounts.password(user).map(|word| word.expose_secret().into());
        match login.on_packet(packet.sequence, &packet.payload, password) {
            Ok(LoginStep::Reply(bytes)) => {
                client.push(&bytes);
                client.flush().await?;
            }
            Ok(LoginStep::Accepted { request, next_sequence }) => {
                let Some(password) = accounts.password(&request.user) else {
                    return Err(LoginError::Closed);
                };
                let profile = profile(request, password.clone(), offered);
                return Ok(LoggedIn { profile, sequence: next_sequence });
            }
            Ok(LoginStep::Refused { error, next_sequence }) => {
                send_packet(client, &error.encode(), next_sequence).await?;
                return Err(LoginError::Refused(error));
            }
            // Never offered, so the machine has called it a violation already.
            Ok(LoginStep::StartTls) => return Err(Violation::TlsNotOffered.into()),
            Err(violation) => return Err(bad_handshake(client, violation).await),
        }
    }
}

fn profile(request: LoginRequest, password: SecretString, offered: Capabilities) -> Profile {
    Profile {
        user: request.user,
        password,
        database: request.database.filter(|name| !name.is_empty()),
        collation: request.collation,
        capabilities: request.capabilities.intersection(offered),
        max_packet: request.max_packet,
        attributes: request.attributes,
    }
}

/// Tells a client that does not keep to the protocol so, as a server would (error 1043).
async fn bad_handshake(client: &mut Wire, violation: Violation) -> LoginError {
    let error = ErrPacket::new(1043, *b"08S01", format!("Bad handshake: {violation}"));
    // The client is on its way out either way.
    drop(send_packet(client, &error.encode(), 2).await);
    violation.into()
}

/// Room for the largest user, database, response and attributes that a server takes (64 KiB of
/// attributes), in bytes.
pub(in crate::session) const LOGIN_PACKET_LIMIT: usize = 80 * 1024;
