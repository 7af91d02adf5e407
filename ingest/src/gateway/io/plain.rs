//! Plain requests, answered as they come from the socket; see [`super::super::plain`].

use std::future::poll_fn;
use std::io;
use std::pin::{Pin, pin};
use std::task::{Context, Poll};
use std::time::Duration;

use http::StatusCode;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _, ReadBuf};
use tokio::time::{Instant, Sleep};
use tokio_util::sync::CancellationToken;
use whopulls_schemas::raw::Outcome;

use super::super::access::{Moments, Sent};
use super::super::client_address::Peer;
use super::super::plain::{Head, PlainRequest, read};
use super::handle::plain_redirect;
use super::recorder::Kept;
use super::server::Worker;
use crate::io::clock;

/// A head is read into this much at first: a browser's has some 1,500 bytes. 10,000 open connections hold 20 MiB.
const BUFFER_BYTES: usize = 2 << 10;
/// A longer head is not plain.
const BUFFER_BYTES_MAX: usize = 16 << 10;

/// How long a client's side may take to let us say goodbye.
const GOODBYE_WAIT: Duration = Duration::from_secs(1);

/// How it went on after the plain requests.
#[derive(Debug)]
pub(super) enum After {
    /// The connection is over.
    Ended,
    /// What comes next is not plain: these bytes of it are read.
    Other(Vec<u8>),
}

/// What came while a head was waited for.
enum Came {
    Bytes(usize),
    /// The client ended the connection, or it broke.
    End,
    /// The time for a head is over.
    Timeout,
    Shutdown,
}

/// Answers plain requests until there is one that is not, or the connection ends.
pub(super) async fn serve_plain<I>(worker: &Worker, io: &mut I, peer: &Peer, shutdown: &CancellationToken) -> After
where
    I: AsyncRead + AsyncWrite + Unpin,
{
    let (timeout, stall_timeout) = {
        let live = worker.live.load();
        (Duration::from_secs(live.config.header_timeout_s), Duration::from_secs(live.config.stall_timeout_s))
    };
    let mut timer = pin!(tokio::time::sleep(timeout));
    let mut stopping = pin!(shutdown.cancelled());
    let mut buffer = vec![0; BUFFER_BYTES];
    let (mut begin, mut end) = (0, 0);
    let mut response = Vec::new();
    let (mut answered, mut answered_since_timer) = (false, false);
    loop {
        let unread = buffer.get(begin..end).unwrap_or_default();
        match if unread.is_empty() { Head::Partial } else { read(unread) } {
            Head::Plain(request, length) => {
                let Some(kept) = respond(worker, peer, &request, &mut response) else {
                    return After::Other(unread.to_vec());
                };
                kept.await;
                if let Err(error) = send(io, &response, stall_timeout).await {
                    if error.kind() == io::ErrorKind::TimedOut {
                        worker.metrics.connection.end("stalled");
                    }
                    tracing::debug!(%error, "a connection ended");
                    return After::Ended;
                }
                (answered, answered_since_timer) = (true, true);
                begin += length;
                continue;
            }
            Head::Other => return After::Other(unread.to_vec()),
            Head::Partial => {}
        }
        buffer.copy_within(begin..end, 0);
        (begin, end) = (0, end - begin);
        if end == buffer.len() {
            if end >= BUFFER_BYTES_MAX {
                return After::Other(buffer);
            }
            buffer.resize(end * 2, 0);
        }
        let room = buffer.get_mut(end..).unwrap_or_default();
        match poll_fn(|context| poll_more(context, io, room, timer.as_mut(), stopping.as_mut())).await {
            Came::Bytes(count) => end += count,
            // One timer is set for many requests: a client is cut off after one to two times the time for a head.
            Came::Timeout if answered_since_timer => {
                timer.as_mut().reset(Instant::now() + timeout);
                answered_since_timer = false;
            }
            Came::Timeout => {
                if !answered {
                    worker.metrics.connection.end("first_request_timeout");
                }
                return ended(io).await;
            }
            Came::Shutdown if end == 0 => return ended(io).await,
            Came::Shutdown => {
                buffer.truncate(end);
                return After::Other(buffer);
            }
            Came::End => return After::Ended,
        }
    }
}

/// Ends the connection in order: TLS has a word for it.
async fn ended<I: AsyncWrite + Unpin>(io: &mut I) -> After {
    if let Ok(Err(error)) = tokio::time::timeout(GOODBYE_WAIT, io.shutdown()).await {
        tracing::debug!(%error, "a connection ended");
    }
    After::Ended
}

/// Sends an answer; who does not take it within `stall_timeout` is not waited for. A client that takes it at once, as nearly all do, costs
/// no timer.
async fn send<I: AsyncWrite + Unpin>(io: &mut I, response: &[u8], stall_timeout: Duration) -> io::Result<()> {
    let mut sending = pin!(async {
        io.write_all(response).await?;
        // TLS may hold back what the socket did not take.
        io.flush().await
    });
    if let Poll::Ready(sent) = poll_fn(|context| Poll::Ready(sending.as_mut().poll(context))).await {
        return sent;
    }
    tokio::time::timeout(stall_timeout, sending).await.unwrap_or_else(|_elapsed| Err(io::ErrorKind::TimedOut.into()))
}

fn poll_more<I: AsyncRead + Unpin>(
    context: &mut Context<'_>,
    io: &mut I,
    room: &mut [u8],
    timer: Pin<&mut Sleep>,
    stopping: Pin<&mut impl Future<Output = ()>>,
) -> Poll<Came> {
    let mut into = ReadBuf::new(room);
    match Pin::new(io).poll_read(context, &mut into) {
        Poll::Ready(Ok(())) if into.filled().is_empty() => Poll::Ready(Came::End),
        Poll::Ready(Ok(())) => Poll::Ready(Came::Bytes(into.filled().len())),
        Poll::Ready(Err(error)) => {
            tracing::debug!(%error, "a connection ended");
            Poll::Ready(Came::End)
        }
        Poll::Pending if stopping.poll(context).is_ready() => Poll::Ready(Came::Shutdown),
        Poll::Pending => timer.poll(context).map(|()| Came::Timeout),
    }
}

/// Writes the answer into `response` and its record into the batch; `None`, and nothing done, when the library is to answer.
fn respond(worker: &Worker, peer: &Peer, request: &PlainRequest<'_>, response: &mut Vec<u8>) -> Option<Kept> {
    let begun = clock::monotonic();
    let live = worker.live.load();
    if worker.challenges.as_ref().is_some_and(|challenges| challenges.answer(request.path).is_some()) {
        return None;
    }
    if worker.is_ending() {
        // The library says that the connection ends.
        return None;
    }
    let (route, target) = plain_redirect(&live, peer, request)?;
    let status = StatusCode::from_u16(target.status).ok()?;
    if !target.location.bytes().all(|b| b.is_ascii_graphic()) {
        return None;
    }
    let received = clock::now();
    response.clear();
    worker.date.at(received, |date| write_head(response, status, &target.location, request.is_head, date))?;
    let duration = begun.elapsed();
    let duration_us = u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
    let moments = Moments { id: worker.ids.at(received), received, duration_us };
    worker.count(Some(route), Some(Outcome::Redirected), Sent { status: target.status, bytes: 0 }, duration);
    let mut kept = None;
    request.record(peer, route, &target, moments, |record| {
        kept = Some(worker.recorder.keep(|out| record.encode_into(out)));
    });
    kept
}

/// As the library writes it.
fn write_head(out: &mut Vec<u8>, status: StatusCode, location: &str, is_head: bool, date: &str) -> Option<()> {
    let length = if is_head { "" } else { "\r\ncontent-length: 0" };
    let reason = status.canonical_reason()?;
    for part in
        ["HTTP/1.1 ", status.as_str(), " ", reason, "\r\nlocation: ", location, length, "\r\ndate: ", date, "\r\n\r\n"]
    {
        out.extend_from_slice(part.as_bytes());
    }
    Some(())
}
