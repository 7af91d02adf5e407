//! What the cache has of a manifest, and asking an upstream for the rest. Nothing is kept or answered that does not have its digest.

use std::sync::Arc;

use bytes::Bytes;
use http::header::{self, HeaderMap};
use http::{Method, StatusCode};
use whopulls_schemas::UnixMicros;

use super::super::accept::accepts;
use super::super::digest::{sha256, verify};
use super::super::oci_path::is_digest;
use super::ask::Ask;
use super::document::{Document, whole};
use super::oci::Copy;
use super::store::{Store, Stored};
use super::upstream_error::UpstreamError;
use crate::io::clock;

/// The largest manifest of the distribution specification. With the default of 256 requests to an upstream at once: 1 GiB at the very most, if all
/// of them were manifests of that size; a usual one has 2 to 10 kB.
const MANIFEST_BYTES_MAX: usize = 4 << 20;
/// Warnings of an upstream that are passed on.
const WARNINGS_MAX: usize = 8;

/// What a client asks for.
#[derive(Debug, Clone)]
pub(super) struct Wanted {
    pub(super) is_head: bool,
    pub(super) reference: String,
    /// The client's `Accept` as one text.
    pub(super) accept: String,
    /// The client's `Accept` as it goes up.
    pub(super) headers: HeaderMap,
}

/// A manifest; of a HEAD without its body.
#[derive(Debug, Clone)]
pub(super) struct Manifest {
    pub(super) digest: String,
    pub(super) media_type: String,
    pub(super) size: u64,
    pub(super) body: Option<Bytes>,
    pub(super) warnings: Vec<String>,
}

/// What an upstream gave.
#[derive(Debug, Clone)]
pub(super) enum Found {
    Manifest {
        manifest: Manifest,
        /// The upstream only confirmed what the cache has.
        is_kept: bool,
        status: StatusCode,
    },
    /// Something else than a manifest, which is passed on: 404 and the like.
    Other(Document),
}

/// What the cache has.
#[derive(Debug)]
pub(super) struct Kept {
    /// The tag's digest, type and size; when it was confirmed.
    tag: Option<Arc<Stored>>,
    manifest: Option<Manifest>,
}

impl Kept {
    pub(super) async fn of(store: &Store, copy: &Copy, wanted: &Wanted) -> Self {
        if wanted.is_digest() {
            let manifest = manifest_of(store, copy, &wanted.reference).await;
            let manifest = manifest.filter(|manifest| accepts(&wanted.accept, &manifest.media_type));
            return Self { tag: None, manifest };
        }
        let tag = store.get(&wanted.tag_key(copy)).await;
        let manifest = match tag.as_ref().and_then(|tag| tag.header("docker-content-digest")) {
            Some(digest) => manifest_of(store, copy, digest).await,
            None => None,
        };
        Self { tag, manifest }
    }

    /// What can be answered from it.
    pub(super) fn answer(&self, is_head: bool) -> Option<Manifest> {
        let of_tag = || described(self.tag.as_ref().filter(|_| is_head)?.as_ref());
        self.manifest.clone().or_else(of_tag)
    }

    pub(super) fn checked(&self) -> Option<UnixMicros> {
        self.tag.as_ref().map(|tag| tag.stored)
    }
}

impl Wanted {
    /// What an upstream answers for a tag depends on `Accept`.
    pub(super) fn tag_key(&self, copy: &Copy) -> String {
        format!("{} {}\n{}", copy.key("tag"), self.reference, self.accept)
    }

    fn ask(&self, copy: &Copy, method: Method) -> Ask {
        Ask {
            method,
            path: format!("/v2/{}/manifests/{}", copy.name, self.reference),
            headers: self.headers.clone(),
            auth: copy.auth.clone(),
            follow: true,
        }
    }
}

fn manifest_key(copy: &Copy, digest: &str) -> String {
    format!("{} {digest}", copy.key("manifest"))
}

async fn manifest_of(store: &Store, copy: &Copy, digest: &str) -> Option<Manifest> {
    let stored = store.get(&manifest_key(copy, digest)).await?;
    let mut manifest = described(&stored)?;
    manifest.body = Some(stored.body.clone());
    Some(manifest)
}

/// Digest, type and size as they are kept.
fn described(stored: &Stored) -> Option<Manifest> {
    let text = |name| stored.header(name).map(String::from);
    let warnings = stored.headers.iter().filter(|(name, _)| name == "warning").map(|(_, text)| text.clone());
    Some(Manifest {
        digest: text("docker-content-digest")?,
        media_type: text("content-type")?,
        size: stored.header("content-length")?.parse().ok()?,
        body: None,
        warnings: warnings.collect(),
    })
}

/// Confirms what the cache has with a HEAD, which registries do not count, or asks for the whole.
pub(super) async fn renew(store: &Store, copy: &Copy, wanted: &Wanted) -> Result<Found, UpstreamError> {
    if wanted.is_head || Kept::of(store, copy, wanted).await.manifest.is_some() {
        let document = whole(&copy.upstream, &wanted.ask(copy, Method::HEAD), 0).await?;
        let status = document.status;
        if status == StatusCode::NOT_FOUND {
            store.remove(&wanted.tag_key(copy));
            return Ok(Found::Other(document));
        }
        let head = if status == StatusCode::OK { head_of(&document.headers, wanted) } else { None };
        if let Some(head) = head {
            keep_tag(store, copy, wanted, &head);
            if wanted.is_head {
                let is_kept = false;
                return Ok(Found::Manifest { manifest: head, is_kept, status });
            }
            let kept = manifest_of(store, copy, &head.digest).await;
            if let Some(manifest) = kept.filter(|kept| accepts(&wanted.accept, &kept.media_type)) {
                return Ok(Found::Manifest { manifest, is_kept: true, status });
            }
        }
        // A registry that does not say enough, or does not know HEAD, is asked for the whole.
    }
    fetch(store, copy, wanted).await
}

async fn fetch(store: &Store, copy: &Copy, wanted: &Wanted) -> Result<Found, UpstreamError> {
    let document = whole(&copy.upstream, &wanted.ask(copy, Method::GET), MANIFEST_BYTES_MAX).await?;
    let status = document.status;
    if status == StatusCode::NOT_FOUND {
        store.remove(&wanted.tag_key(copy));
    }
    if status != StatusCode::OK {
        return Ok(Found::Other(document));
    }
    if document.headers.contains_key(header::CONTENT_ENCODING) {
        return Err(UpstreamError::Unusable("its manifest is encoded although nobody asked for that"));
    }
    let Document { headers, body, .. } = document;
    let said = if wanted.is_digest() { Some(wanted.reference.clone()) } else { digest_of(&headers) };
    let digest = said.unwrap_or_else(|| sha256(&body));
    let verified = verify(&digest, &body);
    if verified == Some(false) {
        copy.upstream.metrics.ended("mismatch");
        tracing::warn!(upstream = copy.upstream.id, digest, "the upstream sent a manifest that has another digest");
        return Err(UpstreamError::Mismatch);
    }
    let media_type = text(&headers, &header::CONTENT_TYPE).unwrap_or_else(|| "application/json".to_owned());
    let warnings = warnings_of(&headers);
    let manifest = Manifest { digest, media_type, size: body.len() as u64, body: Some(body.clone()), warnings };
    if verified == Some(true) {
        let stored = Stored { headers: headers_of(&manifest), body, stored: clock::now() };
        store.put(&manifest_key(copy, &manifest.digest), stored);
    }
    keep_tag(store, copy, wanted, &manifest);
    Ok(Found::Manifest { manifest, is_kept: false, status })
}

fn keep_tag(store: &Store, copy: &Copy, wanted: &Wanted, manifest: &Manifest) {
    if !wanted.is_digest() {
        let tag = Stored { headers: headers_of(manifest), body: Bytes::new(), stored: clock::now() };
        store.put(&wanted.tag_key(copy), tag);
    }
}

fn headers_of(manifest: &Manifest) -> Vec<(String, String)> {
    let mut headers = vec![
        ("docker-content-digest".to_owned(), manifest.digest.clone()),
        ("content-type".to_owned(), manifest.media_type.clone()),
        ("content-length".to_owned(), manifest.size.to_string()),
    ];
    headers.extend(manifest.warnings.iter().map(|text| ("warning".to_owned(), text.clone())));
    headers
}

/// What a HEAD says; `None` when it does not say all that a client needs.
fn head_of(headers: &HeaderMap, wanted: &Wanted) -> Option<Manifest> {
    let said = digest_of(headers);
    let digest = if wanted.is_digest() { Some(wanted.reference.clone()) } else { said };
    Some(Manifest {
        digest: digest?,
        media_type: text(headers, &header::CONTENT_TYPE)?,
        size: text(headers, &header::CONTENT_LENGTH)?.parse().ok()?,
        body: None,
        warnings: warnings_of(headers),
    })
}

fn digest_of(headers: &HeaderMap) -> Option<String> {
    let digest = headers.get("docker-content-digest")?.to_str().ok()?;
    is_digest(digest).then(|| digest.to_owned())
}

fn warnings_of(headers: &HeaderMap) -> Vec<String> {
    let values = headers.get_all(header::WARNING).iter().filter_map(|value| value.to_str().ok());
    values.filter(|text| text.starts_with("299")).take(WARNINGS_MAX).map(String::from).collect()
}

fn text(headers: &HeaderMap, name: &header::HeaderName) -> Option<String> {
    headers.get(name)?.to_str().ok().map(String::from)
}
