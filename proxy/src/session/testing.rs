//! A session on a stage: a client and a node that do what the test says, byte by byte.

use std::net::SocketAddr;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::time::Duration;

use ido_proxy_protocol::auth::client::{ClientLoginStep, Login, Request};
use ido_proxy_protocol::auth::native;
use ido_proxy_protocol::auth::switch::AuthSwitchRequest;
use ido_proxy_protocol::capabilities::Capabilities;
use ido_proxy_protocol::eof::EofPacket;
use ido_proxy_protocol::err::ErrPacket;
use ido_proxy_protocol::greeting::Greeting;
use ido_proxy_protocol::ok::OkPacket;
use ido_proxy_protocol::packet;
use ido_proxy_protocol::status::StatusFlags;
use secrecy::SecretString;
use tokio::net::TcpListener;
use tokio::sync::{Notify, Semaphore, watch};
use tokio::task::JoinHandle;
use tokio::time::timeout;

use crate::cluster::model::cause::Cause;
use crate::cluster::model::topology::Stall;
use crate::cluster::model::verdict::Reason;
use crate::cluster::{ClusterHandle, Node, NodeAddr, Topology};
use crate::session::driver::context::{Limits, SessionContext};
use crate::session::front::serve;
use crate::session::link::own_kills::OwnKills;
use crate::session::link::standby::StandbyOpener;
use crate::session::shared::accounts::Accounts;
use crate::session::shared::directives::{Directives, Phase};
use crate::session::shared::greeting::ClientGreeting;
use crate::session::shared::registry::Registry;
use crate::session::shared::role::Role;
use crate::session::state::fence::FencePool;
use crate::session::state::journal::budget::Budget;
use crate::session::transport::packet_io::{Packet, ReadError, read_packet};
use crate::session::transport::stream::Stream;
use crate::session::transport::timer::Clock;
use crate::session::transport::wire::Wire;
use crate::telemetry::metrics::SessionMetrics;

/// Everything around a session.
pub(in crate::session) struct Stage {
    context: SessionContext,
    /// Role of the clients that connect from now on.
    pub(in crate::session) role: Role,
    directives: watch::Sender<Directives>,
    listener: TcpListener,
    /// Another node.
    next: TcpListener,
    /// Rings when the node is suspected.
    pub(in crate::session) suspected: Arc<Notify>,
}

/// One end of a conversation with the session.
pub(in crate::session) struct Peer {
    /// Bytes to and from the session. Reading and writing them is the test's business.
    pub(in crate::session) wire: Wire,
}

impl Stage {
    /// A stage whose node is the primary. Clients are held for at most `hold`.
    pub(in crate::session) async fn new(hold: Duration) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let next = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let node = NodeAddr(listener.local_addr().unwrap());
        let suspected = Arc::new(Notify::new());
        let topology = Arc::new(Topology { primary: Some(node), epoch: 1, ..Topology::default() });
        let (_, watched) = watch::channel(Arc::clone(&topology));
        let directives = watch::Sender::new(Directives { topology, phase: Phase::Serving });
        let context = SessionContext {
            tls: None,
            accounts: Arc::new(Accounts::new([("icinga".into(), SecretString::from("secret"))])),
            buffers: Arc::default(),
            poll_slot: Arc::default(),
            caught_up: Arc::default(),
            clock: Clock::current(),
            cluster: ClusterHandle::scripted(watched, node, Arc::clone(&suspected)),
            client_greeting: watch::channel(Arc::new(ClientGreeting::default())).1,
            // Nodes of a script wait for their client first.
            greeted: Arc::new(Semaphore::new(0)),
            failovers: Arc::default(),
            fences: Arc::new(FencePool::new("ido_proxy", 7)),
            reserved: Arc::default(),
            readings: Arc::default(),
            own_kills: Arc::new(OwnKills::new()),
            galera: true,
            journals: Arc::new(Budget::new(1 << 30, 0, None)),
            limits: Limits { login: DEADLINE, hold, link_timeout: DEADLINE, blocked: BLOCKED },
            metrics: Arc::new(SessionMetrics::new()),
            directives: directives.subscribe(),
            registry: Arc::new(Registry::new()),
            standby: Arc::default(),
        };
        let role = Role::Writer;
        Self { context, role, directives, listener, next, suspected }
    }

    /// Connections of the node greet before the client does, so many at a time.
    pub(in crate::session) fn greets_first(&mut self, places: usize) {
        self.context.greeted = Arc::new(Semaphore::new(places));
    }

    /// A client connects. The session ends when the handle does.
    pub(in crate::session) fn connect(&self) -> (Peer, JoinHandle<()>) {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let [ours, theirs] =
            [ours, theirs].map(|socket| Stream::from_accepted_unix(socket).unwrap());
        let (context, role) = (self.context.clone(), self.role);
        let session = serve::serve(theirs, "client".into(), "localhost".into(), role, context);
        (Peer::new(ours), tokio::spawn(session))
    }

    /// A client that is logged in, and the node's end of its link.
    pub(in crate::session) async fn begin(
        &self,
        capabilities: Capabilities,
    ) -> (Peer, Peer, JoinHandle<()>) {
        let (mut client, session) = self.connect();
        let (welcome, node) = tokio::join!(client.log_in(capabilities), self.accept_link());
        assert!(ErrPacket::decode(&welcome).is_err(), "the login is accepted");
        (client, node, session)
    }

    /// The node takes the next connection and lets it in.
    pub(in crate::session) async fn accept_link(&self) -> Peer {
        let mut node = self.accept().await;
        node.let_in().await;
        node
    }

    /// The node takes the next connection and the login, as one that cannot do what is `lacking`.
    pub(in crate::session) async fn accept_login(&self, lacking: Capabilities) -> Peer {
        let mut node = self.accept().await;
        let mut greeting = greeting();
        greeting.capabilities.remove(lacking);
        node.send(&greeting.encode(), 0).await;
        let login = node.read().await;
        node.send(&ok(StatusFlags::AUTOCOMMIT), login.sequence + 1).await;
        node
    }

    /// The node takes the next connection and says nothing.
    pub(in crate::session) async fn accept(&self) -> Peer {
        Self::accept_at(&self.listener).await
    }

    /// The other node takes the next connection, lets it in, and says that all is applied.
    pub(in crate::session) async fn accept_next_link(&self) -> Peer {
        let mut node = Self::accept_at(&self.next).await;
        node.let_in().await;
        node.answer_barrier().await;
        node
    }

    /// The other node takes the next connection and says nothing.
    pub(in crate::session) async fn accept_at_next(&self) -> Peer {
        Self::accept_at(&self.next).await
    }

    async fn accept_at(listener: &TcpListener) -> Peer {
        let accepted = timeout(DEADLINE, listener.accept()).await.expect("a link is opened");
        Peer::new(Stream::Tcp(accepted.unwrap().0))
    }

    /// Where the other node is.
    pub(in crate::session) fn next_node(&self) -> NodeAddr {
        NodeAddr(self.next.local_addr().unwrap())
    }

    /// Where the node is.
    pub(in crate::session) fn node(&self) -> NodeAddr {
        NodeAddr(self.listener.local_addr().unwrap())
    }

    /// A statement after which a transaction is open in which something may have been done.
    pub(in crate::session) async fn set_in_transaction(&self, client: &mut Peer, node: &mut Peer) {
        client.send(b"\x03BEGIN", 0).await;
        node.read().await;
        node.send(&ok(StatusFlags::AUTOCOMMIT | StatusFlags::IN_TRANS), 1).await;
        client.read().await;
    }

    /// The node gives its state to another one, and the other node takes its place.
    pub(in crate::session) fn leave_donor(&self) {
        let donor = Node { stall: Some(Stall::Donating), ..Node::synced(self.node()) };
        self.directives.send_modify(|directives| {
            let (primary, nodes) = (Some(self.next_node()), vec![donor]);
            let Topology { epoch, .. } = *directives.topology;
            let topology = Topology::clone(&directives.topology);
            directives.topology =
                Arc::new(Topology { primary, nodes, epoch: epoch + 1, ..topology });
        });
    }

    /// Has links lie ready at the other node, if that `has_room`, as a worker does.
    pub(in crate::session) fn heat(&self, has_room: bool) -> JoinHandle<()> {
        let next = self.next_node();
        self.directives.send_modify(|directives| {
            let node = Node { has_room, ..Node::synced(next) };
            let topology = Topology::clone(&directives.topology);
            let nodes = vec![node];
            directives.topology = Arc::new(Topology { next: Some(next), nodes, ..topology });
        });
        let opener = StandbyOpener {
            dial: self.context.dial(),
            count: self.context.metrics.warm_links.clone(),
            clock: self.context.clock.clone(),
        };
        tokio::spawn(Arc::clone(&self.context.standby).keep(opener, self.directives.subscribe()))
    }

    /// The other node takes the next connection and lets it in; then it lies ready.
    pub(in crate::session) async fn accept_warm_link(&self) -> Peer {
        let mut node = Self::accept_at(&self.next).await;
        node.let_in().await;
        let lies_ready = async {
            while self.context.standby.count() == 0 {
                tokio::task::yield_now().await;
            }
        };
        timeout(DEADLINE, lies_ready).await.expect("it is kept");
        node
    }

    /// Whether somebody connects to the other node within `patience`.
    pub(in crate::session) async fn is_next_called(&self, patience: Duration) -> bool {
        timeout(patience, self.next.accept()).await.is_ok()
    }

    /// Makes another node the primary, since the one before has fallen silent.
    pub(in crate::session) fn leave_silent(&self, primary: NodeAddr) {
        let cause = Cause::Lost { node: self.node(), reason: Reason::Silent };
        self.directives.send_modify(|directives| {
            let epoch = directives.topology.epoch + 1;
            let primary = Some(primary);
            directives.topology =
                Arc::new(Topology { primary, epoch, cause, ..Topology::default() });
        });
    }

    /// Makes another node the primary, or none; and `usable` are all nodes that are usable.
    pub(in crate::session) fn set_nodes(&self, primary: Option<NodeAddr>, usable: &[NodeAddr]) {
        let nodes = usable.iter().map(|address| Node::synced(*address)).collect();
        self.set_primary(primary);
        self.directives.send_modify(|directives| {
            directives.topology =
                Arc::new(Topology { nodes, ..Topology::clone(&directives.topology) });
        });
    }

    /// A client that only reads, and the end of its link at the other node.
    pub(in crate::session) async fn begin_reading(
        &mut self,
        sync_wait: bool,
        capabilities: Capabilities,
    ) -> (Peer, Peer, JoinHandle<()>) {
        self.role = Role::Reader { ticket: 0, sync_wait };
        let (mut client, session) = self.connect();
        let link = self.accept_reader_link(self.next_node(), sync_wait);
        let (welcome, node) = tokio::join!(client.log_in(capabilities), link);
        assert!(ErrPacket::decode(&welcome).is_err(), "the login is accepted");
        (client, node, session)
    }

    /// One of the two nodes takes the next connection, and is told that it is for reading.
    pub(in crate::session) async fn accept_reader_link(
        &self,
        node: NodeAddr,
        sync_wait: bool,
    ) -> Peer {
        let listener = if node == self.node() { &self.listener } else { &self.next };
        let mut node = Self::accept_at(listener).await;
        node.let_in().await;
        node.be_bound(sync_wait).await;
        node
    }

    /// Makes another node the primary, or none.
    pub(in crate::session) fn set_primary(&self, primary: Option<NodeAddr>) {
        self.directives.send_modify(|directives| {
            let last = directives.topology.primary.unwrap_or_else(|| self.node());
            let moved = primary.is_some_and(|primary| primary != last);
            let epoch = directives.topology.epoch + u64::from(moved);
            directives.topology = Arc::new(Topology { primary, epoch, ..Topology::default() });
        });
    }

    /// The node has told that so many connections were killed there.
    pub(in crate::session) fn set_kills(&self, kills: u64) {
        self.directives.send_modify(|directives| {
            let nodes = vec![Node { kills: Some(kills), ..Node::synced(self.node()) }];
            directives.topology =
                Arc::new(Topology { nodes, ..Topology::clone(&directives.topology) });
        });
    }

    /// Begins or speeds up the daemon's end.
    pub(in crate::session) fn set_phase(&self, phase: Phase) {
        self.directives.send_modify(|directives| directives.phase = phase);
    }

    /// Whether nobody else may have this id.
    pub(in crate::session) fn is_reserved(&self, id: u64) -> bool {
        self.context.reserved.has(id, 1)
    }

    /// Sessions that are held now.
    pub(in crate::session) fn states(&self) -> Vec<crate::session::shared::registry::SessionPhase> {
        self.context.registry.snapshot().iter().map(|session| session.state).collect()
    }
}

impl Peer {
    fn new(stream: Stream) -> Self {
        Self { wire: Wire::new(stream, Arc::default()) }
    }

    /// Greets a link, as a node, and hears who it is.
    pub(in crate::session) async fn ask_to_log_in(&mut self) -> Packet {
        self.send(&greeting().encode(), 0).await;
        self.read().await
    }

    /// Greets, as a node of which nothing else is wanted: it reports nothing.
    pub(in crate::session) async fn greet(&mut self) {
        let mut greeting = greeting();
        greeting.capabilities.remove(Capabilities::SESSION_TRACK);
        self.send(&greeting.encode(), 0).await;
    }

    /// Lets in who has logged in, as such a node.
    pub(in crate::session) async fn welcome(&mut self, sequence: u8) {
        self.send(
            &OkPacket { status: StatusFlags::AUTOCOMMIT, ..OkPacket::default() }
                .encode(Capabilities::PROTOCOL_41),
            sequence,
        )
        .await;
    }

    /// Does not know what it is asked about reports, and reports all.
    pub(in crate::session) async fn reports_all(&mut self) {
        let asked = self.read().await;
        assert!(asked.payload.starts_with(b"\x03SELECT @@session_track"), "{asked:?}");
        self.send(&ErrPacket::new(1193, *b"HY000", "unknown system variable").encode(), 1).await;
        let reports = self.read().await;
        assert!(reports.payload.starts_with(b"\x03SET session_track"), "{reports:?}");
        self.send(&ok(StatusFlags::AUTOCOMMIT), 1).await;
    }

    /// Lets a link in, as a node.
    pub(in crate::session) async fn let_in(&mut self) {
        let login = self.ask_to_log_in().await;
        self.send(&ok(StatusFlags::AUTOCOMMIT), login.sequence + 1).await;
        self.reports_all().await;
    }

    /// Is told, as a node, that a link is for reading.
    pub(in crate::session) async fn be_bound(&mut self, sync_wait: bool) {
        let waits = sync_wait.then_some(&b"\x03SET SESSION wsrep_sync_wait=1"[..]);
        for setting in [&b"\x03SET SESSION TRANSACTION READ ONLY"[..]].into_iter().chain(waits) {
            assert_eq!(self.read().await.payload, setting);
            self.send(&ok(StatusFlags::AUTOCOMMIT), 1).await;
        }
    }

    /// Answers the causal read with which the way back begins on a new link.
    pub(in crate::session) async fn answer_barrier(&mut self) {
        let barrier = self.read().await;
        let text = String::from_utf8_lossy(&barrier.payload);
        assert!(text.contains("SET STATEMENT wsrep_sync_wait=15 FOR SELECT"), "{text}");
        self.send_rows(StatusFlags::AUTOCOMMIT).await;
    }

    /// Sends a result of one row, as the reply to a command.
    pub(in crate::session) async fn send_rows(&mut self, status: StatusFlags) {
        let eof = EofPacket { warnings: 0, status }.encode();
        for (payload, sequence) in [b"\x01", COLUMN, &eof, b"\x011", &eof].into_iter().zip(1..) {
            self.send(payload, sequence).await;
        }
    }

    /// Becomes the same user once more, up to the session's answer; `meanwhile` happens before the
    /// password is proved.
    pub(in crate::session) async fn change_user(&mut self, meanwhile: impl FnOnce()) {
        self.send(b"\x11icinga\0\0\0", 0).await;
        let asked = self.read().await;
        meanwhile();
        let scramble = AuthSwitchRequest::decode(&asked.payload).unwrap().scramble().unwrap();
        self.send(&native::scramble(b"secret", &scramble), asked.sequence + 1).await;
    }

    /// Logs in as a client, and returns the session's answer.
    pub(in crate::session) async fn log_in(&mut self, wanted: Capabilities) -> Vec<u8> {
        let mut login = Login::new(Request {
            user: b"icinga".to_vec(),
            password: b"secret".to_vec(),
            collation: 8,
            wanted,
            max_packet: 1 << 24,
            ..Request::default()
        });
        loop {
            let packet = self.read().await;
            match login.on_packet(packet.sequence, &packet.payload).expect("a login") {
                ClientLoginStep::Send(bytes) => {
                    self.wire.push(&bytes);
                    self.wire.flush().await.unwrap();
                }
                ClientLoginStep::Done(payload) => return payload,
                ClientLoginStep::Failed(error) => return error.encode(),
                step => panic!("no such step in this login: {step:?}"),
            }
        }
    }

    /// Sends one packet.
    pub(in crate::session) async fn send(&mut self, payload: &[u8], sequence: u8) {
        let mut framed = Vec::new();
        packet::frame(payload, sequence, &mut framed);
        self.wire.push(&framed);
        timeout(DEADLINE, self.wire.flush()).await.expect("there is room").unwrap();
    }

    /// Reads one packet.
    ///
    /// # Panics
    /// When none comes.
    pub(in crate::session) async fn read(&mut self) -> Packet {
        let read = timeout(DEADLINE, read_packet(&mut self.wire, 1 << 24)).await;
        read.expect("a packet in time").expect("a packet")
    }

    /// Reads the error that comes next.
    pub(in crate::session) async fn read_error(&mut self) -> ErrPacket {
        let packet = self.read().await;
        ErrPacket::decode(&packet.payload).expect("an error")
    }

    /// Checks that the other side closes without another byte.
    pub(in crate::session) async fn closed(&mut self) {
        let read = timeout(DEADLINE, read_packet(&mut self.wire, 1 << 24)).await;
        match read.expect("the end in time") {
            Err(ReadError::Closed) => assert!(self.wire.input.is_empty(), "half a packet is left"),
            // Closed while bytes of ours were unread.
            Err(ReadError::Io(_)) => {}
            other => panic!("no more was to come: {other:?}"),
        }
    }
}

/// The payload of an OK packet with this status.
pub(in crate::session) fn ok(status: StatusFlags) -> Vec<u8> {
    OkPacket { status, ..OkPacket::default() }.encode(Capabilities::SESSION_TRACK)
}

/// The definition of a column.
pub(in crate::session) const COLUMN: &[u8] =
    b"\x03def\0\0\0\x01a\0\x0c\x21\0\x0b\0\0\0\x03\0\0\0\0\0";

/// Nobody listens there.
pub(in crate::session) fn nowhere() -> NodeAddr {
    NodeAddr(SocketAddr::from(([127, 0, 0, 1], 9)))
}

fn greeting() -> Greeting {
    ClientGreeting::default().greeting(7, Greeting::scramble_from([7; 20]))
}

/// How long a transaction stays at a donor.
const BLOCKED: Duration = Duration::from_millis(20);

/// Longer than anything here takes, on a busy machine too.
pub(in crate::session) const DEADLINE: Duration = Duration::from_secs(20);
