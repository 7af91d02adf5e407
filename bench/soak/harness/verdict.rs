//! What a run comes to.

use std::collections::BTreeMap;
use std::fmt;

use super::account::{Account, Log, Recorded};
use super::{Plan, Without};

/// Requests a second.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Rates {
    pub(crate) calibrated: u32,
    pub(crate) wanted: u32,
    pub(crate) reached: u32,
}

/// All figures, and what is wrong with them.
#[derive(Debug)]
pub(crate) struct Verdict {
    plan: Plan,
    asked: u64,
    log: Log,
    recorded: Recorded,
    memory: Memory,
    faults: BTreeMap<&'static str, u64>,
    rates: Rates,
    pub(crate) faulty: Vec<String>,
}

/// Resident memory in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Memory {
    pub(crate) first: u64,
    pub(crate) middle_third: u64,
    pub(crate) last_third: u64,
    pub(crate) max: u64,
}

impl Memory {
    pub(crate) fn of(samples: &[u64]) -> Self {
        let third = samples.len() / 3;
        let part = |from: usize, to: usize| median(samples.get(from..to).unwrap_or_default());
        Self {
            first: samples.first().copied().unwrap_or(0),
            middle_third: part(third, 2 * third),
            last_third: part(2 * third, samples.len()),
            max: samples.iter().copied().max().unwrap_or(0),
        }
    }

    pub(crate) fn is_flat(self, slack_bytes: u64) -> bool {
        self.last_third <= self.middle_third + self.middle_third / 10 + slack_bytes
    }
}

fn median(samples: &[u64]) -> u64 {
    let mut sorted = samples.to_vec();
    sorted.sort_unstable();
    sorted.get(sorted.len() / 2).copied().unwrap_or(0)
}

impl Verdict {
    pub(crate) fn of(
        plan: &Plan,
        account: &Account,
        recorded: Recorded,
        memory: &[u64],
        faults: BTreeMap<&'static str, u64>,
        rates: Rates,
    ) -> Self {
        let (log, memory) = (account.log(), Memory::of(memory));
        let mut verdict = Self {
            plan: plan.clone(),
            asked: account.asked(),
            log,
            recorded,
            memory,
            faults,
            rates,
            faulty: Vec::new(),
        };
        verdict.judge();
        verdict
    }

    fn judge(&mut self) {
        let Self { log, recorded, memory, plan, .. } = &*self;
        let outcome = |name: &str| recorded.outcomes.get(name).copied().unwrap_or(0);
        let checks = [
            (
                log.violations_count > 0,
                format!("{} answers that a cache or the fallback could have saved", log.violations_count),
            ),
            (recorded.missing(log) > 0, format!("{} answered requests are not in the spool", recorded.missing(log))),
            (recorded.twice > 0, format!("{} records are in the spool twice", recorded.twice)),
            (recorded.foreign > 0, format!("{} records are of no request", recorded.foreign)),
            (!memory.is_flat(plan.memory_slack_bytes), "memory is not flat".to_owned()),
            // A run in which nothing was saved shows nothing.
            (outcome("stale") == 0 && !plan.without.contains(&Without::Stale), "nothing was answered stale".to_owned()),
            (
                recorded.by_second == 0 && !plan.without.contains(&Without::Fallback),
                "nothing was answered by the fallback".to_owned(),
            ),
        ];
        self.faulty = checks.into_iter().filter(|(wrong, _)| *wrong).map(|(_, what)| what).collect();
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { plan, asked, log, recorded, memory, faults, rates, faulty } = self;
        let Rates { calibrated, wanted, reached } = rates;
        writeln!(f, "seed {}, {} s under load, {} connections", plan.seed, plan.duration.as_secs(), plan.connections)?;
        writeln!(f, "requests/s: {calibrated} undisturbed at most, {wanted} wanted, {reached} reached")?;
        let faults: Vec<String> = faults.iter().map(|(name, count)| format!("{name} {count}")).collect();
        writeln!(f, "faults: {}\n", faults.join(", "))?;
        writeln!(f, "{:<16}{:>12}{:>13}{:>12}{:>12}", "request", "good", "unavoidable", "violations", "slowest")?;
        for (kind, row) in &log.rows {
            let slowest = format!("{} ms", row.slowest_ms);
            writeln!(f, "{kind:<16}{:>12}{:>13}{:>12}{slowest:>12}", row.good, row.unavoidable, row.violations)?;
        }
        writeln!(
            f,
            "\nasked {asked}, recorded {}, answered without a record {}, twice {}, recorded without an answer {}, foreign {}",
            recorded.count,
            recorded.missing(log),
            recorded.twice,
            recorded.unanswered(log),
            recorded.foreign
        )?;
        let outcomes: Vec<String> = recorded.outcomes.iter().map(|(name, count)| format!("{name} {count}")).collect();
        writeln!(f, "outcomes: {}; by the second registry {}", outcomes.join(", "), recorded.by_second)?;
        let mib = |bytes: u64| format!("{}.{} MiB", bytes >> 20, ((bytes & 0xf_ffff) * 10) >> 20);
        writeln!(
            f,
            "memory: {} at first, {} median of the middle third, {} of the last third, {} at most",
            mib(memory.first),
            mib(memory.middle_third),
            mib(memory.last_third),
            mib(memory.max)
        )?;
        for violation in log.violations.values().flatten() {
            writeln!(f, "violation: {violation}")?;
        }
        for what in faulty {
            writeln!(f, "FAILED: {what}")?;
        }
        if faulty.is_empty() { writeln!(f, "all holds") } else { Ok(()) }
    }
}
