//! Time that the proxy adds to a round trip.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use lab::proxy::Proxy;
use lab::{Result, sql};
use mysql_async::Conn;
use mysql_async::prelude::Queryable;

/// Measures `DO 1` through the proxy and directly, in turns, so that both meet the same machine.
pub(super) struct Latency {
    proxied: Conn,
    direct: Conn,
    node: SocketAddr,
}

/// Half of the round trips took no longer than this.
#[derive(Clone, Copy, Debug)]
pub(super) struct Medians {
    /// Straight to the node.
    pub(super) direct: Duration,
    /// Through the proxy, both by TCP.
    pub(super) proxied: Duration,
}

impl Medians {
    /// Time that the proxy adds, in microseconds; below 0 when noise is larger.
    pub(super) fn added_micros(&self) -> f64 {
        (self.proxied.as_secs_f64() - self.direct.as_secs_f64()) * 1e6
    }
}

impl Latency {
    /// Logs in at `node`, the primary, and at the proxy, with Icinga's account.
    pub(super) async fn to(proxy: &Proxy, node: SocketAddr) -> Result<Self> {
        let proxied = proxy.connect().await?;
        let direct =
            sql::connect(proxy.tcp_account().ip_or_hostname(node.ip().to_string())).await?;
        Ok(Self { proxied, direct, node })
    }

    /// The node it measures against.
    pub(super) fn node(&self) -> SocketAddr {
        self.node
    }

    /// 50 round trips each, or `None` when a connection is lost.
    pub(super) async fn measure(&mut self) -> Option<Medians> {
        let (mut proxied, mut direct) = (Vec::new(), Vec::new());
        for _ in 0..ROUNDS {
            direct.push(round_trip(&mut self.direct).await?);
            proxied.push(round_trip(&mut self.proxied).await?);
        }
        Some(Medians { direct: median(direct)?, proxied: median(proxied)? })
    }
}

async fn round_trip(conn: &mut Conn) -> Option<Duration> {
    let begin = Instant::now();
    tokio::time::timeout(PATIENCE, conn.query_drop("DO 1")).await.ok()?.ok()?;
    Some(begin.elapsed())
}

/// The middle one of `values`.
pub(super) fn median<T: PartialOrd + Copy>(mut values: Vec<T>) -> Option<T> {
    values.sort_by(|one, other| one.partial_cmp(other).unwrap_or(std::cmp::Ordering::Equal));
    values.get(values.len() / 2).copied()
}

const ROUNDS: usize = 50;
const PATIENCE: Duration = Duration::from_secs(1);
