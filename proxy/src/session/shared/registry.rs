//! The sessions that exist now, for whoever asks: the status page, `SHOW SESSIONS`, a drain.
//!
//! A session writes its own entry from its own thread: what changes with every command is a few
//! relaxed atomics, for which it never waits; what changes seldom (user, database, node) sits
//! behind a mutex of the entry, which a reader holds only to copy. A reader sees each entry as it
//! was a moment ago, and state, command and time always belong together: they are one word.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Deref;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use ido_proxy_protocol::command::Command;
use serde::{Serialize, Serializer};

use crate::cluster::NodeAddr;
use crate::session::plan::blocker::Blocker;
use crate::session::shared::role::RoleName;

/// Every session of the process.
#[derive(Debug)]
pub(crate) struct Registry {
    /// All times in the entries count from here.
    epoch: Instant,
    sessions: Mutex<Sessions>,
}

impl Registry {
    /// A registry without sessions.
    pub(crate) fn new() -> Self {
        Self { epoch: Instant::now(), sessions: Mutex::default() }
    }

    /// Enters a session in the state [`SessionPhase::Login`]; it is listed until the guard is gone.
    /// `client` is how the client is shown: its address, or the process behind a Unix socket.
    pub(crate) fn register(
        self: &Arc<Self>,
        client: impl Into<String>,
        role: RoleName,
    ) -> SessionGuard {
        let mut sessions = lock(&self.sessions);
        let id = sessions.next_id();
        let entry = Arc::new(SessionEntry::new(id, client.into(), role, self.epoch));
        sessions.entries.insert(id, Arc::clone(&entry));
        SessionGuard { entry, registry: Arc::clone(self) }
    }

    /// Every session as it is now, in the order of the ids.
    pub(crate) fn snapshot(&self) -> Vec<SessionStatus> {
        let entries: Vec<_> = lock(&self.sessions).entries.values().cloned().collect();
        entries.iter().map(|entry| entry.status()).collect()
    }

    /// The thread at `node` of the session whose client was greeted with this number; `None`: no session of ours has it,
    /// or it has no link to that node.
    pub(crate) fn thread_at(&self, node: NodeAddr, greeted: u32) -> Option<u32> {
        let sessions = lock(&self.sessions);
        let thread = |entry: &SessionEntry| {
            let identity = lock(&entry.identity);
            identity.thread.filter(|_| identity.node == Some(node))
        };
        if sessions.entries.values().any(|entry| thread(entry) == Some(greeted)) {
            // A thread that is there now is meant itself. A session that was greeted with its number has moved since.
            return None;
        }
        let entry = sessions.entries.values().find(|entry| entry.greeted() == greeted)?;
        thread(entry)
    }

    /// How many sessions there are.
    pub(crate) fn len(&self) -> usize {
        lock(&self.sessions).entries.len()
    }
}

/// Takes its session off the list when dropped. Gives the [`SessionEntry`] to write to.
#[derive(Debug)]
pub(crate) struct SessionGuard {
    entry: Arc<SessionEntry>,
    registry: Arc<Registry>,
}

impl SessionGuard {
    /// The entry itself, for who outlives the session.
    pub(crate) fn entry(&self) -> Arc<SessionEntry> {
        Arc::clone(&self.entry)
    }
}

impl Deref for SessionGuard {
    type Target = SessionEntry;

    fn deref(&self) -> &SessionEntry {
        &self.entry
    }
}

impl Drop for SessionGuard {
    fn drop(&mut self) {
        lock(&self.registry.sessions).entries.remove(&self.entry.id);
    }
}

/// Entry that one session keeps of itself. Only the session writes it.
#[derive(Debug)]
pub(crate) struct SessionEntry {
    id: SessionId,
    client: String,
    role: RoleName,
    /// The registry's epoch.
    epoch: Instant,
    /// When the client connected, since `epoch`.
    connected: Duration,
    /// An [`Activity`] in one word.
    activity: AtomicU64,
    commands: AtomicU64,
    received_bytes: AtomicU64,
    sent_bytes: AtomicU64,
    in_transaction: AtomicBool,
    /// Why it cannot go on at another node: one more than the number of the [`Blocker`], 0 if it can.
    stays: AtomicU8,
    /// The thread id that the client was greeted with.
    greeted: AtomicU32,
    identity: Mutex<Identity>,
}

impl SessionEntry {
    fn new(id: SessionId, client: String, role: RoleName, epoch: Instant) -> Self {
        let connected = epoch.elapsed();
        Self {
            id,
            client,
            role,
            epoch,
            connected,
            activity: AtomicU64::new(Activity::new(SessionPhase::Login, None, connected).pack()),
            commands: AtomicU64::new(0),
            received_bytes: AtomicU64::new(0),
            sent_bytes: AtomicU64::new(0),
            in_transaction: AtomicBool::new(false),
            stays: AtomicU8::new(0),
            greeted: AtomicU32::new(id.greeted()),
            identity: Mutex::default(),
        }
    }

    /// The thread id that the client was greeted with: that of its first link, or a number of ours.
    pub(crate) fn greeted(&self) -> u32 {
        self.greeted.load(Relaxed)
    }

    /// Says which thread id the client is greeted with.
    pub(crate) fn greet(&self, thread: u32) {
        self.greeted.store(thread, Relaxed);
    }

    /// The id.
    pub(crate) fn id(&self) -> SessionId {
        self.id
    }

    /// How the client is shown.
    pub(crate) fn client(&self) -> &str {
        &self.client
    }

    /// Says who logged in. Bytes that are not UTF-8 are shown as replacement characters.
    pub(crate) fn set_user(&self, user: &[u8]) {
        lock(&self.identity).user = Some(String::from_utf8_lossy(user).into_owned());
    }

    /// Says which database is the default one now.
    pub(crate) fn set_database(&self, database: Option<&[u8]>) {
        lock(&self.identity).database =
            database.map(|name| String::from_utf8_lossy(name).into_owned());
    }

    /// Says which node the link leads to; `None` while there is no link.
    pub(crate) fn set_node(&self, node: Option<NodeAddr>) {
        let mut identity = lock(&self.identity);
        (identity.node, identity.thread) = (node, None);
    }

    /// Says which thread of its node the link is.
    pub(crate) fn set_thread(&self, thread: u32) {
        lock(&self.identity).thread = Some(thread);
    }

    /// Enters a state that belongs to no command.
    pub(crate) fn set_state(&self, state: SessionPhase) {
        self.set_activity(state, None);
    }

    /// Counts a command and enters [`SessionPhase::Busy`] with it.
    pub(crate) fn begin_command(&self, command: Command) {
        self.commands.fetch_add(1, Relaxed);
        self.set_activity(SessionPhase::Busy, Some(command));
    }

    /// Says whether a transaction is open.
    pub(crate) fn set_in_transaction(&self, open: bool) {
        self.in_transaction.store(open, Relaxed);
    }

    /// Says why it cannot go on at another node, if so.
    pub(crate) fn set_stays(&self, reason: Option<Blocker>) {
        self.stays.store(reason.map_or(0, |reason| reason as u8 + 1), Relaxed);
    }

    /// Counts bytes read from the client.
    pub(crate) fn add_received(&self, bytes: usize) {
        self.received_bytes.fetch_add(bytes as u64, Relaxed);
    }

    /// Counts bytes written to the client.
    pub(crate) fn add_sent(&self, bytes: usize) {
        self.sent_bytes.fetch_add(bytes as u64, Relaxed);
    }

    /// How long it has waited for its client's next command; zero while it does anything else, or has a
    /// transaction open.
    pub(crate) fn idle_for(&self) -> Duration {
        let activity = Activity::unpack(self.activity.load(Relaxed));
        if activity.state != SessionPhase::Idle || self.in_transaction.load(Relaxed) {
            return Duration::ZERO;
        }
        self.epoch.elapsed().saturating_sub(activity.since)
    }

    fn set_activity(&self, state: SessionPhase, command: Option<Command>) {
        let activity = Activity::new(state, command, self.epoch.elapsed());
        self.activity.store(activity.pack(), Relaxed);
    }

    fn status(&self) -> SessionStatus {
        let activity = Activity::unpack(self.activity.load(Relaxed));
        let identity = lock(&self.identity).clone();
        let now = self.epoch.elapsed();
        SessionStatus {
            id: self.id,
            user: identity.user,
            database: identity.database,
            client: self.client.clone(),
            role: self.role,
            node: identity.node,
            state: activity.state,
            command: activity.command,
            state_seconds: now.saturating_sub(activity.since).as_secs_f64(),
            connected_seconds: now.saturating_sub(self.connected).as_secs_f64(),
            commands: self.commands.load(Relaxed),
            received_bytes: self.received_bytes.load(Relaxed),
            sent_bytes: self.sent_bytes.load(Relaxed),
            in_transaction: self.in_transaction.load(Relaxed),
            stays: usize::from(self.stays.load(Relaxed))
                .checked_sub(1)
                .and_then(|place| Blocker::ALL.get(place).copied()),
        }
    }
}

/// The number of a session: unique among those open, never zero.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
pub(crate) struct SessionId(pub(crate) u32);

impl SessionId {
    /// The thread id that a client is greeted with while no node can be had. The upper half of the range is never reached
    /// at a node, so that a `KILL` with it hits nobody else's session.
    pub(crate) fn greeted(self) -> u32 {
        self.0 | 0x8000_0000
    }
}

impl fmt::Display for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Activity of a session.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
#[repr(u8)]
pub(crate) enum SessionPhase {
    /// The client logs in.
    Login,
    /// Waits for the client's next command.
    Idle,
    /// A command is under way.
    Busy,
    /// The client waits because no primary is usable.
    Held,
    /// About to end.
    Closing,
}

impl SessionPhase {
    fn from_byte(byte: u8) -> Self {
        match byte {
            0 => Self::Login,
            1 => Self::Idle,
            2 => Self::Busy,
            3 => Self::Held,
            _ => Self::Closing,
        }
    }
}

/// One word, the same as in `/status`.
impl fmt::Display for SessionPhase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.serialize(f)
    }
}

/// One session as it was at one moment.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct SessionStatus {
    /// Id of the session.
    pub(crate) id: SessionId,
    /// User who logged in; `None` before.
    pub(crate) user: Option<String>,
    /// The default database.
    pub(crate) database: Option<String>,
    /// The client's address, or the process behind a Unix socket.
    pub(crate) client: String,
    /// Whether it may write.
    pub(crate) role: RoleName,
    /// Where the link leads.
    pub(crate) node: Option<NodeAddr>,
    /// Current activity of the session.
    pub(crate) state: SessionPhase,
    /// The command under way.
    #[serde(serialize_with = "display")]
    pub(crate) command: Option<Command>,
    /// How long it has been in this state.
    pub(crate) state_seconds: f64,
    /// How long the client has been connected.
    pub(crate) connected_seconds: f64,
    /// Commands so far.
    pub(crate) commands: u64,
    /// Bytes read from the client.
    pub(crate) received_bytes: u64,
    /// Bytes written to the client.
    pub(crate) sent_bytes: u64,
    /// Whether a transaction is open.
    pub(crate) in_transaction: bool,
    /// Why it cannot go on at another node, were its own lost now; null if it can.
    #[serde(serialize_with = "display")]
    pub(crate) stays: Option<Blocker>,
}

#[derive(Debug, Default)]
struct Sessions {
    entries: BTreeMap<SessionId, Arc<SessionEntry>>,
    last_id: u32,
}

impl Sessions {
    /// The next id that no open session has. Ids start again at 1 after `u32::MAX`.
    fn next_id(&mut self) -> SessionId {
        loop {
            self.last_id = self.last_id.wrapping_add(1).max(1);
            let id = SessionId(self.last_id);
            if !self.entries.contains_key(&id) {
                return id;
            }
        }
    }
}

#[derive(Clone, Debug, Default)]
struct Identity {
    user: Option<String>,
    database: Option<String>,
    node: Option<NodeAddr>,
    thread: Option<u32>,
}

/// Activity of a session: state, command, and since when (counted from the registry's epoch).
///
/// It fits one word: 8 bits of state, 8 bits of command, 48 bits of milliseconds (8,900 years).
#[derive(Clone, Copy, Debug, PartialEq)]
struct Activity {
    state: SessionPhase,
    /// Only with [`SessionPhase::Busy`].
    command: Option<Command>,
    since: Duration,
}

impl Activity {
    fn new(state: SessionPhase, command: Option<Command>, since: Duration) -> Self {
        Self { state, command, since }
    }

    fn pack(self) -> u64 {
        let command = self.command.and_then(Command::byte).unwrap_or_default();
        (self.since.as_millis() as u64) << 16 | u64::from(command) << 8 | self.state as u64
    }

    /// The reverse of [`Activity::pack`], but for an empty command: it comes back as COM_SLEEP,
    /// which no server takes either.
    fn unpack(word: u64) -> Self {
        let [state, command, ..] = word.to_le_bytes();
        let state = SessionPhase::from_byte(state);
        Self {
            state,
            command: (state == SessionPhase::Busy).then(|| Command::from_byte(command)),
            since: Duration::from_millis(word >> 16),
        }
    }
}

fn display<T: fmt::Display, S: Serializer>(
    value: &Option<T>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    match value {
        Some(value) => serializer.collect_str(value),
        None => serializer.serialize_none(),
    }
}

/// Locks even after a panic elsewhere: what these mutexes guard is whole between two writes.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_is_listed_from_register_to_drop() {
        let registry = Arc::new(Registry::new());
        let first = registry.register("127.0.0.1:40000", RoleName::Writer);
        let second = registry.register("socket, pid 7", RoleName::Writer);
        assert_ne!(first.id(), second.id());
        assert_eq!(registry.len(), 2);

        drop(first);
        let listed = registry.snapshot();
        assert_eq!(listed.len(), 1);
        assert_eq!(listed[0].client, "socket, pid 7");
        assert_eq!(listed[0].state, SessionPhase::Login);
        drop(second);
        assert_eq!(registry.len(), 0);
    }

    #[test]
    fn a_reader_sees_what_the_session_wrote() {
        let registry = Arc::new(Registry::new());
        let session = registry.register("127.0.0.1:40000", RoleName::Writer);
        let node = NodeAddr("127.0.0.2:3306".parse().unwrap());
        session.set_user(b"icinga\xff");
        session.set_database(Some(b"icinga"));
        session.set_node(Some(node));
        session.begin_command(Command::Query);
        session.set_in_transaction(true);
        session.set_stays(Some(Blocker::TemporaryTable));
        session.add_received(250_000);
        session.add_sent(11);

        let status = registry.snapshot().remove(0);
        assert_eq!(status.user.as_deref(), Some("icinga\u{fffd}"));
        assert_eq!(status.database.as_deref(), Some("icinga"));
        assert_eq!(status.node, Some(node));
        assert_eq!(status.state, SessionPhase::Busy);
        assert_eq!(status.command, Some(Command::Query));
        assert_eq!(status.commands, 1);
        assert_eq!((status.received_bytes, status.sent_bytes), (250_000, 11));
        assert!(status.in_transaction);
        assert_eq!(status.stays, Some(Blocker::TemporaryTable));

        session.set_state(SessionPhase::Idle);
        let status = registry.snapshot().remove(0);
        assert_eq!((status.state, status.command), (SessionPhase::Idle, None));
    }

    #[test]
    fn an_open_session_keeps_its_id_when_the_numbers_start_again() {
        let registry = Arc::new(Registry::new());
        let first = registry.register("a", RoleName::Writer);
        lock(&registry.sessions).last_id = u32::MAX - 1;
        assert_eq!(registry.register("b", RoleName::Writer).id(), SessionId(u32::MAX));
        assert_eq!(
            registry.register("c", RoleName::Writer).id(),
            SessionId(2),
            "1 is taken, 0 means none"
        );
        assert_eq!(first.id(), SessionId(1));
    }

    #[test]
    fn an_activity_survives_its_packing() {
        let since = Duration::from_millis((1 << 48) - 1);
        for byte in 0..5 {
            let state = SessionPhase::from_byte(byte);
            assert_eq!(state as u8, byte);
            let command = (state == SessionPhase::Busy).then_some(Command::StmtBulkExecute);
            let activity = Activity::new(state, command, since);
            assert_eq!(Activity::unpack(activity.pack()), activity);
        }
    }
}
