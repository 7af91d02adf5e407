//! The only place that reads the clocks for requests.

use std::time::{Instant, SystemTime, UNIX_EPOCH};

use whopulls_schemas::UnixMicros;

/// The wall clock.
#[expect(clippy::disallowed_methods, reason = "the edge reads the clock here")]
pub(crate) fn now() -> UnixMicros {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    UnixMicros(i64::try_from(since.as_micros()).unwrap_or(i64::MAX))
}

/// The clock that never goes back.
#[expect(clippy::disallowed_methods, reason = "the edge reads the clock here")]
pub(crate) fn monotonic() -> Instant {
    Instant::now()
}
