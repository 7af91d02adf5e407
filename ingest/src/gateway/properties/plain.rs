//! The plain request, which is read past the HTTP library.

use std::net::IpAddr;

use http::{HeaderName, HeaderValue, Request};
use uuid::Uuid;
use whopulls_schemas::UnixMicros;
use whopulls_schemas::config::Trust;
use whopulls_schemas::raw::{Kind, Outcome, TEXT_BYTES_MAX};

use super::super::access::{Answered, Moments, Sent, record};
use super::super::client_address::Peer;
use super::super::plain::{Head, PlainRequest, read};
use super::super::request_shape::fault;
use super::super::rule::FileTarget;

/// More than the plain way reads.
const FIELDS_MAX: usize = 64;

/// What is taken for plain is a whole request that the general way would read as the same, answer, and record in the same words; and no
/// part of it is taken for a shorter one.
pub fn a_plain_request_is_what_the_general_way_reads(bytes: &[u8]) {
    let Head::Plain(plain, length) = read(bytes) else { return };
    let head = bytes.get(..length).expect("a head is no longer than what came");
    assert!(head.ends_with(b"\n"), "the head ends within a line");
    for cut in 0..length {
        let part = head.get(..cut).unwrap_or_default();
        assert!(!matches!(read(part), Head::Plain(..)), "{cut} bytes of {length} are taken for a request");
    }
    let mut fields = [httparse::EMPTY_HEADER; FIELDS_MAX];
    let mut parsed = httparse::Request::new(&mut fields);
    assert_eq!(parsed.parse(bytes), Ok(httparse::Status::Complete(length)), "the head is not where it ends");
    let mut request = Request::builder().method(parsed.method.unwrap_or_default()).uri(parsed.path.unwrap_or_default());
    for field in parsed.headers.iter() {
        let name = HeaderName::try_from(field.name).expect("a field that the general way refuses");
        let value = HeaderValue::from_bytes(field.value).expect("a value that the general way refuses");
        request = request.header(name, value);
    }
    let (general, ()) = request.body(()).expect("a request that the general way refuses").into_parts();
    assert_eq!(fault(&general), None, "the general way refuses it");
    for absent in ["content-length", "transfer-encoding", "upgrade", "expect", "authorization"] {
        assert!(!general.headers.contains_key(absent), "{absent} is not plain");
    }
    assert_eq!((general.uri.path(), general.uri.query()), (plain.path, None));
    if plain.path.len() <= TEXT_BYTES_MAX {
        check_record(&plain, &general);
    }
}

fn check_record(plain: &PlainRequest<'_>, general: &http::request::Parts) {
    let moments = Moments { id: Uuid::nil(), received: UnixMicros(7), duration_us: 9 };
    let peer = Peer::plain(IpAddr::from([192, 0, 2, 1]));
    let mut answered = Answered::new(Kind::File, Outcome::Redirected);
    answered.route = Some("r".to_owned());
    let expected = record(general, &peer, &Trust::Socket, &[], moments, Sent { status: 302, bytes: 0 }, answered);
    let target = FileTarget {
        kind: Kind::File,
        status: 302,
        location: String::new(),
        proxy: None,
        package: None,
        version: None,
        variables: Vec::new(),
    };
    let mut found = None;
    plain.record(&peer, "r", &target, moments, |record| found = Some(record.to_owned()));
    assert_eq!(found, Some(expected), "the two ways record different things");
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn holds_for_heads_that_are_nearly_plain(
            start in "(GET|HEAD|get|POST) /[a-z%/.~@+\"{}|^?#-]{0,9} HTTP/1\\.[01]|GET [!-~]{0,9} HTTP/1\\.1",
            host in "Host: [a-zA-Z0-9.-]{1,9}(:[0-9]{0,5})?|Host: \\[::1\\]:80|Host: [!-~]{0,9}",
            fields in prop::collection::vec(
                "(user-agent|accept|referer|range|dnt|sec-gpc|x-forwarded-for|connection|HOST|cookie|te|content-length|x): ?([ -~\\t]{0,9}|1|keep-alive|bytes=5-9|é)",
                0..6,
            ),
            end in "\r\n|\n",
            after in "[ -~]{0,9}",
        ) {
            let fields = fields.iter().fold(String::new(), |text, field| text + field + &end);
            let head = format!("{start}{end}{host}{end}{fields}{end}{after}");
            a_plain_request_is_what_the_general_way_reads(head.as_bytes());
        }
    }
}
