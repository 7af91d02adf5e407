//! `/healthz`, `/readyz` and `/metrics`, on a listener of their own.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use http::{Request, Response, StatusCode, header};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use prometheus_client::registry::Registry;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use crate::metrics::Metrics;
use crate::spool::Spool;

/// Operators and their monitors, not the public.
const CONNECTIONS_MAX: usize = 64;
const METRICS_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// The operators' listener cannot be opened.
#[derive(Debug, thiserror::Error)]
#[error("listen on {address} for health and metrics")]
pub struct AdminError {
    address: SocketAddr,
    source: std::io::Error,
}

/// The operators' listener.
#[derive(Debug)]
pub struct Admin {
    listener: TcpListener,
    address: SocketAddr,
    facts: Arc<Facts>,
}

#[derive(Debug)]
struct Facts {
    registry: Registry,
    metrics: Metrics,
    spool: Spool,
    forward_reader: Option<&'static str>,
    shutdown: CancellationToken,
}

impl Admin {
    /// Listens. Readiness ends when `shutdown` is cancelled; it never depends on Kafka.
    ///
    /// # Errors
    /// The address cannot be listened on.
    pub async fn bind(
        address: SocketAddr,
        registry: Registry,
        metrics: Metrics,
        spool: Spool,
        forward_reader: Option<&'static str>,
        shutdown: CancellationToken,
    ) -> Result<Self, AdminError> {
        let failed = |source| AdminError { address, source };
        let listener = TcpListener::bind(address).await.map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        let facts = Arc::new(Facts { registry, metrics, spool, forward_reader, shutdown });
        Ok(Self { listener, address, facts })
    }

    /// The address, with the port that was chosen for port 0.
    pub fn local_addr(&self) -> SocketAddr {
        self.address
    }

    /// Answers until `stop`. It outlives the gateway's drain, so that monitors see it.
    pub async fn run(self, stop: CancellationToken) {
        let permits = Arc::new(Semaphore::new(CONNECTIONS_MAX));
        loop {
            let Ok(permit) = Arc::clone(&permits).acquire_owned().await else { return };
            let accepted = tokio::select! {
                () = stop.cancelled() => return,
                accepted = self.listener.accept() => accepted,
            };
            let Ok((stream, _peer)) = accepted else {
                tokio::time::sleep(std::time::Duration::from_millis(100)).await;
                continue;
            };
            let facts = Arc::clone(&self.facts);
            let stop = stop.clone();
            tokio::spawn(async move {
                let service = service_fn(move |request| {
                    let answer = answer(&facts, &request);
                    async move { Ok::<_, Infallible>(answer) }
                });
                let connection = http1::Builder::new()
                    .timer(TokioTimer::new())
                    .header_read_timeout(std::time::Duration::from_secs(10))
                    .serve_connection(TokioIo::new(stream), service);
                tokio::select! {
                    () = stop.cancelled() => {}
                    ended = connection => if let Err(error) = ended {
                        tracing::debug!(%error, "a connection for health and metrics ended");
                    },
                }
                drop(permit);
            });
        }
    }
}

fn answer(facts: &Facts, request: &Request<Incoming>) -> Response<Full<Bytes>> {
    match request.uri().path() {
        "/healthz" => text(StatusCode::OK, "text/plain", "alive\n".into()),
        "/readyz" if facts.shutdown.is_cancelled() => {
            text(StatusCode::SERVICE_UNAVAILABLE, "text/plain", "draining\n".into())
        }
        "/readyz" => text(StatusCode::OK, "text/plain", "ready\n".into()),
        "/metrics" => {
            let lag = facts.forward_reader.and_then(|name| facts.spool.lag_of(name));
            facts.metrics.set_spool(facts.spool.stats(), lag);
            let mut page = String::new();
            match prometheus_client::encoding::text::encode(&mut page, &facts.registry) {
                Ok(()) => text(StatusCode::OK, METRICS_TYPE, page),
                Err(_) => text(StatusCode::INTERNAL_SERVER_ERROR, "text/plain", "metrics cannot be written\n".into()),
            }
        }
        _ => text(StatusCode::NOT_FOUND, "text/plain", "here are /healthz, /readyz and /metrics\n".into()),
    }
}

fn text(status: StatusCode, media_type: &'static str, body: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::from(body));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, header::HeaderValue::from_static(media_type));
    response
}
