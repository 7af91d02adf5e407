//! What passes through the gateway as it comes: a file of an upstream, whole or in part.

use std::sync::Arc;

use http::header::{self, HeaderName};
use http::request::Parts;
use http::{Method, Response, StatusCode};
use http_body_util::{Either, Full};

use super::super::access::Answered;
use super::super::upstream_answer::{only, passed_on};
use super::ask::{Ask, Auth};
use super::respond::{Body, whole};
use super::upstream::Upstream;
use super::upstream_error::UpstreamError;
use whopulls_schemas::raw::{Outcome, bounded};

/// What of the client's request goes along. Never its credentials.
const PASSED_UP: [HeaderName; 6] = [
    header::ACCEPT,
    header::ACCEPT_ENCODING,
    header::RANGE,
    header::IF_RANGE,
    header::IF_NONE_MATCH,
    header::IF_MODIFIED_SINCE,
];

/// What of the upstream's answer a file has beside what every answer has.
const PASSED_ON_TOO: [HeaderName; 2] = [header::CONTENT_DISPOSITION, header::CACHE_CONTROL];

/// Asks for the file at `path` behind the upstream's URL, follows where it leads, and passes the answer on. An error is answered too.
pub(super) async fn pass(
    upstream: &Arc<Upstream>,
    path: String,
    request: &Parts,
    answered: &mut Answered,
) -> Response<Body> {
    answered.upstream = Some(upstream.id.clone());
    match stream(upstream, path, request, answered).await {
        Ok(response) => response,
        Err(error) => {
            tracing::debug!(%error, upstream = upstream.id, "a file did not come from its upstream");
            failed(&error, answered)
        }
    }
}

async fn stream(
    upstream: &Arc<Upstream>,
    path: String,
    request: &Parts,
    answered: &mut Answered,
) -> Result<Response<Body>, UpstreamError> {
    let headers = only(&request.headers, |name| PASSED_UP.contains(name));
    let ask = Ask { method: request.method.clone(), path, headers, auth: Auth::Own, follow: true };
    let reply = upstream.ask(&ask).await?;
    let status = reply.response.status();
    answered.outcome = Outcome::Proxied;
    answered.upstream_status = Some(status.as_u16());
    let mut headers = passed_on(reply.response.headers());
    headers.extend(only(reply.response.headers(), |name| PASSED_ON_TOO.contains(name)));
    answered.media_type = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).map(bounded);
    let bodiless = request.method == Method::HEAD || status == StatusCode::NOT_MODIFIED;
    let body = if bodiless { Either::Left(Full::default()) } else { Either::Right(reply.into_body()) };
    let mut response = Response::new(body);
    *response.status_mut() = status;
    *response.headers_mut() = headers;
    Ok(response)
}

/// Whose fault it is, as a status: the upstream's.
pub(super) fn failed(error: &UpstreamError, answered: &mut Answered) -> Response<Body> {
    answered.outcome = Outcome::UpstreamError;
    answered.upstream_status = error.status().map(|status| status.as_u16());
    let (status, text) = match error {
        UpstreamError::Denied(_) => {
            (StatusCode::FORBIDDEN, "the upstream refused; the gateway's credentials do not suffice\n")
        }
        UpstreamError::Timeout | UpstreamError::Busy => {
            (StatusCode::GATEWAY_TIMEOUT, "the upstream took too long; try again\n")
        }
        UpstreamError::RateLimited { .. } => {
            (StatusCode::TOO_MANY_REQUESTS, "the upstream is asked too often; try again later\n")
        }
        UpstreamError::Status(_)
        | UpstreamError::Unusable(_)
        | UpstreamError::TooLarge
        | UpstreamError::Mismatch
        | UpstreamError::Forbidden
        | UpstreamError::Unknown
        | UpstreamError::Http(_) => {
            (StatusCode::BAD_GATEWAY, "the upstream does not answer as it should; try again later\n")
        }
    };
    let mut response = whole(status, "text/plain; charset=utf-8", text);
    error.say_when(response.headers_mut());
    response
}
