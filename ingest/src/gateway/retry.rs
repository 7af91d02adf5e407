//! When a request to an upstream is tried again, and what an upstream says of its budget.

use std::time::Duration;

use http::{HeaderMap, StatusCode};

const FIRST: Duration = Duration::from_millis(100);
const LONGEST: Duration = Duration::from_secs(2);

/// The pause before attempt `attempt` (1 is the first repetition), between half of it and the whole by `random`: many requests that failed
/// together do not come back together.
pub(crate) fn pause(attempt: usize, random: u64) -> Duration {
    let doublings = u32::try_from(attempt.saturating_sub(1)).unwrap_or(u32::MAX).min(8);
    let whole = LONGEST.min(FIRST * 2_u32.pow(doublings));
    let part = u32::try_from(random % 512).unwrap_or(0);
    whole * (512 + part) / 1024
}

/// What passes by itself: a gateway between that has no upstream at the moment. Never a 4xx.
pub(crate) fn is_passing(status: StatusCode) -> bool {
    matches!(status, StatusCode::BAD_GATEWAY | StatusCode::SERVICE_UNAVAILABLE | StatusCode::GATEWAY_TIMEOUT)
}

/// An upstream's budget: of how many requests how many are left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Budget {
    pub(crate) limit: Option<i64>,
    pub(crate) remaining: i64,
}

impl Budget {
    /// `ratelimit-limit: 100;w=21600`, `ratelimit-remaining: 76;w=21600`
    pub(crate) fn of(headers: &HeaderMap) -> Option<Self> {
        let figure = |name: &str| headers.get(name)?.to_str().ok()?.split([';', ',']).next()?.trim().parse().ok();
        Some(Self { limit: figure("ratelimit-limit"), remaining: figure("ratelimit-remaining")? })
    }

    /// Less than a tenth is left.
    pub(crate) fn is_low(self) -> bool {
        self.limit.is_some_and(|limit| self.remaining.saturating_mul(10) < limit)
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn pauses_double_within_their_jitter_up_to_two_seconds() {
        for (attempt, whole_ms) in [(1, 100), (2, 200), (3, 400), (6, 2000), (100, 2000)] {
            assert_eq!(pause(attempt, 0), Duration::from_millis(whole_ms / 2), "{attempt}");
            for random in [1, 511, u64::MAX] {
                let pause = pause(attempt, random);
                assert!(pause >= Duration::from_millis(whole_ms / 2) && pause < Duration::from_millis(whole_ms));
            }
        }
    }

    #[test]
    fn a_budget_is_read_and_is_low_below_a_tenth() {
        let budget = |limit: &'static str, remaining: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert("ratelimit-limit", HeaderValue::from_static(limit));
            headers.insert("ratelimit-remaining", HeaderValue::from_static(remaining));
            Budget::of(&headers)
        };
        let found = budget("100;w=21600", "9;w=21600").expect("a budget");
        assert_eq!(found, Budget { limit: Some(100), remaining: 9 });
        assert!(found.is_low());
        assert!(!budget("100;w=21600", "10;w=21600").expect("a budget").is_low());
        assert!(budget("100", "many").is_none());
        assert!(Budget::of(&HeaderMap::new()).is_none());
    }
}
