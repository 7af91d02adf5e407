//! Whole answers of an upstream, bounded, one request for all who ask the same at once.

use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use prometheus_client::metrics::counter::Counter;
use url::Url;

use super::ask::{Ask, Auth};
use super::flight::Flights;
use super::upstream::{Upstream, Upstreams};
use super::upstream_error::UpstreamError;

/// A whole answer.
#[derive(Debug, Clone)]
pub(super) struct Document {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
    /// Where it came from in the end: relative links in it are relative to this.
    pub(super) url: Url,
}

/// Requests for documents that are under way.
#[derive(Debug)]
pub(super) struct Documents(Flights<Result<Document, UpstreamError>>);

impl Documents {
    pub(super) fn new(shared: Counter) -> Self {
        Self(Flights::new(shared))
    }

    /// Asks for a whole answer, or joins who asks the same already.
    pub(super) async fn get(
        &self,
        upstream: &Arc<Upstream>,
        ask: Ask,
        bytes_max: usize,
    ) -> Result<Document, UpstreamError> {
        if let Auth::Client(_) = ask.auth {
            // What one client may see is not for another.
            return whole(upstream, &ask, bytes_max).await;
        }
        let key = key_of(upstream, &ask, bytes_max);
        let upstream = Arc::clone(upstream);
        let work = async move { whole(&upstream, &ask, bytes_max).await };
        self.0.join(key, work).await.unwrap_or(Err(UpstreamError::Unusable("the request for it ended early")))
    }
}

impl Upstreams {
    /// One whole GET of `path_and_query` below the upstream's base URL: with its credentials, timeouts, retries and limits, redirects
    /// followed. Any status but a refusal and 5xx is a document.
    pub(super) async fn document(
        &self,
        upstream_id: &str,
        path_and_query: &str,
        headers: &HeaderMap,
        bytes_max: usize,
    ) -> Result<Document, UpstreamError> {
        let upstream = self.get(upstream_id).ok_or(UpstreamError::Unknown)?;
        let (method, path, headers) = (Method::GET, path_and_query.to_owned(), headers.clone());
        let ask = Ask { method, path, headers, auth: Auth::Own, follow: true };
        self.documents.get(upstream, ask, bytes_max).await
    }
}

/// Asks and reads the whole answer.
pub(super) async fn whole(upstream: &Upstream, ask: &Ask, bytes_max: usize) -> Result<Document, UpstreamError> {
    let reply = upstream.ask(ask).await?;
    let (status, headers) = (reply.response.status(), reply.response.headers().clone());
    let url = reply.response.url().clone();
    let body = match ask.method {
        Method::HEAD => Bytes::new(),
        _ => {
            let read = reply.into_bytes(bytes_max, upstream.timeout).await;
            // A body that breaks is the upstream's failure like a head that does not come.
            upstream.note(&read);
            read?
        }
    };
    Ok(Document { status, headers, body, url })
}

fn key_of(upstream: &Upstream, ask: &Ask, bytes_max: usize) -> String {
    let text = |value: &HeaderValue| value.as_bytes().escape_ascii().to_string();
    let mut headers: Vec<String> = ask.headers.iter().map(|(name, value)| format!("{name}: {}", text(value))).collect();
    headers.sort_unstable();
    let repository = if let Auth::Repository(name) = &ask.auth { name.as_str() } else { "" };
    format!("{}\n{} {}\n{repository}\n{bytes_max}\n{}", upstream.id, ask.method, ask.path, headers.join("\n"))
}
