//! What following logs counts.

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

/// The counts of all logs that are followed together.
#[derive(Debug, Clone, Default)]
pub struct FollowMetrics {
    /// Lines that became records.
    pub lines: Counter,
    /// Lines that did not.
    pub rejected: Counter,
    /// Logs that were read to their end and left for the next.
    pub rotations: Counter,
    /// Logs that were gone before they were read to their end.
    pub lost: Counter,
    /// Bytes that stand in the logs and are not read.
    pub behind_bytes: Gauge,
}

impl FollowMetrics {
    /// Registers them.
    pub fn register(registry: &mut Registry) -> Self {
        let new = Self::default();
        let registry = registry.sub_registry_with_prefix("whopulls_follow");
        registry.register("lines", "Lines of followed logs that became records", new.lines.clone());
        registry.register(
            "rejected_lines",
            "Lines of followed logs that did not, now dead letters",
            new.rejected.clone(),
        );
        registry.register("rotations", "Followed logs read to their end and left for the next", new.rotations.clone());
        registry.register(
            "lost_logs",
            "Followed logs that were gone before they were read to their end",
            new.lost.clone(),
        );
        registry.register("behind_bytes", "Bytes of followed logs that are not read yet", new.behind_bytes.clone());
        new
    }
}
