//! The HTTP door: the API, a page for people, health and metrics.

mod api;
mod door;
mod metrics;
mod page;
mod problem;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{DefaultBodyLimit, Request, State};
use axum::http::header::{self, HeaderValue};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use tokio::net::TcpListener;
use tokio::sync::oneshot;

use crate::engine::{Engine, SQL_BYTES_MAX};
use crate::io::Stopwatch;
use metrics::Metrics;
use problem::Problem;

/// The largest body: a query of the longest kind, every character escaped in JSON.
const BODY_BYTES_MAX: usize = 6 * SQL_BYTES_MAX + 1024;
/// How long a stop waits for answers under way.
const DRAIN_MAX: Duration = Duration::from_secs(20);

/// Who may ask.
#[derive(Debug, Clone, Default)]
pub struct ServeConfig {
    /// Answer on an address that is not loopback although nothing here asks who is there.
    pub insecure_listen: bool,
    /// Host names under which a loopback listener answers besides `localhost` and the loopback addresses: those that a proxy
    /// in front passes on.
    pub hosts: Vec<String>,
}

/// Why the server did not start or did not go on.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The listener is open to others.
    #[error(
        "{listen} is not a loopback address, and no token guards the API; listen on 127.0.0.1 behind a proxy that \
         authenticates, or set `serve.insecure_listen = true`"
    )]
    Unguarded {
        /// Where it listens.
        listen: SocketAddr,
    },
    /// The socket failed.
    #[error("serve HTTP")]
    Socket(#[from] std::io::Error),
}

/// What every request sees.
pub(crate) struct App {
    engine: Engine,
    metrics: Metrics,
    /// `None`: any host name is right.
    hosts: Option<Vec<String>>,
}

/// Answers until `shutdown` is ready, then lets the answers under way end, for at most 20 seconds.
///
/// # Errors
/// An address that is not loopback without the setting that allows it; a socket that fails.
pub async fn serve(
    config: ServeConfig,
    engine: Engine,
    listener: TcpListener,
    shutdown: impl Future<Output = ()> + Send,
) -> Result<(), ServeError> {
    let listen = listener.local_addr()?;
    let loopback = listen.ip().is_loopback();
    if !loopback && !config.insecure_listen {
        return Err(ServeError::Unguarded { listen });
    }
    let app = App { engine, metrics: Metrics::default(), hosts: loopback.then_some(config.hosts) };
    let (stop, stopping) = oneshot::channel::<()>();
    let server = axum::serve(listener, router(Arc::new(app))).with_graceful_shutdown(async move {
        drop(stopping.await);
    });
    let mut server = std::pin::pin!(server.into_future());
    tokio::select! {
        ended = &mut server => return Ok(ended?),
        () = shutdown => drop(stop),
    }
    if let Ok(ended) = tokio::time::timeout(DRAIN_MAX, server).await {
        return Ok(ended?);
    }
    tracing::warn!(seconds = DRAIN_MAX.as_secs(), "stopped with answers still under way");
    Ok(())
}

fn router(app: Arc<App>) -> Router {
    Router::new()
        .route("/", get(page::page))
        .route("/page.css", get(page::style))
        .route("/api/v1/organizations", get(api::organizations))
        .route("/api/v1/sql", post(api::sql))
        .route("/healthz", get(async || "alive\n"))
        .route("/readyz", get(api::ready))
        .route("/metrics", get(metrics::metrics))
        .fallback(async || Problem::not_found())
        .method_not_allowed_fallback(async || Problem::method_not_allowed())
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
        .layer(middleware::from_fn_with_state(Arc::clone(&app), around))
        .with_state(app)
}

/// Judges who asks, counts and times the answer, and says to browsers what the answer may not do.
async fn around(State(app): State<Arc<App>>, request: Request, next: Next) -> Response {
    let route = metrics::route(request.uri().path());
    let stopwatch = Stopwatch::start();
    let mut response = match door::check(&request, app.hosts.as_deref()) {
        Ok(()) => next.run(request).await,
        Err(refusal) => refusal.into_response(),
    };
    app.metrics.count(route, response.status(), stopwatch.elapsed());
    let headers = response.headers_mut();
    for (name, value) in [
        (header::CONTENT_SECURITY_POLICY, page::POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    response
}
