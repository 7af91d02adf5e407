//! What a gateway saw of one answered request: the record of the topic `access.raw`, nothing derived.
//!
//! The contract is `schemas/raw-access.schema.json`; anyone may produce to the topic. Unknown fields are ignored, a missing
//! required field is a rejection that names it.

mod decode;
mod stamp;
mod view;
mod words;

pub use stamp::{stamp, stamped_seq};
pub use view::RawAccessView;
pub use words::{Child, Claim, ClaimBy, ClientIpSource, HttpVersion, Kind, Outcome};

use std::collections::BTreeMap;
use std::net::IpAddr;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::{Rejected, UnixMicros};

/// The version of this record, in its field `schema`.
pub const RAW_SCHEMA_VERSION: u32 = 1;

/// The longest record that is decoded; a longer one is rejected as oversized. Kafka's own default bound is 1 MiB.
pub const RAW_RECORD_BYTES_MAX: usize = 256 * 1024;

/// The longest text field, in bytes. With at most eighteen of them, 64 variables and 64 children a record stays below
/// [`RAW_RECORD_BYTES_MAX`] in practice; producers cut with [`bounded`].
pub const TEXT_BYTES_MAX: usize = 2048;

/// What an entry of a map takes beside its texts.
const PAIR_BYTES: usize = 2 * size_of::<String>();

/// The most entries of `query`, `vars` and `children`.
pub const ENTRIES_MAX: usize = 64;

/// One answered request.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RawAccess {
    /// [`RAW_SCHEMA_VERSION`].
    pub schema: u32,
    /// The id of the spool (or import) that made the record; empty only before the record is stamped.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub node: String,
    /// The position in that spool: monotonic, never reused; zero only before the record is stamped.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub seq: u64,
    /// A `UUIDv7`: the identity of the event.
    pub id: Uuid,
    /// When the request was received.
    pub ts: UnixMicros,
    /// The host that the client asked for, without port.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    /// The request method.
    pub method: String,
    /// The path as received, without the query.
    pub path: String,
    /// The query parameters that the configuration allows; no others enter a record.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub query: BTreeMap<String, String>,
    /// The status answered.
    pub status: u16,
    /// Bytes of the answer's body; for a streamed answer what its `Content-Length` says.
    #[serde(default)]
    pub bytes: u64,
    /// Microseconds from request head to response head.
    #[serde(default)]
    pub duration_us: u64,
    /// The client's address; absent when the source withheld it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_ip: Option<IpAddr>,
    /// How the address was learned.
    #[serde(default)]
    pub client_ip_source: ClientIpSource,
    /// `User-Agent`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user_agent: Option<String>,
    /// `Referer`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub referer: Option<String>,
    /// `Accept`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub accept: Option<String>,
    /// The client sent `DNT: 1`.
    #[serde(default, skip_serializing_if = "is_false")]
    pub dnt: bool,
    /// The client sent `Sec-GPC: 1`.
    #[serde(default, skip_serializing_if = "is_false")]
    pub gpc: bool,
    /// The protocol version of the request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub http_version: Option<HttpVersion>,
    /// The request came over TLS.
    #[serde(default, skip_serializing_if = "is_false")]
    pub tls: bool,
    /// What kind of thing was asked for.
    pub kind: Kind,
    /// The rule that answered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub route: Option<String>,
    /// The package, where the rule knows it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub package: Option<String>,
    /// The version, where the rule knows it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// The repository's public name (oci).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub repository: Option<String>,
    /// The tag or digest asked for (oci).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reference: Option<String>,
    /// The digest answered (oci).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub digest: Option<String>,
    /// The media type answered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub media_type: Option<String>,
    /// The children of an index that was proxied.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub children: Vec<Child>,
    /// The first byte of a `Range`, where one was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub range_start: Option<u64>,
    /// The `ns` parameter with which containerd says that it asks a mirror.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ns: Option<String>,
    /// What the gateway did; absent for records that are not a gateway's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outcome: Option<Outcome>,
    /// The upstream's id, where one was asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub upstream: Option<String>,
    /// The upstream's status, where one answered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub upstream_status: Option<u16>,
    /// The organization that the request named by a host name or user name of its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub claim: Option<Claim>,
    /// Further variables of the rule.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub vars: BTreeMap<String, String>,
    /// The body of a telemetry event.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub body: Option<serde_json::Value>,
}

impl RawAccess {
    /// A record with its required fields and nothing else, not yet stamped with `node` and `seq`.
    pub fn new(id: Uuid, ts: UnixMicros, kind: Kind, method: &str, path: &str, status: u16) -> Self {
        Self {
            schema: RAW_SCHEMA_VERSION,
            node: String::new(),
            seq: 0,
            id,
            ts,
            host: None,
            method: bounded(method),
            path: bounded(path),
            query: BTreeMap::new(),
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
            repository: None,
            reference: None,
            digest: None,
            media_type: None,
            children: Vec::new(),
            range_start: None,
            ns: None,
            outcome: None,
            upstream: None,
            upstream_status: None,
            claim: None,
            vars: BTreeMap::new(),
            body: None,
        }
    }

    /// The record as one JSON object. Before `node` and `seq` are set they are left out, to be added by [`stamp`].
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        self.encode_into(&mut out);
        out
    }

    /// The same, behind what `out` holds.
    pub fn encode_into(&self, out: &mut Vec<u8>) {
        json_into(self, out);
    }

    /// Bytes that it takes in memory, nearly: itself and its texts.
    pub fn byte_count(&self) -> usize {
        let texts = [
            &self.host,
            &self.user_agent,
            &self.referer,
            &self.accept,
            &self.route,
            &self.package,
            &self.version,
            &self.repository,
            &self.reference,
            &self.digest,
            &self.media_type,
            &self.ns,
            &self.upstream,
        ];
        let texts = texts.into_iter().flatten().map(String::len).sum::<usize>();
        let pairs = self.query.iter().chain(&self.vars).map(|(name, value)| PAIR_BYTES + name.len() + value.len());
        let children = self.children.iter().map(|child| child.digest.len() + size_of::<Child>());
        size_of::<Self>() + self.method.len() + self.path.len() + texts + pairs.chain(children).sum::<usize>()
    }

    /// Reads one record.
    ///
    /// # Errors
    /// [`Rejected`] with the reason and, where one is at fault, the field.
    pub fn decode(bytes: &[u8]) -> Result<Self, Rejected> {
        decode::decode(bytes)
    }
}

fn json_into(value: &(impl Serialize + ?Sized), out: &mut Vec<u8>) {
    let before = out.len();
    // Maps with text keys, numbers and text, into memory: serde_json has no way to fail on these.
    if serde_json::to_writer(&mut *out, value).is_err() {
        out.truncate(before);
    }
}

/// The longest prefix of `text` within [`TEXT_BYTES_MAX`] that ends between characters.
pub fn bounded(text: &str) -> String {
    bounded_str(text).to_owned()
}

/// The same, where it lies.
pub fn bounded_str(text: &str) -> &str {
    let end = text.floor_char_boundary(TEXT_BYTES_MAX);
    text.get(..end).unwrap_or_default()
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it with a reference")]
const fn is_zero(number: &u64) -> bool {
    *number == 0
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it with a reference")]
const fn is_false(flag: &bool) -> bool {
    !*flag
}
