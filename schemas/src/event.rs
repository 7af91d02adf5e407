//! One row of the Delta table `events`, as an Arrow schema. The column names stand here and nowhere else.

use std::sync::{Arc, LazyLock};

use arrow_schema::{DataType, Field, Schema, SchemaRef, TimeUnit};

macro_rules! columns {
    ($($(#[$doc:meta])* $name:ident = $text:literal: $kind:expr;)+) => {
        /// The names of the columns.
        pub mod column {
            $($(#[$doc])* pub const $name: &str = $text;)+
        }

        fn fields() -> Vec<Field> {
            vec![$($kind.field($text),)+]
        }
    };
}

/// The few types that the table has. Delta has no unsigned numbers, so none stands here.
enum Kind {
    Text,
    RequiredText,
    Long,
    Int,
    Double,
    Flag,
    Moment,
    Day,
    TextList,
    TextMap,
}

impl Kind {
    fn field(&self, name: &str) -> Field {
        match self {
            Self::Text => Field::new(name, DataType::Utf8, true),
            Self::RequiredText => Field::new(name, DataType::Utf8, false),
            Self::Long => Field::new(name, DataType::Int64, true),
            Self::Int => Field::new(name, DataType::Int32, true),
            Self::Double => Field::new(name, DataType::Float64, true),
            Self::Flag => Field::new(name, DataType::Boolean, true),
            Self::Moment => Field::new(name, DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())), false),
            Self::Day => Field::new(name, DataType::Date32, false),
            Self::TextList => Field::new(name, text_list(), true),
            Self::TextMap => Field::new(name, text_map(), true),
        }
    }
}

/// A list of texts, with the element's name that Delta's own writers use.
pub fn text_list() -> DataType {
    DataType::List(Arc::new(Field::new("element", DataType::Utf8, true)))
}

/// A map from text to text, with the entries' names that Delta's own writers use.
pub fn text_map() -> DataType {
    let entries = vec![Field::new("key", DataType::Utf8, false), Field::new("value", DataType::Utf8, true)];
    DataType::Map(Arc::new(Field::new("key_value", DataType::Struct(entries.into()), false)), false)
}

columns! {
    /// The event's identity, a `UUIDv7` as text.
    ID = "id": Kind::RequiredText;
    /// When the request was received, UTC.
    TS = "ts": Kind::Moment;
    /// The UTC day of `ts`: the partition.
    DATE = "date": Kind::Day;
    /// The spool or import that made the record.
    NODE = "node": Kind::RequiredText;
    /// The position in it.
    SEQ = "seq": Kind::Long;
    /// The host asked for.
    HOST = "host": Kind::Text;
    /// The request method.
    METHOD = "method": Kind::RequiredText;
    /// The path as received.
    PATH = "path": Kind::Text;
    /// The status answered.
    STATUS = "status": Kind::Int;
    /// Bytes of the answer's body.
    BYTES = "bytes": Kind::Long;
    /// Microseconds from request head to response head.
    DURATION_US = "duration_us": Kind::Long;
    /// What kind of thing was asked for: oci, file, helm, pypi, npm, pixel, telemetry, other.
    KIND = "kind": Kind::RequiredText;
    /// The gateway's rule.
    ROUTE = "route": Kind::Text;
    /// The package.
    PACKAGE = "package": Kind::Text;
    /// The version.
    VERSION = "version": Kind::Text;
    /// The repository's public name (oci).
    REPOSITORY = "repository": Kind::Text;
    /// The tag or digest asked for (oci).
    REFERENCE = "reference": Kind::Text;
    /// The digest answered (oci).
    DIGEST = "digest": Kind::Text;
    /// The manifests that an index answered names: each its digest, and behind a space its platform where it has one (oci).
    CHILDREN = "children": Kind::TextList;
    /// The first byte of the range asked for.
    RANGE_START = "range_start": Kind::Long;
    /// The media type answered.
    MEDIA_TYPE = "media_type": Kind::Text;
    /// What the gateway did.
    OUTCOME = "outcome": Kind::Text;
    /// The upstream asked.
    UPSTREAM = "upstream": Kind::Text;
    /// The host of the referring page.
    REFERER_HOST = "referer_host": Kind::Text;
    /// Further variables of the rule.
    VARS = "vars": Kind::TextMap;
    /// What the request was by the counting rule: pull, `pull_part`, download, `download_part`, retry, `version_check`, blob, `blob_part`, metadata,
    /// view, event, error.
    ACTION = "action": Kind::RequiredText;
    /// The pull that the request belongs to: the id of the row that opened it.
    PULL_ID = "pull_id": Kind::Text;
    /// The platform chosen.
    PLATFORM = "platform": Kind::Text;
    /// The thing itself was fetched: a file, or a layer of the pull (on the rows of its blobs).
    DOWNLOADED = "downloaded": Kind::Flag;
    /// A keyed hash of the client's address: the same client, not which.
    ENDPOINT_ID = "endpoint_id": Kind::Long;
    /// The client's /24 (IPv4) or /48 (IPv6) network.
    CLIENT_NET = "client_net": Kind::Text;
    /// 4 or 6.
    IP_VERSION = "ip_version": Kind::Int;
    /// The client program.
    CLIENT = "client": Kind::Text;
    /// Its version.
    CLIENT_VERSION = "client_version": Kind::Text;
    /// Its operating system.
    OS = "os": Kind::Text;
    /// Its architecture.
    ARCH = "arch": Kind::Text;
    /// Who or what asked: person, ci, production, mirror, bot, unknown.
    AUTOMATION = "automation": Kind::Text;
    /// ISO 3166-1 alpha-2 country of the network.
    COUNTRY = "country": Kind::Text;
    /// First-level subdivision.
    REGION = "region": Kind::Text;
    /// City.
    CITY = "city": Kind::Text;
    /// Degrees north.
    LATITUDE = "latitude": Kind::Double;
    /// Degrees east.
    LONGITUDE = "longitude": Kind::Double;
    /// IANA time zone.
    TIMEZONE = "timezone": Kind::Text;
    /// The autonomous system that announces the address.
    ASN = "asn": Kind::Long;
    /// Its name.
    AS_NAME = "as_name": Kind::Text;
    /// business, education, government, hosting, isp, mobile, vpn, tor, private, unknown.
    NETWORK_KIND = "network_kind": Kind::Text;
    /// The cloud that the address belongs to.
    CLOUD = "cloud": Kind::Text;
    /// The cloud's region.
    CLOUD_REGION = "cloud_region": Kind::Text;
    /// The organization: its registrable domain where known, else `as<number>`; absent when nothing says who.
    ORG_ID = "org_id": Kind::Text;
    /// Its name.
    ORG_NAME = "org_name": Kind::Text;
    /// Its domain.
    ORG_DOMAIN = "org_domain": Kind::Text;
    /// business, education, government, ...
    ORG_KIND = "org_kind": Kind::Text;
    /// From 0 to 1.
    ORG_CONFIDENCE = "org_confidence": Kind::Double;
    /// What said so.
    ORG_EVIDENCE = "org_evidence": Kind::TextList;
    /// The client asked not to be tracked: counted, without endpoint, network and organization.
    DNT = "dnt": Kind::Flag;
    /// The versions of the databases and rules used.
    ENRICHED_WITH = "enriched_with": Kind::Text;
}

/// The schema of the table `events`.
pub fn event_schema() -> SchemaRef {
    static SCHEMA: LazyLock<SchemaRef> = LazyLock::new(|| Arc::new(Schema::new(fields())));
    Arc::clone(&SCHEMA)
}

/// The columns by which the rows of a file are sorted.
pub const SORT_ORDER: [&str; 3] = [column::PACKAGE, column::ORG_ID, column::TS];
