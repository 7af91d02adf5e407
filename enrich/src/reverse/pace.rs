//! So many questions a second and no more: a name server is somebody's.

use std::time::Duration;

use whopulls_schemas::UnixMicros;

/// Hands out moments, one for each question.
#[derive(Debug)]
pub(super) struct Pace {
    every_us: i64,
    next: UnixMicros,
}

impl Pace {
    /// `per_second` is at least 1.
    pub(super) fn new(per_second: u32) -> Self {
        Self { every_us: 1_000_000 / i64::from(per_second.max(1)), next: UnixMicros(0) }
    }

    /// How long the next question has to wait; `None` when its moment would come after `until`, and then it is not taken.
    pub(super) fn take(&mut self, now: UnixMicros, until: UnixMicros) -> Option<Duration> {
        let at = self.next.0.max(now.0);
        if at > until.0 {
            return None;
        }
        self.next = UnixMicros(at.saturating_add(self.every_us));
        Some(Duration::from_micros(u64::try_from(at - now.0).unwrap_or_default()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn questions_keep_their_distance_and_none_is_promised_too_late() {
        let mut pace = Pace::new(10);
        let (now, until) = (UnixMicros(1_000_000), UnixMicros(1_250_000));
        let waits: Vec<_> = std::iter::from_fn(|| pace.take(now, until)).map(|wait| wait.as_millis()).collect();
        assert_eq!(waits, [0, 100, 200]);
        let later = UnixMicros(5_000_000);
        assert_eq!(pace.take(later, later), Some(Duration::ZERO), "what was not asked is not made up for");
        assert_eq!(pace.take(later, later), None);
    }
}
