//! Manifests: by digest from the cache for ever, by tag for a short time and then confirmed by a HEAD.

use std::sync::Arc;

use bytes::Bytes;
use futures::FutureExt as _;
use http::header::{self, HeaderValue};
use http::{Method, Response, StatusCode};
use http_body_util::{Either, Full};
use prometheus_client::metrics::counter::Counter;
use whopulls_schemas::raw::Outcome;

use super::super::accept::{accept_of, accept_unchanged};
use super::super::cache_policy::{Freshness, freshness, names_tag};
use super::super::notice::{STALE, warning};
use super::super::oci_path::is_digest;
use super::super::registry_error::RegistryError;
use super::super::upstream_answer::children;
use super::document::Document;
use super::flight::Flights;
use super::oci::{Call, Copy, Failure, Passed};
use super::oci_list::passed_document;
use super::oci_manifest_fetch::{Found, Kept, Manifest, Wanted, renew};
use super::respond::{Body, registry_error};
use super::store::Store;
use super::upstream_error::UpstreamError;
use super::ways::{Way, find};
use crate::io::clock;

/// Manifests that are kept, and those that are being asked for.
#[derive(Debug)]
pub(super) struct ManifestState {
    store: Arc<Store>,
    flights: Flights<Result<Found, UpstreamError>>,
}

impl ManifestState {
    pub(super) fn new(store: Arc<Store>, shared: Counter) -> Self {
        Self { store, flights: Flights::new(shared) }
    }

    /// Asks one upstream, or joins who asks it the same already.
    async fn ask(&self, copy: &Copy, wanted: &Wanted) -> Result<Found, UpstreamError> {
        let (store, copy, wanted) = (Arc::clone(&self.store), copy.clone(), wanted.clone());
        if copy.is_private() {
            return renew(&store, &copy, &wanted).await;
        }
        let key = format!("{}\n{}\n{}", wanted.tag_key(&copy), wanted.reference, wanted.is_head);
        let joined = self.flights.join(key, async move { renew(&store, &copy, &wanted).await }).await;
        joined.unwrap_or(Err(UpstreamError::Unusable("the request for it ended early")))
    }
}

pub(super) async fn answer(call: &Call<'_>, reference: &str) -> Result<Passed, Failure> {
    let state = &call.live.oci.manifests;
    let wanted = Wanted {
        is_head: call.is_head(),
        reference: reference.to_owned(),
        accept: accept_of(&call.request.headers),
        // `Accept-Encoding` does not go up: what is kept must have the digest that it is kept by.
        headers: accept_unchanged(&call.request.headers),
    };
    let mut kept = Vec::with_capacity(call.copies.len());
    for copy in &call.copies {
        kept.push(Kept::of(&state.store, copy, &wanted).await);
    }
    let now = clock::now();
    let lifetime = call.lifetime();
    let cached: Vec<Option<Freshness>> = call
        .copies
        .iter()
        .zip(&kept)
        .map(|(copy, kept)| match kept.answer(wanted.is_head)? {
            // Only the upstream says whether this client may have it.
            _ if copy.is_private() => None,
            _ if wanted.is_digest() => Some(Freshness::Fresh),
            _ => Some(freshness(now, kept.checked()?, lifetime)),
        })
        .collect();
    let kind = if wanted.is_digest() { "manifest" } else { "tag" };
    let cache = &call.live.oci.cache;
    let way = find(&call.copies, &cached, |copy| state.ask(copy, &wanted).boxed()).await?;
    let from_cache = |at: usize| kept.get(at).and_then(|kept: &Kept| kept.answer(wanted.is_head));
    let (at, manifest, outcome, status) = match way {
        Way::Cached(at) => {
            cache.looked_up(kind, "hit");
            (at, from_cache(at), Outcome::Cached, None)
        }
        Way::Stale(at) => {
            cache.looked_up(kind, "stale");
            (at, from_cache(at), Outcome::Stale, None)
        }
        Way::Asked(at, Found::Manifest { manifest, is_kept, status }) => {
            cache.looked_up(kind, if is_kept { "hit" } else { "miss" });
            (at, Some(manifest), if is_kept { Outcome::Cached } else { Outcome::Proxied }, Some(status))
        }
        Way::Asked(at, Found::Other(document)) => {
            cache.looked_up(kind, "miss");
            return Ok(other(call, at, &document));
        }
    };
    let upstream = call.copies.get(at).map(|copy| copy.upstream.id.clone()).unwrap_or_default();
    let Some(manifest) = manifest else {
        return Err(Failure { error: UpstreamError::Unknown, upstream });
    };
    let mut passed = Passed::new(response(call, &manifest), outcome, &upstream);
    if outcome == Outcome::Stale {
        passed.response.headers_mut().append(header::WARNING, STALE);
    }
    if !wanted.is_digest() {
        for notice in call.target.notices(reference).filter_map(warning) {
            passed.response.headers_mut().append(header::WARNING, notice);
        }
    }
    passed.upstream_status = status.map(|status| status.as_u16());
    if !call.is_head() {
        passed.children = manifest.body.as_ref().map(|body| children(&manifest.media_type, body)).unwrap_or_default();
    }
    passed.digest = Some(manifest.digest);
    passed.media_type = Some(manifest.media_type);
    Ok(passed)
}

fn response(call: &Call<'_>, manifest: &Manifest) -> Response<Body> {
    let body = manifest.body.clone().filter(|_| !call.is_head()).unwrap_or_default();
    let mut response = Response::new(Either::Left(Full::new(body)));
    let headers = response.headers_mut();
    let mut insert = |name, text: &str| {
        if let Ok(value) = HeaderValue::try_from(text) {
            headers.insert(name, value);
        }
    };
    let etag = format!("\"{}\"", manifest.digest);
    insert(header::CONTENT_TYPE, &manifest.media_type);
    insert(header::HeaderName::from_static("docker-content-digest"), &manifest.digest);
    insert(header::ETAG, &etag);
    headers.insert(header::CONTENT_LENGTH, HeaderValue::from(manifest.size));
    for warning in &manifest.warnings {
        if let Ok(value) = HeaderValue::try_from(warning) {
            headers.append(header::WARNING, value);
        }
    }
    let known = call.request.headers.get(header::IF_NONE_MATCH).and_then(|known| known.to_str().ok());
    if known.is_some_and(|known| names_tag(known, &etag)) {
        headers.remove(header::CONTENT_LENGTH);
        *response.status_mut() = StatusCode::NOT_MODIFIED;
        *response.body_mut() = Either::Left(Full::new(Bytes::new()));
    }
    response
}

/// What is no manifest, such as 404. Of what a HEAD told there is no body.
fn other(call: &Call<'_>, at: usize, document: &Document) -> Passed {
    let mut passed = passed_document(call, at, document);
    if document.status == StatusCode::NOT_FOUND && document.body.is_empty() {
        let mut response = registry_error(RegistryError::ManifestUnknown);
        if call.request.method == Method::HEAD {
            *response.body_mut() = Either::Left(Full::default());
        }
        passed.response = response;
    }
    passed
}

impl Wanted {
    pub(super) fn is_digest(&self) -> bool {
        is_digest(&self.reference)
    }
}
