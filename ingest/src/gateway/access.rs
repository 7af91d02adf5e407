//! From what was seen of a request, and what was answered, to its record. Pure: id and times are arguments.

use http::header::{self, HeaderMap, HeaderName};
use http::request::Parts;
use http::{Method, Version};
use std::collections::BTreeMap;
use uuid::Uuid;
use whopulls_schemas::UnixMicros;
use whopulls_schemas::config::Trust;
use whopulls_schemas::raw::{Child, ENTRIES_MAX, HttpVersion, Kind, Outcome, RawAccess, bounded};

use super::client_address::{Peer, client_address};
use super::pattern::Variables;

/// What an answer adds to what was seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Answered {
    pub(crate) kind: Kind,
    pub(crate) outcome: Outcome,
    pub(crate) route: Option<String>,
    pub(crate) package: Option<String>,
    pub(crate) version: Option<String>,
    pub(crate) repository: Option<String>,
    pub(crate) reference: Option<String>,
    pub(crate) digest: Option<String>,
    pub(crate) media_type: Option<String>,
    pub(crate) children: Vec<Child>,
    pub(crate) upstream: Option<String>,
    pub(crate) upstream_status: Option<u16>,
    pub(crate) vars: BTreeMap<String, String>,
    /// The object of a telemetry event.
    pub(crate) body: Option<serde_json::Value>,
}

impl Answered {
    pub(crate) fn new(kind: Kind, outcome: Outcome) -> Self {
        Self {
            kind,
            outcome,
            route: None,
            package: None,
            version: None,
            repository: None,
            reference: None,
            digest: None,
            media_type: None,
            children: Vec::new(),
            upstream: None,
            upstream_status: None,
            vars: BTreeMap::new(),
            body: None,
        }
    }

    /// The rule's variables, but for those that have a column of their own.
    pub(crate) fn set_vars(&mut self, variables: &Variables<'_>) {
        self.vars = variables
            .iter()
            .filter(|(name, _)| !matches!(*name, "package" | "version"))
            .map(|(name, value)| (bounded(name), bounded(value)))
            .collect();
    }
}

/// The moments of a request.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Moments {
    pub(crate) id: Uuid,
    pub(crate) received: UnixMicros,
    pub(crate) duration_us: u64,
}

/// What was sent back.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sent {
    pub(crate) status: u16,
    /// The body's length; for a streamed one what its `Content-Length` says.
    pub(crate) bytes: u64,
}

/// The record of one answered request, not stamped yet. `Authorization`, cookies and unlisted query parameters never enter it.
pub(crate) fn record(
    request: &Parts,
    peer: &Peer,
    trust: &Trust,
    query_keys: &[String],
    moments: Moments,
    sent: Sent,
    answered: Answered,
) -> RawAccess {
    let headers = &request.headers;
    let text = |name: HeaderName| headers.get(name).and_then(|v| v.to_str().ok()).map(bounded);
    let is_one = |name: &str| headers.get(name).is_some_and(|v| v.as_bytes() == b"1");
    let (client_ip, client_ip_source) = client_address(trust, peer, headers);
    let (query, ns) = allowed_query(request.uri.query(), query_keys);
    let Moments { id, received, duration_us } = moments;
    let mut record =
        RawAccess::new(id, received, answered.kind, request.method.as_str(), request.uri.path(), sent.status);
    record.host = host(request).map(|host| bounded(&host.to_ascii_lowercase()));
    record.query = query;
    record.bytes = if request.method == Method::HEAD { 0 } else { sent.bytes };
    record.duration_us = duration_us;
    record.client_ip = Some(client_ip);
    record.client_ip_source = client_ip_source;
    record.tls = peer.tls;
    record.user_agent = text(header::USER_AGENT);
    record.referer = text(header::REFERER).map(|referer| without_query(&referer).to_owned());
    record.accept = joined(headers, &header::ACCEPT);
    record.dnt = is_one("dnt");
    record.gpc = is_one("sec-gpc");
    record.http_version = http_version(request.version);
    record.range_start = headers.get(header::RANGE).and_then(|v| range_start(v.to_str().ok()?));
    record.ns = ns;
    record.outcome = Some(answered.outcome);
    record.route = answered.route;
    record.package = answered.package.as_deref().map(bounded);
    record.version = answered.version.as_deref().map(bounded);
    record.repository = answered.repository;
    record.reference = answered.reference;
    record.digest = answered.digest;
    record.media_type = answered.media_type;
    record.children = answered.children;
    record.upstream = answered.upstream;
    record.upstream_status = answered.upstream_status;
    record.vars = answered.vars;
    record.body = answered.body;
    record
}

/// The host that was asked for, without port: of the target in HTTP/2, of `Host` in HTTP/1.1.
pub(crate) fn host(request: &Parts) -> Option<&str> {
    if let Some(host) = request.uri.host() {
        return Some(host);
    }
    host_of(request.headers.get(header::HOST)?.to_str().ok()?)
}

/// The host in a `Host` field, without port.
pub(crate) fn host_of(value: &str) -> Option<&str> {
    let without_port = match value.rsplit_once(':') {
        Some((host, port)) if port.bytes().all(|b| b.is_ascii_digit()) => host,
        _ => value,
    };
    (!without_port.is_empty()).then_some(without_port)
}

/// The listed parameters, and `ns`, with which containerd names the registry that it asks a mirror for.
fn allowed_query(query: Option<&str>, keys: &[String]) -> (BTreeMap<String, String>, Option<String>) {
    let mut allowed = BTreeMap::new();
    let mut ns = None;
    for (key, value) in url::form_urlencoded::parse(query.unwrap_or_default().as_bytes()) {
        if key == "ns" {
            ns = Some(bounded(&value));
        }
        if allowed.len() < ENTRIES_MAX && keys.iter().any(|known| *known == key) {
            allowed.insert(bounded(&key), bounded(&value));
        }
    }
    (allowed, ns)
}

/// A referrer's query may hold somebody else's secrets.
pub(crate) fn without_query(referer: &str) -> &str {
    referer.split(['?', '#']).next().unwrap_or_default()
}

fn joined(headers: &HeaderMap, name: &HeaderName) -> Option<String> {
    let values: Vec<&str> = headers.get_all(name).iter().filter_map(|v| v.to_str().ok()).collect();
    (!values.is_empty()).then(|| bounded(&values.join(", ")))
}

fn http_version(version: Version) -> Option<HttpVersion> {
    match version {
        Version::HTTP_10 => Some(HttpVersion::Http10),
        Version::HTTP_11 => Some(HttpVersion::Http11),
        Version::HTTP_2 => Some(HttpVersion::Http2),
        Version::HTTP_3 => Some(HttpVersion::Http3),
        _ => None,
    }
}

/// `bytes=100-`, `bytes=100-200`: 100. A suffix range has no start.
pub(crate) fn range_start(range: &str) -> Option<u64> {
    range.strip_prefix("bytes=")?.split('-').next()?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use http::Request;

    use super::*;

    fn seen(request: Request<()>, query_keys: &[&str]) -> RawAccess {
        let keys: Vec<String> = query_keys.iter().map(|k| (*k).into()).collect();
        let moments = Moments { id: Uuid::nil(), received: UnixMicros(5), duration_us: 7 };
        let sent = Sent { status: 302, bytes: 9 };
        let answered = Answered::new(Kind::File, Outcome::Redirected);
        let peer = Peer::plain(IpAddr::from([192, 0, 2, 1]));
        record(&request.into_parts().0, &peer, &Trust::Socket, &keys, moments, sent, answered)
    }

    #[test]
    fn no_credential_and_no_unlisted_parameter_enters_a_record() {
        let request = Request::get("/f?token=s3cret&v=1&ns=docker.io")
            .header("authorization", "Bearer s3cret")
            .header("cookie", "session=s3cret")
            .header("referer", "https://example.org/page?key=s3cret")
            .header("host", "Get.Example.org:8080")
            .body(())
            .expect("a request");
        let record = seen(request, &["v"]);
        let text = String::from_utf8(record.encode()).expect("JSON is text");
        assert!(!text.contains("s3cret"), "{text}");
        assert_eq!(record.query, BTreeMap::from([("v".to_owned(), "1".to_owned())]));
        assert_eq!(record.ns.as_deref(), Some("docker.io"));
        assert_eq!(record.referer.as_deref(), Some("https://example.org/page"));
        assert_eq!(record.host.as_deref(), Some("get.example.org"));
    }

    #[test]
    fn flags_ranges_and_lengths_are_read() {
        let request = Request::head("/f")
            .header("dnt", "1")
            .header("sec-gpc", "0")
            .header("range", "bytes=100-200")
            .header("accept", "a/b")
            .header("accept", "c/d")
            .body(())
            .expect("a request");
        let record = seen(request, &[]);
        assert!(record.dnt && !record.gpc);
        assert_eq!(record.range_start, Some(100));
        assert_eq!(record.accept.as_deref(), Some("a/b, c/d"));
        assert_eq!(record.bytes, 0, "a HEAD moves no body");
    }
}
