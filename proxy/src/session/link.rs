//! A session's connection to a node: opened as the client would have opened it, and made to report
//! every change of its state.

use std::sync::Arc;
use std::time::Duration;

use ido_proxy_protocol::Violation;
use ido_proxy_protocol::auth::client::{ClientLoginStep, Login, Request};
use ido_proxy_protocol::capabilities::Capabilities;
use ido_proxy_protocol::command::Command;
use ido_proxy_protocol::err::ErrPacket;
use ido_proxy_protocol::greeting::Greeting;
use ido_proxy_protocol::ok::OkPacket;
use ido_proxy_protocol::packet;
use ido_proxy_protocol::reply::ReplyTracker;
use ido_proxy_protocol::status::StatusFlags;
use secrecy::ExposeSecret;
use tokio::time::{Instant, timeout};

use crate::session::transport::packet_io::{Packet, queue_packet, read_packet, send_packet};
pub(crate) mod dial;
pub(crate) mod early;
pub(crate) mod greeted;
pub(crate) mod own_kills;
pub(crate) mod replica;
pub(crate) mod standby;
use self::dial::{Dial, LOGIN_PACKET_LIMIT, LinkError, Profile};
use self::greeted::Greeted;
use crate::cluster::NodeAddr;
use crate::cluster::tls::{Distrusted, distrust};
use crate::session::state::link_facts::{Freshness, LinkFacts};
use crate::session::state::reports::{self, Reports};
use crate::session::transport::stream::Stream;
use crate::session::transport::wire::Wire;

/// An open connection to a node, logged in.
#[derive(Debug)]
pub(crate) struct Link {
    /// Bytes to and from the node.
    pub(crate) wire: Wire,
    /// The node.
    pub(crate) node: NodeAddr,
    /// In force on it.
    pub(crate) capabilities: Capabilities,
    /// How the node greeted.
    pub(crate) greeting: Greeting,
    /// The payload of the OK that ended the login.
    pub(crate) welcome: Vec<u8>,
    /// Reports that the server makes if nobody asks for more, where it said so.
    pub(crate) reports: Option<Arc<Reports>>,
    /// How often somebody has killed a connection at the node, where that was asked.
    pub(crate) kills: Option<u64>,
    /// The node takes no more from us; what it still has to say is read.
    pub(crate) deaf: bool,
    /// The connection was reset, and a write was told so.
    pub(crate) reset: bool,
    /// When to give it up, though a transaction is open on it: writes may not come to their end there.
    pub(in crate::session) gives_up_at: Option<Instant>,
    /// The node answers no probe. When to say next that it answers us.
    pub(in crate::session) vouches: Option<Instant>,
}

impl Link {
    /// Connects, unless that was done before the client was `greeted`, logs in and turns the reports on, all within the
    /// limit.
    ///
    /// # Errors
    /// [`LinkError`], which knows whether another try makes sense.
    pub(crate) async fn open(
        node: NodeAddr,
        profile: &Profile,
        dial: &Dial,
        greeted: Option<Greeted>,
    ) -> Result<Self, LinkError> {
        // Boxed, or every session would have room for it as long as it lives.
        let login = Box::pin(Self::log_in(node, profile, dial, greeted));
        let opened = async {
            match &dial.tls {
                Some(tls) => {
                    let guarded = tls.guard(node, login, LinkError::flaw).await;
                    guarded.map_err(|Distrusted { flaw }| LinkError::Untrusted { node, flaw })?
                }
                None => login.await,
            }
        };
        match timeout(dial.limit, opened).await {
            Ok(result) => result,
            Err(_elapsed) => Err(LinkError::TimedOut { node, after: dial.limit }),
        }
    }

    /// Makes the session report its state. The server forgets it with COM_RESET_CONNECTION.
    ///
    /// A server that cannot is used all the same, and reports what its defaults say.
    ///
    /// # Errors
    /// The link is lost.
    pub(crate) async fn report_state(&mut self) -> Result<(), LinkError> {
        if !self.capabilities.contains(Capabilities::SESSION_TRACK) {
            return Ok(());
        }
        let node = self.node;
        let lost = |source| LinkError::Io { node, source };
        // One after the other, in one write.
        queue_packet(&mut self.wire, &[&[COM_QUERY], reports::ASK].concat(), 0);
        queue_packet(&mut self.wire, &[&[COM_QUERY], reports::ALL].concat(), 0);
        self.wire.flush().await.map_err(lost)?;
        self.reports = self.read_reports().await?.map(Arc::new);
        let reply = read_packet(&mut self.wire, LOGIN_PACKET_LIMIT)
            .await
            .map_err(|error| LinkError::from_read(node, error))?;
        if let Ok(error) = ErrPacket::decode(&reply.payload) {
            let refused = LinkError::Refused { node, error };
            if refused.may_retry(false) {
                return Err(refused);
            }
            tracing::warn!(%node, error = %refused, "the node does not report session state");
        }
        Ok(())
    }

    /// Reads what the server reports if nobody asks for more.
    async fn read_reports(&mut self) -> Result<Option<Reports>, LinkError> {
        let node = self.node;
        let mut tracker = ReplyTracker::new(Command::Query, self.capabilities);
        let mut packets = Vec::new();
        while !tracker.is_done() {
            let packet = read_packet(&mut self.wire, LOGIN_PACKET_LIMIT)
                .await
                .map_err(|error| LinkError::from_read(node, error))?;
            let start = packets.len();
            packet::frame(&packet.payload, packet.sequence, &mut packets);
            tracker
                .step(packets.get(start..).unwrap_or_default())
                .map_err(|violation| LinkError::Violation { node, violation })?;
        }
        Ok(Reports::read(&packets, 0).map(|(reports, _)| reports))
    }

    /// Sends a statement without rows that must succeed.
    ///
    /// # Errors
    /// The link is lost, or the node refuses it.
    pub(crate) async fn must(&mut self, sql: &[u8]) -> Result<(), LinkError> {
        let node = self.node;
        let query = [&[COM_QUERY], sql].concat();
        let sent = send_packet(&mut self.wire, &query, 0).await;
        sent.map_err(|source| LinkError::Io { node, source })?;
        let reply = read_packet(&mut self.wire, LOGIN_PACKET_LIMIT).await;
        let reply = reply.map_err(|error| LinkError::from_read(node, error))?;
        match ErrPacket::decode(&reply.payload) {
            Ok(error) => Err(LinkError::Refused { node, error }),
            Err(_) => Ok(()),
        }
    }

    /// Asks how often somebody has killed a connection at the node.
    ///
    /// # Errors
    /// The link is lost.
    pub(crate) async fn count_kills(&mut self) -> Result<(), LinkError> {
        let node = self.node;
        let lost = |source| LinkError::Io { node, source };
        let query = [&[COM_QUERY], KILLS].concat();
        send_packet(&mut self.wire, &query, 0).await.map_err(lost)?;
        let eof = !self.capabilities.contains(Capabilities::DEPRECATE_EOF);
        // The number of columns, two columns, perhaps an EOF; then rows, and the end.
        let mut before = 3 + u8::from(eof);
        loop {
            let packet = read_packet(&mut self.wire, LOGIN_PACKET_LIMIT)
                .await
                .map_err(|error| LinkError::from_read(node, error))?;
            match packet.payload.first() {
                Some(0xFF) => return Ok(()),
                Some(0xFE) if before == 0 => return Ok(()),
                _ if before > 0 => before -= 1,
                // The length of the name, the name, the length of the number, the number.
                _ => {
                    let name = packet.payload.first().map_or(0, |len| usize::from(*len));
                    let number = packet.payload.get(name + 2..).unwrap_or_default();
                    self.kills =
                        std::str::from_utf8(number).ok().and_then(|text| text.parse().ok());
                }
            }
        }
    }

    /// Properties of the link for the session's machine. `schema` is the one it was logged in with; `ghost` is the
    /// thread of the link before, if that was to the same node.
    pub(crate) fn facts(
        &self,
        schema: Option<Vec<u8>>,
        galera: bool,
        ghost: Option<u32>,
    ) -> LinkFacts {
        let welcome = OkPacket::decode(&self.welcome, self.capabilities).ok();
        let status = welcome.map_or(StatusFlags::AUTOCOMMIT, |welcome| welcome.status);
        LinkFacts {
            capabilities: self.capabilities,
            version: self.greeting.server_version.clone(),
            backslashes: !status.contains(StatusFlags::NO_BACKSLASH_ESCAPES),
            schema,
            galera,
            ghost,
            status: Some(status),
            reports: self.reports.clone(),
            freshness: Freshness::Current,
        }
    }

    /// Closes it as the protocol has it; a link closed without counts as aborted at the node.
    pub(crate) async fn quit(mut self) {
        queue_packet(&mut self.wire, &[COM_QUIT], 0);
        drop(timeout(GOODBYE, self.wire.flush()).await);
    }

    async fn log_in(
        node: NodeAddr,
        profile: &Profile,
        dial: &Dial,
        greeted: Option<Greeted>,
    ) -> Result<Self, LinkError> {
        if let Some(Greeted { wire, packet, .. }) = greeted {
            match Self::log_in_on(node, profile, dial, wire, Some(packet)).await {
                // The node waits for a login for a while only.
                Err(LinkError::Io { source, .. }) => {
                    tracing::debug!(%node, %source, "a connection waited too long for its client");
                }
                ended => return ended,
            }
        }
        let stream = Stream::connect(node.0).await;
        let stream = stream.map_err(|source| LinkError::Io { node, source })?;
        let wire = Wire::new(stream, Arc::clone(&dial.buffers));
        Self::log_in_on(node, profile, dial, wire, None).await
    }

    /// Logs in on a connection, of which the greeting may have been read.
    async fn log_in_on(
        node: NodeAddr,
        profile: &Profile,
        dial: &Dial,
        mut wire: Wire,
        mut greeting: Option<Packet>,
    ) -> Result<Self, LinkError> {
        let lost = |source| LinkError::Io { node, source };
        let encrypted = match dial.tls {
            Some(_) => Capabilities::SSL,
            None => Capabilities::empty(),
        };
        let mut login = Login::new(Request {
            user: profile.user.clone(),
            password: profile.password.expose_secret().into(),
            database: profile.database.clone(),
            collation: profile.collation,
            wanted: profile.capabilities.difference(Capabilities::SSL)
                | WANTED_BY_US
                | several(profile.capabilities)
                | encrypted,
            max_packet: profile.max_packet,
            attributes: profile.attributes.clone(),
        });
        let welcome = loop {
            let packet = match greeting.take() {
                Some(greeting) => greeting,
                None => read_packet(&mut wire, LOGIN_PACKET_LIMIT)
                    .await
                    .map_err(|error| LinkError::from_read(node, error))?,
            };
            let step = login.on_packet(packet.sequence, &packet.payload);
            match step.map_err(|violation| LinkError::from_violation(node, violation))? {
                ClientLoginStep::Send(bytes) => {
                    wire.push(&bytes);
                    wire.flush().await.map_err(lost)?;
                }
                ClientLoginStep::Wait => {}
                ClientLoginStep::Done(welcome) => break welcome,
                ClientLoginStep::Failed(error) => return Err(LinkError::Refused { node, error }),
                ClientLoginStep::StartTls(request) => {
                    wire.push(&request);
                    wire.flush().await.map_err(lost)?;
                    wire = Self::secure(node, wire, dial).await?;
                    wire.push(&login.tls_started());
                    wire.flush().await.map_err(lost)?;
                }
            }
        };
        let capabilities = login.capabilities();
        let lacking = profile.capabilities.intersection(LAYOUT).difference(capabilities);
        if !lacking.is_empty() {
            let message = format!(
                "{node} lacks what you were promised before any node was known: log in again"
            );
            let error = ErrPacket::new(HANDSHAKE_ERROR, *b"08S01", message);
            return Err(LinkError::Refused { node, error });
        }
        let Some(greeting) = login.greeting().cloned() else {
            let violation = Violation::Empty { expected: "a greeting" };
            return Err(LinkError::Violation { node, violation });
        };
        let mut link = Self {
            wire,
            node,
            capabilities,
            greeting,
            welcome,
            reports: None,
            kills: None,
            deaf: false,
            reset: false,
            gives_up_at: None,
            vouches: None,
        };
        link.report_state().await?;
        Ok(link)
    }

    /// Sets up TLS, which comes next on `wire`.
    async fn secure(node: NodeAddr, wire: Wire, dial: &Dial) -> Result<Wire, LinkError> {
        let Some((tls, stream)) = dial.tls.as_ref().zip(wire.into_stream()) else {
            // Bytes that were not asked for could be anybody's.
            return Err(LinkError::Violation { node, violation: Violation::Unsolicited });
        };
        let secured = stream.secure(tls, node).await;
        let stream = secured.map_err(|source| match distrust(&source) {
            Some(flaw) => LinkError::Untrusted { node, flaw },
            None => LinkError::Io { node, source },
        })?;
        Ok(Wire::new(stream, Arc::clone(&dial.buffers)))
    }
}

/// A client that can tell several results apart has a link that takes several statements in one text, since ours are
/// put around its own.
fn several(client: Capabilities) -> Capabilities {
    match client.contains(Capabilities::MULTI_RESULTS) {
        true => Capabilities::MULTI_STATEMENTS,
        false => Capabilities::empty(),
    }
}

/// Capabilities of every link beside the client's own: the reports are how we know the session's state.
const WANTED_BY_US: Capabilities = Capabilities::SESSION_TRACK
    .union(Capabilities::PROTOCOL_41)
    .union(Capabilities::SECURE_CONNECTION)
    .union(Capabilities::PLUGIN_AUTH);

/// Capabilities that change the bytes of a reply: a client would misread the replies of a link without them.
const LAYOUT: Capabilities = Capabilities::DEPRECATE_EOF
    .union(Capabilities::EXTENDED_METADATA)
    .union(Capabilities::CACHE_METADATA)
    .union(Capabilities::BULK_UNIT_RESULTS);

/// ER_HANDSHAKE_ERROR.
const HANDSHAKE_ERROR: u16 = 1043;

/// COM_QUERY.
const COM_QUERY: u8 = 0x03;

const KILLS: &[u8] = b"SHOW GLOBAL STATUS LIKE 'Com_kill'";

/// COM_QUIT.
const COM_QUIT: u8 = 0x01;

/// How long a node may take to accept our last word.
const GOODBYE: Duration = Duration::from_secs(1);
