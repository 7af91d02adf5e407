//! One request: its answer, the record of it, and only then the response.

use http::{Request, Response, StatusCode, header};
use hyper::body::{Body as _, Incoming};
use uuid::Uuid;
use whopulls_schemas::config::GatewayConfig;
use whopulls_schemas::raw::{Kind, TEXT_BYTES_MAX};

use super::super::access::{Moments, Sent, host, record};
use super::super::client_address::Peer;
use super::super::oci_path::OciPath;
use super::live::Live;
use super::respond::{Answer, Body, refused};
use super::server::Worker;
use super::{file, oci};
use crate::io::clock;

/// Answers one request and keeps its record before the head is sent.
pub(super) async fn handle(worker: &Worker, peer: &Peer, request: Request<Incoming>) -> Response<Body> {
    let received = clock::now();
    let begun = clock::monotonic();
    // One and the same for the whole of the request, whatever is reloaded meanwhile.
    let live = worker.live.load_full();
    let (request, _body) = request.into_parts();
    let answer = answer(&live, &request).await;
    let duration = begun.elapsed();
    let moments =
        Moments { id: Uuid::now_v7(), received, duration_us: u64::try_from(duration.as_micros()).unwrap_or(u64::MAX) };
    let sent = Sent { status: answer.response.status().as_u16(), bytes: length(&answer.response) };
    let Answer { response, answered } = answer;
    let GatewayConfig { trust, query_keys, .. } = &live.config;
    let record = record(&request, peer, trust, query_keys, moments, sent, answered);
    worker.count(record.route.as_deref(), record.outcome, duration);
    worker.recorder.keep(|out| record.encode_into(out)).await;
    response
}

async fn answer(live: &Live, request: &http::request::Parts) -> Answer {
    if request.uri.path().len() > TEXT_BYTES_MAX {
        return refused(StatusCode::URI_TOO_LONG, Kind::Other, "the path is too long\n");
    }
    match OciPath::parse(request.uri.path()) {
        Some(path) if live.routes.has_registry(host(request)) => {
            // Boxed: the future of a proxied answer is large, and a redirect need not carry it.
            Box::pin(oci::answer(&live.routes, &live.upstreams, request, path)).await
        }
        _ => file::answer(&live.routes, request),
    }
}

/// Of a body at hand its size, of a streamed one what its `Content-Length` says.
fn length(response: &Response<Body>) -> u64 {
    let said = response.headers().get(header::CONTENT_LENGTH).and_then(|l| l.to_str().ok()?.parse().ok());
    said.or(response.body().size_hint().exact()).unwrap_or(0)
}
