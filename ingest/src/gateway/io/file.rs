//! Files: the client is sent to where the file is.

use http::header::{self, HeaderValue};
use http::request::Parts;
use http::{Method, StatusCode};
use whopulls_schemas::raw::{Kind, Outcome};

use super::super::access::{Answered, host};
use super::super::routes::Routes;
use super::respond::{Answer, empty, refused};

pub(super) fn answer(routes: &Routes, request: &Parts) -> Answer {
    let Some(target) = routes.file(host(request), request.uri.path(), request.uri.query()) else {
        return refused(StatusCode::NOT_FOUND, Kind::Other, "nothing is served at this path\n");
    };
    let mut answered = Answered::new(Kind::File, Outcome::Redirected);
    answered.route = Some(target.route.into());
    answered.package.clone_from(&target.package);
    answered.version.clone_from(&target.version);
    answered.set_vars(&target.variables);
    if !matches!(request.method, Method::GET | Method::HEAD) {
        answered.outcome = Outcome::Refused;
        let refusal = refused(StatusCode::METHOD_NOT_ALLOWED, Kind::File, "files are read with GET and HEAD\n");
        return Answer { answered, ..refusal };
    }
    let (Ok(location), Ok(status)) = (HeaderValue::try_from(target.location), StatusCode::from_u16(target.status))
    else {
        return refused(StatusCode::NOT_FOUND, Kind::File, "the path makes no URL\n");
    };
    let mut response = empty(status);
    response.headers_mut().insert(header::LOCATION, location);
    Answer { response, answered }
}
