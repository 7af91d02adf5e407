//! The enrichment on one core: `cargo bench -p whopulls-enrich --bench enrich -- LOG…`
//!
//! Reads addresses and user agents from access logs in the combined format, in the order in which they came, and derives their columns again
//! and again on one thread: address, network, country, organization, client. Prints events/s of each round.

#![expect(clippy::print_stdout, reason = "a benchmark says what it measured")]
#![expect(clippy::disallowed_methods, reason = "a benchmark reads the clock")]

use std::sync::Arc;
use std::time::{Duration, Instant};

use uuid::Uuid;
use whopulls_enrich::Enricher;
use whopulls_enrich::endpoint::EndpointKey;
use whopulls_enrich::geo::Database;
use whopulls_schemas::UnixMicros;
use whopulls_schemas::config::IpMode;
use whopulls_schemas::raw::{Kind, RawAccess};

const ROUNDS: usize = 5;
const ROUND: Duration = Duration::from_secs(2);

fn main() {
    let logs: Vec<String> = std::env::args().skip(1).filter(|argument| !argument.starts_with('-')).collect();
    assert!(!logs.is_empty(), "name one or more access logs in the combined format");
    let database = Arc::new(Database::open(&[]).expect("the embedded database"));
    for log in logs {
        let records = records(&log);
        let enricher = Enricher::new(Arc::clone(&database), EndpointKey::new([7; EndpointKey::BYTES]), IpMode::Net);
        let mut rates: Vec<f64> = (0..=ROUNDS).map(|_| round(&enricher, &records)).collect();
        // The first round warms up.
        rates.remove(0);
        let rounds: Vec<String> = rates.iter().map(|rate| format!("{rate:.0}")).collect();
        rates.sort_by(f64::total_cmp);
        let median = rates.get(ROUNDS / 2).copied().unwrap_or_default();
        println!("{log}: {} records; events/s {median:.0} median of {}", records.len(), rounds.join(", "));
    }
}

/// Events/s of one round; at least once over all records.
fn round(enricher: &Enricher, records: &[RawAccess]) -> f64 {
    let (begin, mut events) = (Instant::now(), 0.0);
    while begin.elapsed() < ROUND {
        for raw in records {
            std::hint::black_box(enricher.enrich(std::hint::black_box(raw)));
            events += 1.0;
        }
    }
    events / begin.elapsed().as_secs_f64()
}

fn records(path: &str) -> Vec<RawAccess> {
    let bytes = std::fs::read(path).expect("the log can be read");
    let text = String::from_utf8_lossy(&bytes);
    let record = |line: &str| {
        let address = line.split(' ').next()?.parse().ok()?;
        let user_agent = line.rsplit('"').nth(1)?;
        let mut raw = RawAccess::new(Uuid::nil(), UnixMicros(0), Kind::File, "GET", "/a", 200);
        raw.client_ip = Some(address);
        raw.user_agent = Some(user_agent.to_owned());
        Some(raw)
    };
    text.lines().filter_map(record).collect()
}
