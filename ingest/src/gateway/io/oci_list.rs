//! Tag lists and referrers: proxied and kept for a short time like a tag. A 404, with which registries say that they know no referrers, is passed on.

use std::sync::Arc;

use futures::FutureExt as _;
use http::header::{self, HeaderMap, HeaderValue};
use http::{Method, Response, StatusCode};
use http_body_util::{Either, Full};
use prometheus_client::metrics::counter::Counter;
use serde::{Deserialize, Serialize};
use whopulls_schemas::raw::Outcome;

use super::super::accept::accept_unchanged;
use super::super::cache_policy::freshness;
use super::super::notice::STALE;
use super::super::upstream_answer::{passed_on, public_link};
use super::ask::Ask;
use super::document::{Document, whole};
use super::flight::Flights;
use super::oci::{Call, Copy, Failure, Passed};
use super::store::{Store, Stored};
use super::upstream_error::UpstreamError;
use super::ways::{Way, find};
use crate::io::clock;

/// About 300,000 tags on one page; registries page their lists long before.
const LIST_BYTES_MAX: usize = 8 << 20;
/// The header fields that are kept with a list.
const KEPT: [&str; 3] = ["content-type", "link", "oci-filters-applied"];

/// The end of the path of a list of tags.
const TAGS: &str = "tags/list";

/// Lists that are kept, and those that are being asked for.
#[derive(Debug)]
pub(super) struct ListState {
    store: Arc<Store>,
    flights: Flights<Result<Document, UpstreamError>>,
}

impl ListState {
    pub(super) fn new(store: Arc<Store>, shared: Counter) -> Self {
        Self { store, flights: Flights::new(shared) }
    }

    async fn ask(&self, copy: &Copy, path: &str, headers: HeaderMap) -> Result<Document, UpstreamError> {
        let key = key_of(copy, path);
        let path = format!("/v2/{}/{path}", copy.name);
        let ask = Ask { method: Method::GET, path, headers, auth: copy.auth.clone(), follow: true };
        if copy.is_private() {
            return whole(&copy.upstream, &ask, LIST_BYTES_MAX).await;
        }
        let (store, upstream) = (Arc::clone(&self.store), Arc::clone(&copy.upstream));
        let joined = self.flights.join(key.clone(), async move {
            let document = whole(&upstream, &ask, LIST_BYTES_MAX).await?;
            match document.status {
                StatusCode::OK => drop(store.put(&key, stored_of(&document))),
                StatusCode::NOT_FOUND => store.remove(&key),
                _ => {}
            }
            Ok(document)
        });
        joined.await.unwrap_or(Err(UpstreamError::Unusable("the request for it ended early")))
    }
}

fn key_of(copy: &Copy, path: &str) -> String {
    format!("{} {path}", copy.key("list"))
}

pub(super) async fn answer(call: &Call<'_>, behind_name: &str) -> Result<Passed, Failure> {
    let state = &call.live.oci.lists;
    let path = format!("{behind_name}{}", call.query());
    let mut kept: Vec<Option<Arc<Stored>>> = Vec::with_capacity(call.copies.len());
    for copy in &call.copies {
        kept.push(if copy.is_private() { None } else { state.store.get(&key_of(copy, &path)).await });
    }
    let (now, lifetime) = (clock::now(), call.lifetime());
    let cached: Vec<_> =
        kept.iter().map(|kept| kept.as_ref().map(|kept| freshness(now, kept.stored, lifetime))).collect();
    let headers = accept_unchanged(&call.request.headers);
    let way = find(&call.copies, &cached, |copy| state.ask(copy, &path, headers.clone()).boxed()).await?;
    let from_cache = |at: usize| kept.get(at).and_then(Option::as_ref).map(|kept| document_of(kept));
    let (at, document, outcome, result) = match way {
        Way::Cached(at) => (at, from_cache(at), Outcome::Cached, "hit"),
        Way::Stale(at) => (at, from_cache(at), Outcome::Stale, "stale"),
        Way::Asked(at, document) => (at, Some(document), Outcome::Proxied, "miss"),
    };
    call.live.oci.cache.looked_up("list", result);
    let upstream = || call.copies.get(at).map(|copy| copy.upstream.id.clone()).unwrap_or_default();
    let Some(document) = document else {
        return Err(Failure { error: UpstreamError::Unknown, upstream: upstream() });
    };
    let behind = call.copies.get(at).map(|copy| copy.name.as_str());
    let document =
        if behind_name == TAGS && behind != Some(call.name) { renamed(document, call.name) } else { document };
    let mut passed = passed_document(call, at, &document);
    passed.outcome = outcome;
    if outcome != Outcome::Proxied {
        passed.upstream_status = None;
    }
    if outcome == Outcome::Stale {
        passed.response.headers_mut().append(header::WARNING, STALE);
    }
    Ok(passed)
}

/// The list under the name that the client knows: an upstream says its own.
fn renamed(document: Document, name: &str) -> Document {
    let Ok(mut list) = serde_json::from_slice::<TagList>(&document.body) else { return document };
    name.clone_into(&mut list.name);
    let Ok(body) = serde_json::to_vec(&list) else { return document };
    Document { body: body.into(), ..document }
}

/// What the gateway changes in a list of tags, and the rest.
#[derive(Debug, Serialize, Deserialize)]
struct TagList {
    name: String,
    #[serde(flatten)]
    rest: serde_json::Map<String, serde_json::Value>,
}

fn stored_of(document: &Document) -> Stored {
    let kept = document.headers.iter().filter(|(name, _)| KEPT.contains(&name.as_str()));
    let headers = kept.filter_map(|(name, value)| Some((name.to_string(), value.to_str().ok()?.to_owned())));
    Stored { headers: headers.collect(), body: document.body.clone(), stored: clock::now() }
}

fn document_of(stored: &Stored) -> Document {
    let mut headers = HeaderMap::new();
    for (name, value) in &stored.headers {
        if let (Ok(name), Ok(value)) = (header::HeaderName::try_from(name), HeaderValue::try_from(value)) {
            headers.append(name, value);
        }
    }
    Document { status: StatusCode::OK, headers, body: stored.body.clone(), url: None }
}

/// A whole answer of an upstream as it is passed on, its link led back to the public name.
pub(super) fn passed_document(call: &Call<'_>, at: usize, document: &Document) -> Passed {
    let body = if call.is_head() { Full::default() } else { Full::new(document.body.clone()) };
    let mut response = Response::new(Either::Left(body));
    *response.status_mut() = document.status;
    *response.headers_mut() = passed_on(&document.headers);
    let headers = response.headers_mut();
    if !document.body.is_empty() {
        headers.insert(header::CONTENT_LENGTH, HeaderValue::from(document.body.len()));
    }
    let copy = call.copies.get(at);
    let link = document.headers.get(header::LINK).and_then(|link| link.to_str().ok());
    let public = link.and_then(|link| public_link(link, &copy?.name, call.name));
    if let Some(link) = public.and_then(|link| HeaderValue::try_from(link).ok()) {
        headers.insert(header::LINK, link);
    }
    let upstream = copy.map(|copy| copy.upstream.id.as_str()).unwrap_or_default();
    let media_type = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).map(String::from);
    let mut passed = Passed::new(response, Outcome::Proxied, upstream);
    passed.upstream_status = Some(document.status.as_u16());
    passed.media_type = media_type.filter(|_| document.status.is_success());
    passed
}
