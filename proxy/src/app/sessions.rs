//! The data path as a whole: its threads, its listeners, and its orderly end.

use std::io;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use ido_proxy_config::Config;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::session::driver::context::SessionContext;
use crate::session::front::acceptor::Acceptor;
use crate::session::front::listener::Listener;
use crate::session::front::worker;
use crate::session::shared::directives::{Directives, Phase};
use crate::session::shared::registry::Registry;
use crate::session::shared::role::Role;

/// Running workers and listeners.
#[derive(Debug)]
pub(super) struct Sessions {
    listeners: TaskTracker,
    stop_accepting: CancellationToken,
    workers: Vec<thread::JoinHandle<()>>,
}

impl Sessions {
    /// Starts the workers, then the listeners. `context` is the first worker's; the others get the
    /// same but for buffers and warm links.
    pub(super) fn start(
        listeners: Vec<(Listener, Role)>,
        context: SessionContext,
        config: &Config,
    ) -> io::Result<Self> {
        let mut workers = Vec::new();
        let mut queues = Vec::new();
        for index in 0..config.workers {
            let (queue, clients) = mpsc::unbounded_channel();
            let context = SessionContext {
                buffers: Arc::default(),
                poll_slot: Arc::default(),
                standby: Arc::default(),
                ..context.clone()
            };
            workers.push(worker::spawn(index, context, clients)?);
            queues.push(queue);
        }
        let limit = config.listen.max_connections;
        let acceptor = Arc::new(Acceptor::new(limit, queues, context.metrics));
        let stop_accepting = CancellationToken::new();
        let tasks = TaskTracker::new();
        for (listener, role) in listeners {
            let (acceptor, stop) = (Arc::clone(&acceptor), stop_accepting.clone());
            tasks.spawn(async move {
                if let Err(error) = acceptor.run(listener, role, stop).await {
                    tracing::error!(%error, "a listener failed");
                }
            });
        }
        tasks.close();
        Ok(Self { listeners: tasks, stop_accepting, workers })
    }

    /// Closes the listeners, lets each session end where its client loses nothing, and ends what is
    /// left after `limit`.
    pub(super) async fn drain(
        self,
        directives: &watch::Sender<Directives>,
        limit: Duration,
        registry: &Registry,
    ) {
        self.stop_accepting.cancel();
        self.listeners.wait().await;
        directives.send_modify(|directives| directives.phase = Phase::Draining);
        let deadline = Instant::now() + limit;
        while self.workers.iter().any(|worker| !worker.is_finished()) {
            if Instant::now() >= deadline {
                for session in registry.snapshot() {
                    tracing::warn!(
                        session = %session.id,
                        user = session.user.as_deref().unwrap_or("-"),
                        client = session.client,
                        in_transaction = session.in_transaction,
                        "did not come to an end in time; closing it"
                    );
                }
                directives.send_modify(|directives| directives.phase = Phase::Closing);
                break;
            }
            sleep(LOOK_AGAIN).await;
        }
        for worker in self.workers {
            // Every wait in a session is bounded once the phase is `Closing`.
            drop(tokio::task::spawn_blocking(move || worker.join()).await);
        }
    }
}

/// How often to look whether the last session has ended.
const LOOK_AGAIN: Duration = Duration::from_millis(10);
