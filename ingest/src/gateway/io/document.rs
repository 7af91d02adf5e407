//! Whole answers of an upstream, bounded.

use bytes::Bytes;
use http::{HeaderMap, Method, StatusCode};
use url::Url;

use super::ask::Ask;
use super::upstream::Upstream;
use super::upstream_error::UpstreamError;
use crate::io::clock;

/// A whole answer.
#[derive(Debug, Clone)]
pub(super) struct Document {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
    /// Where it came from in the end: relative links in it are relative to this. Absent for one from the cache.
    pub(super) url: Option<Url>,
}

/// Asks and reads the whole answer, within the upstream's timeout for both together. A body that breaks is asked for once more.
pub(super) async fn whole(upstream: &Upstream, ask: &Ask, bytes_max: usize) -> Result<Document, UpstreamError> {
    let begun = clock::monotonic();
    let mut again = upstream.retries_max > 0;
    loop {
        let reply = upstream.ask(ask).await?;
        let (status, headers) = (reply.response.status(), reply.response.headers().clone());
        let url = Some(reply.response.url().clone());
        if ask.method == Method::HEAD {
            return Ok(Document { status, headers, body: Bytes::new(), url });
        }
        let read = reply.into_bytes(bytes_max, upstream.timeout.saturating_sub(begun.elapsed())).await;
        // A body that breaks is the upstream's failure like a head that does not come.
        upstream.note(&read);
        match read {
            Err(UpstreamError::Http(_)) if again => {
                again = false;
                upstream.metrics.retries.inc();
            }
            read => return read.map(|body| Document { status, headers, body, url }),
        }
    }
}
