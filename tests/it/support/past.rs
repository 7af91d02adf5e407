//! A table of many days, as workers leave it.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use uuid::Uuid;
use whopulls_enrich::Enricher;
use whopulls_enrich::endpoint::EndpointKey;
use whopulls_enrich::event::{Enriched, Event, action, encode_files};
use whopulls_enrich::fold::{Counted, Request};
use whopulls_enrich::geo::Database;
use whopulls_enrich::lake::{CommitRequest, Lake};
use whopulls_schemas::UnixMicros;
use whopulls_schemas::config::IpMode;
use whopulls_schemas::raw::{Claim, ClaimBy, Kind, RawAccess};

use super::{block_on, repository};

/// 2026-10-01T00:00:00Z.
const FIRST_DAY: i64 = 1_790_812_800_000_000;
const DAY_US: i64 = 86_400_000_000;
/// Rows of a file, as a busy worker writes them.
const FILE_ROWS_MAX: u64 = 50_000;

/// The networks that the clients come from: CERN, Apple, MIT, a resolver, a provider, another cloud, and one in IPv6.
pub(crate) const NETWORKS: [&str; 7] =
    ["128.141.7.", "17.253.3.", "18.7.22.", "8.8.8.", "80.141.4.", "1.1.1.", "2001:4860:4860::"];

/// Who asks: clients of every network, one that asked not to be tracked, one that says who it is.
fn clients() -> Vec<(RawAccess, Arc<Enriched>)> {
    let database = Arc::new(Database::open(&[]).expect("the embedded database"));
    let enricher = Enricher::new(database, EndpointKey::new([7; EndpointKey::BYTES]), IpMode::Net);
    let address = |network: &str, host: u32| -> IpAddr { format!("{network}{host}").parse().expect("an address") };
    let from = |address: IpAddr| {
        let mut raw = RawAccess::new(Uuid::nil(), UnixMicros(0), Kind::File, "GET", "/app.tar.gz", 302);
        raw.client_ip = Some(address);
        raw
    };
    let mut clients: Vec<RawAccess> =
        NETWORKS.iter().flat_map(|network| (1..30).map(|host| from(address(network, host)))).collect();
    clients.push(RawAccess { dnt: true, ..from(address("8.8.8.", 40)) });
    let claim = Claim { organization: "said.example".to_owned(), name: "Said".to_owned(), by: ClaimBy::Host };
    clients.push(RawAccess { claim: Some(claim), ..from(address("8.8.8.", 41)) });
    clients.into_iter().map(|raw| (raw.clone(), enricher.enrich(&raw))).collect()
}

/// Makes a table with so many events on so many days in `data`.
pub(crate) fn build(data: &Path, days: u64, events: u64) {
    let clients = clients();
    let lake = data.join("lake");
    let mut lake =
        block_on(Lake::open_or_create(lake.to_str().expect("a text path"), &BTreeMap::new())).expect("a lake");
    let per_day = events / days;
    for day in 0..days {
        let mut files = Vec::new();
        for first in (0..per_day).step_by(usize::try_from(FILE_ROWS_MAX).expect("a small number")) {
            let rows = first..per_day.min(first + FILE_ROWS_MAX);
            let events: Vec<Event> = rows.map(|row| event(&clients, day, day * per_day + row, per_day)).collect();
            let encoded = encode_files(events).expect("schema and code agree");
            files.extend(block_on(lake.write_files(&encoded)).expect("files are written"));
        }
        let steps = BTreeMap::new();
        let request = CommitRequest { topic: "access.raw", steps: &steps, files: &files, now: UnixMicros(FIRST_DAY) };
        block_on(lake.commit(request)).expect("a commit");
    }
}

fn event(clients: &[(RawAccess, Arc<Enriched>)], day: u64, seq: u64, per_day: u64) -> Event {
    let client = usize::try_from(seq.wrapping_mul(7919) % clients.len() as u64).expect("a small number");
    let (raw, enriched) = &clients[client];
    let signed = |number: u64| i64::try_from(number).expect("a small number");
    let mut raw = raw.clone();
    raw.id = Uuid::from_u128(u128::from(seq) | 7 << 64);
    raw.ts = UnixMicros(FIRST_DAY + signed(day) * DAY_US + signed(seq % per_day) * (DAY_US / signed(per_day)));
    raw.seq = seq;
    "node-1".clone_into(&mut raw.node);
    raw.package = Some(format!("acme/app-{}", seq % 5));
    if seq.is_multiple_of(3) {
        raw.status = 304;
    }
    Event {
        counted: Counted::alone(&Request::of(&raw, enriched, action(&raw))),
        enriched: Arc::clone(enriched),
        raw: Box::new(raw),
    }
}

/// A day between two copies of the table, as DuckDB sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct DayDifference {
    pub(crate) day: String,
    pub(crate) events: u64,
    pub(crate) downloads: u64,
    pub(crate) rows_in_one_only: u64,
    pub(crate) rows_otherwise_different: u64,
}

/// Compares the tables of two data folders.
pub(crate) fn differences(old: &Path, new: &Path) -> Vec<DayDifference> {
    let script = repository().join("tests/it/past_by_duckdb.py");
    let output = Command::new(repository().join("scripts/python"))
        .arg(script)
        .args([old.join("lake"), new.join("lake")])
        .output()
        .expect("Python runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).expect("text");
    let line = |line: &str| {
        let (day, numbers) = line.split_once(',').expect("a day");
        let numbers: Vec<u64> = numbers.split(',').map(|number| number.parse().expect("a number")).collect();
        DayDifference {
            day: day.to_owned(),
            events: numbers[0],
            downloads: numbers[1],
            rows_in_one_only: numbers[2],
            rows_otherwise_different: numbers[3],
        }
    };
    text.lines().map(line).collect()
}

/// A copy of a data folder.
pub(crate) fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).expect("a folder");
    for entry in std::fs::read_dir(from).expect("a folder") {
        let entry = entry.expect("an entry");
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).expect("a file");
        }
    }
}

/// The Parquet files of the table's folder, live or not, without those of the log.
pub(crate) fn parquet_files(data: &Path) -> Vec<PathBuf> {
    let days =
        std::fs::read_dir(data.join("lake")).expect("the table's folder").map(|day| day.expect("an entry").path());
    let days = days.filter(|day| day.file_name().is_some_and(|name| name.to_string_lossy().starts_with("date=")));
    days.flat_map(|day| std::fs::read_dir(day).expect("a day").map(|file| file.expect("an entry").path())).collect()
}

/// Commits of the table.
pub(crate) fn commits(data: &Path) -> usize {
    let log = std::fs::read_dir(data.join("lake/_delta_log")).expect("the log").map(|entry| entry.expect("an entry"));
    log.filter(|entry| entry.path().extension().is_some_and(|extension| extension == "json")).count()
}
