//! The registry API: the small is proxied, the large redirected.

use bytes::Bytes;
use http::header::{self, HeaderMap, HeaderValue};
use http::request::Parts;
use http::{Method, Response, StatusCode};
use http_body_util::{Either, Full};
use whopulls_schemas::raw::{Kind, Outcome, bounded};

use super::super::access::{Answered, host};
use super::super::oci_path::{OciPath, is_digest};
use super::super::registry_error::RegistryError;
use super::super::routes::{OciTarget, Routes};
use super::super::upstream_answer::{children, is_passed_on, public_link};
use super::ask::{Ask, Auth, bounded_body};
use super::respond::{API_VERSION, Answer, Body, empty, registry_error, whole};
use super::upstream::Upstreams;
use super::upstream_error::UpstreamError;

/// The largest manifest of the distribution specification; such a body is read whole, for its children.
const MANIFEST_BYTES_MAX: usize = 4 << 20;

pub(super) async fn answer(routes: &Routes, upstreams: &Upstreams, request: &Parts, path: OciPath<'_>) -> Answer {
    let refused =
        |error| Answer { response: registry_error(error), answered: Answered::new(Kind::Oci, Outcome::Refused) };
    if !matches!(request.method, Method::GET | Method::HEAD) {
        return refused(RegistryError::MethodUnsupported);
    }
    let name = match path {
        OciPath::Base => return base(),
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
    let Some(target) = routes.repository(host(request), name) else {
        return Answer { response: registry_error(RegistryError::NameUnknown), answered };
    };
    answered.route = Some(target.route.into());
    answered.package = Some(target.package.clone());
    answered.upstream = Some(target.rule.upstream_id.clone());
    answered.set_vars(&target.variables);
    match proxied(upstreams, request, path, &target, &mut answered).await {
        Ok(response) => Answer { response, answered },
        Err(error) => {
            answered.outcome = Outcome::UpstreamError;
            tracing::debug!(%error, route = target.route, "an upstream request failed");
            Answer { response: registry_error(shown(&error, &mut answered)), answered }
        }
    }
}

/// `GET /v2/`: this is a registry, and it wants no token.
fn base() -> Answer {
    let mut response = whole(StatusCode::OK, "application/json", Bytes::from_static(b"{}"));
    let (name, value) = API_VERSION;
    response.headers_mut().insert(name, value);
    Answer { response, answered: Answered::new(Kind::Oci, Outcome::Served) }
}

async fn proxied(
    upstreams: &Upstreams,
    request: &Parts,
    path: OciPath<'_>,
    target: &OciTarget<'_>,
    answered: &mut Answered,
) -> Result<Response<Body>, UpstreamError> {
    let query = request.uri.query().map(|query| format!("?{query}")).unwrap_or_default();
    let ask = Ask {
        method: request.method.clone(),
        path: format!("/v2/{}/{}{query}", target.upstream_name, path.behind_name()),
        headers: passed_up(&request.headers),
        auth: Auth::Repository(target.upstream_name.clone()),
        follow: false,
    };
    let upstream = upstreams.get(&target.rule.upstream_id).ok_or(UpstreamError::Unknown)?.ask(&ask).await?.response;
    let status = upstream.status();
    answered.upstream_status = Some(status.as_u16());
    if status.is_server_error() {
        return Err(UpstreamError::Unusable("status"));
    }
    if status.is_redirection() && status != StatusCode::NOT_MODIFIED {
        answered.outcome = Outcome::Redirected;
        return redirect(&upstream);
    }
    answered.outcome = Outcome::Proxied;
    let mut headers = passed_on(upstream.headers());
    let media_type = text(&headers, header::CONTENT_TYPE.as_str());
    if status.is_success() {
        answered.digest = text(&headers, "docker-content-digest").or_else(|| answered.digest.take());
        answered.media_type.clone_from(&media_type);
    }
    let link = upstream.headers().get(header::LINK).and_then(|l| l.to_str().ok());
    let public = link.and_then(|link| public_link(link, &target.upstream_name, path.name()?));
    if let Some(link) = public.and_then(|link| HeaderValue::try_from(link).ok()) {
        headers.insert(header::LINK, link);
    }
    let body = match path {
        _ if request.method == Method::HEAD => Either::Left(Full::default()),
        OciPath::Manifest { .. } if is_bounded(&headers) => {
            let plain = !headers.contains_key(header::CONTENT_ENCODING);
            let body = bounded_body(upstream, MANIFEST_BYTES_MAX).await?;
            if plain && status == StatusCode::OK {
                answered.children = children(media_type.as_deref().unwrap_or_default(), &body);
            }
            headers.insert(header::CONTENT_LENGTH, HeaderValue::from(body.len()));
            Either::Left(Full::new(body))
        }
        OciPath::Manifest { .. }
        | OciPath::Blob { .. }
        | OciPath::Tags { .. }
        | OciPath::Referrers { .. }
        | OciPath::Base
        | OciPath::Catalog
        | OciPath::Unknown => Either::Right(reqwest::Body::from(upstream)),
    };
    let mut response = Response::new(body);
    *response.status_mut() = status;
    *response.headers_mut() = headers;
    Ok(response)
}

/// A length that is not said is found out while reading.
fn is_bounded(headers: &HeaderMap) -> bool {
    let said = text(headers, header::CONTENT_LENGTH.as_str()).and_then(|l| l.parse::<usize>().ok());
    said.is_none_or(|length| length <= MANIFEST_BYTES_MAX)
}

/// The upstream's redirect as a 307 with an absolute target and no length.
fn redirect(upstream: &reqwest::Response) -> Result<Response<Body>, UpstreamError> {
    let location = upstream.headers().get(header::LOCATION).and_then(|l| l.to_str().ok());
    let absolute = location.and_then(|l| upstream.url().join(l).ok()).ok_or(UpstreamError::Unusable("no location"))?;
    let mut response = empty(StatusCode::TEMPORARY_REDIRECT);
    let value =
        HeaderValue::try_from(absolute.as_str()).map_err(|_not_a_header| UpstreamError::Unusable("no location"))?;
    response.headers_mut().insert(header::LOCATION, value);
    let (name, value) = API_VERSION;
    response.headers_mut().insert(name, value);
    if let Some(digest) = upstream.headers().get("docker-content-digest") {
        response.headers_mut().insert("docker-content-digest", digest.clone());
    }
    Ok(response)
}

fn passed_up(headers: &HeaderMap) -> HeaderMap {
    const PASSED_UP: [header::HeaderName; 4] =
        [header::ACCEPT, header::ACCEPT_ENCODING, header::RANGE, header::IF_RANGE];
    let passed = headers.iter().filter(|(name, _)| PASSED_UP.contains(name));
    passed.map(|(name, value)| (name.clone(), value.clone())).collect()
}

fn passed_on(upstream: &HeaderMap) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in upstream.iter().filter(|(name, _)| is_passed_on(name)) {
        headers.append(name, value.clone());
    }
    let (name, value) = API_VERSION;
    headers.insert(name, value);
    headers
}

fn text(headers: &HeaderMap, name: &str) -> Option<String> {
    headers.get(name)?.to_str().ok().map(bounded)
}

/// What the client is told, and what the record keeps of it.
fn shown(error: &UpstreamError, answered: &mut Answered) -> RegistryError {
    match error {
        UpstreamError::Denied(status) => {
            answered.upstream_status = Some(status.as_u16());
            RegistryError::Denied
        }
        UpstreamError::Timeout => RegistryError::UpstreamTimeout,
        UpstreamError::TooLarge => RegistryError::ManifestTooLarge,
        _ => RegistryError::UpstreamUnavailable,
    }
}
