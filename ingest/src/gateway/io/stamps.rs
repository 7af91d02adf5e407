//! What each request is given: an id, and the date of its answer.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, UNIX_EPOCH};

use uuid::timestamp::context::ContextV7;
use uuid::{Timestamp, Uuid};
use whopulls_schemas::UnixMicros;

/// Ids of one thread: `UUIDv7`s that rise, without a system call.
#[derive(Debug)]
pub(super) struct Ids(Mutex<ContextV7>);

impl Default for Ids {
    fn default() -> Self {
        Self(Mutex::new(ContextV7::new()))
    }
}

impl Ids {
    pub(super) fn at(&self, now: UnixMicros) -> Uuid {
        let micros = u64::try_from(now.0).unwrap_or_default();
        let nanos = u32::try_from(micros % 1_000_000 * 1000).unwrap_or_default();
        let context = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        Uuid::new_v7(Timestamp::from_unix(&*context, micros / 1_000_000, nanos))
    }
}

/// The `Date` of one thread's answers, written once a second.
#[derive(Debug, Default)]
pub(super) struct Date(Mutex<(i64, String)>);

impl Date {
    pub(super) fn at<T>(&self, now: UnixMicros, give: impl FnOnce(&str) -> T) -> T {
        let second = now.0.div_euclid(1_000_000);
        let mut written = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if written.0 != second || written.1.is_empty() {
            let since = Duration::from_secs(u64::try_from(second).unwrap_or_default());
            *written = (second, httpdate::fmt_http_date(UNIX_EPOCH + since));
        }
        give(&written.1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_of_one_moment_and_of_a_clock_that_goes_back_rise() {
        let ids = Ids::default();
        let moments = [5_000_000, 5_000_000, 5_000_400, 4_000_000, 6_000_000];
        let made: Vec<Uuid> = moments.iter().map(|micros| ids.at(UnixMicros(*micros))).collect();
        assert!(made.windows(2).all(|pair| pair.first() < pair.last()), "{made:?}");
        assert!(made.iter().all(|id| id.get_version_num() == 7));
    }

    #[test]
    fn the_date_follows_the_second() {
        let date = Date::default();
        let at = |micros| date.at(UnixMicros(micros), ToOwned::to_owned);
        assert_eq!(at(784_111_777_999_999), "Sun, 06 Nov 1994 08:49:37 GMT");
        assert_eq!(at(784_111_778_000_000), "Sun, 06 Nov 1994 08:49:38 GMT");
    }
}
