//! Whether an upstream is worth asking. It never forbids: who has another way takes it at once while an upstream backs off, who has none
//! asks all the same.

use std::time::{Duration, Instant};

const FIRST: Duration = Duration::from_millis(500);
const LONGEST: Duration = Duration::from_secs(30);

/// Backs off for half a second after a failure, and for twice as long after each that follows, up to 30 s; an answer ends it.
#[derive(Debug, Default)]
pub(crate) struct Health {
    failing: Option<Failing>,
}

#[derive(Debug, Clone, Copy)]
struct Failing {
    pause: Duration,
    until: Instant,
}

impl Health {
    /// The upstream answered, whatever it said.
    pub(crate) fn handle_answer(&mut self) {
        self.failing = None;
    }

    /// The upstream did not answer, or only that it cannot.
    pub(crate) fn handle_failure(&mut self, now: Instant) {
        let pause = match self.failing {
            None => FIRST,
            // Many requests under way fail together: that is one failure.
            Some(failing) if now < failing.until => return,
            Some(failing) => LONGEST.min(failing.pause * 2),
        };
        self.failing = Some(Failing { pause, until: now + pause });
    }

    pub(crate) fn is_backing_off(&self, now: Instant) -> bool {
        self.failing.is_some_and(|failing| now < failing.until)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[expect(clippy::disallowed_methods, reason = "an Instant cannot be made otherwise")]
    fn start() -> Instant {
        Instant::now()
    }

    #[test]
    fn it_backs_off_longer_after_each_failure_and_not_at_all_after_an_answer() {
        let mut now = start();
        let mut health = Health::default();
        assert!(!health.is_backing_off(now));
        for pause_ms in [500, 1000, 2000, 4000, 8000, 16_000, 30_000, 30_000] {
            health.handle_failure(now);
            let almost = Duration::from_millis(pause_ms - 1);
            assert!(health.is_backing_off(now + almost), "{pause_ms}");
            now += Duration::from_millis(pause_ms);
            assert!(!health.is_backing_off(now), "{pause_ms}");
        }
        health.handle_failure(now);
        health.handle_answer();
        assert!(!health.is_backing_off(now));
        health.handle_failure(now);
        assert!(!health.is_backing_off(now + FIRST), "it begins anew");
    }

    #[test]
    fn failures_that_come_together_are_one() {
        let now = start();
        let mut health = Health::default();
        for _ in 0..10 {
            health.handle_failure(now);
        }
        assert!(!health.is_backing_off(now + FIRST));
    }
}
