//! The soak: `cargo bench -p whopulls-ingest --bench soak -- --minutes 30`. See `harness/mod.rs` for what it does. Ends with 1 when
//! something does not hold.

#![expect(clippy::print_stdout, reason = "a benchmark says what it measured")]

mod harness;
#[path = "../../ingest/tests/it/registry.rs"]
#[expect(dead_code, reason = "shared with the tests, which use all of it")]
mod registry;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use harness::{Plan, Without};

/// Puts the gateway under load while its upstreams misbehave.
#[derive(Debug, Parser)]
struct Arguments {
    /// How long under load.
    #[arg(long, default_value_t = 30)]
    minutes: u32,
    /// Decides faults and requests.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Connections of clients.
    #[arg(long, default_value_t = 256)]
    connections: u32,
    /// The most requests a second: at 15,000 the spool of half an hour needs some 15 GB.
    #[arg(long, default_value_t = 15_000)]
    rate_max: u32,
    /// Another build of the gateway than the one that was built with this.
    #[arg(long, default_value = env!("CARGO_BIN_EXE_whopulls-gateway"))]
    gateway: PathBuf,
    /// What to take from the gateway, to see the harness fail: fallback, stale.
    #[arg(long, value_parser = without)]
    without: Vec<Without>,
    /// `cargo bench` says so.
    #[arg(long, hide = true)]
    bench: bool,
}

fn without(text: &str) -> Result<Without, String> {
    match text {
        "fallback" => Ok(Without::Fallback),
        "stale" => Ok(Without::Stale),
        _ => Err("fallback or stale".to_owned()),
    }
}

#[tokio::main]
async fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let plan = Plan {
        seed: arguments.seed,
        calibration: Duration::from_secs(if arguments.minutes < 5 { 15 } else { 60 }),
        duration: Duration::from_mins(1) * arguments.minutes,
        fault: Duration::from_secs(8),
        connections: arguments.connections,
        rate_max: arguments.rate_max,
        upstream_timeout: Duration::from_secs(2),
        memory_every: Duration::from_secs(5),
        memory_slack_bytes: 0,
        gateway: arguments.gateway,
        without: arguments.without,
    };
    let verdict = harness::run(plan).await;
    println!("{verdict}");
    if verdict.faulty.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
