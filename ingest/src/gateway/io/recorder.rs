//! Keeping a record, without ever keeping a download from its client.

use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};

use bytes::Bytes;
use whopulls_schemas::UnixMicros;
use whopulls_schemas::raw::RawAccess;

use super::super::{RECORD_WAIT, RECORD_WAIT_BEHIND};
use crate::metrics::{LostLabels, Metrics};
use crate::spool::{AppendError, Spool};

/// A spool that fails at every request is said at most this often.
const SAY_EVERY_US: i64 = 10_000_000;

#[derive(Debug)]
pub(super) struct Recorder {
    spool: Spool,
    metrics: Metrics,
    said: AtomicI64,
    /// The last record was not written in time.
    behind: AtomicBool,
}

impl Recorder {
    pub(super) fn new(spool: Spool, metrics: Metrics) -> Self {
        Self { spool, metrics, said: AtomicI64::new(i64::MIN), behind: AtomicBool::new(false) }
    }

    /// Appends the record, or counts and says that it could not.
    pub(super) async fn keep(&self, record: &RawAccess, now: UnixMicros) {
        let appended = self.spool.append(Bytes::from(record.encode()));
        let wait = if self.behind.load(Ordering::Relaxed) { RECORD_WAIT_BEHIND } else { RECORD_WAIT };
        let answered = tokio::time::timeout(wait, appended).await;
        self.behind.store(answered.is_err(), Ordering::Relaxed);
        let (reason, error) = match answered {
            Ok(Ok(_seq)) => {
                self.metrics.recorded.inc();
                return;
            }
            Ok(Err(error)) => (reason(&error), error.to_string()),
            // It may still be written; what is counted is that nobody knows.
            Err(_elapsed) => ("late", format!("not written within {} ms", wait.as_millis())),
        };
        self.metrics.lost.get_or_create(&LostLabels { reason }).inc();
        let said = self.said.load(Ordering::Relaxed);
        let due = said == i64::MIN || now.0.saturating_sub(said) >= SAY_EVERY_US;
        if due && self.said.compare_exchange(said, now.0, Ordering::Relaxed, Ordering::Relaxed).is_ok() {
            tracing::error!(
                error,
                reason,
                "requests are answered but not recorded; counted in whopulls_gateway_records_lost"
            );
        }
    }
}

fn reason(error: &AppendError) -> &'static str {
    match error {
        AppendError::TooLarge { .. } => "too_large",
        AppendError::QueueFull { .. } => "queue_full",
        AppendError::Full { .. } => "spool_full",
        AppendError::Io { .. } => "disk",
        AppendError::Closed => "closed",
    }
}
