//! A gateway under load while its upstreams misbehave, with a full account of what it answered and what it recorded.
//!
//! Two real registries hold the same images; a proxy of this harness stands in front of each. By a schedule that a seed decides the
//! first one is slow, answers 5xx, resets connections before and within an answer, refuses them, swallows requests, or is killed and
//! started again. The real gateway process, with its caches and a fallback, answers a mix of requests at half the rate that it
//! reached undisturbed. At the end every answered request must be in the spool exactly once, no client may have seen an error that
//! a cache or the fallback could have saved, and memory must be flat.

pub(crate) mod account;
pub(crate) mod schedule;

mod client;
mod content;
mod fault_proxy;
mod gateway;
mod load;
mod random;
mod upstreams;
pub(crate) mod verdict;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use account::Account;
use content::Content;
use gateway::Gateway;
use load::{Load, Pace};
use upstreams::Upstreams;
use verdict::Rates;
pub(crate) use verdict::Verdict;

/// What is run.
#[derive(Debug, Clone)]
pub(crate) struct Plan {
    /// Decides faults and requests.
    pub(crate) seed: u64,
    /// How long the greatest rate is measured, without faults.
    pub(crate) calibration: Duration,
    /// How long the gateway is under load and faults.
    pub(crate) duration: Duration,
    /// How long a fault lasts on average; as long it is quiet behind it.
    pub(crate) fault: Duration,
    /// Connections of clients.
    pub(crate) connections: u32,
    /// The most requests a second, whatever half the greatest rate is; it bounds the disk that the spool needs.
    pub(crate) rate_max: u32,
    /// How long the gateway waits for an upstream.
    pub(crate) upstream_timeout: Duration,
    /// How often memory is looked at.
    pub(crate) memory_every: Duration,
    /// What the last third may need more than the middle one, beside a tenth: allocators keep what they once had.
    pub(crate) memory_slack_bytes: u64,
    /// The gateway's program.
    pub(crate) gateway: PathBuf,
    /// What is taken from the gateway, to see the harness fail.
    pub(crate) without: Vec<Without>,
}

/// A protection that can be taken from the gateway.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Without {
    /// The second registry.
    Fallback,
    /// Answers from the cache when nobody else answers.
    Stale,
}

/// Runs it.
pub(crate) async fn run(plan: Plan) -> Verdict {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let (upstreams, pushed) = Upstreams::start(dir.path()).await;
    let content = Arc::new(Content::of(&pushed));
    let gateway = Gateway::start(dir.path(), &plan, &upstreams).await;
    let account = Arc::new(Account::new(content.asks.len()));
    let load = Load::new(gateway.address, Arc::clone(&content), Arc::clone(&account), upstreams.disturbance());

    // Whatever has no second source is seen once: from here on the caches answer for it.
    load.see_all(&content.lasting()).await;
    let rate = calibrate(&load, &account, &plan).await;
    let wanted = (rate / 2).clamp(1, plan.rate_max);
    let stop = CancellationToken::new();
    let memory = tokio::spawn(gateway.memory(plan.memory_every, stop.clone()));
    let faults = tokio::spawn(upstreams.misbehave(schedule::schedule(plan.seed, plan.duration, plan.fault)));
    let begun = Instant::now();
    let asked_before = account.asked();
    load.run(&plan, Pace::Rate(wanted), plan.duration).await;
    let reached = per_second(account.asked() - asked_before, begun.elapsed());
    stop.cancel();
    let (memory, (faults, upstreams)) = (memory.await.expect("the samples"), faults.await.expect("the faults"));
    gateway.stop().await;
    drop(upstreams);
    let recorded = gateway::recorded(dir.path(), &account).await;
    Verdict::of(&plan, &account, recorded, &memory, faults, Rates { calibrated: rate, wanted, reached })
}

async fn calibrate(load: &Load, account: &Account, plan: &Plan) -> u32 {
    let (begun, before) = (Instant::now(), account.asked());
    load.run(plan, Pace::Unbounded, plan.calibration).await;
    per_second(account.asked() - before, begun.elapsed())
}

fn per_second(requests: u64, elapsed: Duration) -> u32 {
    let elapsed_ms = u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX).max(1);
    u32::try_from(requests.saturating_mul(1000) / elapsed_ms).unwrap_or(u32::MAX)
}
