//! The registry API: the small is proxied and kept, the large redirected.

use std::sync::Arc;

use http::header::{self, HeaderMap, HeaderValue};
use http::request::Parts;
use http::{Method, Response, StatusCode};
use whopulls_schemas::config::{Blobs, Config, Manifests, TokenMode};
use whopulls_schemas::raw::{Child, Claim, Kind, Outcome, bounded};

use super::super::access::{Answered, host};
use super::super::cache_policy::Lifetime;
use super::super::client_address::Peer;
use super::super::destination::is_below;
use super::super::oci_path::{OciPath, is_digest};
use super::super::oci_route::OciTarget;
use super::super::own_token::{OwnToken, TokenKey, is_ours, read};
use super::super::realm::{authority, challenge, public_address};
use super::super::registry_error::RegistryError;
use super::ask::Auth;
use super::key_file;
use super::live::Live;
use super::oci_blob::BlobState;
use super::oci_list::ListState;
use super::oci_manifest::ManifestState;
use super::respond::{API_VERSION, Answer, Body, empty, registry_error};
use super::server::GatewayError;
use super::store::Store;
use super::upstream::Upstream;
use super::upstream_error::UpstreamError;
use super::{oci_blob, oci_list, oci_manifest, oci_realm};
use crate::io::clock;
use crate::metrics::{CacheMetrics, Metrics};

/// What the registry API keeps between requests.
#[derive(Debug)]
pub(super) struct OciState {
    pub(super) key: TokenKey,
    pub(super) manifests: ManifestState,
    pub(super) blobs: BlobState,
    pub(super) lists: ListState,
    pub(super) cache: CacheMetrics,
    lifetime: Lifetime,
    /// Organizations have user names: clients are asked for one.
    pub(super) has_users: bool,
}

impl OciState {
    pub(super) fn new(config: &Config, store: &Arc<Store>, metrics: &Metrics) -> Result<Self, GatewayError> {
        let key = key_file::read_or_make(config.gateway_key_file().as_deref())?;
        let lifetime = Lifetime::of(&config.cache);
        let shared = || metrics.upstream.shared.clone();
        Ok(Self {
            key,
            manifests: ManifestState::new(Arc::clone(store), shared()),
            blobs: BlobState::new(Arc::clone(store), shared(), config.cache.item_bytes_max),
            lists: ListState::new(Arc::clone(store), shared()),
            cache: metrics.cache.clone(),
            lifetime,
            has_users: config.organizations.iter().any(|organization| !organization.users.is_empty()),
        })
    }
}

impl OciState {
    /// What a token of ours says of the client that it was given to.
    pub(super) fn claim_of(&self, headers: &HeaderMap) -> Option<Claim> {
        self.own_token(headers)?.claim
    }

    pub(super) fn own_token(&self, headers: &HeaderMap) -> Option<OwnToken> {
        let value = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
        let (scheme, token) = value.split_once(' ')?;
        scheme.eq_ignore_ascii_case("bearer").then(|| read(&self.key, token.trim(), clock::now()))?
    }
}

/// One request for something of a repository that a rule knows.
pub(super) struct Call<'a> {
    pub(super) live: &'a Live,
    pub(super) request: &'a Parts,
    pub(super) target: &'a OciTarget<'a>,
    /// The public name of the repository.
    pub(super) name: &'a str,
    /// Where it is, in the order in which it is asked.
    pub(super) copies: Vec<Copy>,
}

/// A repository of an upstream.
#[derive(Debug, Clone)]
pub(super) struct Copy {
    pub(super) upstream: Arc<Upstream>,
    pub(super) name: String,
    pub(super) auth: Auth,
}

impl Copy {
    /// The beginning of the cache's keys for it. What clients see with their own tokens is kept apart.
    pub(super) fn key(&self, kind: &str) -> String {
        let space = if self.is_private() { "private" } else { "public" };
        format!("{space} {kind} {} {}", self.upstream.base, self.name)
    }

    /// The client's token decides: the cache alone never does.
    pub(super) fn is_private(&self) -> bool {
        matches!(self.auth, Auth::Client(_))
    }
}

/// What is answered, and what the record says of it.
pub(super) struct Passed {
    pub(super) response: Response<Body>,
    pub(super) outcome: Outcome,
    /// The upstream's id.
    pub(super) upstream: String,
    pub(super) upstream_status: Option<u16>,
    pub(super) digest: Option<String>,
    pub(super) media_type: Option<String>,
    pub(super) children: Vec<Child>,
}

/// Why nothing is answered, and whose fault it is.
pub(super) struct Failure {
    pub(super) error: UpstreamError,
    /// The upstream's id.
    pub(super) upstream: String,
}

/// `claim` is what the client said of itself with a user name: a token of ours takes it along.
pub(super) async fn answer(
    live: &Live,
    request: &Parts,
    peer: &Peer,
    path: OciPath<'_>,
    claim: Option<&Claim>,
) -> Answer {
    if !matches!(request.method, Method::GET | Method::HEAD) {
        return refused(RegistryError::MethodUnsupported);
    }
    let address = || public_address(&live.config, peer, authority(request), &request.headers);
    let name = match path {
        OciPath::Base => return oci_realm::base(live, request, address().as_deref()),
        OciPath::Token => return oci_realm::token(live, request, claim).await,
        OciPath::Catalog => return refused(RegistryError::CatalogUnsupported),
        OciPath::Unknown => return refused(RegistryError::PathUnknown),
        OciPath::Manifest { name, .. }
        | OciPath::Blob { name, .. }
        | OciPath::Tags { name }
        | OciPath::Referrers { name, .. } => name,
    };
    let mut answered = Answered::new(Kind::Oci, Outcome::Refused);
    answered.repository = Some(name.into());
    answered.reference = path.reference().map(String::from);
    answered.digest = path.reference().filter(|r| is_digest(r)).map(String::from);
    let Some(target) = live.routes.repository(host(request), name) else {
        return Answer { response: registry_error(RegistryError::NameUnknown), answered };
    };
    answered.route = Some(target.route.into());
    answered.package = Some(target.package.clone());
    answered.upstream = Some(target.source.upstream.clone());
    answered.set_vars(&target.variables);
    let call = Call { live, request, target: &target, name, copies: copies(live, request, &target) };
    match call.passed(path).await {
        Ok(passed) => {
            answered.outcome = passed.outcome;
            answered.upstream = Some(passed.upstream);
            answered.upstream_status = passed.upstream_status;
            answered.digest = passed.digest.as_deref().map(bounded).or(answered.digest);
            answered.media_type = passed.media_type.as_deref().map(bounded);
            answered.children = passed.children;
            Answer { response: passed.response, answered }
        }
        Err(Failure { error, upstream }) => {
            tracing::debug!(%error, upstream, route = target.route, "an upstream request failed");
            answered.outcome = Outcome::UpstreamError;
            answered.upstream = Some(upstream);
            answered.upstream_status = error.status().map(|status| status.as_u16());
            let is_private = target.rule.token == TokenMode::OwnRealm;
            let challenge = is_private.then(|| challenge(&address()?, Some(name))).flatten();
            Answer { response: shown(&error, challenge), answered }
        }
    }
}

pub(super) fn refused(error: RegistryError) -> Answer {
    Answer { response: registry_error(error), answered: Answered::new(Kind::Oci, Outcome::Refused) }
}

/// The repository at its upstreams, with the credentials that go there.
fn copies(live: &Live, request: &Parts, target: &OciTarget<'_>) -> Vec<Copy> {
    let own_realm = target.rule.token == TokenMode::OwnRealm;
    let sources = target.sources().filter_map(|source| {
        let auth =
            if own_realm { Auth::Client(bearer(request).cloned()) } else { Auth::Repository(source.name.clone()) };
        let upstream = Arc::clone(live.upstreams.get(&source.upstream)?);
        Some(Copy { upstream, name: source.name.clone(), auth })
    });
    sources.collect()
}

/// A client's token for the upstream. A password is for the token endpoint alone, and a token of ours for nobody else.
fn bearer(request: &Parts) -> Option<&HeaderValue> {
    let value = request.headers.get(header::AUTHORIZATION)?;
    let (scheme, token) = value.as_bytes().split_at_checked(7)?;
    (scheme.eq_ignore_ascii_case(b"bearer ") && !is_ours(token)).then_some(value)
}

impl Call<'_> {
    async fn passed(&self, path: OciPath<'_>) -> Result<Passed, Failure> {
        if self.sends_on(path)
            && let Some(passed) = self.sent_on(path)
        {
            return Ok(passed);
        }
        match path {
            OciPath::Manifest { reference, .. } => oci_manifest::answer(self, reference).await,
            OciPath::Blob { digest, .. } => oci_blob::answer(self, digest).await,
            OciPath::Tags { .. }
            | OciPath::Referrers { .. }
            | OciPath::Base
            | OciPath::Catalog
            | OciPath::Token
            | OciPath::Unknown => oci_list::answer(self, &path.behind_name()).await,
        }
    }

    /// The client is sent to the upstream without asking it.
    fn sends_on(&self, path: OciPath<'_>) -> bool {
        let rule = self.target.rule;
        match path {
            OciPath::Blob { .. } => rule.token == TokenMode::Redirect && rule.blobs == Blobs::Redirect,
            OciPath::Manifest { .. }
            | OciPath::Tags { .. }
            | OciPath::Referrers { .. }
            | OciPath::Base
            | OciPath::Catalog
            | OciPath::Token
            | OciPath::Unknown => rule.manifests == Manifests::Redirect,
        }
    }

    /// A redirect to the upstream's own URL.
    fn sent_on(&self, path: OciPath<'_>) -> Option<Passed> {
        let copy = self.copies.first()?;
        let query = self.query();
        let location = format!("{}/v2/{}/{}{query}", copy.upstream.base, copy.name, path.behind_name());
        let target = url::Url::parse(&location).ok()?;
        if !self.may_redirect_to(&target) {
            return None;
        }
        let response = redirect(target.as_str(), None)?;
        Some(Passed::new(response, Outcome::Redirected, &copy.upstream.id))
    }

    /// A client sends its credentials along to a host below the one that it asked, and a signed URL fails then.
    pub(super) fn may_redirect_to(&self, target: &url::Url) -> bool {
        let asked = host(self.request).unwrap_or_default();
        !target.host_str().is_some_and(|host| is_below(host, asked) && !host.eq_ignore_ascii_case(asked))
    }

    pub(super) fn is_head(&self) -> bool {
        self.request.method == Method::HEAD
    }

    /// The client's query with its question mark, without `ns`: that is for mirrors like this one.
    pub(super) fn query(&self) -> String {
        let pairs = self.request.uri.query().unwrap_or_default().split('&');
        let kept: Vec<&str> = pairs.filter(|pair| !pair.is_empty() && !pair.starts_with("ns=")).collect();
        if kept.is_empty() { String::new() } else { format!("?{}", kept.join("&")) }
    }

    pub(super) fn lifetime(&self) -> Lifetime {
        self.live.oci.lifetime.with_ttl(self.target.rule.ttl_s)
    }
}

impl Passed {
    pub(super) fn new(mut response: Response<Body>, outcome: Outcome, upstream: &str) -> Self {
        let (name, value) = API_VERSION;
        response.headers_mut().insert(name, value);
        let upstream = upstream.to_owned();
        Self {
            response,
            outcome,
            upstream,
            upstream_status: None,
            digest: None,
            media_type: None,
            children: Vec::new(),
        }
    }
}

/// A 307 without a length.
pub(super) fn redirect(location: &str, digest: Option<&str>) -> Option<Response<Body>> {
    let mut response = empty(StatusCode::TEMPORARY_REDIRECT);
    response.headers_mut().insert(header::LOCATION, HeaderValue::try_from(location).ok()?);
    if let Some(digest) = digest.and_then(|digest| HeaderValue::try_from(digest).ok()) {
        response.headers_mut().insert("docker-content-digest", digest);
    }
    Some(response)
}

/// What the client is told. A client that has no credentials to give must not be asked for some: a challenge is there only where it has.
pub(super) fn shown(error: &UpstreamError, challenge: Option<HeaderValue>) -> Response<Body> {
    let told = match error {
        UpstreamError::Denied(StatusCode::UNAUTHORIZED) if challenge.is_some() => RegistryError::Unauthorized,
        UpstreamError::Denied(_) => RegistryError::Denied,
        UpstreamError::RateLimited { .. } => RegistryError::TooManyRequests,
        UpstreamError::Timeout | UpstreamError::Busy => RegistryError::UpstreamTimeout,
        UpstreamError::TooLarge => RegistryError::ManifestTooLarge,
        UpstreamError::Mismatch => RegistryError::DigestMismatch,
        UpstreamError::Status(_)
        | UpstreamError::Unusable(_)
        | UpstreamError::Forbidden
        | UpstreamError::Unknown
        | UpstreamError::Http(_) => RegistryError::UpstreamUnavailable,
    };
    let mut response = registry_error(told);
    if told == RegistryError::Unauthorized
        && let Some(challenge) = challenge
    {
        response.headers_mut().insert(header::WWW_AUTHENTICATE, challenge);
    }
    error.say_when(response.headers_mut());
    response
}
