//! Files: the client is sent to where the file is, or the file passes through.

use http::StatusCode;
use http::header::{self, HeaderValue};
use http::request::Parts;
use url::{Position, Url};
use whopulls_schemas::raw::Outcome;

use super::super::access::Answered;
use super::super::rule::FileTarget;
use super::pass::pass;
use super::respond::{Answer, Body, empty, is_read, not_read, refused};
use super::upstream::Upstreams;

/// Answers with a redirect.
pub(super) fn redirect(route: &str, target: FileTarget<'_>, request: &Parts) -> Answer {
    let answered = answered(route, &target);
    if !is_read(request) {
        return not_read(answered);
    }
    match sent_to(&target.location, target.status) {
        Some(response) => Answer { response, answered },
        None => refused(StatusCode::NOT_FOUND, target.kind, "the path makes no URL\n"),
    }
}

/// Passes the file through from the upstream that the rule made of its URL's host.
pub(super) async fn proxy(
    route: &str,
    target: FileTarget<'_>,
    id: &str,
    upstreams: &Upstreams,
    request: &Parts,
) -> Answer {
    let mut answered = answered(route, &target);
    if !is_read(request) {
        return not_read(answered);
    }
    let (Some(upstream), Ok(url)) = (upstreams.get(id), Url::parse(&target.location)) else {
        return refused(StatusCode::NOT_FOUND, target.kind, "the path makes no URL\n");
    };
    let path = url[Position::BeforePath..Position::AfterQuery].to_owned();
    let response = pass(upstream, path, request, &mut answered).await;
    Answer { response, answered }
}

fn answered(route: &str, target: &FileTarget<'_>) -> Answered {
    let mut answered = Answered::new(target.kind, Outcome::Redirected);
    answered.route = Some(route.into());
    answered.package.clone_from(&target.package);
    answered.version.clone_from(&target.version);
    answered.set_vars(&target.variables);
    answered
}

/// A redirect; `None` when the location cannot stand in a header.
pub(super) fn sent_to(location: &str, status: u16) -> Option<http::Response<Body>> {
    let mut response = empty(StatusCode::from_u16(status).ok()?);
    response.headers_mut().insert(header::LOCATION, HeaderValue::try_from(location).ok()?);
    Some(response)
}
