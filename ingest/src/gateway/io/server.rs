//! The listener and its connections.

use std::convert::Infallible;
use std::net::{IpAddr, SocketAddr};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use http::{Request, Response, StatusCode, header};
use hyper::body::{Body as _, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;
use whopulls_schemas::config::{Config, GatewayConfig};
use whopulls_schemas::raw::{Kind, RawAccess, TEXT_BYTES_MAX};

use super::super::access::{Moments, Sent, host, record};
use super::super::oci_path::OciPath;
use super::super::routes::{RouteError, Routes};
use super::recorder::Recorder;
use super::respond::{Answer, Body, refused};
use super::upstream::Upstreams;
use super::{file, oci};
use crate::io::clock;
use crate::metrics::{Metrics, RequestLabels};
use crate::spool::Spool;

/// A request head, with all its fields.
const HEAD_BYTES_MAX: usize = 32 << 10;
/// Streams of one HTTP/2 connection at once.
const STREAMS_MAX: u32 = 128;
/// A quiet HTTP/2 connection is asked whether it still lives.
const PING_EVERY: Duration = Duration::from_secs(30);
/// After a failed `accept`, such as too many open files.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// The gateway cannot start.
#[derive(Debug, thiserror::Error)]
pub enum GatewayError {
    /// Rules that cannot be compiled, all of them.
    #[error("{} of the routes cannot be used:{}", .0.len(), lines(.0))]
    Routes(Vec<RouteError>),
    /// The configuration names no address.
    #[error("there is no `gateway.listen` in the configuration")]
    NoListener,
    /// The address cannot be listened on.
    #[error("listen on {address}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// Why.
        source: std::io::Error,
    },
    /// No TLS roots, or the like.
    #[error("make the client for upstream registries")]
    Client(#[source] reqwest::Error),
}

fn lines(errors: &[RouteError]) -> String {
    errors.iter().fold(String::new(), |text, error| text + &format!("\n  {error}: {}", error.source))
}

/// A gateway that listens.
#[derive(Debug)]
pub struct Gateway {
    listener: TcpListener,
    address: SocketAddr,
    config: GatewayConfig,
    state: Arc<State>,
}

#[derive(Debug)]
struct State {
    config: GatewayConfig,
    routes: Routes,
    upstreams: Upstreams,
    recorder: Recorder,
    metrics: Metrics,
}

impl Gateway {
    /// Compiles the routes and listens.
    ///
    /// # Errors
    /// A route is wrong or the address is taken.
    pub async fn bind(all: &Config, spool: Spool, metrics: Metrics) -> Result<Self, GatewayError> {
        let config = all.gateway.as_ref().ok_or(GatewayError::NoListener)?;
        let listen = config.listen.ok_or(GatewayError::NoListener)?;
        let routes = Routes::compile(&all.routes, &all.upstreams).map_err(GatewayError::Routes)?;
        let timeout = Duration::from_secs(config.upstream_timeout_s);
        let upstreams = Upstreams::new(timeout, metrics.clone()).map_err(GatewayError::Client)?;
        let failed = |source| GatewayError::Listen { address: listen, source };
        let listener = TcpListener::bind(listen).await.map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        let recorder = Recorder::new(spool, metrics.clone());
        let state = State { config: config.clone(), routes, upstreams, recorder, metrics };
        Ok(Self { listener, address, config: config.clone(), state: Arc::new(state) })
    }

    /// The address, with the port that was chosen for port 0.
    pub fn local_addr(&self) -> SocketAddr {
        self.address
    }

    /// Answers until `shutdown`, then lets requests under way end within `gateway.drain_timeout_s`.
    pub async fn run(self, shutdown: CancellationToken) {
        let connections_max = self.config.connections_max;
        let permits = Arc::new(Semaphore::new(connections_max));
        loop {
            let accepted = tokio::select! {
                () = shutdown.cancelled() => break,
                accepted = accept(&self.listener, &permits) => accepted,
            };
            match accepted {
                Ok((stream, peer, permit)) => {
                    let (state, shutdown) = (Arc::clone(&self.state), shutdown.clone());
                    tokio::spawn(async move {
                        state.metrics.connections.inc();
                        serve(&state, stream, peer.ip(), shutdown).await;
                        state.metrics.connections.dec();
                        drop(permit);
                    });
                }
                Err(error) => {
                    tracing::warn!(%error, "a connection was not accepted");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
        drop(self.listener);
        let all = u32::try_from(connections_max).unwrap_or(u32::MAX);
        let drained = tokio::time::timeout(Duration::from_secs(self.config.drain_timeout_s), permits.acquire_many(all));
        if drained.await.is_err() {
            tracing::warn!(seconds = self.config.drain_timeout_s, "requests were still under way when the drain ended");
        }
    }
}

async fn accept(
    listener: &TcpListener,
    permits: &Arc<Semaphore>,
) -> std::io::Result<(TcpStream, SocketAddr, tokio::sync::OwnedSemaphorePermit)> {
    let permit = Arc::clone(permits).acquire_owned().await.map_err(std::io::Error::other)?;
    let (stream, peer) = listener.accept().await?;
    stream.set_nodelay(true)?;
    Ok((stream, peer, permit))
}

/// One connection, HTTP/1.1 or HTTP/2 by its first bytes.
async fn serve(state: &Arc<State>, stream: TcpStream, peer: IpAddr, shutdown: CancellationToken) {
    let header_timeout = Duration::from_secs(state.config.header_timeout_s);
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(header_timeout)
        .max_buf_size(HEAD_BYTES_MAX)
        .http2()
        .timer(TokioTimer::new())
        .max_header_list_size(u32::try_from(HEAD_BYTES_MAX).unwrap_or(u32::MAX))
        .max_concurrent_streams(STREAMS_MAX)
        .keep_alive_interval(PING_EVERY)
        .keep_alive_timeout(PING_EVERY);
    let begun = Arc::new(AtomicBool::new(false));
    let service = service_fn({
        let (state, begun) = (Arc::clone(state), Arc::clone(&begun));
        move |request| {
            begun.store(true, Ordering::Relaxed);
            let state = Arc::clone(&state);
            async move { Ok::<_, Infallible>(handle(&state, peer, request).await) }
        }
    });
    let mut connection = pin!(builder.serve_connection(TokioIo::new(stream), service));
    // The library times a head only once it knows the protocol; who never says which is cut off here.
    let mut first_head = pin!(tokio::time::sleep(header_timeout));
    let (mut first_head_due, mut draining) = (true, false);
    loop {
        tokio::select! {
            ended = connection.as_mut() => {
                if let Err(error) = ended {
                    tracing::debug!(error, "a connection ended");
                }
                return;
            }
            () = shutdown.cancelled(), if !draining => {
                draining = true;
                connection.as_mut().graceful_shutdown();
            }
            () = first_head.as_mut(), if first_head_due => {
                first_head_due = false;
                if !begun.load(Ordering::Relaxed) {
                    return;
                }
            }
        }
    }
}

/// Answers one request and keeps its record before the head is sent.
async fn handle(state: &State, peer: IpAddr, request: Request<Incoming>) -> Response<Body> {
    let received = clock::now();
    let begun = clock::monotonic();
    let (request, _body) = request.into_parts();
    let answer = answer(state, &request).await;
    let duration = begun.elapsed();
    let moments =
        Moments { id: Uuid::now_v7(), received, duration_us: u64::try_from(duration.as_micros()).unwrap_or(u64::MAX) };
    let sent = Sent { status: answer.response.status().as_u16(), bytes: length(&answer.response) };
    let Answer { response, answered } = answer;
    let GatewayConfig { trust, query_keys, .. } = &state.config;
    let record: RawAccess = record(&request, peer, trust, query_keys, moments, sent, answered);
    state.recorder.keep(&record, received).await;
    let route = record.route.unwrap_or_else(|| "none".into());
    let outcome = record.outcome.map_or("none", whopulls_schemas::raw::Outcome::as_str);
    state.metrics.requests.get_or_create(&RequestLabels { route, outcome }).inc();
    state.metrics.duration.observe(duration.as_secs_f64());
    response
}

async fn answer(state: &State, request: &http::request::Parts) -> Answer {
    if request.uri.path().len() > TEXT_BYTES_MAX {
        return refused(StatusCode::URI_TOO_LONG, Kind::Other, "the path is too long\n");
    }
    match OciPath::parse(request.uri.path()) {
        Some(path) if state.routes.has_registry(host(request)) => {
            // Boxed: the future of a proxied answer is large, and a redirect need not carry it.
            Box::pin(oci::answer(&state.routes, &state.upstreams, request, path)).await
        }
        _ => file::answer(&state.routes, request),
    }
}

/// Of a body at hand its size, of a streamed one what its `Content-Length` says.
fn length(response: &Response<Body>) -> u64 {
    let said = response.headers().get(header::CONTENT_LENGTH).and_then(|l| l.to_str().ok()?.parse().ok());
    said.or(response.body().size_hint().exact()).unwrap_or(0)
}
