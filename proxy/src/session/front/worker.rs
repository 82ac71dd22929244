//! One thread of the data path: a runtime of its own, and every session it was dealt.

use std::io;
use std::sync::Arc;
use std::thread;

use tokio::runtime;
use tokio::sync::mpsc;
use tokio_util::task::TaskTracker;

use crate::session::driver::context::SessionContext;
use crate::session::front::acceptor::{Accepted, AcceptedSocket};
use crate::session::front::serve::serve;
use crate::session::link::standby::StandbyOpener;
use crate::session::transport::stream::Stream;

/// Starts a worker; it ends when the sender of `clients` is gone and its last session has ended.
///
/// # Errors
/// The thread or its runtime cannot be made.
pub(crate) fn spawn(
    index: usize,
    context: SessionContext,
    clients: mpsc::UnboundedReceiver<Accepted>,
) -> io::Result<thread::JoinHandle<()>> {
    let runtime = runtime::Builder::new_current_thread().enable_all().build()?;
    // On whichever core the scheduler likes: kept to one, a worker lost 10 µs a command where it is slow to wake
    // another core, and waited for whatever else ran on its own.
    let thread = thread::Builder::new().name(format!("sessions-{index}"));
    thread.spawn(move || runtime.block_on(run(context, clients)))
}

async fn run(context: SessionContext, mut clients: mpsc::UnboundedReceiver<Accepted>) {
    let sessions = TaskTracker::new();
    let opener = StandbyOpener {
        dial: context.dial(),
        count: context.metrics.warm_links.clone(),
        clock: context.clock.clone(),
    };
    let keeper =
        tokio::spawn(Arc::clone(&context.standby).keep(opener, context.directives.clone()));
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
    // The keeper ends when the daemon does. Its last task is to say goodbye.
    drop(keeper.await);
}
