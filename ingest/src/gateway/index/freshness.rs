//! When a document is answered from the cache. Pure: the time is an argument.

use whopulls_schemas::UnixMicros;

const SECOND_US: i64 = 1_000_000;

/// What may be done with a document in the cache.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Freshness {
    /// Answered as it is.
    Fresh,
    /// The upstream is asked, and when it does not answer this is answered all the same.
    Due,
    /// The upstream must answer.
    Gone,
}

/// Judges a document that the upstream last confirmed at `checked`.
pub(crate) fn freshness(now: UnixMicros, checked: UnixMicros, ttl_s: u64, stale_max_s: u64) -> Freshness {
    let age_us = now.0.saturating_sub(checked.0);
    let within = |seconds: u64| age_us < i64::try_from(seconds).unwrap_or(i64::MAX).saturating_mul(SECOND_US);
    // A clock that was set back makes a document of tomorrow: the upstream knows.
    if age_us >= 0 && within(ttl_s) {
        Freshness::Fresh
    } else if within(ttl_s.saturating_add(stale_max_s)) {
        Freshness::Due
    } else {
        Freshness::Gone
    }
}

/// Whether an `If-None-Match` names this tag; weakly, as for a GET.
pub(crate) fn matches_tag(if_none_match: &str, tag: &str) -> bool {
    if_none_match.split(',').map(str::trim).any(|own| own == "*" || own.strip_prefix("W/").unwrap_or(own) == tag)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(age_s: i64, expected: Freshness) {
        let now = UnixMicros(1_000_000 * SECOND_US);
        let checked = UnixMicros(now.0 - age_s * SECOND_US);
        assert_eq!(freshness(now, checked, 60, 3600), expected, "{age_s} s");
    }

    #[test]
    fn a_document_is_fresh_then_due_then_gone() {
        check(0, Freshness::Fresh);
        check(59, Freshness::Fresh);
        check(60, Freshness::Due);
        check(3659, Freshness::Due);
        check(3660, Freshness::Gone);
        check(-5, Freshness::Due);
        let now = UnixMicros(5);
        assert_eq!(freshness(now, now, 0, 0), Freshness::Gone);
        assert_eq!(freshness(now, now, u64::MAX, u64::MAX), Freshness::Fresh);
    }

    #[test]
    fn tags_are_compared_weakly() {
        assert!(matches_tag("\"a\", W/\"b\"", "\"b\"") && matches_tag("*", "\"b\""));
        assert!(!matches_tag("\"a\"", "\"b\"") && !matches_tag("", "\"b\""));
    }
}
