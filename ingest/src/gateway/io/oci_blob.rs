//! Blobs: the upstream's redirect to its storage is handed on; what it sends itself, or what a rule wants to pass through, is streamed. Small ones
//! are kept, so that configurations and small charts survive an upstream's end.

use std::sync::{Arc, Mutex, PoisonError};

use futures::FutureExt as _;
use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::{Method, Response, StatusCode};
use http_body_util::{Either, Full};
use prometheus_client::metrics::counter::Counter;
use whopulls_schemas::config::Blobs;
use whopulls_schemas::raw::Outcome;

use super::super::cache_policy::Freshness;
use super::super::digest::verify;
use super::super::notice::STALE;
use super::super::upstream_answer::{only, passed_on};
use super::ask::{Ask, Reply, redirect_target};
use super::document::Document;
use super::flight::Flights;
use super::oci::{Call, Copy, Failure, Passed, redirect};
use super::oci_list::passed_document;
use super::redirects::{Redirect, Redirects};
use super::respond::Body;
use super::store::{Store, Stored};
use super::upstream_error::UpstreamError;
use super::ways::{Way, find};
use crate::io::clock;

/// Blobs up to this size are kept: configurations, small charts, signatures.
const SMALL_BYTES_MAX: u64 = 1 << 20;
/// An error's body.
const ERROR_BYTES_MAX: usize = 64 << 10;
/// What of the client's request goes to the upstream and its storage, unchanged. Never its `Authorization`.
const PASSED_UP: [HeaderName; 4] = [header::ACCEPT, header::ACCEPT_ENCODING, header::RANGE, header::IF_RANGE];

/// Small blobs and redirects that are kept, and blobs that are being asked for.
#[derive(Debug)]
pub(super) struct BlobState {
    store: Arc<Store>,
    redirects: Arc<Redirects>,
    flights: Flights<Result<Blob, UpstreamError>>,
    small_bytes_max: u64,
}

/// What an upstream gave.
#[derive(Debug, Clone)]
enum Blob {
    Redirect(Redirect),
    Small(Arc<Stored>),
    /// No body to speak of: the answer to a HEAD, 404, 416.
    Other(Document),
    /// For the first who takes it.
    Large(Arc<Mutex<Option<Reply>>>),
}

/// What a client asks for.
#[derive(Debug, Clone)]
struct Wanted {
    digest: String,
    method: Method,
    headers: HeaderMap,
    /// The storage's redirect is followed by the gateway.
    follow: bool,
}

impl Wanted {
    fn is_part(&self) -> bool {
        self.headers.contains_key(header::RANGE)
    }

    fn redirect_key(&self, copy: &Copy) -> String {
        format!("{} {} {}", copy.key("redirect"), self.method, self.digest)
    }
}

fn blob_key(copy: &Copy, digest: &str) -> String {
    format!("{} {digest}", copy.key("blob"))
}

impl BlobState {
    pub(super) fn new(store: Arc<Store>, shared: Counter, item_bytes_max: u64) -> Self {
        let small_bytes_max = SMALL_BYTES_MAX.min(item_bytes_max);
        Self { store, redirects: Arc::default(), flights: Flights::new(shared), small_bytes_max }
    }

    /// Asks one upstream, or joins who asks it the same already.
    async fn ask(&self, copy: &Copy, wanted: &Wanted) -> Result<Blob, UpstreamError> {
        let fetching = Fetching {
            store: Arc::clone(&self.store),
            redirects: Arc::clone(&self.redirects),
            small_bytes_max: self.small_bytes_max,
            copy: copy.clone(),
            wanted: wanted.clone(),
        };
        if copy.is_private() || wanted.is_part() {
            return fetching.fetch().await;
        }
        let encoding = wanted.headers.get(header::ACCEPT_ENCODING).map(|value| value.as_bytes().escape_ascii());
        let encoding = encoding.map(|text| text.to_string()).unwrap_or_default();
        let key = format!("{}\n{}\n{encoding}", wanted.redirect_key(copy), wanted.follow);
        let again = fetching.clone();
        let joined = self.flights.join(key, fetching.fetch()).await;
        let blob = joined.unwrap_or(Err(UpstreamError::Unusable("the request for it ended early")))?;
        // One body serves one client; the others ask for their own.
        if let Blob::Large(reply) = &blob
            && reply.lock().unwrap_or_else(PoisonError::into_inner).is_none()
        {
            return again.fetch().await;
        }
        Ok(blob)
    }
}

/// A request for a blob that outlives its client.
#[derive(Debug, Clone)]
struct Fetching {
    store: Arc<Store>,
    redirects: Arc<Redirects>,
    small_bytes_max: u64,
    copy: Copy,
    wanted: Wanted,
}

impl Fetching {
    async fn fetch(self) -> Result<Blob, UpstreamError> {
        let Self { copy, wanted, .. } = &self;
        let ask = Ask {
            method: wanted.method.clone(),
            path: format!("/v2/{}/blobs/{}", copy.name, wanted.digest),
            headers: wanted.headers.clone(),
            auth: copy.auth.clone(),
            follow: wanted.follow,
        };
        let reply = copy.upstream.ask(&ask).await?;
        if let Some(location) = redirect_target(&reply.response)? {
            let status = reply.response.status().as_u16();
            let redirect = Redirect::new(location, status, clock::now());
            if !copy.is_private() {
                self.redirects.keep(wanted.redirect_key(copy), redirect.clone());
            }
            return Ok(Blob::Redirect(redirect));
        }
        let (status, headers) = (reply.response.status(), reply.response.headers().clone());
        let url = Some(reply.response.url().clone());
        let is_small = reply.response.content_length().is_some_and(|length| length <= self.small_bytes_max);
        let is_plain = !headers.contains_key(header::CONTENT_ENCODING);
        if wanted.method == Method::HEAD {
            return Ok(Blob::Other(Document { status, headers, body: bytes::Bytes::new(), url }));
        }
        if status.is_client_error() {
            let body = reply.into_bytes(ERROR_BYTES_MAX, copy.upstream.timeout).await?;
            return Ok(Blob::Other(Document { status, headers, body, url }));
        }
        if status != StatusCode::OK || !is_small || !is_plain {
            return Ok(Blob::Large(Arc::new(Mutex::new(Some(reply)))));
        }
        self.small(reply, &headers).await
    }

    async fn small(&self, reply: Reply, headers: &HeaderMap) -> Result<Blob, UpstreamError> {
        let Self { copy, wanted, .. } = self;
        let bytes_max = usize::try_from(self.small_bytes_max).unwrap_or(usize::MAX);
        let read = reply.into_bytes(bytes_max, copy.upstream.timeout).await;
        copy.upstream.note(&read);
        let body = read?;
        let verified = verify(&wanted.digest, &body);
        if verified == Some(false) {
            copy.upstream.metrics.ended("mismatch");
            tracing::warn!(upstream = copy.upstream.id, digest = wanted.digest, "the upstream sent another blob");
            return Err(UpstreamError::Mismatch);
        }
        let media_type = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
        let headers = vec![("content-type".to_owned(), media_type.unwrap_or("application/octet-stream").to_owned())];
        let stored = Stored { headers, body, stored: clock::now() };
        if verified == Some(true) && !copy.is_private() {
            return Ok(Blob::Small(self.store.put(&blob_key(copy, &wanted.digest), stored)));
        }
        Ok(Blob::Small(Arc::new(stored)))
    }
}

pub(super) async fn answer(call: &Call<'_>, digest: &str) -> Result<Passed, Failure> {
    let state = &call.live.oci.blobs;
    let mut wanted = Wanted {
        digest: digest.to_owned(),
        method: call.request.method.clone(),
        headers: only(&call.request.headers, |name| PASSED_UP.contains(name)),
        follow: call.target.rule.blobs == Blobs::Proxy,
    };
    let now = clock::now();
    let mut in_cache: Vec<Option<Blob>> = Vec::with_capacity(call.copies.len());
    for copy in &call.copies {
        in_cache.push(kept(call, copy, &wanted).await);
    }
    let cached: Vec<Option<Freshness>> = in_cache
        .iter()
        .map(|kept| match kept.as_ref()? {
            // A part is the upstream's to cut out; the whole will do when it is gone.
            Blob::Small(_) if wanted.is_part() => Some(Freshness::Due),
            Blob::Small(_) => Some(Freshness::Fresh),
            Blob::Redirect(redirect) => Some(redirect.freshness(now)),
            Blob::Other(_) | Blob::Large(_) => None,
        })
        .collect();
    let way = find(&call.copies, &cached, |copy| state.ask(copy, &wanted).boxed()).await?;
    let from_cache = |at: usize| in_cache.get(at).cloned().flatten();
    let (at, blob, age) = match way {
        Way::Cached(at) => (at, from_cache(at), Age::Fresh),
        Way::Stale(at) => (at, from_cache(at), Age::Stale),
        Way::Asked(at, blob) => (at, Some(blob), Age::New),
    };
    let upstream = call.copies.get(at).map(|copy| copy.upstream.id.clone()).unwrap_or_default();
    let failed = |error| Failure { error, upstream: upstream.clone() };
    let (Some(mut blob), Some(copy)) = (blob, call.copies.get(at)) else {
        return Err(failed(UpstreamError::Unknown));
    };
    if let Blob::Redirect(redirect) = &blob
        && !call.may_redirect_to(&redirect.location)
    {
        wanted.follow = true;
        blob = state.ask(copy, &wanted).await.map_err(failed)?;
    }
    passed(call, at, blob, &wanted.digest, age).map_err(failed)
}

/// How an answer came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Age {
    New,
    Fresh,
    Stale,
}

/// What the cache has for a client that needs nobody's yes.
async fn kept(call: &Call<'_>, copy: &Copy, wanted: &Wanted) -> Option<Blob> {
    if copy.is_private() {
        return None;
    }
    let state = &call.live.oci.blobs;
    let small = state.store.get(&blob_key(copy, &wanted.digest)).await.map(Blob::Small);
    let redirect = || state.redirects.get(&wanted.redirect_key(copy)).filter(|_| !wanted.follow).map(Blob::Redirect);
    small.or_else(redirect)
}

fn passed(call: &Call<'_>, at: usize, blob: Blob, digest: &str, age: Age) -> Result<Passed, UpstreamError> {
    let upstream = call.copies.get(at).map(|copy| copy.upstream.id.as_str()).unwrap_or_default();
    let cache = &call.live.oci.cache;
    let mut passed = match blob {
        Blob::Redirect(target) => {
            let response = redirect(target.location.as_str(), Some(digest));
            let response = response.ok_or(UpstreamError::Unusable("it redirects to no URL"))?;
            let mut passed = Passed::new(response, Outcome::Redirected, upstream);
            passed.upstream_status = (age == Age::New).then_some(target.status);
            passed
        }
        Blob::Small(stored) => {
            let outcome = if age == Age::New { Outcome::Proxied } else { Outcome::Cached };
            cache.looked_up("blob", if age == Age::New { "miss" } else { "hit" });
            let mut passed = Passed::new(small(call, &stored, digest), outcome, upstream);
            passed.upstream_status = (age == Age::New).then_some(StatusCode::OK.as_u16());
            passed
        }
        Blob::Other(document) => passed_document(call, at, &document),
        Blob::Large(reply) => {
            let reply = reply.lock().unwrap_or_else(PoisonError::into_inner).take();
            let reply = reply.ok_or(UpstreamError::Unusable("its body went to another client"))?;
            let (status, headers) = (reply.response.status(), passed_on(reply.response.headers()));
            let mut response = Response::new(Either::Right(reply.into_body()));
            *response.status_mut() = status;
            *response.headers_mut() = headers;
            let mut passed = Passed::new(response, Outcome::Proxied, upstream);
            passed.upstream_status = Some(status.as_u16());
            passed
        }
    };
    if age == Age::Stale {
        cache.looked_up("blob", "stale");
        passed.outcome = Outcome::Stale;
        passed.response.headers_mut().append(header::WARNING, STALE);
    }
    if passed.response.status().is_success() {
        passed.digest = Some(digest.to_owned());
        let media_type = passed.response.headers().get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
        passed.media_type = media_type.map(String::from);
    }
    Ok(passed)
}

fn small(call: &Call<'_>, stored: &Stored, digest: &str) -> Response<Body> {
    let body = if call.is_head() { Full::default() } else { Full::new(stored.body.clone()) };
    let mut response = Response::new(Either::Left(body));
    let headers = response.headers_mut();
    let media_type = stored.header("content-type").and_then(|value| HeaderValue::try_from(value).ok());
    headers.insert(header::CONTENT_TYPE, media_type.unwrap_or(HeaderValue::from_static("application/octet-stream")));
    headers.insert(header::CONTENT_LENGTH, HeaderValue::from(stored.body.len()));
    for (name, text) in [("docker-content-digest", digest.to_owned()), ("etag", format!("\"{digest}\""))] {
        if let Ok(value) = HeaderValue::try_from(text) {
            headers.insert(HeaderName::from_static(name), value);
        }
    }
    response
}
