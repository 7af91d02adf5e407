//! Every kind of download but container images: from the rule to what answers.

use std::time::Duration;

use http::StatusCode;
use http::request::Parts;
use hyper::body::Incoming;
use whopulls_schemas::raw::Kind;

use super::super::access::host;
use super::super::client_address::Peer;
use super::super::rule::{Found, Target};
use super::live::Live;
use super::respond::{Answer, refused};
use super::{file, index, pixel, telemetry};

/// Answers by the first rule that is for the request. Only a telemetry rule reads the body.
pub(super) async fn answer(live: &Live, peer: &Peer, request: &Parts, body: Incoming) -> Answer {
    let found = live.routes.find(host(request), request.uri.path(), request.uri.query());
    let Some(Found { route, target }) = found else {
        return refused(StatusCode::NOT_FOUND, Kind::Other, "nothing is served at this path\n");
    };
    // Boxed: a redirect need not carry the futures of the others.
    match target {
        Target::File(target) => match target.proxy {
            None => file::redirect(route, target, request),
            Some(id) => Box::pin(file::proxy(route, target, id, &live.upstreams, request)).await,
        },
        Target::Index(target) => Box::pin(index::answer(live, peer, route, &target, request)).await,
        Target::Pixel(target) => pixel::answer(route, &target, request),
        Target::Telemetry(target) => {
            let within = Duration::from_secs(live.config.stall_timeout_s);
            Box::pin(telemetry::answer(route, target, request, body, within)).await
        }
    }
}
