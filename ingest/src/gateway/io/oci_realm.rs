//! `/v2/` and the token endpoint. A client's password goes to the token service of the upstream whose repositories it asks for, and nowhere else; it is
//! not kept.

use http::StatusCode;
use http::header::{self, HeaderValue};
use http::request::Parts;
use http_body_util::{Either, Full};
use whopulls_schemas::config::TokenMode;
use whopulls_schemas::raw::{Claim, Kind, Outcome};

use super::super::access::{Answered, host};
use super::super::own_token::{LIVES_S, issue};
use super::super::realm::{challenge, repositories, rfc3339};
use super::super::registry_error::RegistryError;
use super::super::upstream_answer::Challenge;
use super::live::Live;
use super::oci::{refused, shown};
use super::respond::{API_VERSION, Answer, registry_error, whole};
use super::upstream::Upstream;
use super::upstream_error::UpstreamError;
use crate::io::clock;

/// Upstreams at which a login without a repository is tried.
const LOGINS_MAX: usize = 4;

/// `GET /v2/`: this is a registry, and whether it wants a token.
pub(super) fn base(live: &Live, request: &Parts, address: Option<&str>) -> Answer {
    if wants_token(live, request) && live.oci.own_token(&request.headers).is_none() {
        let Some(challenge) = address.and_then(|address| challenge(address, None)) else {
            return refused(RegistryError::PathUnknown);
        };
        let mut answer = refused(RegistryError::Unauthorized);
        answer.response.headers_mut().insert(header::WWW_AUTHENTICATE, challenge);
        return answer;
    }
    let mut response = whole(StatusCode::OK, "application/json", bytes::Bytes::from_static(b"{}"));
    let (name, value) = API_VERSION;
    response.headers_mut().insert(name, value);
    Answer { response, answered: Answered::new(Kind::Oci, Outcome::Served) }
}

/// Clients are asked for a token where some repository needs one, and where organizations have user names to give.
fn wants_token(live: &Live, request: &Parts) -> bool {
    live.oci.has_users || !live.routes.own_realm_upstreams(host(request)).is_empty()
}

/// `GET /v2/token`
pub(super) async fn token(live: &Live, request: &Parts, claim: Option<&Claim>) -> Answer {
    if !wants_token(live, request) {
        return refused(RegistryError::PathUnknown);
    }
    let credentials = request.headers.get(header::AUTHORIZATION);
    let credentials =
        credentials.filter(|value| value.as_bytes().get(..6).is_some_and(|s| s.eq_ignore_ascii_case(b"basic ")));
    let names = repositories(request.uri.query());
    let mut upstream = None;
    let mut scopes = Vec::new();
    for target in names.iter().filter_map(|name| live.routes.repository(host(request), name)) {
        if target.rule.token == TokenMode::OwnRealm {
            // One token is of one service: that of the first repository.
            let first = upstream.get_or_insert_with(|| target.source.upstream.clone());
            if *first == target.source.upstream {
                scopes.push(target.source.name);
            }
        }
    }
    let given = match upstream.as_ref().and_then(|id| live.upstreams.get(id)) {
        Some(upstream) => of_upstream(live, upstream, &scopes, credentials).await,
        None if names.is_empty() && claim.is_none() => login(live, request, credentials).await,
        // Open repositories, and those that nobody knows: the token says nothing about which.
        None => Ok(own(live, claim)),
    };
    match given {
        Ok(given) => {
            let mut answer = served(&given);
            answer.answered.upstream = upstream;
            answer
        }
        Err(error) => {
            tracing::debug!(%error, upstream, "a token service gave no token");
            let mut answered = Answered::new(Kind::Oci, Outcome::UpstreamError);
            answered.upstream = upstream;
            answered.upstream_status = error.status().map(|status| status.as_u16());
            let response = if let UpstreamError::Denied(_) = error {
                registry_error(RegistryError::Unauthorized)
            } else {
                shown(&error, None)
            };
            Answer { response, answered }
        }
    }
}

/// A token as it is answered.
struct Given {
    token: String,
    expires_in: u64,
    issued_at: String,
}

fn own(live: &Live, claim: Option<&Claim>) -> Given {
    let now = clock::now();
    let expires_in = u64::try_from(LIVES_S).unwrap_or_default();
    Given { token: issue(&live.oci.key, claim.cloned(), now), expires_in, issued_at: rfc3339(now) }
}

fn served(given: &Given) -> Answer {
    let Given { token, expires_in, issued_at } = given;
    let body =
        serde_json::json!({"token": token, "access_token": token, "expires_in": expires_in, "issued_at": issued_at});
    let mut response = whole(StatusCode::OK, "application/json", String::new());
    *response.body_mut() = Either::Left(Full::from(body.to_string()));
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    let (name, value) = API_VERSION;
    response.headers_mut().insert(name, value);
    Answer { response, answered: Answered::new(Kind::Oci, Outcome::Served) }
}

/// The upstream's token for its repositories, with the client's credentials.
async fn of_upstream(
    live: &Live,
    upstream: &Upstream,
    names: &[String],
    credentials: Option<&HeaderValue>,
) -> Result<Given, UpstreamError> {
    let first = names.first().map(String::as_str);
    let service = match upstream.challenge(first).await? {
        Some(Challenge::Bearer(service)) => service,
        Some(Challenge::Basic) => {
            return Err(UpstreamError::Unusable("it wants HTTP Basic, which a token cannot stand for"));
        }
        // It wants nothing.
        None => return Ok(own(live, None)),
    };
    let scopes: Vec<String> = names.iter().map(|name| format!("repository:{name}:pull")).collect();
    let answer = tokio::time::timeout(upstream.timeout, upstream.token_of(&service, &scopes, credentials));
    let answer = answer.await.unwrap_or(Err(UpstreamError::Timeout))?;
    let issued_at = answer.issued_at.clone().unwrap_or_else(|| rfc3339(clock::now()));
    let (token, expires_in) = answer.whole().ok_or(UpstreamError::Unusable("its token service gave none"))?;
    Ok(Given { token: token.to_owned(), expires_in, issued_at })
}

/// `docker login` asks for no repository: a password is good when one of the host's upstreams takes it.
async fn login(live: &Live, request: &Parts, credentials: Option<&HeaderValue>) -> Result<Given, UpstreamError> {
    let ids = live.routes.own_realm_upstreams(host(request));
    if credentials.is_none() || ids.is_empty() {
        return Ok(own(live, None));
    }
    let mut failure = None;
    for upstream in ids.iter().take(LOGINS_MAX).filter_map(|id| live.upstreams.get(id)) {
        match of_upstream(live, upstream, &[], credentials).await {
            Ok(_) => return Ok(own(live, None)),
            Err(error) => failure = Some(error),
        }
    }
    Err(failure.unwrap_or(UpstreamError::Unknown))
}
