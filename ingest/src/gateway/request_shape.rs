//! Requests that two servers could read in two ways. What stands between a client and the gateway may have read it the other way: such a
//! request is refused and its connection closed. Nothing of a client's framing ever goes to an upstream.

use http::request::Parts;
use http::{Method, Version, header};

/// What is wrong with a request, in the words of the answer; status 400.
pub(crate) fn fault(request: &Parts) -> Option<&'static str> {
    let headers = &request.headers;
    // A download has no body. `Transfer-Encoding` on one is how bodies are smuggled; the library has taken away a `Content-Length` beside it.
    if headers.contains_key(header::TRANSFER_ENCODING) && request.method != Method::POST {
        return Some("a request without a body has no Transfer-Encoding\n");
    }
    let mut hosts = headers.get_all(header::HOST).iter();
    let host = hosts.next();
    if hosts.next().is_some() {
        return Some("a request has one Host\n");
    }
    let Some(host) = host else {
        // HTTP/2 says it in the target; HTTP/1.0 need not.
        let without = request.version == Version::HTTP_11 && request.uri.authority().is_none();
        return without.then_some("a request has a Host\n");
    };
    if !is_host(host.as_bytes()) {
        return Some("the Host is not a host\n");
    }
    let named = request.uri.authority().map(http::uri::Authority::as_str);
    // Of a target that names a host, that host counts, whatever the field says: they had better be one.
    let differs = named.is_some_and(|named| !named.as_bytes().eq_ignore_ascii_case(host.as_bytes()));
    differs.then_some("the target and the Host name two hosts\n")
}

/// Whether a `Host` field holds nothing but a host and a port.
pub(crate) fn is_host(field: &[u8]) -> bool {
    field.iter().all(|byte| is_of_a_host(*byte))
}

/// Letters, digits and what stands in names, ports and IPv6 addresses.
fn is_of_a_host(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_' | b':' | b'[' | b']' | b'~' | b'%')
}

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;

    #[track_caller]
    fn check(method: &str, target: &str, version: Version, headers: &[(&str, &str)], refused: bool) {
        let mut request = Request::builder().method(method).uri(target).version(version);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let (parts, ()) = request.body(()).expect("a request").into_parts();
        assert_eq!(fault(&parts).is_some(), refused, "{:?}", fault(&parts));
    }

    const ONE: Version = Version::HTTP_11;

    #[test]
    fn what_every_client_sends_passes() {
        check("GET", "/f", ONE, &[("host", "get.example.org:8080")], false);
        check("GET", "/f", ONE, &[("host", "[2001:db8::1]:80")], false);
        check("POST", "/t/x", ONE, &[("host", "get.example.org"), ("transfer-encoding", "chunked")], false);
        check("GET", "/f", Version::HTTP_10, &[], false);
        check("GET", "https://get.example.org/f", Version::HTTP_2, &[], false);
        check("GET", "http://Get.example.org/f", ONE, &[("host", "get.Example.org")], false);
    }

    #[test]
    fn what_could_be_read_in_two_ways_is_refused() {
        check("GET", "/f", ONE, &[("host", "a"), ("host", "a")], true);
        check("GET", "/f", ONE, &[], true);
        check("GET", "/f", ONE, &[("host", "a"), ("transfer-encoding", "chunked")], true);
        check("GET", "/f", ONE, &[("host", "a, b")], true);
        check("GET", "/f", ONE, &[("host", "a/b")], true);
        check("GET", "/f", ONE, &[("host", "user@a")], true);
        check("GET", "http://a/f", ONE, &[("host", "b")], true);
        check("GET", "https://a/f", Version::HTTP_2, &[("host", "b")], true);
    }
}
