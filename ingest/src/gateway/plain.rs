//! The plain request: `GET` or `HEAD` in HTTP/1.1 with nothing about it that needs a decision. It is what nearly every download of a file is,
//! and it is answered without taking its head apart into a map first. Whatever is not plain goes, unanswered, to the HTTP library, which
//! also says no to what is malformed: nothing is refused here.

use std::mem::MaybeUninit;

use whopulls_schemas::raw::{HttpVersion, Kind, Outcome, RawAccessView, bounded_str};

use super::access::{Moments, host_of, range_start, without_query};
use super::client_address::Peer;
use super::request_shape::is_host;
use super::rule::FileTarget;

/// A request with more fields is not plain.
const FIELDS_MAX: usize = 32;

/// What stands at the start of the bytes that a client sent.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Head<'a> {
    /// A plain request, and the bytes that it takes.
    Plain(PlainRequest<'a>, usize),
    /// The head is not complete.
    Partial,
    /// Anything else.
    Other,
}

/// What a plain request says. Its text is ASCII without control characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct PlainRequest<'a> {
    pub(crate) is_head: bool,
    pub(crate) path: &'a str,
    host: Option<&'a str>,
    user_agent: Option<&'a str>,
    referer: Option<&'a str>,
    accept: Option<&'a str>,
    range: Option<&'a str>,
    dnt: Option<&'a str>,
    gpc: Option<&'a str>,
    /// There is an `X-Forwarded-For`.
    pub(crate) is_forwarded: bool,
}

/// Reads a request head.
pub(crate) fn read(bytes: &[u8]) -> Head<'_> {
    let mut fields = [const { MaybeUninit::uninit() }; FIELDS_MAX];
    let mut request = httparse::Request::new(&mut []);
    let length = match request.parse_with_uninit_headers(bytes, &mut fields) {
        Ok(httparse::Status::Complete(length)) => length,
        Ok(httparse::Status::Partial) => return Head::Partial,
        Err(_not_plain) => return Head::Other,
    };
    plain(&request).map_or(Head::Other, |request| Head::Plain(request, length))
}

fn plain<'a>(request: &httparse::Request<'_, 'a>) -> Option<PlainRequest<'a>> {
    let is_head = match request.method? {
        "GET" => false,
        "HEAD" => true,
        _ => return None,
    };
    let path = request.path.filter(|path| path.starts_with('/') && path.bytes().all(is_plain_in_path))?;
    let is_http11 = request.version == Some(1);
    let mut plain = PlainRequest { is_head, path, ..PlainRequest::default() };
    for field in request.headers.iter() {
        plain.note(field.name, field.value)?;
    }
    // Without a host, or with one that is none, a request is refused: by the library's side, as everything.
    let is_hosted = plain.host.is_some_and(|host| is_host(host.as_bytes()));
    (is_http11 && is_hosted).then_some(plain)
}

impl<'a> PlainRequest<'a> {
    /// Takes a field in; `None` when the request is not plain with it.
    fn note(&mut self, name: &str, value: &'a [u8]) -> Option<()> {
        let is = |known: &str| name.eq_ignore_ascii_case(known);
        let place = match name.len() {
            3 if is("dnt") => &mut self.dnt,
            4 if is("host") => &mut self.host,
            5 if is("range") => &mut self.range,
            6 if is("accept") => &mut self.accept,
            7 if is("referer") => &mut self.referer,
            7 if is("sec-gpc") => &mut self.gpc,
            10 if is("user-agent") => &mut self.user_agent,
            10 if is("connection") => return value.eq_ignore_ascii_case(b"keep-alive").then_some(()),
            15 if is("x-forwarded-for") => {
                self.is_forwarded = true;
                return Some(());
            }
            // A body, another protocol, a wait for leave to send, a name that a client gives itself.
            6 if is("expect") => return None,
            7 if is("upgrade") => return None,
            13 if is("authorization") => return None,
            14 if is("content-length") => return None,
            17 if is("transfer-encoding") => return None,
            _ => return Some(()),
        };
        let text = std::str::from_utf8(value).ok().filter(|text| text.bytes().all(|b| matches!(b, b' '..=b'~')))?;
        // Which of two counts is not decided here.
        place.replace(text).is_none().then_some(())
    }

    /// The host that was asked for, without port.
    pub(crate) fn host(&self) -> Option<&'a str> {
        host_of(self.host?)
    }

    pub(crate) fn method(&self) -> &'static str {
        if self.is_head { "HEAD" } else { "GET" }
    }

    /// Hands the record of its redirect to `write`: the same that [`super::access::record`] makes.
    pub(crate) fn record(
        &self,
        peer: &Peer,
        route: &str,
        target: &FileTarget<'_>,
        moments: Moments,
        write: impl FnOnce(&RawAccessView<'_>),
    ) {
        let lower_host;
        let host = match self.host().map(bounded_str) {
            Some(host) if host.bytes().any(|b| b.is_ascii_uppercase()) => {
                lower_host = host.to_ascii_lowercase();
                Some(lower_host.as_str())
            }
            host => host,
        };
        let mut vars: Vec<(&str, &str)> = Vec::with_capacity(target.variables.len());
        let own = |name: &&str| matches!(*name, "package" | "version");
        let named = target.variables.iter().filter(|(name, _)| !own(name));
        vars.extend(named.map(|(name, value)| (bounded_str(name), bounded_str(value))));
        vars.sort_unstable();
        let is_one = |field: Option<&str>| field == Some("1");
        write(&RawAccessView {
            host,
            duration_us: moments.duration_us,
            client_ip: Some(peer.address.to_canonical()),
            client_ip_source: peer.source,
            user_agent: self.user_agent.map(bounded_str),
            referer: self.referer.map(|referer| without_query(bounded_str(referer))),
            accept: self.accept.map(bounded_str),
            dnt: is_one(self.dnt),
            gpc: is_one(self.gpc),
            http_version: Some(HttpVersion::Http11),
            tls: peer.tls,
            route: Some(route),
            package: target.package.as_deref().map(bounded_str),
            version: target.version.as_deref().map(bounded_str),
            range_start: self.range.and_then(range_start),
            outcome: Some(Outcome::Redirected),
            vars: &vars,
            ..RawAccessView::new(moments.id, moments.received, target.kind, self.method(), self.path, target.status)
        });
    }
}

/// The characters of a path that are nothing but a path: no query either.
fn is_plain_in_path(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"/-._~%+@:,=()!$&'*;".contains(&byte)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check_other(head: &str) {
        assert_eq!(read(head.as_bytes()), Head::Other, "{head:?}");
    }

    #[test]
    fn a_plain_request_is_read_with_what_a_record_needs() {
        let head = "HEAD /a%20b HTTP/1.1\r\nHost: Get.example.org:80\r\nUser-Agent: curl/8\r\nAccept: */*\r\nX-Other: \u{e9}\r\nDNT: 1\r\n\r\n";
        let bytes = [head.as_bytes(), b"GET /next"].concat();
        let Head::Plain(request, length) = read(&bytes) else { panic!("not plain") };
        assert_eq!((length, request.path, request.method()), (head.len(), "/a%20b", "HEAD"));
        assert_eq!((request.host(), request.user_agent), (Some("Get.example.org"), Some("curl/8")));
        assert_eq!((request.accept, request.dnt, request.gpc), (Some("*/*"), Some("1"), None));
        for cut in 1..head.len() {
            assert_eq!(read(&head.as_bytes()[..cut]), Head::Partial, "{cut}");
        }
    }

    #[test]
    fn what_needs_a_decision_is_not_plain() {
        check_other("POST /a HTTP/1.1\r\n\r\n");
        check_other("GET /a HTTP/1.0\r\n\r\n");
        check_other("GET /a?b HTTP/1.1\r\n\r\n");
        check_other("GET /a#b HTTP/1.1\r\n\r\n");
        check_other("GET http://a/b HTTP/1.1\r\n\r\n");
        check_other("GET * HTTP/1.1\r\n\r\n");
        check_other("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
        for field in [
            "Host: a\r\nhost: b",
            "Accept: a\r\nAccept: b",
            "User-Agent: \u{e9}",
            "User-Agent: a\tb",
            "Connection: close",
            "Connection: Upgrade",
            "Upgrade: h2c",
            "Expect: 100-continue",
            "Authorization: Basic YTpi",
            "Content-Length: 0",
            "Transfer-Encoding: chunked",
            "Broken",
            " folded: a",
        ] {
            check_other(&format!("GET /a HTTP/1.1\r\n{field}\r\n\r\n"));
        }
    }
}
