//! The record of a request.

use std::net::IpAddr;

use http::{HeaderName, HeaderValue, Request};
use uuid::Uuid;
use whopulls_schemas::UnixMicros;
use whopulls_schemas::config::Trust;
use whopulls_schemas::raw::{Kind, Outcome, RAW_RECORD_BYTES_MAX, RawAccess, stamp};

use super::super::access::{Answered, Moments, Sent, record};
use super::super::client_address::Peer;
use super::lines;

/// What no record may hold.
const SECRET: &str = "s3cr3t-bf62a1";
/// The gateway takes no longer head.
const HEAD_BYTES_MAX: usize = 32 << 10;

/// Lines: a method, a target, and header fields. The record is within the contract's bounds, reads back as it was, and credentials,
/// cookies and parameters that are not listed are not in it.
pub fn a_record_is_bounded_reads_back_and_keeps_no_secret(bytes: &[u8]) {
    let bytes = bytes.get(..HEAD_BYTES_MAX).unwrap_or(bytes);
    let Some(mut lines) = lines(bytes) else { return };
    let (Some(method), Some(target)) = (lines.next(), lines.next()) else { return };
    let target =
        format!("{target}{}token={SECRET}&x-amz-signature={SECRET}", if target.contains('?') { '&' } else { '?' });
    let mut request = Request::builder().method(method).uri(target);
    for (name, value) in lines.filter_map(|line| line.split_once(':')) {
        let parsed = (HeaderName::try_from(name), HeaderValue::from_bytes(value.trim().as_bytes()));
        if let (Ok(name), Ok(value)) = parsed {
            request = request.header(name, value);
        }
    }
    let request = request
        .header("authorization", format!("Bearer {SECRET}"))
        .header("proxy-authorization", SECRET)
        .header("cookie", format!("session={SECRET}"))
        .header("referer", format!("https://example.org/page?key={SECRET}#{SECRET}"));
    let Ok((request, ())) = request.body(()).map(Request::into_parts) else { return };
    if str::from_utf8(bytes).is_ok_and(|text| text.contains(SECRET)) {
        return;
    }
    let moments = Moments { id: Uuid::nil(), received: UnixMicros(1), duration_us: 1 };
    let peer = Peer::plain(IpAddr::from([192, 0, 2, 1]));
    let query_keys = ["x".to_owned(), "y".to_owned()];
    let answered = Answered::new(Kind::Other, Outcome::Refused);
    let sent = Sent { status: 404, bytes: 9 };
    let record = record(&request, &peer, &Trust::Hops(1), &query_keys, moments, sent, answered);
    let encoded = record.encode();
    assert!(encoded.len() <= RAW_RECORD_BYTES_MAX, "a record of {} bytes", encoded.len());
    assert!(!String::from_utf8_lossy(&encoded).contains(SECRET), "a secret is in {record:?}");
    let read = RawAccess::decode(&stamp("n", 7, &encoded));
    assert_eq!(read, Ok(RawAccess { node: "n".to_owned(), seq: 7, ..record }));
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn holds_for_any_head(
            method in "GET|HEAD|[A-Z]{1,9}",
            target in "/[a-z/%]{0,40}(\\?[xy&=a-z%0-9+]{0,40})?|https?://[a-z.]{1,9}(:[0-9]{1,5})?/[!-~]{0,20}|[!-~]{0,20}",
            fields in prop::collection::vec("(host|user-agent|accept|referer|range|x-forwarded-for|dnt|cookie): [ -~\\t]{0,60}|[!-~]{0,9}:\\PC{0,9}", 0..9),
        ) {
            a_record_is_bounded_reads_back_and_keeps_no_secret(format!("{method}\n{target}\n{}", fields.join("\n")).as_bytes());
        }
    }
}
