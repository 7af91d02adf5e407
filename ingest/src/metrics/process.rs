//! What is counted of the process itself: its version, its start, its configuration.

use std::sync::atomic::AtomicU64;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::Registry;
use whopulls_schemas::UnixMicros;

use crate::io::clock;

/// Labels of `config_reloads`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct ReloadLabels {
    /// `taken` or `refused`.
    pub result: &'static str,
}

/// What became of new configurations.
#[derive(Debug, Clone)]
pub struct ReloadMetrics {
    /// By result.
    pub reloads: Family<ReloadLabels, Counter>,
    /// 1 when the last one was taken, as the first was.
    pub last_successful: Gauge,
    /// When one was last taken.
    pub last_success: Gauge<f64, AtomicU64>,
}

impl Default for ReloadMetrics {
    fn default() -> Self {
        let made =
            Self { reloads: Family::default(), last_successful: Gauge::default(), last_success: Gauge::default() };
        for result in ["taken", "refused"] {
            // An alert can ask for the increase of what is there from the beginning.
            drop(made.reloads.get_or_create_owned(&ReloadLabels { result }));
        }
        made.last_successful.set(1);
        made.last_success.set(seconds(clock::now()));
        made
    }
}

impl ReloadMetrics {
    pub(super) fn register(&self, registry: &mut Registry) {
        registry.register("reloads", "New configurations, by what became of them", self.reloads.clone());
        let last = "Whether the newest configuration is the one in use";
        registry.register("last_reload_successful", last, self.last_successful.clone());
        let when = "When the configuration in use was taken, in seconds since the epoch";
        registry.register("last_reload_success_timestamp_seconds", when, self.last_success.clone());
    }

    /// A new configuration is in use.
    pub(crate) fn taken(&self) {
        self.last_success.set(seconds(clock::now()));
        self.last_successful.set(1);
        self.reloads.get_or_create(&ReloadLabels { result: "taken" }).inc();
    }

    /// A new configuration was refused.
    pub(crate) fn refused(&self) {
        self.last_successful.set(0);
        self.reloads.get_or_create(&ReloadLabels { result: "refused" }).inc();
    }
}

/// Which program this is, and since when it runs.
pub(super) fn name_process(registry: &mut Registry) {
    let version = Info::new(vec![("version", env!("CARGO_PKG_VERSION"))]);
    registry.register("whopulls_build", "The program that answers", version);
    let started: Gauge<f64, AtomicU64> = Gauge::default();
    started.set(seconds(clock::now()));
    registry.register("process_start_time_seconds", "When the process began, in seconds since the epoch", started);
}

#[expect(clippy::cast_precision_loss, reason = "microseconds since the epoch fit 53 bits until the year 2255")]
fn seconds(moment: UnixMicros) -> f64 {
    moment.0 as f64 / 1_000_000.0
}
