//! What is counted of upstreams and of the cache.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

/// Labels of what is counted for each upstream.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct UpstreamLabels {
    /// The upstream's id.
    pub upstream: String,
}

/// Labels of `upstream_requests`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct UpstreamResultLabels {
    /// The upstream's id.
    pub upstream: String,
    /// How it ended: ok, `client_error`, `server_error`, timeout, connect, ratelimited, mismatch.
    pub result: &'static str,
}

/// Labels of `cache_requests`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct CacheLabels {
    /// What was looked for: manifest, tag, blob, list, document.
    pub kind: &'static str,
    /// hit, miss, stale.
    pub result: &'static str,
}

/// What is counted for all upstreams.
#[derive(Debug, Clone)]
pub struct UpstreamMetrics {
    /// Requests by upstream and result, each attempt counted.
    pub requests: Family<UpstreamResultLabels, Counter>,
    /// From request to response head, in seconds.
    pub duration: Family<UpstreamLabels, Histogram, fn() -> Histogram>,
    /// Attempts after the first.
    pub retries: Family<UpstreamLabels, Counter>,
    /// What the upstream last said that is left of its budget.
    pub ratelimit_remaining: Family<UpstreamLabels, Gauge>,
    /// Requests that an upstream request of another client answered.
    pub shared: Counter,
    /// Realms and redirects that were not followed, since they lead to an address that is not public.
    pub forbidden: Counter,
}

/// One upstream's metrics, its labels resolved.
#[derive(Debug, Clone)]
pub struct UpstreamSeries {
    results: [(&'static str, Counter); 7],
    /// From request to response head, in seconds.
    pub duration: Histogram,
    /// Attempts after the first.
    pub retries: Counter,
    id: String,
    ratelimit_remaining: Family<UpstreamLabels, Gauge>,
}

impl Default for UpstreamMetrics {
    fn default() -> Self {
        Self {
            requests: Family::default(),
            duration: Family::new_with_constructor(latency),
            retries: Family::default(),
            ratelimit_remaining: Family::default(),
            shared: Counter::default(),
            forbidden: Counter::default(),
        }
    }
}

/// 1 ms to 33 s, by doubling.
fn latency() -> Histogram {
    Histogram::new((0..16).map(|power| 0.001 * f64::from(1 << power)))
}

impl UpstreamMetrics {
    pub(super) fn register(&self, registry: &mut Registry) {
        registry.register("requests", "Requests to upstreams, each attempt counted", self.requests.clone());
        registry.register("duration_seconds", "From request to response head", self.duration.clone());
        registry.register("retries", "Attempts after the first", self.retries.clone());
        let remaining = "What the upstream last said that is left of its budget";
        registry.register("ratelimit_remaining", remaining, self.ratelimit_remaining.clone());
        let shared = "Requests that an upstream request of another client answered";
        registry.register("shared", shared, self.shared.clone());
        let forbidden = "Realms and redirects not followed, since they lead to an address that is not public";
        registry.register("forbidden", forbidden, self.forbidden.clone());
    }

    /// The metrics of the upstream `id`.
    pub fn of(&self, id: &str) -> UpstreamSeries {
        let words = ["ok", "client_error", "server_error", "timeout", "connect", "ratelimited", "mismatch"];
        let labels = UpstreamLabels { upstream: id.to_owned() };
        let count = |result| {
            let labels = UpstreamResultLabels { upstream: id.to_owned(), result };
            (result, self.requests.get_or_create(&labels).clone())
        };
        UpstreamSeries {
            results: words.map(count),
            duration: self.duration.get_or_create(&labels).clone(),
            retries: self.retries.get_or_create(&labels).clone(),
            id: id.to_owned(),
            ratelimit_remaining: self.ratelimit_remaining.clone(),
        }
    }
}

impl UpstreamSeries {
    /// Counts an attempt by its end.
    pub fn ended(&self, result: &str) {
        if let Some((_, counter)) = self.results.iter().find(|(word, _)| *word == result) {
            counter.inc();
        }
    }

    /// Takes over what the upstream said that is left. An upstream that never says has no such series.
    pub fn set_remaining(&self, remaining: i64) {
        let labels = UpstreamLabels { upstream: self.id.clone() };
        self.ratelimit_remaining.get_or_create(&labels).set(remaining);
    }
}

/// What is counted of the cache.
#[derive(Debug, Clone, Default)]
pub struct CacheMetrics {
    /// Lookups by kind and result.
    pub requests: Family<CacheLabels, Counter>,
    /// Files that were damaged or not the cache's, removed.
    pub damaged: Counter,
    /// Things not kept on disk, since it failed or is slow.
    pub not_written: Counter,
    /// Things larger than one may be.
    pub too_large: Counter,
    bytes: Gauge,
}

impl CacheMetrics {
    pub(super) fn register(&self, registry: &mut Registry) {
        registry.register("requests", "Lookups by kind and result", self.requests.clone());
        registry.register("bytes", "Bytes on disk", self.bytes.clone());
        registry.register("damaged", "Files that were damaged or foreign, removed", self.damaged.clone());
        let not_written = "Things not kept on disk, since it failed or is slow";
        registry.register("not_written", not_written, self.not_written.clone());
        registry.register("too_large", "Things larger than one may be", self.too_large.clone());
    }

    /// Counts a lookup.
    pub fn looked_up(&self, kind: &'static str, result: &'static str) {
        self.requests.get_or_create(&CacheLabels { kind, result }).inc();
    }

    /// Bytes on disk.
    pub fn bytes(&self) -> i64 {
        self.bytes.get()
    }

    pub(crate) fn set_bytes(&self, bytes: u64) {
        self.bytes.set(i64::try_from(bytes).unwrap_or(i64::MAX));
    }
}
