//! A long way: what a program and a service say to each other arrives late, both ways.
//!
//! The kernel here cannot delay packets, so connections are led through a relay that can. Neither side sees it:
//! the rule is the packet filter's, and the addresses are as before.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};
use tokio_util::task::AbortOnDropHandle;

use crate::error::{LabError, Result};
use crate::faults::Faults;

/// The relay of one service. Dropping it ends the connections through it.
#[derive(Debug)]
pub struct Delay {
    each_way: Arc<AtomicU64>,
    _relay: AbortOnDropHandle<()>,
}

impl Delay {
    /// Leads what the programs in `groups` open to `service` from now on over `relay`, an address that is free,
    /// and for the present without delay. What is open already goes on as it is.
    ///
    /// # Errors
    /// Without root, or without nftables.
    pub async fn between(
        faults: &Faults,
        groups: &[u32],
        service: SocketAddr,
        relay: SocketAddr,
    ) -> Result<Self> {
        let listener = TcpListener::bind(relay)
            .await
            .map_err(|error| LabError::Refused(format!("nobody can listen at {relay}: {error}")))?;
        for group in groups {
            faults.lead(*group, service, relay).await?;
        }
        let each_way = Arc::new(AtomicU64::new(0));
        let relay = tokio::spawn(serve(listener, service, Arc::clone(&each_way)));
        Ok(Self { each_way, _relay: AbortOnDropHandle::new(relay) })
    }

    /// Whatever is said arrives so much later.
    pub fn set(&self, each_way: Duration) {
        let micros = u64::try_from(each_way.as_micros()).unwrap_or(u64::MAX);
        self.each_way.store(micros, Ordering::Relaxed);
    }
}

async fn serve(listener: TcpListener, service: SocketAddr, each_way: Arc<AtomicU64>) {
    let mut connections = JoinSet::new();
    while let Ok((near, _)) = listener.accept().await {
        let each_way = Arc::clone(&each_way);
        connections.spawn(async move {
            // A service that takes no connection closes this one, too.
            let Ok(far) = TcpStream::connect(service).await else { return };
            let _ = (near.set_nodelay(true), far.set_nodelay(true));
            let ((near_in, near_out), (far_in, far_out)) = (near.into_split(), far.into_split());
            tokio::join!(carry(near_in, far_out, &each_way), carry(far_in, near_out, &each_way));
        });
        while connections.try_join_next().is_some() {}
    }
}

/// Carries what comes to where it goes, each piece at its time.
async fn carry(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, each_way: &AtomicU64) {
    let (sender, mut pieces) = mpsc::channel::<(Instant, Vec<u8>)>(UNDER_WAY);
    let read = async move {
        let mut buffer = vec![0; 64 << 10];
        while let Ok(len @ 1..) = from.read(&mut buffer).await {
            let delay = Duration::from_micros(each_way.load(Ordering::Relaxed));
            if sender.send((Instant::now() + delay, buffer[..len].to_vec())).await.is_err() {
                return;
            }
        }
    };
    let write = async move {
        while let Some((due, piece)) = pieces.recv().await {
            sleep_until(due).await;
            if to.write_all(&piece).await.is_err() {
                return;
            }
        }
        let _ = to.shutdown().await;
    };
    tokio::join!(read, write);
}

/// Pieces that are on their way at once.
const UNDER_WAY: usize = 1024;
