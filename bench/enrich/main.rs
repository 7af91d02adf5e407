//! The enrichment on one core: `cargo bench -p whopulls-enrich --bench enrich`, of the logs that `LOGS` names, else of the real ones beside the repository.
//!
//! Reads addresses and user agents from access logs in the combined format, in the order in which they came, and derives their columns again
//! and again on one thread: address, network, country, cloud, organization with evidence, client. `thrpt` is events/s. The second figure of each log is with addresses that
//! never come again, so that nothing that is remembered helps.

#![expect(clippy::disallowed_methods, reason = "a benchmark reads its environment")]

use std::hint::black_box;
use std::net::{IpAddr, Ipv4Addr};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use criterion::{BatchSize, Criterion, Throughput};
use uuid::Uuid;
use whopulls_enrich::Enricher;
use whopulls_enrich::endpoint::EndpointKey;
use whopulls_enrich::geo::Database;
use whopulls_schemas::UnixMicros;
use whopulls_schemas::config::IpMode;
use whopulls_schemas::raw::{Kind, RawAccess};

fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    let database = Arc::new(Database::open(&[]).expect("the embedded database"));
    for log in logs() {
        let records = records(&log);
        let name = log.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let mut group = criterion.benchmark_group(name);
        group.throughput(Throughput::Elements(records.len() as u64));
        let enricher = Enricher::new(Arc::clone(&database), EndpointKey::new([7; EndpointKey::BYTES]), IpMode::Net);
        let enrich = |records: &[RawAccess]| {
            for raw in records {
                black_box(enricher.enrich(black_box(raw)));
            }
        };
        group.bench_function("as it came", |bencher| bencher.iter(|| enrich(&records)));
        let mut next = 0x0100_0000_u32;
        let mut elsewhere = || {
            let mut records = records.clone();
            for raw in &mut records {
                // A step that meets every address once before any comes again.
                next = next.wrapping_add(2_654_435_761);
                raw.client_ip = Some(IpAddr::V4(Ipv4Addr::from_bits(next)));
            }
            records
        };
        group.bench_function("addresses that never come again", |bencher| {
            bencher.iter_batched(&mut elsewhere, |records| enrich(&records), BatchSize::LargeInput);
        });
        group.finish();
    }
    criterion.final_summary();
}

fn logs() -> Vec<PathBuf> {
    if let Ok(logs) = std::env::var("LOGS") {
        return logs.split_whitespace().map(PathBuf::from).collect();
    }
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/data/logs");
    ["nginx_package_downloads.log", "apache_logs_elastic.log"].map(|log| folder.join(log)).into()
}

fn records(path: &Path) -> Vec<RawAccess> {
    let bytes = std::fs::read(path).expect("the log can be read; LOGS names others");
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
