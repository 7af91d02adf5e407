//! When a certificate of an ACME authority is renewed. Pure: the time is an argument.

use std::time::Duration;

/// A certificate's validity, in seconds since the epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Validity {
    pub(crate) not_before_s: i64,
    pub(crate) not_after_s: i64,
}

/// The first pause after an order that failed. Authorities allow a few failed validations an hour for each name.
const RETRY_FIRST: Duration = Duration::from_mins(1);
/// The longest pause between orders that fail: of a certificate of 90 days there are 30 left when it is first tried.
const RETRY_MAX: Duration = Duration::from_hours(6);
/// Not longer than this without looking at the clock again: it may have been set meanwhile.
const LOOK_AGAIN: Duration = Duration::from_hours(1);

impl Validity {
    /// The moment of renewal: when a third of the certificate's time is left, as authorities advise.
    pub(crate) fn renewal_s(self) -> i64 {
        let lifetime = self.not_after_s.saturating_sub(self.not_before_s).max(0);
        self.not_after_s.saturating_sub(lifetime / 3)
    }
}

/// How long to wait before an order: nothing when it is due; otherwise until it is, but never longer than an hour at a time.
pub(crate) fn wait(validity: Option<Validity>, failures: u32, now_s: i64) -> Duration {
    if failures > 0 {
        let factor = 1_u32.checked_shl(failures - 1).unwrap_or(u32::MAX);
        return RETRY_FIRST.saturating_mul(factor).min(RETRY_MAX);
    }
    let due = validity.map_or(now_s, Validity::renewal_s);
    Duration::from_secs(u64::try_from(due.saturating_sub(now_s)).unwrap_or(0)).min(LOOK_AGAIN)
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY_S: i64 = 86_400;

    #[track_caller]
    fn check(validity: Option<(i64, i64)>, failures: u32, now_s: i64, expected_s: u64) {
        let validity = validity.map(|(not_before_s, not_after_s)| Validity { not_before_s, not_after_s });
        assert_eq!(wait(validity, failures, now_s), Duration::from_secs(expected_s));
    }

    #[test]
    fn without_a_certificate_an_order_is_due() {
        check(None, 0, 5, 0);
    }

    #[test]
    fn a_certificate_is_renewed_when_a_third_of_its_time_is_left() {
        let ninety = Some((0, 90 * DAY_S));
        check(ninety, 0, 60 * DAY_S - 10, 10);
        check(ninety, 0, 60 * DAY_S, 0);
        check(ninety, 0, 91 * DAY_S, 0);
        check(ninety, 0, 10 * DAY_S, 3600);
    }

    #[test]
    fn orders_that_fail_are_tried_again_ever_more_rarely() {
        check(None, 1, 0, 60);
        check(None, 2, 0, 120);
        check(None, 9, 0, 15_360);
        check(None, 10, 0, 21_600);
        check(None, 99, 0, 21_600);
    }
}
