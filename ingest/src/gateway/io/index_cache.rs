//! Index documents, rewritten once for each change: in memory, and as the upstream sent them in the cache on disk.

use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use http::header::{self, HeaderMap, HeaderName};
use http::{Method, StatusCode};
use sha2::{Digest as _, Sha256};
use url::Url;
use whopulls_schemas::UnixMicros;
use whopulls_schemas::config::CacheConfig;
use whopulls_schemas::raw::Outcome;

use super::super::cache_policy::{Freshness, Lifetime, freshness};
use super::super::index::{DOCUMENT_BYTES_MAX, Document, Rewritten, Variant, rewrite};
use super::super::lru::Lru;
use super::ask::{Ask, Auth};
use super::document::whole;
use super::flight::Flights;
use super::store::{Store, Stored};
use super::upstream::Upstream;
use super::upstream_error::UpstreamError;
use crate::io::clock;
use crate::metrics::Metrics;

/// Rewritten documents in memory: the largest one with its links, twice.
const MEMORY_BYTES_MAX: u64 = 192 << 20;
/// What an entry costs beside its document: two maps, the key twice, a few header fields.
const ENTRY_BYTES: u64 = 1 << 10;
/// A document from this size on is rewritten on a thread of its own: 256 kB take about a millisecond or two, in which a loop answers
/// nobody else.
const APART_BYTES: usize = 256 << 10;
/// A confirmed document is written to disk anew at most this often.
const STORE_AGAIN_US: i64 = 3_600_000_000;
/// The header field of a kept document that holds where it came from.
const FROM: &str = "whopulls-from";

/// A document as clients get it.
#[derive(Debug)]
pub(super) struct Page {
    pub(super) rewritten: Rewritten,
    pub(super) media_type: Option<String>,
    /// The SHA-256 of what the upstream sent.
    pub(super) hash: [u8; 32],
    validators: Vec<(String, String)>,
    checked: AtomicI64,
}

/// A page and how it was come by.
#[derive(Debug, Clone)]
pub(super) struct Got {
    pub(super) page: Arc<Page>,
    pub(super) outcome: Outcome,
    pub(super) upstream_status: Option<u16>,
}

/// Why there is none.
#[derive(Debug, Clone, thiserror::Error)]
pub(super) enum NoPage {
    #[error("the upstream answered {0}")]
    Missing(StatusCode),
    #[error(transparent)]
    Upstream(#[from] UpstreamError),
}

/// All documents.
#[derive(Debug)]
pub(super) struct Indexes {
    shared: Arc<Shared>,
    flights: Flights<Result<Got, NoPage>>,
}

#[derive(Debug)]
struct Shared {
    store: Arc<Store>,
    kept: Mutex<Lru<String, Arc<Page>>>,
    lifetime: Lifetime,
}

/// What is asked for.
#[derive(Debug, Clone)]
pub(super) struct Wanted {
    pub(super) document: Document,
    pub(super) variant: Variant,
    /// The rule's own time to live.
    pub(super) ttl_s: Option<u64>,
}

impl Indexes {
    pub(super) fn new(cache: &CacheConfig, store: Arc<Store>, metrics: &Metrics) -> Self {
        let (kept, lifetime) = (Mutex::new(Lru::new(MEMORY_BYTES_MAX)), Lifetime::of(cache));
        let shared = Arc::new(Shared { store, kept, lifetime });
        Self { shared, flights: Flights::new(metrics.upstream.shared.clone()) }
    }

    /// The document: from the cache while it is fresh, else from the upstream, else from the cache all the same.
    pub(super) async fn get(&self, upstream: &Arc<Upstream>, wanted: Wanted) -> Result<Got, NoPage> {
        let key = key(upstream, &wanted);
        let kept = self.shared.kept(&key, &wanted).await;
        let lifetime = self.shared.lifetime.with_ttl(wanted.ttl_s);
        if let Some(page) = &kept {
            let got = |outcome| Got { page: Arc::clone(page), outcome, upstream_status: None };
            match freshness(clock::now(), page.checked(), lifetime) {
                Freshness::Fresh => return Ok(got(Outcome::Cached)),
                Freshness::Due if upstream.is_backing_off() => return Ok(got(Outcome::Stale)),
                Freshness::Due | Freshness::Gone => {}
            }
        }
        let (shared, upstream) = (Arc::clone(&self.shared), Arc::clone(upstream));
        let work = {
            let (key, kept) = (key.clone(), kept.clone());
            async move { shared.renewed(&upstream, key, &wanted, kept).await }
        };
        let ended = UpstreamError::Unusable("the request for it ended early");
        let renewed = self.flights.join(key, work).await.unwrap_or(Err(ended.into()));
        match (renewed, kept) {
            (Err(NoPage::Upstream(error)), Some(page)) if error.is_failure() => {
                let stale = freshness(clock::now(), page.checked(), lifetime) != Freshness::Gone;
                tracing::debug!(%error, stale, "an index document could not be renewed");
                let upstream_status = error.status().map(|status| status.as_u16());
                if stale { Ok(Got { page, outcome: Outcome::Stale, upstream_status }) } else { Err(error.into()) }
            }
            (renewed, _) => renewed,
        }
    }
}

impl Page {
    fn checked(&self) -> UnixMicros {
        UnixMicros(self.checked.load(Ordering::Relaxed))
    }
}

impl Shared {
    async fn kept(&self, key: &str, wanted: &Wanted) -> Option<Arc<Page>> {
        if let Some(page) = lock(&self.kept).get(key) {
            return Some(Arc::clone(page));
        }
        let stored = self.store.get(key).await?;
        let page = page(&wanted.document, &stored).await.ok()?;
        self.keep(key, &page);
        Some(page)
    }

    fn keep(&self, key: &str, page: &Arc<Page>) {
        let bytes = page.rewritten.bytes() as u64 + 2 * key.len() as u64 + ENTRY_BYTES;
        lock(&self.kept).insert(key.to_owned(), Arc::clone(page), bytes);
    }

    fn forget(&self, key: &str) {
        lock(&self.kept).remove(key);
        self.store.remove(key);
    }

    async fn renewed(
        &self,
        upstream: &Upstream,
        key: String,
        wanted: &Wanted,
        kept: Option<Arc<Page>>,
    ) -> Result<Got, NoPage> {
        let mut headers = HeaderMap::new();
        headers.insert(header::ACCEPT, wanted.variant.accept());
        for (name, value) in kept.iter().flat_map(|page| &page.validators) {
            if let (Some(name), Ok(value)) = (condition(name), value.parse()) {
                headers.insert(name, value);
            }
        }
        let path = wanted.document.path.clone();
        let ask = Ask { method: Method::GET, path, headers, auth: Auth::Own, follow: true };
        let answer = whole(upstream, &ask, DOCUMENT_BYTES_MAX).await?;
        let now = clock::now();
        let upstream_status = Some(answer.status.as_u16());
        match (answer.status, kept) {
            (StatusCode::OK, _) => {
                let stored = Stored {
                    headers: kept_headers(&answer.headers, answer.url.as_ref()),
                    body: answer.body,
                    stored: now,
                };
                let page = page(&wanted.document, &stored).await?;
                self.keep(&key, &page);
                self.store.put(&key, stored);
                Ok(Got { page, outcome: Outcome::Proxied, upstream_status })
            }
            (StatusCode::NOT_MODIFIED, Some(page)) => {
                page.checked.store(now.0, Ordering::Relaxed);
                if let Some(stored) = self.store.get(&key).await.filter(|s| now.0 - s.stored.0 > STORE_AGAIN_US) {
                    self.store.put(&key, Stored { stored: now, ..Stored::clone(&stored) });
                }
                Ok(Got { page, outcome: Outcome::Cached, upstream_status })
            }
            (status, _) if status.is_client_error() => {
                self.forget(&key);
                Err(NoPage::Missing(status))
            }
            _ => Err(UpstreamError::Unusable("it answered neither with a document nor with an error").into()),
        }
    }
}

/// Rewrites a document.
async fn page(document: &Document, stored: &Stored) -> Result<Arc<Page>, UpstreamError> {
    let from = stored.header(FROM).and_then(|from| Url::parse(from).ok());
    let from = from.ok_or(UpstreamError::Unusable("it came from no URL"))?;
    let media_type = stored.header(header::CONTENT_TYPE.as_str()).map(String::from);
    let work = {
        let (document, body) = (document.clone(), stored.body.clone());
        let media_type = media_type.clone().unwrap_or_default();
        move || (rewrite(&document, &body, &media_type, &from), hash(&body))
    };
    let (rewritten, hash) = if stored.body.len() < APART_BYTES {
        work()
    } else {
        let apart = tokio::task::spawn_blocking(work).await;
        apart.map_err(|_panic| UpstreamError::Unusable("the document cannot be rewritten"))?
    };
    let rewritten = rewritten.map_err(|error| {
        tracing::debug!(%error, path = document.path, "an index document cannot be rewritten");
        UpstreamError::Unusable("the document is not one of this kind of index")
    })?;
    let validators = stored.headers.iter().filter(|(name, _)| condition(name).is_some()).cloned().collect();
    let checked = AtomicI64::new(stored.stored.0);
    Ok(Arc::new(Page { rewritten, media_type, hash, validators, checked }))
}

fn hash(body: &Bytes) -> [u8; 32] {
    Sha256::digest(body).into()
}

fn kept_headers(headers: &HeaderMap, from: Option<&Url>) -> Vec<(String, String)> {
    let kept = [header::CONTENT_TYPE, header::ETAG, header::LAST_MODIFIED].into_iter();
    let kept = kept.filter_map(|name| Some((name.to_string(), headers.get(&name)?.to_str().ok()?.to_owned())));
    kept.chain(from.map(|from| (FROM.to_owned(), from.to_string()))).collect()
}

/// The request header that asks whether a validator still holds.
fn condition(validator: &str) -> Option<HeaderName> {
    match validator {
        "etag" => Some(header::IF_NONE_MATCH),
        "last-modified" => Some(header::IF_MODIFIED_SINCE),
        _ => None,
    }
}

fn key(upstream: &Upstream, wanted: &Wanted) -> String {
    format!("index\n{}\n{}\n{}", upstream.base, wanted.document.path, wanted.variant.word())
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
