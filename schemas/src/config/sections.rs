//! The sections of `whopulls.toml` but for the gateway's.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use url::Url;

use super::read::{self, Fault, Read, Section};
use super::secret::SecretSource;

/// What the spool does when it is as large as it may be and its oldest record is not read yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WhenFull {
    /// Records no more until there is room; what is not recorded is counted.
    StopRecording,
    /// Drops the oldest segment, unread; what is dropped is counted.
    DropOldest,
}

/// `[spool]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SpoolConfig {
    /// Its folder. Absent: `spool` in the data folder.
    pub dir: Option<PathBuf>,
    /// The most bytes that it may hold.
    pub bytes_max: u64,
    /// The oldest that a record may become, in hours, even unread: addresses are short-lived.
    pub age_max_h: u64,
    /// How large a segment grows, in bytes.
    pub segment_bytes: u64,
    /// How often the file is synced, in milliseconds; 0: with each group.
    pub fsync_every_ms: u64,
    /// What happens at `bytes_max`.
    pub when_full: WhenFull,
}

pub(super) fn spool(mut section: Section<'_, '_>) -> SpoolConfig {
    let dir = section.optional("dir", read::path);
    let bytes_max = section.optional("bytes_max", read::bytes).unwrap_or(10 << 30);
    let age_max_h = section.optional("age_max_h", read::number(1..=24 * 365)).unwrap_or(72);
    let segment_bytes = section.optional("segment_bytes", read::bytes).unwrap_or(16 << 20);
    let fsync_every_ms = section.optional("fsync_every_ms", read::number(0..=60_000)).unwrap_or(50);
    let words = &[("stop_recording", WhenFull::StopRecording), ("drop_oldest", WhenFull::DropOldest)];
    let when_full = section.optional("when_full", read::word(words)).unwrap_or(WhenFull::StopRecording);
    if segment_bytes < (64 << 10) || bytes_max < 2 * segment_bytes {
        let message = "`spool.segment_bytes` must be at least 64 KiB and at most half of `spool.bytes_max`";
        section.complain(message.to_owned(), "the defaults are 16 MiB and 10 GiB");
    }
    section.finish();
    SpoolConfig { dir, bytes_max, age_max_h, segment_bytes, fsync_every_ms, when_full }
}

/// `[kafka]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KafkaConfig {
    /// `host:port`, comma-separated.
    pub brokers: String,
    /// The topic of raw records.
    pub topic: String,
    /// The topic of what was refused.
    pub dead_topic: String,
    /// The consumer group of the workers.
    pub group: String,
    /// `zstd`, `lz4`, `gzip`, `snappy` or `none`.
    pub compression: &'static str,
    /// SASL user.
    pub username: Option<String>,
    /// SASL password.
    pub password: Option<SecretSource>,
    /// Further settings of librdkafka by its own names, such as `security.protocol`.
    pub options: BTreeMap<String, String>,
}

/// Beginnings of settings that only a consumer has; a producer complains about them.
const CONSUMER_ONLY: [&str; 6] =
    ["fetch.", "group.", "heartbeat.interval.ms", "max.poll.interval.ms", "queued.", "session.timeout.ms"];

impl KafkaConfig {
    /// The options that a producer takes; a consumer takes all.
    pub fn producer_options(&self) -> impl Iterator<Item = (&str, &str)> {
        let taken = |key: &str| !CONSUMER_ONLY.iter().any(|prefix| key.starts_with(prefix));
        self.options.iter().map(|(key, value)| (key.as_str(), value.as_str())).filter(move |(key, _)| taken(key))
    }
}

/// Settings of librdkafka on which the promise rests.
const FIXED: [&str; 8] = [
    "acks",
    "auto.offset.reset",
    "bootstrap.servers",
    "enable.auto.commit",
    "enable.idempotence",
    "group.id",
    "partition.assignment.strategy",
    "request.required.acks",
];

pub(super) fn kafka(mut section: Section<'_, '_>) -> Option<KafkaConfig> {
    let brokers = section.required("brokers", "as \"kafka-1:9092,kafka-2:9092\"", read::text);
    let topic = section.optional("topic", read::text).unwrap_or_else(|| "access.raw".to_owned());
    let dead_topic = section.optional("dead_topic", read::text).unwrap_or_else(|| "access.dead".to_owned());
    let group = section.optional("group", read::text).unwrap_or_else(|| "whopulls-enrich".to_owned());
    let words = &[("zstd", "zstd"), ("lz4", "lz4"), ("gzip", "gzip"), ("snappy", "snappy"), ("none", "none")];
    let compression = section.optional("compression", read::word(words)).unwrap_or("zstd");
    let username = section.optional("username", read::text);
    let password = section.secret("password", "password_file");
    let options = section.optional("options", kafka_options).unwrap_or_default();
    section.finish();
    Some(KafkaConfig { brokers: brokers?, topic, dead_topic, group, compression, username, password, options })
}

fn kafka_options(value: toml_span::Value<'_>) -> Read<BTreeMap<String, String>> {
    let options = read::text_map(value)?;
    match options.keys().find(|key| FIXED.contains(&key.as_str()) || key.contains("password")) {
        Some(key) if key.contains("password") => {
            Err(Fault::new(format!("`{key}` is a secret"), "use WHOPULLS_KAFKA_PASSWORD or `kafka.password_file`"))
        }
        Some(key) => Err(Fault::new(format!("`{key}` is set by whopulls: exactly-once rests on it"), "leave it out")),
        None => Ok(options),
    }
}

/// What the lake keeps of a client's address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IpMode {
    /// The /24 or /48 network.
    Net,
    /// The whole address.
    Keep,
    /// Neither address nor network.
    Drop,
}

/// How long one key of `endpoint_id` holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyRotation {
    /// A client has the same `endpoint_id` until the operator makes another key.
    Never,
    /// Each calendar month (UTC, of the request) has a key of its own, derived from the operator's.
    Monthly,
}

/// Reverse DNS.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReverseDnsConfig {
    /// Name servers; none: those of the system.
    pub servers: Vec<SocketAddr>,
    /// The most addresses asked for in a second.
    pub per_second: u32,
    /// The longest that a batch of records waits for answers, in milliseconds.
    pub wait_ms: u64,
}

/// `[enrich]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EnrichConfig {
    /// Rows after which a batch is written.
    pub flush_rows: usize,
    /// Seconds after which a batch is written. Absent: 5 without Kafka, 30 with.
    pub flush_s: Option<u64>,
    /// Address databases above the embedded one; the first goes before the next.
    pub geo_databases: Vec<PathBuf>,
    /// What the operator knows of networks and organizations (`overrides.toml`). Absent: nothing.
    pub overrides_file: Option<PathBuf>,
    /// The file of the key of `endpoint_id`; made at the first start.
    pub endpoint_key_file: Option<PathBuf>,
    /// How long one key of `endpoint_id` holds.
    pub endpoint_key_rotation: KeyRotation,
    /// Absent: nobody is asked for the name of an address.
    pub reverse_dns: Option<ReverseDnsConfig>,
    /// What the lake keeps of a client's address.
    pub ip_mode: IpMode,
    /// Where health and metrics are answered; absent: nowhere.
    pub admin_listen: Option<SocketAddr>,
}

pub(super) fn enrich(mut section: Section<'_, '_>) -> Option<EnrichConfig> {
    let flush_rows = section.optional("flush_rows", read::number(1..=10_000_000)).unwrap_or(250_000);
    let flush_s = section.optional("flush_s", read::number(1..=3600));
    let geo_databases = section.optional("geo_databases", read::list(read::path)).unwrap_or_default();
    let overrides_file = section.optional("overrides_file", read::path);
    let endpoint_key_file = section.optional("endpoint_key_file", read::path);
    let words = &[("never", KeyRotation::Never), ("monthly", KeyRotation::Monthly)];
    let endpoint_key_rotation =
        section.optional("endpoint_key_rotation", read::word(words)).unwrap_or(KeyRotation::Never);
    let reverse_dns = reverse_dns(&mut section);
    let words = &[("net", IpMode::Net), ("keep", IpMode::Keep), ("drop", IpMode::Drop)];
    let ip_mode = section.optional("ip_mode", read::word(words)).unwrap_or(IpMode::Net);
    let admin_listen = section.optional("admin_listen", read::socket);
    section.finish();
    let flush_rows = usize::try_from(flush_rows).ok()?;
    Some(EnrichConfig {
        flush_rows,
        flush_s,
        geo_databases,
        overrides_file,
        endpoint_key_file,
        endpoint_key_rotation,
        reverse_dns,
        ip_mode,
        admin_listen,
    })
}

fn reverse_dns(section: &mut Section<'_, '_>) -> Option<ReverseDnsConfig> {
    let is_wanted = section.optional("reverse_dns", read::flag).unwrap_or(false);
    let servers = section.optional("reverse_dns_servers", read::list(read::socket)).unwrap_or_default();
    let per_second = section.optional("reverse_dns_per_second", read::number(1..=10_000)).unwrap_or(50);
    let wait_ms = section.optional("reverse_dns_wait_ms", read::number(1..=600_000)).unwrap_or(2_000);
    is_wanted.then(|| ReverseDnsConfig { servers, per_second: u32::try_from(per_second).unwrap_or(u32::MAX), wait_ms })
}

/// Where the lake stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LakeUrl {
    /// A local folder.
    Folder(PathBuf),
    /// An object store: s3, gs, az and the like.
    Store(Url),
}

/// `[lake]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LakeConfig {
    /// Absent: `lake` in the data folder.
    pub url: Option<LakeUrl>,
    /// Settings of the object store by the names of the `object_store` crate, such as `aws_endpoint`. Credentials come from
    /// the environment.
    pub options: BTreeMap<String, String>,
}

pub(super) fn lake(mut section: Section<'_, '_>) -> LakeConfig {
    let url = section.optional("url", lake_url);
    let options = section.optional("options", lake_options).unwrap_or_default();
    section.finish();
    LakeConfig { url, options }
}

fn lake_url(value: toml_span::Value<'_>) -> Read<LakeUrl> {
    let text = read::text(value)?;
    if !text.contains("://") {
        return Ok(LakeUrl::Folder(PathBuf::from(text)));
    }
    let hint = "a folder, or as \"s3://bucket/path\", \"gs://bucket/path\", \"az://container/path\"";
    let url = Url::parse(&text).map_err(|error| Fault::new(format!("`{text}` is not a URL: {error}"), hint))?;
    match url.scheme() {
        "file" => url.to_file_path().map(LakeUrl::Folder).map_err(|()| Fault::new("not a local folder", hint)),
        "s3" | "s3a" | "gs" | "az" | "azure" | "abfs" | "abfss" | "adl" => Ok(LakeUrl::Store(url)),
        other => Err(Fault::new(format!("`{other}` is not a known object store"), hint)),
    }
}

fn lake_options(value: toml_span::Value<'_>) -> Read<BTreeMap<String, String>> {
    let options = read::text_map(value)?;
    let secret = |key: &&String| {
        ["secret", "password", "token", "access_key", "account_key"].iter().any(|word| key.contains(word))
    };
    match options.keys().find(secret) {
        Some(key) => Err(Fault::new(
            format!("`{key}` is a secret and must not stand in this file"),
            format!("set it in the environment as {}", key.to_ascii_uppercase()),
        )),
        None => Ok(options),
    }
}

/// `[serve]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServeConfig {
    /// Where questions are answered.
    pub listen: SocketAddr,
    /// Answer on an address that is not loopback although no token guards it.
    pub insecure_listen: bool,
    /// Host names that a proxy in front passes on; a loopback listener answers under no others but `localhost`.
    pub hosts: Vec<String>,
    /// Memory for all queries together, in bytes.
    pub memory_bytes_max: u64,
    /// The most rows of one answer.
    pub rows_max: usize,
    /// The longest that a query may run, in seconds.
    pub timeout_s: u64,
    /// The most queries at once.
    pub concurrency_max: usize,
}

pub(super) fn serve(mut section: Section<'_, '_>) -> Option<ServeConfig> {
    let loopback = SocketAddr::new(IpAddr::from([127, 0, 0, 1]), 8480);
    let listen = section.optional("listen", read::socket).unwrap_or(loopback);
    let insecure_listen = section.optional("insecure_listen", read::flag).unwrap_or(false);
    let hosts = section.optional("hosts", read::texts).unwrap_or_default();
    let memory_bytes_max = section.optional("memory_bytes_max", read::bytes).unwrap_or(1 << 30);
    let rows_max = section.optional("rows_max", read::number(1..=100_000_000)).unwrap_or(100_000);
    let timeout_s = section.optional("timeout_s", read::number(1..=3600)).unwrap_or(30);
    let concurrency_max = section.optional("concurrency_max", read::number(1..=1024)).unwrap_or(8);
    if !listen.ip().is_loopback() && !insecure_listen {
        let message = format!("`serve.listen` is {listen}, and no token guards it");
        section.complain(
            message,
            "listen on 127.0.0.1 behind a proxy that authenticates, or set `serve.insecure_listen = true`",
        );
    }
    section.finish();
    Some(ServeConfig {
        listen,
        insecure_listen,
        hosts,
        memory_bytes_max,
        rows_max: usize::try_from(rows_max).ok()?,
        timeout_s,
        concurrency_max: usize::try_from(concurrency_max).ok()?,
    })
}
