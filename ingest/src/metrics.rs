//! What the gateway and the forwarder count.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

use whopulls_schemas::raw::Outcome;

use crate::spool::{Lag, SpoolStats};

/// Labels of `gateway_requests`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct RequestLabels {
    /// The rule's id, or `none`.
    pub route: String,
    /// What was done.
    pub outcome: &'static str,
}

/// One thread's counters of requests, each looked up by its labels once and found by the rule's id from then on.
#[derive(Debug)]
pub(crate) struct Counters {
    family: Family<RequestLabels, Counter>,
    /// Only one thread comes here, so the lock is always free.
    known: Mutex<Known>,
}

#[derive(Debug, Default)]
struct Known {
    /// By rule, then by outcome. As many rules as were ever configured.
    of_routes: HashMap<String, Vec<(&'static str, Counter)>>,
    /// The one that was counted last: the next request is most often of the same rule.
    last: Option<(String, &'static str, Counter)>,
}

impl Counters {
    pub(crate) fn new(family: Family<RequestLabels, Counter>) -> Self {
        Self { family, known: Mutex::default() }
    }

    /// Counts one request.
    pub(crate) fn count(&self, route: Option<&str>, outcome: Option<Outcome>) {
        let (route, outcome) = (route.unwrap_or("none"), outcome.map_or("none", Outcome::as_str));
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, _, counter)) = known.last.as_ref().filter(|last| last.1 == outcome && last.0 == route) {
            counter.inc();
            return;
        }
        let of_route = known.of_routes.get(route);
        let found = of_route.and_then(|of_route| of_route.iter().find(|(word, _)| *word == outcome));
        let counter = if let Some((_, counter)) = found {
            counter.clone()
        } else {
            let counter = self.family.get_or_create_owned(&RequestLabels { route: route.into(), outcome });
            known.of_routes.entry(route.into()).or_default().push((outcome, counter.clone()));
            counter
        };
        counter.inc();
        known.last = Some((route.into(), outcome, counter));
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
    /// Open client connections.
    pub connections: Gauge,
    /// Records written to the spool.
    pub recorded: Counter,
    /// Answered requests whose record is not known to be in the spool.
    pub lost: Family<LostLabels, Counter>,
    /// Token requests to upstream registries.
    pub tokens: Counter,
    /// Records that Kafka acknowledged.
    pub forwarded: Counter,
    /// Deliveries that failed and are tried again.
    pub forward_errors: Counter,
    spool_bytes: Gauge,
    spool_segments: Gauge,
    spool_oldest_ms: Gauge,
    spool_dropped_records: Gauge,
    spool_write_failures: Gauge,
    spool_sync_failures: Gauge,
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
            connections: Gauge::default(),
            recorded: Counter::default(),
            lost: Family::default(),
            tokens: Counter::default(),
            forwarded: Counter::default(),
            forward_errors: Counter::default(),
            spool_bytes: Gauge::default(),
            spool_segments: Gauge::default(),
            spool_oldest_ms: Gauge::default(),
            spool_dropped_records: Gauge::default(),
            spool_write_failures: Gauge::default(),
            spool_sync_failures: Gauge::default(),
            forward_lag_records: Gauge::default(),
            forward_lag_bytes: Gauge::default(),
        };
        metrics.name_gateway(registry.sub_registry_with_prefix("whopulls_gateway"));
        metrics.name_spool(registry.sub_registry_with_prefix("whopulls_spool"));
        metrics.name_forward(registry.sub_registry_with_prefix("whopulls_forward"));
        metrics
    }

    fn name_gateway(&self, registry: &mut Registry) {
        registry.register("requests", "Answered requests", self.requests.clone());
        registry.register("duration_seconds", "From request head to response head", self.duration.clone());
        registry.register("connections", "Open client connections", self.connections.clone());
        registry.register("recorded", "Records written to the spool", self.recorded.clone());
        let lost = "Answered requests whose record is not known to be in the spool";
        registry.register("records_lost", lost, self.lost.clone());
        registry.register("tokens", "Token requests to upstream registries", self.tokens.clone());
    }

    fn name_spool(&self, registry: &mut Registry) {
        registry.register("bytes", "Bytes on disk", self.spool_bytes.clone());
        registry.register("segments", "Segments on disk", self.spool_segments.clone());
        let oldest = "Last write to the oldest segment, in milliseconds since the epoch";
        registry.register("oldest_ms", oldest, self.spool_oldest_ms.clone());
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
        self.spool_oldest_ms.set(signed(stats.oldest_ms));
        self.spool_dropped_records.set(signed(stats.lost_records));
        self.spool_write_failures.set(signed(stats.write_failures));
        self.spool_sync_failures.set(signed(stats.sync_failures));
        if let Some(lag) = forward_lag {
            self.forward_lag_records.set(signed(lag.records));
            self.forward_lag_bytes.set(signed(lag.bytes));
        }
    }
}

fn signed(figure: u64) -> i64 {
    i64::try_from(figure).unwrap_or(i64::MAX)
}
