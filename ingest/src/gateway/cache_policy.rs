//! What the cache may answer: how fresh it is, for which client, and what is asked before what.

use whopulls_schemas::UnixMicros;
use whopulls_schemas::config::CacheConfig;

/// How long answers are good.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Lifetime {
    /// Without asking the upstream, in seconds.
    pub(crate) ttl_s: u64,
    /// After that, when the upstream does not answer, in seconds.
    pub(crate) stale_max_s: u64,
}

impl Lifetime {
    pub(crate) fn of(cache: &CacheConfig) -> Self {
        Self { ttl_s: cache.ttl_s, stale_max_s: cache.stale_max_h.saturating_mul(3600) }
    }

    /// The same with a rule's own time to live.
    pub(crate) fn with_ttl(self, ttl_s: Option<u64>) -> Self {
        Self { ttl_s: ttl_s.unwrap_or(self.ttl_s), ..self }
    }
}

/// How good a cached answer is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Freshness {
    /// It is answered without asking.
    Fresh,
    /// The upstream is asked; when it does not answer, this is.
    Due,
    /// It is never answered.
    Gone,
}

/// How good an answer is that the upstream confirmed at `checked`.
pub(crate) fn freshness(now: UnixMicros, checked: UnixMicros, lifetime: Lifetime) -> Freshness {
    let Lifetime { ttl_s, stale_max_s } = lifetime;
    let Ok(age_us) = u64::try_from(now.0.saturating_sub(checked.0)) else {
        // The clock was set back: nobody knows how old it is.
        return Freshness::Due;
    };
    let seconds = age_us / 1_000_000;
    if seconds < ttl_s {
        Freshness::Fresh
    } else if seconds < ttl_s.saturating_add(stale_max_s) {
        Freshness::Due
    } else {
        Freshness::Gone
    }
}

/// Whether an `If-None-Match` names this entity tag; weakly, as for a GET.
pub(crate) fn names_tag(if_none_match: &str, tag: &str) -> bool {
    if_none_match.split(',').map(str::trim).any(|own| own == "*" || own.strip_prefix("W/").unwrap_or(own) == tag)
}

/// What is done with one source of a repository before it is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Turn {
    /// The cache answers.
    Answer,
    /// The upstream is asked.
    Ask,
    /// Not now: it backs off, and there is another way.
    Skip,
}

/// The turn of a source. `has_other_way`: a source follows, or a stale answer is at hand.
pub(crate) fn turn(cached: Option<Freshness>, is_backing_off: bool, has_other_way: bool) -> Turn {
    match cached {
        Some(Freshness::Fresh) => Turn::Answer,
        _ if is_backing_off && has_other_way => Turn::Skip,
        Some(Freshness::Due | Freshness::Gone) | None => Turn::Ask,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_fresh_then_due_then_gone() {
        let lifetime = Lifetime { ttl_s: 60, stale_max_s: 3600 };
        for (age_s, expected) in [
            (0, Freshness::Fresh),
            (59, Freshness::Fresh),
            (60, Freshness::Due),
            (3659, Freshness::Due),
            (3660, Freshness::Gone),
            (-10, Freshness::Due),
        ] {
            let checked = UnixMicros(1_000_000_000);
            let now = UnixMicros(checked.0 + age_s * 1_000_000);
            assert_eq!(freshness(now, checked, lifetime), expected, "{age_s} s");
        }
        let never = Lifetime { ttl_s: 0, stale_max_s: 0 };
        assert_eq!(freshness(UnixMicros(5), UnixMicros(5), never), Freshness::Gone);
    }

    #[test]
    fn tags_are_compared_weakly() {
        assert!(names_tag("\"a\", W/\"b\"", "\"b\"") && names_tag("*", "\"b\""));
        assert!(!names_tag("\"a\"", "\"b\"") && !names_tag("", "\"b\""));
    }

    #[test]
    fn a_source_that_backs_off_is_passed_over_only_for_another_way() {
        for (cached, is_backing_off, has_other_way, expected) in [
            (Some(Freshness::Fresh), true, true, Turn::Answer),
            (Some(Freshness::Due), false, true, Turn::Ask),
            (Some(Freshness::Due), true, true, Turn::Skip),
            (Some(Freshness::Gone), true, false, Turn::Ask),
            (None, true, false, Turn::Ask),
            (None, true, true, Turn::Skip),
            (None, false, false, Turn::Ask),
        ] {
            assert_eq!(turn(cached, is_backing_off, has_other_way), expected);
        }
    }
}
