//! What the gateway and the forwarder count.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

use whopulls_schemas::raw::Outcome;

use crate::gateway::connection_metrics::ConnectionMetrics;

mod process;
mod upstream;

use process::name_process;
pub use process::{ReloadLabels, ReloadMetrics};
pub use upstream::{CacheLabels, CacheMetrics, UpstreamLabels, UpstreamMetrics, UpstreamResultLabels, UpstreamSeries};

use crate::spool::{Lag, SpoolStats};

/// Labels of `gateway_requests`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct RequestLabels {
    /// The rule's id, or `none`.
    pub route: String,
    /// What was done.
    pub outcome: &'static str,
    /// The status answered, as `2xx`.
    pub status: &'static str,
}

/// Labels of what is counted for each rule.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct RouteLabels {
    /// The rule's id, or `none`.
    pub route: String,
}

/// One thread's counters of requests, each looked up by its labels once and found by the rule's id from then on.
#[derive(Debug)]
pub(crate) struct Counters {
    requests: Family<RequestLabels, Counter>,
    sent_bytes: Family<RouteLabels, Counter>,
    /// Only one thread comes here, so the lock is always free.
    known: Mutex<Known>,
}

#[derive(Debug, Default)]
struct Known {
    /// As many rules as were ever configured.
    of_routes: HashMap<String, RouteCounters>,
    /// The one that was counted last: the next request is most often of the same rule.
    last: Option<LastCounted>,
}

/// One rule's counters.
#[derive(Debug)]
struct RouteCounters {
    sent_bytes: Counter,
    /// By outcome and status class.
    requests: Vec<((&'static str, &'static str), Counter)>,
}

#[derive(Debug)]
struct LastCounted {
    route: String,
    labels: (&'static str, &'static str),
    requests: Counter,
    sent_bytes: Counter,
}

impl Counters {
    pub(crate) fn new(metrics: &Metrics) -> Self {
        Self { requests: metrics.requests.clone(), sent_bytes: metrics.sent_bytes.clone(), known: Mutex::default() }
    }

    /// Counts one request.
    pub(crate) fn count(&self, route: Option<&str>, outcome: Option<Outcome>, status: u16, bytes: u64) {
        let route = route.unwrap_or("none");
        let (outcome, status) = (outcome.map_or("none", Outcome::as_str), status_class(status));
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let labels = (outcome, status);
        if let Some(last) = known.last.as_ref().filter(|last| last.labels == labels && last.route == route) {
            last.requests.inc();
            last.sent_bytes.inc_by(bytes);
            return;
        }
        let of_route = known.of_routes.entry(route.into()).or_insert_with(|| RouteCounters {
            sent_bytes: self.sent_bytes.get_or_create_owned(&RouteLabels { route: route.into() }),
            requests: Vec::new(),
        });
        let requests = if let Some((_, counter)) = of_route.requests.iter().find(|(known, _)| *known == labels) {
            counter.clone()
        } else {
            let counter = self.requests.get_or_create_owned(&RequestLabels { route: route.into(), outcome, status });
            of_route.requests.push((labels, counter.clone()));
            counter
        };
        let sent_bytes = of_route.sent_bytes.clone();
        requests.inc();
        sent_bytes.inc_by(bytes);
        known.last = Some(LastCounted { route: route.into(), labels, requests, sent_bytes });
    }
}

const fn status_class(status: u16) -> &'static str {
    match status / 100 {
        1 => "1xx",
        2 => "2xx",
        3 => "3xx",
        4 => "4xx",
        _ => "5xx",
    }
}

/// Labels of `gateway_records_lost`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct LostLabels {
    /// Why the record is not known to be written.
    pub reason: &'static str,
}

/// All metrics of the role; clones share them.
#[derive(Debug, Clone)]
pub struct Metrics {
    /// Answered requests.
    pub requests: Family<RequestLabels, Counter>,
    /// From request head to response head, in seconds.
    pub duration: Histogram,
    /// Bytes of answered bodies, as the answers announced them.
    pub sent_bytes: Family<RouteLabels, Counter>,
    /// Open client connections.
    pub connections: Gauge,
    /// Connections before and beside their requests.
    pub connection: ConnectionMetrics,
    /// Requests recorded without saying who asked, for an opt-out network or host.
    pub opt_outs: Counter,
    /// What became of new configurations.
    pub reloads: ReloadMetrics,
    /// Records written to the spool.
    pub recorded: Counter,
    /// Answered requests whose record is not known to be in the spool.
    pub lost: Family<LostLabels, Counter>,
    /// Token requests to upstream registries.
    pub tokens: Counter,
    /// Requests to upstreams.
    pub upstream: UpstreamMetrics,
    /// Manifests, small blobs and documents that are kept.
    pub cache: CacheMetrics,
    /// Records that Kafka acknowledged.
    pub forwarded: Counter,
    /// Deliveries that failed and are tried again.
    pub forward_errors: Counter,
    spool_bytes: Gauge,
    spool_segments: Gauge,
    spool_oldest: Gauge<f64, AtomicU64>,
    spool_dropped_records: Counter,
    spool_write_failures: Counter,
    spool_sync_failures: Counter,
    forward_lag_records: Gauge,
    forward_lag_bytes: Gauge,
}

impl Metrics {
    /// Makes the metrics and names them in `registry`.
    pub fn register(registry: &mut Registry) -> Self {
        // 50 us to 6.5 s, by factors of four.
        let buckets = [0.000_05, 0.000_2, 0.000_8, 0.003_2, 0.012_8, 0.051_2, 0.204_8, 0.819_2, 3.276_8, 6.553_6];
        let metrics = Self {
            requests: Family::default(),
            duration: Histogram::new(buckets),
            sent_bytes: Family::default(),
            connections: Gauge::default(),
            connection: ConnectionMetrics::default(),
            opt_outs: Counter::default(),
            reloads: ReloadMetrics::default(),
            recorded: Counter::default(),
            lost: Family::default(),
            tokens: Counter::default(),
            upstream: UpstreamMetrics::default(),
            cache: CacheMetrics::default(),
            forwarded: Counter::default(),
            forward_errors: Counter::default(),
            spool_bytes: Gauge::default(),
            spool_segments: Gauge::default(),
            spool_oldest: Gauge::default(),
            spool_dropped_records: Counter::default(),
            spool_write_failures: Counter::default(),
            spool_sync_failures: Counter::default(),
            forward_lag_records: Gauge::default(),
            forward_lag_bytes: Gauge::default(),
        };
        name_process(registry);
        metrics.reloads.register(registry.sub_registry_with_prefix("whopulls_config"));
        metrics.name_gateway(registry.sub_registry_with_prefix("whopulls_gateway"));
        metrics.upstream.register(registry.sub_registry_with_prefix("whopulls_upstream"));
        metrics.cache.register(registry.sub_registry_with_prefix("whopulls_cache"));
        metrics.name_spool(registry.sub_registry_with_prefix("whopulls_spool"));
        metrics.name_forward(registry.sub_registry_with_prefix("whopulls_forward"));
        metrics
    }

    fn name_gateway(&self, registry: &mut Registry) {
        registry.register("requests", "Answered requests", self.requests.clone());
        registry.register("duration_seconds", "From request head to response head", self.duration.clone());
        let sent = "Bytes of answered bodies, as the answers announced them";
        registry.register("sent_bytes", sent, self.sent_bytes.clone());
        registry.register("connections", "Open client connections", self.connections.clone());
        self.connection.register(registry);
        let opt_outs = "Requests recorded without saying who asked, for an opt-out network or host";
        registry.register("opt_outs", opt_outs, self.opt_outs.clone());
        registry.register("recorded", "Records written to the spool", self.recorded.clone());
        let lost = "Answered requests whose record is not known to be in the spool";
        registry.register("records_lost", lost, self.lost.clone());
        registry.register("tokens", "Token requests to upstream registries", self.tokens.clone());
    }

    fn name_spool(&self, registry: &mut Registry) {
        registry.register("bytes", "Bytes on disk", self.spool_bytes.clone());
        registry.register("segments", "Segments on disk", self.spool_segments.clone());
        let oldest = "Last write to the oldest segment, in seconds since the epoch";
        registry.register("oldest_timestamp_seconds", oldest, self.spool_oldest.clone());
        let dropped = "Records dropped unread since the start";
        registry.register("dropped_records", dropped, self.spool_dropped_records.clone());
        registry.register("write_failures", "Groups not written since the start", self.spool_write_failures.clone());
        registry.register("sync_failures", "Syncs failed since the start", self.spool_sync_failures.clone());
    }

    fn name_forward(&self, registry: &mut Registry) {
        registry.register("sent", "Records that Kafka acknowledged", self.forwarded.clone());
        registry.register("errors", "Deliveries that failed and are tried again", self.forward_errors.clone());
        registry.register("lag_records", "Records not acknowledged by Kafka yet", self.forward_lag_records.clone());
        registry.register("lag_bytes", "Bytes not acknowledged by Kafka yet", self.forward_lag_bytes.clone());
    }

    /// Takes over the spool's figures, before the metrics are read.
    pub fn set_spool(&self, stats: SpoolStats, forward_lag: Option<Lag>) {
        self.spool_bytes.set(signed(stats.bytes));
        self.spool_segments.set(signed(stats.segments as u64));
        self.spool_oldest.set(Duration::from_millis(stats.oldest_ms).as_secs_f64());
        self.spool_dropped_records.inner().store(stats.lost_records, Ordering::Relaxed);
        self.spool_write_failures.inner().store(stats.write_failures, Ordering::Relaxed);
        self.spool_sync_failures.inner().store(stats.sync_failures, Ordering::Relaxed);
        if let Some(lag) = forward_lag {
            self.forward_lag_records.set(signed(lag.records));
            self.forward_lag_bytes.set(signed(lag.bytes));
        }
    }
}

fn signed(figure: u64) -> i64 {
    i64::try_from(figure).unwrap_or(i64::MAX)
}
