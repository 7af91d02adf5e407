//! One connection, from its first byte to its end. TLS and the PROXY protocol are already behind it.

use std::convert::Infallible;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_util::sync::CancellationToken;

use super::super::client_address::Peer;
use super::handle::handle;
use super::server::Worker;
use crate::metrics::Refusal;

/// A request head, with all its fields.
const HEAD_BYTES_MAX: usize = 32 << 10;
/// Streams of one HTTP/2 connection at once.
const STREAMS_MAX: u32 = 128;
/// A quiet HTTP/2 connection is asked whether it still lives.
const PING_EVERY: Duration = Duration::from_secs(30);

/// Serves HTTP/1.1 or HTTP/2, by the first bytes, until the client ends it or `shutdown` lets the requests under way end.
pub(super) async fn serve<I>(worker: Arc<Worker>, io: I, peer: Peer, shutdown: CancellationToken)
where
    I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let header_timeout = Duration::from_secs(worker.live.load().config.header_timeout_s);
    let builder = builder(header_timeout);
    let metrics = worker.metrics.clone();
    let begun = Arc::new(AtomicBool::new(false));
    let service = service_fn({
        let begun = Arc::clone(&begun);
        move |request| {
            begun.store(true, Ordering::Relaxed);
            let worker = Arc::clone(&worker);
            async move { Ok::<_, Infallible>(handle(&worker, &peer, request).await) }
        }
    });
    let mut connection = pin!(builder.serve_connection(TokioIo::new(io), service));
    // The library times a head only once it knows the protocol; who never says which is cut off here.
    let mut first_head = pin!(tokio::time::sleep(header_timeout));
    let (mut first_head_due, mut draining) = (true, false);
    loop {
        tokio::select! {
            ended = connection.as_mut() => {
                if let Err(error) = ended {
                    tracing::debug!(error, "a connection ended");
                    // A connection that waits for a next request for too long is idle, not refused.
                    if !begun.load(Ordering::Relaxed)
                        && let Some(reason) = refusal(error.as_ref())
                    {
                        metrics.refuse(reason);
                    }
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
                    metrics.refuse(Refusal::SlowHead);
                    return;
                }
            }
        }
    }
}

/// Why a connection was closed on its client, when the client is the reason.
fn refusal(error: &(dyn std::error::Error + 'static)) -> Option<Refusal> {
    let error = error.downcast_ref::<hyper::Error>()?;
    match error {
        error if error.is_timeout() => Some(Refusal::SlowHead),
        error if error.is_parse() => Some(Refusal::Malformed),
        _ => None,
    }
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
        .keep_alive_interval(PING_EVERY)
        .keep_alive_timeout(PING_EVERY);
    builder
}
