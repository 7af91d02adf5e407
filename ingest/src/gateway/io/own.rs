//! Answers of the gateway's own pages. They leave no record.

use bytes::Bytes;
use http::header::{self, HeaderValue};
use http::request::Parts;
use http::{Method, Response, StatusCode};
use whopulls_schemas::raw::Kind;

use super::super::accept::accept_of;
use super::super::own_page::{OwnPage, wants_text};
use super::super::privacy_page::PrivacyPage;
use super::respond::{Answer, Body, refused, whole};

const TEXT: &str = "text/plain; charset=utf-8";

/// The page, ready or not: whoever asks while the gateway ends is told to ask another one.
pub(super) fn answer(page: OwnPage, privacy: &PrivacyPage, request: &Parts, is_ending: bool) -> Response<Body> {
    if !matches!(request.method, Method::GET | Method::HEAD) {
        return refused(StatusCode::METHOD_NOT_ALLOWED, Kind::Other, "this page is read with GET and HEAD\n").response;
    }
    let mut response = match page {
        OwnPage::Health => whole(StatusCode::OK, TEXT, Bytes::from_static(b"alive\n")),
        OwnPage::Ready if is_ending => whole(StatusCode::SERVICE_UNAVAILABLE, TEXT, Bytes::from_static(b"draining\n")),
        OwnPage::Ready => whole(StatusCode::OK, TEXT, Bytes::from_static(b"ready\n")),
        OwnPage::Privacy => privacy_page(privacy, request),
    };
    // Health is of the moment, and the page is of the configuration of the moment.
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    response
}

fn privacy_page(page: &PrivacyPage, request: &Parts) -> Response<Body> {
    let mut response = if wants_text(&accept_of(&request.headers)) {
        whole(StatusCode::OK, TEXT, page.text.clone())
    } else {
        whole(StatusCode::OK, "text/html; charset=utf-8", page.html.clone())
    };
    let headers = response.headers_mut();
    headers.insert(header::VARY, HeaderValue::from_static("Accept"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    if let Ok(policy) = HeaderValue::from_str(&page.policy) {
        headers.insert(header::CONTENT_SECURITY_POLICY, policy);
    }
    response
}

/// A user name that an organization has came with another password. Only then is a client asked for one.
pub(super) fn wrong_password(kind: Kind) -> Answer {
    let mut answer = refused(StatusCode::UNAUTHORIZED, kind, "this user name has another password\n");
    let challenge = HeaderValue::from_static("Basic realm=\"downloads\", charset=\"UTF-8\"");
    answer.response.headers_mut().insert(header::WWW_AUTHENTICATE, challenge);
    answer
}
