//! The end of a login that logs in to a node.

use std::fmt;

use crate::auth::switch::{AuthMoreData, AuthSwitchRequest, MORE_DATA};
use crate::auth::{AuthPlugin, Scramble, caching_sha2, native};
use crate::capabilities::Capabilities;
use crate::eof::EOF;
use crate::err::{ERR, ErrPacket};
use crate::greeting::{FirstPacket, Greeting};
use crate::login::{LoginRequest, SslRequest};
use crate::ok::OK;
use crate::packet;
use crate::violation::Violation;

/// Logs in to one node.
///
/// ```text
///            StartTls           Send
///   Greeting ────────► Tls ──────────────► Answer ──► Done
///      │                                   ▲ │  ▲ │
///      └───────────────────────────────────┘ └──┘ (a switch, more data)
///            Send
/// ```
///
/// The password itself is never sent, whatever the node asks for. After a [`Violation`], or once it
/// is done, the machine accepts nothing more.
#[derive(Debug)]
pub struct Login {
    request: Request,
    state: State,
    greeting: Option<Greeting>,
    capabilities: Capabilities,
}

/// The account to log in with, and the settings of the session.
#[derive(Clone, Default, Eq, PartialEq)]
pub struct Request {
    /// The account.
    pub user: Vec<u8>,
    /// The account's password. Never shown by `Debug`.
    pub password: Vec<u8>,
    /// The default database.
    pub database: Option<Vec<u8>>,
    /// The low byte of the id of the session's collation.
    pub collation: u8,
    /// Capabilities that the session should have. In force are those that the node has as well;
    /// [`SSL`](Capabilities::SSL) is insisted on. Compression and MariaDB's COM_MULTI are never
    /// agreed on, since a reply could not be followed then.
    pub wanted: Capabilities,
    /// The longest packet we take, in bytes.
    pub max_packet: u32,
    /// Connection attributes as they are on the wire
    /// ([`LoginRequest::attributes`](crate::login::LoginRequest::attributes)).
    pub attributes: Vec<u8>,
}

/// Action after a packet of the node.
#[derive(Debug)]
pub enum ClientLoginStep {
    /// We are in. This is the payload of the OK.
    Done(Vec<u8>),
    /// The node refused us.
    Failed(ErrPacket),
    /// Send these bytes (packets with headers) and wait for the next packet.
    Send(Vec<u8>),
    /// Send these bytes, begin TLS, then send what [`Login::tls_started`] returns inside it.
    StartTls(Vec<u8>),
    /// Wait for the next packet.
    Wait,
}

impl Login {
    /// A login that waits for the greeting of the node.
    pub fn new(request: Request) -> Self {
        let capabilities = Capabilities::empty();
        Self { request, state: State::Greeting, greeting: None, capabilities }
    }

    /// Takes the next packet of the node.
    pub fn on_packet(
        &mut self,
        sequence: u8,
        payload: &[u8],
    ) -> Result<ClientLoginStep, Violation> {
        let next_sequence = sequence.wrapping_add(1);
        match std::mem::replace(&mut self.state, State::Done) {
            State::Greeting => match FirstPacket::decode(payload)? {
                FirstPacket::Greeting(greeting) => self.greeted(greeting, next_sequence),
                FirstPacket::Error(error) => Ok(ClientLoginStep::Failed(error)),
            },
            State::Answer(plugin) => self.answered(plugin, next_sequence, payload),
            State::Tls { .. } | State::Done => Err(Violation::Unsolicited),
        }
    }

    /// The bytes to send first inside TLS. Empty unless [`ClientLoginStep::StartTls`] was the last
    /// step.
    pub fn tls_started(&mut self) -> Vec<u8> {
        match (std::mem::replace(&mut self.state, State::Done), self.greeting.clone()) {
            (State::Tls { next_sequence }, Some(greeting)) => self.login(&greeting, next_sequence),
            _ => Vec::new(),
        }
    }

    /// The node's greeting, once it has come.
    pub const fn greeting(&self) -> Option<&Greeting> {
        self.greeting.as_ref()
    }

    /// The capabilities in force on the link; empty before the greeting.
    pub const fn capabilities(&self) -> Capabilities {
        self.capabilities
    }

    fn greeted(
        &mut self,
        greeting: Greeting,
        next_sequence: u8,
    ) -> Result<ClientLoginStep, Violation> {
        self.capabilities = self.agreed(greeting.capabilities)?;
        let step = if self.capabilities.contains(Capabilities::SSL) {
            self.state = State::Tls { next_sequence: next_sequence.wrapping_add(1) };
            let request = SslRequest {
                capabilities: self.capabilities,
                max_packet: self.request.max_packet,
                collation: self.request.collation,
            };
            ClientLoginStep::StartTls(framed(&request.encode(), next_sequence))
        } else {
            ClientLoginStep::Send(self.login(&greeting, next_sequence))
        };
        self.greeting = Some(greeting);
        Ok(step)
    }

    /// Capabilities that both sides have.
    fn agreed(&self, offered: Capabilities) -> Result<Capabilities, Violation> {
        let mut wanted = self.request.wanted.union(ALWAYS).difference(Capabilities::NOT_FOLLOWED);
        for (flag, needed) in [
            (Capabilities::CONNECT_WITH_DB, self.request.database.is_some()),
            (Capabilities::CONNECT_ATTRS, !self.request.attributes.is_empty()),
        ] {
            if needed {
                wanted.insert(flag);
            } else {
                wanted.remove(flag);
            }
        }
        for (flag, expected) in [
            (Capabilities::PROTOCOL_41, "PROTOCOL_41"),
            (Capabilities::SECURE_CONNECTION, "SECURE_CONNECTION"),
            (Capabilities::SSL, "SSL"),
            (Capabilities::CONNECT_WITH_DB, "CONNECT_WITH_DB"),
        ] {
            if wanted.contains(flag) && !offered.contains(flag) {
                return Err(Violation::MissingCapability { expected });
            }
        }
        Ok(wanted.intersection(offered))
    }

    fn login(&mut self, greeting: &Greeting, sequence: u8) -> Vec<u8> {
        // A plugin that we cannot answer is not answered: the node asks for another then.
        let (plugin, auth_response) = match self.proof(&greeting.auth_plugin, &greeting.scramble) {
            Ok(proof) => (greeting.auth_plugin.clone(), proof),
            Err(_) => {
                let proof = native::scramble(&self.request.password, &greeting.scramble);
                (AuthPlugin::NativePassword, proof)
            }
        };
        let has_plugin = self.capabilities.contains(Capabilities::PLUGIN_AUTH);
        let login = LoginRequest {
            capabilities: self.capabilities,
            max_packet: self.request.max_packet,
            collation: self.request.collation,
            user: self.request.user.clone(),
            auth_response,
            database: self.request.database.clone(),
            auth_plugin: has_plugin.then(|| plugin.name().into()),
            attributes: self.request.attributes.clone(),
            zstd_level: None,
        };
        self.state = State::Answer(plugin);
        framed(&login.encode(), sequence)
    }

    fn answered(
        &mut self,
        plugin: AuthPlugin,
        next_sequence: u8,
        payload: &[u8],
    ) -> Result<ClientLoginStep, Violation> {
        match payload.first() {
            Some(&OK) => Ok(ClientLoginStep::Done(payload.to_vec())),
            Some(&ERR) => ErrPacket::decode(payload).map(ClientLoginStep::Failed),
            Some(&EOF) => {
                let switch = AuthSwitchRequest::decode(payload)?;
                let proof = match switch.scramble() {
                    Ok(scramble) => self.proof(&switch.plugin, &scramble)?,
                    Err(_) => return Err(refusal(switch.plugin)),
                };
                self.state = State::Answer(switch.plugin);
                Ok(ClientLoginStep::Send(framed(&proof, next_sequence)))
            }
            Some(&MORE_DATA) => match (plugin, AuthMoreData::decode(payload)?.data) {
                (plugin @ AuthPlugin::CachingSha2, [caching_sha2::FAST_SUCCESS]) => {
                    self.state = State::Answer(plugin);
                    Ok(ClientLoginStep::Wait)
                }
                (plugin @ AuthPlugin::CachingSha2, [caching_sha2::FULL_AUTHENTICATION]) => {
                    Err(Violation::ClearTextWanted { plugin })
                }
                (plugin, _) => Err(Violation::UnsupportedPlugin { plugin }),
            },
            Some(&got) => Err(Violation::Unexpected { expected: "the end of the login", got }),
            None => Err(Violation::Empty { expected: "the end of the login" }),
        }
    }

    fn proof(&self, plugin: &AuthPlugin, scramble: &Scramble) -> Result<Vec<u8>, Violation> {
        match plugin {
            AuthPlugin::CachingSha2 => Ok(caching_sha2::scramble(&self.request.password, scramble)),
            AuthPlugin::NativePassword => Ok(native::scramble(&self.request.password, scramble)),
            other => Err(refusal(other.clone())),
        }
    }
}

/// Leaves out the password.
impl fmt::Debug for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Request")
            .field("user", &self.user.escape_ascii().to_string())
            .field("database", &self.database.as_ref().map(|name| name.escape_ascii().to_string()))
            .field("collation", &self.collation)
            .field("wanted", &self.wanted)
            .field("max_packet", &self.max_packet)
            .field("attributes", &self.attributes.escape_ascii().to_string())
            .finish_non_exhaustive()
    }
}

#[derive(Debug)]
enum State {
    /// The node is to say whether the proof by this plugin convinced it.
    Answer(AuthPlugin),
    /// Nothing more is accepted.
    Done,
    /// The greeting is to come.
    Greeting,
    /// TLS is to begin.
    Tls { next_sequence: u8 },
}

fn refusal(plugin: AuthPlugin) -> Violation {
    match plugin {
        AuthPlugin::Clear => Violation::ClearTextWanted { plugin },
        plugin => Violation::UnsupportedPlugin { plugin },
    }
}

fn framed(payload: &[u8], sequence: u8) -> Vec<u8> {
    let mut out = Vec::with_capacity(packet::HEADER_LEN + payload.len());
    packet::frame(payload, sequence, &mut out);
    out
}

/// Without these there is no login, or not one that can be switched to another plugin.
const ALWAYS: Capabilities = Capabilities::PROTOCOL_41
    .union(Capabilities::SECURE_CONNECTION)
    .union(Capabilities::TRANSACTIONS)
    .union(Capabilities::PLUGIN_AUTH)
    .union(Capabilities::PLUGIN_AUTH_LENENC);

#[cfg(test)]
mod tests;
