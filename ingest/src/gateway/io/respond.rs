//! Responses of the gateway's own.

use bytes::Bytes;
use http::header::{self, HeaderName, HeaderValue};
use http::request::Parts;
use http::{Method, Response, StatusCode};
use http_body_util::{Either, Full};
use whopulls_schemas::raw::{Kind, Outcome};

use super::super::access::Answered;
use super::super::registry_error::RegistryError;

/// What is sent: bytes at hand, or an upstream's body as it comes.
pub(super) type Body = Either<Full<Bytes>, reqwest::Body>;

/// A response, and what its record says.
pub(super) struct Answer {
    pub(super) response: Response<Body>,
    pub(super) answered: Answered,
}

pub(super) const API_VERSION: (HeaderName, HeaderValue) =
    (HeaderName::from_static("docker-distribution-api-version"), HeaderValue::from_static("registry/2.0"));

pub(super) fn empty(status: StatusCode) -> Response<Body> {
    let mut response = Response::new(Either::Left(Full::default()));
    *response.status_mut() = status;
    response
}

pub(super) fn whole(status: StatusCode, media_type: &'static str, body: impl Into<Bytes>) -> Response<Body> {
    let mut response = Response::new(Either::Left(Full::new(body.into())));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(media_type));
    response
}

/// A plain refusal outside the registry API.
pub(super) fn refused(status: StatusCode, kind: Kind, text: &'static str) -> Answer {
    let mut response = whole(status, "text/plain; charset=utf-8", Bytes::from_static(text.as_bytes()));
    if status == StatusCode::METHOD_NOT_ALLOWED {
        response.headers_mut().insert(header::ALLOW, HeaderValue::from_static("GET, HEAD"));
    }
    Answer { response, answered: Answered::new(kind, Outcome::Refused) }
}

/// Whether the request only reads.
pub(super) fn is_read(request: &Parts) -> bool {
    matches!(request.method, Method::GET | Method::HEAD)
}

/// The answer to a request that does more than read what a rule serves.
pub(super) fn not_read(mut answered: Answered) -> Answer {
    answered.outcome = Outcome::Refused;
    let refusal = refused(StatusCode::METHOD_NOT_ALLOWED, answered.kind, "this is read with GET and HEAD\n");
    Answer { answered, ..refusal }
}

/// An error in the registry's shape.
pub(super) fn registry_error(error: RegistryError) -> Response<Body> {
    let mut response = whole(error.status(), "application/json", error.body());
    let (name, value) = API_VERSION;
    response.headers_mut().insert(name, value);
    if error == RegistryError::MethodUnsupported {
        response.headers_mut().insert(header::ALLOW, HeaderValue::from_static("GET, HEAD"));
    }
    response
}
