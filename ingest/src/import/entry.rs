//! What a line says of one request, whatever its format: the step between a line and its record.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::net::IpAddr;

use whopulls_schemas::raw::{HttpVersion, Kind};
use whopulls_schemas::{Rejected, UnixMicros};

use super::part::{Text, present, wrong};

/// The first line of a request.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Request<'a> {
    pub(super) method: Text<'a>,
    /// A path with its query, a whole URL, or `*`.
    pub(super) target: Text<'a>,
    /// Absent in HTTP/0.9.
    pub(super) version: Option<HttpVersion>,
}

/// One request of a foreign log.
#[derive(Debug, PartialEq)]
pub(super) struct Entry<'a> {
    pub(super) time: UnixMicros,
    pub(super) request: Request<'a>,
    pub(super) status: u16,
    pub(super) bytes: u64,
    pub(super) duration_us: u64,
    pub(super) address: Option<IpAddr>,
    /// As it was sent, perhaps with a port.
    pub(super) host: Option<Text<'a>>,
    pub(super) tls: bool,
    pub(super) user_agent: Option<Text<'a>>,
    pub(super) referer: Option<Text<'a>>,
    pub(super) accept: Option<Text<'a>>,
    pub(super) dnt: bool,
    pub(super) gpc: bool,
    pub(super) range_start: Option<u64>,
    pub(super) media_type: Option<Text<'a>>,
    /// Where the format says what was asked for, and not only the path.
    pub(super) kind: Option<Kind>,
    pub(super) package: Option<Text<'a>>,
    pub(super) version: Option<Text<'a>>,
    pub(super) vars: BTreeMap<String, String>,
    /// The identity that the line's writer gave the event, if it gave one.
    pub(super) identity: Option<Text<'a>>,
}

impl<'a> Entry<'a> {
    pub(super) fn new(time: UnixMicros, request: Request<'a>, status: u16) -> Self {
        Self {
            time,
            request,
            status,
            bytes: 0,
            duration_us: 0,
            address: None,
            host: None,
            tls: false,
            user_agent: None,
            referer: None,
            accept: None,
            dnt: false,
            gpc: false,
            range_start: None,
            media_type: None,
            kind: None,
            package: None,
            version: None,
            vars: BTreeMap::new(),
            identity: None,
        }
    }
}

impl<'a> Request<'a> {
    /// `method target version`; the version may be missing.
    pub(super) fn of_line(line: Text<'a>) -> Result<Self, Rejected> {
        let found = match line {
            Cow::Borrowed(line) => words(line).map(|(m, t, v)| (Cow::Borrowed(m), Cow::Borrowed(t), v)),
            Cow::Owned(line) => words(&line).map(|(m, t, v)| (Cow::Owned(m.to_owned()), Cow::Owned(t.to_owned()), v)),
        };
        let not_one = || wrong("request", "not `method target version`: no HTTP request was made");
        let (method, target, version) = found.ok_or_else(not_one)?;
        Ok(Self { method, target, version })
    }

    /// The same where the parts stand apart. `fields` name method and target.
    pub(super) fn of_parts(
        method: Text<'a>,
        target: Text<'a>,
        protocol: Option<&str>,
        fields: [&str; 2],
    ) -> Result<Self, Rejected> {
        let [method_field, target_field] = fields;
        if !is_method(&method) {
            return Err(wrong(method_field, "not a request method"));
        }
        if !is_target(&target) {
            return Err(wrong(target_field, "neither a path nor a URL"));
        }
        Ok(Self { method, target, version: protocol.and_then(http_version) })
    }

    /// The path and the query. A proxy's target is a whole URL; the record has the path.
    pub(super) fn path_and_query(&self) -> (&str, Option<&str>) {
        let local = match self.target.split_once("://") {
            Some((scheme, rest)) if is_scheme(scheme) => rest.find('/').and_then(|at| rest.get(at..)).unwrap_or("/"),
            _ => &self.target,
        };
        local.split_once('?').map_or((local, None), |(path, query)| (path, Some(query)))
    }

    /// The host of a target that is a whole URL, perhaps with a port.
    pub(super) fn host(&self) -> Option<&str> {
        let (scheme, rest) = self.target.split_once("://")?;
        let host = rest.split(['/', '?']).next().filter(|host| !host.is_empty())?;
        is_scheme(scheme).then_some(host)
    }

    /// Whether the target is a URL of HTTPS.
    pub(super) fn is_https(&self) -> bool {
        self.target.starts_with("https://") || self.target.starts_with("wss://")
    }
}

fn words(line: &str) -> Option<(&str, &str, Option<HttpVersion>)> {
    let mut words = line.split(' ');
    let (method, target, version) = (words.next()?, words.next()?, words.next());
    let is_request = is_method(method)
        && is_target(target)
        && words.next().is_none()
        && version.is_none_or(|version| version.starts_with("HTTP/"));
    is_request.then_some((method, target, version.and_then(http_version)))
}

fn is_method(method: &str) -> bool {
    method.starts_with(|first: char| first.is_ascii_alphabetic())
        && method.len() <= 32
        && method.bytes().all(|b| b.is_ascii_alphabetic() || b == b'-')
}

fn is_target(target: &str) -> bool {
    let is_url = || target.split_once("://").is_some_and(|(scheme, _)| is_scheme(scheme));
    target.starts_with('/') || target == "*" || is_url()
}

fn is_scheme(scheme: &str) -> bool {
    !scheme.is_empty() && scheme.bytes().all(|b| b.is_ascii_alphanumeric())
}

/// `HTTP/1.1`, and how HTTP/2 and HTTP/3 are written.
pub(super) fn http_version(protocol: &str) -> Option<HttpVersion> {
    match protocol {
        "HTTP/1.0" => Some(HttpVersion::Http10),
        "HTTP/1.1" => Some(HttpVersion::Http11),
        "HTTP/2" | "HTTP/2.0" => Some(HttpVersion::Http2),
        "HTTP/3" | "HTTP/3.0" => Some(HttpVersion::Http3),
        _ => None,
    }
}

/// A field of which `-` and nothing mean that it is absent.
pub(super) fn optional(bytes: Option<&[u8]>) -> Option<Text<'_>> {
    present(super::part::text(bytes?))
}
