//! A raw record whose text lies elsewhere, for a gateway that writes it once and never keeps it.

use std::io::Write as _;
use std::net::IpAddr;

use uuid::Uuid;

use super::words::{Claim, ClientIpSource, HttpVersion, Kind, Outcome};
use super::{RAW_SCHEMA_VERSION, RawAccess};
use crate::UnixMicros;

/// The fields of [`RawAccess`] that a file's record has, not yet stamped, in the same order and with the same meaning. Its text is within
/// [`super::TEXT_BYTES_MAX`].
#[derive(Clone, Copy, Debug)]
#[expect(missing_docs, reason = "the fields are those of RawAccess")]
pub struct RawAccessView<'a> {
    pub schema: u32,
    pub id: Uuid,
    pub ts: UnixMicros,
    pub host: Option<&'a str>,
    pub method: &'a str,
    pub path: &'a str,
    /// Sorted by name, as `vars` is.
    pub query: &'a [(&'a str, &'a str)],
    pub status: u16,
    pub bytes: u64,
    pub duration_us: u64,
    pub client_ip: Option<IpAddr>,
    pub client_ip_source: ClientIpSource,
    pub user_agent: Option<&'a str>,
    pub referer: Option<&'a str>,
    pub accept: Option<&'a str>,
    pub dnt: bool,
    pub gpc: bool,
    pub http_version: Option<HttpVersion>,
    pub tls: bool,
    pub kind: Kind,
    pub route: Option<&'a str>,
    pub package: Option<&'a str>,
    pub version: Option<&'a str>,
    pub range_start: Option<u64>,
    pub ns: Option<&'a str>,
    pub outcome: Option<Outcome>,
    pub claim: Option<&'a Claim>,
    pub vars: &'a [(&'a str, &'a str)],
}

impl<'a> RawAccessView<'a> {
    /// A record with its required fields and nothing else.
    pub fn new(id: Uuid, ts: UnixMicros, kind: Kind, method: &'a str, path: &'a str, status: u16) -> Self {
        Self {
            schema: RAW_SCHEMA_VERSION,
            id,
            ts,
            host: None,
            method,
            path,
            query: &[],
            status,
            bytes: 0,
            duration_us: 0,
            client_ip: None,
            client_ip_source: ClientIpSource::default(),
            user_agent: None,
            referer: None,
            accept: None,
            dnt: false,
            gpc: false,
            http_version: None,
            tls: false,
            kind,
            route: None,
            package: None,
            version: None,
            range_start: None,
            ns: None,
            outcome: None,
            claim: None,
            vars: &[],
        }
    }

    /// Writes what [`RawAccess::encode`] gives for the same record behind what `out` holds. By hand, because it is done for every
    /// download: in half of the time of a general serializer.
    pub fn encode_into(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(b"{\"schema\":");
        push_digits(out, self.schema.into());
        push_plain(out, ",\"id\":\"", self.id.hyphenated().encode_lower(&mut [0; 36]));
        out.extend_from_slice(b"\",\"ts\":");
        out.extend_from_slice(itoa::Buffer::new().format(self.ts.0).as_bytes());
        push_optional(out, ",\"host\":", self.host);
        push_text(out, ",\"method\":", self.method);
        push_text(out, ",\"path\":", self.path);
        push_map(out, ",\"query\":", self.query);
        push_number(out, ",\"status\":", self.status.into());
        push_number(out, ",\"bytes\":", self.bytes);
        push_number(out, ",\"duration_us\":", self.duration_us);
        if let Some(address) = self.client_ip {
            out.extend_from_slice(b",\"client_ip\":\"");
            push_address(out, address);
            out.push(b'"');
        }
        push_text(out, ",\"client_ip_source\":", self.client_ip_source.as_str());
        push_optional(out, ",\"user_agent\":", self.user_agent);
        push_optional(out, ",\"referer\":", self.referer);
        push_optional(out, ",\"accept\":", self.accept);
        push_flag(out, ",\"dnt\":true", self.dnt);
        push_flag(out, ",\"gpc\":true", self.gpc);
        push_optional(out, ",\"http_version\":", self.http_version.map(HttpVersion::as_str));
        push_flag(out, ",\"tls\":true", self.tls);
        push_text(out, ",\"kind\":", self.kind.as_str());
        push_optional(out, ",\"route\":", self.route);
        push_optional(out, ",\"package\":", self.package);
        push_optional(out, ",\"version\":", self.version);
        if let Some(start) = self.range_start {
            push_number(out, ",\"range_start\":", start);
        }
        push_optional(out, ",\"ns\":", self.ns);
        push_optional(out, ",\"outcome\":", self.outcome.map(Outcome::as_str));
        if let Some(claim) = self.claim {
            out.extend_from_slice(b",\"claim\":");
            super::json_into(claim, out);
        }
        push_map(out, ",\"vars\":", self.vars);
        out.push(b'}');
    }

    /// The same record with text of its own.
    pub fn to_owned(&self) -> RawAccess {
        let text = |text: Option<&str>| text.map(String::from);
        let map = |map: &[(&str, &str)]| map.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        RawAccess {
            host: text(self.host),
            query: map(self.query),
            bytes: self.bytes,
            duration_us: self.duration_us,
            client_ip: self.client_ip,
            client_ip_source: self.client_ip_source,
            user_agent: text(self.user_agent),
            referer: text(self.referer),
            accept: text(self.accept),
            dnt: self.dnt,
            gpc: self.gpc,
            http_version: self.http_version,
            tls: self.tls,
            route: text(self.route),
            package: text(self.package),
            version: text(self.version),
            range_start: self.range_start,
            ns: text(self.ns),
            outcome: self.outcome,
            claim: self.claim.cloned(),
            vars: map(self.vars),
            ..RawAccess::new(self.id, self.ts, self.kind, self.method, self.path, self.status)
        }
    }
}

fn push_plain(out: &mut Vec<u8>, key: &str, text: &str) {
    out.extend_from_slice(key.as_bytes());
    out.extend_from_slice(text.as_bytes());
}

fn push_digits(out: &mut Vec<u8>, number: u64) {
    out.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
}

fn push_number(out: &mut Vec<u8>, key: &str, number: u64) {
    out.extend_from_slice(key.as_bytes());
    push_digits(out, number);
}

fn push_flag(out: &mut Vec<u8>, text: &str, flag: bool) {
    if flag {
        out.extend_from_slice(text.as_bytes());
    }
}

fn push_optional(out: &mut Vec<u8>, key: &str, text: Option<&str>) {
    if let Some(text) = text {
        push_text(out, key, text);
    }
}

fn push_text(out: &mut Vec<u8>, key: &str, text: &str) {
    out.extend_from_slice(key.as_bytes());
    push_quoted(out, text);
}

fn push_map(out: &mut Vec<u8>, key: &str, entries: &[(&str, &str)]) {
    if entries.is_empty() {
        return;
    }
    out.extend_from_slice(key.as_bytes());
    for (index, (name, value)) in entries.iter().enumerate() {
        out.push(if index == 0 { b'{' } else { b',' });
        push_quoted(out, name);
        out.push(b':');
        push_quoted(out, value);
    }
    out.push(b'}');
}

/// Text in quotes. Nearly all of it has nothing to escape, which one pass without a branch finds out.
#[expect(clippy::needless_bitwise_bool, reason = "without branches the compiler looks at many bytes at once")]
fn push_quoted(out: &mut Vec<u8>, text: &str) {
    let escaped = text.bytes().fold(false, |found, b| found | (b < b' ') | (b == b'"') | (b == b'\\'));
    if escaped {
        super::json_into(text, out);
        return;
    }
    out.push(b'"');
    out.extend_from_slice(text.as_bytes());
    out.push(b'"');
}

fn push_address(out: &mut Vec<u8>, address: IpAddr) {
    match address {
        IpAddr::V4(address) => {
            for (index, octet) in address.octets().into_iter().enumerate() {
                if index > 0 {
                    out.push(b'.');
                }
                push_digits(out, octet.into());
            }
        }
        // Writing into memory does not fail.
        IpAddr::V6(address) => drop(write!(out, "{address}")),
    }
}
