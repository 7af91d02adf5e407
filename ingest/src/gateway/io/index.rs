//! Package indexes: documents are answered rewritten, files by a redirect to where the document says that they are.

use std::sync::Arc;

use bytes::Bytes;
use data_encoding::HEXLOWER;
use http::header::{self, HeaderValue};
use http::request::Parts;
use http::{Method, Response, StatusCode};
use sha2::{Digest as _, Sha256};
use url::{Position, Url};
use whopulls_schemas::raw::{Kind, Outcome, bounded};

use super::super::access::Answered;
use super::super::cache_policy::names_tag;
use super::super::client_address::Peer;
use super::super::index::{Asked, Document, IndexKind, Variant, link, parse, variant};
use super::super::notice::STALE;
use super::super::realm::{authority, public_address};
use super::super::rule::{IndexRule, IndexTarget};
use super::file::sent_to;
use super::index_cache::{Got, NoPage, Wanted};
use super::live::Live;
use super::pass::{failed, pass};
use super::respond::{Answer, Body, is_read, not_read, whole};
use super::upstream::Upstream;
use super::upstream_error::UpstreamError;

/// A file that a fresh document does not name is looked for anew when the document is older than this: the client may have seen a newer
/// one.
const AGE_FOR_MISSING_S: u64 = 5;

/// One request of an index.
struct Context<'a> {
    live: &'a Live,
    peer: &'a Peer,
    request: &'a Parts,
    rule: &'a IndexRule,
    upstream: &'a Arc<Upstream>,
}

pub(super) async fn answer(live: &Live, peer: &Peer, route: &str, target: &IndexTarget<'_>, request: &Parts) -> Answer {
    let rule = target.rule;
    let mut answered = Answered::new(kind(rule.kind), Outcome::Refused);
    answered.route = Some(route.into());
    if !is_read(request) {
        return not_read(answered);
    }
    let Some(upstream) = live.upstreams.get(&rule.upstream) else {
        let response = failed(&UpstreamError::Unknown, &mut answered);
        return Answer { response, answered };
    };
    let context = Context { live, peer, request, rule, upstream };
    let response = match parse(rule.kind, target.path) {
        Asked::Document(document) => {
            answered.package.clone_from(&document.package);
            context.document(document, &mut answered).await
        }
        Asked::File { document, version, file } => {
            answered.package.clone_from(&document.package);
            answered.version.clone_from(&version);
            context.file(document, version.as_deref(), &file, &mut answered).await
        }
        Asked::Moved { to, package } => {
            answered.package = package;
            answered.outcome = Outcome::Redirected;
            sent_to(&to, 301).unwrap_or_else(|| context.missing(StatusCode::NOT_FOUND))
        }
        Asked::Ping => {
            answered.outcome = Outcome::Served;
            whole(StatusCode::OK, "application/json", Bytes::from_static(b"{}"))
        }
        Asked::Unknown => context.missing(StatusCode::NOT_FOUND),
    };
    Answer { response, answered }
}

impl Context<'_> {
    async fn document(&self, document: Document, answered: &mut Answered) -> Response<Body> {
        let variant = variant(&document, &self.request.headers);
        let wanted = Wanted { document, variant, ttl_s: self.rule.ttl_s };
        answered.upstream = Some(self.upstream.id.clone());
        let got = match self.live.indexes.get(self.upstream, wanted).await {
            Ok(got) => got,
            Err(error) => return self.no_page(&error, answered),
        };
        let base = if got.page.rewritten.needs_base() { self.base() } else { Some(String::new()) };
        let Some(base) = base else {
            return self
                .whole(StatusCode::BAD_REQUEST, "the request names no host that can stand in the document's URLs");
        };
        answered.outcome = got.outcome;
        answered.upstream_status = got.upstream_status;
        answered.media_type = got.page.media_type.as_deref().map(bounded);
        page(&got, &base, variant.varies(), self.request)
    }

    /// The gateway's address with the rule's prefix.
    fn base(&self) -> Option<String> {
        let config = &self.live.config;
        let base = match &config.public_url {
            Some(url) => url.as_str().trim_end_matches('/').to_owned(),
            None => public_address(config, self.peer, authority(self.request), &self.request.headers)?,
        };
        Some(base + &self.rule.prefix)
    }

    async fn file(
        &self,
        document: Document,
        version: Option<&str>,
        file: &str,
        answered: &mut Answered,
    ) -> Response<Body> {
        answered.upstream = Some(self.upstream.id.clone());
        let found = match self.found(&document, version, file).await {
            Ok(found) => found,
            // Without its document a tarball may still be where npm's registry has it.
            Err(NoPage::Upstream(error)) if self.rule.kind == IndexKind::Npm && error.is_failure() => {
                Some(format!("{}{}/-/{file}", self.upstream.base, document.path.replace("%2f", "/")))
            }
            Err(error) => return self.no_page(&error, answered),
        };
        let Some(url) = found else { return self.missing(StatusCode::NOT_FOUND) };
        // Who has no credentials for the upstream cannot be sent there.
        if self.upstream.credentials.is_some()
            && let Some(path) = below(&url, &self.upstream.base)
        {
            return pass(self.upstream, path, self.request, answered).await;
        }
        answered.outcome = Outcome::Redirected;
        sent_to(&url, 302).unwrap_or_else(|| self.missing(StatusCode::NOT_FOUND))
    }

    async fn found(&self, document: &Document, version: Option<&str>, file: &str) -> Result<Option<String>, NoPage> {
        let variant = match self.rule.kind {
            IndexKind::Helm => Variant::Plain,
            IndexKind::Pypi => Variant::PypiJson,
            IndexKind::Npm => Variant::NpmAbbreviated,
        };
        let mut wanted = Wanted { document: document.clone(), variant, ttl_s: self.rule.ttl_s };
        let got = self.live.indexes.get(self.upstream, wanted.clone()).await?;
        let found = link(document, &got.page.rewritten, version, file);
        if found.is_some() || got.outcome != Outcome::Cached {
            return Ok(found);
        }
        wanted.ttl_s = Some(AGE_FOR_MISSING_S);
        let got = self.live.indexes.get(self.upstream, wanted).await?;
        Ok(link(document, &got.page.rewritten, version, file))
    }

    fn no_page(&self, error: &NoPage, answered: &mut Answered) -> Response<Body> {
        match error {
            NoPage::Missing(status) => {
                answered.outcome = Outcome::Proxied;
                answered.upstream_status = Some(status.as_u16());
                self.missing(*status)
            }
            NoPage::Upstream(error) => {
                tracing::debug!(%error, upstream = self.upstream.id, "an index document did not come from its upstream");
                failed(error, answered)
            }
        }
    }

    fn missing(&self, status: StatusCode) -> Response<Body> {
        self.whole(status, "not found here")
    }

    /// A refusal in the client's own form.
    fn whole(&self, status: StatusCode, text: &str) -> Response<Body> {
        match self.rule.kind {
            IndexKind::Npm => {
                whole(status, "application/json", serde_json::json!({ "error": text }).to_string().into_bytes())
            }
            IndexKind::Helm | IndexKind::Pypi => whole(status, "text/plain; charset=utf-8", format!("{text}\n")),
        }
    }
}

/// The document, or that the client has it.
fn page(got: &Got, base: &str, varies: bool, request: &Parts) -> Response<Body> {
    let tag = tag(&got.page.hash, base);
    let asked = request.headers.get(header::IF_NONE_MATCH).and_then(|value| value.to_str().ok());
    let has_it = asked.is_some_and(|asked| names_tag(asked, &tag));
    let body = if has_it { Bytes::new() } else { got.page.rewritten.text(base) };
    let length = body.len();
    let body = if request.method == Method::HEAD { Bytes::new() } else { body };
    let status = if has_it { StatusCode::NOT_MODIFIED } else { StatusCode::OK };
    let mut response = whole(status, "application/octet-stream", body);
    let headers = response.headers_mut();
    headers.remove(header::CONTENT_TYPE);
    if !has_it {
        headers.insert(header::CONTENT_LENGTH, HeaderValue::from(length));
        if let Some(media_type) = got.page.media_type.as_deref().and_then(|value| value.parse().ok()) {
            headers.insert(header::CONTENT_TYPE, media_type);
        }
    }
    if let Ok(tag) = tag.parse() {
        headers.insert(header::ETAG, tag);
    }
    // A document that a client keeps is confirmed by its tag, in a few bytes.
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    if varies {
        headers.insert(header::VARY, HeaderValue::from_static("accept"));
    }
    if got.outcome == Outcome::Stale {
        headers.insert(header::WARNING, STALE);
    }
    response
}

/// The tag of a rewritten document: what the upstream sent, and the address that was put in.
fn tag(hash: &[u8; 32], base: &str) -> String {
    let whole = Sha256::new().chain_update(hash).chain_update(base).finalize();
    let hexadecimal = HEXLOWER.encode(whole.get(..16).unwrap_or_default());
    format!("\"{hexadecimal}\"")
}

/// The path and query behind an upstream's URL, of a URL that is below it.
fn below(url: &str, base: &str) -> Option<String> {
    let (url, base) = (Url::parse(url).ok()?, Url::parse(base).ok()?);
    let path = url[Position::BeforePath..Position::AfterQuery].strip_prefix(base.path().trim_end_matches('/'))?;
    (url.origin() == base.origin() && path.starts_with('/')).then(|| path.to_owned())
}

fn kind(kind: IndexKind) -> Kind {
    match kind {
        IndexKind::Helm => Kind::Helm,
        IndexKind::Pypi => Kind::Pypi,
        IndexKind::Npm => Kind::Npm,
    }
}
