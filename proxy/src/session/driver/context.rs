//! Resources that every session of a worker is given.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use tokio::sync::{Semaphore, watch};

use crate::cluster::ClusterHandle;
use crate::cluster::tls::NodeTls;
use crate::session::link::dial::Dial;
use crate::session::link::early;
use crate::session::link::greeted::Greeted;
use crate::session::link::own_kills::OwnKills;
use crate::session::link::standby::StandbyPool;
use crate::session::shared::accounts::Accounts;
use crate::session::shared::directives::Directives;
use crate::session::shared::failover_stats::Failovers;
use crate::session::shared::greeting::ClientGreeting;
use crate::session::shared::registry::Registry;
use crate::session::state::fence::FencePool;
use crate::session::state::journal::budget::Budget;
use crate::session::state::reserved_ids::ReservedIds;
use crate::session::state::settings::Readings;
use crate::session::transport::busy_poll::PollSlot;
use crate::session::transport::timer::Clock;
use crate::session::transport::wire::Buffers;
use crate::telemetry::metrics::SessionMetrics;

/// The surroundings of a session. One for each worker thread, for the sake of its buffers and
/// warm links; the rest is shared by all.
#[derive(Clone, Debug)]
pub(crate) struct SessionContext {
    /// Accounts that may log in.
    pub(crate) accounts: Arc<Accounts>,
    /// The free buffers of this worker.
    pub(crate) buffers: Arc<Buffers>,
    /// The latest epoch whose primary is known to have applied all that was committed before it.
    pub(crate) caught_up: Arc<AtomicU64>,
    /// By TLS to nodes, or without.
    pub(crate) tls: Option<Arc<NodeTls>>,
    /// Clock of the sessions.
    pub(crate) clock: Clock,
    /// Where to say that a node looks dead.
    pub(crate) cluster: ClusterHandle,
    /// Where a failover is written down.
    pub(crate) failovers: Arc<Failovers>,
    /// The proof of commits, if the cluster keeps it.
    pub(crate) fences: Arc<FencePool>,
    /// Whether the nodes are a Galera cluster.
    pub(crate) galera: bool,
    /// The ids of rows that are not there yet.
    pub(crate) reserved: Arc<ReservedIds>,
    /// Variables that servers report and refuse to have set.
    pub(crate) readings: Arc<Readings>,
    /// Limits on what the journals of all sessions may take.
    pub(crate) journals: Arc<Budget>,
    /// Greeting for clients, as the latest node gives it.
    pub(crate) client_greeting: watch::Receiver<Arc<ClientGreeting>>,
    /// Places for connections to nodes that wait for a client's login.
    pub(crate) greeted: Arc<Semaphore>,
    /// How long things may take.
    pub(crate) limits: Limits,
    /// When we have killed connections ourselves.
    pub(crate) own_kills: Arc<OwnKills>,
    /// Slot for the one session of this worker that polls busily.
    pub(crate) poll_slot: Arc<PollSlot>,
    /// Metrics of the sessions.
    pub(crate) metrics: Arc<SessionMetrics>,
    /// Orders to the sessions.
    pub(crate) directives: watch::Receiver<Directives>,
    /// Where each session shows itself.
    pub(crate) registry: Arc<Registry>,
    /// The links of this worker's sessions that lie ready.
    pub(crate) standby: Arc<StandbyPool>,
}

impl SessionContext {
    /// Ends a connection that was made for a client that did not come to log in, or goes elsewhere.
    pub(in crate::session) fn leave(&self, unused: Greeted) {
        early::leave(unused, &self.accounts, self.dial());
    }

    /// How this worker opens links.
    pub(in crate::session) fn dial(&self) -> Dial {
        Dial {
            buffers: Arc::clone(&self.buffers),
            limit: self.limits.link_timeout,
            tls: self.tls.clone(),
        }
    }
}

/// How long things may take.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// From a client's connection to the end of its login.
    pub(crate) login: Duration,
    /// How long a client waits for a primary.
    pub(crate) hold: Duration,
    /// To connect to a node and log in there.
    pub(crate) link_timeout: Duration,
    /// How long a transaction may stay at a node that was left because it may block.
    pub(crate) blocked: Duration,
}
