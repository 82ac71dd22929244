//! One thread of the data path: a runtime of its own, and every session it was dealt.

use std::io;
use std::sync::Arc;
use std::thread;

use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
use nix::unistd::Pid;
use tokio::runtime;
use tokio::sync::mpsc;
use tokio_util::task::TaskTracker;

use super::acceptor::{Accepted, AcceptedSocket};
use super::context::SessionContext;
use super::serve::serve;
use super::stream::Stream;
use super::warm::Heater;

/// Starts a worker; it ends when the sender of `clients` is gone and its last session has ended.
///
/// # Errors
/// The thread or its runtime cannot be made.
pub(crate) fn spawn(
    index: usize,
    context: SessionContext,
    clients: mpsc::UnboundedReceiver<Accepted>,
) -> io::Result<thread::JoinHandle<()>> {
    let cores = sched_getaffinity(THIS_THREAD);
    let mut runtime = runtime::Builder::new_current_thread();
    if let Ok(cores) = cores {
        // What packs the journal, or reads it from disk, is started by the worker and must not stay with it.
        runtime.on_thread_start(move || {
            let _ = sched_setaffinity(THIS_THREAD, &cores);
        });
    }
    let runtime = runtime.enable_all().build()?;
    thread::Builder::new().name(format!("sessions-{index}")).spawn(move || {
        if let Err(error) = cores.and_then(|cores| stay_on_one_core(index, &cores)) {
            tracing::debug!(%error, "a worker goes from core to core");
        }
        runtime.block_on(run(context, clients));
    })
}

/// Keeps the calling thread to one of the `allowed` cores: the last one for the first worker, as interrupts
/// are served on the first ones.
///
/// Woken for a command, the scheduler looks for an idle core, and takes the thread away from its cache
/// and from the core where the client has just fallen asleep. On two cores that costs 5 µs a command.
fn stay_on_one_core(worker: usize, allowed: &CpuSet) -> nix::Result<()> {
    let mut cores: Vec<_> =
        (0..CpuSet::count()).filter(|core| allowed.is_set(*core) == Ok(true)).collect();
    cores.reverse();
    let Some(core) = cores.get(worker % cores.len().max(1)) else { return Ok(()) };
    let mut only = CpuSet::new();
    only.set(*core)?;
    sched_setaffinity(THIS_THREAD, &only)
}

/// Source: sched_setaffinity(2).
const THIS_THREAD: Pid = Pid::from_raw(0);

async fn run(context: SessionContext, mut clients: mpsc::UnboundedReceiver<Accepted>) {
    let sessions = TaskTracker::new();
    let heater = Heater {
        dial: context.dial(),
        count: context.metrics.warm_links.clone(),
        clock: context.clock.clone(),
    };
    let keeper = tokio::spawn(Arc::clone(&context.warm).keep(heater, context.orders.clone()));
    while let Some(Accepted { socket, client, host, role, permit }) = clients.recv().await {
        let stream = match socket {
            AcceptedSocket::Tcp(stream) => Stream::from_accepted_tcp(stream),
            AcceptedSocket::Unix(stream) => Stream::from_accepted_unix(stream),
        };
        match stream {
            Ok(stream) => {
                let context = context.clone();
                // A task of its own: should a session panic in spite of everything, the others and
                // the thread live on.
                sessions.spawn(async move {
                    serve(stream, client, host, role, context).await;
                    drop(permit);
                });
            }
            Err(error) => tracing::debug!(%error, client, "a client left at once"),
        }
    }
    sessions.close();
    sessions.wait().await;
    // It ends when the daemon does; what it still does then is to say goodbye.
    drop(keeper.await);
}
