//! One connection, from its first byte to its end. TLS and the PROXY protocol are already behind it.

use std::convert::Infallible;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use http::{Request, Version};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_util::sync::CancellationToken;

use super::super::client_address::Peer;
use super::activity::{Activity, Marks, Verdict, Watch, Watched};
use super::handle::handle;
use super::plain::{After, serve_plain};
use super::prefixed::Prefixed;
use super::server::Worker;
use crate::io::clock;

/// A request head, with all its fields.
const HEAD_BYTES_MAX: usize = 32 << 10;
/// Streams of one HTTP/2 connection at once.
const STREAMS_MAX: u32 = 128;
/// Streams that a client reset before they were looked at; more, and the connection ends: nobody asks and takes back that often in good faith.
const RESETS_MAX: usize = 32;
/// Streams that the gateway reset for a client's mistakes, before the connection ends.
const MISTAKES_MAX: usize = 64;
/// Of an answer on HTTP/2, what may wait for the client. With all streams in use that is 8 MiB a connection.
const STREAM_BYTES_MAX: usize = 64 << 10;
/// Of a client's bodies, what it may send unasked. A body of ours to read is a small object.
const WINDOW_BYTES: u32 = 64 << 10;
/// A quiet HTTP/2 connection is asked whether it still lives.
const PING_EVERY: Duration = Duration::from_secs(30);

/// Serves HTTP/1.1 or HTTP/2, by the first bytes, until the client ends it, stands still, or `shutdown` lets the requests under way end.
pub(super) async fn serve<I>(
    worker: Arc<Worker>,
    mut io: I,
    peer: Peer,
    activity: Arc<Activity>,
    shutdown: CancellationToken,
) where
    I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    match serve_plain(&worker, &mut io, &peer, &shutdown).await {
        After::Ended => {}
        // Boxed: the library's state is large, and a connection with plain requests need not carry it.
        After::Other(read) => {
            Box::pin(serve_any(worker, Prefixed::new(read, io), peer, activity, shutdown)).await;
        }
    }
}

/// Serves with the HTTP library.
async fn serve_any<I>(worker: Arc<Worker>, io: I, peer: Peer, activity: Arc<Activity>, shutdown: CancellationToken)
where
    I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let metrics = worker.metrics.connection.clone();
    let (header_timeout, stall_timeout) = {
        let live = worker.live.load();
        (Duration::from_secs(live.config.header_timeout_s), Duration::from_secs(live.config.stall_timeout_s))
    };
    let builder = builder(header_timeout);
    let service = service_fn({
        let activity = Arc::clone(&activity);
        move |request: Request<Incoming>| {
            activity.begin(request.version() == Version::HTTP_2);
            let marks = Marks::of(&activity);
            let worker = Arc::clone(&worker);
            async move {
                let response = handle(&worker, &peer, request).await;
                Ok::<_, Infallible>(response.map(|body| Watched::new(body, marks)))
            }
        }
    });
    let mut connection = pin!(builder.serve_connection(TokioIo::new(io), service));
    let mut watch = Watch::new(stall_timeout, clock::monotonic());
    // The library times a head only once it knows the protocol, and only on HTTP/1; who never says which, or nothing after it, is cut off here.
    let mut look = pin!(tokio::time::sleep(header_timeout));
    let (mut draining, mut idle) = (false, false);
    loop {
        tokio::select! {
            ended = connection.as_mut() => {
                if let Err(error) = ended {
                    tracing::debug!(error, "a connection ended");
                    if is_malformed(error.as_ref()) {
                        metrics.end("malformed");
                    }
                }
                return;
            }
            () = shutdown.cancelled(), if !draining => {
                draining = true;
                connection.as_mut().graceful_shutdown();
            }
            () = look.as_mut() => {
                if !activity.has_begun() {
                    return metrics.end("first_request_timeout");
                }
                match watch.look(&activity, clock::monotonic()) {
                    Verdict::Goes => {}
                    Verdict::Stalled => return metrics.end("stalled"),
                    // It was asked to end, and did not.
                    Verdict::Idle if idle => return,
                    Verdict::Idle => {
                        metrics.end("idle");
                        idle = true;
                        connection.as_mut().graceful_shutdown();
                    }
                }
                look.as_mut().reset(tokio::time::Instant::now() + watch.period());
            }
        }
    }
}

/// What the client sent is not HTTP, or its head is too large.
fn is_malformed(error: &(dyn std::error::Error + 'static)) -> bool {
    error.downcast_ref::<hyper::Error>().is_some_and(hyper::Error::is_parse)
}

fn builder(header_timeout: Duration) -> auto::Builder<TokioExecutor> {
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
        .max_pending_accept_reset_streams(RESETS_MAX)
        .max_local_error_reset_streams(MISTAKES_MAX)
        .max_send_buf_size(STREAM_BYTES_MAX)
        .initial_stream_window_size(WINDOW_BYTES)
        .initial_connection_window_size(WINDOW_BYTES)
        .keep_alive_interval(PING_EVERY)
        .keep_alive_timeout(PING_EVERY);
    builder
}
