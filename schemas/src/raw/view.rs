//! A raw record whose text lies elsewhere, for a gateway that writes it once and never keeps it.

use std::net::IpAddr;

use serde::ser::SerializeMap as _;
use serde::{Serialize, Serializer};
use uuid::Uuid;

use super::words::{Claim, ClientIpSource, HttpVersion, Kind, Outcome};
use super::{RAW_SCHEMA_VERSION, RawAccess, is_false};
use crate::UnixMicros;

/// The fields of [`RawAccess`] that a file's record has, not yet stamped, in the same order and with the same meaning. Its text is within
/// [`super::TEXT_BYTES_MAX`].
#[derive(Clone, Copy, Debug, Serialize)]
#[expect(missing_docs, reason = "the fields are those of RawAccess")]
pub struct RawAccessView<'a> {
    pub schema: u32,
    pub id: Uuid,
    pub ts: UnixMicros,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub host: Option<&'a str>,
    pub method: &'a str,
    pub path: &'a str,
    /// Sorted by name, as `vars` is.
    #[serde(serialize_with = "map", skip_serializing_if = "<[_]>::is_empty")]
    pub query: &'a [(&'a str, &'a str)],
    pub status: u16,
    pub bytes: u64,
    pub duration_us: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_ip: Option<IpAddr>,
    pub client_ip_source: ClientIpSource,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user_agent: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub referer: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub accept: Option<&'a str>,
    #[serde(skip_serializing_if = "is_false")]
    pub dnt: bool,
    #[serde(skip_serializing_if = "is_false")]
    pub gpc: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub http_version: Option<HttpVersion>,
    #[serde(skip_serializing_if = "is_false")]
    pub tls: bool,
    pub kind: Kind,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub route: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub package: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub range_start: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ns: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub outcome: Option<Outcome>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub claim: Option<&'a Claim>,
    #[serde(serialize_with = "map", skip_serializing_if = "<[_]>::is_empty")]
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

    /// Writes what [`RawAccess::encode`] gives for the same record behind what `out` holds.
    pub fn encode_into(&self, out: &mut Vec<u8>) {
        super::json_into(self, out);
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

fn map<S: Serializer>(entries: &[(&str, &str)], serializer: S) -> Result<S::Ok, S::Error> {
    let mut map = serializer.serialize_map(Some(entries.len()))?;
    for (key, value) in entries {
        map.serialize_entry(key, value)?;
    }
    map.end()
}
