//! What goes wrong when. Pure: the seed decides.

use std::time::Duration;

use super::random::Random;

/// How the first upstream is at a moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// As it should be.
    Quiet,
    /// Each answer comes so much later.
    Slow(Duration),
    /// Each answer is this 5xx.
    Status(u16),
    /// Connections are reset when a request has come.
    ResetBeforeHead,
    /// Connections are reset within an answer.
    ResetWithin,
    /// Nobody listens.
    Refuse,
    /// Requests are taken and never answered.
    Swallow,
    /// The registry is killed; it starts again when the fault ends.
    Killed,
    /// The second registry is killed, while the first is well.
    SecondKilled,
}

impl Fault {
    /// For the table.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Quiet => "quiet",
            Self::Slow(_) => "slow, 1 to 5 s",
            Self::Status(_) => "5xx",
            Self::ResetBeforeHead => "reset before the head",
            Self::ResetWithin => "reset within the answer",
            Self::Refuse => "connection refused",
            Self::Swallow => "swallowed",
            Self::Killed => "first killed",
            Self::SecondKilled => "second killed",
        }
    }
}

/// A fault, and how long it lasts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Step {
    pub(crate) fault: Fault,
    pub(crate) lasts: Duration,
}

/// Rounds of every fault in a new order, each half to one and a half times `fault` long, each followed by quiet.
pub(crate) fn schedule(seed: u64, duration: Duration, fault: Duration) -> Vec<Step> {
    let mut random = Random::new(seed);
    let mut steps = Vec::new();
    let mut left = duration;
    let mut round = Vec::new();
    loop {
        let next = round.pop().unwrap_or_else(|| {
            round = shuffled(&mut random);
            round.pop().unwrap_or(Fault::Quiet)
        });
        for fault_now in [Fault::Quiet, next] {
            let share = u32::try_from(random.below(100)).unwrap_or(0) + 50;
            let lasts = (fault * share / 100).min(left);
            if lasts.is_zero() {
                return steps;
            }
            steps.push(Step { fault: fault_now, lasts });
            left -= lasts;
        }
    }
}

fn shuffled(random: &mut Random) -> Vec<Fault> {
    let slow_ms = 1000 + u64::try_from(random.below(4001)).unwrap_or(0);
    let status = [500, 502, 503, 504].get(random.below(4)).copied().unwrap_or(503);
    let mut faults = vec![
        Fault::Slow(Duration::from_millis(slow_ms)),
        Fault::Status(status),
        Fault::ResetBeforeHead,
        Fault::ResetWithin,
        Fault::Refuse,
        Fault::Swallow,
        Fault::Killed,
        Fault::SecondKilled,
    ];
    for at in (1..faults.len()).rev() {
        faults.swap(at, random.below(at + 1));
    }
    faults
}
