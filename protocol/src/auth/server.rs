//! The end of a login that accepts a client.

use crate::auth::switch::AuthSwitchRequest;
use crate::auth::{AuthPlugin, Scramble, native};
use crate::capabilities::Capabilities;
use crate::err::ErrPacket;
use crate::greeting::Greeting;
use crate::login::{LoginPacket, LoginRequest};
use crate::packet;
use crate::violation::Violation;

/// Checks the login of one client. Passwords are proved by `mysql_native_password`; a client that
/// begins with another plugin is asked to switch.
///
/// ```text
///            SslRequest             another plugin
///          ┌────────────► Login ◄────────────────┐  (after TLS, the same choices)
///   Login ─┤
///          ├────────────► Switched ──► Done
///          └─────────────────────────► Done
/// ```
///
/// After a [`Violation`], or once it is done, the machine accepts nothing more.
#[derive(Debug)]
pub struct Login {
    greeting: Greeting,
    host: String,
    state: State,
}

/// Action after a packet of the client.
#[derive(Debug)]
pub enum LoginStep {
    /// The client may go on: send an OK with this sequence id.
    Accepted {
        /// The client's login.
        request: LoginRequest,
        /// The sequence id of the OK.
        next_sequence: u8,
    },
    /// The client may not go on: send this error with this sequence id, then close.
    Refused {
        /// Error 1045, alike for an unknown user and a wrong password.
        error: ErrPacket,
        /// The sequence id of the error.
        next_sequence: u8,
    },
    /// Send these bytes (packets with headers) and wait for the next packet.
    Reply(Vec<u8>),
    /// Begin TLS now; the client sends its login inside it, to the same machine.
    StartTls,
}

impl Login {
    /// A login that begins with this greeting. `host` is where the client comes from, as errors
    /// name it. The greeting's plugin and its offer of TLS are what the client chooses by.
    pub fn new(greeting: Greeting, host: impl Into<String>) -> Self {
        Self { greeting, host: host.into(), state: State::Login { tls: false } }
    }

    /// The greeting as a packet with its header: the first bytes on the connection.
    pub fn bytes_to_send(&self) -> Vec<u8> {
        framed(&self.greeting.encode(), 0)
    }

    /// The login of a client that is in already and wants to be another user (COM_CHANGE_USER).
    /// `greeting` bears the scramble of the first login, since some clients use that one whatever they
    /// get now. The greeting is not sent; the client is asked at once to prove the password with its scramble.
    /// The bytes to send come with the machine; `sequence` is that of the command.
    pub fn again(
        greeting: Greeting,
        host: impl Into<String>,
        request: LoginRequest,
        sequence: u8,
    ) -> (Self, Vec<u8>) {
        let switch = AuthSwitchRequest::new(AuthPlugin::NativePassword, &greeting.scramble);
        let state = State::Switched(Box::new(request));
        let login = Self { greeting, host: host.into(), state };
        (login, framed(&switch.encode(), sequence.wrapping_add(1)))
    }

    /// The greeting that the client got.
    pub const fn greeting(&self) -> &Greeting {
        &self.greeting
    }

    /// Takes the next packet of the client. `lookup` tells the password of a user, or that there is
    /// no such user.
    pub fn on_packet(
        &mut self,
        sequence: u8,
        payload: &[u8],
        lookup: impl Fn(&[u8]) -> Option<Vec<u8>>,
    ) -> Result<LoginStep, Violation> {
        let next_sequence = sequence.wrapping_add(1);
        match std::mem::replace(&mut self.state, State::Done) {
            State::Login { tls } => match LoginPacket::decode(payload)? {
                LoginPacket::Ssl(_) => self.start_tls(tls),
                LoginPacket::Login(request) => self.login(request, next_sequence, lookup),
            },
            State::Switched(mut request) => {
                request.auth_plugin = Some(AuthPlugin::NativePassword.name().into());
                request.auth_response = payload.to_vec();
                Ok(self.verify(*request, next_sequence, lookup))
            }
            State::Done => Err(Violation::Unsolicited),
        }
    }

    fn start_tls(&mut self, already: bool) -> Result<LoginStep, Violation> {
        if already || !self.greeting.capabilities.contains(Capabilities::SSL) {
            return Err(Violation::TlsNotOffered);
        }
        self.state = State::Login { tls: true };
        Ok(LoginStep::StartTls)
    }

    fn login(
        &mut self,
        request: LoginRequest,
        next_sequence: u8,
        lookup: impl Fn(&[u8]) -> Option<Vec<u8>>,
    ) -> Result<LoginStep, Violation> {
        if !request.capabilities.contains(Capabilities::SECURE_CONNECTION) {
            return Err(Violation::MissingCapability { expected: "SECURE_CONNECTION" });
        }
        match request.auth_plugin.as_deref().map(AuthPlugin::from_name) {
            None | Some(AuthPlugin::NativePassword) => {
                Ok(self.verify(request, next_sequence, lookup))
            }
            Some(_) => {
                let plugin = AuthPlugin::NativePassword;
                let switch = AuthSwitchRequest::new(plugin, &self.greeting.scramble);
                self.state = State::Switched(Box::new(request));
                Ok(LoginStep::Reply(framed(&switch.encode(), next_sequence)))
            }
        }
    }

    fn verify(
        &self,
        request: LoginRequest,
        next_sequence: u8,
        lookup: impl Fn(&[u8]) -> Option<Vec<u8>>,
    ) -> LoginStep {
        let password = lookup(&request.user);
        if proves(password.as_deref(), &self.greeting.scramble, &request.auth_response) {
            LoginStep::Accepted { request, next_sequence }
        } else {
            LoginStep::Refused { error: access_denied(&request, &self.host), next_sequence }
        }
    }
}

#[derive(Debug)]
enum State {
    /// Nothing more is accepted.
    Done,
    /// The login is to come, inside TLS or not.
    Login { tls: bool },
    /// The proof by the plugin we asked for is to come.
    Switched(Box<LoginRequest>),
}

/// An unknown user costs the same work as a known one, so that time does not tell them apart.
fn proves(password: Option<&[u8]>, scramble: &Scramble, response: &[u8]) -> bool {
    let right = native::verify(password.unwrap_or(DECOY), scramble, response);
    right & password.is_some()
}

fn access_denied(request: &LoginRequest, host: &str) -> ErrPacket {
    let user: String = String::from_utf8_lossy(&request.user).chars().take(NAME_SHOWN).collect();
    let used = if request.auth_response.is_empty() { "NO" } else { "YES" };
    let message = format!("Access denied for user '{user}'@'{host}' (using password: {used})");
    ErrPacket::new(ACCESS_DENIED, *b"28000", message)
}

fn framed(payload: &[u8], sequence: u8) -> Vec<u8> {
    let mut out = Vec::with_capacity(packet::HEADER_LEN + payload.len());
    packet::frame(payload, sequence, &mut out);
    out
}

/// Checked in place of the password of an unknown user; proving it opens nothing.
const DECOY: &[u8] = b"no user has this password";

const ACCESS_DENIED: u16 = 1045;

/// How many characters of a user's name servers repeat, `USERNAME_CHAR_LENGTH`.
const NAME_SHOWN: usize = 128;

#[cfg(test)]
mod tests;
