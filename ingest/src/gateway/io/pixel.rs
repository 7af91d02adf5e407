//! Counting pictures.

use bytes::Bytes;
use http::header::{self, HeaderValue};
use http::request::Parts;
use http::{Method, StatusCode};
use whopulls_schemas::raw::{Kind, Outcome};

use super::super::access::Answered;
use super::super::rule::PixelTarget;
use super::respond::{Answer, is_read, not_read, whole};

/// One transparent point: GIF89a, two colours, the first of them transparent.
const GIF: &[u8; 43] = b"GIF89a\x01\x00\x01\x00\x80\x00\x00\x00\x00\x00\xff\xff\xff\x21\xf9\x04\x01\x00\x00\x00\x00\
    \x2c\x00\x00\x00\x00\x01\x00\x01\x00\x00\x02\x02\x44\x01\x00\x3b";

pub(super) fn answer(route: &str, target: &PixelTarget<'_>, request: &Parts) -> Answer {
    let mut answered = Answered::new(Kind::Pixel, Outcome::Served);
    answered.route = Some(route.into());
    answered.package.clone_from(&target.package);
    answered.version.clone_from(&target.version);
    answered.set_vars(&target.variables);
    if !is_read(request) {
        return not_read(answered);
    }
    let body = if request.method == Method::HEAD { Bytes::new() } else { Bytes::from_static(GIF) };
    let mut response = whole(StatusCode::OK, "image/gif", body);
    let headers = response.headers_mut();
    // Each view is to be seen; no cookie tells who saw.
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(header::CONTENT_LENGTH, HeaderValue::from(GIF.len()));
    Answer { response, answered }
}
