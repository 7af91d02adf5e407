//! Telemetry: a small object is taken, and nothing is said back.

use std::time::Duration;

use http::header::{self, HeaderValue};
use http::request::Parts;
use http::{Method, Response, StatusCode};
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use hyper::body::{Body as _, Incoming};
use whopulls_schemas::raw::{Kind, Outcome};

use super::super::access::Answered;
use super::super::rule::TelemetryTarget;
use super::super::telemetry::{Refusal, is_json, object};
use super::respond::{Answer, Body, empty, whole};

/// How long a browser may remember that it may send.
const PREFLIGHT_S: &str = "86400";

pub(super) async fn answer(
    route: &str,
    target: TelemetryTarget<'_>,
    request: &Parts,
    body: Incoming,
    within: Duration,
) -> Answer {
    let mut answered = Answered::new(Kind::Telemetry, Outcome::Refused);
    answered.route = Some(route.into());
    answered.package.clone_from(&target.package);
    answered.version.clone_from(&target.version);
    answered.set_vars(&target.variables);
    // A page of any origin may send where no token is asked for; with one it would have to hold the token.
    let open = target.tokens.is_empty();
    let response = match request.method {
        Method::OPTIONS if open => {
            answered.outcome = Outcome::Served;
            // A browser's question is no event.
            answered.kind = Kind::Other;
            preflight()
        }
        Method::POST => match taken(&target, request, body, within).await {
            Ok(value) => {
                answered.outcome = Outcome::Served;
                answered.body = Some(value);
                empty(StatusCode::ACCEPTED)
            }
            Err(refusal) => refused(refusal),
        },
        _ => {
            let mut response = whole(StatusCode::METHOD_NOT_ALLOWED, "text/plain; charset=utf-8", "send with POST\n");
            let allowed = if open { "POST, OPTIONS" } else { "POST" };
            response.headers_mut().insert(header::ALLOW, HeaderValue::from_static(allowed));
            response
        }
    };
    Answer { response: if open { for_any_origin(response) } else { response }, answered }
}

async fn taken(
    target: &TelemetryTarget<'_>,
    request: &Parts,
    body: Incoming,
    within: Duration,
) -> Result<serde_json::Value, Refusal> {
    if !target.tokens.allow(&request.headers) {
        return Err(Refusal::Token);
    }
    if !is_json(&request.headers) {
        return Err(Refusal::Type);
    }
    if body.size_hint().lower() > target.bytes_max as u64 {
        return Err(Refusal::TooLarge);
    }
    let read = tokio::time::timeout(within, Limited::new(body, target.bytes_max).collect()).await;
    let body = match read {
        Ok(Ok(body)) => body.to_bytes(),
        Ok(Err(error)) if error.is::<LengthLimitError>() => return Err(Refusal::TooLarge),
        Ok(Err(_)) | Err(_) => return Err(Refusal::Broken),
    };
    object(&body)
}

fn refused(refusal: Refusal) -> Response<Body> {
    let mut response = whole(refusal.status(), "application/problem+json", refusal.body());
    if refusal == Refusal::Token {
        response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    }
    response
}

fn preflight() -> Response<Body> {
    let mut response = empty(StatusCode::NO_CONTENT);
    let headers = response.headers_mut();
    headers.insert(header::ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static("POST"));
    headers.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, HeaderValue::from_static("content-type"));
    headers.insert(header::ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static(PREFLIGHT_S));
    response
}

fn for_any_origin(mut response: Response<Body>) -> Response<Body> {
    response.headers_mut().insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
    response
}
