//! The clock, read here and nowhere else in this crate.

use std::time::{SystemTime, UNIX_EPOCH};

use whopulls_schemas::UnixMicros;

/// The time now. A clock before 1970 reads as 1970.
#[expect(clippy::disallowed_methods, reason = "this is where the clock is read")]
pub fn now() -> UnixMicros {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    UnixMicros(i64::try_from(since_epoch.as_micros()).unwrap_or(i64::MAX))
}
