//! What the worker tells Prometheus.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;
use whopulls_schemas::RejectReason;

/// Commits on a local disk take milliseconds, on an object store up to seconds.
const COMMIT_SECONDS: [f64; 10] = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0];
/// From the request to the visible row: the flush interval and a commit.
const FRESHNESS_SECONDS: [f64; 10] = [1.0, 2.0, 4.0, 6.0, 10.0, 20.0, 40.0, 60.0, 300.0, 3600.0];

/// The label of `rejected`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct RejectedLabels {
    /// The stable name of the reason.
    pub reason: String,
}

/// The label of `position`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct PartitionLabels {
    /// The partition's number.
    pub partition: i32,
}

/// The worker's metrics. Counts are of committed batches: what was read, thrown away and read again counts once.
#[derive(Debug, Clone)]
pub struct WorkerMetrics {
    /// Events in the table.
    pub events: Counter,
    /// Records in the dead letters, by reason.
    pub rejected: Family<RejectedLabels, Counter>,
    /// Records that their node had sent before.
    pub resent: Counter,
    /// What the counting rule forgot before its time, for want of room: a repeat of it counts again.
    pub forgotten: Counter,
    /// Records read that wait for the next commit.
    pub waiting: Gauge,
    /// Commits.
    pub commits: Counter,
    /// Commits that the table refused because another worker had moved the partition.
    pub commits_refused: Counter,
    /// Failures of the source or the store after which the worker tried again.
    pub retries: Counter,
    /// Seconds from a full batch to its commit.
    pub commit_seconds: Histogram,
    /// Seconds from the oldest request of a batch to its commit.
    pub freshness_seconds: Histogram,
    /// The next offset of each partition, as committed.
    pub position: Family<PartitionLabels, Gauge>,
}

impl Default for WorkerMetrics {
    fn default() -> Self {
        Self {
            events: Counter::default(),
            rejected: Family::default(),
            resent: Counter::default(),
            forgotten: Counter::default(),
            waiting: Gauge::default(),
            commits: Counter::default(),
            commits_refused: Counter::default(),
            retries: Counter::default(),
            commit_seconds: Histogram::new(COMMIT_SECONDS),
            freshness_seconds: Histogram::new(FRESHNESS_SECONDS),
            position: Family::default(),
        }
    }
}

impl WorkerMetrics {
    /// Makes the metrics and registers them as `whopulls_enrich_…`.
    pub fn register(registry: &mut Registry) -> Self {
        let metrics = Self::default();
        for reason in RejectReason::ALL {
            drop(metrics.rejected.get_or_create(&RejectedLabels { reason: reason.as_str().to_owned() }));
        }
        let registry = registry.sub_registry_with_prefix("whopulls_enrich");
        registry.register("events", "Events committed", metrics.events.clone());
        registry.register("rejected", "Records refused, by reason", metrics.rejected.clone());
        registry.register("resent", "Records dropped because their node had sent them before", metrics.resent.clone());
        registry.register("forgotten", "Things that the counting rule forgot early", metrics.forgotten.clone());
        registry.register("waiting", "Records read that wait for the next commit", metrics.waiting.clone());
        registry.register("commits", "Commits to the lake", metrics.commits.clone());
        registry.register("commits_refused", "Commits refused by the lake", metrics.commits_refused.clone());
        registry.register("retries", "Failures after which the worker tried again", metrics.retries.clone());
        registry.register("commit_seconds", "Seconds to write and commit a batch", metrics.commit_seconds.clone());
        registry.register(
            "freshness_seconds",
            "Seconds from the oldest request of a batch to its commit",
            metrics.freshness_seconds.clone(),
        );
        registry.register("position", "Next offset of each partition, as committed", metrics.position.clone());
        metrics
    }
}
