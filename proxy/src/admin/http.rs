//! Status, health and metrics over HTTP. It answers as soon as the daemon runs, primary or not.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::http::{HeaderName, StatusCode, header};
use axum::response::{Html, IntoResponse};
use axum::routing::get;
use axum::{Json, Router};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tracing::warn;

use super::guarded::Guarded;
use super::status::AdminState;
use super::{BindError, listen};

/// The HTTP server, bound but not yet serving.
#[derive(Debug)]
pub(crate) struct Http {
    listener: std::net::TcpListener,
}

/// Listens on the address of `[admin] http`. Needs no runtime.
///
/// # Errors
///
/// [`BindError`], which names the key, the address and who holds it.
pub(crate) fn bind(address: SocketAddr) -> Result<Http, BindError> {
    listen("http", address).map(|listener| Http { listener })
}

impl Http {
    /// The address it listens on.
    #[cfg(test)]
    fn local_addr(&self) -> SocketAddr {
        self.listener.local_addr().unwrap()
    }

    /// Serves until `stop` is cancelled, and lets requests under way finish for a moment.
    ///
    /// # Errors
    ///
    /// Fails if the listener does not fit the runtime.
    pub(crate) async fn serve(
        self,
        state: AdminState,
        stop: CancellationToken,
    ) -> std::io::Result<()> {
        let listener = Doorkeeper {
            listener: TcpListener::from_std(self.listener)?,
            places: Arc::new(Semaphore::new(MAX_CONNECTIONS)),
        };
        let server = axum::serve(listener, router(state))
            .with_graceful_shutdown(stop.clone().cancelled_owned());
        let deadline = async {
            stop.cancelled().await;
            tokio::time::sleep(GRACE).await;
        };
        tokio::select! {
            ended = server => ended,
            () = deadline => Ok(()),
        }
    }
}

fn router(state: AdminState) -> Router {
    Router::new()
        .route("/", get(page))
        .route("/status", get(status))
        .route("/health", get(health))
        .route("/metrics", get(metrics))
        .fallback(not_found)
        .with_state(state)
}

async fn page() -> impl IntoResponse {
    // The page shows names that clients chose. It writes them as text, and this header is the
    // second lock on the same door.
    (
        [
            (header::CONTENT_SECURITY_POLICY, PAGE_POLICY),
            (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        ],
        Html(include_str!("page.html")),
    )
}

async fn status(State(state): State<AdminState>) -> impl IntoResponse {
    ([NEVER_STORED], Json(state.status()))
}

async fn health(State(state): State<AdminState>) -> impl IntoResponse {
    let (code, text) = match state.health() {
        Ok(()) => (StatusCode::OK, "ok\n".to_owned()),
        Err(why) => (StatusCode::SERVICE_UNAVAILABLE, format!("{why}\n")),
    };
    (code, [NEVER_STORED], text)
}

async fn metrics(State(state): State<AdminState>) -> impl IntoResponse {
    ([(header::CONTENT_TYPE, METRICS_TYPE)], state.metrics.render())
}

async fn not_found() -> impl IntoResponse {
    (StatusCode::NOT_FOUND, "not here; try /, /status, /health or /metrics\n")
}

/// Accepts while there are places; whoever comes later waits in the kernel's queue.
#[derive(Debug)]
struct Doorkeeper {
    listener: TcpListener,
    places: Arc<Semaphore>,
}

impl axum::serve::Listener for Doorkeeper {
    type Io = Guarded;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Guarded, SocketAddr) {
        let places = Arc::clone(&self.places);
        let place = places.acquire_owned().await.expect("the places are never closed");
        loop {
            match self.listener.accept().await {
                Ok((stream, peer)) => return (Guarded::new(stream, place, IDLE), peer),
                Err(error) => {
                    warn!(%error, "cannot accept an HTTP connection");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }

    fn local_addr(&self) -> std::io::Result<SocketAddr> {
        self.listener.local_addr()
    }
}

const MAX_CONNECTIONS: usize = 64;
/// Longer than most scrape intervals, and the page asks each second.
const IDLE: Duration = Duration::from_secs(60);
/// How long requests under way may take when the daemon ends.
const GRACE: Duration = Duration::from_secs(1);
/// Between two tries to accept when the kernel is out of something.
const ACCEPT_PAUSE: Duration = Duration::from_millis(200);
const NEVER_STORED: (HeaderName, &str) = (header::CACHE_CONTROL, "no-store");
/// Prometheus documentation, "Exposition formats".
const METRICS_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";
const PAGE_POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; \
     script-src 'unsafe-inline'; connect-src 'self'; base-uri 'none'; form-action 'none'; \
     frame-ancestors 'none'";

#[cfg(test)]
mod tests;
