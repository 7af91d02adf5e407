//! One request: its answer, the record of it, and only then the response.

use http::request::Parts;
use http::{HeaderValue, Request, Response, StatusCode, Version, header};
use hyper::body::{Body as _, Incoming};
use whopulls_schemas::config::{GatewayConfig, Trust};
use whopulls_schemas::raw::{Claim, Kind, TEXT_BYTES_MAX};

use super::super::access::{Moments, Sent, host, record};
use super::super::claim::ClaimOutcome;
use super::super::client_address::Peer;
use super::super::oci_path::OciPath;
use super::super::opt_out::withhold;
use super::super::plain::PlainRequest;
use super::super::request_shape;
use super::super::rule::{FileTarget, Found, Target};
use super::live::Live;
use super::respond::{Answer, Body, refused, whole};
use super::server::Worker;
use super::{kinds, oci, own};
use crate::io::clock;

/// Where registry clients ask for a token.
const TOKEN_PATH: &str = "/v2/token";

/// Answers one request and keeps its record before the head is sent.
pub(super) async fn handle(worker: &Worker, peer: &Peer, request: Request<Incoming>) -> Response<Body> {
    if let Some(proof) = worker.challenges.as_ref().and_then(|challenges| challenges.answer(request.uri().path())) {
        // An ACME authority's question is nobody's download: it is neither routed nor recorded.
        return whole(StatusCode::OK, "application/octet-stream", proof);
    }
    let received = clock::now();
    let begun = clock::monotonic();
    // One and the same for the whole of the request, whatever is reloaded meanwhile.
    let live = worker.live.load_full();
    let (request, body) = request.into_parts();
    if let Some(page) = live.own_pages.find(host(&request), request.uri.path()) {
        return own::answer(page, &live.privacy_page, &request, worker.is_ending());
    }
    let claim = claim(&live, &request);
    let answer = match claim {
        ClaimOutcome::WrongPassword => own::wrong_password(Kind::Other),
        ClaimOutcome::Nobody | ClaimOutcome::Known(_) => answer(&live, peer, &request, body, known(claim)).await,
    };
    let duration = begun.elapsed();
    let moments = Moments {
        id: worker.ids.at(received),
        received,
        duration_us: u64::try_from(duration.as_micros()).unwrap_or(u64::MAX),
    };
    let sent = Sent { status: answer.response.status().as_u16(), bytes: length(&answer.response) };
    let Answer { mut response, answered } = answer;
    let GatewayConfig { trust, query_keys, .. } = &live.config;
    let mut record = record(&request, peer, trust, query_keys, moments, sent, answered);
    record.claim = live.oci.claim_of(&request.headers).or_else(|| known(claim).cloned());
    if live.opt_out.covers(host(&request), record.client_ip) {
        withhold(&mut record);
        worker.metrics.opt_outs.inc();
    }
    let sent = Sent { status: record.status, bytes: record.bytes };
    worker.count(record.route.as_deref(), record.outcome, sent, duration);
    worker.recorder.keep(|out| record.encode_into(out)).await;
    if worker.is_ending() && request.version <= Version::HTTP_11 {
        // The client goes elsewhere with its next request, and none is lost to a connection that closes.
        response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    response
}

/// Who says that he asks. Credentials at the token endpoint may be for an upstream: they are not refused here.
fn claim<'a>(live: &'a Live, request: &Parts) -> ClaimOutcome<'a> {
    let host = host(request);
    let claim = live.organizations.claim(host, request.headers.get(header::AUTHORIZATION));
    let is_for_upstream = || request.uri.path() == TOKEN_PATH && live.routes.has_registry(host);
    if claim == ClaimOutcome::WrongPassword && is_for_upstream() {
        return live.organizations.claim(host, None);
    }
    claim
}

const fn known(claim: ClaimOutcome<'_>) -> Option<&Claim> {
    match claim {
        ClaimOutcome::Known(claim) => Some(claim),
        ClaimOutcome::Nobody | ClaimOutcome::WrongPassword => None,
    }
}

async fn answer(live: &Live, peer: &Peer, request: &Parts, body: Incoming, claim: Option<&Claim>) -> Answer {
    if let Some(text) = request_shape::fault(request) {
        let mut answer = refused(StatusCode::BAD_REQUEST, Kind::Other, text);
        if request.version < Version::HTTP_2 {
            // What follows on the connection may be a request, or a part of this one.
            answer.response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        return answer;
    }
    if request.uri.path().len() > TEXT_BYTES_MAX {
        return refused(StatusCode::URI_TOO_LONG, Kind::Other, "the path is too long\n");
    }
    match OciPath::parse(request.uri.path()) {
        Some(path) if live.routes.has_registry(host(request)) => {
            // Boxed: the future of a proxied answer is large, and a redirect need not carry it.
            Box::pin(oci::answer(live, request, peer, path, claim)).await
        }
        _ => kinds::answer(live, peer, request, body).await,
    }
}

/// Where a plain request is sent, and by which rule. It must agree with [`answer`]: `None` leaves the request to that, with all that it
/// decides.
pub(super) fn plain_redirect<'a>(
    live: &'a Live,
    peer: &Peer,
    request: &PlainRequest<'a>,
) -> Option<(&'a str, FileTarget<'a>)> {
    let host = request.host();
    let is_somebodys = live.organizations.claim(host, None) != ClaimOutcome::Nobody;
    if is_somebodys
        || live.opt_out.covers(host, Some(peer.address))
        || live.own_pages.find(host, request.path).is_some()
    {
        return None;
    }
    let is_forwarded = request.is_forwarded && live.config.trust != Trust::Socket;
    if is_forwarded || request.path.len() > TEXT_BYTES_MAX || OciPath::parse(request.path).is_some() {
        return None;
    }
    match live.routes.find(host, request.path, None)? {
        Found { route, target: Target::File(target) } if target.proxy.is_none() => Some((route, target)),
        Found { .. } => None,
    }
}

/// Of a body at hand its size, of a streamed one what its `Content-Length` says.
fn length(response: &Response<Body>) -> u64 {
    let said = response.headers().get(header::CONTENT_LENGTH).and_then(|l| l.to_str().ok()?.parse().ok());
    said.or(response.body().size_hint().exact()).unwrap_or(0)
}
